"""Files that SQL writes: what the COPY and EXPORT statements of a user's text name, before any of them runs."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from itertools import pairwise

import duckdb

from neuronlake.sql.failures import QueryError

_QUOTED = re.compile(r"'(?P<text>(?:[^']|'')*)'|\$(?P<tag>\w*)\$(?P<raw>.*)\$(?P=tag)\$", re.DOTALL)
_IDENTIFIER = re.compile(r'"(?:[^"]|"")*"|\w+')


def written_paths(text: str, parameters: Mapping[str, str]) -> list[str]:
    """The files and folders that statements are to write; none where the text is no SQL.

    Raises:
        QueryError: a statement computes the name.
    """
    try:
        statements = duckdb.extract_statements(text)
    except duckdb.Error:
        return []  # the name of a query, or DuckDB says what is wrong with it
    return [path for statement in statements for path in _targets(_words(statement.query), parameters)]


def _words(statement: str) -> list[str]:
    """A statement as DuckDB divides it, without comments."""
    encoded = statement.encode()
    starts = (start for start, _ in duckdb.tokenize(statement))
    words = (encoded[start:end].decode().strip() for start, end in pairwise([*starts, len(encoded)]))
    return [word for word in words if not word.startswith(("--", "/*"))]


def _targets(words: list[str], parameters: Mapping[str, str]) -> Generator[str]:
    """What follows TO wherever a statement copies or exports, and EXPORT DATABASE.

    COPY may stand within another statement: EXPLAIN ANALYZE, PREPARE, or the WITH of a SELECT.
    """
    lower = [word.lower() for word in words]
    if not {"copy", "export"} & set(lower):
        return
    for place in range(1, len(words)):
        exports = lower[max(place - 2, 0) : place] == ["export", "database"] and _QUOTED.fullmatch(words[place])
        if lower[place - 1] == "to" or exports:
            yield _path(words[place:], parameters)


def _path(words: list[str], parameters: Mapping[str, str]) -> str:
    """The path that these words begin with: in quotes, a parameter, or a plain name."""
    quoted = _QUOTED.fullmatch(words[0])
    if quoted and not any(map(_QUOTED.fullmatch, words[1:2])):  # else they are two parts of one text
        return quoted["raw"] if quoted["text"] is None else quoted["text"].replace("''", "'")
    if words[0] == "$" and words[1:2] and words[1] in parameters:
        return parameters[words[1]]
    if _IDENTIFIER.fullmatch(words[0]):
        parts = words[:1]
        while words[len(parts) : len(parts) + 1] == ["."]:
            parts += words[len(parts) : len(parts) + 2]
        return "".join(part[1:-1].replace('""', '"') if part.startswith('"') else part for part in parts)
    raise QueryError("which file this would write is not known before it runs; give its name in single quotes after TO")
