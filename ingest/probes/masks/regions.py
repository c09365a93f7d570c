"""Regions: the parts of an image that show the same concepts, in the part of the image that a network sees."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from neuronlake.ingest.probes.masks.base import NOTHING

# rows and columns of a region map, as of Broden's label images
MOST_SIDE = 112


def seen_part(places: np.ndarray, window: tuple[float, float, float, float]) -> np.ndarray:
    """The pixels of a label image in a window, of which each side is sampled to at most 112: the nearest to each.

    Args:
        places: (height, width) int32, see `MaskReader`.
        window: left, top, right and bottom as shares of the whole image's width and height; what lies outside of 0 to 1
            is `NOTHING`. Its edges are those of the nearest pixels, and it has one at least.
    """
    left, top, right, bottom = window
    rows, has_row = _sampled(places.shape[0], top, bottom)
    columns, has_column = _sampled(places.shape[1], left, right)
    found = places[np.ix_(rows, columns)]
    return np.where(np.outer(has_row, has_column), found, np.int32(NOTHING))


def _sampled(pixels: int, start: float, stop: float) -> tuple[np.ndarray, np.ndarray]:
    """Which of an edge's pixels are taken from `start` to `stop`, shares of it, and which of these are there at all."""
    first = math.floor(start * pixels + 0.5)
    inside = max(math.floor(stop * pixels + 0.5) - first, 1)
    taken = first + _centres(inside, min(inside, MOST_SIDE))
    return taken.clip(0, pixels - 1), (taken >= 0) & (taken < pixels)


def _centres(pixels: int, wanted: int) -> np.ndarray:
    """Of `wanted` pixels over the same length as `pixels` those that their centres lie in."""
    return (2 * np.arange(wanted) + 1) * pixels // (2 * wanted)


def regions_of(
    label_images: Sequence[np.ndarray], whole: Sequence[int]
) -> tuple[np.ndarray, tuple[tuple[int, ...], ...]]:
    """The regions of an image, and of each pixel the number of its region.

    Args:
        label_images: (height, width) int32 each, see `MaskReader`; of several sizes the largest counts, to which the
            others are brought: each pixel is the nearest of theirs. Where there are none, the map has 112 x 112 pixels.
        whole: places that count for every pixel.

    Returns:
        (height, width) int32; and of each region the places that it shows, ascending, one that several label images
        show as often as they do, without `NOTHING`. Regions are in the order of these.
    """
    if not label_images:
        return np.zeros((MOST_SIDE, MOST_SIDE), np.int32), (tuple(sorted(whole)),)
    shape = tuple(max(each.shape[axis] for each in label_images) for axis in (0, 1))
    codes = np.zeros(shape[0] * shape[1], np.int64)
    shown: list[tuple[int, ...]] = [tuple(sorted(whole))]
    for places in label_images:
        codes, found = _with_one_more(codes, len(shown), _of_size(places, shape).ravel())
        # several sets of one multiset become one, so that they stay few
        sets = [_added(shown[before], place) for before, place in found]
        ordered = sorted(set(sets))
        number = {each: place for place, each in enumerate(ordered)}
        codes = np.array([number[each] for each in sets])[codes]
        shown = ordered
    return codes.reshape(shape).astype(np.int32), tuple(shown)


def _with_one_more(codes: np.ndarray, count: int, places: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Codes below `count` and places in one code, and what each of the new codes is made of."""
    used, codes_of_places = _numbered(places - NOTHING)
    pairs, joined = _numbered(codes_of_places * count + codes)
    return joined, [(int(pair) % count, int(used[pair // count]) + NOTHING) for pair in pairs]


def _numbered(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values that are there, ascending, and of each the number of its own; all are 0 or more, and small."""
    # counted and not sorted, as np.unique does it: a tenth of its time
    there = np.flatnonzero(np.bincount(values))
    numbers = np.zeros(int(there[-1]) + 1, np.int64)
    numbers[there] = np.arange(len(there))
    return there, numbers[values]


def _added(shown: tuple[int, ...], place: int) -> tuple[int, ...]:
    """Ascending places with one more."""
    return shown if place == NOTHING else tuple(sorted((*shown, place)))


def _of_size(places: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A label image made larger: each pixel the nearest of its own."""
    if places.shape == shape:
        return places
    return places[np.ix_(*(_centres(have, want) for have, want in zip(places.shape, shape, strict=True)))]
