"""Concepts and the sets that they are in."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from neuronlake.sql.store.names import Entry, identify, known
from neuronlake.sql.warehouse import Warehouse


def register_concepts(warehouse: Warehouse, texts: Sequence[str]) -> list[int]:
    """Numbers of the concepts, in their order; those not known are written."""
    rows = warehouse.sql("select concept, concept_id from store.concepts").pl()
    numbers: dict[str, int] = dict(rows.iter_rows())
    new = [text for text in texts if text not in numbers]
    if new:
        first = warehouse.next_id("concepts", "concept_id")
        numbers.update({text: first + place for place, text in enumerate(new)})
        warehouse.insert("concepts", pl.DataFrame({"concept_id": [numbers[text] for text in new], "concept": new}))
    return [numbers[text] for text in texts]


def register_concept_set(
    warehouse: Warehouse,
    entry: Entry,
    members: pl.DataFrame | None = None,
    dropped_duplicates: int = 0,
    dropped_blanks: int = 0,
) -> int:
    """The number of the concept set of that fingerprint; it and its members are written if it is not known.

    Args:
        warehouse: to write to.
        entry: its name and fingerprint.
        members: see `add_members`; None where no more is known of it than a name.
        dropped_duplicates: lines that were left out of it.
        dropped_blanks: empty lines.

    Raises:
        NameTakenError: another has its name.
    """
    found = known(warehouse, entry)
    if found is not None:
        return found[0]
    dropped = {"dropped_duplicates": dropped_duplicates, "dropped_blanks": dropped_blanks}
    with warehouse.transaction():
        concept_set_id = identify(warehouse, entry, concepts=0, **dropped)
        if members is not None:
            add_members(warehouse, concept_set_id, members)
    return concept_set_id


def stored_set(warehouse: Warehouse, concept_set_id: int) -> tuple[str, list[int]]:
    """A set's fingerprint, and the numbers of its concepts in their order."""
    fingerprint = warehouse.scalar(
        "select fingerprint from store.concept_sets where concept_set_id = $id", id=concept_set_id
    )
    members = "select concept_id from store.concept_set_concepts where concept_set_id = $id order by position"
    return fingerprint, [number for (number,) in warehouse.sql(members, id=concept_set_id).fetchall()]


def add_members(warehouse: Warehouse, concept_set_id: int, members: pl.DataFrame) -> None:
    """Let concepts join a set, behind those in it: concept_id, category, and perhaps sets; who is in it stays."""
    select = "select concept_id from store.concept_set_concepts where concept_set_id = $id"
    present = warehouse.sql(select, id=concept_set_id).pl()["concept_id"]
    joining = members.filter(~pl.col("concept_id").is_in(present.implode())).with_row_index("position", len(present))
    if joining.is_empty():
        return
    warehouse.insert("concept_set_concepts", joining, concept_set_id=concept_set_id)
    update = "update store.concept_sets set concepts = $concepts where concept_set_id = $id"
    warehouse.execute(update, concepts=len(present) + joining.height, id=concept_set_id)


def correct_categories(warehouse: Warehouse, concept_set_id: int, members: pl.DataFrame) -> None:
    """Give members of a set the categories that are known of them by now: concept_id, category."""
    select = "select concept_id, category as stored from store.concept_set_concepts where concept_set_id = $id"
    stored = warehouse.sql(select, id=concept_set_id).pl()
    for row in members.join(stored, on="concept_id").filter(pl.col("category") != pl.col("stored")).rows(named=True):
        warehouse.execute(
            "update store.concept_set_concepts set category = $category"
            " where concept_set_id = $id and concept_id = $concept_id",
            id=concept_set_id,
            concept_id=row["concept_id"],
            category=row["category"],
        )
