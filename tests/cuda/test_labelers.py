"""Every labeler says on a device what it says on the CPU, and so does the judge of its labels."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from labelled_pixels import drawn
from torch.nn.functional import normalize

from neuronlake.ingest.judging.judge import judged
from neuronlake.ingest.labelers.base import LayerData, LayerLabels, Shared
from neuronlake.ingest.labelers.registry import METHODS, resolve_scoring

IMAGES, CONCEPTS, UNITS, DRAWS = 400, 30, 16, 99
# scores and measures are correlations, shares and sums of a hundred logs
TOLERANCE = 1e-3


def layer_of_words() -> LayerData:
    """Units that follow one concept each, more or less, beside noise; half of their activations are 0."""
    generator = torch.Generator().manual_seed(8)
    images, concepts = (normalize(torch.randn(count, 12, generator=generator), dim=1) for count in (IMAGES, CONCEPTS))
    signal = images @ concepts[:UNITS].T
    activations = (signal + torch.linspace(0, 0.3, UNITS) * torch.randn(IMAGES, UNITS, generator=generator)).relu()
    folds = torch.arange(IMAGES) % 5
    labels = (images @ concepts.T).argmax(dim=1)
    shared = Shared(
        *(tuple(map(str, range(CONCEPTS))), images, concepts),
        image_labels=labels.where(torch.arange(IMAGES) % 7 > 0, -1),
        folds=folds,
        content_folds=folds,
    )
    return LayerData(activations, shared)


def layer_of_masks() -> LayerData:
    """Units beside label images, with what they show and where the units are active."""
    pixels = drawn(np.random.default_rng(5), images=30, units=8, categories=[0, 0, 0, 1, 1, 2])
    activations = torch.tensor(np.array([image.active.mean(axis=(1, 2)) for image in pixels.images])).float()
    folds = torch.arange(len(pixels.images)) % 5
    shared = Shared(tuple(map(str, range(pixels.concepts))), folds=folds, content_folds=folds)
    return LayerData(activations, shared, dissection=pixels.dissection())


def on(layer: LayerData, device: torch.device) -> LayerData:
    dissection = layer.dissection and layer.dissection.to(device)
    return LayerData(layer.activations.to(device), layer.shared.to(device), dissection=dissection)


def assert_same(found: LayerLabels, expected: LayerLabels, draws: int) -> None:
    np.testing.assert_array_equal(found.terms, expected.terms)
    np.testing.assert_array_equal(found.runner_up, expected.runner_up)
    for name in ("weights", "score", "runner_up_score", "intercepts", "operators", "matrix"):
        here, there = getattr(expected, name), getattr(found, name)
        assert (here is None) == (there is None), name
        if here is not None:
            np.testing.assert_allclose(there, here, atol=TOLERANCE, rtol=TOLERANCE, err_msg=name)
    assert (found.overlaps is None) == (expected.overlaps is None)
    if found.overlaps and expected.overlaps:
        # counts of pixels, which no device rounds
        np.testing.assert_array_equal(found.overlaps.intersection, expected.overlaps.intersection)
        np.testing.assert_array_equal(found.overlaps.union, expected.overlaps.union)
    assert found.fidelity
    assert expected.fidelity
    for name, values in expected.fidelity.measures.items():
        np.testing.assert_allclose(found.fidelity.measures[name], values, atol=TOLERANCE, err_msg=name)
    np.testing.assert_allclose(found.fidelity.shares, expected.fidelity.shares, atol=TOLERANCE)
    np.testing.assert_array_equal(found.fidelity.is_polysemantic, expected.fidelity.is_polysemantic)
    # a pseudo-unit may come to stand on the other side of a unit
    np.testing.assert_allclose(found.fidelity.p, expected.fidelity.p, atol=2 / (draws + 1))


@pytest.mark.parametrize("method", METHODS)
def test_judged_labels_are_those_of_the_cpu(device: torch.device, method: str, tmp_path: Path) -> None:
    scoring = resolve_scoring(method, {"top_k": 20} if "top_k" in METHODS[method].parameters else {}, null_draws=DRAWS)
    layer = layer_of_words()
    if method == "network_dissection":
        # masks are not asked for of images with labels of their own: each is a region of its label
        features = {"image_features": None, "concept_features": None, "categories": torch.zeros(CONCEPTS).long()}
        layer = replace(layer, shared=replace(layer.shared, **features))
    layer = replace(layer, shared=replace(layer.shared, shape=scoring.signal))
    expected = judged(scoring, tmp_path)(layer)
    assert (expected.terms[:, 0] >= 0).sum() > UNITS / 2
    assert_same(judged(scoring, tmp_path)(on(layer, device)), expected, DRAWS)


@pytest.mark.parametrize("length", [1, 3])
def test_labels_by_masks_are_those_of_the_cpu(device: torch.device, length: int, tmp_path: Path) -> None:
    scoring = resolve_scoring("network_dissection", {"length": length, "iou": 0.0})
    layer = layer_of_masks()
    expected = judged(scoring, tmp_path)(layer)
    assert (expected.terms[:, 0] >= 0).any()
    assert_same(judged(scoring, tmp_path)(on(layer, device)), expected, DRAWS)


def test_the_same_labels_twice_are_the_same_bit_for_bit(device: torch.device, tmp_path: Path) -> None:
    for method in METHODS:
        if method == "network_dissection":
            continue
        scoring = resolve_scoring(method, null_draws=DRAWS)
        layer = layer_of_words()
        layer = on(replace(layer, shared=replace(layer.shared, shape=scoring.signal)), device)
        once, again = (judged(scoring, tmp_path)(replace(layer, shared=replace(layer.shared))) for _ in range(2))
        for each in fields(LayerLabels):
            if isinstance(one := getattr(once, each.name), np.ndarray):
                np.testing.assert_array_equal(getattr(again, each.name), one, err_msg=f"{method}: {each.name}")
        assert once.fidelity
        assert again.fidelity
        for name, values in once.fidelity.measures.items():
            np.testing.assert_array_equal(again.fidelity.measures[name], values, err_msg=f"{method}: {name}")
