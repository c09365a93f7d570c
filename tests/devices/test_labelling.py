"""Every labeler, with the judge of its labels, says on a GPU what it says on the CPU, and mixes no devices there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from alike import assert_alike
from labelled_pixels import LabelledPixels, drawn
from pretended_devices import pretended

from neuronlake.ingest.judging.judge import Judge, judged
from neuronlake.ingest.labelers.base import LabelledLayer, LayerActivations, Need, Shared
from neuronlake.ingest.labelers.dissecting.regions import Dissection
from neuronlake.ingest.labelers.predicting.signals import LABELS, SHAPES
from neuronlake.ingest.labelers.registry import METHODS, labeler_of, resolve_scoring
from neuronlake.ingest.labelers.settings import Scoring, Value
from neuronlake.ingest.machines.local import LocalMachine
from neuronlake.sql.store.features import StoredLayer

IMAGES, CONCEPTS, UNITS, DIMENSIONS = 48, 12, 5, 8


def unit_rows(rows: int, generator: torch.Generator) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(rows, DIMENSIONS, generator=generator), dim=1)


def shared_by(scoring: Scoring) -> Shared:
    """Images of twelve labels, each of which lies about the embedding of its own label's name."""
    generator = torch.Generator().manual_seed(0)
    names = unit_rows(CONCEPTS, generator)
    labels = torch.arange(IMAGES) % CONCEPTS
    needs = labeler_of(scoring).needs
    has_embeddings, has_labels = Need.EMBEDDINGS in needs, bool(needs & {Need.IMAGE_LABELS, Need.MASKS})
    images = torch.nn.functional.normalize(names[labels] + 0.5 * unit_rows(IMAGES, generator), dim=1)
    folds = torch.arange(IMAGES) // 7 % 2
    return Shared(
        concepts=tuple(map(str, range(CONCEPTS))),
        image_features=images if has_embeddings else None,
        concept_features=names if has_embeddings else None,
        image_labels=labels.where(labels < CONCEPTS - 1, -1) if has_labels else None,
        folds=folds,
        content_folds=folds,
        shape=scoring.signal,
        categories=torch.arange(CONCEPTS) // 4 if Need.MASKS in needs else None,
    )


def layers(dissection: Dissection | None = None, units: int = UNITS) -> list[LayerActivations]:
    """Units that fire on two labels, the first more, one of huge activations and one of few values; and no units."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(IMAGES) % CONCEPTS
    values = torch.rand(IMAGES, units, generator=generator)
    for unit in range(units):
        values[:, unit] += 3.0 * (labels == unit) + 1.5 * (labels == unit + units)
    values[:, 1] *= 1e30
    values[:, 2] = values[:, 2].mul(2).round()
    stored = [StoredLayer(number, count, "fingerprint") for number, count in enumerate((units, 0))]
    found = [LayerActivations(stored[0], list(range(units)), values, dissection=dissection)]
    return found if dissection else [*found, LayerActivations(stored[1], [], torch.empty(IMAGES, 0))]


def labelled(device: str, judge: Judge, shared: Shared, of: list[LayerActivations]) -> list[LabelledLayer]:
    return list(LocalMachine(torch.device(device)).label(judge, shared, iter(of)))


SETTINGS: list[tuple[str, dict[str, Value]]] = [
    *((method, {}) for method in METHODS),
    *((method, {"signal": shape}) for method in ("correlation", "linear") for shape in (*SHAPES[2:4], LABELS)),
    ("linear", {"signed": 0, "concepts": 3}),
    ("network_dissection", {"definition": "lite", "quantile": 0.2}),
    ("network_dissection", {"length": 3, "quantile": 0.2}),
]


@pytest.mark.parametrize("kind", ["cuda", "mps"])
@pytest.mark.parametrize(("method", "parameters"), SETTINGS, ids=str)
def test_labels_and_their_fidelity_are_those_of_the_cpu(
    kind: str, method: str, parameters: dict[str, Value], tmp_path: Path
) -> None:
    scoring = resolve_scoring(method, parameters, null_draws=6)
    judge, shared = judged(scoring, tmp_path), shared_by(scoring)
    expected = labelled("cpu", judge, shared, layers())
    with pretended(kind):
        found = labelled(kind, judge, shared, layers())
    assert (expected[0].labels.terms[:, 0] >= 0).any()
    assert_alike(found, expected)


@pytest.mark.parametrize("kind", ["cuda", "mps"])
@pytest.mark.parametrize("parameters", [{}, {"definition": "lite"}, {"length": 3}], ids=str)
def test_so_are_labels_by_masks(kind: str, parameters: dict[str, Value], tmp_path: Path) -> None:
    judge = judged(resolve_scoring("network_dissection", parameters), tmp_path)
    pixels = masked()
    folds = torch.arange(len(pixels.images)) % 2
    shared = Shared(tuple(map(str, range(pixels.concepts))), folds=folds, content_folds=folds)
    of = [masked_layer(pixels)]
    expected = labelled("cpu", judge, shared, of)
    with pretended(kind):
        found = labelled(kind, judge, shared, of)
    assert (expected[0].labels.terms[:, 0] >= 0).any()
    assert_alike(found, expected)


def masked() -> LabelledPixels:
    return drawn(np.random.default_rng(0), images=12, units=UNITS, categories=[0, 0, 0, 1, 1, 2])


def masked_layer(pixels: LabelledPixels) -> LayerActivations:
    values = torch.tensor(np.array([image.active.mean(axis=(1, 2)) for image in pixels.images])).float()
    layer = StoredLayer(0, UNITS, "fingerprint")
    return LayerActivations(layer, list(range(UNITS)), values, dissection=pixels.dissection())
