"""Regions: what a network sees of label images, and the parts of it that show the same concepts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuronlake.ingest.probes.masks.base import NOTHING
from neuronlake.ingest.probes.masks.regions import regions_of, seen_part

WHOLE = (0.0, 0.0, 1.0, 1.0)


def picture(rows: list[list[int]]) -> np.ndarray:
    return np.array(rows, np.int32)


def test_a_pixel_is_of_the_region_of_all_that_label_images_show_there() -> None:
    sky_over_road = picture([[4, 4], [7, NOTHING]])
    blue = picture([[1, NOTHING], [NOTHING, NOTHING]])
    numbers, shown = regions_of([sky_over_road, blue], whole=())
    assert shown == ((), (1, 4), (4,), (7,))
    assert numbers.tolist() == [[1, 2], [3, 0]]
    assert numbers.dtype == np.int32


def test_what_two_label_images_show_is_there_twice_and_which_of_them_does_not_matter() -> None:
    numbers, shown = regions_of([picture([[3, 5, 3]]), picture([[3, 3, 5]])], whole=())
    assert shown == ((3, 3), (3, 5))
    assert numbers.tolist() == [[0, 1, 1]]


def test_what_is_told_of_the_whole_image_is_in_every_region() -> None:
    numbers, shown = regions_of([picture([[3, NOTHING]])], whole=(9, 2))
    assert shown == ((2, 3, 9), (2, 9))
    assert numbers.tolist() == [[0, 1]]


def test_an_image_without_label_images_is_one_region_of_112_by_112() -> None:
    numbers, shown = regions_of([], whole=(6, 6, 1))
    assert (numbers.shape, numbers.any(), shown) == ((112, 112), False, ((1, 6, 6),))
    assert regions_of([], whole=())[1] == ((),)


def test_smaller_label_images_are_brought_to_the_largest() -> None:
    numbers, shown = regions_of([picture([[1, 2]]), picture([[5, 5, 5, 6], [5, 5, 5, 5]])], whole=())
    assert shown == ((1, 5), (2, 5), (2, 6))
    assert numbers.tolist() == [[0, 0, 1, 2], [0, 0, 1, 1]]


SIZES = st.tuples(st.integers(1, 5), st.integers(1, 5))


@given(st.data())
def test_regions_are_what_a_look_at_every_pixel_finds(data: st.DataObject) -> None:
    height, width = data.draw(SIZES)
    row = st.lists(st.integers(NOTHING, 3), min_size=width, max_size=width)
    rows = st.lists(row, min_size=height, max_size=height)
    label_images = [picture(each) for each in data.draw(st.lists(rows, min_size=1, max_size=4))]
    whole = tuple(data.draw(st.lists(st.integers(0, 5), max_size=2)))
    numbers, shown = regions_of(label_images, whole)
    assert list(shown) == sorted(set(shown))
    for place in np.ndindex(height, width):
        told = [int(each[place]) for each in label_images if each[place] != NOTHING]
        assert shown[numbers[place]] == tuple(sorted([*told, *whole]))
    assert set(numbers.ravel().tolist()) == set(range(len(shown)))


def test_of_many_pixels_at_most_112_a_side_are_taken_at_their_centres() -> None:
    rows = np.arange(300, dtype=np.int32)[:, None] * np.ones((1, 50), np.int32)
    seen = seen_part(rows, WHOLE)
    assert seen.shape == (112, 50)
    # 0.5 * 300 / 112 = 1.34, 1.5 * 300 / 112 = 4.02, 111.5 * 300 / 112 = 298.66
    assert seen[[0, 1, 111], 0].tolist() == [1, 4, 298]
    assert (seen_part(rows[:112, :50], WHOLE) == rows[:112, :50]).all()


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (WHOLE, [[0, 1, 2, 3], [4, 5, 6, 7]]),
        ((0.25, 0.0, 0.75, 1.0), [[1, 2], [5, 6]]),
        ((0.0, 0.5, 1.0, 1.0), [[4, 5, 6, 7]]),
        # edges between pixels are those of the nearest
        ((0.3, 0.0, 0.7, 1.0), [[1, 2], [5, 6]]),
        ((-0.25, 0.5, 0.5, 1.5), [[NOTHING, 4, 5], [NOTHING, NOTHING, NOTHING]]),
        ((0.75, -0.5, 1.25, 0.5), [[NOTHING, NOTHING], [3, NOTHING]]),
        # less than a pixel is one
        ((0.5, 0.0, 0.51, 0.1), [[2]]),
    ],
)
def test_a_window_has_its_pixels_and_nothing_where_there_is_no_image(
    window: tuple[float, float, float, float], expected: list[list[int]]
) -> None:
    assert seen_part(picture([[0, 1, 2, 3], [4, 5, 6, 7]]), window).tolist() == expected
