"""Exporting a warehouse to Parquet files: its views with names, for who has no neuronlake, and its tables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from neuronlake.sql import catalog
from neuronlake.sql.failures import WarehouseError
from neuronlake.sql.files.connecting import quoted
from neuronlake.sql.files.folders import HELD_BY_VIEWS, table_file
from neuronlake.sql.files.watching import watched
from neuronlake.sql.warehouse import Warehouse
from neuronlake.sql.words import Progress, no_progress

# Tables with rows without end, or that are met with another's row by row: a view that reads one of them is computed
# when it is asked for, and not written.
_ENDLESS = {"store.activations", "store.similarities", "store.image_embeddings"}
# rows of one unit stand together, so that who asks for it reads little
_FIRST_KEYS = ("model", "layer", "unit")


@dataclass(frozen=True)
class Written:
    """A Parquet file of an export.

    Attributes:
        name: of the view or table.
        is_view: it is for users.
        rows: how many it has.
        comment: what a view says.
    """

    name: str
    is_view: bool
    rows: int
    comment: str


@cache
def written_views() -> tuple[catalog.View, ...]:
    """The views that are files: all but those computed from tables without end, and the two that hold such a table."""
    return tuple(view for view in catalog.views() if view.name in HELD_BY_VIEWS or not _reads_endless(view.name))


@cache
def computed_views() -> tuple[catalog.View, ...]:
    """The views that are no files."""
    return tuple(view for view in catalog.views() if view not in written_views())


def _reads_endless(name: str) -> bool:
    """Whether a view reads a table without end, itself or through others."""
    views = {view.name: view for view in catalog.views()}
    read = set(re.findall(r"\b(?:from|join)\s+([\w.]+)", views[name].body)) - {name}
    return bool(read & _ENDLESS) or any(_reads_endless(other) for other in read & views.keys())


def write_parquet(warehouse: Warehouse, folder: Path, progress: Progress = no_progress) -> list[Written]:
    """Write all tables, and the views that have an end, as Parquet files.

    Args:
        warehouse: to read.
        folder: an empty one.
        progress: called with a stage, the share that is done and 100.

    Raises:
        WarehouseError: rows of a table name something that is not there.
        QueryError: a file cannot be written.
    """
    for part in ("views", "tables"):
        (folder / part).mkdir()
    views = [_write_view(warehouse, view, folder, progress) for view in sorted(written_views(), key=lambda it: it.name)]
    names = warehouse.sql("select table_name from information_schema.tables where table_schema = 'store'").fetchall()
    tables = [_write_table(warehouse, name, folder, progress) for (name,) in sorted(names) if name not in HELD_BY_VIEWS]
    return [*views, *tables]


def _write_view(warehouse: Warehouse, view: catalog.View, folder: Path, progress: Progress) -> Written:
    """Write the rows of a view, in order."""
    if view.name in HELD_BY_VIEWS:
        query = catalog.steps()[f"exported_{view.name}"]
    else:
        columns = warehouse.sql(f"from {view.name}").columns
        keys = [*(key for key in _FIRST_KEYS if key in columns), *(name for name in columns if name not in _FIRST_KEYS)]
        query = f"from {view.name} order by {', '.join(keys)}"
    rows = _write(warehouse, query, folder / "views" / f"{view.name}.parquet", progress)
    if view.name in HELD_BY_VIEWS and rows != warehouse.scalar(f"select count(*) from store.{view.name}"):  # noqa: S608
        raise WarehouseError(f"{warehouse.path} is not whole; `cli verify` says what it lacks")
    return Written(view.name, True, rows, view.comment)


def _write_table(warehouse: Warehouse, table: str, folder: Path, progress: Progress) -> Written:
    """Write the rows of a table as they stand; a user's own may have any name."""
    name = table.replace('"', '""')
    return Written(table, False, _write(warehouse, f'from store."{name}"', table_file(folder, table), progress), "")


def _write(warehouse: Warehouse, query: str, file: Path, progress: Progress) -> int:
    """Write the answer to a query to a file; how many rows it has."""
    with watched(warehouse.connection, progress, f"Writing {file.stem}"):
        rows = warehouse.scalar(f"copy ({query}) to {quoted(file)} (format parquet, compression zstd)")
    return int(rows)
