"""The warehouse: one DuckDB file, opened, migrated, asked, and changed in transactions."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import psutil

import neuronlake
from neuronlake import NeuronlakeError
from neuronlake.sql import catalog

# Files of this storage version open in DuckDB 1.5 and later.
STORAGE_VERSION = "v1.5.0"
# A quarter of DuckDB's default: as fast for large tables, and the many small ones take less space.
BLOCK_BYTES = 65_536

Value = str | int | float | bool | bytes | datetime | None


def utc_now() -> datetime:
    """The time in UTC, without a zone: with one, DuckDB's Python client would need another package to read it."""
    return datetime.now(UTC).replace(tzinfo=None)


class WarehouseError(NeuronlakeError):
    """The warehouse cannot be opened."""


class QueryError(NeuronlakeError):
    """DuckDB cannot run this SQL."""


class Warehouse:
    """An open warehouse. Close it, or use it as a context manager."""

    def __init__(self, path: Path, connection: duckdb.DuckDBPyConnection, *, is_new: bool) -> None:
        self.path = path
        self.connection = connection
        self._is_new = is_new

    def __enter__(self) -> Warehouse:
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        """Close; a file that was made for work that failed before it began is removed again."""
        is_empty = failure is not None and self._is_new and not self.scalar("select count(*) from store.probes")
        self.close()
        if is_empty:
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file; what was committed stays."""
        self.connection.close()

    def sql(self, query: str, **parameters: Value) -> duckdb.DuckDBPyRelation:
        """The answer to a SELECT, lazily: `.pl()`, `.to_arrow_table()`, `.fetchall()` read it.

        Raises:
            QueryError: DuckDB rejects the query.
        """
        try:
            return self.connection.sql(query, params=parameters or None)
        except duckdb.Error as error:
            raise QueryError(str(error).strip()) from error

    def query(self, name: str, **parameters: str) -> duckdb.DuckDBPyRelation:
        """The answer to a named question of ``sql/queries``.

        Raises:
            UnknownQueryError: no query has this name.
            QueryParameterError: a parameter is unknown or lacks its value.
        """
        query = catalog.named_query(name)
        return self.sql(query.body, **query.bind(parameters))

    def ask(self, text: str, parameters: dict[str, str]) -> duckdb.DuckDBPyRelation | None:
        """The answer to what a user typed: SQL, or the name of a view or named query; None for a statement.

        Raises:
            QueryError: DuckDB rejects the SQL.
            UnknownQueryError: a single word names neither a view nor a query.
            QueryParameterError: a parameter of a named query is unknown or lacks its value.
        """
        name = text.strip()
        if not re.fullmatch(r"\w+", name):
            return self.sql(text, **parameters)
        if name in {view.name for view in catalog.views()} and not parameters:
            return self.sql(f"select * from {name}")  # noqa: S608  a name of ours
        return self.query(name, **parameters)

    def scalar(self, query: str, **parameters: Value) -> Any:
        """The first value of the first row, or None where there is no row."""
        row = self.connection.execute(query, parameters or None).fetchone()
        self.connection.complete()
        return None if row is None else row[0]

    def execute(self, statement: str, **parameters: Value) -> None:
        """Run a statement that returns no rows."""
        self.connection.execute(statement, parameters or None).complete()

    def run_step(self, name: str, **parameters: Value) -> None:
        """Run a statement of ``sql/steps``."""
        self.execute(catalog.steps()[name], **parameters)

    def insert(self, table: str, rows: Any, **constants: Value) -> None:
        """Append an Arrow table or Polars frame to ``store.TABLE`` by column names.

        `constants` fill further columns with one value each.
        """
        arrow: Any = rows.to_arrow() if isinstance(rows, pl.DataFrame) else rows
        columns = [*constants, *arrow.column_names]
        self.connection.register("incoming_rows", arrow)
        try:
            values = ", ".join([*(f"${name}" for name in constants), "incoming_rows.*"])
            self.execute(
                f"insert into store.{table} ({', '.join(columns)}) select {values} from incoming_rows",  # noqa: S608
                **constants,
            )
        finally:
            self.connection.unregister("incoming_rows")

    def next_id(self, table: str, column: str) -> int:
        """The next free number of a table: one more than its highest, so that no run leaves gaps."""
        return int(self.scalar(f"select coalesce(max({column}), 0) + 1 from store.{table}"))  # noqa: S608

    @contextmanager
    def transaction(self) -> Generator[None]:
        """All of the block's changes are committed, or none of them."""
        self.connection.begin()
        try:
            yield
        except BaseException:
            self.connection.rollback()
            raise
        self.connection.commit()


