"""Labels by masks in the views and queries; `small_masks.py` has them in words, and every answer by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import small_masks

from neuronlake.sql.store.scorings import Judgement, insert_judgement
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
    changed.execute("insert into store.dissections values (3, 2, 1, 3, 0.01, 4), (4, 2, 1, 3, 0.02, 4)")
    changed.execute("insert into store.outlines values (3, 0, 2, 'M0 0H9V9H0Z')")
    assert select(changed, drawn) == [("late", 0, "photos", 2, "M0 0H9V9H0Z")]


def as_clip_dissect(warehouse: Warehouse, concepts: dict[int, tuple[str, str]], labels: list[int]) -> None:
    """Scoring 11 of alpha late: labels of these concepts, with their categories, of a set of its own."""
    warehouse.execute("insert into store.concept_sets values (4, 'other words', 'other', $n, 0, 0)", n=len(concepts))
    for number, (concept, category) in concepts.items():
        warehouse.execute("insert or ignore into store.concepts values ($id, $text)", id=number, text=concept)
        member = "insert into store.concept_set_concepts values (4, $id, $id, $category, null)"
        warehouse.execute(member, id=number, category=category)
    warehouse.execute(
        "insert into store.scorings values (11, 'scoring 11', 2, 2, 1, 1, 4, 'clip_dissect', 'soft_wpmi', '{}', '',"
        " ['{}'], 4, 4, 0, 0, 0)"
    )
    for unit, concept in enumerate(labels):
        warehouse.execute("insert into store.labels (scoring_id, unit) values (11, $unit)", unit=unit)
        term = "insert into store.label_terms values (11, $unit, 0, $concept, 1, null)"
        warehouse.execute(term, unit=unit, concept=concept)


def agreement(warehouse: Warehouse, columns: str) -> list[tuple[Any, ...]]:
    found = warehouse.query("label_agreement").pl().filter(setting_a=9, setting_b=11)
    return found.select(columns.split(", ")).rows()


@pytest.mark.parametrize(
    ("concept", "category", "same"),
    [
        ("kitchen", "scene", True),
        ("kitchen (scene)", "scene", True),
        ("kitchen", "none", True),
        ("kitchen", "object", False),
        ("kitchen (object)", "object", False),
        ("kitchen (scene)", "none", True),
        ("scene", "scene", False),
    ],
)
def test_a_scene_is_the_same_however_a_concept_set_spells_it(
    changed: Warehouse, concept: str, category: str, same: bool
) -> None:
    """Units 0 and 1 are a dog and dotted to both, and unit 2 is kitchen (scene) to the masks."""
    number = {"kitchen": 7, "kitchen (scene)": 8}.get(concept, 9)
    as_clip_dissect(
        changed, {1: ("dog", "none"), 3: ("dotted", "texture"), number: (concept, category)}, [1, 3, number]
    )
    share = 1 if same else 2 / 3
    # by chance each of the three would be met by the same, or two of them would
    chance = 1 / 3 if same else 2 / 9
    assert agreement(changed, "units, same, share, kappa") == [
        (3, 3 if same else 2, pytest.approx(share), pytest.approx((share - chance) / (1 - chance)))
    ]


def test_a_scene_and_an_object_of_one_name_are_two_labels_within_a_set(changed: Warehouse) -> None:
    as_clip_dissect(changed, {7: ("kitchen", "object"), 8: ("kitchen (scene)", "scene")}, [7, 7, 7])
    assert agreement(changed, "same") == [(0,)]


def test_a_concept_that_says_its_category_is_near_others_by_its_word(changed: Warehouse) -> None:
    """The encoder has not embedded kitchen (scene) but kitchen, whose cosine with sky is 0.8; then both."""
    changed.execute("insert into store.concept_embeddings values (1, 7, [0, 0, 1], ['{}'])")
    as_clip_dissect(changed, {5: ("sky", "scene")}, [5, 5, 5])
    # dog and sky 0, dotted and sky 0.8, kitchen and sky 0.8
    assert agreement(changed, "mean_cosine, cosine_units") == [(pytest.approx(1.6 / 3), 3)]
    changed.execute("insert into store.concept_embeddings values (1, 8, [0, 1, 0], ['{}'])")
    assert agreement(changed, "mean_cosine, cosine_units") == [(pytest.approx(1.4 / 3), 3)]


def judge(warehouse: Warehouse, scoring: int, encoder_id: int | None, held_out: list[float | None]) -> None:
    """Held-out correlations of a scoring's units, by 400 images."""
    rows = {"unit": range(len(held_out)), "correlation": held_out, "held_out_correlation": held_out}
    insert_judgement(warehouse, Judgement(scoring, 1, encoder_id, 400, "image"), pl.DataFrame(rows))


def test_labelers_are_compared_on_the_units_that_all_of_them_label(changed: Warehouse) -> None:
    """Masks give unit 3 no label, and soft WPMI was not judged on unit 0: 1 and 2 are judged for all."""
    changed.execute(
        "delete from store.judgements where scoring_id = 5; delete from store.fidelities where scoring_id = 5"
    )
    judge(changed, 9, None, [0.5, 0.25, 0.75, None])
    judge(changed, 2, 1, [None, 0.5, 0.25, 0.5])
    columns = "method, labels, mean_held_out_correlation, wins, unexplained, shared_units, mean_of_shared"
    assert ask(changed, "compare_labelers", columns, layer="late") == [
        ("network_dissection", 3, pytest.approx(0.5), 2, 0, 2, pytest.approx(0.5)),
        ("soft_wpmi", 3, pytest.approx(1.25 / 3), 2, 0, 2, pytest.approx(0.375)),
    ]
    best = "select unit, method, explanation from best_labels where layer = 'late' order by unit"
    assert select(changed, best) == [
        (0, "network_dissection", "dog"),
        (1, "soft_wpmi", "dog"),
        (2, "network_dissection", "kitchen (scene)"),
        (3, "soft_wpmi", "mystery"),
    ]
    # where no unit is judged for all there is none to compare on
    judge(changed, 2, 1, [None, None, None, 0.5])
    assert ask(changed, "compare_labelers", "shared_units, mean_of_shared", layer="late") == [(0, None), (0, None)]


def test_labels_of_a_unit_say_their_category_and_overlap(warehouse: Warehouse) -> None:
    columns = "method, explanation, category, iou, setting"
    where = {"model": "alpha", "layer": "late", "unit": "2"}
    assert ask(warehouse, "labels_of_unit", columns, **where)[1:] == [
        ("soft_wpmi", "cat", "object", None, 1),
        ("network_dissection", "kitchen (scene)", "scene", 0.25, 9),
    ]
