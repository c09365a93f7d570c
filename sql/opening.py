"""Opening a warehouse: made or migrated as needed, refused where it is damaged or of another kind."""

from __future__ import annotations

import itertools
import os
import re
import secrets
import shutil
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from neuronlake.sql import catalog, hints
from neuronlake.sql.exclusive import FileIdentity, identity, sole_maker
from neuronlake.sql.failures import QueryError, WarehouseError, open_failure
from neuronlake.sql.files.connecting import connect
from neuronlake.sql.files.current_views import create_views, holds_our_views, lay_views_over
from neuronlake.sql.files.folders import is_exported, open_folder
from neuronlake.sql.files.waiting import when_free
from neuronlake.sql.warehouse import Warehouse, utc_now

# Three headers stand before the blocks of a DuckDB file.
_HEADER_BYTES = 3 * 4096


def open_warehouse(
    path: str | Path,
    *,
    write: bool = False,
    memory_limit: str | None = None,
    allow_files: bool = True,
    wait: bool = False,
) -> Warehouse:
    """Open a warehouse; for writing, make or migrate it as needed.

    Args:
        path: the DuckDB file; or to read, a folder that one was exported to.
        write: open for changes. Only one process can; while it does, no other can read.
        memory_limit: DuckDB's memory, such as ``4GB``; by default what the environment variable NEURONLAKE_MEMORY
            says, else half of the machine's.
        allow_files: let SQL read and write other files and addresses.
        wait: where another process holds the file, say so on standard error and wait until it ends.

    Raises:
        WarehouseError: the file is missing, is no warehouse, is newer than this version of neuronlake,
            or is held by another process.
    """
    memory_limit = memory_limit or os.environ.get("NEURONLAKE_MEMORY")
    path = Path(path).expanduser()
    if is_exported(path):
        return open_folder(path, write=write, memory_limit=memory_limit, allow_files=allow_files)
    warehouse = when_free(lambda: _open_file(path, write=write, memory_limit=memory_limit), wait=wait)
    warehouse.memory_is_chosen = memory_limit is not None
    if not allow_files:
        warehouse.execute("set enable_external_access = false")
        warehouse.execute("set lock_configuration = true")
    return warehouse


def _open_file(path: Path, *, write: bool, memory_limit: str | None) -> Warehouse:
    """The warehouse in a DuckDB file."""
    is_new = _check_place(path, write=write)
    made = _make(path, memory_limit) if is_new else None
    # looked at read-only first: what is refused keeps every byte
    warehouse = Warehouse(path, connect(path, write=False, memory_limit=memory_limit))
    with _closed_on_failure(warehouse):
        _check_size(warehouse)
        version = _check_version(warehouse, write=write)
    if write:
        warehouse.close()
        warehouse = _open_to_write(path, version, memory_limit)
        warehouse.made = made
    else:
        with _closed_on_failure(warehouse):
            if not holds_our_views(warehouse):
                lay_views_over(warehouse)
    return warehouse


def another_connection(warehouse: Warehouse) -> Warehouse:
    """A warehouse that is open for reading once more, for another thread: a connection serves one at a time.

    Closing it closes no file.
    """
    other = Warehouse(warehouse.path, warehouse.connection.cursor())
    if not holds_our_views(other):
        lay_views_over(other)
    return other


def check_name(path: Path) -> None:
    """Refuse names under which DuckDB opens no file, or one whose tables it does not find.

    DuckDB calls the file's catalog what stands before the first dot of its name.
    """
    if str(path).startswith(":"):
        raise WarehouseError(
            f"{path} is no file, and a warehouse is one; name a file, such as scratch.duckdb, with --warehouse"
        )
    if re.match(r"\.*store([.?]|$)", path.name, re.IGNORECASE):
        raise WarehouseError(
            f"{path} is no name for a warehouse: DuckDB cannot tell its tables, in the schema store, from the file; "
            "rename the file or name another with --warehouse"
        )


def _check_place(path: Path, *, write: bool) -> bool:
    """Refuse what is no place for a warehouse, or has none to read.

    Returns:
        Whether one is to be made there.
    """
    check_name(path)
    if path.is_dir():
        raise WarehouseError(
            f"{path} is a folder, neither a DuckDB file nor what `cli export --format parquet` makes of one; "
            "name a file in it or elsewhere with --warehouse"
        )
    is_new = _is_missing(path)
    if is_new and not write:
        beside = [other.name for other in sorted(path.parent.glob("*.duckdb")) if other != path]
        here = f" ({', '.join(beside[:3])} lies there)" if beside else ""
        raise WarehouseError(
            f"there is no warehouse at {path}{here}; make one with `{hints.command('cli ingest', path)}` or "
            "`cli demo`, or name it with --warehouse"
        )
    if not path.parent.is_dir():
        raise WarehouseError(f"the folder {path.parent} does not exist; make it or name another with --warehouse")
    return is_new


