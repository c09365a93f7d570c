"""Labels chosen anew without a part of the images, so that what is left out can judge them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from neuronlake.ingest.labelers.base import LabelOne, LayerData, LayerLabels, Take
from neuronlake.sql.store.scratch import empty_matrix

# with fewer, a part would hold not even two
_FEWEST_IMAGES = 10


def chosen_without(choose: LabelOne, layer: LayerData, scratch: Path) -> Iterator[tuple[int, LayerLabels]]:
    """Each fold with the labels that all others choose; none where there are too few images or folds.

    Args:
        choose: says what the units of a layer stand for.
        layer: with folds.
        scratch: folder for copies of what does not fit in memory.
    """
    folds = layer.shared.folds
    if folds is None or not can_be_left_out(folds):
        return
    for fold in folds.unique().tolist():
        others = (folds != fold).nonzero()[:, 0]
        yield fold, choose(layer.of_images(others, rows_in(scratch)))


def can_be_left_out(folds: Tensor) -> bool:
    """Whether there are enough images and folds to leave one out."""
    return len(folds) >= _FEWEST_IMAGES and len(folds.unique()) > 1


def rows_in(scratch: Path) -> Take:
    """Copies rows of a matrix; to a file in a folder, or where there is none elsewhere, where they are many."""
    # another machine of a cluster may not see it
    folder = scratch if scratch.is_dir() else Path(tempfile.gettempdir())

    def take(matrix: Tensor, rows: Tensor) -> Tensor:
        if matrix.dim() == 1 or matrix.device.type != "cpu":
            return matrix[rows]
        # laid out as the matrix is: activations stand unit by unit
        by_column = matrix.stride(0) == 1
        stored = matrix.T if by_column else matrix
        shape = (stored.shape[0], len(rows)) if by_column else (len(rows), stored.shape[1])
        copied = torch.from_numpy(empty_matrix(*shape, folder))
        torch.index_select(stored, int(by_column), rows, out=copied)
        return copied.T if by_column else copied

    return take
