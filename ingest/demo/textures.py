"""Textures of Broden, under the names that Describable Textures gave them, where they can be drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image

from neuronlake.ingest.demo.canvas import CANVAS, Ink, Plane, Points, ring

Random = np.random.Generator
_ANY_TURN = math.pi
_TWO = ((0, 1.0), (1, 1.0))


@dataclass(frozen=True)
class Texture:
    """How a texture is drawn.

    Attributes:
        draw: puts tones on a canvas, in a plane.
        pitches: smallest and largest pitch, in pixels of the canvas.
        turn: it is turned by at most so many radians.
        tones: of each tone, which of the paints it is, and how bright: much darker only where that is black or brown.
        colors: of each paint, the colours that such a thing has; any where it is left out.
    """

    draw: Callable[[Ink, Plane, Random], None]
    pitches: tuple[float, float] = (90, 200)
    turn: float = _ANY_TURN
    tones: tuple[tuple[int, float], ...] = _TWO
    colors: tuple[tuple[str, ...], ...] = ()

    @property
    def paints(self) -> int:
        """How many paints it needs."""
        return 1 + max(paint for paint, _ in self.tones)


def a_plane(texture: Texture, random: Random) -> Plane:
    """A plane for a texture: its pitch, angle and place by chance."""
    smallest, largest = texture.pitches
    pitch = smallest * (largest / smallest) ** random.random()
    shift, lean = random.random(2), random.uniform(-0.18, 0.18, 2)
    return Plane(pitch, random.uniform(-texture.turn, texture.turn), (shift[0], shift[1]), (lean[0], lean[1]))


def _box(left: float, top: float, right: float, bottom: float) -> Points:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def _striped(ink: Ink, plane: Plane, random: Random) -> None:
    width = random.uniform(0.35, 0.65)
    for column in range(-plane.reach, plane.reach):
        ink.polygon(plane.seen(_box(column, -plane.reach, column + width, plane.reach)))


def _chequered(ink: Ink, plane: Plane, _random: Random) -> None:
    for column, row in plane.cells():
        if (column + row) % 2:
            ink.polygon(plane.seen(_box(column, row, column + 1, row + 1)))


def _grid(ink: Ink, plane: Plane, random: Random) -> None:
    width, reach = random.uniform(0.08, 0.2), plane.reach
    for place in range(-reach, reach):
        ink.polygon(plane.seen(_box(place, -reach, place + width, reach)))
        ink.polygon(plane.seen(_box(-reach, place, reach, place + width)))


def _zigzagged(ink: Ink, plane: Plane, random: Random) -> None:
    height, width, reach = random.uniform(0.6, 1.1), random.uniform(0.4, 0.6), plane.reach
    across = np.arange(-2 * reach, 2 * reach) / 2
    edge = np.stack([across, height * (np.arange(len(across)) % 2)], axis=-1)
    for row in range(-reach - 1, reach):
        upper = edge + np.array((0, row))
        lower = upper + np.array((0, width))
        ink.polygon(plane.seen(np.concatenate([upper, lower[::-1]])))


def _polka_dotted(ink: Ink, plane: Plane, random: Random) -> None:
    radius = random.uniform(0.24, 0.36)
    for column, row in plane.cells():
        for center in ((column, row), (column + 0.5, row + 0.5)):
            ink.disc(plane.seen([center])[0], radius * plane.pitch * 0.72)


def _dotted(ink: Ink, plane: Plane, random: Random) -> None:
    for cell in plane.cells():
        center = np.array(cell) + random.uniform(-0.36, 0.36, 2)
        ink.disc(plane.seen(center[None])[0], random.uniform(0.14, 0.24) * plane.pitch)


def _spiralled(ink: Ink, plane: Plane, random: Random) -> None:
    turns, hand = random.uniform(3.2, 5.0), random.choice((-1, 1))
    width = 0.24 * plane.pitch / turns
    for column, row in plane.cells():
        t = np.linspace(0.12, 1, round(26 * turns))
        angle = hand * 2 * math.pi * turns * t + random.uniform(0, 2 * math.pi)
        arm = 0.5 * t[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        center = (column + 0.5 * (row % 2), row * 0.88)
        ink.line(plane.seen(arm + center), width)


def _hexagons(plane: Plane) -> Iterator[Points]:
    """Centres (2,) of hexagons of radius 1 / sqrt(3), which are a pitch apart."""
    for column, row in plane.cells():
        yield np.array([column + 0.5 * (row % 2), row * math.sqrt(3) / 2])


def _honeycombed(ink: Ink, plane: Plane, random: Random) -> None:
    wall = random.uniform(0.74, 0.88)
    cell = ring(6, wall / math.sqrt(3), math.pi / 6)
    for center in _hexagons(plane):
        ink.polygon(plane.seen(cell + center), int(random.integers(1, 4)))


def _meshed(ink: Ink, plane: Plane, random: Random) -> None:
    width = random.uniform(0.05, 0.09) * plane.pitch
    # a net: the threads go to and fro, and are knotted where they meet
    down = np.arange(-2 * plane.reach, 2 * plane.reach + 1) / 2
    for column in range(-2 * plane.reach, 2 * plane.reach):
        side = (np.arange(len(down)) + column) % 2 / 2
        ink.line(plane.seen(np.stack([column / 2 + side, 1.5 * down], axis=-1)), width)
    for column, row in plane.cells():
        for knot in ((column, 1.5 * row), (column + 0.5, 1.5 * row + 0.75)):
            ink.disc(plane.seen([knot])[0], width)


def _crosshatched(ink: Ink, plane: Plane, random: Random) -> None:
    width = random.uniform(0.16, 0.26) * plane.pitch
    crossing = random.uniform(0.8, 1.4)
    for turned in (plane.angle, plane.angle + crossing):
        strokes = Plane(plane.pitch, turned, plane.shift, plane.lean)
        for column in range(-plane.reach, plane.reach):
            place, bend, slant = column + random.uniform(-0.22, 0.22, 3)
            reach = plane.reach
            ink.line(strokes.seen([(place, -reach), (bend, random.uniform(-9, 9)), (slant, reach)]), width)


def _cobwebbed(ink: Ink, plane: Plane, random: Random) -> None:
    threads = int(random.integers(9, 14))
    width = random.uniform(5, 9)
    angles = np.sort(np.arange(threads) + random.uniform(-0.22, 0.22, threads)) * (2 * math.pi / threads)
    spokes = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    middle = random.uniform(-0.25, 0.25, 2) * CANVAS / plane.pitch
    centered = Plane(plane.pitch, plane.angle, (middle[0], middle[1]))
    for spoke in spokes:
        ink.line(centered.seen(np.stack([0 * spoke, 2 * plane.reach * spoke])), width)
    sag = np.linspace(0, 1, 7)[:, None]
    for circle in range(1, 2 * plane.reach):
        radius = circle * 0.75
        for one, other in zip(spokes, np.roll(spokes, -1, axis=0), strict=True):
            straight = one * (1 - sag) + other * sag
            ink.line(centered.seen(radius * straight * (1 - 0.5 * sag * (1 - sag))), width * 0.8)


def _cracked(ink: Ink, plane: Plane, random: Random) -> None:
    moved: dict[tuple[int, int], Points] = {}

    def vertex(point: Points) -> Points:
        key = (round(point[0] * 12), round(point[1] * 12))
        return moved.setdefault(key, point + random.uniform(-0.3, 0.3, 2))

    for center in _hexagons(plane):
        corners = [vertex(corner) for corner in center + ring(6, 1 / math.sqrt(3), math.pi / 6)]
        # each edge is met by two cells; half of the six is every edge once
        for one, other in pairwise(corners[:4]):
            t = np.linspace(0, 1, 8)[:, None]
            jagged = one * (1 - t) + other * t
            jagged[1:-1] += random.uniform(-0.045, 0.045, (6, 2))
            ink.line(plane.seen(jagged), random.uniform(0.03, 0.1) * plane.pitch)


def _waffled(ink: Ink, plane: Plane, random: Random) -> None:
    wall, slope = random.uniform(0.14, 0.2), random.uniform(0.16, 0.22)
    for column, row in plane.cells():
        outer = _box(column + wall, row + wall, column + 1, row + 1)
        inset = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)]) * slope
        inner = outer + inset
        for side, tone in enumerate((1, 2, 4, 3)):
            following = (side + 1) % 4
            ink.polygon(plane.seen(np.stack([outer[side], outer[following], inner[following], inner[side]])), tone)
        ink.polygon(plane.seen(inner), 5)


def _woven(ink: Ink, plane: Plane, random: Random) -> None:
    strands = int(random.integers(2, 4))
    # a basket: as many strands side by side go over as go under, round as reeds are
    for column, row in plane.cells():
        is_upright = (column + row) % 2
        for strand in range(strands):
            for inset, tone in ((0.05, 1), (0.16, 2), (0.3, 3)):
                sides = (strand + inset) / strands, (strand + 1 - inset) / strands
                ends = -0.04 + inset / 3, 1.04 - inset / 3
                (left, right), (top, bottom) = (sides, ends) if is_upright else (ends, sides)
                ink.polygon(plane.seen(_box(column + left, row + top, column + right, row + bottom)), tone)


def _scaly(ink: Ink, plane: Plane, random: Random) -> None:
    rim = random.uniform(0.08, 0.13)
    scale = ring(24, 0.6)
    for column, row in sorted(plane.denser(2).cells(), key=lambda cell: -cell[1]):
        if column % 2 == row % 2:  # they lie as tiles do, each over two of the next row
            center = np.array([column / 2, row * 0.42])
            ink.polygon(plane.seen(scale + center), 0)
            ink.polygon(plane.seen(scale * (1 - rim / 0.6) + center), 1)
            ink.polygon(plane.seen(scale * 0.45 + center + (0, 0.22)), 2)


def _sprinkled(ink: Ink, plane: Plane, random: Random) -> None:
    width = random.uniform(0.2, 0.28)
    for cell in plane.cells():
        turn, length = random.uniform(0, math.pi), random.uniform(0.22, 0.32)
        along = length * np.array([math.cos(turn), math.sin(turn)])
        center = np.array(cell) + random.uniform(-0.3, 0.3, 2)
        ends = plane.seen(np.stack([center - along, center + along]))
        tone = int(random.integers(1, 5))
        ink.line(ends, width * plane.pitch, tone)
        for end in ends:
            ink.disc(end, width * plane.pitch / 2, tone)


def _bubbly(ink: Ink, plane: Plane, random: Random) -> None:
    cells = plane.cells()
    for place in random.permutation(len(cells)):
        center = plane.seen(np.array(cells[place])[None] + random.uniform(-0.4, 0.4, 2))[0]
        radius = random.uniform(0.25, 0.72) * plane.pitch
        ink.disc(center, radius, 1)
        ink.disc(center, radius * 0.86, 2)
        ink.disc(center + radius * 0.12, radius * 0.68, 3)
        ink.disc(center - radius * 0.38, radius * 0.2, 1)


def _blotchy(ink: Ink, plane: Plane, random: Random) -> None:
    coarse = max(4, round(CANVAS / plane.pitch))
    field = Image.fromarray(random.random((coarse, coarse), dtype=np.float32))
    smooth = np.asarray(field.resize((CANVAS, CANVAS), Image.Resampling.BICUBIC))
    limit = random.uniform(0.52, 0.6)
    ink.image.paste(1, mask=Image.fromarray((smooth > limit).astype(np.uint8) * 255))


TEXTURES = {
    "blotchy": Texture(_blotchy, (70, 150)),
    "bubbly": Texture(_bubbly, (90, 170), tones=((1, 0.86), (0, 1.0), (1, 1.0), (1, 0.93)), colors=(("white-c",),)),
    "chequered": Texture(_chequered, (60, 170)),
    "cobwebbed": Texture(_cobwebbed, (70, 110)),
    "cracked": Texture(_cracked, (130, 260)),
    "crosshatched": Texture(_crosshatched, (30, 60)),
    "dotted": Texture(_dotted, (44, 80)),
    "grid": Texture(_grid, (80, 200)),
    "honeycombed": Texture(_honeycombed, (80, 190), tones=((1, 1.0), (0, 1.0), (0, 0.88), (0, 1.1))),
    "meshed": Texture(_meshed, (90, 190), turn=0.25),
    "polka-dotted": Texture(_polka_dotted, (120, 280)),
    "scaly": Texture(_scaly, (80, 160), turn=0.4, tones=((0, 0.25), (0, 0.94), (0, 1.08))),
    "spiralled": Texture(_spiralled, (300, 620)),
    "sprinkled": Texture(_sprinkled, (70, 130), tones=((0, 1.0), (1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0))),
    "striped": Texture(_striped, (60, 190)),
    "waffled": Texture(
        _waffled,
        (120, 240),
        tones=((0, 1.1), (0, 0.64), (0, 0.7), (0, 0.88), (0, 0.95), (0, 0.76)),
        colors=(("orange-c", "brown-c"),),
    ),
    "woven": Texture(_woven, (130, 240), tones=((0, 0.22), (0, 0.86), (0, 0.95), (0, 1.08))),
    "zigzagged": Texture(_zigzagged, (90, 190)),
}
