"""A folder of Parquet files that a warehouse was exported to: what lies where in it, and opening it to read.

Tables lie in ``tables/``, views in ``views/``. The two largest tables are not there: a view that names their rows lies
there anyway, with the numbers besides that they consist of.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from neuronlake.sql import catalog
from neuronlake.sql.failures import QueryError, WarehouseError, read_only_folder
from neuronlake.sql.files.connecting import connect, quoted
from neuronlake.sql.files.current_views import write_views
from neuronlake.sql.warehouse import Warehouse

# a table: the view of its name holds its rows, and these of the view's columns are the table's
HELD_BY_VIEWS = {
    "activations": "layer_id, unit, image_id, activation",
    "similarities": "scoring as scoring_id, unit, concept_id, similarity",
}


def is_exported(path: Path) -> bool:
    """Whether it is a folder that a warehouse was exported to."""
    return table_file(path, "migrations").is_file()


def table_file(folder: Path, table: str) -> Path:
    """The file that holds the rows of a table."""
    return folder / ("views" if table in HELD_BY_VIEWS else "tables") / f"{table}.parquet"


def open_folder(folder: Path, *, write: bool, memory_limit: str | None, allow_files: bool) -> Warehouse:
    """Open an exported folder: a DuckDB file of views over the Parquet files, read-only, that is gone once closed.

    Args:
        folder: an exported one.
        write: refused.
        memory_limit: DuckDB's memory; half of the machine's where None.
        allow_files: let SQL read and write other files and addresses.

    Raises:
        WarehouseError: it is to be written, a file is missing or damaged, or it is of another version.
    """
    if write:
        raise WarehouseError(read_only_folder(folder))
    scratch = Path(tempfile.mkdtemp(prefix="neuronlake-"))
    try:
        files = _lay_views(scratch / "exported.duckdb", folder, memory_limit)
        connection = connect(scratch / "exported.duckdb", write=False, memory_limit=memory_limit, named=folder)
    finally:
        # once it is open, the file needs no name; where an open one cannot be removed, it stays for the system
        shutil.rmtree(scratch, ignore_errors=True)
    warehouse = Warehouse(folder, connection)
    warehouse.memory_is_chosen = memory_limit is not None
    # what exceeds the memory; DuckDB makes it where it is needed, and removes it
    warehouse.execute(f"set temp_directory = {quoted(scratch)}")
    if not allow_files:
        warehouse.execute(f"set allowed_paths = [{', '.join(map(quoted, files))}]")
        warehouse.execute("set enable_external_access = false")
        warehouse.execute("set lock_configuration = true")
    return warehouse


def _lay_views(file: Path, folder: Path, memory_limit: str | None) -> list[Path]:
    """Make the DuckDB file, with our tables and views as views over a folder; the Parquet files that they read."""
    with Warehouse(folder, connect(file, write=True, is_new=True, memory_limit=memory_limit)) as warehouse:
        try:
            _check_version(warehouse)
            with warehouse.transaction():
                files = _lay_tables(warehouse)
                write_views(warehouse)
        except QueryError as error:
            raise WarehouseError(f"{folder} is damaged: {error}; export it again from its warehouse") from error
    return files


def _check_version(warehouse: Warehouse) -> None:
    """Refuse a folder whose tables are of another version than this neuronlake's."""
    migrations = quoted(table_file(warehouse.path, "migrations"))
    version = warehouse.scalar(f"select max(version) from read_parquet({migrations})")  # noqa: S608
    newest = catalog.migrations()[-1][0]
    if version == newest:
        return
    step = "update neuronlake" if version and version > newest else "export it again from its warehouse"
    raise WarehouseError(
        f"{warehouse.path} has schema version {version} and this neuronlake reads version {newest}; {step}"
    )


def _lay_tables(warehouse: Warehouse) -> list[Path]:
    """Make each table a view over its file."""
    for _, script in catalog.migrations():  # which tables there are
        warehouse.execute(script)
    expected = _columns(warehouse)
    files = {table: Path(os.path.abspath(table_file(warehouse.path, table))) for table in expected}  # noqa: PTH100
    warehouse.execute("drop schema store cascade")
    warehouse.execute("create schema store")
    for table, file in files.items():
        columns = HELD_BY_VIEWS.get(table, "*")
        warehouse.execute(f"create view store.{table} as select {columns} from read_parquet({quoted(file)})")  # noqa: S608
    found = _columns(warehouse)
    if unlike := [file.name for table, file in files.items() if found[table] != expected[table]]:
        raise QueryError(f"{unlike[0]} has other columns than neuronlake wrote")
    return list(files.values())


def _columns(warehouse: Warehouse) -> dict[str, list[tuple[str, str]]]:
    """The names and types of the columns of each of our tables."""
    columns: dict[str, list[tuple[str, str]]] = {}
    for table, *column in warehouse.sql(
        "select table_name, column_name, data_type from duckdb_columns() where schema_name = 'store' "
        "order by table_name, column_index"
    ).fetchall():
        columns.setdefault(table, []).append((column[0], column[1]))
    return columns
