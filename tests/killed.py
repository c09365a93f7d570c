"""Processes to kill, and what they leave in a warehouse."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from neuronlake.sql.opening import open_warehouse
from neuronlake.sql.verify import verify


class Launcher:
    """A process that has imported what takes seconds, and forks one for each line that it is given.

    The code says `ready`; then of each fork its number, and its exit status when it has ended.
    """

    def __init__(self, folder: Path, code: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def start(self, what: Path | str) -> int:
        """Start an ingest into a warehouse, or a command; the number of its process."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        return int(self._line())

    def end(self) -> int:
        """Wait for it to end; its exit status, below 0 for a signal."""
        return int(self._line())


def tables(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables, but for what says when and by which run they were written."""
    with open_warehouse(path) as warehouse:
        names = warehouse.sql("select table_name from duckdb_tables() where schema_name = 'store'").fetchall()
        of_run = {"chunks", "scorings", "dissected_chunks"}
        return {
            name: warehouse.sql(
                f"select {'* exclude (run_id)' if name in of_run else '*'} from store.{name} order by all"
            ).fetchall()
            for (name,) in names
            if name not in {"runs", "migrations"}
        }


def faults(path: Path) -> list[str]:
    with open_warehouse(path) as warehouse:
        return [str(fault) for fault in verify(warehouse)]
