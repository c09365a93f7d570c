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
import torch

_SECONDS_BETWEEN_LOOKS = 0.1


@dataclass(frozen=True)
class Run:
    """A process that did a whole job.

    Attributes:
        seconds: from its start to its end.
        memory: bytes at the highest, with those of the processes that it started.
        held: the same without pages of files, which the system can write out and take back.
        device: bytes of the CUDA device that were in use at the highest, beyond those before; 0 without one.
        output: what it wrote.
    """

    seconds: float
    memory: int
    held: int
    device: int
    output: str

    @property
    def said(self) -> dict[str, Any]:
        """The JSON on its last line."""
        return json.loads(self.output.rstrip().splitlines()[-1])


def run(command: list[str], environment: Mapping[str, str] | None = None) -> Run:
    """Run a process to its end.

    The memory is looked at from outside, ten times a second: what the system itself keeps of a child that has
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
        before = on_device = _in_use_on_device()
        while process.poll() is None:
            now, of_files = _in_use(watched)
            highest, held = max(highest, now), max(held, now - of_files)
            on_device = max(on_device, _in_use_on_device())
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_SECONDS_BETWEEN_LOOKS)
        seconds = time.perf_counter() - started
        written.seek(0)
        output = written.read()
    if process.returncode:
        raise SystemExit(f"{output}\n{' '.join(command)}\nended with status {process.returncode}")
    return Run(seconds, highest, held, on_device - before, output)


def _in_use(process: psutil.Process) -> tuple[int, int]:
    """Bytes, and how many of them are pages of files, of a process and all that it started."""
    highest = of_files = 0
    with contextlib.suppress(psutil.Error):  # it ended meanwhile
        for each in (process, *process.children(recursive=True)):
            # not what smaps tells: reading that holds up the process, for a tenth of its time
            now = each.memory_info()
            highest, of_files = highest + now.rss, of_files + getattr(now, "shared", 0)
    return highest, of_files


def _in_use_on_device() -> int:
    """Bytes, by all processes."""
    if not torch.cuda.is_available():
        return 0
    free, total = torch.cuda.mem_get_info()
    return total - free
