"""Where things lie: a file or a folder, here or at a remote address, and how to list, open and read it."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from neuronlake import NeuronlakeError
from neuronlake.sql.words import first_line

_REMOTE = "://"


class ProbeError(NeuronlakeError):
    """The probe cannot be used."""


def is_address(text: str) -> bool:
    """Whether a user wrote an address, not a path."""
    return _REMOTE in text


@dataclass(frozen=True, slots=True)
class Location:
    """A file or a folder, which need not exist."""

    path: str

    @staticmethod
    def of(text: str | Path) -> Location:
        """The location that a user wrote: a path, or an address such as ``s3://bucket/folder``."""
        return RemoteLocation(str(text)) if is_address(str(text)) else Location(str(Path(text).expanduser()))

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
        """What a path means that is written relative to this folder; what is absolute stands for itself."""
        if is_address(relative):
            return RemoteLocation(relative)
        return Location(os.path.join(self.path, relative))  # noqa: PTH118  a million of them in a second

    def may_exist(self) -> bool:
        """Whether there can be such a file, as far as can be said at once."""
        return self.is_file()

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
            if not _is_hidden(name) and (Path(folder) / name).is_file()
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


@dataclass(frozen=True, slots=True)
class RemoteLocation(Location):
    """A file or a folder at an address that fsspec knows, such as ``s3://``, ``gs://``, ``hf://`` or ``https://``."""

    @property
    def name(self) -> str:
        """The last part of its address."""
        return self.path.partition(_REMOTE)[2].partition("?")[0].rstrip("/").rpartition("/")[2]

    @property
    def folder(self) -> Location:
        """The folder that it lies in."""
        scheme, _, path = self.path.partition(_REMOTE)
        return RemoteLocation(f"{scheme}{_REMOTE}{posixpath.dirname(path.rstrip('/'))}")

    def join(self, relative: str) -> Location:
        """What a path or address means that is written relative to this folder."""
        if is_address(relative):
            return RemoteLocation(relative)
        scheme, _, path = self.path.partition(_REMOTE)
        return RemoteLocation(f"{scheme}{_REMOTE}{posixpath.normpath(posixpath.join(path, relative))}")

    def is_file(self) -> bool:
        """Whether it is a file."""
        with self._plain_reasons(f"{self} cannot be reached: "):
            system, path = self._system()
            return system.isfile(path)

    def is_folder(self) -> bool:
        """Whether it is a folder."""
        with self._plain_reasons(f"{self} cannot be reached: "):
            system, path = self._system()
            return system.isdir(path)

    def may_exist(self) -> bool:
        """To ask for each of many files takes long; reading them shows it as well."""
        return True

    def files(self) -> list[str]:
        """Relative paths of all files below this folder that are not hidden, in order."""
        with self._plain_reasons(f"{self} cannot be listed: "):
            system, path = self._system()
            found = [posixpath.relpath(file, path) for file in system.find(path)]
        return sorted((file for file in found if not _is_hidden(file)), key=lambda file: file.split("/"))

    def read(self, start: int = 0, size: int | None = None) -> bytes:
        """The file's bytes, or `size` of them from `start` on.

        Raises:
            ProbeError: it cannot be read; the message is the reason alone.
        """
        with self._plain_reasons():
            system, path = self._system()
            if size is None:
                return system.cat_file(path, start=start or None)
            return system.cat_file(path, start=start, end=start + size)

    @contextmanager
    def opened(self) -> Generator[IO[bytes]]:
        """The file, to be read in any order.

        Raises:
            ProbeError: it cannot be read.
        """
        with self._plain_reasons(f"{self} cannot be read: "):
            system, path = self._system()
            with system.open(path, "rb") as file:
                yield file

    def _system(self) -> tuple[Any, str]:
        """Fsspec's file system for the address, and the path in it."""
        import fsspec  # noqa: PLC0415  # deptry: ignore[DEP004]  of the extra `remote`

        return fsspec.core.url_to_fs(self.path)

    @contextmanager
    def _plain_reasons(self, prefix: str = "") -> Generator[None]:
        """What can go wrong with a service, as one of our errors; each has its own kinds of exceptions."""
        try:
            yield
        except NeuronlakeError:
            raise
        except ImportError as error:
            raise ProbeError(
                f"{self} needs a package that is not installed; install it with: pip install 'neuronlake[remote]'"
            ) from error
        except FileNotFoundError as error:
            raise ProbeError(f"{prefix}there is no such file") from error
        except Exception as error:
            raise ProbeError(f"{prefix}{first_line(error)}") from error


def _is_hidden(path: str) -> bool:
    """Whether a file's name begins with a dot."""
    return path.rpartition("/")[2].startswith(".")
