"""Formulas of concepts that overlap with a unit most: by OR, AND and AND NOT, found by a beam search.

Mu & Andreas, "Compositional Explanations of Neurons", NeurIPS 2020, arXiv 2006.14032. The unit counts in all images
here, as there: a formula has no category.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from neuronlake.ingest.labelers.dissecting.regions import Dissection, Regions
from neuronlake.ingest.labelers.dissecting.tally import active_anywhere

# as a label's term says how it is put to those before it
OPERATORS = ("or", "and", "and not")
_BEAM = 5


def put_together(before: Tensor, operator: str, concept: Tensor) -> Tensor:
    """Where a formula holds with one concept more; bool tensors of one shape."""
    if operator == "or":
        return before | concept
    return before & concept if operator == "and" else before & ~concept


@dataclass(frozen=True)
class Formula:
    """Concepts that are put together from the left.

    Attributes:
        concepts: places, in order.
        operators: between them.
        iou: with the unit.
        intersection: pixels.
        union: pixels.
    """

    concepts: tuple[int, ...]
    operators: tuple[str, ...]
    iou: float
    intersection: int
    union: int


class Search:
    """Finds the formulas of a layer's units, one unit at a time.

    Regions of the same concepts are one here, whatever their images: what holds in one holds in all of them.
    """

    def __init__(self, found: Dissection, length: int) -> None:
        self._length = length
        self._active = found.active
        self._regions = found.regions
        self._total = active_anywhere(found).double()
        self._kind, first = _kinds(found.regions)
        self._kinds = len(first)
        self._holds = _membership(found.regions, first)
        self._pixels = _summed(self._kind, found.regions.counted_pixels, self._kinds)
        order = found.active.unit.long()
        self._starts = torch.searchsorted(order, torch.arange(found.active.units + 1, device=order.device))

    def best(self, unit: int) -> Formula | None:
        """The formula of the highest IoU that a beam of five finds; None where no concept meets the unit.

        One that is longer has a higher IoU than all shorter ones.
        """
        rows = slice(int(self._starts[unit]), int(self._starts[unit + 1]))
        region = self._active.region[rows].long()
        weight = self._active.pixels[rows].long() * self._regions.counted[self._regions.image[region]]
        active = _summed(self._kind[region], weight, self._kinds)
        beam = self._single(active, float(self._total[unit]))
        for _ in range(self._length - 1):
            beam = self._longer(beam, active, float(self._total[unit]))
        return beam[0].formula if beam else None

    def _single(self, active: Tensor, total: float) -> list[_Candidate]:
        """The concepts by themselves that meet a unit most."""
        meets, extent = self._met(active[None])[0], self._met(self._pixels[None])[0]
        iou = _ratio(meets, total + extent - meets)
        best = iou.topk(min(_BEAM, len(iou)))
        return [
            _Candidate(
                Formula((place,), (), value, int(meets[place]), int(total + extent[place] - meets[place])),
                self._column(place),
            )
            for value, place in zip(best.values.tolist(), best.indices.tolist(), strict=True)
            if value > 0
        ]

    def _longer(self, beam: list[_Candidate], active: Tensor, total: float) -> list[_Candidate]:
        """The beam with those formulas that are better for one concept more."""
        if not beam:
            return beam
        holds = torch.stack([each.holds for each in beam])
        met = _Meeting(
            formula=(holds * active).sum(dim=1, keepdim=True),
            concept=self._met(active[None]),
            both=self._met(holds * active),
        )
        everywhere = _Meeting(
            formula=(holds * self._pixels).sum(dim=1, keepdim=True),
            concept=self._met(self._pixels[None]),
            both=self._met(holds * self._pixels),
        )
        found: list[tuple[float, int, int, str, int, int]] = []
        for operator, of in _COUNTS.items():
            intersection, extent = of(met), of(everywhere)
            union = total + extent - intersection
            iou = _ratio(intersection, union)
            best = iou.flatten().topk(min(2 * _BEAM, iou.numel()))
            for value, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
                row, concept = divmod(place, iou.shape[1])
                pixels = int(intersection[row, concept]), int(union[row, concept])
                found.append((value, row, concept, operator, *pixels))
        kept = list(beam)
        for value, row, concept, operator, intersection, union in sorted(found, key=lambda each: -each[0]):
            shorter = beam[row].formula
            if value <= shorter.iou or concept in shorter.concepts:
                continue
            longer = Formula((*shorter.concepts, concept), (*shorter.operators, operator), value, intersection, union)
            where = put_together(beam[row].holds, operator, self._column(concept))
            # the same by another name takes no place in the beam
            if not any(torch.equal(where, other.holds) for other in kept if other.formula.iou == value):
                kept.append(_Candidate(longer, where))
        return sorted(kept, key=lambda each: (-each.formula.iou, len(each.formula.concepts)))[:_BEAM]

    def _met(self, pixels: Tensor) -> Tensor:
        """Sums over the kinds of region that have a concept: (rows, kinds) float64 to (rows, concepts) float64."""
        return torch.sparse.mm(self._holds, pixels.T).T

    def _column(self, concept: int) -> Tensor:
        """In which kinds of region a concept is, (kinds,) bool."""
        start, end = self._holds.crow_indices()[concept : concept + 2].tolist()
        found = torch.zeros(self._kinds, dtype=torch.bool, device=self._pixels.device)
        found[self._holds.col_indices()[start:end]] = True
        return found


@dataclass(frozen=True)
class _Candidate:
    """A formula, and in which kinds of region it holds: (kinds,) bool."""

    formula: Formula
    holds: Tensor


@dataclass(frozen=True)
class _Meeting:
    """Pixels where formulas hold, (formulas, 1); where concepts do, (1, concepts); and both, (formulas, concepts)."""

    formula: Tensor
    concept: Tensor
    both: Tensor


_COUNTS: dict[str, Callable[[_Meeting], Tensor]] = {
    "or": lambda of: of.formula + of.concept - of.both,
    "and": lambda of: of.both,
    "and not": lambda of: of.formula - of.both,
}


def _ratio(intersection: Tensor, union: Tensor) -> Tensor:
    """Intersection over union; 0 where there is neither."""
    return intersection / union.clamp_min(1)


def _summed(place: Tensor, values: Tensor, count: int) -> Tensor:
    """Whole numbers added up by place, (count,) float64."""
    return torch.zeros(count, dtype=torch.float64, device=values.device).index_add_(0, place, values.double())


def _kinds(regions: Regions) -> tuple[Tensor, Tensor]:
    """Which regions are of the same concepts.

    Returns:
        Of each region its kind, (regions,) int64; and a region of each kind, (kinds,) int64.
    """
    draws = torch.Generator().manual_seed(0)
    # sums of random 64-bit numbers differ where sets do, but for one chance in 10^7 with a million kinds
    numbers = torch.randint(-(2**63), 2**63 - 1, (regions.concepts,), generator=draws).to(regions.members.device)
    region, concept = _each_once(regions)
    keys = torch.zeros(len(regions.image), dtype=torch.int64, device=region.device)
    keys.index_add_(0, region, numbers[concept])
    kinds, kind = keys.unique(return_inverse=True)
    first = torch.empty(len(kinds), dtype=torch.int64, device=region.device)
    first[kind] = torch.arange(len(kind), device=region.device)
    return kind, first


def _each_once(regions: Regions) -> tuple[Tensor, Tensor]:
    """Regions and their concepts, each pair once; (pairs,) int64 each."""
    pairs = (regions.region_of_member * max(1, regions.concepts) + regions.members).unique()
    return pairs // max(1, regions.concepts), pairs % max(1, regions.concepts)


def _membership(regions: Regions, chosen: Tensor) -> Tensor:
    """Which concepts are in some regions, (concepts, chosen) sparse float64."""
    place, concept = regions.members_of(chosen)
    indices = torch.stack([concept, place])
    ones = torch.ones(indices.shape[1], dtype=torch.float64, device=indices.device)
    found = torch.sparse_coo_tensor(indices, ones, (regions.concepts, len(chosen))).coalesce()
    # a concept that two masks tell is there once
    found = torch.sparse_coo_tensor(found.indices(), torch.ones_like(found.values()), found.shape)
    return found.coalesce().to_sparse_csr()
