"""Matrices of any size: small ones in memory, large ones in a file that goes with them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

from neuronlake import NeuronlakeError

_LARGEST_IN_MEMORY = 256 * 2**20


class ScratchError(NeuronlakeError):
    """There is no room for a matrix."""


def empty_matrix(rows: int, columns: int, folder: Path) -> np.ndarray:
    """A (rows, columns) float32 array of no particular values, contiguous.

    A large one lies in a file without a name, whose pages the system writes out and takes back as it needs the
    memory for something else.

    Args:
        rows: how many.
        columns: how many.
        folder: where a large one lies.

    Raises:
        ScratchError: the disk has too little room for it.
    """
    size = 4 * rows * columns
    if size <= _LARGEST_IN_MEMORY:
        return np.empty((rows, columns), dtype=np.float32)
    descriptor, name = tempfile.mkstemp(prefix=".neuronlake-", dir=folder)
    try:
        _reserve(descriptor, size)
        return np.memmap(name, dtype=np.float32, mode="r+", shape=(rows, columns))
    except OSError as error:
        raise ScratchError(
            f"{folder} has no room for {size / 1e9:.1f} GB of activations that do not fit in memory "
            f"({error.strerror}); free some"
        ) from error
    finally:
        os.close(descriptor)
        Path(name).unlink()


def _reserve(descriptor: int, size: int) -> None:
    """Give a file its size, so that a full disk is an error here and not a crash when its pages are written.

    Raises:
        OSError: the disk has too little room.
    """
    if hasattr(os, "posix_fallocate"):  # not everywhere
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.ftruncate(descriptor, size)
