"""An orthogonal matching pursuit for all units of a layer at once: which few concepts make up each of them.

Concept after concept, the one whose signal correlates most with what the best sum of those so far leaves of the
activations. Signals enter by their covariances alone, so that beyond these its cost does not depend on the images.

Pati, Rezaiifar & Krishnaprasad, "Orthogonal matching pursuit", Asilomar 1993.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neuronlake.ingest.labelers.predicting.least_squares import weights
from neuronlake.ingest.labelers.predicting.products import ConceptProducts, Units, of_units

# Correlation of two signals from which on they say the same.
NEAR_SYNONYMS = 0.9


@dataclass(frozen=True)
class Pursuit:
    """How concepts are chosen.

    Attributes:
        among_concepts: covariances of the concepts over the images that have a say.
        most: concepts a unit.
        signed: whether the second and later ones can have negative weights.
    """

    among_concepts: ConceptProducts
    most: int
    signed: bool

    def chosen(self, units: Units) -> Tensor:
        """Concepts in the order in which they were chosen.

        Returns:
            (units, most) int64 by place; -1 from where on no concept is left that goes with the unit.
        """
        self.among_concepts.forget_many()
        signals, images = self.among_concepts.signals, self.among_concepts.images
        with_units = of_units(signals, units, images)
        over_deviation = 1 / with_units.deviation.clamp_min(torch.finfo(torch.float32).tiny)
        is_free = (signals.usable() & (with_units.deviation > 0)).expand(units.count, -1).clone()
        chosen = torch.full((units.count, self.most), -1, device=images.device)
        left = with_units.concepts
        for step in range(self.most):
            # the first is what the unit stands for, so it is never what it shuns
            score = left.abs() if self.signed and step > 0 else left.clone()
            best, place = score.mul_(over_deviation).masked_fill_(~is_free, 0).max(dim=1)
            is_found = best > 0
            if step:
                is_found &= chosen[:, step - 1] >= 0
            chosen[:, step] = torch.where(is_found, place, -1)
            if step + 1 < self.most:
                is_free &= ~self._synonyms(place, over_deviation)
                left = self._left(with_units.concepts, chosen[:, : step + 1])
        return chosen

    def _synonyms(self, place: Tensor, over_deviation: Tensor) -> Tensor:
        """Each unit's newest concept and those whose signals are nearly the same, (units, concepts) bool."""
        distinct, of_units = place.unique(return_inverse=True)
        likeness = self.among_concepts.of(distinct).mul_(over_deviation).mul_(over_deviation[distinct, None])
        is_same = likeness >= NEAR_SYNONYMS
        is_same[torch.arange(len(distinct), device=distinct.device), distinct] = True
        return is_same[of_units]

    def _left(self, with_units: Tensor, chosen: Tensor) -> Tensor:
        """Covariances of all concepts with what the best sum of the chosen ones leaves, (units, concepts)."""
        places = chosen.clamp_min(0)
        squares, products = self.among_concepts.among(places), with_units.gather(1, places)
        exact = squares.cpu().double(), products.cpu().double()
        found = weights(*exact, (chosen >= 0).cpu(), signed=self.signed).float()
        left = with_units.clone()
        for place, weight in zip(places.T, found.T.to(left.device), strict=True):
            left.addcmul_(self.among_concepts.of(place), weight[:, None], value=-1)
        return left
