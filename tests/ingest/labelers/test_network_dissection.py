"""Network Dissection: labels by the pixels that units and concepts share, formulas, and images of one label each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from labelled_pixels import LabelledImage, LabelledPixels, drawn

from neuronlake.ingest.judging.judge import judged
from neuronlake.ingest.labelers.base import LayerData, LayerLabels, Need, Shared
from neuronlake.ingest.labelers.dissecting.tally import tally
from neuronlake.ingest.labelers.registry import labeler_of, resolve_scoring
from neuronlake.ingest.labelers.settings import Value
from neuronlake.ingest.probes.masks.base import NOTHING

BUS, CAR, TREE = range(3)
OR, AND_NOT = 1, 3


def layer_of(pixels: LabelledPixels, folds: int = 5) -> LayerData:
    """A layer whose activations are the units' active shares of the images."""
    activations = torch.tensor(np.array([image.active.mean(axis=(1, 2)) for image in pixels.images])).float()
    of_images = torch.arange(len(pixels.images)) % folds
    shared = Shared(tuple(map(str, range(pixels.concepts))), folds=of_images, content_folds=of_images)
    return LayerData(activations, shared, dissection=pixels.dissection())


def label(layer: LayerData, **parameters: Value) -> LayerLabels:
    labeler = labeler_of(resolve_scoring("network_dissection", parameters))
    assert labeler.needs == {Need.MASKS}
    return labeler.label(layer)


def street() -> LabelledPixels:
    """Of ten pixels a bus on the first three, a car on the next two, and trees before both."""
    nothing = [NOTHING] * 10
    traffic = [BUS, BUS, BUS, CAR, CAR, *nothing[5:]]
    trees = [NOTHING, NOTHING, TREE, NOTHING, TREE, TREE, TREE, TREE, *nothing[8:]]
    active = [
        "##..#.....",  # two of the bus, and one of the car before which a tree is
        "......###.",  # two trees
        "........##",  # nothing of these
        "..........",
        "##.#......",  # the bus or the car, without the trees
    ]
    units = np.array([[[each == "#" for each in row]] for row in active])
    return LabelledPixels([LabelledImage([np.array([traffic]), np.array([trees])], (), units)], [0, 0, 0])


def test_a_units_label_is_the_concept_of_the_highest_iou_and_the_next_is_its_runner_up() -> None:
    found = label(layer_of(street()))
    assert found.terms.tolist() == [[BUS], [TREE], [-1], [-1], [BUS]]
    assert found.weights.tolist() == [[1]] * 5
    np.testing.assert_allclose(found.score, np.float32([2 / 4, 2 / 6, np.nan, np.nan, 2 / 4]))
    assert found.runner_up[[0, 4]].tolist() == [CAR, CAR]
    np.testing.assert_allclose(found.runner_up_score[[0, 4]], np.float32([1 / 4, 1 / 4]))
    assert found.operators is None
    assert found.matrix is not None
    np.testing.assert_allclose(found.matrix[0], np.float32([2 / 4, 1 / 4, 1 / 7]))
    np.testing.assert_allclose(found.matrix[2:4], 0)


def test_the_counts_behind_a_score_come_with_it() -> None:
    found = label(layer_of(street())).overlaps
    assert found is not None
    assert found.thresholds.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert found.intersection[[0, 1, 4]].tolist() == [2, 2, 2]
    assert found.union[[0, 1, 4]].tolist() == [4, 6, 4]
    assert found.of_concepts is not None
    intersection, union = found.of_concepts
    assert intersection.tolist() == [[2, 1, 1], [0, 0, 2], [0, 0, 0], [0, 0, 0], [2, 1, 0]]
    assert union.tolist() == [[4, 4, 7], [6, 5, 6], [5, 4, 7], [3, 2, 5], [4, 4, 8]]


def test_of_concepts_that_a_unit_meets_equally_the_first_is_its_label_and_the_second_its_runner_up() -> None:
    concepts = 40
    masks = [np.array([[place, NOTHING]]) for place in range(concepts)]
    units = np.array([[[True, False]], [[True, True]]])
    found = label(layer_of(LabelledPixels([LabelledImage(masks, (), units)], [0] * concepts)))
    assert found.terms.tolist() == [[0], [0]]
    assert found.runner_up.tolist() == [1, 1]


def test_a_unit_that_meets_nothing_has_no_runner_up_either() -> None:
    found = label(layer_of(street()))
    assert found.runner_up[2:4].tolist() == [-1, -1]
    assert np.isnan(found.runner_up_score[2:4]).all()


