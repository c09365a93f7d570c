"""Files that several processes may want to make or remove at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from neuronlake.sql.failures import InUseError, WarehouseError, open_failure

FileIdentity = tuple[int, int]


def identity(path: Path) -> FileIdentity | None:
    """Which file has this name now: its device and inode; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


@contextmanager
def sole_maker(path: Path) -> Generator[None]:
    """The right to make a file, which one process at a time has, and no killed one.

    It is a lock on a file beside it, which goes at the end; what a killed process left of that does not hold.

    Raises:
        InUseError: another process has it.
        WarehouseError: the file system knows no locks.
    """
    if sys.platform == "win32":  # without such locks; what is made is still linked to a free name alone
        yield
        return
    lock = path.with_name(f".{path.name}.neuronlake-lock")
    descriptor = _locked(lock, path)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)  # first, so that who opened it meanwhile sees that it is another's
        os.close(descriptor)


def _locked(lock: Path, path: Path) -> int:
    """A descriptor of the file `lock`, locked."""
    import fcntl  # noqa: PLC0415  not everywhere

    while True:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise open_failure(path, str(error)) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            status = os.fstat(descriptor)
        except BlockingIOError as error:
            os.close(descriptor)
            raise InUseError(f"{path} is being made by another process; wait until it ends, or name another") from error
        except OSError as error:
            os.close(descriptor)
            lock.unlink(missing_ok=True)
            raise WarehouseError(
                f"{path} cannot be made: its disk knows no locks ({error.strerror}), which it needs; "
                "name a file on another disk"
            ) from error
        # removed between the two calls, the lock is on a file that nobody else will see
        if identity(lock) == (status.st_dev, status.st_ino):
            return descriptor
        os.close(descriptor)
