"""Concept sets: built-in ones and files joined to concepts in order, each once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from neuronlake.ingest.concepts.builtin_sets import BUILTIN_SETS, builtin_concepts, common_words
from neuronlake.ingest.concepts.concept import LONGEST_CONCEPT, Concept, ConceptError, same_text, tidy, too_long
from neuronlake.ingest.concepts.files import read_file
from neuronlake.ingest.names import Part, renamed, require_names_differ, split_name
from neuronlake.sql.categories import NO_CATEGORY
from neuronlake.sql.store.names import Entry


@dataclass(frozen=True)
class ConceptSet:
    """Concepts in order, each once, and how many lines were dropped to make it so.

    `masks` is the fingerprint of the masks that show them; empty for concepts that are words alone.
    """

    name: str
    concepts: tuple[Concept, ...]
    dropped_duplicates: int
    dropped_blanks: int
    parts: tuple[Part, ...]
    masks: str = ""

    @property
    def entry(self) -> Entry:
        """Its place among the names of a warehouse."""
        first = self.parts[0]
        return Entry(
            "concept_sets",
            self.name,
            self.fingerprint,
            first.name,
            renamed("--masks" if self.masks else "--concepts", first.spec),
        )

    @property
    def texts(self) -> list[str]:
        """The concepts without their categories."""
        return [concept.text for concept in self.concepts]

    @property
    def fingerprint(self) -> str:
        """sha256 over texts and categories, in order, and over the masks where there are some."""
        said = repr([(c.text, c.category) for c in self.concepts]) + self.masks
        return hashlib.sha256(said.encode()).hexdigest()


def image_label_concepts(probe: str, labels: Iterable[str | None], otherwise: str = "") -> ConceptSet:
    """What the images of a probe are labelled with, for labelers that look at no embedding; in alphabetical order.

    Args:
        probe: its name.
        labels: of its images.
        otherwise: what else to do where there are none, for the message.

    Raises:
        ConceptError: no image has a label.
    """
    texts = sorted({label for label in labels if label})
    if not texts:
        raise ConceptError(
            f"the images of {probe} have no labels; put them into folders that are named for them{otherwise}"
        )
    categories = {same_text(each.text): each.category for each in load_concepts(("broden",)).concepts}
    concepts = tuple(Concept(text, categories.get(same_text(text), "none")) for text in texts)
    name = f"labels of {probe}"
    return ConceptSet(name, concepts, dropped_duplicates=0, dropped_blanks=0, parts=(Part(name, probe),))


def mask_concepts(part: Part, concepts: Sequence[Concept], masks: str) -> ConceptSet:
    """What the masks of a probe show, for labelers that look at them; other masks are another set.

    Args:
        part: their name, and where they are.
        concepts: each once.
        masks: their fingerprint.
    """
    return ConceptSet(part.name, tuple(concepts), dropped_duplicates=0, dropped_blanks=0, parts=(part,), masks=masks)


def load_concepts(names: Sequence[str]) -> ConceptSet:
    """Join concept sets: built-in ones by name, the most common English words as ``common:N``, and files.

    Concepts that differ only in case, spacing or Unicode form are one: the first spelling stays, with the
    first category that any of them has.

    Args:
        names: ``imagenet``, ``places365``, ``broden``, ``common:N``, or a path to a text file with one
            concept a line, or to a csv or Parquet file with columns concept and, if you like, category. Each may have
            its name before it, as in ``mine=words.txt``.

    Raises:
        ConceptError: a set is unknown or unreadable, holds no concept, or one that is no word or phrase.
        NameTakenError: two of the sets have one name.
    """
    gathered: dict[str, Concept] = {}
    read = blanks = 0
    parts = [_part(name) for name in names]
    require_names_differ("--concepts", list(dict.fromkeys(parts)), "concept sets")
    for part in parts:
        for line, concept in enumerate(_read(part.spec), start=1):
            read += 1
            text = tidy(concept.text)
            if len(text) > LONGEST_CONCEPT:
                raise too_long(f"{part.spec} line {line}", f"{len(text):,} characters")
            if not text:
                blanks += 1
                continue
            known = gathered.get(same_text(text), Concept(text))
            category = concept.category if known.category == NO_CATEGORY else known.category
            sets = tuple(dict.fromkeys((*known.sets, part.name)))
            gathered[same_text(text)] = Concept(known.text, category, sets)
    if not gathered:
        raise ConceptError(f"{' and '.join(names) or 'the concept set'} holds no concept; write one a line")
    return ConceptSet(
        name=" + ".join(part.name for part in parts),
        concepts=tuple(gathered.values()),
        dropped_duplicates=read - blanks - len(gathered),
        dropped_blanks=blanks,
        parts=tuple(parts),
    )


def _part(text: str) -> Part:
    """A set and the name by which the warehouse knows it: the user's, or a file's without its folder."""
    given, spec = split_name(text)
    is_file = spec not in BUILTIN_SETS and not spec.startswith("common:")
    return Part(given or (Path(spec).name if is_file else spec), spec)


def _read(name: str) -> Iterable[Concept]:
    """The concepts of one set, as they stand there."""
    if name in BUILTIN_SETS:
        return builtin_concepts(name)
    if name.startswith("common:"):
        return common_words(name)
    path = Path(name).expanduser()
    if not path.is_file():
        sets = ", ".join(BUILTIN_SETS)
        raise ConceptError(f"there is no concept file {name}; give a file, one concept a line, or {sets}, common:N")
    return read_file(path)
