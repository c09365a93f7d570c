"""Formulas of concepts that overlap with a unit most: by OR, AND and AND NOT, found by a beam search.

Mu & Andreas, "Compositional Explanations of Neurons", NeurIPS 2020, arXiv 2006.14032. The unit counts in all images
here, as there: a formula has no category.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from neuronlake.ingest.labelers.dissecting.regions import Dissection, Regions

# as a label's term says how it is put to those before it
OPERATORS = ("or", "and", "and not")
# units times kinds of region that are held at once
_AT_ONCE = 2**21


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


def best_formulas(found: Dissection, length: int, beam: int) -> list[Formula | None]:
    """For each unit the formula of the highest IoU that a beam search finds; None where no concept meets it.

    One that is longer has a higher IoU than all shorter ones.

    Args:
        found: the units beside the masks.
        length: of the longest formulas.
        beam: formulas of each unit that are made longer; five in the paper. One of some hundred finds the best of all
            formulas of three among a dozen concepts.
    """
    kinds = _kinds_of(found.regions)
    formulas: list[Formula | None] = []
    for active in _active_pixels(found, kinds):
        beams = _single(kinds, active, beam)
        for _ in range(length - 1):
            beams = _longer(kinds, active, beams, beam)
        formulas += [found[0].formula if found else None for found in beams]
    return formulas


@dataclass(frozen=True)
class _Kinds:
    """Regions of the same concepts, whatever their images: what holds in one holds in all of them.

    Attributes:
        of_region: the kind of each region, (regions,) int64.
        members: (concepts, kinds) sparse float64, 1 where a concept is in regions of a kind.
        pixels: of each kind, (kinds,) float64.
    """

    of_region: np.ndarray
    members: Any
    pixels: np.ndarray

    def met(self, pixels: np.ndarray) -> np.ndarray:
        """Sums over the kinds that have a concept, (rows, kinds) float64 to (rows, concepts) float64."""
        return (self.members @ pixels.T).T

    def holds(self, concept: int) -> np.ndarray:
        """In which kinds a concept is, (kinds,) bool."""
        found = np.zeros(len(self.pixels), dtype=bool)
        found[self.members.indices[self.members.indptr[concept] : self.members.indptr[concept + 1]]] = True
        return found


@dataclass(frozen=True)
class _Candidate:
    """A formula, and in which kinds of region it holds: (kinds,) bool."""

    formula: Formula
    holds: np.ndarray


@dataclass(frozen=True)
class _Meeting:
    """Pixels where formulas hold, (formulas, 1); where concepts do, (formulas, concepts); and where both do."""

    formula: np.ndarray
    concept: np.ndarray
    both: np.ndarray


_COUNTS: dict[str, Callable[[_Meeting], np.ndarray]] = {
    "or": lambda of: of.formula + of.concept - of.both,
    "and": lambda of: of.both,
    "and not": lambda of: of.formula - of.both,
}
_PUT: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "or": lambda before, concept: before | concept,
    "and": lambda before, concept: before & concept,
    "and not": lambda before, concept: before & ~concept,
}


def _single(kinds: _Kinds, active: np.ndarray, most: int) -> list[list[_Candidate]]:
    """Of each unit the concepts by themselves that meet it most.

    Args:
        kinds: of region.
        active: the units' pixels, (units, kinds) float64.
        most: of each unit.
    """
    meets, total = kinds.met(active), active.sum(axis=1, keepdims=True)
    union = total + kinds.met(kinds.pixels[None]) - meets
    iou = meets / np.maximum(union, 1)
    return [
        [
            _Candidate(Formula((place,), (), iou[unit, place], int(meets[unit, place]), int(union[unit, place])), where)
            for place in _highest(iou[unit], most)
            for where in [kinds.holds(place)]
        ]
        for unit in range(len(active))
    ]


def _longer(kinds: _Kinds, active: np.ndarray, beams: list[list[_Candidate]], most: int) -> list[list[_Candidate]]:
    """The beams with those formulas that are better for one concept more."""
    unit_of = [unit for unit, beam in enumerate(beams) for _ in beam]
    if not unit_of:
        return beams
    holds = np.stack([each.holds for beam in beams for each in beam])
    pixels, of_units = holds * kinds.pixels, holds * active[unit_of]
    met = _Meeting(of_units.sum(axis=1, keepdims=True), kinds.met(active)[unit_of], kinds.met(of_units))
    extent = _Meeting(pixels.sum(axis=1, keepdims=True), kinds.met(kinds.pixels[None]), kinds.met(pixels))
    total = active.sum(axis=1)[unit_of][:, None]
    counts = {name: (count(met), count(extent)) for name, count in _COUNTS.items()}
    # (operators, formulas, concepts)
    intersection = np.stack([meets for meets, _ in counts.values()])
    union = np.stack([total + size - meets for meets, size in counts.values()])
    iou = intersection / np.maximum(union, 1)
    longer: list[list[_Candidate]] = []
    first = 0
    for beam in beams:
        of_unit = slice(first, first + len(beam))
        first = of_unit.stop
        longer.append(_with_better(kinds, beam, most, *(each[:, of_unit] for each in (iou, intersection, union))))
    return longer


def _with_better(
    kinds: _Kinds, beam: list[_Candidate], most: int, iou: np.ndarray, intersection: np.ndarray, union: np.ndarray
) -> list[_Candidate]:
    """The best of a beam and of its formulas with one concept more.

    Args:
        kinds: of region.
        beam: of one unit.
        most: that are kept.
        iou: of the longer ones, (operators, formulas, concepts).
        intersection: pixels.
        union: pixels.
    """
    kept = list(beam)
    for place in _highest(iou.ravel(), 4 * most):
        operator, row, concept = (int(each) for each in np.unravel_index(place, iou.shape))
        shorter, value = beam[row], float(iou[operator, row, concept])
        if concept in shorter.formula.concepts:
            continue
        name = OPERATORS[operator]
        where = _PUT[name](shorter.holds, kinds.holds(concept))
        # the same by another name takes no place in the beam
        if any(np.array_equal(where, other.holds) for other in kept):
            continue
        pixels = int(intersection[operator, row, concept]), int(union[operator, row, concept])
        concepts, operators = (*shorter.formula.concepts, concept), (*shorter.formula.operators, name)
        kept.append(_Candidate(Formula(concepts, operators, value, *pixels), where))
    return sorted(kept, key=lambda each: (-each.formula.iou, len(each.formula.concepts)))[:most]


def _highest(values: np.ndarray, most: int) -> list[int]:
    """Places of the highest values above 0, the first of equal ones first."""
    count = min(most, len(values))
    if not count:
        return []
    # ties with the last may be many
    chosen = np.argpartition(-values, count - 1)[:count]
    return [int(place) for place in chosen[np.lexsort((chosen, -values[chosen]))] if values[place] > 0]


def _active_pixels(found: Dissection, kinds: _Kinds) -> Iterator[np.ndarray]:
    """Pixels of the units in each kind of region, (units, kinds) float64, of some units at once."""
    active, regions = found.active, found.regions
    unit, region = active.unit.cpu().numpy(), active.region.cpu().numpy()
    counted = (active.pixels * regions.counted[regions.image[active.region.long()]]).cpu().numpy()
    shape = (active.units, len(kinds.pixels))
    pixels = sparse.csr_array((counted.astype(np.float64), (unit, kinds.of_region[region])), shape=shape)
    size = max(1, _AT_ONCE // max(1, len(kinds.pixels)))
    for start in range(0, active.units, size):
        yield pixels[start : start + size].toarray()


def _kinds_of(regions: Regions) -> _Kinds:
    """Regions put together by their concepts."""
    region, concept = regions.region_of_member.cpu().numpy(), regions.members.cpu().numpy()
    shape = (len(regions.image), regions.concepts)
    # sums of random 64-bit numbers differ where sets do, but for one chance in 10^7 with a million kinds
    numbers = np.random.default_rng(0).integers(0, 2**64, regions.concepts, dtype=np.uint64)
    # one that two masks tell is there once
    pairs = np.unique(region * max(1, regions.concepts) + concept)
    region, concept = np.divmod(pairs, max(1, regions.concepts))
    keys = np.zeros(shape[0], dtype=np.uint64)
    np.add.at(keys, region, numbers[concept])
    _, first, of_region = np.unique(keys, return_index=True, return_inverse=True)
    pixels = np.bincount(of_region, regions.counted_pixels.cpu().numpy(), minlength=len(first))
    by_region = sparse.csr_array((np.ones(len(region)), (region, concept)), shape=shape)
    return _Kinds(of_region, sparse.csr_array(by_region[first].T), pixels)
