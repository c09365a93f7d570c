"""Parquet files to the images that they list or hold."""

from __future__ import annotations

import json
import threading
from abc import abstractmethod
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from neuronlake.ingest.probes.lists import listed_images
from neuronlake.ingest.probes.locations import Location, ProbeError
from neuronlake.ingest.probes.sources import ProbeImage, Source
from neuronlake.sql.words import first_line

_BATCH_ROWS = 8
# threads that take rows in order differ by a few; a row from before these is found again from its group's start
_KEPT_BYTES = 256 * 2**20
_BUFFER_BYTES = 2**20


@contextmanager
def plain_arrow_errors(file: Location) -> Generator[None]:
    """What Arrow says of a Parquet file, as one of our errors."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = first_line(error)
        raise ProbeError(f"{file} cannot be read as Parquet ({reason}); it may be cut short: get it again") from error


@dataclass(frozen=True, slots=True)
class ParquetRow(Source):
    """One row's image in a Parquet file; cheap where rows are read in their order, by one thread at a time."""

    in_order = True
    is_apart = False
    file: Location
    row_group: int
    row: int

    def read(self) -> bytes:
        """The image of this row."""
        content = self._cell()
        content = content.get("bytes") if isinstance(content, dict) else content
        if not content:
            raise ProbeError("the row holds no bytes")
        return content

    @abstractmethod
    def _cell(self) -> Any:
        """Bytes, or a struct that holds them; what is read with them stays in memory for the rows that follow."""


class ParquetCell(ParquetRow):
    """A row in a row group that is read whole."""

    __slots__ = ()

    def _cell(self) -> Any:
        with _GROUPS:
            return _row_group_images(self.file, self.row_group)[self.row].as_py()


# Threads that read neighbouring rows wait for the first of them to read the group.
_GROUPS = threading.Lock()


@lru_cache(maxsize=1)
def _row_group_images(file: Location, row_group: int) -> Any:
    """The image column of a row group, an Arrow chunked array."""
    with file.opened() as opened, plain_arrow_errors(file):
        return pq.ParquetFile(opened).read_row_group(row_group, columns=["image"]).column("image")


class _GroupReader:
    """One row group, of which the rows read last are kept."""

    def __init__(self, file: Location, row_group: int) -> None:
        self.key = (file, row_group)
        self._batches = self._read()
        self._kept: deque[tuple[int, Any]] = deque()
        self._next_row = 0

    @property
    def first_kept(self) -> int:
        """The first row that can still be had."""
        return self._kept[0][0] if self._kept else self._next_row

    def cell(self, row: int) -> Any:
        """The value of a row that is not before the first one kept; None beyond the last."""
        while row >= self._next_row:
            batch = next(self._batches, None)
            if batch is None:
                return None
            self._kept.append((self._next_row, batch))
            self._next_row += len(batch)
            while len(self._kept) > 1 and sum(each.nbytes for _, each in self._kept) > _KEPT_BYTES:
                self._kept.popleft()
        start, column = next(kept for kept in reversed(self._kept) if kept[0] <= row)
        return column[row - start].as_py()

    def _read(self) -> Iterator[Any]:
        """The column of images, batch by batch; the file is open meanwhile."""
        file, row_group = self.key
        with file.opened() as opened, plain_arrow_errors(file):
            # without a buffer of its own pyarrow reads the whole group first
            parquet = pq.ParquetFile(opened, buffer_size=_BUFFER_BYTES, pre_buffer=False)
            for batch in parquet.iter_batches(_BATCH_ROWS, row_groups=[row_group], columns=["image"]):
                yield batch.column(0)


_lock = threading.Lock()
_readers: list[_GroupReader] = []


class StreamedCell(ParquetRow):
    """A row in a row group that is too large to keep."""

    __slots__ = ()

    def _cell(self) -> Any:
        with _lock:
            reader = _readers.pop() if _readers else None
            if reader is None or reader.key != (self.file, self.row_group) or self.row < reader.first_kept:
                reader = _GroupReader(self.file, self.row_group)
            content = reader.cell(self.row)  # a reader that fails is left, and its file closed
            _readers.append(reader)
        return content


def forget_rows() -> None:
    """Let go of what was read: the same file may be another by the next run of this process."""
    with _GROUPS:
        _row_group_images.cache_clear()
    with _lock:
        _readers.clear()


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
            groups = _texts(parquet, "group") if "group" in names else ()
            return listed_images(file, file.folder, _texts(parquet, "path"), labels, groups)
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
