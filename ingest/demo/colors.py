"""The eleven colours of Broden, and paints of which each is one of them beyond doubt."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

# what each colour looks like at its clearest
PROTOTYPES = {
    "black-c": (22, 22, 24),
    "blue-c": (38, 84, 205),
    "brown-c": (122, 72, 36),
    "grey-c": (130, 130, 130),
    "green-c": (44, 152, 60),
    "orange-c": (246, 132, 24),
    "pink-c": (250, 152, 192),
    "purple-c": (124, 48, 164),
    "red-c": (208, 28, 36),
    "white-c": (246, 246, 244),
    "yellow-c": (248, 218, 44),
}
COLORS = tuple(PROTOTYPES)
# light falls on paints within these limits, and leaves them the colour that they are
DARKEST, BRIGHTEST = 0.84, 1.1
_SPREAD = 24
# paints beside each other are so far apart, and one is so much brighter, that a pattern of two can be seen
_CONTRAST, _BRIGHTER = 110, 42
_BRIGHTNESS = (0.299, 0.587, 0.114)

_TABLE = np.array(list(PROTOTYPES.values()), dtype=np.float64)


@dataclass(frozen=True)
class Paint:
    """A colour as it is painted.

    Attributes:
        color: its place in `COLORS`.
        rgb: from 0 to 255 each.
    """

    color: int
    rgb: tuple[int, int, int]

    def shaded(self, shade: float) -> Paint:
        """The same paint darker or brighter, which may be another colour."""
        red, green, blue = (min(255, round(shade * value)) for value in self.rgb)
        return Paint(int(nearest(np.array([red, green, blue]))), (red, green, blue))


def nearest(rgb: np.ndarray) -> np.ndarray:
    """(...) the places in `COLORS` of the prototypes that are nearest to `rgb` (..., 3)."""
    return np.square(rgb[..., None, :] - _TABLE).sum(axis=-1).argmin(axis=-1)


class Paintbox:
    """Paints in turn: every colour comes once before one comes again, in an order by chance."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._waiting: list[int] = []

    def take(self, beside: Collection[Paint] = (), among: Collection[str] = COLORS) -> Paint:
        """The next paint of one of the colours `among` that can be told from those `beside`."""
        demand = 1.0
        while (paint := self._first(beside, among, demand)) is None:
            if set(self._waiting) < set(range(len(COLORS))):
                self._waiting += self._random.permutation(len(COLORS)).tolist()
            else:
                demand -= 0.25
        self._waiting.remove(paint.color)
        return paint

    def _first(self, beside: Collection[Paint], among: Collection[str], demand: float) -> Paint | None:
        """A paint of the first of the colours that wait, of those that will do."""
        for color in self._waiting:
            if COLORS[color] in among:
                paint = self._mixed(color)
                if all(_differ(paint, other, demand) for other in beside):
                    return paint
        return None

    def _mixed(self, color: int) -> Paint:
        """A paint near a colour's prototype, which stays that colour in shadow and light."""
        while True:
            spread = self._random.integers(-_SPREAD, _SPREAD + 1, 3)
            rgb = np.clip(_TABLE[color] + spread, 0, 255)
            lit = np.clip(np.outer((DARKEST, 1.0, BRIGHTEST), rgb), 0, 255)
            if (nearest(lit) == color).all():
                red, green, blue = (int(value) for value in rgb)
                return Paint(color, (red, green, blue))


def _differ(one: Paint, other: Paint, demand: float) -> bool:
    """Whether two paints are of two colours that can be told apart; nothing is asked of them where `demand` is 0."""
    apart = np.subtract(one.rgb, other.rgb)
    is_far = float(np.square(apart).sum()) >= max(0, demand * _CONTRAST) ** 2
    is_other = one.color != other.color or demand <= 0
    return is_other and is_far and abs(float(apart @ _BRIGHTNESS)) >= demand * _BRIGHTER
