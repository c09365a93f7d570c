"""Concept sets that come with the package, or from wordfreq: by name, without a file."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

from neuronlake.ingest.concepts.concept import Concept, ConceptError
from neuronlake.ingest.concepts.files import parse

BUILTIN_SETS = ("broden", "imagenet", "places365")
_SHORTEST_COMMON_WORD = 3


@cache
def builtin_names(name: str) -> tuple[str, ...]:
    """The lines of a built-in set, as they are: class names in the order of a classifier's outputs."""
    return tuple(concept.text for concept in builtin_concepts(name))


def builtin_concepts(name: str) -> list[Concept]:
    """A set that comes with the package."""
    folder = resources.files("neuronlake.ingest.concepts") / "builtin"
    if name == "broden":
        return parse((folder / "broden.csv").read_text(encoding="utf-8"), Path("broden.csv"))
    return [Concept(line) for line in (folder / f"{name}.txt").read_text(encoding="utf-8").splitlines()]


def imagenet_name(wordnet_id: str) -> str | None:
    """The name in the set `imagenet` of the class with this WordNet id, such as n01440764; None where it is none."""
    return _imagenet_by_wordnet_id().get(wordnet_id)


@cache
def _imagenet_by_wordnet_id() -> dict[str, str]:
    """Names by WordNet ids. Those of the 1,000 classes of ILSVRC 2012, sorted, are in the order of the set."""
    folder = resources.files("neuronlake.ingest.concepts") / "builtin"
    ids = (folder / "imagenet_wordnet_ids.txt").read_text(encoding="utf-8").split()
    return dict(zip(ids, builtin_names("imagenet"), strict=True))


def common_words(name: str) -> list[Concept]:
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
