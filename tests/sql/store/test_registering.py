"""What is registered: each thing once, and what is no more than a name gives way in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import polars as pl
import pytest

from neuronlake.sql import catalog
from neuronlake.sql.opening import open_warehouse
from neuronlake.sql.store import chunks, concepts, encoders, layers, probes
from neuronlake.sql.store.chunks import Chunk
from neuronlake.sql.store.layers import Layer
from neuronlake.sql.store.names import Entry, NameTakenError
from neuronlake.sql.store.probes import StoredProbe
from neuronlake.sql.warehouse import Warehouse

LAYER = Layer(1, "fc", "fc of net", position=3, units=2, receptive_field=None)


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    with open_warehouse(tmp_path / "w.duckdb", write=True) as opened:
        yield opened


def entry(table: str, name: str, fingerprint: str) -> Entry:
    return Entry(table, name, fingerprint, name, lambda new: f"--other {new}")


def images(*digests: str | None) -> pl.DataFrame:
    paths = [f"{place}.png" for place in range(len(digests))]
    columns = {"path": paths, "label": None, "sha256": digests, "part": None}
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


def register_photos(warehouse: Warehouse, *digests: str | None) -> StoredProbe:
    photos = entry("probes", "photos", repr(digests))
    return probes.register_probe(warehouse, photos, "/photos", images(*digests), 64, is_imported=False)


def rows(warehouse: Warehouse, select: str) -> list[tuple[object, ...]]:
    return warehouse.sql(select).fetchall()


def test_a_probe_of_which_nothing_was_computed_gives_way_with_its_images(warehouse: Warehouse) -> None:
    assert register_photos(warehouse, "a", "b") == StoredProbe(1, 1, 2, 64)
    assert register_photos(warehouse, "a", "b", None) == StoredProbe(1, 1, 3, 64)
    assert rows(warehouse, "select image_id, probe_id, sha256 from store.images order by image_id") == [
        (1, 1, "a"),
        (2, 1, "b"),
        (3, 1, None),
    ]
    assert rows(warehouse, "select name, images from store.probes") == [("photos", 3)]


def test_a_probe_that_was_looked_at_keeps_its_name(warehouse: Warehouse) -> None:
    stored = register_photos(warehouse, "a")
    nothing = pl.Series(dtype=pl.Int32).to_numpy()
    chunks.insert_chunk(warehouse, Chunk(stored.probe_id, 0, 1, nothing, {1: None}))
    with pytest.raises(NameTakenError, match=r"'photos' is taken .* by other images or labels; .* --other photos-2$"):
        register_photos(warehouse, "b")
    assert register_photos(warehouse, "a") == stored
    assert rows(warehouse, "select * from store.chunks") == [(1, 0, 1, None, 1, 0)]


def test_of_an_imported_encoder_no_dimensions_need_be_known(warehouse: Warehouse) -> None:
    clip = entry("encoders", "clip (imported)", "imported:clip")
    assert encoders.register_encoder(warehouse, clip, "imported", "imported", "float32") == 1
    assert rows(warehouse, "select dimensions, source_kind from store.encoders") == [(None, "imported")]
    # imported things are more than a name
    with pytest.raises(NameTakenError, match="another encoder"):
        encoders.register_encoder(warehouse, replace(clip, fingerprint="mine"), "mine", "weights", "float32", 512)


def test_concepts_join_a_set_behind_those_in_it(warehouse: Warehouse) -> None:
    words = entry("concept_sets", "words (imported)", "imported:words")
    concept_set_id = concepts.register_concept_set(warehouse, words)
    for texts in (["dog", "sky"], ["sky", "red"]):
        numbers = concepts.register_concepts(warehouse, texts)
        members = pl.DataFrame({"concept_id": numbers, "category": "none"}, schema_overrides={"concept_id": pl.Int32})
        concepts.add_members(warehouse, concept_set_id, members)
    assert rows(warehouse, "select position, concept_id from store.concept_set_concepts order by position") == [
        (0, 1),
        (1, 2),
        (2, 3),
    ]
    assert rows(warehouse, "select concepts from store.concept_sets") == [(3,)]


def test_a_layer_takes_over_the_one_that_labels_were_imported_for(warehouse: Warehouse) -> None:
    imported = Layer(1, "fc", "imported:net:fc", position=0, units=1, is_imported=True)
    assert layers.register_layer(warehouse, imported) == (1, "imported:net:fc")
    for _ in range(2):
        assert layers.register_layer(warehouse, LAYER) == (1, "imported:net:fc")
    assert layers.layer_of_name(warehouse, 1, "fc") == (1, replace(imported, position=3, units=2))


def test_a_layer_of_which_nothing_was_computed_gives_way_to_another_of_its_name(warehouse: Warehouse) -> None:
    layers.register_layer(warehouse, LAYER)
    other = replace(LAYER, fingerprint="other directions", units=5)
    assert layers.register_layer(warehouse, other) == (1, "other directions")
    assert layers.layer_of_fingerprint(warehouse, LAYER.fingerprint) is None
    assert layers.layer_of_name(warehouse, 1, "fc") == (1, other)


def test_a_probe_whose_images_a_killed_run_of_version_0_1_took_is_gone_once_its_warehouse_is_migrated(
    tmp_path: Path,
) -> None:
    """That version emptied what was to give way in a transaction of its own."""
    with duckdb.connect(tmp_path / "old.duckdb") as old:
        for number, script in catalog.migrations()[:4]:
            old.execute(script)
            old.execute("insert into store.migrations values (?, timestamp '2026-01-01')", [number])
        old.execute("insert into store.probes values (1, 'photos', 'a', '/photos', 0, 64)")
        old.execute("insert into store.probes values (2, 'broden (imported)', 'imported:broden', 'imported', 0, 1)")
    with open_warehouse(tmp_path / "old.duckdb", write=True) as warehouse:
        assert rows(warehouse, "select name, is_imported from store.probes") == [("broden (imported)", True)]
