"""What makes a score surprising: units that fire on random images, p-values and false discovery rates."""

from __future__ import annotations

import torch
from torch import Tensor


def pseudo_unit_activations(activations: Tensor, draws: int, seed: int) -> Tensor:
    """Activations of units that fire on random images: columns of `activations`, each shuffled over the images.

    Args:
        activations: (images, units) float32 of live units.
        draws: how many pseudo-units.
        seed: of the random generator; the draws are the same on every device.

    Returns:
        (images, draws) float32, a transposed view.
    """
    images, units = activations.shape
    generator = torch.Generator().manual_seed(seed)
    # a draw a row: a column would touch as many places far apart as there are images
    shuffled = torch.empty(draws, images, device=activations.device)
    for draw in range(draws):
        unit = int(torch.randint(units, (), generator=generator))
        order = torch.randperm(images, generator=generator).to(activations.device)
        torch.index_select(activations[:, unit].contiguous(), 0, order, out=shuffled[draw])
    return shuffled.T


def p_values(scores: Tensor, null_scores: Tensor) -> Tensor:
    """Share of null scores at least as high: (1 + how many) / (1 + draws), so never 0.

    Args:
        scores: (units,) best score of each unit.
        null_scores: (draws,) best score of each pseudo-unit.

    Returns:
        (units,) float64 in (0, 1].
    """
    ascending = null_scores.sort().values
    below = torch.searchsorted(ascending, scores.contiguous(), right=False)
    draws = null_scores.shape[0]
    return (1 + draws - below).double() / (1 + draws)


def q_values(p: Tensor) -> Tensor:
    """False discovery rates at which each of a layer's labels would be called significant.

    Benjamini & Hochberg, "Controlling the false discovery rate", J. R. Stat. Soc. B 57 (1995): the smallest
    p_j m / j over all ranks j from a unit's own rank up.

    Args:
        p: (units,) float64 in (0, 1].

    Returns:
        (units,) float64 in (0, 1].
    """
    count = p.shape[0]
    order = p.argsort(descending=True)
    ranks = torch.arange(count, 0, -1, device=p.device, dtype=p.dtype)
    stepped = (p[order] * count / ranks).cummin(dim=0).values.clamp_max(1.0)
    return torch.empty_like(p).scatter_(0, order, stepped)
