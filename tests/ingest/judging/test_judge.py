"""Labels of units whose truth is known, judged: planted concepts with noise, noise alone, and a layer's own traps."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from neuronlake.ingest.judging.ceiling import ceilings
from neuronlake.ingest.judging.fidelity import correlations
from neuronlake.ingest.judging.held_out import chosen_without, rows_in
from neuronlake.ingest.judging.judge import Judge, judged
from neuronlake.ingest.labelers.base import LayerData, LayerLabels, Need, Shared, one_concept_each
from neuronlake.ingest.labelers.registry import resolve_scoring
from neuronlake.sql.store import scratch

DIMENSIONS, CONCEPTS = 24, 60


def embeddings(count: int, seed: int) -> Tensor:
    return normalize(torch.randn(count, DIMENSIONS, generator=torch.Generator().manual_seed(seed)), dim=1)


def probe(images: int, seed: int = 1) -> Shared:
    """Images and concepts in random directions; the folds take turns."""
    names = tuple(f"concept {number}" for number in range(CONCEPTS))
    folds = torch.arange(images) % 5
    return Shared(names, embeddings(images, seed), embeddings(CONCEPTS, 2), folds=folds, content_folds=folds)


def standardised(values: Tensor) -> Tensor:
    return (values - values.mean(dim=0)) / values.std(dim=0)


def planted(shared: Shared, concepts: int, noise: float, units: int, seed: int = 3) -> Tensor:
    """Units that are the mean of some concepts' signals and noise: unit u of the concepts u, u + 1, ..."""
    terms = (torch.arange(units)[:, None] + torch.arange(concepts)) % CONCEPTS
    clean = standardised(shared.signals.predicted(terms, torch.ones(terms.shape)))
    rest = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
    return clean + noise * rest


