"""How many meanings a unit has: by the concepts of its label, and by the images that it fires on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from neuronlake.ingest.labelers.base import LayerData, LayerLabels
from neuronlake.ingest.labelers.predicting.products import of_terms, units_of

# of what a label explains, each of two concepts has at least as much
_MUCH = 1 / 3
# Correlation of two signals below which they are of unlike things.
_UNLIKE = 0.3
_ROWS_AT_ONCE = 2**13


def term_shares(layer: LayerData, labels: LayerLabels) -> tuple[np.ndarray, np.ndarray]:
    """The share of each concept of what its label explains; and whether the unit fires on two unlike ones.

    The share of a term of weight w, whose signal has the covariance c with the activation, is w c over the sum of
    these: for least squares they are the parts of R squared (Pratt, "Dividing the indivisible", 1987). One below 0 is
    of a concept that only corrects others. Of two concepts, both of positive weight and with signals of a correlation
    below 0.3, each must have a third of what is explained for the unit to be polysemantic.

    Returns:
        (units, most terms) float32, NaN where there is no term or nothing is explained; and (units,) bool.
    """
    terms, weights = torch.from_numpy(labels.terms), torch.from_numpy(labels.weights).double()
    if not len(terms) or labels.operators is not None:
        # a formula is no sum, so nothing is shared out
        return np.full(terms.shape, np.nan, np.float32), np.zeros(len(terms), bool)
    device = layer.activations.device
    everything = torch.ones(len(layer.activations), device=device)
    (sums,) = of_terms(layer.signals, units_of(layer.activations), terms.to(device), everything)
    squares, products, _ = sums.centred()
    explained = weights * products * (terms >= 0)
    total = explained.sum(dim=1, keepdim=True)
    shares = torch.where((terms >= 0) & (total > 0), explained / total.clamp_min(1e-300), torch.nan)
    deviation = squares.diagonal(dim1=1, dim2=2).clamp_min(0).sqrt()
    lengths = deviation[:, :, None] * deviation[:, None, :]
    is_unlike = squares < _UNLIKE * lengths
    # one that it shuns is none that it fires on
    has_much = (shares >= _MUCH) & (weights > 0)
    is_polysemantic = (is_unlike & has_much[:, :, None] & has_much[:, None, :]).any(dim=(1, 2))
    return shares.float().numpy(), is_polysemantic.numpy()


def monosemanticity(features: Tensor, activations: Tensor) -> Tensor:
    """Mean cosine of two images that a unit fires on, weighted by how far above its mean it is at both, a.

    It is (|sum a e|^2 - sum a^2) / ((sum a)^2 - sum a^2) over the images' unit-length embeddings e, which takes one
    product of matrices where the mean over pairs takes one for each image. What is below the mean counts as 0: brought
    to 0 to 1 as they are, activations of a unit that is not sparse weigh all images much the same. The mean cosine of
    any two images, which encoders have far above 0, is not taken off.

    Args:
        features: (images, dimensions) float32, rows of length 1 or 0.
        activations: (images, units) float32.

    Returns:
        (units,) float32; NaN for a unit that is above its mean at one image alone, or the same at all.
    """
    middle = activations.mean(dim=0)
    reach = activations.amax(dim=0) - middle
    over_reach = 1 / reach.clamp_min(torch.finfo(torch.float32).tiny)
    sums = torch.zeros(activations.shape[1], features.shape[1], device=activations.device)
    totals, squares = (torch.zeros(activations.shape[1], dtype=torch.float64) for _ in range(2))
    for start in range(0, len(features), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        weight = activations[rows].sub(middle).clamp_min_(0).mul_(over_reach)
        sums += weight.T @ features[rows]
        totals += weight.sum(dim=0).cpu().double()
        squares += weight.square().sum(dim=0).cpu().double()
    pairs = totals.square() - squares
    found = (sums.cpu().double().square().sum(dim=1) - squares) / pairs
    return torch.where((reach > 0).cpu() & (pairs > 1e-6 * squares), found, torch.nan).float()
