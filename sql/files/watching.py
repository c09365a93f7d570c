"""How far a long statement is, told while it runs."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager

import duckdb

from neuronlake.sql.words import Progress

_SECONDS_BETWEEN_LOOKS = 0.2
_WHOLE = 100


@contextmanager
def watched(connection: duckdb.DuckDBPyConnection, progress: Progress, stage: str) -> Generator[None]:
    """Tell how far the statement within the block is, in percent, as DuckDB reckons it."""
    connection.execute("set enable_progress_bar = true")  # else it does not reckon
    connection.execute("set enable_progress_bar_print = false")
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_SECONDS_BETWEEN_LOOKS):
            progress(stage, min(max(int(connection.query_progress()), 0), _WHOLE), _WHOLE)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
    progress(stage, _WHOLE, _WHOLE)
