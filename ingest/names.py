"""Names: what is stored is called one thing for good, and no two things are called the same."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from neuronlake import NeuronlakeError

# with the # of names that version 0.1 numbered, so that what has them can be named
_NAMED = re.compile(r"([\w.#-]+)=(.+)", re.DOTALL)
_FILE_SUFFIX = re.compile(r"\.(txt|csv|parquet|pt|pth|bin|safetensors)$")


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


def split_name(text: str) -> tuple[str | None, str]:
    """``NAME=SPEC`` as name and spec; what has no name keeps its own, and so does what exists as it is written.

    No name holds a slash or a colon, so ``runs/lr=0.1/net.py:make`` is a path, and ``lr=0.1/net.py:make`` is one
    where there is such a file.
    """
    match = _NAMED.fullmatch(text)
    paths = (text, text.rpartition(":")[0])
    # os.path says no of what is too long for a path
    if match is None or any(os.path.exists(Path(path).expanduser()) for path in paths if path):  # noqa: PTH110
        return None, text
    return match[1], match[2]


def renamed(option: str, spec: str) -> Callable[[str], str]:
    """How an option is given with another name."""
    return lambda name: f"{option} {shlex.quote(f'{name}={spec}')}"


@dataclass(frozen=True)
class Part:
    """One of those that a probe or a concept set is put together from.

    Attributes:
        name: the user's, or its own.
        spec: where it is.
    """

    name: str
    spec: str


def require_names_differ(option: str, parts: Sequence[Part], what: str) -> None:
    """Refuse two parts of one name: nobody could tell what came from which.

    Raises:
        NameTakenError: there are two.
    """
    names: list[str] = []
    for part in parts:
        if part.name in names:
            new = next_name(part.name, names.__contains__)
            raise NameTakenError(
                f"two of the {what} are called {part.name}; give one another name: {renamed(option, part.spec)(new)}"
            )
        names.append(part.name)


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
