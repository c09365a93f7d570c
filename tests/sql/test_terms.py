"""Labels of several concepts in the views and queries; `small_sums.py` has them in words, and every answer by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import small_sums

from neuronlake.sql.warehouse import Warehouse


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with small_sums.build(tmp_path_factory.mktemp("sums") / "sums.duckdb") as built:
        yield built


def rounded(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [tuple(round(value, 5) if isinstance(value, float) else value for value in row) for row in rows]


def select(warehouse: Warehouse, query: str) -> list[tuple[Any, ...]]:
    return rounded(warehouse.sql(query).fetchall())


def ask(warehouse: Warehouse, name: str, columns: str, **parameters: str) -> list[tuple[Any, ...]]:
    return rounded(warehouse.query(name, **parameters).pl().select(columns.split(", ")).rows())


def test_a_term_has_its_share_and_the_category_of_the_scorings_concept_set(warehouse: Warehouse) -> None:
    assert select(
        warehouse,
        "select position, concept, category, weight, share, term from unit_terms"
        " where scoring = 7 and unit = 0 order by position",
    ) == [
        (0, "dog", "object", 2, 0.5, "2 dog"),
        (1, "sky", "scene", 1.5, 0.4, "+ 1.5 sky"),
        (2, "cat", "object", -0.5, 0.1, "- 0.5 cat"),
    ]
    # dog has no category in the set few
    assert select(warehouse, "select distinct category from unit_terms where setting = 5 and concept = 'dog'") == [
        ("none",)
    ]


def test_a_label_that_only_takes_off_says_so(warehouse: Warehouse) -> None:
    """The concept alone would read as if the unit stood for it."""
    assert select(warehouse, "select unit, explanation from unit_labels where scoring = 7 order by unit") == [
        (0, "2 dog + 1.5 sky - 0.5 cat"),
        (1, "dog"),
        (2, "3 cat - 1 dog"),
        (3, "- 0.5 dog"),
    ]


def test_weights_of_any_size_are_read_with_two_digits_and_more_before_the_point(tmp_path: Path) -> None:
    with small_sums.build(tmp_path / "w.duckdb") as built:
        for unit, weight in enumerate((1234, 6.38e28, 0.00012, -12.5)):
            built.execute(
                "update store.label_terms set weight = $weight where scoring_id = 7 and unit = $unit and position = 0",
                weight=weight,
                unit=unit,
            )
        assert select(built, "select term from unit_terms where scoring = 7 and position = 0 order by unit") == [
            ("1234 dog",),
            ("6.4e+28 dog",),
            ("0.00012 cat",),
            ("- 12 dog",),
        ]


def test_term_frequency_counts_a_concept_wherever_it_stands(warehouse: Warehouse) -> None:
    """Of alpha's four units all have dog: three of them first, two below 0, and of unit 1 the label does not hold."""
    columns = "concept, category, units, first, negative, share, rank, mean_weight, mean_share, held"
    assert select(warehouse, f"select {columns} from term_frequency where scoring = 7 order by rank") == [
        ("dog", "object", 4, 3, 2, 1.0, 1, 0.3125, 0.59375, 3),
        ("cat", "object", 2, 1, 1, 0.5, 2, 1.25, 0.6125, 2),
        ("sky", "scene", 1, 0, 0, 0.25, 3, 1.5, 0.4, 1),
    ]
    # mystery and dog have no shares
    assert select(
        warehouse, "select concept, units, share, rank, mean_share from term_frequency where scoring = 8 order by all"
    ) == [
        ("dog", 1, 0.33333, 1, None),
        ("dots", 1, 0.33333, 1, 0.6),
        ("dotted", 1, 0.33333, 1, 0.4),
        ("mystery", 1, 0.33333, 1, None),
    ]


def test_of_labels_of_one_concept_both_frequencies_are_the_same(warehouse: Warehouse) -> None:
    columns = "scoring, model, layer, concept, category, units, share, rank, held, method, encoder, concept_set, probe"
    of = "where setting < 7 order by all"
    assert select(warehouse, f"select {columns} from term_frequency {of}") == select(
        warehouse, f"select {columns} from concept_frequency {of}"
    )
    assert select(warehouse, "select distinct units - first, mean_weight from term_frequency where setting < 7") == [
        (0, 1)
    ]


