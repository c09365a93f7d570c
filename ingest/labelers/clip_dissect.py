"""CLIP-Dissect: a unit stands for the concept whose images, as an image-text model sees them, are most like its own.

Oikarinen & Weng, "CLIP-Dissect: Automatic Description of Neuron Representations in Deep Vision Networks", ICLR 2023.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neuronlake.ingest.labelers import significance, similarity
from neuronlake.ingest.labelers.base import LayerData, LayerLabels, Need, one_concept_each
from neuronlake.ingest.labelers.settings import Scoring, ScoringError
from neuronlake.ingest.labelers.similarity import Cosines


@dataclass(frozen=True)
class ClipDissect:
    """The best column of a layer's unit-by-concept similarities."""

    scoring: Scoring

    @property
    def needs(self) -> frozenset[Need]:
        """See Labeler."""
        return frozenset({Need.EMBEDDINGS})

    def label(self, layer: LayerData) -> LayerLabels:
        """See Labeler.

        Raises:
            ScoringError: a score is not a number.
        """
        return score_units(layer.shared.cosines, layer.activations, self.scoring)


def score_units(cosines: Cosines, activations: Tensor, scoring: Scoring) -> LayerLabels:
    """Scores of live units and their labels.

    Args:
        cosines: of images and concepts.
        activations: (images, live units) float32.
        scoring: method, parameters, draws and seed.

    Raises:
        ScoringError: a score is not a number.
    """
    units, concepts = activations.shape[1], cosines.concepts
    if units == 0:
        return one_concept_each(torch.empty(0, dtype=torch.int64), torch.empty(0), matrix=torch.empty(0, concepts))
    activations = similarity.in_range(activations)
    pseudo = significance.PseudoUnits(activations, scoring.null_draws, scoring.seed)
    method = similarity.METHODS[scoring.method]
    scores = method(cosines, activations, pseudo, **scoring.parameters).cpu()
    scores, null_scores = scores[:units], scores[units:]
    top = scores.topk(min(2, concepts), dim=1)
    if not top.values.isfinite().all():
        raise ScoringError(f"{scoring.method} gives a unit no finite score; use another method, or other parameters")
    return one_concept_each(
        top.indices[:, 0],
        top.values[:, 0],
        runner_up=top.indices[:, 1] if concepts > 1 else None,
        runner_up_score=top.values[:, 1] if concepts > 1 else None,
        matrix=scores,
        null=null_scores.argmax(dim=1) if scoring.null_draws else None,
    )
