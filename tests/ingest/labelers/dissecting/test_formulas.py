"""Formulas of concepts: the best of all that there are, or those that were planted, counted as every pixel counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from labelled_pixels import LabelledImage, LabelledPixels, drawn

from neuronlake.ingest.labelers.dissecting import formulas
from neuronlake.ingest.labelers.dissecting.formulas import OPERATORS, Formula, best_formulas
from neuronlake.ingest.probes.masks.base import NOTHING

CONCEPTS = 12


def put(operator: str, before: np.ndarray, concept: np.ndarray) -> np.ndarray:
    return {"or": before | concept, "and": before & concept, "and not": before & ~concept}[operator]


def holds(formula: Formula, shown: np.ndarray) -> np.ndarray:
    """Where a formula holds, (pixels,) bool."""
    where = shown[formula.concepts[0]]
    for operator, concept in zip(formula.operators, formula.concepts[1:], strict=True):
        where = put(operator, where, shown[concept])
    return where


def best_iou_of_all(pixels: LabelledPixels, length: int) -> np.ndarray:
    """The highest IoU of each unit with any formula of at most so many concepts, (units,) float64."""
    shown, active = pixels.shown(), pixels.active().astype(np.float32)
    best = np.zeros(pixels.units)
    where = shown
    for number in range(length):
        if number:
            where = np.concatenate([put(each, where[:, None], shown[None]) for each in OPERATORS])
            where = np.unique(where.reshape(-1, shown.shape[1]), axis=0)
        both = where.astype(np.float32) @ active.T
        union = where.sum(axis=1)[:, None] + active.sum(axis=1) - both
        best = np.maximum(best, (both / np.maximum(union, 1)).max(axis=0))
    return best


def same_as_every_pixel(found: list[Formula | None], pixels: LabelledPixels) -> None:
    """Count what formulas state once more."""
    shown, active = pixels.shown(), pixels.active()
    for formula, mine in zip(found, active, strict=True):
        assert formula is not None
        assert len(set(formula.concepts)) == len(formula.concepts) == len(formula.operators) + 1
        where = holds(formula, shown)
        assert formula.intersection == (where & mine).sum()
        assert formula.union == (where | mine).sum()
        assert formula.iou == formula.intersection / formula.union


def random_pixels(seed: int, units: int = 6) -> LabelledPixels:
    return drawn(np.random.default_rng(seed), images=10, units=units, categories=[0] * CONCEPTS)


@pytest.mark.parametrize("seed", range(3))
def test_a_beam_of_a_hundred_finds_the_best_of_all_formulas_of_three_among_a_dozen_concepts(seed: int) -> None:
    pixels = random_pixels(seed)
    dissection = pixels.dissection()
    for length in (1, 2, 3):
        found = best_formulas(dissection, length, beam=100)
        same_as_every_pixel(found, pixels)
        assert max(len(each.concepts) for each in found if each) == length
        np.testing.assert_allclose([each.iou for each in found if each], best_iou_of_all(pixels, length), rtol=1e-6)


def test_one_that_is_longer_is_better_than_all_that_are_shorter() -> None:
    pixels = random_pixels(7, units=12)
    for formula, shorter in zip(best_formulas(pixels.dissection(), 3, 100), best_iou_of_all(pixels, 2), strict=True):
        assert formula is not None
        assert (len(formula.concepts) == 3) == (formula.iou > shorter + 1e-6)


def with_planted(pixels: LabelledPixels, planted: list[Formula], noise: float) -> LabelledPixels:
    """Units that are active where formulas hold, but for a share of the pixels."""
    random = np.random.default_rng(5)

    def image(of: LabelledImage) -> LabelledImage:
        shown = np.array([of.shown(concept) > 0 for concept in range(pixels.concepts)])
        where = np.array([holds(each, shown) for each in planted])
        return replace(of, active=where ^ (random.random(where.shape) < noise))

    return replace(pixels, images=[image(each) for each in pixels.images])


def planted(*terms: int | str) -> Formula:
    """A formula as it is read: 3, "or", 4."""
    concepts = tuple(each for each in terms if isinstance(each, int))
    return Formula(concepts, tuple(each for each in terms if isinstance(each, str)), 0, 0, 0)


def scattered() -> LabelledPixels:
    """Every concept on three in ten pixels, wherever the others are."""
    random = np.random.default_rng(1)
    images = [
        LabelledImage(
            [np.where(random.random((16, 16)) < 0.3, concept, NOTHING) for concept in range(CONCEPTS)],
            (),
            np.zeros((0, 16, 16), bool),
        )
        for _ in range(8)
    ]
    return LabelledPixels(images, [0] * CONCEPTS)


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_beam_of_five_finds_a_formula_that_a_unit_follows(noise: float) -> None:
    truth = [
        planted(3),
        planted(0, "or", 1),
        planted(5, "and", 2),
        planted(4, "and not", 6),
        planted(7, "or", 8, "and not", 9),
        planted(10, "and", 11, "and", 2),
        planted(1, "or", 6, "or", 9),
        planted(9, "and not", 0, "and not", 3),
    ]
    pixels = with_planted(scattered(), truth, noise)
    found = best_formulas(pixels.dissection(), 3, beam=5)
    same_as_every_pixel(found, pixels)
    shown = pixels.shown()
    for formula, true in zip(found, truth, strict=True):
        assert formula is not None
        np.testing.assert_array_equal(holds(formula, shown), holds(true, shown))
    if noise == 0:
        assert [len(each.concepts) for each in found if each] == [len(each.concepts) for each in truth]
    np.testing.assert_allclose([each.iou for each in found if each], best_iou_of_all(pixels, 3), rtol=1e-6)


def test_a_wider_beam_finds_what_begins_with_two_concepts_that_say_little() -> None:
    """Where (10 and 11) or 2 is the truth, five formulas of 2 and another say more than 10 and 11 does."""
    pixels = with_planted(scattered(), [planted(10, "and", 11, "or", 2)], noise=0)
    narrow, wide = (best_formulas(pixels.dissection(), 3, beam)[0] for beam in (5, 100))
    assert narrow is not None
    assert narrow.iou < 0.95
    assert wide is not None
    assert (set(wide.concepts[:2]), wide.operators, wide.concepts[2]) == ({10, 11}, ("and", "or"), 2)
    assert wide.iou == 1


def test_a_formula_is_put_together_from_the_left() -> None:
    """(bus or car) and not tree: a tree beside the bus is not in it."""
    bus, car, tree = range(3)
    rows = [
        np.array([[bus, bus, NOTHING, NOTHING, NOTHING]]),
        np.array([[NOTHING, NOTHING, car, car, NOTHING]]),
        np.array([[NOTHING, tree, NOTHING, tree, tree]]),
    ]
    active = np.array([[[True, False, True, False, False]]])
    pixels = LabelledPixels([LabelledImage(rows, (), active)], [0, 0, 0])
    (found,) = best_formulas(pixels.dissection(), 3, beam=5)
    assert found == Formula((bus, car, tree), ("or", "and not"), 1.0, 2, 2)


def test_a_label_that_is_told_twice_counts_once() -> None:
    rows = np.array([[0, 0, NOTHING, NOTHING]])
    active = np.array([[[True, False, True, False]]])
    pixels = LabelledPixels([LabelledImage([rows, rows], (0,), active)], [0, 1])
    assert best_formulas(pixels.dissection(), 2, beam=5) == [Formula((0,), (), 0.5, 2, 4)]


def test_a_unit_counts_in_all_images_whatever_their_categories() -> None:
    labels = [np.array([[0, NOTHING]]), np.array([[NOTHING, NOTHING]])]
    active = np.array([[[True, False]]])
    pixels = LabelledPixels([LabelledImage([each], (), active) for each in labels], [0])
    assert best_formulas(pixels.dissection(), 1, beam=5) == [Formula((0,), (), 0.5, 1, 2)]


def test_a_unit_that_meets_nothing_has_no_formula() -> None:
    labels = np.array([[0, 0, NOTHING]])
    active = np.array([[[False, False, True]], [[False, False, False]], [[True, True, False]]])
    pixels = LabelledPixels([LabelledImage([labels], (), active)], [0])
    assert best_formulas(pixels.dissection(), 3, beam=5) == [None, None, Formula((0,), (), 1.0, 2, 2)]
    without = LabelledPixels([LabelledImage([], (), active)], [0])
    assert best_formulas(without.dissection(), 3, beam=5) == [None, None, None]


def test_images_that_do_not_count_are_as_if_they_were_not_there() -> None:
    pixels = random_pixels(3)
    rows = [0, 3, 4, 8]
    some = best_formulas(pixels.dissection().of_images(torch.tensor(rows)), 2, beam=100)
    alone = best_formulas(pixels.of_images(rows).dissection(), 2, beam=100)
    same_as_every_pixel(some, pixels.of_images(rows))
    assert [each and each.iou for each in some] == [each and each.iou for each in alone]


def test_units_that_are_looked_at_one_by_one_get_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    found = random_pixels(4).dissection()
    at_once = best_formulas(found, 3, beam=5)
    monkeypatch.setattr(formulas, "_AT_ONCE", 1)
    assert best_formulas(found, 3, beam=5) == at_once
