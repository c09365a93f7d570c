"""Shares of an image's pixels that show a concept, or where a formula holds: what a count of every pixel gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from labelled_pixels import LabelledImage, LabelledPixels, drawn

from neuronlake.ingest.labelers.dissecting import shares
from neuronlake.ingest.labelers.dissecting.shares import AreaShares
from neuronlake.ingest.probes.masks.base import NOTHING

OR, AND, AND_NOT = 1, 2, 3


def areas(pixels: LabelledPixels) -> AreaShares:
    return AreaShares(pixels.dissection().regions)


def scene() -> LabelledPixels:
    return drawn(np.random.default_rng(0), images=14, units=0, categories=[0, 0, 0, 1, 1])


def by_hand(pixels: LabelledPixels) -> list[np.ndarray]:
    """Of each image whether each pixel shows each concept, (concepts, height, width) bool."""
    return [np.array([image.shown(concept) > 0 for concept in range(pixels.concepts)]) for image in pixels.images]


@pytest.fixture(params=[None, 1], ids=["all images at once", "one by one"], autouse=True)
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many images at once as usual, or one."""
    if request.param:
        monkeypatch.setattr(shares, "_AT_ONCE", request.param)


def test_a_concepts_share_is_that_of_the_pixels_that_show_it() -> None:
    """One that is told twice of a pixel is there once; an image without labels shows nothing."""
    first = np.array([[0, 0, NOTHING, NOTHING]])
    second = np.array([[0, 1, 1, NOTHING]])
    nothing = np.zeros((0, 1, 4), bool)
    pixels = LabelledPixels(
        [LabelledImage([first, second], (), nothing), LabelledImage([], (), nothing), LabelledImage([], (2,), nothing)],
        [0, 0, 1, 1],
    )
    found = areas(pixels)
    assert (found.images, found.concepts) == (3, 4)
    assert found.block(slice(None), slice(None)).tolist() == [[0.5, 0.5, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]]
    # nothing can be said of what no image shows
    assert found.usable().tolist() == [True, True, True, False]


def test_shares_are_those_of_every_pixel() -> None:
    pixels = scene()
    expected = np.array([shown.mean(axis=(1, 2)) for shown in by_hand(pixels)])
    found = areas(pixels)
    whole = found.block(slice(None), slice(None))
    assert whole.dtype == torch.float32
    np.testing.assert_allclose(whole, expected, rtol=1e-6)
    np.testing.assert_allclose(found.block(slice(3, 9), slice(1, 4)), expected[3:9, 1:4], rtol=1e-6)
    np.testing.assert_allclose(found.block(slice(13, 14), torch.tensor([4, 0])), expected[13:, [4, 0]], rtol=1e-6)


def test_labels_of_one_concept_predict_its_shares() -> None:
    found = areas(scene())
    terms = torch.arange(found.concepts)[:, None]
    whole = found.block(slice(None), slice(None))
    assert torch.equal(found.predicted(terms, torch.ones(terms.shape)), whole)
    assert torch.equal(found.predicted(terms, torch.ones(terms.shape), torch.zeros_like(terms)), whole)


def test_a_formulas_share_is_where_it_holds() -> None:
    pixels = scene()
    terms = torch.tensor([[0, 1, 2], [3, 0, 1], [4, 2, -1], [1, 4, 3], [2, -1, -1], [-1, -1, -1]])
    operators = torch.tensor([[0, OR, AND_NOT], [0, AND, OR], [0, AND_NOT, 0], [0, OR, OR], [0, 0, 0], [0, 0, 0]])
    found = areas(pixels).predicted(terms, torch.ones(terms.shape), operators)
    expected = np.array(
        [
            [
                ((a | b) & ~c).mean(),
                ((d & a) | b).mean(),
                (e & ~c).mean(),
                (b | e | d).mean(),
                c.mean(),
                0,
            ]
            for a, b, c, d, e in by_hand(pixels)
        ]
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_sum_of_concepts_is_the_sum_of_their_shares() -> None:
    pixels = scene()
    terms = torch.tensor([[0, 3], [2, -1]])
    weights = torch.tensor([[2.0, -1.0], [0.5, 7.0]])
    shown = np.array([each.mean(axis=(1, 2)) for each in by_hand(pixels)])
    expected = np.stack([2 * shown[:, 0] - shown[:, 3], 0.5 * shown[:, 2]], axis=1)
    np.testing.assert_allclose(areas(pixels).predicted(terms, weights), expected, rtol=1e-5, atol=1e-7)


def test_shares_are_of_all_images_also_of_those_that_do_not_count() -> None:
    """A fold that is left out is what a label is judged by."""
    found = scene().dissection()
    some = found.of_images(torch.tensor([0, 1]))
    everything = slice(None), slice(None)
    assert torch.equal(AreaShares(some.regions).block(*everything), AreaShares(found.regions).block(*everything))