def test_one_concept_has_no_runner_up_and_no_units_have_no_labels() -> None:
    one = drawn(np.random.default_rng(0), images=4, units=2, categories=[0])
    assert label(layer_of(one)).runner_up.tolist() == [-1, -1]
    none = drawn(np.random.default_rng(0), images=4, units=0, categories=[0, 1])
    for length in (1, 2):
        found = label(layer_of(none), length=length)
        assert len(found.terms) == len(found.score) == 0


def test_a_formula_has_its_operators_before_its_concepts() -> None:
    found = label(layer_of(street()), length=3)
    # the last unit: (bus or car) and not tree
    assert found.terms[4].tolist() == [BUS, CAR, TREE]
    assert found.operators is not None
    assert found.operators[4].tolist() == [0, OR, AND_NOT]
    assert found.operators.dtype == np.int8
    assert found.score[4] == 1
    assert found.terms[2:4].tolist() == [[-1] * 3] * 2
    assert np.isnan(found.score[2:4]).all()
    assert not found.operators[2:4].any()
    assert found.weights.tolist() == [[1] * 3] * 5
    assert found.runner_up.tolist() == [-1] * 5
    assert found.matrix is None
    assert found.overlaps is not None
    assert found.overlaps.intersection.tolist()[2:] == [0, 0, 3]
    assert found.overlaps.union.tolist()[2:] == [0, 0, 3]
    assert found.overlaps.of_concepts is None


def test_a_formula_that_ends_early_ends_with_no_concept() -> None:
    alone = street().images[0].active[:1] & False
    alone[0, 0, [0, 1, 2]] = True
    bus = replace(street(), images=[replace(street().images[0], active=alone)])
    found = label(layer_of(bus), length=3)
    assert found.terms.tolist() == [[BUS, -1, -1]]
    assert found.operators is not None
    assert found.operators.tolist() == [[0, 0, 0]]


def test_labels_in_both_definitions_are_those_of_their_tallies_and_lite_is_never_lower() -> None:
    pixels = drawn(np.random.default_rng(4), images=30, units=12, categories=[0, 0, 0, 1, 1, 2], busy=0.04)
    found = {definition: label(layer_of(pixels), definition=definition) for definition in ("paper", "lite")}
    for definition, labels in found.items():
        iou = tally(pixels.dissection(), definition).iou
        assert labels.terms[:, 0].tolist() == iou.argmax(dim=1).tolist()
        np.testing.assert_array_equal(labels.score, iou.amax(dim=1))
    assert (found["lite"].score >= found["paper"].score).all()
    assert (found["lite"].score > found["paper"].score).any()


def test_where_there_are_no_masks_an_image_is_all_of_its_label() -> None:
    """Eight images, of which a quarter is above each unit's threshold."""
    of_images = torch.tensor([0, 0, 0, 1, 1, 2, -1, -1])
    activations = torch.tensor(
        [
            [9.0, 8, 0, 0, 0, 0, 0, 0],  # two of three of the first label
            [0.0, 0, 0, 0, 7, 8, 0, 0],  # one of two of the second, and all of the third, of another category
            [0.0, 0, 0, 0, 0, 0, 7, 8],  # nothing that has a label
            [5.0, 5, 5, 5, 5, 5, 5, 5],  # above nothing
        ]
    ).T
    shared = Shared(("cat", "dog", "kitchen"), image_labels=of_images, categories=torch.tensor([0, 0, 1]))
    found = label(LayerData(activations, shared), quantile=0.25)
    assert found.terms[:, 0].tolist() == [0, 2, -1, -1]
    assert found.matrix is not None
    np.testing.assert_allclose(found.matrix[:2], np.float32([[2 / 3, 0, 0], [0, 1 / 2, 1]]))
    assert found.overlaps is not None
    assert found.overlaps.thresholds[3] == 5
    assert found.overlaps.intersection[:2].tolist() == [2, 1]
    assert found.overlaps.union[:2].tolist() == [3, 1]
    formula = label(LayerData(activations, shared), quantile=0.25, length=2)
    # the kitchen's only image or the dog's two: the unit is active on two of the three
    assert formula.score[:2].tolist() == pytest.approx([2 / 3, 2 / 3])
    assert formula.terms[1].tolist() == [2, 1]


