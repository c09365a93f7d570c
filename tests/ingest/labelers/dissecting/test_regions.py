"""Regions of images: quantiles as numpy has them, images as one region of their label, and images that are left out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from labelled_pixels import drawn

from neuronlake.ingest.labelers.dissecting.regions import (
    active_images,
    rank_of_quantile,
    upper_quantile,
    whole_images,
)

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
SHARES = st.one_of(st.sampled_from([0.0, 0.005, 0.25, 0.5, 1.0]), st.floats(0, 1))


def same_within_rounding(found: float, sorted_values: np.ndarray, share: float) -> None:
    """Compare a quantile with numpy's of the same values in float64, to the last bits of the values around it."""
    expected = float(np.quantile(sorted_values.astype(np.float64), 1 - share, method="linear"))
    assert found == pytest.approx(expected, rel=0, abs=1e-15 * float(np.abs(sorted_values).max()))


@given(st.lists(FLOATS, min_size=1, max_size=30), SHARES)
def test_a_quantile_is_that_of_numpy(values: list[float], share: float) -> None:
    row = torch.tensor(values, dtype=torch.float32)
    found = upper_quantile(torch.stack([row, -row]), share)
    assert found.dtype == torch.float64
    same_within_rounding(float(found[0]), row.numpy(), share)
    same_within_rounding(float(found[1]), -row.numpy(), share)


@given(st.integers(0, 10_000_000), st.floats(0, 1))
def test_a_rank_is_a_place_of_the_values_and_a_part_of_the_way_to_the_next(count: int, share: float) -> None:
    below, part = rank_of_quantile(count, share)
    assert 0 <= below <= max(0, count - 1)
    assert 0 <= part < 1
    assert below + part == pytest.approx(max(0, count - 1) * (1 - share), abs=1e-6)


def test_a_quantile_of_nothing_is_unknown() -> None:
    assert [math.isnan(each) for each in upper_quantile(torch.zeros(2, 0), 0.1).tolist()] == [True, True]
    assert upper_quantile(torch.zeros(0, 5), 0.1).shape == (0,)


def test_images_are_all_of_what_their_label_says() -> None:
    found = whole_images(torch.tensor([1, -1, 0, 1]), categories=torch.tensor([0, 0]))
    assert found.image.tolist() == [0, 1, 2, 3]
    assert found.pixels.tolist() == [1, 1, 1, 1]
    assert [found.members_of(torch.tensor([row]))[1].tolist() for row in range(4)] == [[1], [], [0], [1]]
    assert found.counted.all()
    assert found.categories_of_images().tolist() == [[True], [False], [True], [True]]


def test_a_unit_is_active_on_the_images_above_its_threshold() -> None:
    activations = torch.tensor([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0], [3.0, 5.0], [4.0, 5.0]])
    found = active_images(activations, quantile=0.25)
    assert found.thresholds.tolist() == [3.0, 5.0]
    # strictly above: three is not, nor is any value of a unit that is always the same
    assert (found.unit.tolist(), found.region.tolist(), found.pixels.tolist()) == ([0], [4], [1])


@given(FLOATS.filter(lambda value: value < 3e38), st.integers(1, 9), st.integers(1, 9), st.floats(0.01, 0.99))
def test_who_compares_with_the_threshold_finds_the_same_images_active(
    value: float, low: int, high: int, share: float
) -> None:
    """Also where it lies between two numbers of 32 bits that follow each other: it counts as the nearest."""
    lower = torch.tensor([value], dtype=torch.float32)
    upper = lower.nextafter(torch.tensor(torch.inf))
    activations = torch.cat([lower.expand(low), upper.expand(high)])
    found = active_images(activations[:, None], share)
    assert found.region.tolist() == (activations > found.thresholds.float()).nonzero()[:, 0].tolist()


def test_members_are_those_of_the_regions_asked_for_in_their_order() -> None:
    regions = drawn(np.random.default_rng(0), images=6, units=0, categories=[0, 0, 1]).dissection().regions
    asked = torch.tensor([3, 0, 3, 5])
    place, concept = regions.members_of(asked)
    starts = regions.starts.tolist()
    expected = [
        (at, member)
        for at, region in enumerate(asked.tolist())
        for member in regions.members.tolist()[starts[region] : starts[region + 1]]
    ]
    assert list(zip(place.tolist(), concept.tolist(), strict=True)) == expected


def test_images_that_are_left_out_lose_their_pixels_and_thresholds_stay() -> None:
    found = drawn(np.random.default_rng(0), images=5, units=3, categories=[0, 0, 1]).dissection()
    some = found.of_images(torch.tensor([1, 4]))
    is_left = torch.isin(found.regions.image, torch.tensor([1, 4]))
    assert some.regions.counted.tolist() == [False, True, False, False, True]
    assert some.regions.counted_pixels.tolist() == (found.regions.pixels * is_left).tolist()
    assert some.regions.pixels is found.regions.pixels
    assert some.active is found.active
    # of some of these again
    assert some.of_images(torch.tensor([4])).regions.counted.tolist() == [False, False, False, False, True]
