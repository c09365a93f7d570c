"""Pictures of textures, shapes and colours, with exact masks: 216 of them, always the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from neuronlake.ingest.demo.canvas import CANVAS, ENLARGED, SIDE, Ink, Plane
from neuronlake.ingest.demo.colors import BRIGHTEST, COLORS, DARKEST, Paint, Paintbox
from neuronlake.ingest.demo.shapes import SHAPES, draw_shape
from neuronlake.ingest.demo.textures import TEXTURES, Random, a_plane

MASK_SIDE = 112
SHAPE_NAMES, TEXTURE_NAMES = tuple(SHAPES), tuple(TEXTURES)
_SEED = 17
_FILLED = 6  # pictures that a texture fills, and as many in which it is a part
_WHITE = 255
# what is coarser could not be told within a shape
_FINE = tuple(name for name, texture in TEXTURES.items() if texture.pitches[0] <= 90)


@dataclass(frozen=True)
class Picture:
    """A picture and what each pixel of it shows.

    Attributes:
        name: of its file, without the ending.
        pixels: (SIDE, SIDE, 3) uint8.
        colors: (MASK_SIDE, MASK_SIDE) the place in `COLORS`, + 1; of most of what lies under the mask's pixel.
        shapes: the same for `SHAPE_NAMES`; 0 where there is none.
        textures: the same for `TEXTURE_NAMES`.
        filled_by: the texture of the whole picture.
    """

    name: str
    pixels: np.ndarray
    colors: np.ndarray
    shapes: np.ndarray
    textures: np.ndarray
    filled_by: str | None = None


class _Scene:
    """What is painted so far: of each pixel of the canvas the paint, the shape and the texture."""

    def __init__(self, random: Random, grounds: Paintbox, box: Paintbox) -> None:
        self._random, self._grounds, self._box = random, grounds, box
        self._paints: list[Paint] = []
        self.of_paint, self.of_shape, self.of_texture = (Image.new("L", (CANVAS, CANVAS)) for _ in range(3))

    def paint(
        self,
        beside: Sequence[Paint] = (),
        mask: Image.Image | None = None,
        texture: str | None = None,
        finer: float = 1,
    ) -> list[Paint]:
        """Fill the mask, or everything, with a plain paint or a texture; returns its paints."""
        area = mask or Image.new("L", (CANVAS, CANVAS), _WHITE)
        first = len(self._paints)
        if texture is None:
            new = [self._take(beside)]
            self._paints += new
            self.of_paint.paste(first, mask=area)
        else:
            how, new, ink = TEXTURES[texture], list[Paint](), Ink()
            for paint in range(how.paints):
                among = how.colors[paint] if paint < len(how.colors) else COLORS
                new.append(self._take([*new, *beside], among))
            plane = a_plane(how, self._random)
            how.draw(ink, replace(plane, pitch=plane.pitch / finer), self._random)
            self._paints += [new[paint].shaded(shade) for paint, shade in how.tones]
            self.of_paint.paste(ink.image.point([min(255, first + tone) for tone in range(256)]), mask=area)
        self.of_texture.paste(0 if texture is None else 1 + TEXTURE_NAMES.index(texture), mask=area)
        return new

    def add_shape(self, shape: str, plane: Plane, texture: str | None) -> None:
        """Paint a shape on top of what is there, in paints that can be told from it."""
        ink = Ink()
        draw_shape(shape, ink, plane, _WHITE)
        under = self.of_paint.histogram(ink.image)
        beside = [paint for paint, pixels in zip(self._paints, under, strict=False) if pixels > 0.08 * sum(under)]
        self.paint(beside, ink.image, texture, finer=1.5)
        self.of_shape.paste(1 + SHAPE_NAMES.index(shape), mask=ink.image)

    def _take(self, beside: Sequence[Paint], among: Sequence[str] = COLORS) -> Paint:
        """The next paint; grounds have turns of their own, else those hard to tell from others were left for them."""
        return self._box.take(beside, among) if beside else self._grounds.take(among=among)

    def picture(self, name: str, filled_by: str | None = None) -> Picture:
        """The scene as it is seen in its light, and its masks."""
        palette = np.zeros((256, 3), dtype=np.uint8)
        palette[: len(self._paints)] = [paint.rgb for paint in self._paints]
        painted = self.of_paint.copy()
        painted.putpalette(palette.ravel().tolist())
        seen = painted.convert("RGB").reduce(ENLARGED)
        color_of = [1 + paint.color for paint in self._paints]
        return Picture(
            name,
            _photographed(seen, self._random),
            majority(self.of_paint.point([*color_of, *[0] * (256 - len(color_of))])),
            majority(self.of_shape),
            majority(self.of_texture),
            filled_by,
        )


def pictures() -> Iterator[Picture]:
    """All pictures: those that one texture fills, then those of shapes on a ground that is partly textured."""
    random = np.random.default_rng(_SEED)
    boxes = Paintbox(random), Paintbox(random)
    for texture in TEXTURE_NAMES:
        for number in range(1, _FILLED + 1):
            scene = _Scene(random, *boxes)
            scene.paint(texture=texture)
            yield scene.picture(f"filled/{texture}_{number}", texture)
    shapes, textures, fine = (_in_turn(names, random) for names in (SHAPE_NAMES, TEXTURE_NAMES, _FINE))
    for number in range(1, _FILLED * len(TEXTURE_NAMES) + 1):
        scene = _Scene(random, *boxes)
        ground = scene.paint()
        scene.paint(ground, _part(random), next(textures))
        for plane in _places(random):
            is_textured = plane.pitch > 0.17 * CANVAS and random.random() < 0.5
            scene.add_shape(next(shapes), plane, next(fine) if is_textured else None)
        yield scene.picture(f"shapes/{number:03}")


def _in_turn(names: Sequence[str], random: Random) -> Iterator[str]:
    """Names without end, each once before one comes again, in an order by chance."""
    while True:
        order: list[int] = random.permutation(len(names)).tolist()
        yield from (names[place] for place in order)


def _part(random: Random) -> Image.Image:
    """A mask of a part of the canvas that has no shape one could name."""
    t = np.linspace(0, 2 * math.pi, 160, endpoint=False)
    waves = np.arange(2, 7)
    strengths, phases = random.uniform(0, 0.34, 5) / waves, random.uniform(0, 2 * math.pi, 5)
    radius = random.uniform(0.38, 0.5) * (1 + (strengths * np.sin(waves * t[:, None] + phases)).sum(axis=1) * 1.6)
    outline = radius[:, None] * np.stack([np.cos(t), np.sin(t)], axis=-1) + random.uniform(0.15, 0.85, 2)
    mask = Image.new("L", (CANVAS, CANVAS))
    ImageDraw.Draw(mask).polygon((outline * CANVAS).ravel().tolist(), fill=_WHITE)
    return mask


def _places(random: Random) -> list[Plane]:
    """Where two to four shapes lie, how large and turned: apart from each other, and wholly in the picture."""
    wanted, found = int(random.integers(2, 5)), list[Plane]()
    centers: list[np.ndarray] = []
    for _ in range(60):
        size = random.uniform(0.11, 0.24) * CANVAS
        center = random.uniform(size, CANVAS - size, 2)
        clear = (math.dist(center, other) > size + plane.pitch for other, plane in zip(centers, found, strict=True))
        if len(found) < wanted and all(clear):
            turn = random.uniform(-0.5, 0.5)
            away = (center - CANVAS / 2) / size
            # the plane is turned about the middle of the canvas, where its origin lies if it is not moved
            shift = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]]) @ away
            centers.append(center)
            found.append(Plane(size, turn, (shift[0], shift[1])))
    return found


def _photographed(seen: Image.Image, random: Random) -> np.ndarray:
    """(SIDE, SIDE, 3) uint8: a picture in uneven light, not quite sharp, with a little noise."""
    blurred = seen.filter(ImageFilter.GaussianBlur(random.uniform(0, 0.8)))
    coarse = random.uniform(-1, 1, (int(random.integers(2, 5)),) * 2).astype(np.float32)
    light = Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    strength = random.uniform(0, 0.13)
    lit = np.asarray(blurred) * np.clip(0.97 + strength * np.asarray(light), DARKEST, BRIGHTEST)[:, :, None]
    noise = random.uniform(0, 6) * random.standard_normal((SIDE, SIDE, 3), dtype=np.float32)
    return np.clip(np.rint(lit + noise), 0, 255).astype(np.uint8)


def majority(labels: Image.Image) -> np.ndarray:
    """(MASK_SIDE, MASK_SIDE) uint8: the label that is most often among the pixels of the canvas (CANVAS, CANVAS)."""
    pixels = np.asarray(labels)
    least, most = int(pixels.min()), int(pixels.max())
    if least == most:
        return np.full((MASK_SIDE, MASK_SIDE), least, dtype=np.uint8)
    kinds = most + 1
    place = np.arange(CANVAS) // (CANVAS // MASK_SIDE)
    of_label = (place[:, None] * MASK_SIDE + place) * kinds + pixels
    counts = np.bincount(of_label.ravel(), minlength=MASK_SIDE**2 * kinds)
    return counts.reshape(MASK_SIDE, MASK_SIDE, kinds).argmax(axis=-1).astype(np.uint8)
