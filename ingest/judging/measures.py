"""How good labels are, as numbers: areas under curves, correlations, and their bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from scipy.stats import rankdata
from torch import Tensor

_RESAMPLES = 1000


@dataclass(frozen=True)
class Measured:
    """A measure over units, with its bootstrap 95 % interval; NaN where it is not defined."""

    measure: str
    value: float
    low: float
    high: float
    units: int


def measure(name: str, statistic: Callable[..., Tensor], *values: Tensor, seed: int) -> Measured:
    """A statistic of per-unit values, and the interval that resampling the units gives it.

    The percentile bootstrap of Efron, "Bootstrap methods: another look at the jackknife" (Ann. Stat. 1979), with
    1,000 resamples.

    Args:
        name: of the measure.
        statistic: takes tensors of (units,) and returns a scalar.
        values: what it takes, each (units,).
        seed: of the resampling.
    """
    units = values[0].shape[0]
    if units == 0:
        return Measured(name, torch.nan, torch.nan, torch.nan, 0)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(units, (_RESAMPLES, units), generator=generator)
    resampled = torch.stack([statistic(*(value[rows] for value in values)) for rows in drawn]).double()
    low, high = resampled.nanquantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Measured(name, float(statistic(*values)), low, high, units)


def mean(values: Tensor) -> Tensor:
    """The mean, () float64."""
    return values.double().mean()


def median(values: Tensor) -> Tensor:
    """The median, () float64: of an even number the mean of the middle two."""
    return values.double().quantile(0.5)


def area_under_roc(scores: Tensor, is_right: Tensor) -> Tensor:
    """The chance that a right one has the higher score, a tie counting one half; NaN where all are alike.

    Args:
        scores: (n,).
        is_right: (n,) bool.
    """
    ranks = torch.from_numpy(rankdata(scores.numpy()))
    right = is_right.sum().double()
    wrong = is_right.numel() - right
    return (ranks[is_right].sum() - right * (right + 1) / 2) / (right * wrong)


def correlations(first: Tensor, second: Tensor) -> Tensor:
    """Pearson's correlation of each column with the same column of the other; NaN where one is constant.

    Args:
        first: (n, columns).
        second: (n, columns).

    Returns:
        (columns,) float32.
    """
    first, second = first - first.mean(dim=0), second - second.mean(dim=0)
    return (first * second).sum(dim=0) / (first.norm(dim=0) * second.norm(dim=0))


def average_precisions(scores: Tensor, targets: Tensor) -> Tensor:
    """Area under the precision-recall curve of each column: the mean precision at the places of the targets.

    Args:
        scores: (n, columns), higher for more likely; of equal scores the earlier row comes first.
        targets: (n, columns) bool, each column with at least one.

    Returns:
        (columns,) float32.
    """
    order = scores.argsort(dim=0, descending=True, stable=True)
    hits = targets.gather(0, order).float()
    places = torch.arange(1, len(hits) + 1, device=hits.device)[:, None]
    return (hits.cumsum(dim=0) / places * hits).sum(dim=0) / hits.sum(dim=0)
