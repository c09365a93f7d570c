"""Where things lie: a file or a folder, and how to list, open and read it."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from neuronlake import NeuronlakeError


class ProbeError(NeuronlakeError):
    """The probe cannot be used."""


@dataclass(frozen=True, slots=True)
class Location:
    """A file or a folder, which need not exist."""

    path: str

    @classmethod
    def of(cls, text: str | Path) -> Location:
        """The location that a user wrote."""
        return cls(str(Path(text).expanduser()))

    def __str__(self) -> str:
        return self.path

    @property
    def name(self) -> str:
        """The last part of its path."""
        return Path(self.path).resolve().name

    @property
    def folder(self) -> Location:
        """The folder that it lies in."""
        return Location(str(Path(self.path).parent))

    def join(self, relative: str) -> Location:
        """What a path means that is written relative to this folder; an absolute one stands for itself."""
        return Location(os.path.join(self.path, relative))  # noqa: PTH118  a million of them in a second

    def is_file(self) -> bool:
        """Whether it is a file."""
        return os.path.isfile(self.path)  # noqa: PTH113  the same

    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return Path(self.path).is_dir()

    def files(self) -> list[str]:
        """Relative paths of all files below this folder that are not hidden, in order; links to folders are left."""
        found = [
            (Path(folder) / name).relative_to(self.path).as_posix()
            for folder, _, names in os.walk(self.path)
            for name in names
            if not name.startswith(".") and (Path(folder) / name).is_file()
        ]
        return sorted(found, key=lambda path: path.split("/"))

    def read(self, start: int = 0, size: int | None = None) -> bytes:
        """The file's bytes, or `size` of them from `start` on.

        Raises:
            ProbeError: it cannot be read; the message is the reason alone.
        """
        if not self.is_file():  # to open a pipe would wait for ever
            raise ProbeError("there is no such file")
        with self._plain_reasons(), Path(self.path).open("rb") as file:
            file.seek(start)
            return file.read(-1 if size is None else size)

    @contextmanager
    def opened(self) -> Generator[IO[bytes]]:
        """The file, to be read in any order.

        Raises:
            ProbeError: it cannot be read.
        """
        with self._plain_reasons(f"{self} cannot be read: "), Path(self.path).open("rb") as file:
            yield file

    @contextmanager
    def _plain_reasons(self, prefix: str = "") -> Generator[None]:
        """What the operating system says of a file, as one of our errors."""
        try:
            yield
        except FileNotFoundError as error:
            raise ProbeError(f"{prefix}there is no such file") from error
        except OSError as error:
            raise ProbeError(prefix + (error.strerror or str(error) or type(error).__name__)) from error