def test_layer_summary_counts_polysemantic_units(warehouse: Warehouse) -> None:
    """The mean is of (0.25 + 0.75 + 0.5 + 0.125) / 4, and of beta's one unit for which it is known."""
    columns = "scoring, polysemantic, mean_monosemanticity"
    assert select(warehouse, f"select {columns} from layer_summary where scoring > 5 order by scoring") == [
        (6, None, None),
        (7, 1, 0.40625),
        (8, 0, 0.625),
    ]


def test_polysemantic_units_name_what_they_stand_for(warehouse: Warehouse) -> None:
    """Cat has too little, and dots and dotted are two words for one thing."""
    (unit,) = warehouse.query("polysemantic_units").pl().to_dicts()
    assert (unit["model"], unit["layer"], unit["unit"]) == ("alpha", "late", 0)
    assert unit["concepts"] == "dog; sky"
    assert unit["shares"] == pytest.approx([0.5, 0.4])
    assert (unit["held_out_correlation"], unit["monosemanticity"]) == (0.5, 0.25)
    assert ask(warehouse, "polysemantic_units", "unit", model="alpha", layer="late") == [(0,)]
    assert ask(warehouse, "polysemantic_units", "unit", model="beta") == []
    assert ask(warehouse, "polysemantic_units", "unit", layer="head") == []
    assert ask(warehouse, "polysemantic_units", "unit", setting="5") == []


def test_units_for_concept_looks_at_every_term_and_puts_those_that_go_down_last(warehouse: Warehouse) -> None:
    """In late by confidence: 0.9 and 0.3 have dog first; then below 0 first and second."""
    columns = "layer, unit, concept, position, weight, share, explanation, confidence"
    assert ask(warehouse, "units_for_concept", columns, concept="dog") == [
        ("late", 0, "dog", 0, 2.0, 0.5, "2 dog + 1.5 sky - 0.5 cat", 0.9),
        ("late", 1, "dog", 0, 0.75, 1.0, "dog", 0.3),
        ("late", 3, "dog", 0, -0.5, 1.0, "- 0.5 dog", 0.75),
        ("late", 2, "dog", 1, -1.0, -0.125, "3 cat - 1 dog", 0.6),
        ("head", 2, "dog", 1, 0.1, None, "0.2 mystery + 0.1 dog", 0.625),
    ]


def test_terms_of_unit_are_in_the_order_of_the_label(warehouse: Warehouse) -> None:
    where = {"model": "alpha", "layer": "late", "unit": "2"}
    assert ask(warehouse, "terms_of_unit", "position, concept, weight, share", **where) == [
        (0, "cat", 3.0, 1.125),
        (1, "dog", -1.0, -0.125),
    ]
    assert ask(warehouse, "terms_of_unit", "position, concept, weight, share", setting="5", **where) == [
        (0, "cat", 1.0, None)
    ]


def test_unit_cards_bring_the_terms_of_sums_along(warehouse: Warehouse) -> None:
    cards = warehouse.query("unit_cards").pl().filter(layer="late")
    assert cards["terms"].to_list() == [["dog", "sky", "cat"], None, ["cat", "dog"], ["dog"]]
    assert cards["weights"].to_list() == [[2, 1.5, -0.5], None, [3, -1], [-0.5]]
    assert cards["is_polysemantic"].to_list() == [True, False, False, False]
    assert warehouse.query("unit_cards", setting="5").pl()["terms"].null_count() == 7


def test_a_formula_is_no_sum(tmp_path: Path) -> None:
    """Its explanation says what it is; its weights say nothing."""
    with small_sums.build(tmp_path / "sums.duckdb") as built:
        built.execute("update store.label_terms set operator = 'and not' where scoring_id = 7 and position = 1")
        cards = built.query("unit_cards").pl().filter(layer="late")
    assert cards["terms"].to_list() == [None, None, None, ["dog"]]


def test_labels_of_unit_stand_side_by_side(warehouse: Warehouse) -> None:
    """The one that predicts the unit best first, and last those that were not judged."""
    assert ask(
        warehouse, "labels_of_unit", "setting, explanation, held_out_correlation", model="beta", layer="head", unit="2"
    ) == [(5, "dog", 0.3), (7, "0.2 mystery + 0.1 dog", 0.25), (1, "cat", None)]
