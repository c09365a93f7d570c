"""The images of probes, and where their bytes are: in files of their own, in tars, Parquet files or data sets."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from neuronlake.ingest.probes.locations import Location, ProbeError
from neuronlake.sql.words import first_line

# Files with other endings are no images and are passed over; these are tried, and failures recorded.
IMAGE_SUFFIXES = frozenset({"jpg", "jpeg", "png", "bmp", "gif", "tif", "tiff", "webp", "ppm", "pgm"})


class Source(Protocol):
    """Where the bytes of one image are."""

    def exists(self) -> bool:
        """Whether they can be there, found out without reading them."""
        ...

    def read(self) -> bytes:
        """The bytes of an image file; from any thread.

        Raises:
            ProbeError: they cannot be read; the message is the reason.
        """
        ...


@dataclass(frozen=True, slots=True)
class ProbeImage:
    """One image of a probe.

    Attributes:
        path: its name, which no other image of the probe has.
        label: what it shows, such as the name of its folder.
        source: where its bytes are.
        sha256: of its bytes; empty while they are not read, and where they cannot be.
        part: the probe that it came from, where several were put together.
    """

    path: str
    label: str | None
    source: Source
    sha256: str = ""
    part: str | None = None


@dataclass(frozen=True, slots=True)
class FileBytes:
    """A file of its own."""

    location: Location

    def exists(self) -> bool:
        """Whether there is such a file."""
        return self.location.may_exist()

    def read(self) -> bytes:
        """The whole file."""
        return self.location.read()


@dataclass(frozen=True, slots=True)
class TarMember:
    """A member of a tar file, read by where it begins: nothing is unpacked."""

    tar: Location
    offset: int
    size: int

    def exists(self) -> bool:
        """It was seen in the tar."""
        return True

    def read(self) -> bytes:
        """Just this member."""
        content = self.tar.read(self.offset, self.size)
        if len(content) != self.size:
            raise ProbeError(f"{self.tar.name} gave {len(content)} of its {self.size} bytes")
        return content


@dataclass(frozen=True, slots=True)
class ParquetRow(ABC):
    """One row's image in a Parquet file; cheap where rows are read in their order, by one thread at a time."""

    file: Location
    row_group: int
    row: int

    def exists(self) -> bool:
        """The row was counted."""
        return True

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


class Turns:
    """Lets threads read the rows of Parquet files in the order in which these were handed out.

    Threads that go on as they come ask again for a row group that others have left, so that it is read once more.
    In turn each is read once and one is in memory.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._handed_out = 0
        self._next = 0
        self._ended: set[int] = set()

    def hand_out(self, source: Source) -> Source:
        """The source, which if it is a row waits until all before it are read or taken back."""
        if not isinstance(source, ParquetRow):
            return source
        self._handed_out += 1
        return _InTurn(source, self._handed_out - 1, self)

    def take_back(self, source: Source) -> None:
        """What was handed out will not be read, or has been: those after it need not wait for it."""
        if isinstance(source, _InTurn):
            with self._condition:
                self._end(source.number)

    @contextmanager
    def turn(self, number: int) -> Generator[None]:
        """Wait until all before this number have had their turn; the next one comes after the block."""
        with self._condition:
            self._condition.wait_for(lambda: self._next >= number)
            try:
                yield
            finally:
                self._end(number)

    def _end(self, number: int) -> None:
        if number >= self._next:
            self._ended.add(number)
        while self._next in self._ended:
            self._ended.remove(self._next)
            self._next += 1
        self._condition.notify_all()


@dataclass(frozen=True)
class _InTurn:
    """A row that is not read before those that were handed out before it."""

    row: ParquetRow
    number: int
    turns: Turns

    def exists(self) -> bool:
        """The row was counted."""
        return self.row.exists()

    def read(self) -> bytes:
        """The image of the row."""
        with self.turns.turn(self.number):
            return self.row.read()


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


def forget_rows() -> None:
    """Let go of what was read: the same file may be another by the next run of this process."""
    with _GROUPS:
        _row_group_images.cache_clear()


@contextmanager
def plain_arrow_errors(file: Location) -> Generator[None]:
    """What Arrow says of a Parquet file, as one of our errors."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ProbeError(
            f"{file} cannot be read as Parquet ({first_line(error)}); it may be cut short: get it again"
        ) from error


def is_image_name(path: str) -> bool:
    """Whether a file's name ends as an image's does, and does not begin as a hidden file's."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[2].lower() in IMAGE_SUFFIXES and "." in name and not name.startswith(".")


def readable_text(path: str) -> str:
    """A path whose bytes may be no UTF-8, as text that spells out the odd ones in hexadecimal."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def folder_label(path: str) -> str | None:
    """The name of the folder that a relative path lies in."""
    return path.rpartition("/")[0].rpartition("/")[2] or None
