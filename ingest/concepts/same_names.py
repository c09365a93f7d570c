"""Concepts of one name in several categories, and how Broden's labels are spelled: `kitchen`, `house (scene)`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from neuronlake.ingest.concepts.builtin_sets import builtin_concepts
from neuronlake.ingest.concepts.concept import Concept, same_text, tidy

_SCENE = "scene"


def broden_name(label: str, category: str | None) -> str:
    """A label of NetDissect as the built-in set broden spells it: `ice_cream_parlor-s` is a scene.

    There, and in CLIP-Dissect's labels, scenes are called without `-s`, so `kitchen` here and there is one concept. But
    `house-s` and `house` are two, and one of them has to say more than its name. Which, a file cannot tell: the other
    may stand in that of the next layer. So the built-in set says it: a name that it lists as a scene is the scene's,
    any other belongs to what is no scene. `green-c`, the color, is called so there too.
    """
    name = (label.removesuffix("-s") if category == _SCENE else label).replace("_", " ")
    return name if category is None or _owns(name, category) else told_apart(name, category)


def told_apart(name: str, category: str) -> str:
    """A name that belongs to a concept of another category, with its own."""
    return f"{name} ({category})"


def each_once(rows: Sequence[Concept]) -> tuple[tuple[Concept, ...], tuple[int, ...]]:
    """Concepts of which several may be one, in the order in which they first come, and each row's place among them.

    Those that differ in case and spacing alone are one, in the first spelling. Those of several categories are several:
    one keeps the name, the others say their category, as `broden_name` has it.
    """
    found: dict[tuple[str, str], Concept] = {}
    categories: dict[str, list[str]] = {}
    for row in rows:
        key = same_text(row.text)
        if (key, row.category) not in found:
            found[key, row.category] = Concept(tidy(row.text), row.category)
            categories.setdefault(key, []).append(row.category)
    concepts: list[Concept] = []
    taken = {*categories}
    for (key, category), concept in found.items():
        owner = next((each for each in categories[key] if _owns(key, each)), categories[key][0])
        name = concept.text
        if category != owner:
            while same_text(name) in taken:
                name = told_apart(name, category)
            taken.add(same_text(name))
        concepts.append(Concept(name, category))
    places = {key: place for place, key in enumerate(found)}
    return tuple(concepts), tuple(places[same_text(row.text), row.category] for row in rows)


def _owns(name: str, category: str) -> bool:
    """Whether a name is the category's where several have it."""
    return (category == _SCENE) == (name in _scenes())


@cache
def _scenes() -> frozenset[str]:
    """The names of scenes in the built-in set broden."""
    return frozenset(each.text for each in builtin_concepts("broden") if each.category == _SCENE)
