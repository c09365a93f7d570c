"""The compiled loop of `log_products`; importing it needs numba."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch

_compile: Any = numba.njit(cache=True, fastmath=True, nogil=True, parallel=True)
_threads = torch.get_num_threads()
numba.set_num_threads(min(_threads, numba.get_num_threads()))
# numba starts as many threads as there are cores, and with OpenMP torch would take as many from then on
torch.set_num_threads(_threads)


@_compile
def multiply(
    values: np.ndarray,
    top: np.ndarray,
    weights: np.ndarray,
    offset: np.float32,
    at_once: int,
    mantissas: np.ndarray,
    exponents: np.ndarray,
) -> None:
    """Products as mantissas (1 to 2) and exponents, four factors at a time; numba makes vector instructions of it."""
    units, ranks = top.shape
    concepts = values.shape[1]
    for unit in numba.prange(units):
        product = mantissas[unit]
        bits = product.view(np.int32)
        exponent = exponents[unit]
        for c in range(concepts):
            product[c] = np.float32(1.0)
            exponent[c] = 0
        rank = multiplied = 0
        while rank < ranks:
            w0, row0 = weights[rank], values[top[unit, rank]]
            if rank + 4 <= ranks and at_once >= 4:
                w1, row1 = weights[rank + 1], values[top[unit, rank + 1]]
                w2, row2 = weights[rank + 2], values[top[unit, rank + 2]]
                w3, row3 = weights[rank + 3], values[top[unit, rank + 3]]
                for c in range(concepts):
                    product[c] *= ((offset + w0 * row0[c]) * (offset + w1 * row1[c])) * (
                        (offset + w2 * row2[c]) * (offset + w3 * row3[c])
                    )
                taken = 4
            else:
                for c in range(concepts):
                    product[c] *= offset + w0 * row0[c]
                taken = 1
            rank += taken
            multiplied += taken
            if multiplied + 4 > at_once or rank == ranks:
                multiplied = 0
                for c in range(concepts):
                    exponent[c] += (bits[c] >> 23) - 127
                    bits[c] = (bits[c] & 0x007FFFFF) | 0x3F800000