@pytest.mark.parametrize("noise", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("concepts", [1, 2, 3])
def test_held_out_correlation_is_what_the_label_predicts_of_images_that_nobody_has_seen(
    concepts: int, noise: float, tmp_path: Path
) -> None:
    shared, unseen = probe(20_000), probe(20_000, seed=9)
    labels = judged(resolve_scoring("cos_similarity_cubed", null_draws=1), tmp_path)(
        LayerData(planted(shared, concepts, noise, units=12), shared)
    )
    assert labels.fidelity is not None
    found = torch.from_numpy(labels.fidelity.measures["held_out_correlation"])
    signals = unseen.signals.predicted(torch.from_numpy(labels.terms), torch.from_numpy(labels.weights))
    others = planted(unseen, concepts, noise, units=12, seed=4)
    truth = (standardised(signals) * standardised(others)).mean(dim=0)
    assert float((found - truth).mean()) == pytest.approx(0, abs=0.01)
    assert float((found - truth).abs().mean()) < 0.02
    if concepts == 1:
        assert labels.terms[:, 0].tolist() == list(range(12))
        assert found.tolist() == pytest.approx([1 / math.sqrt(1 + noise**2)] * 12, abs=0.02)
        assert labels.fidelity.measures["stability"].tolist() == pytest.approx([1.0] * 12)


@pytest.mark.parametrize("method", ["soft_wpmi", "cos_similarity_cubed"])
def test_noise_is_predicted_by_nothing_and_significant_at_the_nominal_rate(method: str, tmp_path: Path) -> None:
    shared = probe(1500)
    noise = torch.rand(1500, 600, generator=torch.Generator().manual_seed(5)) ** 4
    labels = judged(resolve_scoring(method, null_draws=500), tmp_path)(LayerData(noise, shared))
    assert labels.fidelity is not None
    found, p = labels.fidelity.measures, labels.fidelity.p
    assert float(found["held_out_correlation"].mean()) == pytest.approx(0, abs=0.005)
    assert float(found["ceiling"].mean()) == pytest.approx(0, abs=0.01)
    # the label was chosen by the same images, so on all of them noise looks predicted
    assert float(found["correlation"].mean()) > 0.02
    for rate in (0.05, 0.2):
        # four standard errors, of units and of pseudo-units
        slack = 4 * math.sqrt(rate * (1 - rate) * (1 / 600 + 1 / 500))
        assert float((p <= rate).mean()) == pytest.approx(rate, abs=slack)
    assert (labels.fidelity.q < 0.05).sum() <= 3


@pytest.mark.parametrize("images", [2, 8, 20, 100, 500])
def test_few_images_make_no_label_of_noise_hold(images: int, tmp_path: Path) -> None:
    shared = probe(images)
    noise = torch.randn(images, 200, generator=torch.Generator().manual_seed(images)).clamp_min(0) ** 3
    for method in ("soft_wpmi", "cos_similarity_cubed"):
        labels = judged(resolve_scoring(method, null_draws=1), tmp_path)(LayerData(noise, shared))
        assert labels.fidelity is not None
        assert (labels.fidelity.measures["confidence"] >= 0.5).mean() <= 0.05


def test_a_huge_offset_and_any_scale_leave_correlations_and_the_ceiling_as_they_are(tmp_path: Path) -> None:
    shared = probe(2000)
    units = planted(shared, 1, 1.0, units=4)
    judge = judged(resolve_scoring("soft_wpmi", null_draws=1), tmp_path)
    usual = judge(LayerData(units, shared)).fidelity
    assert usual is not None
    for odd in (units + 1e4, units * 1e18, units * 1e36, units * 1e-30):
        found = judge(LayerData(odd, shared)).fidelity
        assert found is not None
        for name in ("correlation", "cubed_correlation", "held_out_correlation", "ceiling"):
            # rounded activations may choose another label without a fold
            np.testing.assert_allclose(found.measures[name], usual.measures[name], atol=0.02, err_msg=name)


def test_a_sum_of_any_size_predicts_what_is_left_out(tmp_path: Path) -> None:
    shared = replace(probe(500), shape="squared")
    units = planted(shared, 2, 1.0, units=4)
    judge = judged(resolve_scoring("linear", {"gain": 0.0}), tmp_path)
    usual = judge(LayerData(units, shared)).fidelity
    assert usual is not None
    assert (usual.measures["held_out_correlation"] > 0.3).all()
    for scale in (1e30, 1e-30):
        found = judge(LayerData(units * scale, shared)).fidelity
        assert found is not None
        for name in ("correlation", "held_out_correlation"):
            assert found.measures[name] == pytest.approx(usual.measures[name], abs=1e-3)


def test_units_with_a_meaning_are_significant_among_noise(tmp_path: Path) -> None:
    shared = probe(2000)
    noise = torch.randn(2000, 40, generator=torch.Generator().manual_seed(6))
    activations = torch.cat([planted(shared, 1, 3.0, units=10), noise], dim=1)
    labels = judged(resolve_scoring("soft_wpmi", null_draws=400), tmp_path)(LayerData(activations, shared))
    assert labels.fidelity is not None
    assert (labels.fidelity.q[:10] < 0.05).all()
    assert (labels.fidelity.q[10:] < 0.05).sum() <= 2


def test_the_ceiling_is_ridge_regression_tried_on_what_it_was_not_fitted_on() -> None:
    shared = probe(2000)
    assert shared.image_features is not None
    assert shared.folds is not None
    weights = torch.randn(DIMENSIONS, 5, generator=torch.Generator().manual_seed(7))
    clean = standardised(shared.image_features @ weights)
    noise = torch.randn(2000, 5, generator=torch.Generator().manual_seed(8))
    for level in (0.1, 1.0):
        found = ceilings(shared.image_features, clean + level * noise, shared.folds)
        assert found.tolist() == pytest.approx([1 / math.sqrt(1 + level**2)] * 5, abs=0.03)
    # as numpy does it with the smallest penalty, which is the best here
    features, unit = shared.image_features.double().numpy(), (clean + noise)[:, 0].double().numpy()
    predicted, folds = np.empty(2000), shared.folds.numpy()
    for fold in range(5):
        rest = folds != fold
        x, y = features[rest] - features[rest].mean(axis=0), unit[rest] - unit[rest].mean()
        penalty = 0.01 * np.trace(x.T @ x) / DIMENSIONS
        solved = np.linalg.solve(x.T @ x + penalty * np.eye(DIMENSIONS), x.T @ y)
        predicted[~rest] = features[~rest] @ solved
        predicted[~rest] -= predicted[~rest].mean()
        unit[~rest] -= unit[~rest].mean()
    expected = predicted @ unit / np.linalg.norm(predicted) / np.linalg.norm(unit)
    assert float(ceilings(shared.image_features, clean + noise, shared.folds)[0]) == pytest.approx(expected, abs=1e-4)


def test_stability_is_the_share_of_choices_that_are_the_label_or_nearly_coincide_with_it(tmp_path: Path) -> None:
    directions = torch.eye(4)
    directions[1] = torch.tensor([0.95, math.sqrt(1 - 0.95**2), 0, 0])  # nearly the first
    shared = Shared(("dog", "hound", "cat", "sky"), embeddings(50, 1)[:, :4], directions, folds=torch.arange(50) % 5)
    chosen: Iterator[int] = iter([0, 1, 2, 0, 3])

    def choose(layer: LayerData) -> LayerLabels:
        return one_concept_each(torch.tensor([next(chosen)]), torch.ones(1))

    def label(_: LayerData) -> LayerLabels:
        return one_concept_each(torch.tensor([0]), torch.ones(1))

    labels = Judge(label, choose, 0, 0, tmp_path)(LayerData(torch.arange(50.0)[:, None], shared))
    assert labels.fidelity is not None
    assert labels.fidelity.measures["stability"].tolist() == pytest.approx([3 / 5])
    assert np.isnan(labels.fidelity.p).all()


def test_a_choice_sees_all_folds_but_one_and_matrices_keep_how_they_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = probe(20)
    activations = torch.arange(40.0).reshape(2, 20).T  # unit by unit, as the warehouse gives them
    seen: list[tuple[int, list[float], list[int]]] = []

    def choose(layer: LayerData) -> LayerLabels:
        assert layer.activations.stride(0) == 1
        assert layer.shared.folds is not None
        assert layer.shared.image_features is not None
        seen.append((len(layer.shared.image_features), layer.activations[:, 0].tolist(), layer.shared.folds.tolist()))
        return one_concept_each(torch.tensor([0, 0]), torch.ones(2))

    for limit in (scratch._LARGEST_IN_MEMORY, 0):  # pyright: ignore[reportPrivateUsage]  in memory, and in a file
        monkeypatch.setattr(scratch, "_LARGEST_IN_MEMORY", limit)
        seen.clear()
        folds = [fold for fold, _ in chosen_without(choose, LayerData(activations, shared), tmp_path)]
        assert folds == [0, 1, 2, 3, 4]
        for fold, (images, first_unit, kept) in zip(folds, seen, strict=True):
            assert first_unit == [number for number in range(20) if number % 5 != fold]
            assert images == 16
            assert fold not in kept
    assert list(tmp_path.iterdir()) == []
    torch.testing.assert_close(rows_in(tmp_path)(torch.arange(5), torch.tensor([1, 3])), torch.tensor([1, 3]))


@pytest.mark.parametrize("images", [2, 9, 10, 30])
@pytest.mark.parametrize(
    "method", ["soft_wpmi", "wpmi", "rank_reorder", "cos_similarity", "cos_similarity_cubed", "correlation"]
)
def test_any_method_is_judged_on_any_number_of_images(images: int, method: str, tmp_path: Path) -> None:
    """With fewer than ten nothing is held out; a unit that fires on one image only is constant without it."""
    shared = probe(images)
    activations = torch.cat([torch.eye(images)[:, :1], planted(shared, 1, 1.0, units=3)], dim=1)
    labels = judged(resolve_scoring(method, null_draws=20), tmp_path)(LayerData(activations, shared))
    assert labels.fidelity is not None
    found = labels.fidelity.measures
    assert np.isfinite(found["correlation"]).all()
    assert np.isfinite(found["held_out_correlation"]).all() == (images >= 10)
    assert np.isfinite(found["stability"]).all() == (images >= 10)
    assert np.isfinite(labels.fidelity.p).all()
    for name, values in found.items():
        assert values.dtype == np.float32
        assert (np.isnan(values) | ((values >= -1.00001) & (values <= 1.00001))).all(), name


@pytest.mark.parametrize("images", [2, 9, 10, 30, 300])
@pytest.mark.parametrize("shape", ["squared", "sigmoid_siglip"])
def test_sums_are_judged_on_any_number_of_images(shape: str, images: int, tmp_path: Path) -> None:
    shared = replace(probe(images), shape=shape)
    activations = torch.cat([torch.eye(images)[:, :1], planted(shared, 2, 0.3, units=3)], dim=1)
    labels = judged(resolve_scoring("linear", {"signal": shape}), tmp_path)(LayerData(activations, shared))
    assert labels.fidelity is not None
    for name, values in labels.fidelity.measures.items():
        assert (np.isnan(values) | ((values >= -1.00001) & (values <= 1.00001))).all(), name
    assert np.isnan(labels.fidelity.p).all()
    shares = labels.fidelity.shares
    assert (np.isnan(shares) | (labels.terms >= 0)).all()
    has_shares = ~np.isnan(shares).all(axis=1)
    assert np.nansum(shares[has_shares], axis=1) == pytest.approx(np.ones(has_shares.sum()), abs=1e-4)


def test_a_sum_predicts_unseen_images_as_well_as_its_held_out_correlation_says(tmp_path: Path) -> None:
    shared, unseen = (replace(probe(8_000, seed=seed), shape="squared") for seed in (1, 9))
    labels = judged(resolve_scoring("linear"), tmp_path)(LayerData(planted(shared, 3, 1.0, units=12), shared))
    assert labels.fidelity is not None
    signals = unseen.signals.predicted(torch.from_numpy(labels.terms), torch.from_numpy(labels.weights))
    truth = correlations(planted(unseen, 3, 1.0, units=12, seed=4), signals, torch.zeros(8_000, dtype=torch.int64))
    assert labels.fidelity.measures["held_out_correlation"] == pytest.approx(truth.numpy(), abs=0.03)
    assert labels.fidelity.measures["held_out_correlation"].mean() == pytest.approx(truth.mean().item(), abs=0.01)


def test_a_layer_without_live_units_has_no_fidelity_to_speak_of(tmp_path: Path) -> None:
    labels = judged(resolve_scoring(null_draws=5), tmp_path)(LayerData(torch.empty(30, 0), probe(30)))
    assert labels.fidelity is not None
    assert all(values.shape == (0,) for values in labels.fidelity.measures.values())
    assert labels.fidelity.q.shape == (0,)


class Twice:
    """Sums of two concepts, the first of which counts three times; and a unit without a label."""

    needs = frozenset({Need.EMBEDDINGS})

    def __call__(self, layer: LayerData) -> LayerLabels:
        terms, weights = np.array([[0, 1], [2, -1], [-1, -1]]), np.array([[3, 1], [1, 0], [0, 0]], dtype=np.float32)
        unknown = np.full(3, np.nan, dtype=np.float32)
        return LayerLabels(terms, weights, unknown, np.full(3, -1), unknown)


def test_a_sum_is_judged_by_its_weighted_signal_and_no_label_by_nothing(tmp_path: Path) -> None:
    shared = probe(500)
    assert shared.image_features is not None
    assert shared.concept_features is not None
    cosines = shared.image_features @ shared.concept_features.T
    activations = torch.stack([3 * cosines[:, 0] + cosines[:, 1], cosines[:, 3], cosines[:, 4]], dim=1)
    labels = Judge(Twice(), Twice(), 0, 0, tmp_path)(LayerData(activations, shared))
    assert labels.fidelity is not None
    correlation = labels.fidelity.measures["correlation"]
    assert correlation[0] == pytest.approx(1, abs=1e-5)
    assert correlation[1] == pytest.approx(np.corrcoef(cosines[:, 2], cosines[:, 3])[0, 1], abs=1e-5)
    assert np.isnan(correlation[2])
    assert np.isfinite(labels.fidelity.measures["ceiling"]).all()


def test_labels_by_the_images_own_labels_are_judged_by_which_images_have_them(tmp_path: Path) -> None:
    of_images = torch.tensor([0, 1, -1, 0, 1] * 10)
    shared = Shared(("cat", "dog"), image_labels=of_images, folds=torch.arange(50) // 10)

    def label(layer: LayerData) -> LayerLabels:
        return one_concept_each(torch.tensor([1, 0]), torch.ones(2))

    activations = torch.stack([(of_images == 1).float(), (of_images == 1).float()], dim=1)
    labels = Judge(label, label, 0, 0, tmp_path)(LayerData(activations, shared))
    assert labels.fidelity is not None
    assert labels.fidelity.measures["held_out_correlation"].tolist() == pytest.approx([1.0, -2 / 3])
    assert labels.fidelity.measures["held_out_iou"].tolist() == [1.0, 0.0]
    assert np.isnan(labels.fidelity.measures["ceiling"]).all()


def test_a_judge_travels_to_other_machines_as_it_is(tmp_path: Path) -> None:
    judge = judged(resolve_scoring(null_draws=5), tmp_path)
    layer = LayerData(planted(probe(50), 1, 1.0, units=3), probe(50))
    here, there = judge(layer).fidelity, pickle.loads(pickle.dumps(judge))(layer).fidelity  # noqa: S301  our own
    assert here is not None
    assert there is not None
    assert all(np.array_equal(here.measures[name], there.measures[name], equal_nan=True) for name in here.measures)
