"""Outlines: closed paths that go around the active pixels, in a picture of 100 x 100 that is the whole image."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw

from neuronlake.ingest.machines.maps.outlines import outline

WHOLE = (0.0, 0.0, 1.0, 1.0)
# how far an outline may be from the edge of what it goes around: a cell of the grid that it is drawn by, and a rounding
NEAR = 3


def rings(path: str) -> list[list[tuple[int, int]]]:
    """The closed lines of a path, which is nothing else."""
    assert re.fullmatch(r"(M\d+ \d+(L\d+ \d+){2,}Z)*", path)
    found = [[each.split(" ") for each in ring.split("L")] for ring in re.findall(r"M([^Z]*)Z", path)]
    return [[(int(x), int(y)) for x, y in ring] for ring in found]


def extent(path: str) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the only line."""
    (ring,) = rings(path)
    xs, ys = zip(*ring, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def filled(path: str) -> np.ndarray:
    """What is inside, where a ring in another is a hole: (100, 100) bool."""
    inside = Image.new("1", (101, 101))
    for ring in rings(path):
        one = Image.new("1", inside.size)
        ImageDraw.Draw(one).polygon(ring, fill=1)
        inside = ImageChops.logical_xor(inside, one)
    return np.asarray(inside)[:100, :100]


def pixels(*boxes: tuple[int, int, int, int], side: int = 100) -> np.ndarray:
    """Active pixels: from the left, top, right and bottom of boxes; of a box in another none."""
    found = np.zeros((side, side), bool)
    for left, top, right, bottom in boxes:
        found[top:bottom, left:right] ^= True
    return found


def goes_around(path: str, active: np.ndarray, near: int = NEAR) -> None:
    """Check that what is well inside of the active pixels is inside, and what is well outside outside."""
    padded = np.pad(active, near)
    shifted = [padded[y : y + 100, x : x + 100] for y in range(2 * near + 1) for x in range(2 * near + 1)]
    inside = filled(path)
    assert inside[np.all(shifted, axis=0)].all()
    assert not inside[~np.any(shifted, axis=0)].any()


def test_a_square_in_the_middle_has_four_corners() -> None:
    active = pixels((25, 25, 75, 75))
    path = outline(active, WHOLE)
    assert extent(path) == (25, 25, 75, 75)
    # a corner may be cut off
    assert 4 <= len(rings(path)[0]) <= 8
    goes_around(path, active)


def test_what_reaches_the_edges_is_closed_along_them() -> None:
    assert extent(outline(np.ones((7, 7), bool), WHOLE)) == pytest.approx((0, 0, 100, 100), abs=1)
    for box in [(0, 0, 40, 40), (60, 30, 100, 70), (30, 80, 70, 100), (0, 0, 100, 20)]:
        path = outline(pixels(box), WHOLE)
        assert len(rings(path)) == 1
        goes_around(path, pixels(box))


def test_nothing_has_no_outline() -> None:
    assert outline(np.zeros((10, 10), bool), WHOLE) == ""


def test_two_blobs_have_two_lines() -> None:
    active = pixels((10, 10, 40, 30), (60, 50, 90, 95))
    path = outline(active, WHOLE)
    assert len(rings(path)) == 2
    goes_around(path, active)


def test_a_hole_is_left_out_however_a_picture_is_filled() -> None:
    """Its line runs the other way round, so that it is a hole by SVG's own rule too, which counts turns."""
    active = pixels((10, 10, 90, 90), (35, 40, 65, 60))
    path = outline(active, WHOLE)
    outer, hole = rings(path)
    goes_around(path, active)

    def area(ring: list[tuple[int, int]]) -> float:
        return (
            sum(x * after_y - after_x * y for (x, y), (after_x, after_y) in zip(ring, ring[1:] + ring[:1], strict=True))
            / 2
        )

    assert area(outer) * area(hole) < 0


def test_an_outline_lies_in_the_part_of_the_image_that_the_network_sees() -> None:
    seen = (0.25, 0.1, 0.75, 0.9)
    assert extent(outline(np.ones((8, 8), bool), seen)) == pytest.approx((25, 10, 75, 90), abs=1)
    left_half = np.zeros((8, 8), bool)
    left_half[:, :4] = True
    assert extent(outline(left_half, seen)) == pytest.approx((25, 10, 50, 90), abs=1)


@pytest.mark.parametrize("side", [7, 28, 48, 112])
def test_what_is_active_is_inside_whatever_the_size_of_the_masks(side: int) -> None:
    y, x = np.mgrid[:side, :side] / side
    active = (np.hypot(x - 0.4, y - 0.5) < 0.3) & (np.hypot(x - 0.4, y - 0.5) > 0.12) | (x > 0.8) & (y > 0.6)
    larger = np.asarray(Image.fromarray(active).resize((100, 100), Image.Resampling.NEAREST))
    goes_around(outline(active, WHOLE), larger, near=4)


def test_a_single_pixel_of_a_small_map_has_an_outline() -> None:
    active = np.zeros((14, 14), bool)
    active[3, 5] = True
    assert extent(outline(active, WHOLE)) == pytest.approx((36, 21, 43, 29), abs=1)
