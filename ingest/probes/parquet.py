"""Parquet files to the images that they list or hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from neuronlake.ingest.probes.lists import listed_images
from neuronlake.ingest.probes.locations import Location, ProbeError
from neuronlake.ingest.probes.parquet_rows import ParquetCell, ParquetRow, StreamedCell, plain_arrow_errors
from neuronlake.ingest.probes.sources import ProbeImage

# Row groups are read whole, one at a time; larger ones are streamed.
_LARGEST_KEPT_GROUP = 128 * 2**20


def parquet_images(file: Location) -> list[ProbeImage]:
    """The images that a Parquet file lists in ``path``, or holds in ``image``, with ``label`` where it has one.

    ``image`` is bytes, or as Hugging Face writes it a struct with ``bytes`` and ``path``; numbers in ``label`` are
    Hugging Face's class names where the file has these.

    Raises:
        ProbeError: it is no such file.
    """
    with file.opened() as opened, plain_arrow_errors(file):
        parquet = pq.ParquetFile(opened)
        schema: Any = parquet.schema_arrow
        names: list[str] = schema.names
        if "image" not in names and "path" not in names:
            raise ProbeError(
                f"{file} has no column image or path; it has {', '.join(names)}, and a probe needs bytes in image "
                "or files' names in path"
            )
        labels = _labels(parquet, schema)
        if "image" not in names:
            return listed_images(file, file.folder, _texts(parquet, "path"), labels)
        cells = _cells(file, parquet, schema)
        return [
            ProbeImage(path, label, cell)
            for path, label, cell in zip(_paths(parquet, schema), labels, cells, strict=True)
        ]


def _cells(file: Location, parquet: pq.ParquetFile, schema: Any) -> list[ParquetRow]:
    """Where each row's image is.

    Raises:
        ProbeError: the column holds no bytes.
    """
    kind = schema.field("image").type
    if pa.types.is_struct(kind):
        kind = next((field.type for field in kind if field.name == "bytes"), kind)
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise ProbeError(f"{file} holds {kind} in its column image; it needs the bytes of image files")
    cells: list[ParquetRow] = []
    for number in range(parquet.metadata.num_row_groups):
        group = parquet.metadata.row_group(number)
        cell = StreamedCell if group.total_byte_size > _LARGEST_KEPT_GROUP else ParquetCell
        cells += [cell(file, number, row) for row in range(int(group.num_rows))]
    return cells


def _paths(parquet: pq.ParquetFile, schema: Any) -> Sequence[str]:
    """The images' names where the file gives each one of its own, or else the numbers of their rows."""
    column = None
    if "path" in schema.names:
        column = "path"
    elif pa.types.is_struct(kind := schema.field("image").type) and kind.get_field_index("path") >= 0:
        column = "image.path"
    texts = _texts(parquet, column) if column else []
    if texts and all(texts) and len(set(texts)) == len(texts):
        return [str(text) for text in texts]
    digits = len(str(parquet.metadata.num_rows))
    return [f"row-{row:0{digits}}" for row in range(parquet.metadata.num_rows)]


def _texts(parquet: pq.ParquetFile, column: str) -> list[str | None]:
    """A column's values; of a struct's field as ``image.path``."""
    outer, _, field = column.partition(".")
    values: list[Any] = parquet.read(columns=[column]).column(outer).to_pylist()
    values = [value and value[field] for value in values] if field else values
    return [None if value is None else str(value) for value in values]


def _labels(parquet: pq.ParquetFile, schema: Any) -> list[str | None]:
    """The labels, with the class names that Hugging Face keeps beside the table."""
    if "label" not in schema.names:
        return [None] * parquet.metadata.num_rows
    names = _class_names(schema)
    values: list[Any] = parquet.read(columns=["label"]).column("label").to_pylist()
    if names is None:
        return [None if value is None else str(value) for value in values]
    # a label of -1 says that there is none
    return [names[value] if isinstance(value, int) and 0 <= value < len(names) else None for value in values]


def _class_names(schema: Any) -> list[str] | None:
    """The names of ``label``'s classes in Hugging Face's own metadata."""
    found: Any = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    for key in ("info", "features", "label", "names"):
        found = found.get(key) if isinstance(found, dict) else None
    return found
