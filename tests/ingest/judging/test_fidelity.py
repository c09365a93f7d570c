"""How well a label predicts its unit: what a hand computes, what must not matter, and the two tests of a measure."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr
from torch import Tensor

from neuronlake.ingest.judging.fidelity import (
    Fidelity,
    average_precisions,
    correlations,
    cubed_correlations,
    fidelity,
    top_share,
)

IMAGES = 100_000


def together(values: Tensor) -> Tensor:
    """All images in one fold."""
    return torch.zeros(len(values), dtype=torch.int64)


def measured(unit: Tensor, signal: Tensor) -> dict[str, float]:
    """Each measure of one unit and one signal."""
    found = fidelity(unit[:, None], signal[:, None], together(unit))
    return {each.name: float(getattr(found, each.name)) for each in fields(Fidelity)}


def first(share: float) -> Tensor:
    """A signal that is 1 for the first images and 0 for the others."""
    return (torch.arange(IMAGES) < round(share * IMAGES)).float()


def cubed(g: float, h: float, both: float) -> float:
    """Cosine of the centred third powers of two signals of 0 and 1, of shares g and h, by the share that both have."""

    def square(share: float) -> float:
        return share * (1 - share) ** 6 + (1 - share) * share**6

    product = both * (1 - g) ** 3 * (1 - h) ** 3
    product -= (g - both) * (1 - g) ** 3 * h**3 + (h - both) * g**3 * (1 - h) ** 3
    product += (1 - g - h + both) * g**3 * h**3
    return product / math.sqrt(square(g) * square(h))


def test_a_signal_that_is_the_same_but_for_a_few_images_has_at_its_top_what_is_above_that() -> None:
    signal = torch.zeros(200, 1)
    signal[:4], signal[4:10] = 1.0, -1.0
    assert top_share(signal, together(signal))[:, 0].nonzero()[:, 0].tolist() == [0, 1, 2, 3]
    # ties with the last are at the top, as long as they are not most of the images
    signal[10:60] = 1.0
    assert top_share(signal, together(signal)).sum() == 54


@pytest.mark.parametrize("g", [0.01, 0.05, 0.2])
def test_all_measures_fall_as_they_should_when_half_of_the_concepts_images_are_missing(g: float) -> None:
    found = measured(first(g), first(g / 2))
    expected = {
        "correlation": math.sqrt((1 - g) / (2 - g)),
        "cubed_correlation": cubed(g, g / 2, g / 2),
        "cosine": math.sqrt(1 / 2),
        # half of the images come first, and the others with all that have no signal
        "auprc": 1 / 2 + g / 2,
        "f1": 2 / 3,
        "iou": 1 / 2,
    }
    assert found == pytest.approx(expected, abs=0.02)
    assert all(value < 0.8 for value in found.values())


@pytest.mark.parametrize("g", [0.01, 0.05, 0.2])
def test_all_measures_fall_as_they_should_when_as_many_wrong_images_are_added(g: float) -> None:
    expected = {
        "correlation": math.sqrt((1 - 2 * g) / (2 * (1 - g))),
        "cubed_correlation": cubed(g, 2 * g, g),
        "cosine": math.sqrt(1 / 2),
        "auprc": 1 / 2,
        "f1": 2 / 3,
        "iou": 1 / 2,
    }
    assert measured(first(g), first(2 * g)) == pytest.approx(expected, abs=0.02)


def test_a_unit_that_is_the_signal_has_all_measures_at_one() -> None:
    values = torch.from_numpy(np.random.default_rng(0).gamma(1.0, 1.0, 1000)).float()
    assert measured(values, 3 * values) == pytest.approx(dict.fromkeys(measured(values, values), 1.0))


def test_of_few_images_by_hand() -> None:
    # means 2 and 1: differences -2 -1 0 3 and -1 0 0 1
    unit, signal = torch.tensor([0.0, 1, 2, 5]), torch.tensor([0.0, 1, 1, 2])
    found = measured(unit, signal)
    assert found["correlation"] == pytest.approx(5 / math.sqrt(14 * 2))
    assert found["cubed_correlation"] == pytest.approx((8 + 27) / math.sqrt((64 + 1 + 729) * 2))
    assert found["cosine"] == pytest.approx((1 + 2 + 10) / math.sqrt(30 * 6))
    # the top of four images is one: the last for both
    assert (found["auprc"], found["f1"], found["iou"]) == (1, 1, 1)


def test_the_top_is_a_share_of_each_fold_with_its_ties_and_without_its_lowest_value() -> None:
    values = torch.zeros(60, 3)
    values[:40, 0] = torch.arange(40.0)  # two of forty
    values[:5, 1] = 1.0  # five tie for two places
    values[7, 2] = 1.0  # only one is above the lowest
    values[45, :] = 1.0  # one of twenty
    folds = torch.tensor([0] * 40 + [1] * 20)
    found = top_share(values, folds)
    assert [column.nonzero()[:, 0].tolist() for column in found.T] == [[38, 39, 45], [0, 1, 2, 3, 4, 45], [7, 45]]


def test_average_precision_lets_images_of_equal_signal_pass_together() -> None:
    # 0.9 is a target; 0.4 and 0.4 are two, of which one is; 0.1 is a target
    signals = torch.tensor([[0.4], [0.9], [0.4], [0.1]])
    targets = torch.tensor([[True], [True], [False], [True]])
    expected = (1 + 2 / 3 + 3 / 4) / 3
    assert float(average_precisions(signals, targets, together(signals))) == pytest.approx(expected)


def test_folds_are_measured_each_by_its_own_mean() -> None:
    # within each fold the two agree; over both they do not, since the second signal lies elsewhere
    unit = torch.tensor([[0.0], [1.0], [0.0], [1.0]])
    signal = torch.tensor([[0.0], [1.0], [-9.0], [-8.0]])
    assert float(correlations(unit, signal, torch.tensor([0, 0, 1, 1]))) == pytest.approx(1)
    assert float(correlations(unit, signal, together(unit))) < 0.2


def test_a_unit_that_is_the_same_for_all_images_is_measured_by_nothing_and_such_a_signal_predicts_nothing() -> None:
    constant, varied = torch.full((50,), 0.1), torch.arange(50.0)
    assert all(math.isnan(value) for value in measured(constant, varied).values())
    found = measured(varied, constant)
    assert (found["correlation"], found["cubed_correlation"], found["f1"], found["iou"]) == (0, 0, 0, 0)


numbers = st.lists(st.tuples(st.floats(-5, 5, width=32), st.floats(-5, 5, width=32)), min_size=5, max_size=40)


@given(numbers, st.floats(0.1, 1e4), st.floats(-3, 3))
def test_correlations_are_pearsons_whatever_the_scale(
    pairs: list[tuple[float, float]], scale: float, shift: float
) -> None:
    unit, signal = (torch.tensor(values) for values in zip(*pairs, strict=True))
    if unit.std() < 1e-2 or signal.std() < 1e-2:
        return
    found = correlations((scale * unit + shift)[:, None], signal[:, None], together(unit))
    assert float(found) == pytest.approx(pearsonr(unit, signal).statistic, abs=1e-3)
    powers = cubed_correlations(scale * unit[:, None], signal[:, None], together(unit))
    assert float(powers) == pytest.approx(
        float(cubed_correlations(unit[:, None], signal[:, None], together(unit))), abs=1e-4
    )


def test_huge_and_tiny_activations_are_measured_alike() -> None:
    generator = torch.Generator().manual_seed(0)
    unit, signal = torch.rand(100, 1, generator=generator), torch.rand(100, 1, generator=generator)
    usual = fidelity(unit, signal, together(unit))
    for scale in (1e-30, 1e30):
        scaled = fidelity(scale * unit, signal, together(unit))
        for each in fields(Fidelity):
            torch.testing.assert_close(getattr(scaled, each.name), getattr(usual, each.name), atol=1e-4, rtol=1e-4)
