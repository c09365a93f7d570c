"""Where things lie: a file or a folder, here or at a remote address, and how to list, open and read it."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from neuronlake import NeuronlakeError

_REMOTE = "://"
_HERE = LocalFileSystem()


class ProbeError(NeuronlakeError):
    """The probe cannot be used."""


def is_address(text: str) -> bool:
    """Whether a user wrote an address, not a path."""
    return _REMOTE in text


@dataclass(frozen=True, slots=True)
class Location:
    """A file or a folder, which need not exist.

    Attributes:
        path: a path here, or an address that fsspec knows, such as ``s3://``, ``gs://``, ``hf://`` or ``https://``.
    """

    path: str

    @staticmethod
    def of(text: str | Path) -> Location:
        """The location that a user wrote: a path, or an address such as ``s3://bucket/folder``."""
        return Location(str(text) if is_address(str(text)) else str(Path(text).expanduser()))

    def __str__(self) -> str:
        return self.path

    @property
    def is_remote(self) -> bool:
        """Whether it is given by its address."""
        return is_address(self.path)

    @property
    def name(self) -> str:
        """The last part of its path."""
        if not self.is_remote:
            return Path(self.path).resolve().name
        return self._scheme_and_path()[1].partition("?")[0].rstrip("/").rpartition("/")[2]

    @property
    def folder(self) -> Location:
        """The folder that it lies in."""
        scheme, path = self._scheme_and_path()
        return Location(scheme + posixpath.dirname(path.rstrip("/")))

    def join(self, relative: str) -> Location:
        """What a path or address means that is written relative to this folder; what is absolute stands for itself."""
        if is_address(relative):
            return Location(relative)
        scheme, path = self._scheme_and_path()
        joined = posixpath.join(path, relative)
        return Location(scheme + posixpath.normpath(joined) if scheme else joined)

    def may_exist(self) -> bool:
        """Whether there can be such a file; to ask a service for each of many takes long, and reading shows it."""
        return self.is_remote or os.path.isfile(self.path)  # noqa: PTH113  asked of each of a million images

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

    def files(self) -> list[str]:
        """Relative paths of all files below this folder that are not hidden, in order; links to folders are left."""
        with self._plain_reasons(f"{self} cannot be listed: "):
            system, path = self._system()
            # here it also finds pipes, and links to folders and to nowhere
            found = [file for file in system.find(path) if self.is_remote or system.isfile(file)]
        relative = (posixpath.relpath(file, path) for file in found if not posixpath.basename(file).startswith("."))
        return sorted(relative, key=lambda file: file.split("/"))

    def read(self, start: int = 0, size: int | None = None) -> bytes:
        """The file's bytes, or `size` of them from `start` on.

        Raises:
            ProbeError: it cannot be read; the message is the reason alone.
        """
        if not self.may_exist():  # to open a pipe would wait for ever
            raise ProbeError("there is no such file")
        with self._plain_reasons():
            if self.is_remote:  # one request
                system, path = self._system()
                return system.cat_file(path, start=start or None, end=None if size is None else start + size)
            # fsspec's own way takes a third more time for small files
            with Path(self.path).open("rb") as file:
                file.seek(start)
                return file.read(-1 if size is None else size)

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

    def _scheme_and_path(self) -> tuple[str, str]:
        """Of an address what ends with ``://``, and what follows; of a path nothing, and the path."""
        before, mark, after = self.path.partition(_REMOTE)
        return (before + mark, after) if mark else ("", before)

    def _system(self) -> tuple[Any, str]:
        """Fsspec's file system for it, and the path in that."""
        if self.is_remote:
            return url_to_fs(self.path)
        return _HERE, os.path.join(os.getcwd(), self.path)  # noqa: PTH109, PTH118  keeps what a link's .. means

    @contextmanager
    def _plain_reasons(self, prefix: str = "") -> Generator[None]:
        """What goes wrong with a file, as one of our errors; each service has its own kinds of exceptions."""
        try:
            yield
        except NeuronlakeError:
            raise
        except FileNotFoundError as error:
            raise ProbeError(f"{prefix}there is no such file") from error
        except Exception as error:
            if not (self.is_remote or isinstance(error, OSError)):
                raise
            raise ProbeError(self._reason(error, prefix)) from error

    def _reason(self, error: Exception, prefix: str) -> str:
        """What is said of an error."""
        if self.is_remote and isinstance(error, ImportError):
            return f"{self} needs a package that is not installed; install it with: pip install 'neuronlake[remote]'"
        said = error.strerror if isinstance(error, OSError) and not self.is_remote else None
        return prefix + (said or str(error).strip().partition("\n")[0] or type(error).__name__)