def open_warehouse(
    path: str | Path, *, write: bool = False, memory_limit: str | None = None, allow_files: bool = True
) -> Warehouse:
    """Open a warehouse; for writing, make or migrate it as needed.

    Args:
        path: the DuckDB file.
        write: open for changes. Only one process can; while it does, no other can read.
        memory_limit: DuckDB's memory, such as ``4GB``; half of the machine's by default.
        allow_files: let SQL read and write other files and addresses.

    Raises:
        WarehouseError: the file is missing, is no warehouse, is newer than this version of neuronlake,
            or is held by another process.
    """
    path = Path(path).expanduser()
    is_new = not path.exists() or path.stat().st_size == 0
    if is_new and not write:
        raise WarehouseError(
            f"there is no warehouse at {path}; make one with `cli ingest` or `cli demo`, or name it with --warehouse"
        )
    if not path.parent.is_dir():
        raise WarehouseError(f"the folder {path.parent} does not exist; make it or name another with --warehouse")
    warehouse = Warehouse(path, _connect(path, write=write, is_new=is_new, memory_limit=memory_limit), is_new=is_new)
    try:
        _check_version(warehouse, write=write, is_new=is_new)
        if write:
            _migrate(warehouse)
        if not allow_files:
            warehouse.execute("set enable_external_access = false")
            warehouse.execute("set lock_configuration = true")
    except BaseException:
        warehouse.close()
        if is_new:
            path.unlink(missing_ok=True)
        raise
    return warehouse


def _connect(path: Path, *, write: bool, is_new: bool, memory_limit: str | None) -> duckdb.DuckDBPyConnection:
    """A connection with our settings, and DuckDB's complaints in plain words."""
    config: dict[str, Any] = {
        "memory_limit": memory_limit or f"{psutil.virtual_memory().total // 2**21}MiB",
        # results keep the order of the rows they come from
        "preserve_insertion_order": True,
    }
    if is_new:
        config["storage_compatibility_version"] = STORAGE_VERSION
        config["default_block_size"] = BLOCK_BYTES
    try:
        return duckdb.connect(str(path), read_only=not write, config=config)
    except duckdb.Error as error:
        raise WarehouseError(_explain_open_failure(path, str(error))) from error


def _explain_open_failure(path: Path, message: str) -> str:
    """One line for each way in which DuckDB refuses to open a file."""
    if holder := re.search(r"PID (\d+)", message):
        return f"{path} is in use by process {holder[1]}; wait until it ends, or work on a copy made after that"
    if "not a valid DuckDB database" in message:
        return f"{path} is not a DuckDB file; name a warehouse with --warehouse"
    if "ermission denied" in message or "read-only" in message.lower():
        return f"{path} cannot be written: permission denied; name another file with --warehouse"
    return f"{path} cannot be opened: {message.splitlines()[0]}"


def _schema_version(warehouse: Warehouse) -> int:
    """Number of the last migration in the file; 0 where it holds none of our tables."""
    has_migrations = warehouse.scalar(
        "select count(*) from duckdb_tables() where schema_name = 'store' and table_name = 'migrations'"
    )
    return int(warehouse.scalar("select max(version) from store.migrations")) if has_migrations else 0


def _check_version(warehouse: Warehouse, *, write: bool, is_new: bool) -> None:
    """Refuse what is no warehouse of ours, or one that this version cannot read."""
    version = _schema_version(warehouse)
    newest = catalog.migrations()[-1][0]
    if version > newest:
        raise WarehouseError(
            f"{warehouse.path} has schema version {version} and this neuronlake knows versions up to {newest}; "
            "update neuronlake"
        )
    if version == 0 and not is_new:
        raise WarehouseError(f"{warehouse.path} is a DuckDB file but no neuronlake warehouse; name another file")
    if version < newest and not write:
        raise WarehouseError(
            f"{warehouse.path} has schema version {version} and this neuronlake reads version {newest}; "
            '`cli sql --write "select 1"` brings it up to date, after a copy'
        )


def _migrate(warehouse: Warehouse) -> None:
    """Bring tables and views up to this version, each migration in a transaction of its own."""
    version = _schema_version(warehouse)
    pending = [(number, script) for number, script in catalog.migrations() if number > version]
    if pending and version > 0:
        warehouse.execute("checkpoint")
        shutil.copy2(warehouse.path, warehouse.path.with_suffix(f".v{version}.duckdb"))
    for number, script in pending:
        with warehouse.transaction():
            warehouse.execute(script)
            warehouse.execute("insert into store.migrations values ($number, $at)", number=number, at=utc_now())
    _create_views(warehouse)


def views_marker() -> str:
    """What a file says that holds just the views of this version."""
    digest = hashlib.sha256(repr(catalog.views()).encode()).hexdigest()[:16]
    return f"The views of this file are those of neuronlake {neuronlake.__version__}, {digest}."


def _create_views(warehouse: Warehouse) -> None:
    """Write all views with their comments, unless the file holds just these."""
    marker = views_marker()
    stored = warehouse.scalar(
        "select comment from duckdb_tables() where schema_name = 'store' and table_name = 'migrations'"
    )
    if stored == marker:
        return
    with warehouse.transaction():
        for view in catalog.views():
            warehouse.execute(f"create or replace view {view.name} as {view.body}")
            warehouse.execute(f"comment on view {view.name} is {_quoted(view.comment)}")
            for column, comment in view.column_comments.items():
                warehouse.execute(f"comment on column {view.name}.{column} is {_quoted(comment)}")
        warehouse.execute(f"comment on table store.migrations is {_quoted(marker)}")


def _quoted(text: str) -> str:
    """A SQL string literal; COMMENT ON takes no bound parameters."""
    return "'" + text.replace("'", "''") + "'"
