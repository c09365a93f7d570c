"""A labeler's labels of a layer, judged: how well each predicts its unit, also where it was not chosen by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from neuronlake.ingest.judging.ceiling import ceilings
from neuronlake.ingest.judging.confidence import confidences
from neuronlake.ingest.judging.fidelity import Fidelity, correlations, cubed_correlations, fidelity, joined, scaled
from neuronlake.ingest.judging.held_out import can_be_left_out, chosen_without
from neuronlake.ingest.judging.meanings import monosemanticity, term_shares
from neuronlake.ingest.labelers.base import LabelOne, LayerData, LayerFidelity, LayerLabels, NullLabels, Shared
from neuronlake.ingest.labelers.registry import labeler_of
from neuronlake.ingest.labelers.settings import Scoring
from neuronlake.ingest.labelers.significance import PseudoUnits, p_values, q_values

# two concepts whose embeddings are as near as this nearly coincide
_NEARLY_THE_SAME = 0.9
# activations that are looked at at once, with a few matrices of the same size
_AT_ONCE = 2**22


@dataclass(frozen=True)
class Judge:
    """Labels layers and judges the labels, or judges those that are there. It is sent to other machines as it is.

    Attributes:
        label: makes labels, of pseudo-units too; None where labels of another tool are judged.
        choose: the same without pseudo-units, for labels without a part of the images.
        draws: pseudo-units behind p; 0 for none.
        seed: of the pseudo-units.
        scratch: folder for copies of what does not fit in memory.
    """

    label: LabelOne | None
    choose: LabelOne | None
    draws: int
    seed: int
    scratch: Path

    def __call__(self, layer: LayerData) -> LayerLabels:
        """The labels of a layer with their fidelity."""
        # labels that are there are made again for the pseudo-units that go with them, and for nothing else
        made = self.label(layer) if self.label and (layer.labels is None or self.draws) else None
        labels = layer.labels or made
        assert labels is not None
        measures = _measures(layer, labels, self.choose, self.scratch)
        shares, is_polysemantic = term_shares(layer, labels)
        correlation = torch.from_numpy(measures["correlation"])
        p = self._p(layer, made.null if made else None, correlation)
        known = ~p.isnan()
        q = p.clone()
        q[known] = q_values(p[known]) if known.any() else p[known]
        return replace(
            labels, null=None, fidelity=LayerFidelity(measures, shares, is_polysemantic, p.numpy(), q.numpy())
        )

    def _p(self, layer: LayerData, null: NullLabels | None, correlation: Tensor) -> Tensor:
        """Share of pseudo-units whose own labels predict them at least as well; (units,) float64."""
        unknown = torch.full(correlation.shape, torch.nan, dtype=torch.float64)
        if null is None or not len(correlation):
            return unknown
        pseudo = PseudoUnits(layer.activations, self.draws, self.seed)
        found = torch.cat(list(_of_pseudo_units(layer, pseudo, null)))
        return torch.where(correlation.isnan(), unknown, p_values(correlation, found))


@dataclass(frozen=True)
class _Terms:
    """Labels as tensors, see `LayerLabels`."""

    concepts: Tensor
    weights: Tensor
    operators: Tensor | None

    @classmethod
    def of(cls, labels: LayerLabels, device: torch.device) -> _Terms:
        """On a device."""
        operators = None if labels.operators is None else torch.from_numpy(labels.operators).to(device)
        return cls(torch.from_numpy(labels.terms).to(device), torch.from_numpy(labels.weights).to(device), operators)

    @property
    def first(self) -> Tensor:
        """The concepts that are counted, (units,) int64."""
        return self.concepts[:, 0]

    def predicted(self, layer: LayerData, units: slice) -> Tensor:
        """What the labels of some units predict, (images, units) float32."""
        operators = None if self.operators is None else self.operators[units]
        return layer.signals.predicted(self.concepts[units], self.weights[units], operators)


def judged(scoring: Scoring, scratch: Path) -> Judge:
    """A scoring's labeler, and the judge of its labels."""
    without_draws = replace(scoring, null_draws=0)
    label, choose = labeler_of(scoring).label, labeler_of(without_draws).label
    return Judge(label, choose, scoring.null_draws, scoring.seed, scratch)


