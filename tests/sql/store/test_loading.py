"""What is computed: chunks, the state of units, failures, labels and runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from neuronlake.sql.opening import open_warehouse
from neuronlake.sql.store import chunks, runs, scorings, uneven
from neuronlake.sql.store.chunks import Chunk, LayerValues
from neuronlake.sql.store.images import pictures
from neuronlake.sql.store.probes import StoredProbe
from neuronlake.sql.store.scorings import ScoringRow
from neuronlake.sql.warehouse import Warehouse

PROBE = StoredProbe(probe_id=1, first_image_id=1, last_image_id=3, chunk_images=2)
FIRST = np.array([[1.0, 7.0], [3.0, np.inf]], dtype=np.float32)
SECOND = np.array([[2.0, 5.0]], dtype=np.float32)


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    with open_warehouse(tmp_path / "w.duckdb", write=True) as opened:
        yield opened


def rows(warehouse: Warehouse, select: str) -> list[tuple[object, ...]]:
    return warehouse.sql(select).fetchall()


def load_layer(warehouse: Warehouse) -> None:
    """Layer 1 over three images in two chunks, of which unit 0 fires highest for the second image."""
    peaks = np.array([[[0.5, 0.25], [0, 0]], [[0.1, 0.2], [0, 0]]], dtype=np.float32)
    first = LayerValues(FIRST, np.array([[1, 0], [0, 1]]), peaks)
    second = LayerValues(SECOND, np.array([[0], [0]]))
    chunks.insert_chunk(warehouse, Chunk(1, 0, 7, np.array([1, 2], dtype=np.int32), {1: first}))
    chunks.insert_chunk(warehouse, Chunk(1, 1, 7, np.array([3], dtype=np.int32), {1: second}))


def test_chunks_become_rows_and_then_the_state_and_top_images_of_units(warehouse: Warehouse) -> None:
    load_layer(warehouse)
    assert rows(warehouse, "select unit, image_id, activation from store.activations order by all") == [
        *((0, 1, 1.0), (0, 2, 3.0), (0, 3, 2.0)),
        *((1, 1, 7.0), (1, 2, None), (1, 3, 5.0)),
    ]
    assert chunks.loaded_parts(warehouse, 1).layers == {(0, 1), (1, 1)}
    for _ in range(2):
        chunks.finish_layers(warehouse, PROBE, [1], top_images=2)
    assert rows(warehouse, "select unit, status, mean, maximum, not_finite from store.units order by unit") == [
        (0, "live", 2.0, 3.0, 0),
        (1, "not finite", 6.0, 7.0, 1),
    ]
    assert rows(warehouse, "select unit, rank, image_id, peak_x, peak_y from store.top_images order by all") == [
        *((0, 1, 2, 0.5, 0.25), (0, 2, 3, None, None)),
        *((1, 1, 1, pytest.approx(0.1), pytest.approx(0.2)), (1, 2, 3, None, None)),
    ]
    assert rows(warehouse, "select count(*) from store.top_candidates") == [(0,)]


def test_embeddings_are_recorded_also_where_no_image_could_be_read(warehouse: Warehouse) -> None:
    embeddings = np.array([[0, 0], [1, 0]], dtype=np.float32)
    nobody = np.array([], dtype=np.int32)
    chunks.insert_chunk(warehouse, Chunk(1, 0, 7, np.array([1, 2], dtype=np.int32), {}, 4, embeddings))
    chunks.insert_chunk(warehouse, Chunk(1, 1, 7, nobody, {}, 4))
    assert chunks.loaded_parts(warehouse, 1).encoders == {(0, 4), (1, 4)}
    assert chunks.undirected_images(warehouse, 4, PROBE) == 1
    assert rows(warehouse, "select * from store.chunks order by chunk") == [
        (1, 0, None, 4, 7, 2),
        (1, 1, None, 4, 7, 0),
    ]


def test_what_lacks_images_is_forgotten_with_its_scorings_and_nothing_else(warehouse: Warehouse) -> None:
    load_layer(warehouse)
    chunks.insert_chunk(warehouse, Chunk(1, 0, 7, np.array([1], dtype=np.int32), {}, 4, np.ones((1, 2), np.float32)))
    pictures.insert_failures(warehouse, {2: "cut short", 3: "gone"})
    pictures.insert_pictures(warehouse, pl.DataFrame({"image_id": [2], "width": 1, "height": 1, "webp": [b""]}))
    scoring = ScoringRow("s", 7, 1, 1, 4, 1, "clip_dissect", "soft_wpmi", units=2, images=1, kept_concepts=1)
    scorings.insert_scoring(warehouse, scoring)
    assert uneven.forget_uneven(warehouse, PROBE, {1}, encoder_id=5) == []
    assert uneven.forget_uneven(warehouse, PROBE, {1}, encoder_id=4) == [(None, 1)]
    counts = {
        table: warehouse.scalar(f"select count(*) from store.{table}")
        for table in ("activations", "image_embeddings", "chunks", "scorings")
    }
    assert counts == {"activations": 6, "image_embeddings": 0, "chunks": 2, "scorings": 0}
    assert rows(warehouse, "select image_id from store.failed_images") == [(3,)]


def test_a_scoring_needs_no_encoder_and_a_label_may_have_several_terms(warehouse: Warehouse) -> None:
    scoring = ScoringRow("s", 7, 1, 1, None, 1, "frequent", "frequent", units=2, images=3, prompts=None)
    scoring_id = scorings.insert_scoring(warehouse, scoring)
    of_units = pl.DataFrame({"unit": [0, 1], "similarity": [0.5, None]})
    terms = pl.DataFrame({"unit": 0, "position": [0, 1], "concept_id": [3, 8], "weight": [0.75, 0.25]})
    scorings.insert_labels(warehouse, scoring_id, of_units, terms)
    scorings.insert_similarities(warehouse, scoring_id, pl.DataFrame({"unit": 0, "concept_id": [3], "similarity": 0.5}))
    assert rows(warehouse, "select encoder_id, prompts, labeler from store.scorings") == [(None, None, "frequent")]
    assert rows(warehouse, "select unit, similarity from store.labels order by unit") == [(0, 0.5), (1, None)]
    assert rows(warehouse, "select position, concept_id, weight, operator from store.label_terms order by all") == [
        (0, 3, 0.75, None),
        (1, 8, 0.25, None),
    ]


def test_the_next_run_calls_a_killed_one_interrupted(warehouse: Warehouse) -> None:
    first = runs.start_run(warehouse, "ingest", "cpu", {"python": "3"}, '{"spool": "a"}')
    runs.count_images(warehouse, first, 3, 1)
    second = runs.start_run(warehouse, "ingest", "cpu", {}, '{"spool": "b"}')
    runs.finish_run(warehouse, second, "finished", extract_seconds=1, load_seconds=2, score_seconds=3)
    third = runs.record_import(warehouse, "import", "0.1", {"imported": "a.csv"})
    found = (
        "select run_id, status, images, failed_images, finished_at is null, score_seconds from store.runs order by all"
    )
    assert rows(warehouse, found) == [
        (first, "interrupted", 3, 1, True, 0),
        (second, "finished", 0, 0, False, 3),
        (third, "finished", 0, 0, False, 0),
    ]
    assert runs.recipes(warehouse) == [{"imported": "a.csv"}, {"spool": "a"}, {"spool": "b"}]
