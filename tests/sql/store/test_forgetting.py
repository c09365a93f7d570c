"""What is deleted takes with it all that says something of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import small_masks

from neuronlake.sql.store import layers, scorings, uneven
from neuronlake.sql.store.concepts import register_concept_set
from neuronlake.sql.store.names import Entry, NameTakenError
from neuronlake.sql.store.probes import StoredProbe
from neuronlake.sql.verify import verify
from neuronlake.sql.warehouse import Warehouse

PHOTOS = StoredProbe(probe_id=1, first_image_id=1, last_image_id=5, chunk_images=2)
OF_DISSECTIONS = ("dissections", "dissected_chunks", "tails", "thresholds", "active_regions", "outlines")


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    with small_masks.build(tmp_path / "w.duckdb") as opened:
        yield opened


def dissections_in(warehouse: Warehouse, table: str) -> list[int]:
    """Of which a table has rows."""
    return (
        warehouse.sql(f"select distinct dissection_id from store.{table} order by all").pl()["dissection_id"].to_list()
    )


def test_labels_take_what_they_had_in_common_with_concepts(warehouse: Warehouse) -> None:
    scorings.forget_labels(warehouse, 9, "another", 1)
    assert warehouse.sql("select distinct scoring_id from store.intersections").fetchall() == [(10,)]


def test_a_layer_that_is_made_anew_takes_its_dissections_and_no_other_layers(warehouse: Warehouse) -> None:
    warehouse.execute("insert into store.tails values (1, 0, [0.5]), (2, 0, [0.5])")
    warehouse.execute("update store.chunks set images = 1 where chunk = 1 and layer_id = 2")
    assert uneven.forget_uneven(warehouse, PHOTOS, {2}, encoder_id=1) == [(2, 1)]
    assert all(dissections_in(warehouse, table) == [2] for table in OF_DISSECTIONS)
    assert warehouse.sql("select distinct scoring_id from store.intersections").fetchall() == [(10,)]
    assert verify(warehouse) == []


@pytest.mark.parametrize(("layer_a", "layer_b"), [(2, 3), (3, 2)])
def test_a_layer_that_is_made_anew_takes_its_comparisons_and_no_others(
    warehouse: Warehouse, layer_a: int, layer_b: int
) -> None:
    units = pl.DataFrame({"side": ["a"], "unit": [0]})
    layers.insert_comparison(warehouse, layers.Comparison(1, layer_a, layer_b, 1, 4, is_by_number=False), units)
    layers.insert_comparison(warehouse, layers.Comparison(1, 3, 4, 1, 4, is_by_number=False), units)
    warehouse.execute("update store.chunks set images = 1 where chunk = 1 and layer_id = 2")
    uneven.forget_uneven(warehouse, PHOTOS, {2}, encoder_id=1)
    assert warehouse.sql("select layer_a_id, layer_b_id from store.comparisons").fetchall() == [(3, 4)]
    assert warehouse.sql("select comparison_id from store.closest_units").fetchall() == [(2,)]


def test_an_encoder_that_is_made_anew_leaves_what_no_embedding_was_needed_for(warehouse: Warehouse) -> None:
    warehouse.execute("update store.chunks set images = 1 where chunk = 1 and encoder_id = 1")
    assert uneven.forget_uneven(warehouse, PHOTOS, {2}, encoder_id=1) == [(None, 1)]
    assert dissections_in(warehouse, "dissections") == [1, 2]
    assert warehouse.sql("select scoring_id from store.scorings order by 1").fetchall() == [(9,), (10,)]


def test_masks_that_a_layer_was_held_against_keep_their_name_before_anything_is_labelled(warehouse: Warehouse) -> None:
    """As after a run that was killed between its passes."""
    for table in ("scorings", "labels", "label_terms", "similarities", "intersections"):
        warehouse.execute(f"delete from store.{table} where scoring_id > 8")
    other = Entry(
        "concept_sets", "masks of photos", "other masks", "masks of photos", lambda new: f"--masks {new}=FOLDER"
    )
    with pytest.raises(NameTakenError, match="other concepts; give this one its own: --masks masks-of-photos-2=FOLDER"):
        register_concept_set(warehouse, other)


def test_contents_count_the_dissections_that_are_done(warehouse: Warehouse) -> None:
    warehouse.execute("delete from store.dissected_chunks where dissection_id = 2 and pass = 'regions' and chunk = 2")
    found = warehouse.query("contents").pl().select("model", "layer", "dissections").rows()
    assert found == [("alpha", "early", 0), ("alpha", "late", 1), ("beta", "early", 0), ("beta", "head", 0)]
