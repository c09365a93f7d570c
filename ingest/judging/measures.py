"""How good labels are, as numbers: areas under curves, correlations, calibration, and intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from scipy.stats import binomtest, rankdata
from torch import Tensor

_RESAMPLES = 1000
_BINS = 10


@dataclass(frozen=True)
class Measured:
    """A measure over units, with its bootstrap 95 % interval; NaN where it is not defined."""

    measure: str
    value: float
    low: float
    high: float
    units: int


@dataclass(frozen=True)
class ReliabilityBin:
    """The labels whose confidence lies in one of ten parts of [0, 1].

    Attributes:
        start: of the part, which belongs to it.
        end: of the part, which belongs to the next; 1 to the last.
        units: how many; none where there are no labels.
        confidence: their mean confidence; NaN for no units, as all that follows.
        right: share of labels that are right.
        low: lower end of its 95 % interval, by Wilson's score.
        high: upper end of it.
    """

    start: float
    end: float
    units: int
    confidence: float
    right: float
    low: float
    high: float


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


def calibration_error(confidence: Tensor, is_right: Tensor) -> Tensor:
    """How far confidence lies from the share of right labels: the mean over ten bins, weighted by their units.

    The expected calibration error of Guo et al., "On calibration of modern neural networks" (ICML 2017). It is above 0
    for a perfect confidence too, by about the sampling error of the shares, and more so when resampled.

    Args:
        confidence: (n,) in [0, 1].
        is_right: (n,) bool.

    Returns:
        () float64; NaN for no units.
    """
    gaps = is_right.double() - confidence.double()
    in_bins = torch.zeros(_BINS, dtype=torch.float64).index_add_(0, _bins(confidence), gaps)
    return in_bins.abs().sum() / len(gaps)


def reliability(confidence: Tensor, is_right: Tensor) -> list[ReliabilityBin]:
    """The ten bins of `calibration_error`, each with its share of right labels.

    Args:
        confidence: (n,) in [0, 1].
        is_right: (n,) bool.
    """
    places = _bins(confidence)
    found: list[ReliabilityBin] = []
    for place in range(_BINS):
        inside = places == place
        units, right = int(inside.sum()), int(is_right[inside].sum())
        ends = (torch.nan, torch.nan)
        if units:
            interval = binomtest(right, units).proportion_ci(method="wilson")
            ends = (float(interval.low), float(interval.high))
        mean_confidence, share = (float(mean(values[inside])) for values in (confidence, is_right))
        found.append(ReliabilityBin(place / _BINS, (place + 1) / _BINS, units, mean_confidence, share, *ends))
    return found


def _bins(confidence: Tensor) -> Tensor:
    """The number of the bin of each, (n,) int64."""
    return (confidence * _BINS).long().clamp(0, _BINS - 1)


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
