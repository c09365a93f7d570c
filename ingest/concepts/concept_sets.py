"""Concepts: words and phrases from files and built-in sets, each with its category."""

from __future__ import annotations

import csv
import hashlib
import io
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import polars as pl

from neuronlake import NeuronlakeError
from neuronlake.ingest.names import Part, renamed, require_names_differ, split_name
from neuronlake.sql.store.names import Entry

BUILTIN_SETS = ("broden", "imagenet", "places365")
# Broden's; a concept file may have others
CATEGORIES = ("color", "texture", "material", "part", "object", "scene", "none")
# far beyond what any text encoder reads
LONGEST_CONCEPT = 1_000
_SHORTEST_COMMON_WORD = 3


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
    category: str = "none"
    sets: tuple[str, ...] = ()


@dataclass(frozen=True)
class ConceptSet:
    """Concepts in order, each once, and how many lines were dropped to make it so."""

    name: str
    concepts: tuple[Concept, ...]
    dropped_duplicates: int
    dropped_blanks: int
    parts: tuple[Part, ...]

    @property
    def entry(self) -> Entry:
        """Its place among the names of a warehouse."""
        first = self.parts[0]
        return Entry("concept_sets", self.name, self.fingerprint, first.name, renamed("--concepts", first.spec))

    @property
    def texts(self) -> list[str]:
        """The concepts without their categories."""
        return [concept.text for concept in self.concepts]

    @property
    def fingerprint(self) -> str:
        """sha256 over texts and categories, in order."""
        return hashlib.sha256(repr([(c.text, c.category) for c in self.concepts]).encode()).hexdigest()


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
                raise _too_long(f"{part.spec} line {line}", f"{len(text):,} characters")
            if not text:
                blanks += 1
                continue
            known = gathered.get(same_text(text), Concept(text))
            category = concept.category if known.category == "none" else known.category
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


def _too_long(place: str, size: str) -> ConceptError:
    """What is said of a concept that is no word or phrase."""
    return ConceptError(f"{place}: a concept of {size}, more than {LONGEST_CONCEPT:,}; write one word or phrase a line")


def same_text(text: str) -> str:
    """What two concepts have in common that differ only in case, spacing or Unicode form."""
    return tidy(text).casefold()


def tidy(text: str) -> str:
    """A concept in the one spelling that it is stored in: composed characters, single spaces, none at the ends."""
    return " ".join(unicodedata.normalize("NFC", text).split())


@cache
def builtin_names(name: str) -> tuple[str, ...]:
    """The lines of a built-in set, as they are: class names in the order of a classifier's outputs."""
    return tuple(concept.text for concept in _builtin(name))


def _part(text: str) -> Part:
    """A set and the name by which the warehouse knows it: the user's, or a file's without its folder."""
    given, spec = split_name(text)
    is_file = spec not in BUILTIN_SETS and not spec.startswith("common:")
    return Part(given or (Path(spec).name if is_file else spec), spec)


def _read(name: str) -> Iterable[Concept]:
    """The concepts of one set, as they stand there."""
    if name in BUILTIN_SETS:
        return _builtin(name)
    if name.startswith("common:"):
        return _common_words(name)
    path = Path(name).expanduser()
    if not path.is_file():
        sets = ", ".join(BUILTIN_SETS)
        raise ConceptError(f"there is no concept file {name}; give a file, one concept a line, or {sets}, common:N")
    return _parquet(path) if path.suffix.lower() == ".parquet" else _parse(_decode(path), path)


def _builtin(name: str) -> list[Concept]:
    """A set that comes with the package."""
    folder = resources.files("neuronlake.ingest.concepts") / "builtin"
    if name == "broden":
        return _parse((folder / "broden.csv").read_text(encoding="utf-8"), Path("broden.csv"))
    return [Concept(line) for line in (folder / f"{name}.txt").read_text(encoding="utf-8").splitlines()]


def _decode(path: Path) -> str:
    """The text of a concept file.

    Raises:
        ConceptError: it is not UTF-8 text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConceptError(
            f"{path} is not UTF-8 text (byte {error.start}); convert it, for example with iconv"
        ) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ConceptError(f"{path} holds a null byte in line {line}; save it as UTF-8 text")
    return text


def _parse(text: str, path: Path) -> list[Concept]:
    """The concepts of a text or csv file."""
    if path.suffix.lower() != ".csv":
        # not splitlines(), which would also cut at separators inside a line
        return [Concept(line) for line in text.removesuffix("\n").split("\n")] if text else []
    rows = csv.DictReader(io.StringIO(text))
    try:
        if "concept" not in (rows.fieldnames or ()):
            raise ConceptError(f"{path} has no column 'concept'; its first line must be: concept,category")
        return [Concept(row["concept"] or "", category_of(row.get("category"))) for row in rows]
    except csv.Error as error:  # of any text, it refuses no more than a field that is too long
        size = f"more than {csv.field_size_limit():,} characters"
        raise _too_long(f"{path} line {rows.line_num + 1}", size) from error


def _parquet(path: Path) -> list[Concept]:
    """The concepts of a Parquet file."""
    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise ConceptError(
            f"{path} is not a readable Parquet file ({reason}); it may be cut short: get it again"
        ) from error
    if frame.schema.get("concept") != pl.String:
        raise ConceptError(f"{path} has no column 'concept' of texts; it has {', '.join(frame.columns) or 'none'}")
    categories = frame["category"].cast(pl.String).to_list() if "category" in frame.columns else [None] * frame.height
    return [
        Concept(text or "", category_of(category)) for text, category in zip(frame["concept"], categories, strict=True)
    ]


def category_of(text: str | None) -> str:
    """A category as it is stored: one of CATEGORIES in whatever case it is written, any other text as it is.

    A blank one is ``none``.
    """
    category = tidy(text or "") or "none"
    return category.lower() if category.lower() in CATEGORIES else category


def _common_words(name: str) -> list[Concept]:
    """The N most frequent English words by wordfreq (Speer, 2022), of three letters or more."""
    import wordfreq  # noqa: PLC0415  takes half a second, and most sets do without

    count = name.removeprefix("common:")
    if not count.isdecimal() or int(count) == 0:
        raise ConceptError(f"{name!r} is not common:N with a number of words, such as common:20000")
    candidates = (
        word
        for word in wordfreq.iter_wordlist("en")
        if len(word) >= _SHORTEST_COMMON_WORD and word.isascii() and word.isalpha()
    )
    words = [Concept(word) for word, _ in zip(candidates, range(int(count)), strict=False)]
    if len(words) < int(count):
        raise ConceptError(f"{name} asks for more words than there are; the most is common:{len(words)}")
    return words
