"""Shapes that a child can name, as outlines around the origin that reach about 1 from it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from neuronlake.ingest.demo.canvas import Ink, Plane, Points, ring

_ROUND = 120  # corners of what has none


def draw_shape(name: str, ink: Ink, plane: Plane, tone: int = 1) -> None:
    """Fill a shape whose size is the plane's pitch; what is hollow in it becomes tone 0."""
    ink.polygon(plane.seen(SHAPES[name]()), tone)
    if name in _HOLLOWS:
        ink.polygon(plane.seen(_HOLLOWS[name]()), 0)


def _circle() -> Points:
    return ring(_ROUND, 0.9)


def _triangle() -> Points:
    return ring(3, 1.05, -math.pi / 2)


def _square() -> Points:
    return ring(4, 1.1, math.pi / 4)


def _star() -> Points:
    points = np.empty((10, 2))
    points[::2] = ring(5, 1.1, -math.pi / 2)
    points[1::2] = ring(5, 0.44, -math.pi / 2 + math.pi / 5)
    return points


def _cross() -> Points:
    arm = np.array([(0.95, -0.3), (0.95, 0.3), (0.3, 0.3)])
    quarter = np.array([(0.0, 1.0), (-1.0, 0.0)])  # (x, y) @ quarter is (-y, x)
    turned = [arm]
    for _ in range(3):
        turned.append(turned[-1] @ quarter)
    return np.concatenate(turned)


def _heart() -> Points:
    t = np.linspace(0, 2 * math.pi, _ROUND, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x, -y - 2], axis=-1) / 16


def _arrow() -> Points:
    upper = np.array([(1.1, 0.0), (0.2, -0.75), (0.2, -0.28), (-1.05, -0.28)])
    return np.concatenate([upper, upper[:0:-1] * (1, -1)])


def _crescent() -> Points:
    outer = ring(_ROUND)[20:-19]
    inner = ring(_ROUND, 0.8) + np.array((0.42, 0.0))
    inside = inner[np.hypot(*inner.T) < 1][::-1]
    return np.concatenate([outer, inside]) + np.array((0.15, 0.0))


SHAPES: dict[str, Callable[[], Points]] = {
    "circle": _circle,
    "triangle": _triangle,
    "square": _square,
    "star": _star,
    "ring": lambda: ring(_ROUND),
    "cross": _cross,
    "heart": _heart,
    "arrow": _arrow,
    "crescent": _crescent,
}
_HOLLOWS: dict[str, Callable[[], Points]] = {"ring": lambda: ring(_ROUND, 0.58)}
