"""Which images are copied from another probe: those of which everything is stored, and nobody moves up unseen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from neuronlake.sql.opening import open_warehouse
from neuronlake.sql.store.chunks import Chunk, LayerValues, finish_layers, insert_chunk
from neuronlake.sql.store.images.reuse import Reused, find_reusable, mapped_layers
from neuronlake.sql.store.probes import StoredProbe
from neuronlake.sql.warehouse import Warehouse

# the small warehouse has images 1 to 4, and 5 that could not be read; a new probe has 11 to 14
NEW = 2
TOP = 2


@pytest.fixture
def warehouse(small_file: Path, tmp_path: Path) -> Iterator[Warehouse]:
    """The small warehouse, whose units keep two top images each with the places where they fire in layer 1."""
    with open_warehouse(shutil.copy(small_file, tmp_path / "w.duckdb"), write=True) as opened:
        opened.execute("delete from store.top_images where rank > 2")
        opened.execute("update store.top_images set peak_x = null, peak_y = null where layer_id <> 1")
        opened.execute("update store.top_images set peak_x = image_id / 8, peak_y = 0.5 where layer_id = 1")
        yield opened


def digest(warehouse: Warehouse, image_id: int) -> str:
    return warehouse.scalar("select sha256 from store.images where image_id = $id", id=image_id)


def found(warehouse: Warehouse, *images: int, layers: tuple[int, ...] = (1,), encoder: int | None = None) -> list[int]:
    """Of a new probe with the contents of these images, those that are copied."""
    digests = {10 + place: digest(warehouse, image) for place, image in enumerate(images)}
    return list(find_reusable(warehouse, digests, NEW, layers, encoder, TOP).sources.values())


def test_all_that_could_be_read_is_copied(warehouse: Warehouse) -> None:
    assert found(warehouse, 1, 2, 3, 4, 5) == [1, 2, 3, 4]
    assert found(warehouse, 1, 2, 3, 4, layers=(1, 2, 3, 4), encoder=1) == [1, 2, 3, 4]
    assert found(warehouse, 1, 2, 3, 4, layers=(), encoder=1) == [1, 2, 3, 4]
    assert find_reusable(warehouse, {10: "another"}, NEW, [1], None, TOP).sources == {}


def test_images_are_not_copied_that_would_come_to_the_top_without_a_place(warehouse: Warehouse) -> None:
    """In layer 1 the units have (1 2 3 3), (4 3 2 1) and (0 0 0 0): the top are 3 4, 1 2 and, as they tie, 1 2."""
    # without 2 the second unit's top are 1 3 and the third's are 1 3: of these two units 3 is new
    assert found(warehouse, 1, 3, 4) == [1, 4]
    # without 4 the first unit's are 3 2, of which 2 is new
    assert found(warehouse, 1, 2, 3) == [1, 3]
    # in another order the third unit has 4 3
    assert found(warehouse, 4, 3, 2, 1) == [2, 1]
    # where there is no place to be known, nobody needs to look
    assert found(warehouse, 1, 3, 4, layers=(2,)) == [1, 3, 4]


@pytest.mark.parametrize(
    "change",
    [
        "update store.layers set is_imported = true where layer_id = 1",
        "delete from store.units where layer_id = 1",
        "update store.chunks set images = 1 where layer_id = 1 and chunk = 0",
        "delete from store.chunks where layer_id = 1 and chunk = 0",
        "delete from store.thumbnails",
        "delete from store.image_embeddings where encoder_id = 1",
    ],
)
def test_nothing_is_copied_of_which_something_is_lacking(warehouse: Warehouse, change: str) -> None:
    warehouse.execute(change)
    assert found(warehouse, 1, 2, 3, 4, encoder=1) == []


def test_another_layer_lacks_all(warehouse: Warehouse) -> None:
    assert found(warehouse, 1, 2, 3, 4, layers=(1, 99)) == []


def test_a_chunk_of_copied_and_new_images_is_stored_as_any_other(warehouse: Warehouse) -> None:
    """A new image 11 before 1 and 2, which become 12 and 13, and 3 and 4, which become 14 and 15."""
    warehouse.execute(
        "insert into store.probes (probe_id, name, fingerprint, location, images, chunk_images, is_imported)"
        " values (2, 'new', 'new', 'new', 5, 5, false)"
    )
    warehouse.execute(
        "insert into store.images (image_id, probe_id, path, sha256)"
        " select image_id + 11, 2, path, sha256 from store.images where image_id < 5"
        " union all select 11, 2, 'a new one', 'new'"
    )
    sources = {12: 1, 13: 2, 14: 3, 15: 4}
    reused = Reused(sources, mapped_layers(warehouse, [1]), TOP)
    made = LayerValues(
        np.array([[3, 5, 0]], dtype=np.float32), np.array([[0], [0], [0]]), np.full((3, 1, 2), 0.25, np.float32)
    )
    insert_chunk(warehouse, Chunk(NEW, 0, 1, np.array([11], dtype=np.int32), {1: made}, reused=reused))
    finish_layers(warehouse, StoredProbe(NEW, 11, 15, 5), [1], TOP)
    stored = "select unit, image_id, activation from store.activations where layer_id = 1 and image_id > 10"
    assert warehouse.sql(stored).fetchall() == [
        *((0, 11, 3), (0, 12, 1), (0, 13, 2), (0, 14, 3), (0, 15, 3)),
        *((1, 11, 5), (1, 12, 4), (1, 13, 3), (1, 14, 2), (1, 15, 1)),
        *((2, 11, 0), (2, 12, 0), (2, 13, 0), (2, 14, 0), (2, 15, 0)),
    ]
    top = "select unit, rank, image_id, peak_x from store.top_images where probe_id = 2 order by all"
    assert warehouse.sql(top).fetchall() == [
        *((0, 1, 11, 0.25), (0, 2, 14, 0.375)),
        *((1, 1, 11, 0.25), (1, 2, 12, 0.125)),
        *((2, 1, 11, 0.25), (2, 2, 12, 0.125)),
    ]
    chunk = "select images, layer_id from store.chunks where probe_id = 2"
    assert warehouse.sql(chunk).fetchall() == [(5, 1)]
