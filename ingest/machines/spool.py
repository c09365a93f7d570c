"""The folder for chunks on their way from a cluster's workers to the one writer, and what killed runs left in it.

Chunks lie in a folder of the warehouse's own inside the one that a user names, and only they are ever deleted there.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from neuronlake.sql.store import runs
from neuronlake.sql.warehouse import Warehouse

# A chunk's number and digest, and where it is half written a number of its own.
_SHARD = re.compile(r"\d{6,}-[0-9a-f]{16}(\.[0-9a-f]{32}\.part)?")


@dataclass(frozen=True)
class Leftover:
    """A chunk that a run which was killed has left.

    Attributes:
        folder: that holds it.
        size: bytes.
    """

    folder: Path
    size: int


def warehouse_key(warehouse: Warehouse) -> str:
    """What tells this warehouse from every other, copies elsewhere included: when it was made, and where it lies."""
    return hashlib.sha256(f"{runs.made_at(warehouse)} {warehouse.path.resolve()}".encode()).hexdigest()[:16]


def own_folder(warehouse: Warehouse, spool: Path | None) -> Path:
    """Where this warehouse's chunks lie: inside the spool that the user named, else beside the warehouse."""
    chosen = _beside(warehouse) if spool is None else spool.expanduser()
    return chosen.resolve() / f"neuronlake-{warehouse_key(warehouse)}"


def _beside(warehouse: Warehouse) -> Path:
    """The spool where none is named."""
    return warehouse.path.with_name(f"{warehouse.path.name}.chunks")


def close_folder(warehouse: Warehouse, folder: Path) -> None:
    """Remove what this warehouse's runs made for their chunks, where nothing is left in it.

    Raises:
        OSError: it cannot be removed.
    """
    for made in (folder, _beside(warehouse).resolve()):
        if made.is_dir() and not any(made.iterdir()):
            made.rmdir()


def leftovers(warehouse: Warehouse) -> list[Leftover]:
    """The chunks in the spools of all runs so far; while a run is at work, its warehouse cannot be opened."""
    named = {recipe.get("spool") for recipe in runs.recipes(warehouse)}
    spools = {None if text is None else Path(text) for text in named} | {None}
    found: list[Leftover] = []
    for folder in sorted({own_folder(warehouse, spool) for spool in spools}):
        shards = [entry for entry in folder.iterdir() if _SHARD.fullmatch(entry.name)] if folder.is_dir() else []
        found += [Leftover(shard, sum(file.stat().st_size for file in shard.iterdir())) for shard in sorted(shards)]
    return found


def remove_leftovers(warehouse: Warehouse) -> None:
    """Delete what `leftovers` lists, and folders of ours that this empties.

    Raises:
        OSError: something cannot be deleted.
    """
    for leftover in leftovers(warehouse):
        shutil.rmtree(leftover.folder)
        close_folder(warehouse, leftover.folder.parent)
