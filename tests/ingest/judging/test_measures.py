"""Measures of labels against what a hand computes, and the bootstrap around them."""

from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from neuronlake.ingest.judging.measures import (
    area_under_roc,
    average_precisions,
    calibration_error,
    correlations,
    mean,
    measure,
    median,
    reliability,
)


def test_area_under_roc_counts_pairs_and_half_of_the_ties() -> None:
    # right: 3 and 1; wrong: 2, 1 and 0. Of six pairs 3 wins all three, 1 wins one and ties one
    scores, is_right = torch.tensor([3.0, 2.0, 1.0, 1.0, 0.0]), torch.tensor([True, False, True, False, False])
    assert math.isclose(float(area_under_roc(scores, is_right)), (3 + 1.5) / 6)
    assert area_under_roc(scores, torch.ones(5, dtype=torch.bool)).isnan()


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_area_under_roc_is_the_share_of_pairs_in_order(pairs: list[tuple[int, bool]]) -> None:
    right = [score for score, is_right in pairs if is_right]
    wrong = [score for score, is_right in pairs if not is_right]
    found = float(area_under_roc(torch.tensor([float(s) for s, _ in pairs]), torch.tensor([r for _, r in pairs])))
    if not right or not wrong:
        assert math.isnan(found)
    else:
        won = sum((a > b) + 0.5 * (a == b) for a in right for b in wrong)
        assert math.isclose(found, won / (len(right) * len(wrong)), abs_tol=1e-12)


def test_average_precision_is_the_mean_precision_at_the_targets() -> None:
    # in the order of the scores: hit, miss, hit, miss -> (1/1 + 2/3) / 2
    scores = torch.tensor([[0.2, 1.0], [0.9, 1.0], [0.4, 1.0], [0.1, 1.0]])
    targets = torch.tensor([[False, False], [True, False], [False, False], [False, True]])
    targets[0, 0] = True
    found = average_precisions(scores, targets)
    # the second column is all ties, so its only target stands in the fourth place
    torch.testing.assert_close(found, torch.tensor([(1 / 1 + 2 / 3) / 2, 1 / 4]))


def test_correlations_are_pearsons_by_column() -> None:
    first = torch.tensor([[1.0, 1.0, 5.0], [2.0, 3.0, 5.0], [3.0, 2.0, 5.0]])
    second = torch.tensor([[2.0, 1.0, 1.0], [4.0, 2.0, 2.0], [6.0, 3.0, 3.0]])
    found = correlations(first, second)
    torch.testing.assert_close(found[:2], torch.tensor([1.0, 0.5]))
    assert found[2].isnan()


def test_an_interval_holds_the_value_shrinks_with_more_units_and_repeats() -> None:
    few, many = (torch.arange(count) % 4 == 0 for count in (40, 4000))
    small, large = measure("share", mean, few, seed=1), measure("share", mean, many, seed=1)
    assert small.value == large.value == 0.25
    # 1.96 standard errors of a share of 0.25: 0.134 of 40 units, 0.0134 of 4,000
    assert abs((small.high - small.low) / 2 - 0.134) < 0.03
    assert abs((large.high - large.low) / 2 - 0.0134) < 0.003
    assert measure("share", mean, few, seed=1) == small
    assert measure("middle", median, torch.tensor([1, 2, 3, 10]), seed=0).value == 2.5


def test_nothing_to_measure_is_not_defined() -> None:
    nothing = measure("share", mean, torch.zeros(0), seed=0)
    assert nothing.units == 0
    assert math.isnan(nothing.value)


def test_calibration_error_is_the_mean_gap_of_the_bins_weighted_by_their_units() -> None:
    # 0.2 to 0.3: mean 0.25, one of two right; 0.9 to 1: mean 0.95, all of three right; 0.3 belongs to the next bin
    confidence = torch.tensor([0.21, 0.29, 0.9, 0.95, 1.0, 0.3], dtype=torch.float64)
    is_right = torch.tensor([True, False, True, True, True, False])
    expected = (2 * abs(0.5 - 0.25) + 3 * abs(1 - 0.95) + 1 * abs(0 - 0.3)) / 6
    assert math.isclose(float(calibration_error(confidence, is_right)), expected)
    assert calibration_error(torch.zeros(0), torch.zeros(0, dtype=torch.bool)).isnan()


def test_errors_of_one_bin_do_not_make_up_for_those_of_another() -> None:
    # as many right as the mean says, though no bin is as it says
    confidence, is_right = torch.tensor([0.25, 0.75]), torch.tensor([True, False])
    assert math.isclose(float(calibration_error(confidence, is_right)), 0.75)


def test_reliability_has_ten_bins_with_wilsons_intervals() -> None:
    confidence = torch.tensor([0.81] * 8 + [0.89] * 2 + [0.0, 1.0], dtype=torch.float64)
    is_right = torch.tensor([True] * 9 + [False] + [False, True])
    bins = reliability(confidence, is_right)
    assert [(each.start, each.end) for each in bins] == [(n / 10, (n + 1) / 10) for n in range(10)]
    assert [each.units for each in bins] == [1, 0, 0, 0, 0, 0, 0, 0, 10, 1]
    eighth = bins[8]
    assert math.isclose(eighth.confidence, (8 * 0.81 + 2 * 0.89) / 10)
    assert eighth.right == 0.9
    # (p + z^2 / 2n +- z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n) with p = 0.9, n = 10, z = 1.96
    assert math.isclose(eighth.low, 0.5958, abs_tol=1e-4)
    assert math.isclose(eighth.high, 0.9821, abs_tol=1e-4)
    assert math.isnan(bins[1].right)
    assert (bins[9].right, bins[9].high) == (1, 1)


def test_a_confidence_that_is_the_chance_of_being_right_is_calibrated() -> None:
    generator = torch.Generator().manual_seed(0)
    confidence = torch.rand(100_000, generator=generator)
    is_right = torch.rand(100_000, generator=generator) < confidence
    assert float(calibration_error(confidence, is_right)) < 0.01
