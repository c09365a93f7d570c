"""Sums of concepts: a unit's activation as a weighted sum of the signals of a few concepts.

Oikarinen & Weng, "Linear Explanations for Individual Neurons", ICML 2024, arXiv 2405.06855, choose them by an elastic
net and a greedy step, one unit at a time; here a pursuit chooses them for all units at once. As there, part of the
images does not choose: it says how many concepts are worth having.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neuronlake.ingest.labelers.base import LayerData, LayerLabels, Need, needs_of_signal
from neuronlake.ingest.labelers.predicting.least_squares import correlations, weights
from neuronlake.ingest.labelers.predicting.products import ConceptProducts, TermSums, Units, of_terms, units_of
from neuronlake.ingest.labelers.predicting.pursuit import Pursuit
from neuronlake.ingest.labelers.predicting.signals import SHAPES
from neuronlake.ingest.labelers.settings import Scoring, Value

DEFAULTS: dict[str, Value] = {"concepts": 4, "gain": 0.01, "signed": 1, "signal": SHAPES[0]}

# Covariances of units and concepts that are held at once.
_AT_ONCE = 2**23
_OF_USUAL_LENGTH = 4
# with fewer images none is spared to try a sum on
_FEWEST_IMAGES = 10


@dataclass(frozen=True)
class Linear:
    """A sum of concepts for each unit; that of the largest weight comes first, negative ones last.

    A unit that goes up with no concept has no label.
    """

    scoring: Scoring

    @property
    def needs(self) -> frozenset[Need]:
        """See Labeler."""
        return needs_of_signal(self.scoring)

    def label(self, layer: LayerData) -> LayerLabels:
        """See Labeler; a label's score is its correlation with the unit on the images that did not choose it."""
        settings = self.scoring.parameters
        gain, is_signed = float(settings["gain"]), bool(settings["signed"])
        signals = layer.shared.signals
        tried = _tried(layer.shared.content_folds, layer.activations)
        fitted = 1 - tried
        # least squares needs more images than weights, and without images to try them on one concept has to do
        most = min(int(settings["concepts"]), max(1, int(fitted.sum()) - 2)) if tried.any() else 1
        pursuit = Pursuit(ConceptProducts(signals, fitted), most, signed=is_signed)
        parts = [_no_labels(most)]
        for some in _blocks(layer.activations.shape[1], signals.concepts, most):
            units = units_of(layer.activations[:, some])
            chosen = pursuit.chosen(units)
            sums = _Sums(*of_terms(signals, units, chosen, fitted, tried))
            parts.append(_labels(chosen.cpu(), sums, units, gain, signed=is_signed))
        return LayerLabels(
            *(np.concatenate([getattr(part, name) for part in parts]) for name in _OF_UNITS),
            intercepts=np.concatenate([part.intercepts for part in parts if part.intercepts is not None]),
        )


_OF_UNITS = ("terms", "weights", "score", "runner_up", "runner_up_score")


@dataclass(frozen=True)
class _Sums:
    """Of the chosen concepts of each unit, over the images that chose them and over the others."""

    fitted: TermSums
    tried: TermSums


def _labels(chosen: Tensor, sums: _Sums, units: Units, gain: float, *, signed: bool) -> LayerLabels:
    """As many of the concepts as are worth having, with weights by all images."""
    count, score = _worth_having(chosen, sums, gain, signed=signed)
    is_in = torch.arange(chosen.shape[1], device=chosen.device) < count[:, None]
    everything = sums.fitted.plus(sums.tried)
    squares, products, _ = everything.centred()
    found = weights(squares, products, is_in & (chosen >= 0), signed=signed)
    means = (everything.signals * found).sum(dim=1), everything.activations
    scale = units.scale.cpu()
    intercept = (means[1] - means[0]) / everything.images * scale + units.middle.cpu()
    # the heaviest first, and what the unit shuns last
    order = torch.where(found > 0, -found.abs(), torch.where(found < 0, 1 / found.abs(), torch.inf)).argsort(dim=1)
    found = found.gather(1, order)
    # what goes up with no concept, once all images count, stands for none
    found = found.masked_fill(found[:, :1] <= 0, 0)
    terms = chosen.gather(1, order).masked_fill(found == 0, -1)
    has_label = terms[:, 0] >= 0
    unknown = torch.full(score.shape, torch.nan)
    return LayerLabels(
        terms=terms.numpy(),
        weights=(found * scale[:, None]).float().numpy(),
        score=torch.where(has_label, score, torch.nan).float().numpy(),
        runner_up=torch.full(score.shape, -1).numpy(),
        runner_up_score=unknown.numpy(),
        intercepts=torch.where(has_label, intercept, torch.nan).float().numpy(),
    )


def _worth_having(chosen: Tensor, sums: _Sums, gain: float, *, signed: bool) -> tuple[Tensor, Tensor]:
    """How many concepts each unit keeps: the next one, as long as it gains enough where it was not chosen.

    Returns:
        (units,) int64; and the correlation there, (units,) float64, NaN where there are no such images.
    """
    squares, products, _ = sums.fitted.centred()
    tried = sums.tried.centred()
    count = torch.ones(len(chosen), dtype=torch.int64)
    reached = torch.full((len(chosen),), torch.nan, dtype=torch.float64)
    if not sums.tried.images:
        return count, reached
    for most in range(1, chosen.shape[1] + 1):
        is_in = (torch.arange(chosen.shape[1], device=chosen.device) < most) & (chosen >= 0)
        correlation = correlations(*tried, weights(squares, products, is_in, signed=signed))
        # a unit that has stopped has not as many as this step's predecessor
        joins = (count == most - 1) & (correlation - reached >= gain) if most > 1 else torch.ones_like(count).bool()
        count, reached = torch.where(joins, most, count), torch.where(joins, correlation, reached)
    return count, reached


def _no_labels(most: int) -> LayerLabels:
    """Of no units."""
    nothing, none = np.empty(0, np.float32), np.empty(0, np.int64)
    return LayerLabels(
        np.empty((0, most), np.int64), np.empty((0, most), np.float32), nothing, none, nothing, intercepts=nothing
    )


def _tried(folds: Tensor | None, activations: Tensor) -> Tensor:
    """The images that a sum is tried on, (images,) float32: the last fold, if there are folds and enough images."""
    images = len(activations)
    if folds is None or images < _FEWEST_IMAGES or len(found := folds.unique()) < 2:
        return torch.zeros(images, device=activations.device)
    return (folds == found[-1]).float()


def _blocks(units: int, concepts: int, most: int) -> Iterator[slice]:
    """Slices over the units, of few enough that their covariances with all concepts are held several times.

    So are those of all concepts with the units' own, of which long sums have many.
    """
    size = max(1, _AT_ONCE * _OF_USUAL_LENGTH // max(1, concepts) // max(_OF_USUAL_LENGTH, most))
    for start in range(0, units, size):
        yield slice(start, min(start + size, units))
