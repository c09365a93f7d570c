"""Files that users get: each is there whole or as it was before, and none takes the place of a warehouse."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from neuronlake import NeuronlakeError
from neuronlake.sql.files.folders import is_exported

_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class OutputError(NeuronlakeError):
    """A file cannot be written as asked."""


def make_folder(folder: Path) -> None:
    """Make a folder for outputs, unless it is there.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise OutputError(f"{folder} is a file; name a folder with --output") from error
    except OSError as error:
        raise explained(folder, error) from error


def check_output(path: Path) -> None:
    """Refuse what must not or cannot be written over, before any work is done for it.

    Raises:
        OutputError: it is a folder or in none, or it is a warehouse or a part of one, also by another name.
    """
    try:
        if path.is_dir():
            raise OutputError(f"{path} is a folder; name a file with --output")
        if not path.parent.is_dir():
            raise OutputError(f"the folder {path.parent} does not exist; make it or name another with --output")
        _check_no_duckdb(path, " with --output")
    except OSError as error:
        raise explained(path, error) from error


def check_copy(target: str) -> None:
    """Refuse what SQL must not write over; a folder whole, as COPY can empty it first.

    Raises:
        OutputError: it is a warehouse or a part of one, also by another name, a folder that holds one, or in an
            exported folder.
    """
    # as DuckDB reads it
    path = Path(re.sub(r"^file:(//localhost|//)?(?=/)", "", target))
    path = path.expanduser() if path.parts[:1] == ("~",) else path
    real = Path(os.path.realpath(path))
    if exported := next((folder for folder in (real, *real.parents) if is_exported(folder)), None):
        raise OutputError(f"{path} is in the exported folder {exported}, which is read-only; name another place")
    try:
        _check_no_duckdb(path)
        held = next((file for file in path.rglob("*") if os.access(file, os.R_OK) and _is_duckdb(file)), None)
        if held:
            raise OutputError(f"{path} holds the DuckDB file {held.relative_to(path)}; name another folder")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {(error.strerror or str(error)).lower()}") from error


def _check_no_duckdb(path: Path, option: str = "") -> None:
    """Refuse a DuckDB file, and its log."""
    if _is_duckdb(path):
        raise OutputError(f"{path} is a DuckDB file, which nothing is written over; name another{option}")
    for name in (path, Path(os.path.realpath(path))):
        log = re.fullmatch(r"(.+)\.wal(\.\w+)?", name.name, re.IGNORECASE)
        if log and _is_duckdb(name.with_name(log[1])):
            raise OutputError(f"{path} belongs to the DuckDB file {log[1]}; name another file{option}")


def write_output(path: Path, content: bytes) -> None:
    """Write a file; what was there before stays as it was until the new one is complete.

    A link stays a link, to the new content; a file that is there keeps its permissions.

    Raises:
        OutputError: see `check_output`; or there is no room or no permission for it.
        BrokenPipeError: it is a pipe, and nobody reads it any more.
    """
    check_output(path)
    try:
        _replace(path, content)
    except BrokenPipeError:
        raise  # the reader of a pipe has gone, which is no fault of the place
    except OSError as error:
        raise explained(path, error) from error


def _replace(path: Path, content: bytes) -> None:
    """Write the content beside the file and move it there."""
    before = path.stat() if path.exists() else None
    if before and not stat.S_ISREG(before.st_mode):
        path.write_bytes(content)  # a pipe or a device, such as /dev/stdout
        return
    home = Path(os.path.realpath(path))
    beside = home.with_name(f".neuronlake-{secrets.token_hex(8)}")
    try:
        with beside.open("xb") as file:
            if before:
                with suppress(OSError, AttributeError):  # only root gives files away, and not on every disk or system
                    os.chown(beside, before.st_uid, before.st_gid)
                with suppress(OSError):  # some disks have no permissions
                    beside.chmod(stat.S_IMODE(before.st_mode))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(home)
    finally:
        beside.unlink(missing_ok=True)


def _is_duckdb(path: Path) -> bool:
    """Whether a file begins as DuckDB's do."""
    return path.is_file() and _beginning(path)[8:] == b"DUCK"


def _beginning(path: Path) -> bytes:
    """Twelve bytes, read by a descriptor that this process has of the file already, if any.

    Closing a new one would end DuckDB's lock on a file that is open in this process.
    """
    file = path.stat()
    descriptors = Path("/dev/fd")
    for descriptor in descriptors.iterdir() if descriptors.is_dir() else ():
        with suppress(OSError):
            if os.path.samestat(os.fstat(int(descriptor.name)), file):
                return os.pread(int(descriptor.name), 12, 0)
    with path.open("rb") as opened:
        return opened.read(12)


def explained(path: Path, error: OSError) -> OutputError:
    """What the system says, and the next step."""
    step = "free some space and run it again" if error.errno in _FULL_DISK else "name another place with --output"
    return OutputError(f"{path} cannot be written: {(error.strerror or str(error)).lower()}; {step}")
