"""The warehouse: one DuckDB file, opened, migrated, asked, and changed in transactions."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import psutil

import neuronlake
from neuronlake.sql import catalog
from neuronlake.sql.failures import QueryError, WarehouseError, explain_open_failure, plain_errors

# Files of this storage version open in DuckDB 1.5 and later.
STORAGE_VERSION = "v1.5.0"
# A quarter of DuckDB's default: as fast for large tables, and the many small ones take less space.
BLOCK_BYTES = 65_536

# Of the file's pages while a run extracts or scores, which read little twice and need the memory for tensors.
_PAGES_DURING_RUN = 512 * 2**20

# Three headers stand before the blocks of a DuckDB file.
_HEADER_BYTES = 3 * 4096

Value = str | int | float | bool | bytes | datetime | None


def utc_now() -> datetime:
    """The time in UTC, without a zone: with one, DuckDB's Python client would need another package to read it."""
    return datetime.now(UTC).replace(tzinfo=None)


class Warehouse:
    """An open warehouse. Close it, or use it as a context manager.

    What DuckDB refuses within the `with` block leaves it as a QueryError, and a query that Ctrl-C stopped as
    KeyboardInterrupt.
    """

    def __init__(self, path: Path, connection: duckdb.DuckDBPyConnection) -> None:
        self.path = path
        self.connection = connection
        self.is_new = False
        self.memory_is_chosen = False
        self._in_transaction = False

    def __enter__(self) -> Warehouse:
        return self

    def __exit__(self, _kind: object, exception: BaseException | None, _traceback: object) -> None:
        """Close; a file that was made for work that failed before it began is removed again."""
        is_empty = exception is not None and self.is_new and self._has_no_probe()
        self.close()
        if is_empty:
            self.path.unlink(missing_ok=True)
        if exception is not None:
            with plain_errors(self.path):
                raise exception

    def _has_no_probe(self) -> bool:
        """Nothing was ever put in; False as well where DuckDB will not say after a failed write."""
        try:
            return not self.scalar("select count(*) from store.probes")
        except QueryError:
            return False

    def close(self) -> None:
        """Close the file; what was committed stays."""
        self.connection.close()

    def sql(self, query: str, **parameters: Value) -> duckdb.DuckDBPyRelation:
        """The answer to a SELECT, lazily: `.pl()`, `.to_arrow_table()`, `.fetchall()` read it.

        Raises:
            QueryError: DuckDB rejects the query.
        """
        with plain_errors(self.path):
            return self.connection.sql(query, params=parameters or None)

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
        with plain_errors(self.path):
            row = self.connection.execute(query, parameters or None).fetchone()
            self.connection.complete()
        return None if row is None else row[0]

    def execute(self, statement: str, **parameters: Value) -> None:
        """Run a statement that returns no rows."""
        with plain_errors(self.path):
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
    def few_pages(self) -> Generator[None]:
        """Let DuckDB keep few of the file's pages within the block, unless a user has chosen its memory."""
        if self.memory_is_chosen:
            yield
            return
        self.execute(f"set memory_limit = '{min(_PAGES_DURING_RUN, _half_of_memory())}B'")
        try:
            yield
        finally:
            self.execute(f"set memory_limit = '{_half_of_memory()}B'")

    @contextmanager
    def transaction(self) -> Generator[None]:
        """All of the block's changes are committed, or none of them; a block within another is part of it."""
        if self._in_transaction:
            yield
            return
        with plain_errors(self.path):
            self.connection.begin()
        self._in_transaction = True
        try:
            yield
        except BaseException:
            # after a failed write DuckDB has rolled back itself, and refuses to do it again
            with suppress(duckdb.Error):
                self.connection.rollback()
            raise
        finally:
            self._in_transaction = False
        with plain_errors(self.path):
            self.connection.commit()


def open_warehouse(
    path: str | Path, *, write: bool = False, memory_limit: str | None = None, allow_files: bool = True
) -> Warehouse:
    """Open a warehouse; for writing, make or migrate it as needed.

    Args:
        path: the DuckDB file.
        write: open for changes. Only one process can; while it does, no other can read.
        memory_limit: DuckDB's memory, such as ``4GB``; by default what the environment variable NEURONLAKE_MEMORY
            says, else half of the machine's.
        allow_files: let SQL read and write other files and addresses.

    Raises:
        WarehouseError: the file is missing, is no warehouse, is newer than this version of neuronlake,
            or is held by another process.
    """
    memory_limit = memory_limit or os.environ.get("NEURONLAKE_MEMORY")
    path = Path(path).expanduser()
    if path.is_dir():
        raise WarehouseError(f"{path} is a folder, not a DuckDB file; name a file in it or elsewhere with --warehouse")
    is_new = not path.exists() or path.stat().st_size == 0
    if is_new and not write:
        raise WarehouseError(
            f"there is no warehouse at {path}; make one with `cli ingest` or `cli demo`, or name it with --warehouse"
        )
    if not path.parent.is_dir():
        raise WarehouseError(f"the folder {path.parent} does not exist; make it or name another with --warehouse")
    if is_new:
        _make(path, memory_limit)
    # looked at read-only first: what is refused keeps every byte
    warehouse = Warehouse(path, _connect(path, write=False, memory_limit=memory_limit))
    with _closed_on_failure(warehouse):
        _check_size(warehouse)
        version = _check_version(warehouse, write=write)
    if write:
        warehouse.close()
        warehouse = _open_to_write(path, version, memory_limit)
        warehouse.is_new = is_new
    warehouse.memory_is_chosen = memory_limit is not None
    if not allow_files:
        warehouse.execute("set enable_external_access = false")
        warehouse.execute("set lock_configuration = true")
    return warehouse


