"""Weights of a few signals that come nearest to activations, for many units at once."""

from __future__ import annotations

import torch
from torch import Tensor

# Of a signal's own variance, so that there is one solution.
_RIDGE = 1e-6


def weights(squares: Tensor, products: Tensor, is_in: Tensor, *, signed: bool) -> Tensor:
    """Exact least squares; where no weight may be negative, signals leave one by one until none is.

    Args:
        squares: covariances of each unit's signals, (units, terms, terms) float64.
        products: of the signals with the activations, (units, terms) float64.
        is_in: the signals that count, (units, terms) bool; one that does not vary counts for nothing.
        signed: whether weights may be negative.

    Returns:
        (units, terms) float64; 0 for a signal that does not count.
    """
    is_in = is_in & (squares.diagonal(dim1=1, dim2=2) > 0)
    found = _solved(squares, products, is_in)
    while not signed and bool((found < 0).any()):
        lowest = found.argmin(dim=1, keepdim=True)
        is_in = is_in.scatter(1, lowest, is_in.gather(1, lowest) & (found.gather(1, lowest) >= 0))
        found = _solved(squares, products, is_in)
    return found


def correlations(squares: Tensor, products: Tensor, activation_squares: Tensor, given: Tensor) -> Tensor:
    """Of the weighted sums with the activations, (units,) float64; 0 where one of the two does not vary.

    Args:
        squares: (units, terms, terms) float64, as above, perhaps over other images.
        products: (units, terms) float64.
        activation_squares: variances of the activations, (units,) float64.
        given: the weights, (units, terms) float64.
    """
    explained = (given * products).sum(dim=1)
    lengths = (
        (given[:, :, None] * squares * given[:, None, :]).sum(dim=(1, 2)).clamp_min(0) * activation_squares
    ).sqrt()
    return torch.where(lengths > 0, explained / lengths.clamp_min(1e-300), 0.0).clamp(-1, 1)


def _solved(squares: Tensor, products: Tensor, is_in: Tensor) -> Tensor:
    """The solution for the signals that count, in units of their deviations and back."""
    over = torch.where(is_in, squares.diagonal(dim1=1, dim2=2).clamp_min(1e-300).rsqrt(), 0.0)
    scaled = squares * over[:, :, None] * over[:, None, :]
    # a signal that does not count has a row of its own, which gives it 0
    scaled = scaled + torch.diag_embed(torch.where(is_in, _RIDGE, 1.0).to(scaled.dtype))
    return torch.linalg.solve(scaled, products * over) * over
