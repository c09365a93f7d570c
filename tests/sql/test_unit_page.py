"""What a unit's page and the app ask: hand-computed on the small warehouse, and on a unit with a thousand images."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import neuronlake
from neuronlake.sql.warehouse import Warehouse

EARLY = {"model": "alpha", "layer": "early"}
LATE = {"model": "alpha", "layer": "late"}


@pytest.fixture
def warehouse(small_file: Path) -> Iterator[Warehouse]:
    with neuronlake.open(small_file, write=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def thousand(small_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """Unit 0 of a layer `wide` of alpha, whose activation of image n of a probe `many` is n, from 1 to 1,000."""
    path = Path(shutil.copy(small_file, tmp_path_factory.mktemp("thousand") / "w.duckdb"))
    with neuronlake.open(path, write=True) as opened:
        opened.execute("insert into store.layers values (9, 1, 'wide', 'wide', 9, 1, 'mean', null, 'float32', false)")
        opened.execute("insert into store.probes values (9, 'many', 'many', '/many', 1000, 1000, false)")
        opened.execute(
            "insert into store.images select 100 + n, 9, n || '.png', n % 10, '', null, null"
            " from range(1, 1001) as r (n)"
        )
        opened.execute("insert into store.activations select 9, 0, 100 + n, n from range(1, 1001) as r (n)")
        yield opened


def rows(warehouse: Warehouse, query: str, columns: str, **parameters: str) -> list[tuple[Any, ...]]:
    frame = warehouse.query(query, **parameters).pl()
    return frame.select(columns.split(", ")).rows()


def test_a_histogram_counts_every_image_once_and_the_highest_in_the_last_bar(warehouse: Warehouse) -> None:
    """Unit 0 has 1, 2, 3 and 3."""
    asked = {**EARLY, "unit": "0", "bars": "2"}
    columns = "from_activation, to_activation, images"
    assert rows(warehouse, "activation_histogram", columns, **asked) == [(1, 2, 1), (2, 3, 3)]
    assert rows(warehouse, "activation_histogram", "images", **{**asked, "bars": "4"}) == [(1,), (0,), (1,), (2,)]


def test_the_histogram_of_a_dead_unit_has_all_images_in_one_bar(warehouse: Warehouse) -> None:
    counted = rows(warehouse, "activation_histogram", "images", **EARLY, unit="2", bars="3")
    assert counted == [(4,), (0,), (0,)]


def test_activations_that_are_not_finite_are_in_no_bar(warehouse: Warehouse) -> None:
    counted = rows(warehouse, "activation_histogram", "images", model="beta", layer="head", unit="1", bars="2")
    assert sum(images for (images,) in counted) == 3


def test_each_band_reaches_as_many_times_further_down_as_the_one_before(thousand: Warehouse) -> None:
    """From 10 to 1,000 in four steps of the fourth root of 100: 31.6, 100, 316.2."""
    asked = {"model": "alpha", "layer": "wide", "unit": "0", "top": "10", "images": "3"}
    found = rows(thousand, "images_in_bands", "band, rank, first_rank, last_rank, highest, lowest, image", **asked)
    bands = sorted({(band, first, last, high, low) for band, _, first, last, high, low, _ in found})
    assert bands == [(1, 11, 31, 990, 970), (2, 32, 100, 969, 901), (3, 101, 316, 900, 685), (4, 317, 1000, 684, 1)]
    # the middles of the thirds of 21 images
    assert [(rank, image) for band, rank, *_, image in found if band == 1] == [
        (14, "987.png"),
        (21, "980.png"),
        (28, "973.png"),
    ]
    assert len(found) == 12


def test_all_images_of_a_band_with_few_are_shown(thousand: Warehouse) -> None:
    asked = {"model": "alpha", "layer": "wide", "unit": "0", "top": "990", "images": "9"}
    ranks = [rank for (rank,) in rows(thousand, "images_in_bands", "rank", **asked)]
    assert ranks == list(range(991, 1001))


def test_images_no_more_than_the_top_leave_nothing_below_it(warehouse: Warehouse) -> None:
    assert rows(warehouse, "images_in_bands", "rank", **EARLY, unit="0", top="4") == []
    assert rows(warehouse, "images_in_bands", "rank", **EARLY, unit="0", top="20") == []


def test_labels_of_images_come_by_mean_activation_with_its_standard_error(warehouse: Warehouse) -> None:
    """Folder a has 1 and 2, folder b 3 and 3."""
    columns = "label, images, mean_activation, standard_error"
    found = rows(warehouse, "labels_a_unit_prefers", columns, **EARLY, unit="0")
    assert found == [("b", 2, 3, 0), ("a", 2, 1.5, pytest.approx(0.5))]


def test_a_label_of_one_image_has_no_mean(thousand: Warehouse) -> None:
    thousand.execute("begin")
    thousand.execute("update store.images set label = 'once' where path = '1000.png'")
    asked = {"model": "alpha", "layer": "wide", "unit": "0", "top": "20"}
    assert "once" not in dict(rows(thousand, "labels_a_unit_prefers", "label, images", **asked))
    thousand.execute("rollback")


def test_the_nearest_unit_is_the_one_whose_activations_correlate_most(warehouse: Warehouse) -> None:
    """Unit 0 of alpha late and unit 0 of beta head both fire for the first image alone."""
    columns = "model, layer, unit, correlation, shared_images"
    found = rows(warehouse, "nearest_units", columns, **LATE, unit="0", setting="1")
    assert found[0] == ("beta", "head", 0, pytest.approx(1.0), 1)
    # [4, 3, 2, 1] against [1, 0, 0, 0]: 1.5 / sqrt(5 * 0.75)
    assert found[1] == ("alpha", "early", 1, pytest.approx(1.5 / (5 * 0.75) ** 0.5), 1)
    assert ("alpha", "late", 0) not in {row[:3] for row in found}


def test_units_of_a_layer_tell_how_rarely_they_fire(warehouse: Warehouse) -> None:
    """Half way from mean to highest is 2.625 of [1, 2, 3, 3] and 3.25 of [4, 3, 2, 1]."""
    columns = "unit, concept, active_share, mean_activation, highest_activation, status"
    assert rows(warehouse, "units_of_layer", columns, **EARLY, setting="1") == [
        (0, "dotted", 0.5, 2.25, 3, "live"),
        (1, "dotted", 0.25, 2.5, 4, "live"),
        (2, None, None, None, None, "dead"),
    ]


def test_the_layer_with_most_labels_that_hold_comes_first_with_its_surest_unit(warehouse: Warehouse) -> None:
    found = rows(warehouse, "best_labelled_units", "model, layer, unit, held", setting="5")
    assert found == [("alpha", "late", 0, 3), ("beta", "head", 2, 1)]


def test_images_are_found_by_path_or_label_whatever_the_case(warehouse: Warehouse) -> None:
    assert rows(warehouse, "images_by_name", "image", text="THREE") == [("b/three.png",)]
    assert rows(warehouse, "images_by_name", "image", text="a/") == [("a/one.png",), ("a/two.png",)]
    # one that cannot be read excites nothing
    assert len(rows(warehouse, "images_by_name", "image")) == 4


def test_the_images_that_excite_a_layer_are_those_above_the_mean(warehouse: Warehouse) -> None:
    found = rows(warehouse, "top_images_of_layer", "unit, image_id", **EARLY, setting="1")
    assert found == [(0, 3), (0, 4), (1, 1), (1, 2)]
    embedded = rows(warehouse, "embeddings_of_top_images", "image_id, embedding", **EARLY, setting="1")
    assert [number for number, _ in embedded] == [1, 2, 3, 4]
    assert embedded[1][1] == [0, 1, 0]
