"""The SQL files are put in order by what they read."""

from __future__ import annotations

import pytest

from neuronlake.sql.catalog import View, describe, in_reading_order, views


def named(**bodies: str) -> dict[str, View]:
    return {name: View(name, body, "", {}) for name, body in bodies.items()}


def test_each_view_comes_after_those_it_reads_and_else_in_alphabetical_order() -> None:
    found = named(a="select 1 from store.z", b="from d inner join c using (x)", c="from store.c", d="select * from a")
    assert [view.name for view in in_reading_order(found)] == ["a", "c", "d", "b"]


def test_views_that_read_each_other_are_an_error_that_names_them() -> None:
    found = named(a="select 1", b="select * from c", c="select * from d join a", d="select * from b")
    with pytest.raises(AssertionError, match=r"read each other in a circle: (b, d, c, b|c, b, d, c|d, c, b, d)"):
        in_reading_order(found)


def test_our_views_have_an_order() -> None:
    names = [view.name for view in views()]
    assert names.index("scorings") < names.index("unit_labels") < names.index("layer_summary")


def test_a_column_may_be_described_in_several_lines() -> None:
    described = describe("unit_labels")
    (line,) = [line for line in described.splitlines() if line.startswith("  p_value: ")]
    assert line.endswith("in scorings that were not judged, whose best score is at least as high")
    assert described.splitlines()[0].endswith("has a row without a concept.")