def _measures(
    layer: LayerData, labels: LayerLabels, choose: LabelOne | None, scratch: Path
) -> Mapping[str, np.ndarray]:
    """All measures by the names of the table ``store.fidelities``; each (units,) float32."""
    shared = layer.shared
    terms = _Terms.of(labels, layer.activations.device)
    without = chosen_without(choose, layer, scratch) if choose else ()
    # their matrices are let go
    chosen = {fold: _Terms.of(other, layer.activations.device) for fold, other in without}
    first: list[Tensor] = []
    whole: list[Fidelity] = []
    held: list[Fidelity] = []
    for units in _blocks(layer.activations):
        activations, signals = layer.activations[:, units], terms.predicted(layer, units)
        whole.append(fidelity(activations, signals, torch.zeros_like(_folds(shared))))
        first.append(_by_first_concept(layer, units, terms, whole[-1]))
        if chosen:
            signals = _left_out_signals(layer, chosen, units)
            held.append(fidelity(activations, signals, _folds(shared)))
    on_all = joined(whole)
    found = {each.name: getattr(on_all, each.name) for each in fields(Fidelity)}
    # what was chosen by none of these images is held out from all of them
    out = joined(held) if chosen else on_all
    nothing = torch.full((layer.activations.shape[1],), torch.nan)
    is_known = bool(chosen) or choose is None
    found |= {f"held_out_{each.name}": getattr(out, each.name) if is_known else nothing for each in fields(Fidelity)}
    features, has_ceiling = shared.image_features, can_be_left_out(_folds(shared))
    found["ceiling"] = (
        ceilings(features, layer.activations, _folds(shared)) if features is not None and has_ceiling else nothing
    )
    found["monosemanticity"] = nothing if features is None else monosemanticity(features, layer.activations)
    found["stability"] = _stability(shared, terms.first, [other.first for other in chosen.values()])
    by_first = {"cubed_correlation": torch.cat(first), "stability": found["stability"]}
    # how often a label by masks is right was never found out
    is_fitted = labels.overlaps is None and not layer.is_by_area
    found["confidence"] = confidences(by_first, len(layer.activations)) if is_fitted else nothing
    has_label = (terms.first >= 0).cpu()
    of_unit = ("ceiling", "monosemanticity")
    return {
        name: (values.cpu() if name in of_unit else values.cpu().masked_fill(~has_label, torch.nan)).numpy()
        for name, values in found.items()
    }


def _by_first_concept(layer: LayerData, units: slice, terms: _Terms, known: Fidelity) -> Tensor:
    """Cubed correlations with the cosines of the concept that is counted, as if it were all that a label says."""
    if layer.shared.shape is None and terms.concepts.shape[1] == 1:
        return known.cubed_correlation
    first = terms.first[units, None]
    cosines = layer.plain_signals.predicted(first, torch.ones(first.shape, device=first.device))
    found = cubed_correlations(layer.activations[:, units], cosines, torch.zeros_like(_folds(layer.shared)))
    return found.masked_fill(known.correlation.isnan(), torch.nan)


def _left_out_signals(layer: LayerData, chosen: Mapping[int, _Terms], units: slice) -> Tensor:
    """Of each image what the label predicts that was chosen without its fold, (images, units) float32.

    Each label's signal is brought to a deviation of 1 over all images, so that none outweighs the others.
    """
    folds = _folds(layer.shared)
    joined_signals: Tensor | None = None
    for fold, terms in chosen.items():
        # squares of huge weights would overflow
        signals = scaled(terms.predicted(layer, units))
        if joined_signals is None:
            joined_signals = torch.empty_like(signals)
        deviation = (signals - signals.mean(dim=0)).square().mean(dim=0).sqrt()
        rows = folds == fold
        joined_signals[rows] = signals[rows] / deviation.clamp_min(torch.finfo(torch.float32).tiny)
    assert joined_signals is not None
    return joined_signals


def _stability(shared: Shared, label: Tensor, others: list[Tensor]) -> Tensor:
    """Share of the choices that are the label or nearly coincide with it, (units,) float32; NaN without any."""
    if not others:
        return torch.full(label.shape, torch.nan)
    features = shared.concept_features
    found = torch.zeros(label.shape, device=label.device)
    for other in others:
        is_same = other == label
        if features is not None:
            is_same |= (features[label.clamp_min(0)] * features[other.clamp_min(0)]).sum(dim=1) >= _NEARLY_THE_SAME
        found += is_same
    return found / len(others)


def _of_pseudo_units(layer: LayerData, pseudo: PseudoUnits, null: NullLabels) -> Iterator[Tensor]:
    """How well each pseudo-unit's own label predicts it: its correlation."""
    terms, weights = torch.from_numpy(null.terms), torch.from_numpy(null.weights)
    first = 0
    folds = torch.zeros_like(_folds(layer.shared))
    for batch in pseudo.batches():
        for activations in batch.split(max(1, _AT_ONCE // len(batch)), dim=1):
            of_batch = slice(first, first + activations.shape[1])
            first = of_batch.stop
            device = activations.device
            signals = layer.signals.predicted(terms[of_batch].to(device), weights[of_batch].to(device))
            yield correlations(activations, signals, folds).cpu()


def _folds(shared: Shared) -> Tensor:
    """Of the images."""
    assert shared.folds is not None
    return shared.folds


def _blocks(activations: Tensor) -> Iterator[slice]:
    """Slices over the units, of few enough that their activations are held several times."""
    images, units = activations.shape
    size = max(1, _AT_ONCE // max(1, images))
    for start in range(0, max(units, 1), size):
        yield slice(start, min(start + size, units))
