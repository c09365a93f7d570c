"""The outline of where a unit is active, as a path that pictures can show."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from contourpy import FillType, contour_generator
from torch.nn import functional

# points of a grid that an outline is drawn through: pictures are small
_SIDE = 32


def outline(is_active: np.ndarray, window: tuple[float, float, float, float]) -> str:
    """An SVG path around what is active, in a picture of 100 x 100 that is the whole image.

    Args:
        is_active: (height, width) bool, of what the network sees.
        window: its left, top, right and bottom, as fractions of the whole image.
    """
    left, top, right, bottom = window
    coarse = functional.interpolate(torch.from_numpy(is_active)[None, None].float(), (_SIDE, _SIDE), mode="area")[0, 0]
    # a margin, so that an outline is closed at the edges
    inside = np.pad(coarse.numpy(), 1)
    places = (np.arange(-1, _SIDE + 1) + 0.5) / _SIDE
    x, y = (100 * (start + places.clip(0, 1) * (end - start)) for start, end in ((left, right), (top, bottom)))
    filled: Any = contour_generator(x, y, inside, fill_type=FillType.OuterOffset).filled(0.5, 2.0)
    points, offsets = filled
    return "".join(
        _ring(ring[start:end])
        for ring, ends in zip(points, offsets, strict=True)
        for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
    )


def _ring(points: np.ndarray) -> str:
    """A closed line in whole numbers, without points on the way of a straight one."""
    whole = points.round().astype(int)
    step = np.diff(whole, axis=0)
    whole = whole[:-1][step.any(axis=1)]
    if len(whole) < 3:
        return ""
    before, after = whole - np.roll(whole, 1, axis=0), np.roll(whole, -1, axis=0) - whole
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    corners = whole[turns] if turns.sum() > 2 else whole
    return "M" + "L".join(f"{x} {y}" for x, y in corners.tolist()) + "Z"
