"""Network Dissection: the concept whose pixels a unit's own cover best, by their intersection over their union.

Bau et al., CVPR 2017; with a length above 1 the formulas of Mu & Andreas, NeurIPS 2020. Where there are no masks, an
image is all of what its label says and a unit is active on whole images, as for the units of a classifier.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from neuronlake.ingest.labelers.base import LayerData, LayerLabels, Need, Overlaps, one_concept_each
from neuronlake.ingest.labelers.dissecting.formulas import OPERATORS, Formula, best_formulas
from neuronlake.ingest.labelers.dissecting.regions import Dissection, active_images
from neuronlake.ingest.labelers.dissecting.tally import DEFINITIONS, tally
from neuronlake.ingest.labelers.settings import Scoring, Value

DEFAULTS: dict[str, Value] = {"iou": 0.04, "quantile": 0.005, "length": 1, "beam": 5, "definition": DEFINITIONS[0]}


@dataclass(frozen=True)
class NetworkDissection:
    """Labels by masks. A unit that meets no concept has none; `iou` says only which units count as detectors."""

    scoring: Scoring

    @property
    def needs(self) -> frozenset[Need]:
        """See Labeler."""
        return frozenset({Need.MASKS})

    def label(self, layer: LayerData) -> LayerLabels:
        """See Labeler; a label's score is its IoU."""
        settings = self.scoring.parameters
        found = layer.dissection or Dissection(
            layer.shared.regions, active_images(layer.activations, float(settings["quantile"]))
        )
        length, beam = int(settings["length"]), int(settings["beam"])
        return _formulas(found, length, beam) if length > 1 else _concepts(found, str(settings["definition"]))


def _concepts(found: Dissection, definition: str) -> LayerLabels:
    """The best concept of each unit."""
    counts = tally(found, definition)
    iou, union = counts.iou, counts.union
    # of equal ones the first, which topk does not promise
    values, places = (each[:, :2] for each in iou.sort(dim=1, descending=True, stable=True))
    meets = values[:, :1] > 0
    scores = values.masked_fill(~meets, torch.nan)
    concepts = places.masked_fill(~meets, -1)
    place = places[:, :1]
    labels = one_concept_each(
        concepts[:, 0],
        scores[:, 0],
        runner_up=concepts[:, 1] if iou.shape[1] > 1 else None,
        runner_up_score=scores[:, 1] if iou.shape[1] > 1 else None,
        matrix=iou,
    )
    of_label = (_array(each.gather(1, place)[:, 0]) for each in (counts.intersection, union))
    of_concepts = _array(counts.intersection), _array(union)
    return replace(labels, overlaps=Overlaps(_array(found.active.thresholds), *of_label, of_concepts=of_concepts))


def _formulas(found: Dissection, length: int, beam: int) -> LayerLabels:
    """The best formula of each unit."""
    formulas = best_formulas(found, length, beam)
    terms = np.full((len(formulas), length), -1)
    operators = np.zeros(terms.shape, dtype=np.int8)
    for unit, formula in enumerate(formulas):
        if formula is not None:
            terms[unit, : len(formula.concepts)] = formula.concepts
            operators[unit, 1 : len(formula.concepts)] = [1 + OPERATORS.index(each) for each in formula.operators]
    none = Formula((), (), float("nan"), 0, 0)
    known = [formula or none for formula in formulas]
    intersection, union = (
        np.array([getattr(each, name) for each in known], dtype=np.int64) for name in ("intersection", "union")
    )
    return LayerLabels(
        terms=terms,
        weights=np.ones(terms.shape, dtype=np.float32),
        score=np.array([each.iou for each in known], dtype=np.float32),
        runner_up=np.full(len(known), -1),
        runner_up_score=np.full(len(known), np.nan, dtype=np.float32),
        operators=operators,
        overlaps=Overlaps(_array(found.active.thresholds), intersection, union),
    )


def _array(found: Tensor) -> np.ndarray:
    """A tensor of any device as an array."""
    return found.cpu().numpy()
