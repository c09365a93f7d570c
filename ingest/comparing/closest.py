"""Which unit of one layer fires as which of another: the highest Pearson correlations of their activations."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

# activations of a block of units, which are standardised in double precision
_VALUES_AT_ONCE = 2**24
# correlations that differ by less are one: single precision sums over the images
_ALIKE = 1e-5
# of the other layer's units: how many may be closer to a unit than its partner where partners are one unit
_CLOSEST_SHARE = 0.1


@dataclass(frozen=True)
class Closest:
    """For each unit of some, the one of others whose activations correlate with its own most.

    Attributes:
        places: (units,) int64, among the others; that of its partner where that is as close as the closest.
        correlations: (units,) float32.
        own: (units,) float32, with its partner; NaN where it has none.
    """

    places: np.ndarray
    correlations: np.ndarray
    own: np.ndarray


@dataclass(frozen=True)
class Correlated:
    """Units of two layers, each with its closest.

    Attributes:
        a: those of the first layer.
        b: those of the second.
        closer: (units of a,) int64, how many units of b are closer to each than its partner.
    """

    a: Closest
    b: Closest
    closer: np.ndarray

    @property
    def has_kept_numbers(self) -> bool:
        """Whether partners are one unit at two times.

        They are where more than half of those that have a partner find it among the closest tenth of the other layer's
        units; where these are fewer than ten, as the closest. Swapped or dead units do not change it unless they are
        many, and networks that were trained apart have partners anywhere.
        """
        closer = self.closer[~np.isnan(self.a.own)]
        return bool(2 * (closer <= _CLOSEST_SHARE * len(self.b.own)).sum() > len(closer))


def correlated(
    a: np.ndarray,
    b: np.ndarray,
    partners: np.ndarray,
    device: torch.device,
    progress: Callable[[int], None] = lambda _: None,
    values_at_once: int = _VALUES_AT_ONCE,
) -> Correlated:
    """The closest of b for each unit of a, and of a for each of b, block by block.

    Args:
        a: (units, images) float32, finite; at least one unit.
        b: the same of other units.
        partners: (units of a,) the place of each one's partner in b, or -1.
        device: where to multiply; the CPU standardises, in double precision, which not every device has.
        progress: called with the number of units of a that are done.
        values_at_once: activations in a block.
    """
    closest_a, closest_b = _Running(len(a)), _Running(len(b))
    own = torch.full((len(a),), torch.nan)
    closer = torch.zeros(len(a), dtype=torch.int64)
    for rows in _blocks(len(a), a.shape[1], values_at_once):
        left = _standard(a[rows]).to(device)
        mine = partners[rows]
        has_partner = torch.from_numpy(mine >= 0)
        right = _standard(b[mine[mine >= 0]]).to(device)
        own[rows][has_partner] = (left[has_partner.to(device)] * right).sum(dim=1).clamp(min=-1, max=1).cpu()
        for columns in _blocks(len(b), b.shape[1], values_at_once):
            matrix = (left @ _standard(b[columns]).to(device).T).clamp(min=-1, max=1).cpu()
            closest_a.see(matrix, rows, columns)
            closest_b.see(matrix.T, columns, rows)
            closer[rows] += (matrix > own[rows, None] + _ALIKE).sum(dim=1)  # nothing is above NaN
        progress(rows.stop)
    own_b, partners_b = torch.full((len(b),), torch.nan), np.full(len(b), -1)
    (with_partner,) = np.nonzero(partners >= 0)
    own_b[partners[with_partner]] = own[with_partner]
    partners_b[partners[with_partner]] = with_partner
    return Correlated(closest_a.found(own, partners), closest_b.found(own_b, partners_b), closer.numpy())


@dataclass(frozen=True)
class Pairing:
    """Which unit of one layer is which of another, each of one other at most.

    Attributes:
        places: (units,) int64, among the others; -1 where none is left.
        correlations: (units,) float32; NaN where none is left.
    """

    places: np.ndarray
    correlations: np.ndarray

    def told_by_others(self, others: int) -> Pairing:
        """The same of that many others."""
        places, correlations = np.full(others, -1), np.full(others, np.nan, dtype=np.float32)
        (paired,) = np.nonzero(self.places >= 0)
        places[self.places[paired]] = paired
        correlations[self.places[paired]] = self.correlations[paired]
        return Pairing(places, correlations)


def paired(found: Correlated, a: np.ndarray, b: np.ndarray, partners: np.ndarray, device: torch.device) -> Pairing:
    """The pairs of units whose correlations sum up to most; partners that are each other's closest are settled.

    So two units that changed places are found though each has others that fire much like it: those are settled.
    Pairing units of two networks so is from Li et al., Convergent Learning (ICLR 2016).

    Args:
        found: what `correlated` found of the same.
        a: (units, images) float32, finite.
        b: the same of other units.
        partners: (units of a,) the place of each one's partner in b, or -1.
        device: where to multiply.

    Returns:
        Of each unit of a its unit of b.
    """
    numbers = np.arange(len(a))
    is_settled = (partners >= 0) & (found.a.places == partners) & (found.b.places[partners] == numbers)
    rest_a, rest_b = numbers[~is_settled], np.setdiff1d(np.arange(len(b)), partners[is_settled])
    matrix = np.empty((len(rest_a), len(rest_b)), dtype=np.float32)
    for rows in _blocks(len(rest_a), a.shape[1], _VALUES_AT_ONCE):
        left = _standard(a[rest_a[rows]]).to(device)
        for columns in _blocks(len(rest_b), b.shape[1], _VALUES_AT_ONCE):
            matrix[rows, columns] = (
                (left @ _standard(b[rest_b[columns]]).to(device).T).clamp(min=-1, max=1).cpu().numpy()
            )
    one, other = linear_sum_assignment(matrix, maximize=True)
    places = np.where(is_settled, partners, -1)
    correlations = np.where(is_settled, found.a.own, np.float32(np.nan))
    places[rest_a[one]], correlations[rest_a[one]] = rest_b[other], matrix[one, other]
    return Pairing(places, correlations)


class _Running:
    """The closest so far of each of some units."""

    def __init__(self, units: int) -> None:
        self._places = torch.zeros(units, dtype=torch.int64)
        self._highest = torch.full((units,), -torch.inf)

    def see(self, matrix: Tensor, rows: slice, columns: slice) -> None:
        """Look at the correlations of some of the units with a block of the others."""
        highest, places = matrix.max(dim=1)
        is_closer = highest > self._highest[rows]
        self._highest[rows] = torch.where(is_closer, highest, self._highest[rows])
        self._places[rows] = torch.where(is_closer, places + columns.start, self._places[rows])

    def found(self, own: Tensor, partners: np.ndarray) -> Closest:
        """The closest of all."""
        is_own = (own >= self._highest - _ALIKE).numpy()  # NaN is above nothing
        return Closest(
            np.where(is_own, partners, self._places.numpy()),
            np.where(is_own, own.numpy(), self._highest.numpy()),
            own.numpy(),
        )


def _blocks(units: int, images: int, values_at_once: int) -> Generator[slice]:
    """Rows of (units, images) that are looked at together."""
    size = max(1, values_at_once // images)
    for start in range(0, units, size):
        yield slice(start, min(start + size, units))


def _standard(values: np.ndarray) -> Tensor:
    """Rows less their means and of length 1, float32; zeros where all values of a row are alike."""
    exact = torch.from_numpy(values.astype(np.float64))
    exact -= exact.mean(dim=1, keepdim=True)
    lengths = exact.norm(dim=1, keepdim=True)
    exact /= torch.where(lengths > 0, lengths, 1)
    return exact.float()
