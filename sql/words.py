"""Words that every part has: near names and first lines for its messages, and how work tells how far it is."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable

# called with a stage, the number done and the total
Progress = Callable[[str, int, int], None]
# called with the number done and the total, within one stage
StageProgress = Callable[[int, int], None]


def no_progress(_stage: str, _done: int, _total: int) -> None:
    """Report to nobody."""


def did_you_mean(
    name: str,
    known: Iterable[str],
    *,
    most: int = 1,
    cutoff: float = 0.6,
    before: str = "",
    then: str = "",
    otherwise: str = "",
) -> str:
    """The part of a message that helps someone who wrote a name wrong: ``did you mean layer3 or layer4?``.

    Args:
        name: what was written.
        known: the names that there are.
        most: how many near names are told.
        cutoff: how near they must be, from 0 (anything) to 1 (the same); see `difflib.get_close_matches`.
        before: put before each of them.
        then: said after the question, and where there is none.
        otherwise: said in place of the question where no name is near.
    """
    near = [f"{before}{each}" for each in difflib.get_close_matches(name, list(known), n=most, cutoff=cutoff)]
    question = f"did you mean {' or '.join(near)}?" if near else otherwise
    return f"{question} {then}".strip()


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
