"""Things that a warehouse keeps under a name: each keeps the one that it has, and takes none from another."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass

import polars as pl

from neuronlake import NeuronlakeError
from neuronlake.sql.warehouse import Value, Warehouse

_FILE_SUFFIX = re.compile(r"\.(txt|csv|parquet|pt|pth|bin|safetensors)$")
_WHAT = {
    "models": "another network",
    "probes": "other images or labels",
    "encoders": "another encoder",
    "concept_sets": "other concepts",
}
# tables of what was computed with a row, by which it is more than a name
_USES = {
    "models": ("scorings", "chunks"),
    "layers": ("scorings", "chunks"),
    "probes": ("scorings", "chunks"),
    "encoders": ("scorings", "chunks"),
    "concept_sets": ("scorings", "dissections"),
}
# the column that says whether a row came from another tool, so that nothing here could make it again
_ORIGINS = {"models": "source_kind", "encoders": "source_kind", "probes": "is_imported"}
# rows that go with it
_OWNED = {
    "models": "layers",
    "probes": "images",
    "encoders": "concept_embeddings",
    "concept_sets": "concept_set_concepts",
}


class NameTakenError(NeuronlakeError):
    """A name stands for something else already."""


@dataclass(frozen=True)
class Entry:
    """Something that a warehouse keeps under a name.

    Attributes:
        table: models, probes, encoders or concept_sets.
        name: as it is called in this run.
        fingerprint: of its contents.
        part: of the name, what a user chooses.
        option: how the user chooses another.
    """

    table: str
    name: str
    fingerprint: str
    part: str
    option: Callable[[str], str]

    def another_name(self, taken: Container[str]) -> str:
        """How a user gives it a name that is free."""
        return self.option(next_name(self.part, lambda new: self.name.replace(self.part, new, 1) in taken))


def next_name(name: str, is_taken: Callable[[str], bool]) -> str:
    """A free name that can stand before an equals sign: ``photos-2`` after ``photos``, ``words-2`` after words.txt."""
    stem = re.sub(r"[^\w.-]+", "-", _FILE_SUFFIX.sub("", name)).strip("-") or "other"
    counted = re.fullmatch(r"(.+)-\d+", stem)
    if counted and is_taken(counted[1]):
        stem = counted[1]
    count = 2
    while is_taken(f"{stem}-{count}"):
        count += 1
    return f"{stem}-{count}"


def identify(warehouse: Warehouse, entry: Entry, **columns: Value) -> int:
    """The number of the row with an entry's contents; made if there is none, in the place of rows that are names alone.

    Names are what users group by, so two different things never share one.

    Raises:
        NameTakenError: something else has its name.
    """
    found = known(warehouse, entry)
    if found is not None:
        return found[0]
    with warehouse.transaction():
        _make_room(warehouse, entry)
        key = _key_of(entry.table)
        number = warehouse.next_id(entry.table, key)
        row = {key: number, "name": entry.name, "fingerprint": entry.fingerprint, **columns}
        warehouse.insert(entry.table, pl.DataFrame([row]))
    return number


def known(warehouse: Warehouse, entry: Entry) -> tuple[int, str] | None:
    """Number and name of the row with an entry's contents; None also where that is no more than another name."""
    select = f"select {_key_of(entry.table)}, name from store.{entry.table} where fingerprint = $f"  # noqa: S608
    found: tuple[int, str] | None = next(iter(warehouse.sql(select, f=entry.fingerprint).fetchall()), None)
    # concept sets are imported too, and wait under their name to be scored
    can_give_way = entry.table != "concept_sets" and found is not None and found[1] != entry.name
    return None if found and can_give_way and not is_used(warehouse, entry.table, found[0]) else found


def number_of(warehouse: Warehouse, table: str, fingerprint: str) -> int | None:
    """The number of the row with that fingerprint, whatever is stored of it."""
    select = f"select {_key_of(table)} from store.{table} where fingerprint = $f"  # noqa: S608
    return warehouse.scalar(select, f=fingerprint)


def name_note(warehouse: Warehouse, entry: Entry) -> Iterator[str]:
    """A line where the warehouse knows the same contents by another name."""
    found = known(warehouse, entry)
    if found and found[1] != entry.name:
        yield kept_name(entry.name, found[1])


def kept_name(name: str, stored: str) -> str:
    """What is said where something that is called `name` is called otherwise in the warehouse."""
    return f"{name} is in the warehouse as {stored!r}; it keeps that name"


def require_free(warehouse: Warehouse, entry: Entry) -> None:
    """Refuse an entry's name where something else has it, of which more is stored than the name.

    Raises:
        NameTakenError: something has.
    """
    if known(warehouse, entry) is None:
        for number in _rivals(warehouse, entry):
            if is_used(warehouse, entry.table, number):
                raise _taken(warehouse, entry, number)


def is_used(warehouse: Warehouse, table: str, number: int) -> bool:
    """Whether more is stored than a name: a run that ended before its first chunk leaves nothing else."""
    if _is_imported(warehouse, table, number):
        return True
    of_row = "layer_id in (select layer_id from store.layers where model_id = $id)"
    if table != "models":
        of_row = f"{_key_of(table)} = $id"
    uses = [f"select count(*) from store.{use} where {of_row}" for use in _USES[table]]  # noqa: S608
    return any(warehouse.scalar(use, id=number) for use in uses)


def _key_of(table: str) -> str:
    """The column with the number of its rows."""
    return f"{table.removesuffix('s')}_id"


def _rivals(warehouse: Warehouse, entry: Entry) -> list[int]:
    """Numbers of the rows that have an entry's name or its contents, and not both."""
    select = f"select {_key_of(entry.table)} from store.{entry.table} where (name = $n) <> (fingerprint = $f)"  # noqa: S608
    return [number for (number,) in warehouse.sql(select, n=entry.name, f=entry.fingerprint).fetchall()]


def _make_room(warehouse: Warehouse, entry: Entry) -> None:
    """Delete the rows in an entry's way of which no more than a name is stored.

    Raises:
        NameTakenError: more is.
    """
    require_free(warehouse, entry)
    for number in _rivals(warehouse, entry):
        for table in (_OWNED[entry.table], entry.table):
            warehouse.execute(f"delete from store.{table} where {_key_of(entry.table)} = $id", id=number)  # noqa: S608


def _is_imported(warehouse: Warehouse, table: str, number: int) -> bool:
    """Whether a row came from another tool; a concept set, whether it waits for its imported features to be scored."""
    if table == "concept_sets":
        return bool(warehouse.step("imported_features_of_set", concept_set_id=number).fetchall()[0][0])
    if table not in _ORIGINS:
        return False
    origin = f"select {_ORIGINS[table]} from store.{table} where {_key_of(table)} = $id"  # noqa: S608
    return warehouse.scalar(origin, id=number) in ("imported", True)


def _taken(warehouse: Warehouse, entry: Entry, number: int) -> NameTakenError:
    """What is said where a name stands for another row."""
    names = {name for (name,) in warehouse.sql(f"select name from store.{entry.table}").fetchall()}  # noqa: S608
    what = _WHAT[entry.table]
    if entry.table == "models" and _is_imported(warehouse, entry.table, number):
        what = "an imported network, of whose weights nothing is known"
    return NameTakenError(
        f"the name {entry.name!r} is taken in {warehouse.path} by {what}; give this one its own: "
        f"{entry.another_name(names)}"
    )
