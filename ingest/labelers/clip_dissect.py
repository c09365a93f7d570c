"""Activations of layers to similarities and labels, in tensors alone: in this process, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from neuronlake.ingest.labelers import significance, similarity
from neuronlake.ingest.labelers.settings import Scoring, ScoringError
from neuronlake.ingest.labelers.similarity import Cosines
from neuronlake.ingest.stored import StoredLayer


@dataclass(frozen=True)
class Features:
    """What all layers are scored with.

    Attributes:
        images: (images, dimensions) float32, rows of length 1 or 0.
        texts: (concepts, dimensions) float32, rows of length 1.
    """

    images: Tensor
    texts: Tensor


@dataclass(frozen=True)
class LayerActivations:
    """A layer to score.

    Attributes:
        layer: which.
        live: its live units.
        values: (images, live units) float32, finite, on the CPU.
    """

    layer: StoredLayer
    live: list[int]
    values: Tensor


@dataclass(frozen=True)
class Labels:
    """What the scores of a layer's live units say.

    Attributes:
        best: (units, 2) int64, the label and the runner-up by position in the concept set; -1 for none.
        similarity: (units, 2) float32, their scores; NaN for none.
        p: (units,) float64.
        q: (units,) float64.
    """

    best: Tensor
    similarity: Tensor
    p: Tensor
    q: Tensor


@dataclass(frozen=True)
class LayerScores:
    """A layer that was scored.

    Attributes:
        layer: which.
        live: its live units.
        scores: (live units, concepts) float32, on the CPU.
        labels: what the scores say.
    """

    layer: StoredLayer
    live: list[int]
    scores: Tensor
    labels: Labels


# Takes layers as it has places for them, and gives them scored, in the same order.
ScoringEngine = Callable[[Features, Iterator[LayerActivations], Scoring], Iterator[LayerScores]]


def score_locally(
    device: torch.device, features: Features, layers: Iterator[LayerActivations], scoring: Scoring
) -> Iterator[LayerScores]:
    """One layer after the other, in this process."""
    cosines = Cosines(features.images.to(device), features.texts.to(device))

    def scored(layer: LayerActivations) -> LayerScores:
        return LayerScores(layer.layer, layer.live, *score_units(cosines, layer.values.to(device), scoring))

    # a loop's variable would keep a layer's activations while the next ones are read
    yield from map(scored, layers)


def score_units(cosines: Cosines, activations: Tensor, scoring: Scoring) -> tuple[Tensor, Labels]:
    """Scores of live units and their labels, with p from pseudo-units and q within the layer.

    Args:
        cosines: of images and concepts.
        activations: (images, live units) float32.
        scoring: method, parameters, draws and seed.

    Returns:
        (live units, concepts) float32 on the CPU, and the labels.

    Raises:
        ScoringError: a score is not a number.
    """
    units, concepts = activations.shape[1], cosines.concepts
    if units == 0:
        nothing = torch.empty(0, dtype=torch.float64)
        empty = Labels(torch.empty(0, 2, dtype=torch.int64), torch.empty(0, 2), nothing, nothing)
        return torch.empty(0, concepts), empty
    activations = similarity.in_range(activations)
    pseudo = significance.PseudoUnits(activations, scoring.null_draws, scoring.seed)
    method = similarity.METHODS[scoring.method]
    scores = method(cosines, activations, pseudo, **scoring.parameters).cpu()
    scores, null_scores = scores[:units], scores[units:].amax(dim=1)
    top = scores.topk(min(2, concepts), dim=1)
    best = torch.full((units, 2), -1)
    values = torch.full((units, 2), torch.nan)
    if not top.values.isfinite().all():
        raise ScoringError(f"{scoring.method} gives a unit no finite score; use another method, or other parameters")
    best[:, : top.indices.shape[1]] = top.indices
    values[:, : top.values.shape[1]] = top.values
    p = significance.p_values(values[:, 0], null_scores)
    return scores, Labels(best, values, p, significance.q_values(p))
