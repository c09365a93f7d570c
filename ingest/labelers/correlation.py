"""The one concept whose signal correlates most with the unit: what predicts it best by itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neuronlake.ingest.labelers.base import LayerData, LayerLabels, Need, needs_of_signal, one_concept_each
from neuronlake.ingest.labelers.predicting.products import of_units, units_of
from neuronlake.ingest.labelers.predicting.signals import SHAPES, Signals
from neuronlake.ingest.labelers.settings import Scoring, Value
from neuronlake.ingest.labelers.significance import PseudoUnits

DEFAULTS: dict[str, Value] = {"signal": SHAPES[0]}


@dataclass(frozen=True)
class Correlation:
    """The best column of a layer's unit-by-concept correlations."""

    scoring: Scoring

    @property
    def needs(self) -> frozenset[Need]:
        """See Labeler."""
        return needs_of_signal(self.scoring)

    def label(self, layer: LayerData) -> LayerLabels:
        """See Labeler."""
        signals, units = layer.shared.signals, layer.activations.shape[1]
        if units == 0:
            empty = torch.empty(0, signals.concepts)
            return one_concept_each(torch.empty(0, dtype=torch.int64), torch.empty(0), matrix=empty)
        matrix = correlations(signals, layer.activations)
        best = matrix.topk(min(2, signals.concepts), dim=1)
        # a concept that tells no images apart goes with no unit
        goes_with = best.values[:, 0] > 0
        scores = best.values.masked_fill(~goes_with[:, None], torch.nan)
        concepts = best.indices.masked_fill(~goes_with[:, None], -1)
        pseudo = PseudoUnits(layer.activations, self.scoring.null_draws, self.scoring.seed)
        null = [correlations(signals, batch).argmax(dim=1) for batch in pseudo.batches()]
        return one_concept_each(
            concepts[:, 0],
            scores[:, 0],
            runner_up=concepts[:, 1] if signals.concepts > 1 else None,
            runner_up_score=scores[:, 1] if signals.concepts > 1 else None,
            matrix=matrix,
            null=torch.cat(null) if null else None,
        )


def correlations(signals: Signals, activations: Tensor) -> Tensor:
    """Pearson's, of each unit and each concept's signal.

    Args:
        signals: of the images.
        activations: (images, units) float32, finite.

    Returns:
        (units, concepts) float32; 0 for a concept whose signal is not usable and for a unit that does not vary.
    """
    found = of_units(signals, units_of(activations), torch.ones(signals.images, device=activations.device))
    lengths = found.unit_deviation[:, None] * found.deviation
    is_known = (lengths > 0) & signals.usable()
    return torch.where(is_known, found.concepts / lengths.clamp_min(torch.finfo(torch.float32).tiny), 0.0).clamp_(-1, 1)
