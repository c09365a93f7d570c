"""Answers to what a user typed, as frames: also of types and dates that Polars cannot hold, as text."""

from __future__ import annotations

import re

import duckdb
import polars as pl

# types that Polars refuses, or takes for bytes that say nothing; also as parts of others
_NO_FRAME = re.compile(r"\b(INTERVAL|UNION|VARIANT|BIGNUM|BIT|GEOMETRY)\b|\bTIME WITH TIME ZONE")
_DATED = re.compile(r"\b(DATE|TIMESTAMP)")
# before the year 1 and after 9999, which Python has no dates for
_FAR = r"infinity|\(BC\)|[0-9]{5,}-[0-9]{2}-[0-9]{2}"


def answer_frame(relation: duckdb.DuckDBPyRelation) -> pl.DataFrame:
    """The rows of an answer; a column that Polars or Python cannot hold is text, as DuckDB writes it."""
    kinds = dict(zip(relation.columns, map(str, relation.types), strict=True))
    refused = [name for name, kind in kinds.items() if _NO_FRAME.search(kind)]
    frame = _with_texts(relation, refused).pl()
    dated = [name for name, kind in kinds.items() if name not in refused and _DATED.search(kind)]
    if not dated or frame.is_empty():
        return frame
    with duckdb.connect() as connection:  # what was read is looked at again, so that the query is run once
        again = connection.from_arrow(frame.to_arrow())
        has_far = ", ".join(f"bool_or(regexp_matches({_quoted(name)}::varchar, $far))" for name in dated)
        found = connection.execute(f"select {has_far} from again", {"far": _FAR}).fetchall()  # noqa: S608
        far = [name for name, is_far in zip(dated, found[0], strict=True) if is_far]
        return frame.with_columns(_with_texts(again, far).pl().get_columns()) if far else frame


def changed_rows(
    connection: duckdb.DuckDBPyConnection, text: str, relation: duckdb.DuckDBPyRelation
) -> tuple[int | None] | None:
    """How many rows a statement changed, or None in its place where DuckDB does not count them; None for a query."""
    if relation.columns not in (["Count"], ["Success"]) or re.fullmatch(r"[\w.]+", text.strip()):
        return None
    if connection.extract_statements(text)[-1].type == duckdb.StatementType.SELECT:
        return None
    rows = relation.fetchall()
    return (rows[0][0] if rows and relation.columns == ["Count"] else None,)


def without_end(text: str) -> str:
    """A question without the semicolon that ends it, and comments there: as DuckDB can put it into a longer one."""
    content = text.encode()  # tokens are told by the byte that they begin at
    end = len(content)
    for start, kind in reversed(duckdb.tokenize(text)):
        if kind != duckdb.token_type.comment and content[start:end].strip() != b";":
            break
        end = start
    return content[:end].decode().rstrip()


def _with_texts(relation: duckdb.DuckDBPyRelation, names: list[str]) -> duckdb.DuckDBPyRelation:
    """A relation with these of its columns as text."""
    if not names:
        return relation
    texts = ", ".join(f"{_quoted(name)}::varchar as {_quoted(name)}" for name in names)
    return relation.project(f"* replace ({texts})")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
