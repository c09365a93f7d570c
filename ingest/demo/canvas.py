"""What is drawn on: a picture four times as large as the one that is kept, and a plane that patterns lie in."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

SIDE = 224
ENLARGED = 4
CANVAS = SIDE * ENLARGED

Points = np.ndarray


class Ink:
    """A canvas of tones, which begins as tone 0 everywhere."""

    def __init__(self) -> None:
        self.image = Image.new("L", (CANVAS, CANVAS))
        self._draw = ImageDraw.Draw(self.image)

    def polygon(self, points: Points, tone: int = 1) -> None:
        """Fill a polygon; `points` (n, 2)."""
        self._draw.polygon(points.ravel().tolist(), fill=tone)

    def line(self, points: Points, width: float, tone: int = 1) -> None:
        """Draw a line through `points` (n, 2), round where it bends."""
        self._draw.line(points.ravel().tolist(), fill=tone, width=max(1, round(width)), joint="curve")

    def disc(self, center: Points, radius: float, tone: int = 1) -> None:
        """Fill a circle; `center` (2,)."""
        self._draw.circle(center.tolist(), radius, fill=tone)

    def pixels(self) -> np.ndarray:
        """(CANVAS, CANVAS) uint8: the tone of each pixel."""
        return np.asarray(self.image)


@dataclass(frozen=True)
class Plane:
    """A plane whose unit is a pattern's pitch, as it is seen: turned, moved, and leaning a little.

    Attributes:
        pitch: in pixels of the canvas.
        angle: in radians.
        shift: of the canvas' centre, in pitches.
        lean: how much nearer one edge of the canvas is than the middle, across and down.
    """

    pitch: float
    angle: float
    shift: tuple[float, float] = (0.0, 0.0)
    lean: tuple[float, float] = (0.0, 0.0)

    @property
    def reach(self) -> int:
        """So many pitches from the centre in each direction cover the canvas."""
        return math.ceil(0.95 * CANVAS / self.pitch) + 1

    def denser(self, times: int) -> Plane:
        """The same plane with a smaller pitch."""
        across, down = self.shift
        return Plane(self.pitch / times, self.angle, (across * times, down * times), self.lean)

    def cells(self) -> list[tuple[int, int]]:
        """Column and row of every cell of the plane that may show, row by row."""
        rows, columns = np.mgrid[-self.reach : self.reach, -self.reach : self.reach].reshape(2, -1)
        places = self.seen(np.stack([columns, rows], axis=-1))
        margin = 1.8 * self.pitch
        shows = ((places > -margin) & (places < CANVAS + margin)).all(axis=-1)
        return list(zip(columns[shows].tolist(), rows[shows].tolist(), strict=True))

    def seen(self, points: Points | list[tuple[float, float]]) -> Points:
        """(n, 2) points of the plane as they lie on the canvas."""
        x, y = (np.asarray(points, dtype=np.float64) + self.shift).T * self.pitch
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        turned = np.stack([cosine * x - sine * y, sine * x + cosine * y], axis=-1)
        nearness = 1 + turned @ np.asarray(self.lean) / CANVAS
        return turned / nearness[:, None] + CANVAS / 2


def ring(corners: int, radius: float = 1.0, turn: float = 0.0) -> Points:
    """(corners, 2): a regular polygon around the origin, its first corner to the right where it is not turned."""
    angles = turn + np.arange(corners) * (2 * math.pi / corners)
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
