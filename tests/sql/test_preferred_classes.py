"""Which classes of images units prefer, on the small warehouse; every answer is worked out by hand.

Images 1 and 2 are labelled a, images 3 and 4 b. Activations for images 1 to 4, and their ranks:

    alpha early  0: 1 2 3 3 -> 1, 2, 3.5, 3.5      1: 4 3 2 1 -> 4, 3, 2, 1      2 is dead
    alpha late   0: 1 0 0 0 -> 4, 2, 2, 2          and so on, each unit with another image
    beta head    1 is not finite
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import small_warehouse

from neuronlake import NeuronlakeError
from neuronlake.sql.warehouse import Warehouse


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    with small_warehouse.build(tmp_path / "small.duckdb") as built:
        yield built


def preferred(warehouse: Warehouse, model: str, layer: str, columns: str) -> list[tuple[Any, ...]]:
    return warehouse.sql(
        f"select {columns} from preferred_classes where model = $model and layer = $layer order by unit, rank",
        model=model,
        layer=layer,
    ).fetchall()


def test_images_of_equal_activation_share_the_mean_of_their_places(warehouse: Warehouse) -> None:
    found = warehouse.sql(
        "select unit, list(activation_rank order by image_id) as ranks from activation_ranks"
        " where model = 'alpha' and layer = 'early' group by unit order by unit"
    )
    assert found.fetchall() == [(0, [1, 2, 3.5, 3.5]), (1, [4, 3, 2, 1])]


def test_a_class_is_preferred_by_the_pairs_that_it_wins(warehouse: Warehouse) -> None:
    columns = "unit, rank, label, images, mean_activation, others_mean, auc, selectivity"
    assert preferred(warehouse, "alpha", "early", columns) == [
        (0, 1, "b", 2, 3, 1.5, 1, pytest.approx(1.5 / 4.5)),
        (0, 2, "a", 2, 1.5, 3, 0, pytest.approx(-1.5 / 4.5)),
        (1, 1, "a", 2, 3.5, 1.5, 1, 2 / 5),
        (1, 2, "b", 2, 1.5, 3.5, 0, -2 / 5),
    ]
    # image 1 wins its two pairs, image 2 ties both
    late = preferred(warehouse, "alpha", "late", "unit, label, auc, selectivity")
    assert late[:2] == [(0, "a", 0.75, 1), (0, "b", 0.25, -1)]
    # equal AUC and selectivity: alphabetical
    warehouse.execute("update store.activations set activation = 1 where layer_id = 2 and unit = 0")
    assert preferred(warehouse, "alpha", "late", "unit, label, auc, selectivity")[:2] == [
        (0, "a", 0.5, 0),
        (0, "b", 0.5, 0),
    ]


def test_units_that_are_not_live_prefer_nothing(warehouse: Warehouse) -> None:
    assert {row[0] for row in preferred(warehouse, "beta", "head", "unit")} == {0, 2}


def test_unlabelled_images_are_others_and_a_label_of_one_image_says_nothing(warehouse: Warehouse) -> None:
    """Of unit 1 (4 3 2 1) images 1 and 2 win all pairs with 3, which has no label, and 4, whose label is alone."""
    warehouse.execute("update store.images set label = null where image_id = 3")
    columns = "unit, label, others_mean, auc"
    assert preferred(warehouse, "alpha", "early", columns)[-1] == (1, "a", 1.5, 1)
    assert {row[1] for row in preferred(warehouse, "alpha", "early", columns)} == {"a"}
    warehouse.execute("update store.images set label = 'all'")
    assert preferred(warehouse, "alpha", "early", columns) == []


def test_classes_are_cut_from_paths(warehouse: Warehouse) -> None:
    """a/one.png and b/three.png end in e: of unit 0 (1 2 3 3) image 1 wins no pair, image 3 one and a tie."""
    asked = {"model": "alpha", "layer": "early", "pattern": r"(e)\.png$"}
    columns = ["unit", "rank", "class", "images", "mean_activation", "others_mean", "auc"]
    found = warehouse.query("classes_by_path", **asked).pl().select(columns)
    assert found.rows() == [(0, 1, "e", 2, 2, 2.5, 1.5 / 4), (1, 1, "e", 2, 3, 2, 3 / 4)]
    by_folder = {"model": "alpha", "layer": "early", "pattern": r"^(\w)/", "probe": "photos", "top": "2"}
    classes = warehouse.query("classes_by_path", **by_folder).pl()
    labels = preferred(warehouse, "alpha", "early", "unit, rank, label, images, auc, selectivity")
    assert classes.select("unit", "rank", "class", "images", "auc", "selectivity").rows() == labels
    assert warehouse.query("classes_by_path", **by_folder | {"probe": "elsewhere"}).fetchall() == []
    with pytest.raises(NeuronlakeError, match="pattern"):
        warehouse.query("classes_by_path", model="alpha", layer="early")


def test_auc_is_the_share_of_pairs_in_order_for_random_activations(warehouse: Warehouse) -> None:
    """Counted pair by pair, for 200 images of five labels and activations with many ties."""
    generator = np.random.default_rng(0)
    labels, activations = generator.integers(0, 5, 200), generator.integers(0, 30, 200)
    numbers = np.arange(1000, 1200)
    warehouse.execute("insert into store.probes values (2, 'many', 'many', '/many', 200, 200, false)")
    images = pl.DataFrame(
        {"image_id": numbers, "path": [f"{number}.png" for number in numbers], "label": [f"c{n}" for n in labels]}
    )
    warehouse.insert("images", images.with_columns(sha256=pl.col("path")), probe_id=2)
    warehouse.insert("activations", pl.DataFrame({"image_id": numbers, "activation": activations}), layer_id=1, unit=0)
    warehouse.execute("insert into store.units values (1, 2, 0, 'live', 0, 0, 0)")
    found = warehouse.sql("select label, auc from preferred_classes where probe = 'many' and unit = 0").fetchall()
    assert len(found) == 5
    for label, auc in found:
        inside = labels == int(label[1:])
        pairs = activations[inside][:, None] - activations[~inside][None, :]
        assert auc == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
