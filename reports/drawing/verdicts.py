"""Which labels count, in the words of the page: those that hold, or where none was judged those better than chance."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """What tells the labels that count from the others; the column `holds` of the view unit_labels has it.

    Attributes:
        one: what a label that counts is called.
        many: what several are.
        denied: what is said of a label that does not count.
        title: at the head of a column or above a chart.
        criterion: when a label counts.
        is_judged: whether labels were judged by how well they predict their units.
    """

    one: str
    many: str
    denied: str
    title: str
    criterion: str
    is_judged: bool


HOLDS = Verdict(
    one="label that holds",
    many="labels that hold",
    denied="does not hold",
    title="Labels that hold",
    criterion="confidence at least 0.5",
    is_judged=True,
)
BETTER_THAN_CHANCE = Verdict(
    one="label better than chance",
    many="labels better than chance",
    denied="not better than chance",
    title="Better than chance",
    criterion="q < 0.05",
    is_judged=False,
)
