"""What a concept predicts of an image, held against numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from neuronlake.ingest.labelers.base import Shared
from neuronlake.ingest.labelers.predicting.signals import ImageLabels, shaped_cosines
from neuronlake.ingest.labelers.similarity import Cosines

ALL = slice(None)


def unit_rows(count: int, dimensions: int, seed: int) -> torch.Tensor:
    rows = torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed))
    return rows / rows.norm(dim=1, keepdim=True)


@pytest.fixture
def cosines() -> Cosines:
    return Cosines(unit_rows(400, 8, seed=1), unit_rows(5, 8, seed=2))


@pytest.mark.parametrize(
    ("shape", "of_deviations"),
    [
        ("cosine", lambda z: z),
        ("squared", lambda z: np.maximum(z, 0) ** 2),
        ("cubed", lambda z: z**3),
    ],
)
def test_a_shape_is_of_deviations_from_the_mean_and_brought_to_deviation_1(
    cosines: Cosines, shape: str, of_deviations: object
) -> None:
    whole = (cosines.image_features @ cosines.text_features.T).double().numpy()
    shaped = of_deviations((whole - whole.mean(axis=0)) / whole.std(axis=0))  # type: ignore[operator]
    expected = (shaped - shaped.mean(axis=0)) / shaped.std(axis=0)
    found = shaped_cosines(cosines, shape).block(ALL, ALL)
    assert found.numpy() == pytest.approx(expected, abs=1e-4)


def test_sigmoids_are_as_published_and_as_they_are() -> None:
    image = torch.tensor([[1.0, 0.0]])
    texts = torch.tensor([[0.25, math.sqrt(1 - 0.25**2)], [0.3, math.sqrt(1 - 0.3**2)]])
    found = shaped_cosines(Cosines(image, texts), "sigmoid_clip").block(ALL, ALL)
    assert found.tolist() == [pytest.approx([0.5, 1 / (1 + math.exp(-58 * 0.05))], abs=1e-5)]


def test_a_sigmoid_counts_only_where_five_images_have_the_concept() -> None:
    texts = torch.eye(2)
    seen_by = lambda count: torch.cat([texts[:1].expand(count, 2), texts[1:].expand(20 - count, 2)])  # noqa: E731
    assert shaped_cosines(Cosines(seen_by(5), texts), "sigmoid_clip").usable().tolist() == [True, True]
    assert shaped_cosines(Cosines(seen_by(2), texts), "sigmoid_clip").usable().tolist() == [False, True]


@pytest.mark.parametrize("shape", ["cosine", "squared", "cubed", "sigmoid_siglip"])
def test_a_concept_that_is_the_same_for_all_images_is_not_usable(shape: str) -> None:
    images = torch.tensor([[1.0, 0.0, 0.0]]).repeat(10, 1)
    images[5:] = torch.tensor([0.0, 1.0, 0.0])
    texts = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    signals = shaped_cosines(Cosines(images, texts), shape)
    assert signals.usable().tolist() == [True, False]
    assert signals.block(ALL, ALL).isfinite().all()


def test_labels_are_1_where_the_image_has_them() -> None:
    signals = ImageLabels(torch.tensor([0, 2, -1, 0]), concepts=3)
    assert signals.block(ALL, ALL).tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0]]
    assert signals.block(slice(1, 3), torch.tensor([2, 0])).tolist() == [[1, 0], [0, 0]]
    assert signals.usable().tolist() == [True, False, True]
    terms = torch.tensor([[0, 2], [2, -1]])
    weights = torch.tensor([[1.0, -0.5], [2.0, 7.0]])
    assert signals.predicted(terms, weights).tolist() == [[1, 0], [-0.5, 2], [0, 0], [1, 0]]


@pytest.mark.parametrize("shape", [None, "squared", "sigmoid_clip"])
def test_a_label_predicts_the_weighted_sum_of_its_concepts_signals(cosines: Cosines, shape: str | None) -> None:
    signals = shaped_cosines(cosines, shape)
    block = signals.block(ALL, ALL)
    found = signals.predicted(torch.tensor([[3, 0], [1, -1]]), torch.tensor([[2.0, -1.0], [0.5, 9.0]]))
    assert found[:, 0].numpy() == pytest.approx((2 * block[:, 3] - block[:, 0]).numpy(), abs=1e-4)
    assert found[:, 1].numpy() == pytest.approx((0.5 * block[:, 1]).numpy(), abs=1e-4)


def test_some_images_keep_the_scale_of_all(cosines: Cosines) -> None:
    shared = Shared(("a", "b", "c", "d", "e"), cosines.image_features, cosines.text_features, shape="squared")
    rows = torch.arange(7, 400, 3)
    some = shared.of_images(rows, lambda matrix, chosen: matrix[chosen])
    assert some.signals.images == len(rows)
    assert torch.allclose(some.signals.block(ALL, ALL), shared.signals.block(ALL, ALL)[rows], atol=1e-5)
