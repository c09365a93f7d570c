"""Names as users write them before what they name: ``mine=photos``."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from neuronlake.sql.store.names import NameTakenError, next_name

# with the # of names that version 0.1 numbered, so that what has them can be named
_NAMED = re.compile(r"([\w.#-]+)=(.+)", re.DOTALL)


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
