"""Connections to DuckDB files, with our settings, and DuckDB's complaints in plain words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from neuronlake.sql.failures import open_failure
from neuronlake.sql.warehouse import half_of_memory

# Files of this storage version open in DuckDB 1.5 and later.
STORAGE_VERSION = "v1.5.0"

# A quarter of DuckDB's default: as fast for large tables, and the many small ones take less space.
BLOCK_BYTES = 65_536


def connect(
    path: Path | str, *, write: bool, memory_limit: str | None, is_new: bool = False, named: Path | None = None
) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB file.

    Args:
        path: the file.
        write: open for changes.
        memory_limit: DuckDB's memory, such as ``4GB``; half of the machine's where None.
        is_new: the file is to be made.
        named: what a message calls it, where that is not its path.

    Raises:
        WarehouseError: DuckDB refuses.
    """
    config: dict[str, Any] = {
        "memory_limit": memory_limit or f"{half_of_memory()}B",
        # results keep the order of the rows they come from
        "preserve_insertion_order": True,
    }
    if is_new:
        config["storage_compatibility_version"] = STORAGE_VERSION
        config["default_block_size"] = BLOCK_BYTES
    try:
        return duckdb.connect(str(path), read_only=not write, config=config)
    except duckdb.Error as error:
        raise open_failure(named or Path(path), str(error)) from error


def quoted(text: str | Path) -> str:
    """A SQL string literal, for statements that take no bound parameters."""
    return "'" + str(text).replace("'", "''") + "'"
