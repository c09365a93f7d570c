"""What the user sees while a command works, and what they typed."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import typer

from neuronlake import NeuronlakeError
from neuronlake.sql import words

_SECONDS_BETWEEN_LINES = 30


@contextmanager
def progress_bars() -> Generator[words.Progress]:
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


def _progress_lines() -> words.Progress:
    """Progress for a log file: nothing of what is done at once."""
    last = time.monotonic()

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            typer.echo(f"{time.strftime('%H:%M:%S')} {stage}: {done:,} of {total:,}", err=True)

    return progress


@contextmanager
def resumable(warehouse: Path) -> Generator[None]:
    """Ctrl-C ends with status 130 and a line on what is kept and how to go on."""
    begun = datetime.now(UTC).replace(tzinfo=None)
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"interrupted: {_kept(warehouse, begun)}; run the same command again to go on", err=True)
        raise typer.Exit(130) from None


def _kept(warehouse: Path, begun: datetime) -> str:
    """What a run that began then has put into the warehouse, which is closed."""
    from neuronlake.sql.opening import open_warehouse

    if not warehouse.is_file():
        return "nothing was loaded yet"
    try:
        with open_warehouse(warehouse, allow_files=False) as opened:
            newest = opened.query("recent_runs", top="1").pl().to_dicts()
    except NeuronlakeError:  # such as by another process that holds the file now
        return "what was loaded is kept"
    run = next((row for row in newest if row["started"] >= begun), None)
    if run is None:
        return "nothing was loaded yet"
    counts = {"image": run["images"] - run["failed_images"], "scored layer": run["scored_layers"]}
    kept = [f"{count:,} {what}{'' if count == 1 else 's'}" for what, count in counts.items() if count]
    return f"kept {' and '.join(kept)} of this run" if kept else "nothing was loaded yet"


def open_quietly(page: Path) -> None:
    """Show a page in the browser, if there is one."""
    open_address(page.as_uri())


def open_address(address: str) -> None:
    """Show an address in the browser, if there is one; what the program that looks for it says is for nobody."""
    if sys.platform == "win32":
        os.startfile(address)  # noqa: S606  our own page
        return
    opener = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
    if opener:
        nowhere = subprocess.DEVNULL
        command = [opener, address]
        subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True)  # noqa: S603


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