def test_of_equal_concepts_the_first_of_the_set_is_the_label_and_the_second_the_runner_up() -> None:
    """Forty images of a label each, of which one unit is active on three: by that all three labels are alike."""
    of_images = torch.arange(40)
    activations = torch.zeros(40, 1)
    activations[[39, 5, 17], 0] = torch.tensor([9.0, 8, 7])
    shared = Shared(tuple(map(str, range(40))), image_labels=of_images, categories=torch.zeros(40, dtype=torch.int64))
    found = label(LayerData(activations, shared), quantile=3 / 40)
    assert found.terms.tolist() == [[5]]
    assert found.runner_up.tolist() == [17]
    assert [found.score[0], found.runner_up_score[0]] == pytest.approx([1 / 3, 1 / 3])


def by_hand(pixels: LabelledPixels, rows: list[int]) -> np.ndarray:
    """IoU of each unit and concept of one category in some images that all show it, (units, concepts)."""
    some = pixels.of_images(rows)
    shown, active = some.shown(), some.active()
    return np.array([[(where & mine).sum() / (where | mine).sum() for where in shown] for mine in active])


def test_held_out_correlation_is_of_labels_that_are_chosen_without_what_judges_them(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    images = [
        LabelledImage([random.integers(0, 6, (9, 7)).astype(np.int32)], (), random.random((8, 9, 7)) < 0.2)
        for _ in range(40)
    ]
    pixels = LabelledPixels(images, [0] * 6)
    layer = layer_of(pixels)
    found = judged(resolve_scoring("network_dissection"), tmp_path)(layer)
    assert found.fidelity is not None
    shares = np.array([[image.shown(concept).mean() for concept in range(6)] for image in images])
    activations, folds = layer.activations.double().numpy(), np.arange(40) % 5
    choices = [by_hand(pixels, np.flatnonzero(folds != fold).tolist()).argmax(axis=1) for fold in range(5)]
    whole = by_hand(pixels, list(range(40))).argmax(axis=1)
    assert found.terms[:, 0].tolist() == whole.tolist()
    # of noise, so that a label depends on the images
    assert any((each != whole).any() for each in choices)
    for unit in range(8):
        # each of the signals brought to one deviation
        signal = np.array([(shares / shares.std(axis=0))[row, choices[fold][unit]] for row, fold in enumerate(folds)])
        mine = activations[:, unit].copy()
        for fold in range(5):
            signal[folds == fold] -= signal[folds == fold].mean()
            mine[folds == fold] -= mine[folds == fold].mean()
        expected = signal @ mine / np.linalg.norm(signal) / np.linalg.norm(mine)
        assert found.fidelity.measures["held_out_correlation"][unit] == pytest.approx(expected, abs=1e-4)
        plain = np.corrcoef(shares[:, whole[unit]], activations[:, unit])[0, 1]
        assert found.fidelity.measures["correlation"][unit] == pytest.approx(plain, abs=1e-4)


@pytest.mark.parametrize("length", [1, 3])
def test_a_unit_that_follows_its_masks_is_predicted_where_it_was_not_looked_at(length: int, tmp_path: Path) -> None:
    pixels = drawn(np.random.default_rng(6), images=60, units=0, categories=[0] * 5)
    true = [
        [image.shown(0) > 0, (image.shown(1) + image.shown(2) > 0) & (image.shown(3) == 0)] for image in pixels.images
    ]
    pixels = replace(
        pixels,
        images=[replace(image, active=np.array(units)) for image, units in zip(pixels.images, true, strict=True)],
    )
    found = judged(resolve_scoring("network_dissection", {"length": length}), tmp_path)(layer_of(pixels))
    assert found.fidelity is not None
    held_out = found.fidelity.measures["held_out_correlation"]
    assert held_out[0] == pytest.approx(1, abs=1e-4)
    assert (held_out[1] == pytest.approx(1, abs=1e-4)) == (length == 3)
    assert np.isnan(found.fidelity.p).all()


@pytest.mark.parametrize("images", [2, 9, 10, 30])
@pytest.mark.parametrize("length", [1, 2])
def test_labels_are_judged_on_any_number_of_images(images: int, length: int, tmp_path: Path) -> None:
    pixels = drawn(np.random.default_rng(images), images=images, units=4, categories=[0, 0, 1], busy=0.3)
    layer = layer_of(pixels)
    found = judged(resolve_scoring("network_dissection", {"length": length}), tmp_path)(layer)
    assert found.fidelity is not None
    for name, values in found.fidelity.measures.items():
        assert (np.isnan(values) | ((values >= -1.00001) & (values <= 1.00001))).all(), name
    varies = layer.activations.std(dim=0).numpy() > 0
    is_known = (found.terms[:, 0] >= 0) & varies
    assert is_known.any()
    assert np.isfinite(found.fidelity.measures["correlation"]).tolist() == is_known.tolist()
