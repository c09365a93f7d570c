"""The highest values of units, chunk by chunk: the exact quantile of all, whatever the chunks and bounds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neuronlake.ingest.machines.maps.thresholds import Tail, threshold_of, values_above

# what sorts wrongly where bits are taken for numbers, and ties
ODD = [0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, 1e-38, -1e-38, 3.4e38, -3.4e38, float("inf"), float("-inf")]
VALUES = st.one_of(st.sampled_from(ODD), st.floats(width=32, allow_nan=False), st.integers(-3, 3).map(float))
SHARES = st.one_of(st.sampled_from([0.005, 0.1, 0.5]), st.floats(1e-6, 0.5))


@st.composite
def chunks(draw: st.DrawFn) -> list[np.ndarray]:
    """Values of up to three units in chunks of batches, (units, places) float32 each."""
    units = draw(st.integers(1, 3))
    sizes = draw(st.lists(st.integers(1, 9), min_size=1, max_size=6))
    rows = [draw(st.lists(VALUES, min_size=sum(sizes), max_size=sum(sizes))) for _ in range(units)]
    return np.split(np.array(rows, np.float32), np.cumsum(sizes)[:-1], axis=1)


def tail_of(batches: list[np.ndarray], most: int, bound: np.ndarray) -> list[np.ndarray]:
    """The highest values of each unit of one chunk."""
    tail = Tail(len(bound), most, torch.from_numpy(bound))
    for batch in batches:
        tail.add(tail.above(torch.from_numpy(batch)))
    found = tail.highest()
    assert found.values.dtype == np.float32
    return [found.values[start:end] for start, end in zip(found.starts[:-1], found.starts[1:], strict=True)]


@given(chunks(), SHARES, st.integers(1, 3), st.booleans())
def test_the_values_that_are_kept_tell_the_quantile_of_all(
    batches: list[np.ndarray], share: float, batches_each: int, is_bounded: bool
) -> None:
    everything = np.concatenate(batches, axis=1)
    units, places = everything.shape
    most = values_above(places, share)
    stored: list[np.ndarray] = [np.zeros(0, np.float32)] * units
    bound = np.full(units, -np.inf, np.float32)
    for start in range(0, len(batches), batches_each):
        kept = tail_of(batches[start : start + batches_each], most, bound)
        assert all(len(values) <= most for values in kept)
        assert all((np.diff(values.astype(np.float64)) <= 0).all() for values in kept if np.isfinite(values).all())
        stored = [np.concatenate(pair) for pair in zip(stored, kept, strict=True)]
        if is_bounded:
            enough = [np.sort(values)[-most] if len(values) >= most else -np.inf for values in stored]
            bound = np.array(enough, np.float32)
    for unit in range(units):
        # -inf is above nothing
        highest = np.sort(everything[unit][everything[unit] > -np.inf])[-most:]
        np.testing.assert_array_equal(np.sort(stored[unit])[-most:], highest)
        if len(highest) == most and np.isfinite(highest[:2]).all():
            expected = np.quantile(everything[unit].astype(np.float64), 1 - share, method="linear")
            found = threshold_of(stored[unit], places, share)
            assert found == pytest.approx(expected, rel=0, abs=1e-15 * float(np.abs(highest[:2]).max()))


def test_the_value_itself_is_the_threshold_where_the_rank_is_whole() -> None:
    """Of 201 values the 0.005 that is above is one; the threshold is the second highest, though the highest is inf."""
    values = np.arange(201, dtype=np.float32)
    assert values_above(201, 0.005) == 2
    assert threshold_of(values[-2:], 201, 0.005) == 199
    assert threshold_of(np.array([199, np.inf], np.float32), 201, 0.005) == 199


def test_between_two_values_it_lies_as_far_as_the_rank_does() -> None:
    # 0.995 times 101 is 100.495
    values = np.arange(102, dtype=np.float32)
    assert threshold_of(values, 102, 0.005) == pytest.approx(100.495, abs=1e-12)
    assert threshold_of(values[::-1], 102, 0.005) == pytest.approx(100.495, abs=1e-12)


def test_one_value_is_its_own_quantile() -> None:
    assert values_above(1, 0.5) == 1
    assert threshold_of(np.array([3.5], np.float32), 1, 0.5) == 3.5


def test_a_chunk_without_values_and_a_unit_below_its_bound_keep_none() -> None:
    assert [len(values) for values in tail_of([], 3, np.full(2, -np.inf, np.float32))] == [0, 0]
    values = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    assert [each.tolist() for each in tail_of([values], 2, np.array([3, 4], np.float32))] == [[], [6, 5]]


def test_nan_is_above_nothing() -> None:
    values = np.array([[1, np.nan, 3]], np.float32)
    assert tail_of([values], 3, np.full(1, -np.inf, np.float32))[0].tolist() == [3, 1]
