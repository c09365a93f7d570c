"""Concepts of one name: which of several categories keeps it, and what the others are called."""

from __future__ import annotations

import pytest

from neuronlake.ingest.concepts.concept import Concept
from neuronlake.ingest.concepts.same_names import broden_name, each_once


@pytest.mark.parametrize(
    ("label", "category", "name"),
    [
        ("ice_cream_parlor-s", "scene", "ice cream parlor"),
        ("kitchen-s", "scene", "kitchen"),
        ("kitchen", "object", "kitchen (object)"),
        ("house-s", "scene", "house (scene)"),
        ("house", "object", "house"),
        ("green-c", "color", "green-c"),
        ("house", None, "house"),
    ],
)
def test_labels_are_spelled_as_in_the_built_in_set(label: str, category: str | None, name: str) -> None:
    assert broden_name(label, category) == name


def test_concepts_that_differ_in_case_and_spacing_are_one() -> None:
    rows = [Concept("sky", "object"), Concept("tree", "object"), Concept(" Sky", "object")]
    assert each_once(rows) == ((Concept("sky", "object"), Concept("tree", "object")), (0, 1, 0))


def test_of_several_categories_a_name_is_the_scenes_where_it_names_one_and_else_the_first_others() -> None:
    rows = [Concept("kitchen", "object"), Concept("Kitchen", "scene"), Concept("house", "scene")]
    rows += [Concept("house", "part"), Concept("house", "object"), Concept("bar", "scene")]
    found, places = each_once(rows)
    assert [each.text for each in found] == [
        "kitchen (object)",
        "Kitchen",
        "house (scene)",
        "house",
        "house (object)",
        "bar",
    ]
    assert [each.category for each in found] == [row.category for row in rows]
    assert places == (0, 1, 2, 3, 4, 5)


def test_no_name_is_given_twice() -> None:
    rows = [Concept("door", "object"), Concept("door", "part"), Concept("door (part)", "object")]
    assert [each.text for each in each_once(rows)[0]] == ["door", "door (part) (part)", "door (part)"]
