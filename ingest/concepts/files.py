"""Text, csv and Parquet files to the concepts in them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import polars as pl

from neuronlake.ingest.concepts.concept import Concept, ConceptError, category_of, too_long
from neuronlake.sql.words import first_line


def read_file(path: Path) -> list[Concept]:
    """The concepts of a file, as they stand there.

    Raises:
        ConceptError: it cannot be read as its ending says.
    """
    return _parquet(path) if path.suffix.lower() == ".parquet" else parse(_decode(path), path)


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


def parse(text: str, path: Path) -> list[Concept]:
    """The concepts in the text of a text or csv file.

    Raises:
        ConceptError: a csv file has no column of concepts, or one that is no word or phrase.
    """
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
        raise too_long(f"{path} line {rows.line_num + 1}", size) from error


def _parquet(path: Path) -> list[Concept]:
    """The concepts of a Parquet file."""
    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = first_line(error)
        raise ConceptError(
            f"{path} is not a readable Parquet file ({reason}); it may be cut short: get it again"
        ) from error
    if frame.schema.get("concept") != pl.String:
        raise ConceptError(f"{path} has no column 'concept' of texts; it has {', '.join(frame.columns) or 'none'}")
    categories = frame["category"].cast(pl.String).to_list() if "category" in frame.columns else [None] * frame.height
    return [
        Concept(text or "", category_of(category)) for text, category in zip(frame["concept"], categories, strict=True)
    ]
