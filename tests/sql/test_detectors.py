"""Labels by masks in the views and queries; `small_masks.py` has them in words, and every answer by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import small_masks

from neuronlake.sql.verify import verify
from neuronlake.sql.warehouse import Warehouse


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with small_masks.build(tmp_path_factory.mktemp("masks") / "masks.duckdb") as built:
        yield built


@pytest.fixture
def changed(tmp_path: Path) -> Iterator[Warehouse]:
    """The same, for a test to change."""
    with small_masks.build(tmp_path / "w.duckdb") as built:
        yield built


def select(warehouse: Warehouse, query: str) -> list[tuple[Any, ...]]:
    return warehouse.sql(query).fetchall()


def ask(warehouse: Warehouse, name: str, columns: str, **parameters: str) -> list[tuple[Any, ...]]:
    return warehouse.query(name, **parameters).pl().select(columns.split(", ")).rows()


def test_a_detector_is_a_label_whose_share_is_above_the_scorings_own(warehouse: Warehouse) -> None:
    """Unit 1 of alpha late, with 10 of 250, is none: it has 0.04 and no more."""
    assert select(
        warehouse,
        "select scoring, setting, model, layer, position, unit, concept, category, iou, explanation, threshold,"
        " intersection_pixels, union_pixels, method, concept_set, probe from detectors order by scoring, unit",
    ) == [
        (scoring, 9, *layer, *label, 0.5, *pixels, "network_dissection", "masks of photos", "photos")
        for scoring, layer, label, pixels in [
            (9, ("alpha", "late", 5, 0), ("dog", "object", 0.2, "dog"), (20, 100)),
            (9, ("alpha", "late", 5, 2), ("kitchen (scene)", "scene", 0.25, "kitchen (scene)"), (50, 200)),
            (10, ("beta", "head", 9, 0), ("dog", "object", 0.3, "(dog or cat) and not dotted"), (30, 100)),
            (10, ("beta", "head", 9, 2), ("kitchen", "object", 0.25, "kitchen"), (30, 120)),
        ]
    ]


@pytest.mark.parametrize(
    ("parameters", "units"), [("{}", [0, 2]), ('{"iou": 0.0399}', [0, 1, 2]), ('{"iou": 0.2}', [2])]
)
def test_another_share_makes_other_detectors(changed: Warehouse, parameters: str, units: list[int]) -> None:
    changed.execute("update store.scorings set parameters = $parameters where scoring_id = 9", parameters=parameters)
    found = select(changed, "select unit from detectors where scoring = 9 order by unit")
    assert [unit for (unit,) in found] == units


def test_the_bars_of_network_dissection(changed: Warehouse) -> None:
    """A second detector of dog is not unique; kitchen the scene and kitchen the object are two."""
    changed.execute(
        "update store.label_terms set concept_id = 7 where scoring_id = 10 and unit = 0 and position = 0;"
        " update store.labels set union_pixels = 100 where scoring_id = 9 and unit = 1"
    )
    columns = "model, layer, position, category, units, detectors, unique_detectors, layer_units, least_iou"
    assert select(changed, f"select {columns} from detector_summary order by position, category") == [
        ("alpha", "late", 5, "object", 1, 1, 1, 4, 0.04),
        ("alpha", "late", 5, "scene", 1, 1, 1, 4, 0.04),
        ("alpha", "late", 5, "texture", 1, 1, 1, 4, 0.04),
        ("beta", "head", 9, "object", 2, 2, 1, 3, 0.04),
    ]
    columns = "model, layer, position, units, detectors, unique_detectors, least_iou"
    assert ask(changed, "unique_detectors", columns, setting="9") == [
        ("alpha", "late", 5, 4, 3, 3, 0.04),
        ("beta", "head", 9, 3, 2, 1, 0.04),
    ]


def test_a_layer_without_a_detector_has_bars_of_none(warehouse: Warehouse) -> None:
    texture = "select units, detectors, unique_detectors from detector_summary where category = 'texture'"
    assert select(warehouse, texture) == [(1, 0, 0)]
    # no detectors are known of labels that have no pixels
    assert ask(warehouse, "unique_detectors", "model", setting="1") == []


def test_unique_detectors_are_of_the_newest_setting_where_none_is_chosen(warehouse: Warehouse) -> None:
    assert ask(warehouse, "unique_detectors", "layer, detectors, unique_detectors") == [("late", 2, 2), ("head", 2, 2)]
    by_method = warehouse.query("unique_detectors", setting="network_dissection")
    assert [row[1] for row in by_method.fetchall()] == ["late", "head"]


def test_every_category_that_a_unit_meets_has_its_best_concept(warehouse: Warehouse) -> None:
    """Of dog and kitchen, which unit 2 meets alike, dog is the first of the set."""
    columns = "unit, category, concept, iou, intersection_pixels, union_pixels"
    assert select(warehouse, f"select {columns} from category_labels where scoring = 9 order by unit, category") == [
        (0, "object", "dog", 0.2, 20, 100),
        (0, "texture", "dotted", 0.025, 5, 200),
        (1, "texture", "dotted", 0.04, 10, 250),
        (2, "object", "dog", 0.1, 10, 100),
        (2, "scene", "kitchen (scene)", 0.25, 50, 200),
    ]


@pytest.mark.parametrize(
    ("operators", "text"),
    [
        (("or",), "dog or cat"),
        (("and not",), "dog and not cat"),
        (("or", "or"), "dog or cat or dotted"),
        (("and", "and not"), "dog and cat and not dotted"),
        (("or", "and not"), "(dog or cat) and not dotted"),
        (("and", "or"), "(dog and cat) or dotted"),
        (("or", "and", "or"), "((dog or cat) and dotted) or kitchen"),
        (("or", "or", "and", "and not"), "(dog or cat or dotted) and kitchen and not kitchen (scene)"),
    ],
)
def test_a_formula_is_read_from_the_left_with_parentheses_where_or_meets_and(
    changed: Warehouse, operators: tuple[str, ...], text: str
) -> None:
    changed.execute("delete from store.label_terms where scoring_id = 10 and unit = 0")
    for position, (concept, operator) in enumerate(zip([1, 2, 3, 7, 8], [None, *operators], strict=False)):
        changed.execute(
            "insert into store.label_terms values (10, 0, $position, $concept, 1, $operator)",
            position=position,
            concept=concept,
            operator=operator,
        )
    where = "where scoring = 10 and unit = 0"
    assert select(changed, f"select concept, explanation from unit_labels {where}") == [("dog", text)]
    terms = select(changed, f"select term, operator from unit_terms {where} order by position limit 2")
    assert terms == [("dog", None), (f"{operators[0]} cat", operators[0])]
    assert verify(changed) == []


def test_threshold_and_pixels_stand_with_the_label(warehouse: Warehouse) -> None:
    columns = "threshold, intersection_pixels, union_pixels"
    assert select(warehouse, f"select unit, {columns} from unit_labels where scoring = 9 order by unit") == [
        (0, 0.5, 20, 100),
        (1, 0.5, 10, 250),
        (2, 0.5, 50, 200),
        (3, 0.5, None, None),
    ]
    assert select(warehouse, f"select distinct {columns} from unit_labels where setting < 9") == [(None, None, None)]


def test_outlines_are_those_of_the_newest_dissection_that_has_any(changed: Warehouse) -> None:
    drawn = "select layer, unit, probe, image_id, outline from outlines where model = 'alpha' order by unit"
    assert select(changed, drawn) == [
        ("late", 0, "photos", 1, "M0 0H50V50H0Z"),
        ("late", 1, "photos", 2, "M10 10H20V20H10Z"),
    ]
    changed.execute("insert into store.dissections values (3, 2, 1, 3, 0.01), (4, 2, 1, 3, 0.02)")
    changed.execute("insert into store.outlines values (3, 0, 2, 'M0 0H9V9H0Z')")
    assert select(changed, drawn) == [("late", 0, "photos", 2, "M0 0H9V9H0Z")]
