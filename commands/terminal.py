"""What the user sees while a command works, and what they typed."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import typer

_SECONDS_BETWEEN_LINES = 30


@contextmanager
def progress_bars() -> Generator[Callable[[str, int, int], None]]:
    """One bar for each stage, on standard error; where that is no terminal, a line now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _progress_lines()
        return
    bars: dict[str, TaskID] = {}
    columns = (TextColumn("{task.description:20}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as display:

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = display.add_task(stage, total=total)
            display.update(bars[stage], completed=done, total=total)

        yield progress


def _progress_lines() -> Callable[[str, int, int], None]:
    """Progress for a log file: nothing of what is done at once."""
    last = time.monotonic()

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            typer.echo(f"{time.strftime('%H:%M:%S')} {stage}: {done:,} of {total:,}", err=True)

    return progress


@contextmanager
def resumable() -> Generator[None]:
    """Ctrl-C ends with status 130 and a line on how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("interrupted: chunks that were loaded are kept; run the same command again to go on", err=True)
        raise typer.Exit(130) from None


def typed_command() -> str:
    """What the user typed, to be stored with the run."""
    return shlex.join(["cli", *sys.argv[1:]])


def readable_bytes(count: float) -> str:
    """A size in the unit that keeps the number short."""
    for unit in ("bytes", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"


def readable_seconds(seconds: float) -> str:
    """A duration in the unit that keeps the number short."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h"
