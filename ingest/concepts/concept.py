"""What a concept is: a word or phrase in one spelling, with its category."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from neuronlake import NeuronlakeError
from neuronlake.sql.categories import CATEGORIES, NO_CATEGORY

# far beyond what any text encoder reads
LONGEST_CONCEPT = 1_000


class ConceptError(NeuronlakeError):
    """A concept set cannot be found or read."""


@dataclass(frozen=True)
class Concept:
    """A word or phrase.

    Attributes:
        category: one of CATEGORIES, or a concept file's own.
        sets: names of the sets that it is in, where several were joined.
    """

    text: str
    category: str = NO_CATEGORY
    sets: tuple[str, ...] = ()


def too_long(place: str, size: str) -> ConceptError:
    """What is said of a concept that is no word or phrase."""
    return ConceptError(f"{place}: a concept of {size}, more than {LONGEST_CONCEPT:,}; write one word or phrase a line")


def same_text(text: str) -> str:
    """What two concepts have in common that differ only in case, spacing or Unicode form."""
    return tidy(text).casefold()


def tidy(text: str) -> str:
    """A concept in the one spelling that it is stored in: composed characters, single spaces, none at the ends."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def category_of(text: str | None) -> str:
    """A category as it is stored: one of CATEGORIES in whatever case it is written, any other text as it is.

    A blank one is ``none``.
    """
    category = tidy(text or "") or NO_CATEGORY
    return category.lower() if category.lower() in CATEGORIES else category
