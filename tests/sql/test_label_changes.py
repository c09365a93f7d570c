"""What became of units and labels, by hand: `small_comparison.py` has it in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import small_comparison

from neuronlake.sql.warehouse import Warehouse


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    with small_comparison.build(tmp_path / "w.duckdb") as opened:
        yield opened


def changes(warehouse: Warehouse, columns: str = "unit, concept_a, concept_b, change, unit_b") -> list[tuple[Any, ...]]:
    return warehouse.sql(f"select {columns} from label_changes order by layer, unit").fetchall()


def test_each_unit_has_its_label_then_and_now(warehouse: Warehouse) -> None:
    assert changes(warehouse) == [
        (0, "dotted", "dots", "changed", 0),
        (1, "dotted", "cat", "changed", 1),
        (2, None, "cat", "appeared", 2),
    ]
    told = changes(warehouse, "model_a, model_b, layer, layer_b, method, probe, compared_over, setting, is_by_number")
    assert set(told) == {("alpha", "beta", "early", "early", "soft_wpmi", "photos", "photos", 1, True)}
    assert changes(warehouse, "explanation_a, explanation_b, holds_a, holds_b, category_a, category_b") == [
        ("dotted", "dots", True, True, "texture", "texture"),
        ("dotted", "cat", True, True, "texture", "object"),
        (None, "cat", None, False, None, "object"),
    ]
    assert [row[0] for row in changes(warehouse, "activation_correlation")] == pytest.approx([1, -0.94388, None])


def test_a_unit_that_is_dead_afterwards_died_and_one_that_is_dead_in_both_is_dead(warehouse: Warehouse) -> None:
    warehouse.execute("update store.units set status = 'dead' where layer_id = 3 and unit > 0")
    warehouse.execute("update store.closest_units set own_correlation = null where side = 'a' and unit = 1")
    assert changes(warehouse, "unit, change, unit_b, own_correlation") == [
        (0, "changed", 0, 1),
        (1, "died", 1, None),
        (2, "dead", 2, None),
    ]


def test_a_label_is_the_same_by_its_first_concept(warehouse: Warehouse) -> None:
    warehouse.execute("update store.label_terms set concept_id = 3 where scoring_id = 3 and unit = 0")
    warehouse.execute("insert into store.label_terms values (3, 0, 1, 5, 0.5, null)")
    assert changes(warehouse)[0] == (0, "dotted", "dotted", "same", 0)


def pair_up(
    warehouse: Warehouse, one: int, other: int, r: float, own: float | None, own_of_other: float | None
) -> None:
    """Pair a unit of alpha with a unit of beta, of which each correlates with that of its own number so much."""
    warehouse.execute("update store.units set status = 'live' where layer_id in (1, 3)")
    values = {"r": r, "one": one, "other": other}
    pair = "update store.closest_units set paired_correlation = $r, paired_unit"
    warehouse.execute(f"{pair} = $other, own_correlation = $own where side = 'a' and unit = $one", own=own, **values)
    warehouse.execute(
        f"{pair} = $one, own_correlation = $own where side = 'b' and unit = $other", own=own_of_other, **values
    )


@pytest.mark.parametrize(
    ("r", "own", "own_of_other", "change"),
    [
        # 1 - 0.71² is less than half, 1 - 0.70² more
        (0.71, 0.0, 0.0, "moved"),
        (0.70, 0.0, 0.0, "changed"),
        (0.71, -0.9, None, "moved"),
        # 1 - 0.8² is 0.36, of which 0.18 is half: 1 - 0.91² is 0.17, 1 - 0.90² is 0.19
        (0.91, 0.8, 0.0, "moved"),
        (0.90, 0.8, 0.0, "changed"),
        (0.90, 0.0, 0.8, "changed"),
        (0.999, 0.999, 0.5, "changed"),
        (-0.9, 0.0, 0.0, "changed"),
    ],
)
def test_a_unit_moved_where_the_pair_explains_much_more_than_both_own_numbers(
    warehouse: Warehouse, r: float, own: float, own_of_other: float | None, change: str
) -> None:
    pair_up(warehouse, 1, 0, r, own, own_of_other)
    assert changes(warehouse, "change, unit_b")[1] == (change, 0 if change == "moved" else 1)


def test_swapped_units_have_moved_though_their_labels_are_the_same(warehouse: Warehouse) -> None:
    warehouse.execute("update store.label_terms set concept_id = 3 where scoring_id = 3")
    pair_up(warehouse, 0, 1, 0.95, 0.1, 0.2)
    pair_up(warehouse, 1, 0, 0.96, 0.2, 0.1)
    assert changes(warehouse, "change, concept_a, concept_b, unit_b")[:2] == [
        ("moved", "dotted", "dotted", 1),
        ("moved", "dotted", "dotted", 0),
    ]
    flow = "select concept, units_a, units_b, kept, gained, lost from concept_flow order by concept"
    assert warehouse.sql(flow).fetchall() == [("dotted", 2, 3, 2, 1, 0)]


def test_where_numbers_are_not_kept_each_unit_stands_against_its_closest(warehouse: Warehouse) -> None:
    warehouse.execute("update store.comparisons set is_by_number = false")
    assert changes(warehouse) == [
        (0, "dotted", "dots", "changed", 0),
        (1, "dotted", "cat", "unmatched", 2),
        (2, None, None, "dead", None),
    ]
    warehouse.execute("update store.closest_units set correlation = 0.5 where side = 'a' and unit = 1")
    assert changes(warehouse)[1] == (1, "dotted", "cat", "changed", 2)


def test_concepts_that_came_and_went(warehouse: Warehouse) -> None:
    flow = "select concept, category, units_a, units_b, kept, gained, lost from concept_flow order by concept"
    assert warehouse.sql(flow).fetchall() == [
        ("cat", "object", 0, 2, 0, 2, 0),
        ("dots", "texture", 0, 1, 0, 1, 0),
        ("dotted", "texture", 2, 0, 0, 0, 2),
    ]
    # of beta's two cats one holds
    held = "select concept, held_a, held_b, held_kept, held_gained, held_lost from concept_flow order by concept"
    assert warehouse.sql(held).fetchall() == [
        ("cat", 0, 1, 0, 1, 0),
        ("dots", 0, 1, 0, 1, 0),
        ("dotted", 2, 0, 0, 0, 2),
    ]
    asked = {"setting": "1", "model_a": "alpha", "model_b": "beta"}
    net = [("cat", 1, 0, 1), ("dots", 1, 0, 1), ("dotted", 0, 2, -2)]
    answer = warehouse.query("concepts_gained_and_lost", **asked).pl().select("concept", "gained", "lost", "net")
    assert answer.rows() == net
    every = warehouse.query("concepts_gained_and_lost", all_labels="true", top="1", **asked).pl()
    assert every.select("concept", "gained", "lost", "net").rows() == [("cat", 2, 0, 2), ("dotted", 0, 2, -2)]


def test_layers_are_counted(warehouse: Warehouse) -> None:
    (row,) = warehouse.query("changes_by_layer", setting="1").pl().to_dicts()
    counts = ("units", "same", "changed", "moved", "died", "appeared", "unmatched", "dead", "same_held", "changed_held")
    assert [row[name] for name in counts] == [3, 0, 2, 0, 0, 1, 0, 0, 0, 2]
    assert row["activation_correlation"] == pytest.approx((1 - 0.94388) / 2)
    assert warehouse.query("changes_by_layer", setting="1", model_a="beta").pl().is_empty()


def test_units_that_changed_most_come_first_and_those_whose_labels_hold_before_others(warehouse: Warehouse) -> None:
    changed = warehouse.query("most_changed_units", setting="1").pl().select("unit", "change")
    assert changed.rows() == [(1, "changed"), (0, "changed"), (2, "appeared")]
    assert warehouse.query("most_changed_units", setting="1", layer="late").pl().is_empty()


def test_only_settings_that_both_are_labelled_under_say_something(warehouse: Warehouse) -> None:
    """Setting 5 has labels of alpha late and beta head."""
    assert warehouse.sql("select distinct setting from label_changes").fetchall() == [(1,)]
    warehouse.execute("insert into store.comparisons values (2, 1, 2, 4, 1, 4, false)")
    found = "select layer, layer_b, setting, count(*) from label_changes group by all order by all"
    assert warehouse.sql(found).fetchall() == [("early", "early", 1, 3), ("late", "head", 1, 4), ("late", "head", 5, 4)]


def test_of_comparisons_over_several_probes_that_of_the_labels_counts_else_the_last(warehouse: Warehouse) -> None:
    for probe in (2, 3):
        warehouse.execute(
            "insert into store.probes values ($id, 'other ' || $id, $id::varchar, '/o', 4, 2, false)", id=probe
        )
        warehouse.execute("insert into store.comparisons values ($id, 1, 1, 3, $id, 4, true)", id=probe)
        warehouse.execute(
            "insert into store.units select layer_id, $id, unit, status, mean, maximum, not_finite from store.units "
            "where probe_id = 1",
            id=probe,
        )
    select = "select distinct compared_over from label_changes"
    assert warehouse.sql(select).fetchall() == [("photos",)]
    warehouse.execute("delete from store.comparisons where comparison_id = 1")
    assert warehouse.sql(select).fetchall() == [("other 3",)]
