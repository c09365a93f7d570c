"""Labels verified on the half of the probe that did not make them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch.nn.functional import normalize

from neuronlake.ingest.judging.halves import measures_of_halves
from neuronlake.ingest.judging.scored import Scored
from neuronlake.ingest.labelers.registry import resolve_scoring
from neuronlake.ingest.labelers.similarity import Cosines


def planted(images: int = 600, concepts: int = 30, noise: float = 0.02) -> Scored:
    """Units that fire where an image is like a concept: unit i for concept i, the last five for nothing."""
    generator = torch.Generator().manual_seed(2)
    features = normalize(torch.randn(images, 16, generator=generator), dim=1)
    texts = normalize(torch.randn(concepts, 16, generator=generator), dim=1)
    activations = features @ texts.T + noise * torch.randn(images, concepts, generator=generator)
    activations[:, -5:] = torch.randn(images, 5, generator=generator)
    return Scored(
        cosines=Cosines(features, texts),
        activations=activations,
        live=list(range(concepts)),
        concepts=tuple(f"concept {number}" for number in range(concepts)),
        method="soft_wpmi",
        parameters=resolve_scoring(parameters={"top_k": 20}).parameters,
    )


def test_labels_are_verified_on_images_that_did_not_make_them() -> None:
    found = {m.measure: m for m in measures_of_halves(planted(), seed=0)}
    assert found["correlation_label"].value > 0.75  # 25 of 30 units are their concept
    assert found["correlation_label"].low > found["correlation_runner_up"].high
    assert found["correlation_label"].low > found["correlation_random"].high
    assert abs(found["correlation_random"].value) < 0.2
    assert found["auprc_label"].low > found["auprc_random"].high


def test_a_layer_of_noise_is_not_verified() -> None:
    scored = planted()
    noise = torch.randn(scored.activations.shape, generator=torch.Generator().manual_seed(9))
    found = {m.measure: m for m in measures_of_halves(replace(scored, activations=noise), seed=0)}
    assert found["correlation_label"].low < 0.02
