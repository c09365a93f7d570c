"""Pixels that units and concepts share: what a look at every pixel counts, in both definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from labelled_pixels import LabelledImage, LabelledPixels, drawn

from neuronlake.ingest.labelers.dissecting import regions
from neuronlake.ingest.labelers.dissecting.tally import DEFINITIONS, active_anywhere, tally
from neuronlake.ingest.probes.masks.base import NOTHING

DOG, CAT, STRIPED, KITCHEN = range(4)
OBJECT, TEXTURE, SCENE = range(3)


def picture(*rows: list[int]) -> np.ndarray:
    return np.array(rows, np.int32)


def is_active(*rows: str) -> np.ndarray:
    return np.array([[each == "#" for each in row] for row in rows])


def kitchen_with_dog() -> LabelledPixels:
    """Three images of six pixels: a dog that is striped in part, in a kitchen; a cat; and nothing at all."""
    dog = picture([DOG, DOG, NOTHING], [DOG, NOTHING, NOTHING])
    striped = picture([NOTHING, STRIPED, STRIPED], [NOTHING, NOTHING, NOTHING])
    cat = picture([CAT, CAT, CAT], [NOTHING, NOTHING, NOTHING])
    nothing = picture([NOTHING] * 3, [NOTHING] * 3)
    units = [
        [is_active("##.", "..."), is_active("...", "...")],
        [is_active("...", ".##"), is_active("###", "###")],
        [is_active("###", "..."), is_active("...", "...")],
    ]
    labels: list[tuple[list[np.ndarray], tuple[int, ...]]] = [
        ([dog, striped], (KITCHEN,)),
        ([cat], ()),
        ([nothing], ()),
    ]
    images = [
        LabelledImage(of_image, whole, np.array(active))
        for (of_image, whole), active in zip(labels, units, strict=True)
    ]
    return LabelledPixels(images, [OBJECT, OBJECT, TEXTURE, SCENE])


def test_a_unit_counts_in_images_that_have_a_label_of_the_concepts_category() -> None:
    found = tally(kitchen_with_dog().dissection(), "paper")
    assert found.extent.tolist() == [3, 3, 2, 6]
    # the first unit: two pixels of the dog, of which one is striped; two beside the cat; three on nothing
    assert found.intersection.tolist() == [[2, 0, 1, 2], [0, 3, 0, 0]]
    assert found.active.tolist() == [[4, 4, 2, 2], [6, 6, 0, 0]]
    assert found.union.tolist() == [[5, 7, 3, 6], [9, 6, 2, 6]]
    torch.testing.assert_close(found.iou, torch.tensor([[2 / 5, 0, 1 / 3, 1 / 3], [0, 1 / 2, 0, 0]]))
    assert found.iou.dtype == torch.float32


def test_as_netdissect_lite_counts_an_active_pixel_must_touch_one_of_these_labels() -> None:
    found = tally(kitchen_with_dog().dissection(), "lite")
    # the first unit does not touch the cat, so what it covers beside it is not held against it
    assert found.active.tolist() == [[2, 2, 2, 2], [6, 6, 0, 0]]
    assert found.iou[0, DOG] == pytest.approx(2 / 3)


def test_active_anywhere_is_in_all_images_that_count() -> None:
    found = kitchen_with_dog().dissection()
    assert active_anywhere(found).tolist() == [7, 6]
    assert active_anywhere(found.of_images(torch.tensor([0, 2]))).tolist() == [5, 0]


def test_a_label_that_is_told_twice_of_a_pixel_counts_twice() -> None:
    """As the reference counts, which adds up what each label image has."""
    twice = picture([DOG, DOG, NOTHING, NOTHING])
    once = picture([DOG, NOTHING, DOG, NOTHING])
    image = LabelledImage([twice, once], (DOG,), is_active("##..")[None])
    found = tally(LabelledPixels([image], [OBJECT]).dissection(), "paper")
    assert found.extent.tolist() == [4 + 4]
    assert found.intersection.tolist() == [[2 + 1 + 2]]
    assert found.active.tolist() == [[2]]


def by_hand(pixels: LabelledPixels, definition: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Intersection and active (units, concepts) and extent (concepts,) by every pixel."""
    intersection = np.zeros((pixels.units, pixels.concepts), np.int64)
    active = np.zeros_like(intersection)
    extent = np.zeros(pixels.concepts, np.int64)
    for image in pixels.images:
        shown = np.array([image.shown(concept) for concept in range(pixels.concepts)])
        extent += shown.sum(axis=(1, 2))
        for unit in range(pixels.units):
            intersection[unit] += shown[:, image.active[unit]].sum(axis=1)
        for concept, category in enumerate(pixels.categories):
            of_category = shown[np.array(pixels.categories) == category].any(axis=0)
            for unit, mine in enumerate(image.active):
                counts = of_category.any() if definition == "paper" else (of_category & mine).any()
                active[unit, concept] += mine.sum() * counts
    return intersection, active, extent


@pytest.mark.parametrize("definition", DEFINITIONS)
@pytest.mark.parametrize("seed", range(6))
def test_counts_are_those_of_every_pixel(seed: int, definition: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions, "_ROWS_AT_ONCE", 7)
    pixels = drawn(np.random.default_rng(seed), images=12, units=5, categories=[0, 0, 0, 1, 1, 2, 3])
    found = tally(pixels.dissection(), definition)
    intersection, active, extent = by_hand(pixels, definition)
    assert intersection.any()
    np.testing.assert_array_equal(found.intersection, intersection)
    np.testing.assert_array_equal(found.active, active)
    np.testing.assert_array_equal(found.extent, extent)
    np.testing.assert_array_equal(found.union, active + extent - intersection)
    np.testing.assert_allclose(found.iou, intersection / np.maximum(active + extent - intersection, 1), rtol=1e-6)


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_images_that_do_not_count_are_as_if_they_were_not_there(definition: str) -> None:
    pixels = drawn(np.random.default_rng(1), images=15, units=4, categories=[0, 0, 1, 2])
    rows = [1, 2, 5, 9, 14]
    some = tally(pixels.dissection().of_images(torch.tensor(rows)), definition)
    alone = tally(pixels.of_images(rows).dissection(), definition)
    for name in ("intersection", "active", "extent"):
        assert getattr(some, name).tolist() == getattr(alone, name).tolist(), name


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_units_that_are_nowhere_active_and_no_units_meet_nothing(definition: str) -> None:
    pixels = drawn(np.random.default_rng(2), images=3, units=2, categories=[0, 1], busy=0)
    found = tally(pixels.dissection(), definition)
    assert not found.intersection.any()
    assert found.iou.tolist() == [[0, 0], [0, 0]]
    none = drawn(np.random.default_rng(2), images=3, units=0, categories=[0, 1])
    assert tally(none.dissection(), definition).iou.shape == (0, 2)


def test_lite_is_never_lower_than_the_paper() -> None:
    found = drawn(np.random.default_rng(3), images=20, units=8, categories=[0, 0, 0, 1, 1, 2], busy=0.05).dissection()
    paper, lite = (tally(found, definition).iou for definition in DEFINITIONS)
    assert (lite >= paper).all()
    assert (lite > paper).any()
