"""The inner loop of soft_wpmi and wpmi: logarithms of products over each unit's top images.

On a processor a compiled loop keeps a unit's running products in its cache and takes one logarithm for each
unit and concept: after every few factors the products' exponents are moved to an integer sum. Where numba is
missing, and on other devices, plain torch does the same with one logarithm for every few factors.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor

# products of factors are kept within float32's exponents, 2 ** -126 to 2 ** 127
_LARGEST_EXPONENT = 120
# the compiled loop has threads of its own, which must not be asked from two threads at once
_ONE_AT_A_TIME = threading.Lock()


def log_of_products(values: Tensor, top: Tensor, weights: list[float], offset: float) -> Tensor:
    """Sum over the ranks r of log(offset + weights[r] * values[top[u, r], c]).

    Args:
        values: (images, concepts) float32, contiguous, from 0 to 1.
        top: (units, ranks) int64, row numbers of `values`.
        weights: one for each rank, 0 or more.
        offset: above 0.

    Returns:
        (units, concepts) float32.
    """
    most = max(abs(math.log2(offset)), abs(math.log2(offset + max(weights))))
    at_once = max(1, int(_LARGEST_EXPONENT / max(most, 1e-9)))
    compiled = _compiled() if values.device.type == "cpu" else None
    if compiled is None:
        return _with_torch(values, top, weights, offset, at_once)
    return _with_loop(compiled, values, top, weights, offset, at_once)


def _with_torch(values: Tensor, top: Tensor, weights: list[float], offset: float, at_once: int) -> Tensor:
    """As `log_of_products`, rank by rank for all units at once."""
    shape = (top.shape[0], values.shape[1])
    total = torch.zeros(shape, device=values.device)
    product = torch.empty(shape, device=values.device)
    gathered = torch.empty(shape, device=values.device)
    base = torch.tensor(offset, device=values.device)
    by_rank = top.T.contiguous()
    for start in range(0, len(weights), at_once):
        product.fill_(1.0)
        for rank in range(start, min(start + at_once, len(weights))):
            torch.index_select(values, 0, by_rank[rank], out=gathered)
            product.mul_(torch.add(base, gathered, alpha=weights[rank], out=gathered))
        total += product.log_()
    return total


def _with_loop(
    compiled: Callable[..., None], values: Tensor, top: Tensor, weights: list[float], offset: float, at_once: int
) -> Tensor:
    """As `log_of_products`, with the compiled loop on as many threads as torch uses."""
    mantissas = np.empty((top.shape[0], values.shape[1]), dtype=np.float32)
    exponents = np.empty(mantissas.shape, dtype=np.int32)
    ranks, factors = top.to(torch.int32).numpy(), np.array(weights, dtype=np.float32)
    with _ONE_AT_A_TIME:
        compiled(values.numpy(), ranks, factors, np.float32(offset), at_once, mantissas, exponents)
    return torch.from_numpy(mantissas).log_().add_(torch.from_numpy(exponents), alpha=math.log(2))


@cache
def _compiled() -> Callable[..., None] | None:
    """The loop as machine code, or None where numba is missing or can keep none here."""
    try:
        from neuronlake.ingest.labelers.compiled_loop import multiply  # noqa: PLC0415  takes a second, and may be missing
    except (ImportError, RuntimeError):
        return None
    return multiply
