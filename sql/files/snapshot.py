"""A copy of a warehouse as a file of its own, made while others may read it."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from neuronlake.sql.exclusive import sole_maker
from neuronlake.sql.failures import WarehouseError
from neuronlake.sql.files.connecting import BLOCK_BYTES, STORAGE_VERSION, connect, quoted
from neuronlake.sql.files.watching import watched
from neuronlake.sql.opening import check_name, open_warehouse, place
from neuronlake.sql.warehouse import Warehouse
from neuronlake.sql.words import Progress, no_progress


@dataclass(frozen=True)
class Snapshot:
    """A copy that was made.

    Attributes:
        rows: of all tables.
        size: of the file, in bytes.
    """

    rows: int
    size: int


def snapshot(warehouse: str | Path, copy: str | Path, progress: Progress = no_progress) -> Snapshot:
    """Copy a warehouse to a new file: all rows, comments, views and indexes, without the room that deleted rows leave.

    Args:
        warehouse: the DuckDB file; others may have it open to read, and it may be open in this process.
        copy: the file to make.
        progress: called with a stage, the share that is done and 100.

    Raises:
        WarehouseError: the warehouse cannot be read, there is something under the copy's name, or it cannot be written.
    """
    source, home = Path(warehouse).expanduser(), Path(copy).expanduser()
    _check_free(home)
    with open_warehouse(source):
        pass  # else it is refused with what to do
    if source.is_dir():
        raise WarehouseError(f"{source} is an exported folder, which can be copied as it is; name a DuckDB file")
    scratch = home.with_name(f".{home.name}.neuronlake-new")
    left = (scratch, scratch.with_name(f"{scratch.name}.wal"))
    with sole_maker(home):
        try:
            for file in left:
                file.unlink(missing_ok=True)
            rows = _fill(source, scratch, home, progress)
            if not place(scratch, home):
                raise _taken(home)
        finally:
            for file in left:
                file.unlink(missing_ok=True)
    return Snapshot(rows, home.stat().st_size)


def _check_free(home: Path) -> None:
    """Refuse a name that is taken, or in no folder."""
    check_name(home)
    if os.path.lexists(home):
        raise _taken(home)
    if not home.parent.is_dir():
        raise WarehouseError(f"the folder {home.parent} does not exist; make it or name a file elsewhere")


def _taken(home: Path) -> WarehouseError:
    return WarehouseError(f"{home} is there already, and nothing is written over; name another file")


def _fill(source: Path, scratch: Path, home: Path, progress: Progress) -> int:
    """Copy all that is in a file to a new one; how many rows there are."""
    with closing(Warehouse(home, connect(":memory:", write=True, memory_limit=None))) as both:
        both.execute(f"attach {quoted(source)} as source (read_only)")
        both.execute(
            f"attach {quoted(scratch)} as made (storage_version {quoted(STORAGE_VERSION)}, block_size {BLOCK_BYTES})"
        )
        with watched(both.connection, progress, "Copying"):
            both.execute("copy from database source to made")
        # closing would do it too, and say nothing where the disk is full
        both.execute("checkpoint made")
        counts = "select sum(estimated_size)::bigint from duckdb_tables() where database_name = 'made'"
        rows = int(both.scalar(counts) or 0)
        both.execute("detach made")
    return rows
