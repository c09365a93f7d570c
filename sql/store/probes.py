"""Probes and their images."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from neuronlake.sql.store.names import Entry, identify, known
from neuronlake.sql.warehouse import Warehouse

_LARGE_PROBE = 16_384
_CHUNK_OF_LARGE_PROBE = 2_048
_LARGEST_CHUNK_OF_SMALL_PROBE = 512
_SMALLEST_CHUNK = 64
_CHUNKS_OF_SMALL_PROBE = 16


@dataclass(frozen=True)
class StoredProbe:
    """A probe with images; their numbers follow each other."""

    probe_id: int
    first_image_id: int
    last_image_id: int
    chunk_images: int

    @property
    def images(self) -> int:
        """How many."""
        return self.last_image_id - self.first_image_id + 1

    @property
    def image_range(self) -> dict[str, int]:
        """Its first and last image, as parameters of a statement."""
        return {"first_image_id": self.first_image_id, "last_image_id": self.last_image_id}


def default_chunk_images(images: int) -> int:
    """How many images go into one transaction.

    DuckDB packs the numbers of the images in groups of 2,048: where a unit's images fill whole groups they take
    next to no space, and loading is twice as fast. On small probes a run that is stopped should lose little.
    """
    if images >= _LARGE_PROBE:
        return _CHUNK_OF_LARGE_PROBE
    wanted = images // _CHUNKS_OF_SMALL_PROBE // _SMALLEST_CHUNK * _SMALLEST_CHUNK
    return min(max(wanted, _SMALLEST_CHUNK), _LARGEST_CHUNK_OF_SMALL_PROBE)


def register_probe(
    warehouse: Warehouse, entry: Entry, location: str, images: pl.DataFrame, chunk_images: int, *, is_imported: bool
) -> StoredProbe:
    """The probe of that fingerprint; it and its images are written if it is not known.

    Args:
        warehouse: to write to.
        entry: its name and fingerprint.
        location: where its images are.
        images: one row each, with path, label, sha256, part and image_group; at least one.
        chunk_images: how many of them go into one transaction.
        is_imported: whether nothing but the number of its images is known.

    Raises:
        NameTakenError: another has its name.
    """
    with warehouse.transaction():
        found = known(warehouse, entry)
        if found is None:
            facts = {"location": location, "is_imported": is_imported}
            probe_id = identify(warehouse, entry, **facts, images=images.height, chunk_images=chunk_images)
            rows = images.with_row_index("image_id", warehouse.next_id("images", "image_id"))
            warehouse.insert("images", rows, probe_id=probe_id)
        else:
            probe_id = found[0]
    (row,) = warehouse.step("stored_probe", probe_id=probe_id).fetchall()
    return StoredProbe(*row)


def register_named_probe(warehouse: Warehouse, entry: Entry) -> int:
    """The number of a probe of which no more is known than a name.

    Raises:
        NameTakenError: another has its name.
    """
    return identify(warehouse, entry, location="imported", images=0, is_imported=True)
