"""How far a long statement is, told while it runs."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import duckdb

from neuronlake.sql.words import Progress

_SECONDS_BETWEEN_LOOKS = 0.2
_WHOLE = 100


@contextmanager
def watched(connection: duckdb.DuckDBPyConnection, progress: Progress, stage: str) -> Generator[None]:
    """Tell how far the statement within the block is, in percent, as DuckDB reckons it."""
    names = ("enable_progress_bar", "enable_progress_bar_print")
    before = connection.sql(f"select {', '.join(f'current_setting({name!r})' for name in names)}").fetchall()[0]
    _set(connection, names, (True, False))  # else it does not reckon, or shows a bar of its own
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
        _set(connection, names, before)
    progress(stage, _WHOLE, _WHOLE)


def _set(connection: duckdb.DuckDBPyConnection, names: Sequence[str], values: Sequence[bool]) -> None:
    """Give DuckDB's settings these values."""
    for name, value in zip(names, values, strict=True):
        connection.execute(f"set {name} = {str(value).lower()}")