def _make(path: Path, memory_limit: str | None) -> None:
    """Make an empty warehouse under another name first: killed at any point, it is there whole or not at all."""
    scratch = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        warehouse = Warehouse(path, _connect(scratch, named=path, write=True, is_new=True, memory_limit=memory_limit))
        with _closed_on_failure(warehouse):
            _migrate(warehouse)
            # closing would do it too, and say nothing where the disk is full
            warehouse.execute("checkpoint")
        warehouse.close()
        if path.exists():
            path.unlink()  # it holds no byte
        # unlike a rename, a link never takes the place of what another process has made meanwhile
        try:
            path.hardlink_to(scratch)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            scratch.rename(path)
    finally:
        scratch.unlink(missing_ok=True)
        scratch.with_name(f"{scratch.name}.wal").unlink(missing_ok=True)


def _open_to_write(path: Path, version: int, memory_limit: str | None) -> Warehouse:
    """A warehouse of a known version, open for changes and brought up to date after a copy."""
    if version < catalog.migrations()[-1][0]:
        _connect(path, write=True, memory_limit=memory_limit).close()  # takes what is in the log into the file
        # copied while it is closed: reading an open file by other means would end DuckDB's lock on it
        copy = path.with_suffix(f".v{version}.duckdb")
        try:
            shutil.copy2(path, copy)
        except OSError as error:
            copy.unlink(missing_ok=True)
            raise WarehouseError(explain_open_failure(copy, str(error))) from error
    warehouse = Warehouse(path, _connect(path, write=True, memory_limit=memory_limit))
    with _closed_on_failure(warehouse):
        _migrate(warehouse)
    return warehouse


@contextmanager
def _closed_on_failure(warehouse: Warehouse) -> Generator[None]:
    """Close the file where the block fails; what DuckDB says there is about the file."""
    try:
        yield
    except QueryError as error:
        warehouse.close()
        raise WarehouseError(explain_open_failure(warehouse.path, str(error.__cause__ or error))) from error
    except BaseException:
        warehouse.close()
        raise


def _connect(
    path: Path, *, write: bool, memory_limit: str | None, is_new: bool = False, named: Path | None = None
) -> duckdb.DuckDBPyConnection:
    """A connection with our settings, and DuckDB's complaints in plain words."""
    config: dict[str, Any] = {
        "memory_limit": memory_limit or f"{_half_of_memory()}B",
        # results keep the order of the rows they come from
        "preserve_insertion_order": True,
    }
    if is_new:
        config["storage_compatibility_version"] = STORAGE_VERSION
        config["default_block_size"] = BLOCK_BYTES
    try:
        return duckdb.connect(str(path), read_only=not write, config=config)
    except duckdb.Error as error:
        raise WarehouseError(explain_open_failure(named or path, str(error))) from error


def _half_of_memory() -> int:
    """Bytes, of the machine's memory."""
    return psutil.virtual_memory().total // 2


def _schema_version(warehouse: Warehouse) -> int:
    """Number of the last migration in the file; 0 where it holds none of our tables."""
    has_migrations = warehouse.scalar(
        "select count(*) from duckdb_tables() where schema_name = 'store' and table_name = 'migrations'"
    )
    return int(warehouse.scalar("select max(version) from store.migrations")) if has_migrations else 0


def _check_size(warehouse: Warehouse) -> None:
    """Refuse a file that lacks its end, which DuckDB may notice only when it reads there.

    DuckDB cuts free blocks off the end of a file and goes on counting them, so a file shorter than its blocks may be
    whole: then the last block in use decides.
    """
    (block_bytes, blocks, used_blocks) = warehouse.sql(
        "select block_size, total_blocks, used_blocks from pragma_database_size()"
    ).fetchall()[0]
    blocks_there = (warehouse.path.stat().st_size - _HEADER_BYTES) // block_bytes
    if blocks_there < blocks and (blocks_there < used_blocks or blocks_there <= _last_block(warehouse)):
        raise WarehouseError(explain_open_failure(warehouse.path, "Could not read the end of the file"))


def _last_block(warehouse: Warehouse) -> int:
    """The highest number of a block that holds metadata or the values of a table."""
    last = int(warehouse.scalar("select max(block_id) from pragma_metadata_info()"))
    tables = warehouse.sql("select schema_name || '.' || table_name from duckdb_tables() where not internal").fetchall()
    for (table,) in tables:
        highest = warehouse.scalar(
            "select max(greatest(block_id, list_max(additional_block_ids))) from pragma_storage_info($table)",
            table=table,
        )
        last = max(last, -1 if highest is None else int(highest))
    return last


def _check_version(warehouse: Warehouse, *, write: bool) -> int:
    """The file's version; refuses what is no warehouse of ours, or one that this version cannot read."""
    version = _schema_version(warehouse)
    newest = catalog.migrations()[-1][0]
    if version > newest:
        raise WarehouseError(
            f"{warehouse.path} has schema version {version} and this neuronlake knows versions up to {newest}; "
            "update neuronlake"
        )
    if version == 0:
        raise WarehouseError(f"{warehouse.path} is a DuckDB file but no neuronlake warehouse; name another file")
    if version < newest and not write:
        raise WarehouseError(
            f"{warehouse.path} has schema version {version} and this neuronlake reads version {newest}; "
            f'`cli sql --write "select 1" --warehouse {warehouse.path}` brings it up to date, after a copy'
        )
    return version


def _migrate(warehouse: Warehouse) -> None:
    """Bring tables and views up to this version, each migration in a transaction of its own."""
    version = _schema_version(warehouse)
    for number, script in catalog.migrations():
        if number > version:
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
