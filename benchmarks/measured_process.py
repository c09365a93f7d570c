"""A command in a fresh process: how long it took, and how much memory it held; for benchmarks."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil

# Peaks come again with every batch and chunk, and a look takes 20 ms of a core from what is measured.
_SECONDS_BETWEEN_LOOKS = 0.4


@dataclass(frozen=True)
class Run:
    """A process that did a whole job.

    Attributes:
        seconds: from its start to its end.
        memory: bytes at the highest, its children's included.
        held: the same without pages of files, which the system can write out and take back.
        output: what it wrote.
    """

    seconds: float
    memory: int
    held: int
    output: str

    @property
    def said(self) -> dict[str, Any]:
        """The JSON on its last line."""
        return json.loads(self.output.rstrip().splitlines()[-1])


def run(command: list[str], environment: Mapping[str, str] | None = None) -> Run:
    """Run a process to its end.

    The memory is looked at from outside, about twice a second: what the system itself keeps of a child that has
    ended, ru_maxrss, starts from what this process held when it forked.

    Raises:
        SystemExit: it failed; with what it wrote.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as written:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, env={**os.environ, **(environment or {})}, stdout=written, stderr=subprocess.STDOUT
        )
        highest, held, watched = 0, 0, psutil.Process(process.pid)
        while process.poll() is None:
            now, held_now = _memory(watched)
            highest, held = max(highest, now), max(held, held_now)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_SECONDS_BETWEEN_LOOKS)
        seconds = time.perf_counter() - started
        written.seek(0)
        output = written.read()
    if process.returncode:
        raise SystemExit(f"{output}\n{' '.join(command)}\nended with status {process.returncode}")
    return Run(seconds, highest, held, output)


def _memory(process: psutil.Process) -> tuple[int, int]:
    """Bytes of a process and its children now, and without pages of files.

    Pages that they share count once, where the system can tell.
    """
    total = held = 0
    with contextlib.suppress(psutil.Error):  # one that ended meanwhile
        for each in [process, *process.children(recursive=True)]:
            found = each.memory_full_info()
            total += getattr(found, "pss", found.rss)
            held += found.rss - getattr(found, "shared", 0)
    return total, held