def _is_missing(path: Path) -> bool:
    """There is no file, or none that holds a byte."""
    return not path.exists() or path.stat().st_size == 0


def _make(path: Path, memory_limit: str | None) -> FileIdentity | None:
    """Make an empty warehouse under another name first: killed at any point, it is there whole or not at all.

    Returns:
        The file that was made; None where another process has just made one.
    """
    home = Path(os.path.realpath(path))  # what a link leads to is made, and the link stays
    scratch = home.with_name(f".{home.name}.neuronlake-new")
    log = scratch.with_name(f"{scratch.name}.wal")
    with sole_maker(home):
        if not _is_missing(home):
            return None
        try:
            for left_by_killed in (scratch, log):
                left_by_killed.unlink(missing_ok=True)
            _fill(scratch, path, memory_limit)
            return place(scratch, home)
        finally:
            scratch.unlink(missing_ok=True)
            log.unlink(missing_ok=True)


def _fill(scratch: Path, path: Path, memory_limit: str | None) -> None:
    """Make the tables and views of an empty warehouse, which is to become `path`."""
    warehouse = Warehouse(path, connect(scratch, named=path, write=True, is_new=True, memory_limit=memory_limit))
    with _closed_on_failure(warehouse):
        _migrate(warehouse)
        # closing would do it too, and say nothing where the disk is full
        warehouse.execute("checkpoint")
    warehouse.close()


def place(scratch: Path, home: Path) -> FileIdentity | None:
    """Give a file its name; None where another file has got it meanwhile."""
    if home.exists():
        if home.stat().st_size:
            return None
        home.unlink()
    # unlike a rename, a link never takes the place of a file, such as one that is copied to here just now
    try:
        home.hardlink_to(scratch)
    except FileExistsError:
        return None
    except OSError:  # a file system without links
        scratch.rename(home)
        return identity(home)
    return identity(scratch)


def _open_to_write(path: Path, version: int, memory_limit: str | None) -> Warehouse:
    """A warehouse of a known version, open for changes and brought up to date after a copy."""
    copy: Path | None = None
    if version < catalog.migrations()[-1][0]:
        # what is in the log gets into the file as it is closed
        with closing(Warehouse(path, connect(path, write=True, memory_limit=memory_limit))) as before:
            _require_free_way(before)
        # copied while it is closed: reading an open file by other means would end DuckDB's lock on it
        copy = _keep_copy(path, version)
    looked_at = identity(path)
    warehouse = Warehouse(path, connect(path, write=True, memory_limit=memory_limit))
    with _closed_on_failure(warehouse):
        # held from here on, but who held it before may have removed it in that very moment
        if identity(path) != looked_at:
            raise WarehouseError(f"{path} was removed or replaced as it was opened; run the same command again")
        try:
            _migrate(warehouse)
        except BaseException:
            with suppress(QueryError, OSError):
                if copy and _schema_version(warehouse) == version:
                    copy.unlink()  # of a file that is as it was
            raise
    return warehouse


def _require_free_way(warehouse: Warehouse) -> None:
    """Refuse to migrate where a user has made something upon our tables that would be in the way.

    Raises:
        WarehouseError: there is such a thing.
    """
    found = [row[0] for row in warehouse.step("in_the_way_of_migration").fetchall()]
    if found:
        raise WarehouseError(
            f"{warehouse.path} cannot be brought up to date, for its tables have something of yours upon them: "
            f"{', '.join(found)}; drop it with DuckDB, and make it again afterwards"
        )


def _keep_copy(path: Path, version: int) -> Path:
    """Copy a file that is to be migrated, under a name that no file has: an older copy may be all that is left."""
    beside = path.with_name(f".neuronlake-{secrets.token_hex(8)}")
    copy = path.with_suffix(f".v{version}.duckdb")
    numbered = (path.with_suffix(f".v{version}-{number}.duckdb") for number in itertools.count(2))
    try:
        shutil.copy2(path, beside)
        while not place(beside, copy):
            copy = next(numbered)
    except OSError as error:
        raise open_failure(copy, str(error)) from error
    finally:
        beside.unlink(missing_ok=True)
    return copy


@contextmanager
def _closed_on_failure(warehouse: Warehouse) -> Generator[None]:
    """Close the file where the block fails; what DuckDB says there is about the file."""
    try:
        yield
    except QueryError as error:
        warehouse.close()
        raise open_failure(warehouse.path, str(error.__cause__ or error)) from error
    except BaseException:
        warehouse.close()
        raise


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
        raise open_failure(warehouse.path, "Could not read the end of the file")


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
        update = hints.command('cli sql --write "select 1"', warehouse.path)
        raise WarehouseError(
            f"{warehouse.path} has schema version {version} and this neuronlake reads version {newest}; "
            f"`{update}` brings it up to date, after a copy"
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
    create_views(warehouse)
