"""The one concept that predicts a unit best."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neuronlake.ingest.labelers.base import LayerData, Shared
from neuronlake.ingest.labelers.registry import labeler_of, resolve_scoring


def shared_of(shape: str, images: int = 300) -> Shared:
    generator = torch.Generator().manual_seed(4)
    rows = [torch.nn.functional.normalize(torch.randn(count, 6, generator=generator)) for count in (images, 8)]
    return Shared(tuple("abcdefgh"), *rows, folds=torch.arange(images) % 5, shape=shape)


@pytest.mark.parametrize("shape", ["squared", "cosine", "cubed", "sigmoid_siglip"])
def test_scores_are_pearsons_correlations_with_the_signal(shape: str) -> None:
    shared = shared_of(shape)
    activations = torch.randn(300, 4, generator=torch.Generator().manual_seed(5))
    labels = labeler_of(resolve_scoring("correlation", {"signal": shape}, null_draws=3)).label(
        LayerData(activations, shared)
    )
    block = shared.signals.block(slice(None), slice(None)).double().numpy()
    expected = np.corrcoef(activations.T.numpy(), block.T)[:4, 4:]
    assert labels.matrix == pytest.approx(expected, abs=1e-4)
    assert (labels.terms[:, 0] == expected.argmax(axis=1)).all()
    assert labels.score == pytest.approx(expected.max(axis=1), abs=1e-4)
    assert labels.runner_up_score == pytest.approx(np.sort(expected, axis=1)[:, -2], abs=1e-4)
    assert labels.null is not None
    assert labels.null.terms.shape == (3, 1)


def test_a_concept_that_tells_no_images_apart_scores_nothing() -> None:
    shared = Shared(("a", "b"), torch.eye(3)[[0, 1] * 10], torch.eye(3)[[0, 2]], shape="squared")
    activations = torch.tensor([1.0, 0.0] * 10)[:, None]
    labels = labeler_of(resolve_scoring("correlation", null_draws=0)).label(LayerData(activations, shared))
    assert labels.matrix is not None
    assert labels.matrix[0].tolist() == pytest.approx([1, 0])
    opposite = labeler_of(resolve_scoring("correlation", null_draws=0)).label(LayerData(-activations, shared))
    assert opposite.terms.tolist() == [[-1]]

    assert np.isnan([opposite.score, opposite.runner_up_score]).all()
    assert opposite.runner_up.tolist() == [-1]


def test_images_own_labels_are_signals_too() -> None:
    shared = Shared(("cat", "dog"), image_labels=torch.tensor([0, 1, -1] * 5), shape="labels")
    activations = torch.tensor([0.0, 3.0, 1.0] * 5)[:, None]
    labels = labeler_of(resolve_scoring("correlation", {"signal": "labels"}, null_draws=0)).label(
        LayerData(activations, shared)
    )
    assert labels.terms.tolist() == [[1]]
