"""What an encoder can see of a unit at all: how well the best linear readout of the image embeddings predicts it.

A ridge regression for each unit, fitted on all folds but one and tried on that one. Everything follows from Gram
matrices of each fold, so that the images are gone through once and no image is held.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neuronlake.ingest.labelers.predicting.products import Units, units_of

# of the mean eigenvalue of the embeddings' covariance
_PENALTIES = (0.01, 0.1, 1.0, 10.0)
_ROWS_AT_ONCE = 2**13


@dataclass(frozen=True)
class _Moments:
    """Sums over images, float64 on the CPU, for embeddings x and activations a: 1, x, a, xx', xa' and a squared."""

    images: int
    x: Tensor
    a: Tensor
    xx: Tensor
    xa: Tensor
    aa: Tensor

    def plus(self, other: _Moments, sign: int = 1) -> _Moments:
        """Over the images of both, or without those of the other."""
        mine, others = vars(self), vars(other)
        return _Moments(**{name: mine[name] + sign * others[name] for name in mine})

    def centred(self) -> tuple[Tensor, Tensor, Tensor]:
        """xx', xa' and a squared of what is above and below the means."""
        over = 1 / max(1, self.images)
        return (
            self.xx - over * torch.outer(self.x, self.x),
            self.xa - over * torch.outer(self.x, self.a),
            (self.aa - over * self.a.square()).clamp_min(0),
        )


def ceilings(features: Tensor, activations: Tensor, folds: Tensor) -> Tensor:
    """Held-out correlation of a ridge regression of each unit on the image embeddings.

    Of a few penalties the one that is best for the mean of the layer's units. Correlations are of what is above and
    below the mean of each fold.

    Args:
        features: (images, dimensions) float32.
        activations: (images, units) float32.
        folds: (images,) int64.

    Returns:
        (units,) float32; NaN for a unit that is the same for all images of each fold; for all where there is one
            fold.
    """
    units = activations.shape[1]
    if len(folds.unique()) < 2 or units == 0:
        return torch.full((units,), torch.nan)
    # float32 sums keep no digits of a unit that is large and hardly varies, and squares have a range
    in_range = units_of(activations)
    parts = [_moments(features, in_range, (folds == fold).nonzero()[:, 0]) for fold in folds.unique()]
    everything = parts[0]
    for part in parts[1:]:
        everything = everything.plus(part)
    covariance = torch.zeros(len(_PENALTIES), units, dtype=torch.float64)
    variance = torch.zeros_like(covariance)
    total = torch.zeros(units, dtype=torch.float64)
    for part in parts:
        xx, xa, _ = everything.plus(part, -1).centred()
        tried_xx, tried_xa, tried_aa = part.centred()
        values, vectors = torch.linalg.eigh(xx)
        values = values.clamp_min(0)
        turned = vectors.T @ xa
        total += tried_aa
        for row, penalty in enumerate(_PENALTIES):
            weights = vectors @ (turned / (values + penalty * values.mean() + 1e-30)[:, None])
            covariance[row] += (weights * tried_xa).sum(dim=0)
            variance[row] += (weights * (tried_xx @ weights)).sum(dim=0)
    # a readout that says the same of all images predicts nothing
    found = torch.where(total > 0, covariance / (variance * total).sqrt().clamp_min(1e-30), torch.nan).clamp(-1, 1)
    best = found.nanmean(dim=1).nan_to_num(-1.0).argmax()
    return found[best].float()


def _moments(features: Tensor, units: Units, rows: Tensor) -> _Moments:
    """Of some images, block by block, and of activations in range."""
    dimensions = features.shape[1]
    total = _Moments(0, *(torch.zeros(size, dtype=torch.float64) for size in _sizes(dimensions, units.count)))
    for block in rows.split(_ROWS_AT_ONCE):
        # activations stand unit by unit
        x = features[block]
        a = units.activations.T.index_select(1, block).sub_(units.middle[:, None]).div_(units.scale[:, None])
        sums = (x.sum(dim=0), a.sum(dim=1), x.T @ x, (a @ x).T, a.square().sum(dim=1))
        total = total.plus(_Moments(len(block), *(each.cpu().double() for each in sums)))
    return total


def _sizes(dimensions: int, units: int) -> tuple[tuple[int, ...], ...]:
    """Of the sums."""
    return (dimensions,), (units,), (dimensions, dimensions), (dimensions, units), (units,)
