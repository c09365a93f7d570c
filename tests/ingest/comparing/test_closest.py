"""Correlations of two layers' units, against numpy's and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuronlake.ingest.comparing.closest import Correlated, correlated

CPU = torch.device("cpu")


def compared(
    a: np.ndarray, b: np.ndarray, partners: list[int] | None = None, values_at_once: int = 2**24
) -> Correlated:
    """Units of the same place are partners where nothing else is said."""
    numbers = partners if partners is not None else [*range(min(len(a), len(b))), *[-1] * (len(a) - len(b))]
    return correlated(a.astype(np.float32), b.astype(np.float32), np.array(numbers), CPU, values_at_once=values_at_once)


def test_units_by_hand() -> None:
    a = np.array([[1, 2, 3, 3], [4, 3, 2, 1]])
    b = np.array([[1, 2, 3, 4], [2, 4, 6, 6], [1, 1, 2, 1]])
    found = compared(a, b)
    # the first fires twice as high as the second of the others; the second falls where all others rise
    assert found.a.places.tolist() == [1, 2]
    assert found.a.correlations == pytest.approx([1, -0.5 / np.sqrt(5 * 0.75)])
    assert found.a.own == pytest.approx([3.5 / np.sqrt(2.75 * 5), -7 / np.sqrt(5 * 11)])
    assert found.b.places.tolist() == [0, 0, 0]
    assert found.b.correlations == pytest.approx([3.5 / np.sqrt(2.75 * 5), 1, 0.75 / np.sqrt(2.75 * 0.75)])
    assert found.b.own[:2] == pytest.approx(found.a.own)
    assert np.isnan(found.b.own[2])
    assert found.closer.tolist() == [1, 1]


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 9), st.integers(1, 9), st.integers(3, 40), st.integers(0, 10_000), st.sampled_from([1, 50, 2**24])
)
def test_every_correlation_is_numpys_however_it_is_cut_into_blocks(
    units_a: int, units_b: int, images: int, seed: int, values_at_once: int
) -> None:
    random = np.random.default_rng(seed)
    a = (random.normal(size=(units_a, images)) * 10.0 ** random.integers(-20, 20, (units_a, 1))).astype(np.float32)
    b = random.normal(size=(units_b, images)).astype(np.float32) + random.integers(-9, 9, (units_b, 1))
    found = compared(a, b, values_at_once=values_at_once)
    exact = np.corrcoef(a.astype(np.float64), b.astype(np.float32).astype(np.float64))[:units_a, units_a:]
    assert found.a.correlations == pytest.approx(exact.max(axis=1), abs=1e-5)
    assert found.b.correlations == pytest.approx(exact.max(axis=0), abs=1e-5)
    # where two are as close, either is the closest
    assert exact[np.arange(units_a), found.a.places] == pytest.approx(exact.max(axis=1), abs=2e-5)
    assert exact[found.b.places, np.arange(units_b)] == pytest.approx(exact.max(axis=0), abs=2e-5)
    both = min(units_a, units_b)
    assert found.a.own[:both] == pytest.approx(np.diag(exact), abs=1e-5)
    assert np.isnan(found.a.own[both:]).all()
    assert np.isnan(found.b.own[both:]).all()


def test_a_small_variance_on_a_large_mean_is_not_lost() -> None:
    random = np.random.default_rng(1)
    signal = random.normal(size=(3, 500))
    found = compared(signal + 1000, 50_000 + 8 * signal[::-1], values_at_once=600)
    assert found.a.places.tolist() == [2, 1, 0]
    assert found.a.correlations == pytest.approx([1, 1, 1], abs=1e-5)


def test_a_unit_that_is_alike_on_all_images_correlates_with_nothing() -> None:
    found = compared(np.array([[1, 2, 3]]), np.array([[7, 7, 7], [0, 1, 0]]))
    assert found.a.own.tolist() == [0]
    assert np.isfinite(found.b.correlations).all()


def test_of_units_that_are_as_close_the_partner_is_the_closest() -> None:
    twins = np.array([[1, 2, 4], [1, 2, 4], [1, 2, 4]])
    found = compared(twins, twins, partners=[2, 0, 1])
    assert found.a.places.tolist() == [2, 0, 1]
    assert found.b.places.tolist() == [1, 2, 0]


def trained_on(units: np.ndarray, noise: float) -> np.ndarray:
    return units + noise * np.random.default_rng(7).normal(size=units.shape)


def test_a_layer_that_trained_on_has_kept_its_numbers_though_some_units_changed_places() -> None:
    before = np.random.default_rng(3).normal(size=(40, 300))
    after = trained_on(before, 1.0)
    assert compared(before, after).has_kept_numbers
    swapped = after[[1, 0, 3, 2, 5, 4, 7, 6, *range(8, 40)]]
    swapped[20:24] = 0
    assert compared(before, swapped).has_kept_numbers


def test_layers_that_were_trained_apart_have_not() -> None:
    before = np.random.default_rng(3).normal(size=(40, 300))
    after = trained_on(before, 1.0)
    assert not compared(before, np.roll(after, 1, axis=0)).has_kept_numbers
    # nor where all units have much in common
    common = 3 * np.random.default_rng(4).normal(size=300)
    assert not compared(before + common, np.random.default_rng(5).normal(size=(40, 300)) + common).has_kept_numbers


def test_without_partners_no_number_is_kept() -> None:
    units = np.array([[1, 2, 4], [3, 1, 2]])
    assert not compared(units, units, partners=[-1, -1]).has_kept_numbers


def test_progress_counts_the_first_layers_units() -> None:
    seen: list[int] = []
    units = np.random.default_rng(0).normal(size=(5, 10)).astype(np.float32)
    correlated(units, units, np.arange(5), CPU, seen.append, values_at_once=20)
    assert seen == [2, 4, 5]
