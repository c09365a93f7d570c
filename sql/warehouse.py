"""The warehouse: one DuckDB file, asked, and changed in transactions."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import psutil

from neuronlake.sql import catalog
from neuronlake.sql.copies import written_paths
from neuronlake.sql.exclusive import FileIdentity, identity
from neuronlake.sql.failures import QueryError, WarehouseError, plain_errors
from neuronlake.sql.settings import choose_setting, settings_of

# Of the file's pages while a run extracts or scores, which read little twice and need the memory for tensors.
_PAGES_DURING_RUN = 512 * 2**20

Value = str | int | float | bool | bytes | datetime | list[str] | list[int] | None


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
        self.made: FileIdentity | None = None  # the file, where opening made it
        self.memory_is_chosen = False
        self._in_transaction = False

    def __enter__(self) -> Warehouse:
        return self

    def __repr__(self) -> str:
        return f"Warehouse({str(self.path)!r})"

    def __exit__(self, _kind: object, exception: BaseException | None, _traceback: object) -> None:
        """Close; a file that was made for work that failed before it began is removed again."""
        if exception is not None and self.made is not None:
            self._remove_if_empty()
        self.close()
        if exception is not None:
            with plain_errors(self.path):
                raise exception

    def _remove_if_empty(self) -> None:
        """Remove the file that opening made, unless something was put in or another file has its name now.

        While it is open, so that nobody else can put anything in first. A failure leaves the file.
        """
        with suppress(QueryError, OSError):
            # with a log left over, closing would remove the log of whoever has made the file anew by then
            self.execute("checkpoint")
            if self._holds_nothing() and identity(self.path) == self.made:
                self.path.resolve().unlink()

    def _holds_nothing(self) -> bool:
        """No table has a row, but for the one that says which version the file is of."""
        tables = self.sql(
            "select schema_name, table_name from duckdb_tables() where not internal and table_name <> 'migrations'"
        ).fetchall()
        return not any(self.scalar(f'select count(*) from "{schema}"."{name}"') for schema, name in tables)  # noqa: S608

    def size(self) -> int:
        """Bytes on disk, of the file or of all in the folder."""
        files = [self.path, *self.path.rglob("*")] if self.path.is_dir() else [self.path]
        return sum(file.stat().st_size for file in files if file.is_file())

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
        """The answer to a named question of ``sql/queries``; a setting is given by number, or by its method.

        Raises:
            UnknownQueryError: no query has this name.
            QueryParameterError: a parameter is unknown or lacks its value.
            SettingError: there is no such setting, or several of this method.
        """
        query = catalog.named_query(name)
        values = query.bind(parameters)
        if setting := values.get("setting"):
            known = settings_of(self.query("settings").pl())
            values["setting"] = str(choose_setting(self.path, known, setting).number)
        return self.sql(query.body, **values)

    def ask(self, text: str, parameters: dict[str, str]) -> duckdb.DuckDBPyRelation | None:
        """The answer to what a user typed: SQL, or the name of a query, view or table; None for a statement.

        Raises:
            QueryError: DuckDB rejects the SQL.
            UnknownQueryError: a single word names no query, view or table.
            QueryParameterError: a parameter of a named query is unknown or lacks its value, or a table was given one.
        """
        self._refuse_copies(text, parameters)
        name = text.strip()
        if name in catalog.queries():
            return self.query(name, **parameters)
        if self._has_table(name):
            if parameters:
                raise catalog.QueryParameterError(f"{name} is a table or view and takes no parameters; select from it")
            with plain_errors(self.path):
                return self.connection.table(name)
        if re.fullmatch(r"\w+", name):
            return self.query(name, **parameters)
        return self.sql(text, **parameters)

    def _refuse_copies(self, text: str, parameters: dict[str, str]) -> None:
        """Refuse to COPY where no other files are allowed: of an exported folder, DuckDB would write over its own."""
        if (
            self.path.is_dir()
            and not self.scalar("select current_setting('enable_external_access')")
            and written_paths(text, parameters)
        ):
            raise QueryError(
                f"a query that writes files needs --allow-files, and writes none into {self.path}, an exported folder, "
                "which is read-only; name another place"
            )

    def _has_table(self, name: str) -> bool:
        """Whether a table or view of the file has this name, with that of its schema where it is not the main one."""
        names = "(lower(table_schema || '.' || table_name), case table_schema when 'main' then lower(table_name) end)"
        return bool(self.scalar(f"select 1 from information_schema.tables where lower($name) in {names}", name=name))  # noqa: S608

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

    def step(self, name: str, **parameters: Value) -> duckdb.DuckDBPyRelation:
        """The answer to a SELECT of ``sql/steps``, lazily."""
        return self.sql(catalog.steps()[name], **parameters)

    def run_step(self, name: str, **parameters: Value) -> None:
        """Run a statement of ``sql/steps``."""
        self.execute(catalog.steps()[name], **parameters)

    def insert(self, table: str, rows: Any, **constants: Value) -> None:
        """Append an Arrow table or Polars frame to ``store.TABLE`` by column names.

        `constants` fill further columns with one value each.
        """
        columns = [*constants, *rows.columns] if isinstance(rows, pl.DataFrame) else [*constants, *rows.column_names]
        values = ", ".join([*(f"${name}" for name in constants), "incoming_rows.*"])
        insert = f"insert into store.{table} ({', '.join(columns)}) select {values} from incoming_rows"  # noqa: S608
        with self.lent(incoming_rows=rows):
            self.execute(insert, **constants)

    @contextmanager
    def lent(self, **tables: Any) -> Generator[None]:
        """Let statements within the block read Arrow tables or Polars frames by these names."""
        for name, rows in tables.items():
            self.connection.register(name, rows.to_arrow() if isinstance(rows, pl.DataFrame) else rows)
        try:
            yield
        finally:
            for name in tables:
                self.connection.unregister(name)

    def next_id(self, table: str, column: str) -> int:
        """The next free number of a table: one more than its highest, so that no run leaves gaps."""
        return int(self.scalar(f"select coalesce(max({column}), 0) + 1 from store.{table}"))  # noqa: S608

    @contextmanager
    def few_pages(self) -> Generator[None]:
        """Let DuckDB keep few of the file's pages within the block, unless a user has chosen its memory."""
        if self.memory_is_chosen:
            yield
            return
        self.execute(f"set memory_limit = '{min(_PAGES_DURING_RUN, half_of_memory())}B'")
        try:
            yield
        finally:
            self.execute(f"set memory_limit = '{half_of_memory()}B'")

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


def require_warehouse(given: object) -> None:
    """Refuse what is no open warehouse, above all its path.

    Raises:
        WarehouseError: it is not one.
    """
    if not isinstance(given, Warehouse):
        raise WarehouseError(f"{given!r} is no open warehouse; give what neuronlake.open(path) returns")


def half_of_memory() -> int:
    """Bytes, of the machine's memory."""
    return psutil.virtual_memory().total // 2
