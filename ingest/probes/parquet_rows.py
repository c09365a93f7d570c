"""Where the images in Parquet files are: rows in groups that are read whole, or streamed where they are too large.

Of a streamed group what is in memory is the rows kept and one page of the file, which as most programs write it has
up to 1,024 rows.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from neuronlake.ingest.probes.locations import Location, ProbeError
from neuronlake.ingest.probes.sources import Source
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
