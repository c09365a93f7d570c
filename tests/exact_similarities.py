"""The similarity functions as their papers and CLIP-Dissect's code have them, term by term in float64.

All take the cosines (images, concepts) and the activations (images, units) of a layer, and return (units, concepts).
Of equal activations the earlier image counts as the higher.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def soft_wpmi(cosines: Tensor, activations: Tensor) -> Tensor:
    k = min(100, len(cosines))
    p = 0.998 - torch.arange(k).double() / k * (0.998 - 0.97)
    probability = (10 * cosines).softmax(dim=1)
    evidence = (1 + p[:, None, None] * (probability[_top(activations, k)] - 1) + 1e-7).log().sum(dim=0)
    return evidence - (evidence.logsumexp(dim=0) - math.log(len(evidence)))


def wpmi(cosines: Tensor, activations: Tensor) -> Tensor:
    evidence = ((2 * cosines).softmax(dim=1)[_top(activations, 28)] + 1e-7).log().sum(dim=0)
    return evidence - 0.6 * (evidence.logsumexp(dim=0) - math.log(len(evidence)))


def rank_reorder(cosines: Tensor, activations: Tensor) -> Tensor:
    top = _top(activations, max(1, len(cosines) // 20))  # (k, units)
    scores: list[Tensor] = []
    for unit, rows in enumerate(top.T):
        ascending = activations[rows, unit].flip(0)
        order = cosines[rows].argsort(dim=0, stable=True).argsort(dim=0)  # of each image its place, by the cosine
        error = (ascending[order] - ascending.flip(0)[:, None]).abs().pow(3).mean(dim=0)
        expected = (ascending[:, None] - ascending).abs().pow(3).mean()
        scores.append(-error / expected / cosines[rows].mean(dim=0).clamp_min(1e-6).sqrt())
    return torch.stack(scores)


def cos_similarity(cosines: Tensor, activations: Tensor) -> Tensor:
    return (activations / activations.norm(dim=0)).T @ (cosines / cosines.norm(dim=0))


def cos_similarity_cubed(cosines: Tensor, activations: Tensor) -> Tensor:
    units, concepts = ((each - each.mean(dim=0)) ** 3 for each in (activations, cosines))
    return (units / units.norm(dim=0).clamp_min(1e-3)).T @ (concepts / concepts.norm(dim=0).clamp_min(1e-3))


EXACT: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    each.__name__: each for each in (soft_wpmi, wpmi, rank_reorder, cos_similarity, cos_similarity_cubed)
}


def _top(activations: Tensor, k: int) -> Tensor:
    """(k, units), best first."""
    return activations.sort(dim=0, descending=True, stable=True).indices[:k]
