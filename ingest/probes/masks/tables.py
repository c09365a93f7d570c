"""What the values of label images mean: a csv file with a row for each value, its concept and its category."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from neuronlake.ingest.concepts.concept import Concept, category_of, tidy
from neuronlake.ingest.concepts.same_names import each_once
from neuronlake.ingest.probes.lists import read_csv
from neuronlake.ingest.probes.locations import Location, ProbeError
from neuronlake.ingest.probes.masks.base import NOTHING
from neuronlake.sql.words import did_you_mean

_LARGEST_VALUE = 65_535


@dataclass(frozen=True)
class Meanings:
    """What values stand for.

    Attributes:
        concepts: each once; see `Masks`.
        places: for each value the place of its concept, or `NOTHING`; in the order of the values.
    """

    concepts: tuple[Concept, ...]
    places: Mapping[int, int]

    @property
    def columns(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Values, and their places, as `ValueReader` takes them."""
        return tuple(self.places), tuple(self.places.values())


def meanings(rows: Mapping[int, Concept | None], categories: Collection[str]) -> Meanings:
    """What values stand for that a file lists, some of them perhaps for nothing, or for what nobody asks for.

    Args:
        rows: for each value its concept.
        categories: that are asked for; all where empty.
    """
    asked = {value: each for value, each in rows.items() if each and (not categories or each.category in categories)}
    concepts, found = each_once(list(asked.values()))
    places = dict(zip(asked, found, strict=True))
    return Meanings(concepts, {value: places.get(value, NOTHING) for value in sorted(rows)})


def read_table(file: Location, categories: Sequence[str]) -> Meanings:
    """The meanings that a csv file lists in the columns ``value``, ``concept`` and perhaps ``category``.

    A value without a concept is of pixels that are not labelled. Several may have one concept; a concept of several
    categories is several, which `each_once` names.

    Raises:
        ProbeError: it is no such file, lists a value twice, or no concept of these categories.
    """
    table = read_csv(file)
    if lacking := [column for column in ("value", "concept") if column not in table.columns]:
        raise ProbeError(f"{file} has no column {lacking[0]}; its first line must be: value,concept,category")
    given = table["category"].to_list() if "category" in table.columns else [None] * table.height
    rows: dict[int, Concept | None] = {}
    for row, (text, concept, category) in enumerate(zip(table["value"], table["concept"], given, strict=True), start=1):
        value = whole_number(text)
        if value is None or value > _LARGEST_VALUE:
            raise ProbeError(f"{file} row {row}: the value is {text!r}, not a whole number from 0 to {_LARGEST_VALUE}")
        if value in rows:
            raise ProbeError(f"{file} lists the value {value} twice, the second time in row {row}; give it one row")
        rows[value] = Concept(tidy(concept), category_of(category)) if tidy(concept or "") else None
    require_known(categories, [each.category for each in rows.values() if each], file)
    return meanings(rows, categories)


def whole_number(text: str | None) -> int | None:
    """A whole number of a csv file; None where it is none."""
    return int(text) if text and text.strip().isdecimal() and len(text) < 20 else None


def require_known(categories: Sequence[str], known: Sequence[str], file: Location) -> None:
    """Refuse a category that nothing has, and a file that lists no concept at all.

    Raises:
        ProbeError: there is one, or it does.
    """
    if not known:
        raise ProbeError(f"{file} lists no concept; give each value that means something a concept")
    for each in categories:
        if each not in known:
            among = list(dict.fromkeys(known))
            hint = did_you_mean(each, among, otherwise=f"there are {', '.join(among)}")
            raise ProbeError(f"{file} has no category {each!r}; {hint}")
