"""The images of probes, and where their bytes are: in files of their own, or as each form of probe has it."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from neuronlake.ingest.probes.locations import Location

if TYPE_CHECKING:
    from neuronlake.ingest.probes.masks.base import ImageMasks

# Files with other endings are no images and are passed over; these are tried, and failures recorded.
IMAGE_SUFFIXES = frozenset({"jpg", "jpeg", "png", "bmp", "gif", "tif", "tiff", "webp", "ppm", "pgm"})


class Source(ABC):
    """Where the bytes of one image are.

    Attributes:
        in_order: whether reading is cheap only in the order of the probe, by one thread at a time.
        is_apart: whether any process reads it as cheaply; else it would read what lies around it too.
    """

    __slots__ = ()
    in_order: ClassVar[bool] = False
    is_apart: ClassVar[bool] = True

    def exists(self) -> bool:
        """Whether they can be there, found out without reading them; so they are where they were listed."""
        return True

    @abstractmethod
    def read(self) -> bytes:
        """The bytes of an image file; from any thread.

        Raises:
            ProbeError: they cannot be read; the message is the reason.
        """


@dataclass(frozen=True, slots=True)
class ProbeImage:
    """One image of a probe.

    Attributes:
        path: its name, which no other image of the probe has.
        label: what it shows, such as the name of its folder.
        source: where its bytes are.
        sha256: of its bytes; empty while they are not read, and where they cannot be.
        part: the probe that it came from, where several were put together.
        group: what other images of the same photograph share with it, such as crops or frames; None where that is not
            said. They are left out together where labels are judged.
        masks: what its pixels show; None where the probe has no masks, or they are not asked for.
    """

    path: str
    label: str | None
    source: Source
    sha256: str = ""
    part: str | None = None
    group: str | None = None
    masks: ImageMasks | None = None


@dataclass(frozen=True, slots=True)
class FileBytes(Source):
    """A file of its own."""

    location: Location

    def exists(self) -> bool:
        """Whether there is such a file."""
        return self.location.may_exist()

    def read(self) -> bytes:
        """The whole file."""
        return self.location.read()


class Turns:
    """Lets threads read what is cheap only in order, such as rows of Parquet files, as it was handed out.

    Threads that go on as they come ask again for a row group that others have left, so that it is read once more.
    In turn each is read once and one is in memory.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._handed_out = 0
        self._next = 0
        self._ended: set[int] = set()

    def hand_out(self, source: Source) -> Source:
        """The source, which if its order matters waits until all before it are read or taken back."""
        if not source.in_order:
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
class _InTurn(Source):
    """What is not read before that which was handed out before it."""

    source: Source
    number: int
    turns: Turns

    def read(self) -> bytes:
        """The bytes, in turn."""
        with self.turns.turn(self.number):
            return self.source.read()


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
