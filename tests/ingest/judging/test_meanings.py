"""How many meanings a unit has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuronlake.ingest.judging.meanings import monosemanticity, term_shares
from neuronlake.ingest.labelers.base import LayerData, LayerLabels, Shared


def labels_of(terms: list[list[int]], weights: list[list[float]]) -> LayerLabels:
    unknown = np.full(len(terms), np.nan, dtype=np.float32)
    none = np.full(len(terms), -1)
    return LayerLabels(np.array(terms), np.array(weights, dtype=np.float32), unknown, none, unknown)


@given(st.integers(0, 10_000), st.integers(2, 12))
@settings(deadline=None, max_examples=40)
def test_monosemanticity_is_the_mean_over_pairs(seed: int, images: int) -> None:
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(images, 4))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    activation = generator.normal(size=images)
    share = np.maximum(activation - activation.mean(), 0)
    pairs = [(i, j) for i in range(images) for j in range(images) if i != j]
    weight = np.array([share[i] * share[j] for i, j in pairs])
    cosines = np.array([features[i] @ features[j] for i, j in pairs])
    found = monosemanticity(torch.tensor(features).float(), torch.tensor(activation).float()[:, None])
    if (share > 0).sum() == 1:
        assert found.isnan().all()
    else:
        assert found.item() == pytest.approx((weight * cosines).sum() / weight.sum(), abs=1e-3)


def test_a_unit_that_fires_on_alike_images_has_one_meaning_and_one_that_fires_on_opposites_none() -> None:
    features = torch.tensor([[1.0, 0.0]] * 5 + [[0.0, 1.0]] * 5 + [[-1.0, 0.0]] * 5)
    alike = torch.tensor([1.0] * 5 + [0.0] * 10)
    two = torch.tensor([1.0] * 10 + [0.0] * 5)
    found = monosemanticity(features, torch.stack([alike, two, torch.ones(15)], dim=1))
    # of the 90 pairs of ten images 40 are alike
    assert found[:2].tolist() == pytest.approx([1, 40 / 90], abs=1e-5)
    assert found[2].isnan()


@pytest.fixture
def layer() -> LayerData:
    """Three units over images of three labels, 40 each."""
    places = torch.arange(120) % 3
    shared = Shared(("cat", "dog", "car"), image_labels=places, shape="labels")
    activations = torch.tensor([[4.0, 1.0, 0.0], [4.0, 4.0, 0.0], [0.0, 3.0, 0.0]])[:, places].T.contiguous()
    return LayerData(activations, shared)


def test_shares_of_the_explained_variance_add_up_to_1(layer: LayerData) -> None:
    labels = labels_of([[0, 1], [0, 1], [1, -1]], [[4, 1], [4, 4], [3, 0]])
    shares, is_polysemantic = term_shares(layer, labels)
    # covariances of label and activation: cat with the first unit (4 - 5/3) / 3, dog (1 - 5/3) / 3
    assert shares[0] == pytest.approx([4 * 7 / (4 * 7 - 2), -2 / (4 * 7 - 2)], abs=1e-5)
    assert shares[1] == pytest.approx([0.5, 0.5], abs=1e-5)
    assert shares[2, 0] == pytest.approx(1)
    assert np.isnan(shares[2, 1])
    # cat and dog are of different images and carry as much each
    assert is_polysemantic.tolist() == [False, True, False]


def test_two_concepts_that_are_in_the_same_images_are_one_meaning() -> None:
    features = torch.nn.functional.normalize(torch.randn(200, 4, generator=torch.Generator().manual_seed(1)))
    texts = torch.nn.functional.normalize(torch.tensor([[1.0, 0.2, 0, 0], [1.0, -0.2, 0, 0], [0.0, 0, 1, 0]]))
    shared = Shared(("dog", "puppy", "car"), features, texts, shape="cosine")
    activations = shared.signals.predicted(torch.tensor([[0, 1], [0, 2]]), torch.ones(2, 2))
    _, is_polysemantic = term_shares(LayerData(activations, shared), labels_of([[0, 1], [0, 2]], [[1, 1], [1, 1]]))
    assert is_polysemantic.tolist() == [False, True]


def test_a_concept_that_a_unit_shuns_is_no_meaning(layer: LayerData) -> None:
    activations = torch.tensor([6.0, 0.0, 3.0])[torch.arange(120) % 3][:, None]
    shares, is_polysemantic = term_shares(replace(layer, activations=activations), labels_of([[0, 1]], [[3, -3]]))
    assert shares[0] == pytest.approx([0.5, 0.5])
    assert not is_polysemantic.any()


def test_a_label_that_explains_nothing_has_no_shares(layer: LayerData) -> None:
    shares, is_polysemantic = term_shares(layer, labels_of([[-1], [2], [-1]], [[0], [1], [0]]))
    assert np.isnan(shares).all()
    assert not is_polysemantic.any()
