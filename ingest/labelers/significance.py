"""What makes a score surprising: units that fire on random images, p-values and false discovery rates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

# Held at once, whatever the number of images.
_BATCH_BYTES = 256 * 2**20


@dataclass(frozen=True)
class PseudoUnits:
    """Units that fire on random images: columns of a layer's activations, each shuffled over the images.

    Attributes:
        activations: (images, units) float32 of live units.
        draws: how many pseudo-units.
        seed: of the random generator; the draws are the same on every device and in batches of any size.
    """

    activations: Tensor
    draws: int
    seed: int

    def batches(self) -> Iterator[Tensor]:
        """All of them in order, as (images, some draws) float32, transposed views of memory used anew each time."""
        images, units = self.activations.shape
        generator = torch.Generator().manual_seed(self.seed)
        at_once = max(1, min(self.draws, _BATCH_BYTES // (4 * images)))
        # a draw a row: a column would touch as many places far apart as there are images
        shuffled = torch.empty(at_once, images, device=self.activations.device)
        for start in range(0, self.draws, at_once):
            batch = shuffled[: self.draws - start]
            for row in batch:
                unit = int(torch.randint(units, (), generator=generator))
                order = torch.randperm(images, generator=generator).to(self.activations.device)
                torch.index_select(self.activations[:, unit].contiguous(), 0, order, out=row)
            yield batch.T


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
    from scipy.stats import false_discovery_control  # noqa: PLC0415  takes half a second, and most commands do without

    return torch.from_numpy(false_discovery_control(p.cpu().numpy())).to(p.device)
