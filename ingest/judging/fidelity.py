"""How well a label's predicted signal follows its unit, by six measures that tell missing from extra images.

All of them fall when half of a concept's images are missing from the signal and when as many wrong ones are added, as
Oikarinen et al., "Evaluating Neuron Explanations: A Unified Framework with Sanity Checks" (ICML 2025, arXiv 2506.05774)
ask of a measure; recall, precision, the area under the ROC curve and Spearman's correlation do not.

Throughout

    activations: (images, columns) float32, finite, a unit a column
    signals: (images, columns) float32, what each unit's label predicts, such as the cosines of its concept
    folds: (images,) int64, from 0; images of one fold are put beside each other only, since each fold can have signals
        of another concept. All zero where each column has one signal.

and a result is (columns,) float32: NaN where the unit is the same for all images of each fold, and 0 where the signal
is.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn.functional import one_hot

# a unit's top images, and a signal's
TOP_SHARE = 0.05
# of a column's largest value
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Fidelity:
    """The measures, each (columns,) float32."""

    correlation: Tensor
    cubed_correlation: Tensor
    cosine: Tensor
    auprc: Tensor
    f1: Tensor
    iou: Tensor


def fidelity(activations: Tensor, signals: Tensor, folds: Tensor) -> Fidelity:
    """All measures of each column."""
    centred = _about_means(activations, folds), _about_means(signals, folds)
    unit_top, signal_top = top_share(activations, folds), top_share(signals, folds)
    is_constant = ~centred[0].any(dim=0)
    found = (
        _cosines(*centred),
        _cosines(*map(_cubed, centred)),
        _cosines(scaled(activations), scaled(signals)),
        average_precisions(signals, unit_top, folds),
        *overlaps(unit_top, signal_top),
    )
    return Fidelity(*(values.masked_fill(is_constant, torch.nan) for values in found))


def joined(parts: list[Fidelity]) -> Fidelity:
    """The measures of blocks of columns as those of all."""
    return Fidelity(*(torch.cat([getattr(part, each.name) for part in parts]) for each in fields(Fidelity)))


def correlations(activations: Tensor, signals: Tensor, folds: Tensor) -> Tensor:
    """Pearson's correlation, of what is above and below the means of each fold."""
    return _cosines(_about_means(activations, folds), _about_means(signals, folds))


def cubed_correlations(activations: Tensor, signals: Tensor, folds: Tensor) -> Tensor:
    """The cosine of the third powers of the same: the extremes count.

    Of one fold it is what the method cos_similarity_cubed of CLIP-Dissect (Oikarinen & Weng, ICLR 2023) scores by.
    """
    return _cosines(_cubed(_about_means(activations, folds)), _cubed(_about_means(signals, folds)))


def top_share(values: Tensor, folds: Tensor) -> Tensor:
    """The images at the top of each fold, (images, columns) bool: `TOP_SHARE` of them, and ties with the last.

    The lowest value of a fold is at no top, nor is one that would put more than half of the images there: a signal that
    is the same but for a few images has at its top what is above that alone.
    """
    is_top = torch.zeros_like(values, dtype=torch.bool)
    for fold in folds.unique():
        rows = (folds == fold).nonzero()[:, 0]
        of_fold = values[rows]
        kth = of_fold.topk(max(1, round(TOP_SHARE * len(rows))), dim=0).values[-1]
        at_least = of_fold >= kth
        is_usual = 2 * at_least.sum(dim=0) > len(rows)
        is_top[rows] = torch.where(is_usual, of_fold > kth, at_least & (of_fold > of_fold.amin(dim=0)))
    return is_top


def overlaps(unit_top: Tensor, signal_top: Tensor) -> tuple[Tensor, Tensor]:
    """F1 of one set of images for the other, and their intersection over their union.

    Args:
        unit_top: (images, columns) bool.
        signal_top: (images, columns) bool.
    """
    both = (unit_top & signal_top).sum(dim=0).float()
    sizes = (unit_top.sum(dim=0) + signal_top.sum(dim=0)).float().clamp_min(1)
    return 2 * both / sizes, both / (sizes - both).clamp_min(1)


def average_precisions(signals: Tensor, targets: Tensor, folds: Tensor) -> Tensor:
    """Area under the precision-recall curve of each column, the mean over the folds that hold targets.

    The sum over thresholds of precision times the recall gained there; images of equal signal pass one together.

    Args:
        signals: (images, columns).
        targets: (images, columns) bool.
        folds: (images,) int64.
    """
    total = torch.zeros(signals.shape[1], device=signals.device)
    weight = torch.zeros_like(total)
    for fold in folds.unique():
        rows = (folds == fold).nonzero()[:, 0]
        # a column a row: sorted twice as fast
        ordered = signals[rows].T.contiguous().sort(dim=1, descending=True)
        hits = targets[rows].T.gather(1, ordered.indices).float()
        # of each image the last place with the same signal
        places = torch.arange(len(rows), device=signals.device)
        is_last = torch.ones_like(hits, dtype=torch.bool)
        is_last[:, :-1] = ordered.values[:, :-1] != ordered.values[:, 1:]
        last = torch.where(is_last, places, len(rows)).flip(1).cummin(dim=1).values.flip(1)
        precision = hits.cumsum(dim=1).gather(1, last) / (last + 1)
        count = hits.sum(dim=1)
        total += torch.where(count > 0, (precision * hits).sum(dim=1) / count.clamp_min(1), 0.0) * len(rows)
        weight += (count > 0) * len(rows)
    return total / weight.clamp_min(1)


def _cosines(activations: Tensor, signals: Tensor) -> Tensor:
    """The cosine of each column with the same column of the other; 0 where one has no length."""
    product = (activations * signals).sum(dim=0)
    lengths = (activations.square().sum(dim=0) * signals.square().sum(dim=0)).sqrt()
    return torch.where(lengths > 0, product / lengths, 0.0)


def _cubed(values: Tensor) -> Tensor:
    """Third powers: multiplied, for a power takes four times as long."""
    return values.square().mul_(values)


def _about_means(values: Tensor, folds: Tensor) -> Tensor:
    """Each column less the mean of each fold, and of 1 at the largest; 0 where it hardly varies beside its size."""
    values = scaled(values)
    members = one_hot(folds).to(values.dtype)
    shares = members / members.sum(dim=0).clamp_min(1)
    for _ in range(2):  # twice, for the digits
        values = torch.addmm(values, members, shares.T @ values, alpha=-1)
    low, high = values.aminmax(dim=0)
    return scaled(values.mul_(torch.maximum(high, -low) > _ROUNDING))


def scaled(values: Tensor) -> Tensor:
    """Each column over its largest absolute value, so that its sixth powers stay in float32's range."""
    low, high = values.aminmax(dim=0)
    return values / torch.maximum(high, -low).clamp_min(torch.finfo(torch.float32).tiny)
