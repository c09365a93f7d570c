"""What a reader asks the app in SQL."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

import polars as pl

from neuronlake import NeuronlakeError
from neuronlake.sql.answers import answer_frame, without_end
from neuronlake.sql.failures import plain_errors
from neuronlake.sql.opening import another_connection
from neuronlake.sql.settings import setting_note
from neuronlake.sql.warehouse import Warehouse

MOST_ROWS = 10_000
FIRST_QUESTION = """-- Any SQL; docs/sql.md and `cli views` list the views. `unit_tags` are the tags given here.
select model, layer, concept, category, units, share
from concept_frequency
join newest_setting using (setting)
where rank <= 5
order by model, layer, rank
"""


@dataclass(frozen=True)
class Answer:
    """The rows of an answer, or what is wrong with the question.

    Attributes:
        rows: at most MOST_ROWS of them.
        note: what to know about them; empty where there is nothing.
        error: empty where the question was answered.
    """

    rows: pl.DataFrame
    note: str = ""
    error: str = ""


NOT_ASKED = Answer(pl.DataFrame(), note="Change the question or leave it, and click Ask.")


def ask(warehouse: Warehouse, tags: pl.DataFrame, question: str) -> Answer:
    """Answer SQL, or the name of a view or of a query that needs no parameters; tags are its view `unit_tags`.

    Each question has a connection of its own: what one sets or makes there, such as a temporary view by the name of
    ours, is nothing to the page and to the next question.
    """
    try:
        with (
            closing(another_connection(warehouse)) as asked,
            asked.lent(unit_tags=tags),
            plain_errors(warehouse.path),
        ):
            relation = asked.ask(without_end(question), {})
            if relation is None:
                return Answer(pl.DataFrame(), note="done; it has no rows to show")
            rows = answer_frame(relation.limit(MOST_ROWS + 1))
    except NeuronlakeError as error:
        return Answer(pl.DataFrame(), error=str(error))
    notes = [f"the first {MOST_ROWS:,} rows"] if rows.height > MOST_ROWS else []
    if said := setting_note(warehouse, question, {}, rows):
        notes.append(said.removeprefix("note: "))
    return Answer(rows.head(MOST_ROWS), note="; ".join(notes))


def fractions(rows: pl.DataFrame) -> list[str]:
    """The columns whose numbers have digits that say nothing."""
    return [name for name, kind in rows.schema.items() if kind.is_float()]
