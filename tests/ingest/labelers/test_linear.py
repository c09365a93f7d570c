"""Sums of concepts: planted ones are found again, and what is odd is defined."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from neuronlake.ingest.labelers import linear
from neuronlake.ingest.labelers.base import LayerData, LayerLabels, Shared
from neuronlake.ingest.labelers.predicting import products
from neuronlake.ingest.labelers.predicting.least_squares import correlations, weights
from neuronlake.ingest.labelers.registry import labeler_of, resolve_scoring

IMAGES, CONCEPTS, DIMENSIONS = 3000, 60, 64


def unit_rows(count: int, dimensions: int, seed: int) -> Tensor:
    rows = torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed))
    return rows / rows.norm(dim=1, keepdim=True)


def shared_of(images: int = IMAGES, concepts: int = CONCEPTS, shape: str = "squared") -> Shared:
    return Shared(
        tuple(map(str, range(concepts))),
        unit_rows(images, DIMENSIONS, seed=1),
        unit_rows(concepts, DIMENSIONS, seed=2),
        content_folds=torch.arange(images) % 5,
        shape=shape,
    )


def label(shared: Shared, activations: Tensor, **parameters: float | str) -> LayerLabels:
    scoring = resolve_scoring("linear", {"signal": shared.shape or "labels", **parameters})
    return labeler_of(scoring).label(LayerData(activations, shared))


def planted(shared: Shared, units: int, terms: int, *, signed: bool, correlation: float) -> tuple[Tensor, Tensor]:
    """Activations of sums with noise, and the weights of all concepts behind them, (units, concepts)."""
    generator = torch.Generator().manual_seed(terms)
    chosen = torch.rand(units, CONCEPTS, generator=generator).topk(terms, dim=1).indices
    size = 0.75 + 0.5 * torch.rand(units, terms, generator=generator)
    if signed:  # but the first
        size[:, 1:] *= torch.randint(0, 2, (units, terms - 1), generator=generator) * 2 - 1
    truth = torch.zeros(units, CONCEPTS).scatter(1, chosen, size)
    clean = shared.signals.block(slice(None), slice(None)) @ truth.T
    deviation = clean.std(dim=0) * (1 / correlation**2 - 1) ** 0.5
    return clean + 3 + deviation * torch.randn(clean.shape, generator=generator), truth


def found_weights(labels: LayerLabels) -> Tensor:
    """(units, concepts)."""
    terms, size = torch.from_numpy(labels.terms), torch.from_numpy(labels.weights)
    return torch.zeros(len(terms), CONCEPTS).scatter_add(1, terms.clamp_min(0), size * (terms >= 0))


@pytest.mark.parametrize("shape", ["squared", "cosine"])
@pytest.mark.parametrize("terms", [1, 2, 3, 4, 5])
def test_planted_sums_are_found_again_with_their_weights(shape: str, terms: int) -> None:
    shared = shared_of(shape=shape)
    activations, truth = planted(shared, 40, terms, signed=True, correlation=0.9)
    labels = label(shared, activations, concepts=5)
    found = found_weights(labels)
    hits = ((found != 0) & (truth != 0)).sum()
    assert 2 * hits / ((found != 0).sum() + (truth != 0).sum()) >= 0.95
    is_hit = (found != 0) & (truth != 0)
    assert ((found - truth).abs() / truth.abs())[is_hit].mean() < 0.05
    assert labels.intercepts == pytest.approx(np.full(40, 3.0), abs=0.1)
    assert labels.score.mean() == pytest.approx(0.9, abs=0.02)


def test_a_label_predicts_the_activation_itself() -> None:
    shared = shared_of()
    activations, _ = planted(shared, 5, 2, signed=False, correlation=0.999)
    labels = label(shared, activations)
    assert labels.intercepts is not None
    predicted = shared.signals.predicted(torch.from_numpy(labels.terms), torch.from_numpy(labels.weights))
    error = predicted + torch.from_numpy(labels.intercepts) - activations
    assert (error.std(dim=0) / activations.std(dim=0)).max() < 0.06
    assert error.mean(dim=0).abs().max() < 1e-3


def test_the_heaviest_concept_comes_first_and_what_the_unit_shuns_last() -> None:
    shared = shared_of()
    block = shared.signals.block(slice(None), slice(None))
    activations = (block @ torch.eye(CONCEPTS)[:, [3, 8, 11, 20]]) @ torch.tensor([[1.0], [2.0], [-3.0], [-1.5]])
    labels = label(shared, activations)
    assert labels.terms.tolist() == [[8, 3, 11, 20]]
    assert labels.weights[0] == pytest.approx([2, 1, -3, -1.5], abs=0.01)


def test_without_signs_no_weight_is_negative() -> None:
    shared = shared_of()
    activations, truth = planted(shared, 40, 4, signed=True, correlation=0.9)
    labels = label(shared, activations, signed=0)
    assert (labels.weights >= 0).all()
    is_label = labels.terms >= 0
    assert (labels.weights[is_label] > 0).all()
    assert (truth.gather(1, torch.from_numpy(labels.terms[:, :1])) > 0).float().mean() > 0.9


def test_a_concept_that_gains_too_little_does_not_join() -> None:
    shared = shared_of()
    activations, _ = planted(shared, 20, 5, signed=False, correlation=0.9)
    counts = [int((label(shared, activations, gain=gain).terms >= 0).sum()) for gain in (0.0, 0.01, 0.1, 1.0)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 20
    noise = torch.randn(IMAGES, 200, generator=torch.Generator().manual_seed(3))
    # a second concept of noise gains as often as it loses, and seldom much
    assert (label(shared, noise).terms >= 0).sum() < 1.6 * 200


def test_labels_are_the_same_whatever_is_left_out_together_when_they_are_judged() -> None:
    """So that a scoring is known by what it is made from; how it is judged can change."""
    shared = shared_of()
    activations, _ = planted(shared, 20, 3, signed=True, correlation=0.5)
    others = [label(replace(shared, folds=folds), activations) for folds in (None, torch.arange(IMAGES) // 1000)]
    assert (others[0].terms == others[1].terms).all()
    assert (others[0].weights == others[1].weights).all()


def test_near_synonyms_of_a_chosen_concept_do_not_join() -> None:
    shared = shared_of()
    assert shared.concept_features is not None
    texts = shared.concept_features.clone()
    texts[1] = texts[0]
    texts[2] = torch.nn.functional.normalize(texts[0] + 0.05 * texts[5], dim=0)
    shared = replace(shared, concept_features=texts)
    block = shared.signals.block(slice(None), slice(None))
    activations = block[:, [0]] + block[:, [2]] + 0.5 * block[:, [30]]
    labels = label(shared, activations, gain=0.0)
    assert len({0, 1, 2} & set(labels.terms[0].tolist())) == 1
    assert 30 in labels.terms[0]


def test_blocks_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = shared_of()
    activations, _ = planted(shared, 40, 3, signed=True, correlation=0.8)
    whole = label(shared, activations)
    monkeypatch.setattr(linear, "_AT_ONCE", 7 * CONCEPTS)
    monkeypatch.setattr(products, "_AT_ONCE", {"cpu": 1000})
    monkeypatch.setattr(products, "_FEWEST_CONCEPTS", 7)
    monkeypatch.setattr(products, "_ROWS_AT_ONCE", 999)
    monkeypatch.setattr(products, "_KEPT", 5 * CONCEPTS)
    parts = label(shared, activations)
    assert (whole.terms == parts.terms).all()
    assert whole.weights == pytest.approx(parts.weights, abs=1e-3)
    assert whole.score == pytest.approx(parts.score, abs=1e-4)


@pytest.mark.parametrize(("concepts", "at_once"), [(1, 20), (4, 20), (8, 10), (40, 2)])
def test_long_sums_are_made_of_fewer_units_at_once(
    monkeypatch: pytest.MonkeyPatch, concepts: int, at_once: int
) -> None:
    shared = shared_of(images=200)
    activations, _ = planted(shared, 30, 2, signed=True, correlation=0.9)
    monkeypatch.setattr(linear, "_AT_ONCE", 20 * CONCEPTS)
    seen: list[int] = []

    def noted(some: Tensor) -> products.Units:
        seen.append(some.shape[1])
        return products.units_of(some)

    monkeypatch.setattr(linear, "units_of", noted)
    label(shared, activations, concepts=concepts)
    assert max(seen) == at_once
    assert sum(seen) == 30


def test_activations_of_any_size_give_the_same_concepts() -> None:
    shared = shared_of()
    activations, _ = planted(shared, 10, 3, signed=False, correlation=0.9)
    small, large = label(shared, 1e-20 * activations), label(shared, 1e20 * activations)
    assert (small.terms == large.terms).all()
    assert small.weights == pytest.approx(1e-40 * large.weights.astype(np.float64), rel=1e-3)


def test_a_probe_with_fewer_images_than_concepts_has_sums() -> None:
    shared = shared_of(images=30)
    activations = shared.signals.block(slice(None), slice(None))[:, [4, 9]] @ torch.tensor([[2.0], [1.0]])
    labels = label(shared, activations, concepts=50)
    assert set(labels.terms[0, :2]) == {4, 9}
    assert np.isfinite(labels.weights).all()


@pytest.mark.parametrize("images", [2, 3, 9])
def test_with_too_few_images_to_try_a_sum_on_one_concept_has_to_do(images: int) -> None:
    shared = shared_of(images=images)
    labels = label(shared, torch.randn(images, 3, generator=torch.Generator().manual_seed(5)))
    assert labels.terms.shape == (3, 1)
    assert (labels.terms >= 0).all()
    assert np.isnan(labels.score).all()


def test_a_unit_that_no_concept_goes_with_has_no_label() -> None:
    """The images that choose may all be alike to it, and those it is tried on not."""
    shared = shared_of(images=100)
    activations = (shared.content_folds == 4).float()[:, None].repeat(1, 2)  # type: ignore[union-attr]
    labels = label(shared, activations)
    assert (labels.terms == -1).all()
    assert (labels.weights == 0).all()
    assert labels.intercepts is not None
    assert np.isnan(labels.intercepts).all()


def test_a_concept_that_the_unit_shuns_once_all_images_count_is_no_label() -> None:
    # the last fold, which does not choose, has the image that turns the only concept's weight
    shared = Shared(
        ("a",), image_labels=torch.tensor([0, -1, -1, -1, 0] * 3), content_folds=torch.arange(15) % 5, shape="labels"
    )
    goes_up, turns = torch.tensor([2.0, 1, 1, 1, 2] * 3), torch.tensor([2.0, 1, 1, 1, -9] * 3)
    labels = label(shared, torch.stack([goes_up, turns], dim=1))
    assert labels.terms[:, 0].tolist() == [0, -1]
    assert (labels.weights[1] == 0).all()
    assert labels.intercepts is not None
    assert labels.intercepts.tolist() == pytest.approx([1, math.nan], nan_ok=True)


def test_concepts_that_tell_no_images_apart_are_in_no_label() -> None:
    shared = shared_of(images=200, concepts=3)
    assert shared.image_features is not None
    images = shared.image_features.clone()
    images[:, 0] = 0
    texts = torch.zeros(3, DIMENSIONS)
    texts[:2, 0] = 1
    texts[2, 1] = 1
    shared = replace(shared, image_features=images, concept_features=texts)
    labels = label(shared, images[:, [1]])
    assert labels.terms[0].tolist() == [2, -1, -1, -1]


def test_no_units_have_no_labels() -> None:
    labels = label(shared_of(), torch.empty(IMAGES, 0))
    assert labels.terms.shape == (0, 4)
    assert labels.intercepts is not None
    assert labels.intercepts.shape == (0,)


def test_images_own_labels_are_signals_too() -> None:
    places = torch.arange(200) % 4
    shared = Shared(
        ("cat", "dog", "car", "sky"), image_labels=places, content_folds=torch.arange(200) // 4 % 5, shape="labels"
    )
    activations = torch.tensor([5.0, 1.0, 3.0, 1.0])[places][:, None]
    labels = label(shared, activations, signed=0)
    assert labels.terms[0].tolist() == [0, 2, -1, -1]
    assert labels.weights[0, :2] == pytest.approx([4, 2], abs=1e-4)
    assert labels.intercepts == pytest.approx([1], abs=1e-4)


@given(st.integers(0, 10_000), st.integers(1, 6))
@settings(deadline=None, max_examples=40)
def test_weights_are_those_of_least_squares(seed: int, terms: int) -> None:
    generator = np.random.default_rng(seed)
    signals = generator.normal(size=(50, terms)) * generator.uniform(0.01, 100, size=terms)
    activation = generator.normal(size=50)
    about = signals - signals.mean(axis=0)
    expected, *_ = np.linalg.lstsq(about, activation - activation.mean(), rcond=None)
    squares, moments = torch.from_numpy(about.T @ about)[None], torch.from_numpy(about.T @ activation)[None]
    is_in = torch.ones(1, terms, dtype=torch.bool)
    found = weights(squares, moments, is_in, signed=True)
    assert found[0].numpy() == pytest.approx(expected, rel=1e-3, abs=1e-6)
    variance = torch.tensor([((activation - activation.mean()) ** 2).sum()])
    together = np.corrcoef(signals @ found[0].numpy(), activation)[0, 1]
    assert float(correlations(squares, moments, variance, found)) == pytest.approx(together, abs=1e-4)
    assert (weights(squares, moments, is_in, signed=False) >= 0).all()
