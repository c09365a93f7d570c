"""Images with label images and units' active pixels, as pixels for a count by hand and as the regions they make."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.random import Generator

from neuronlake.ingest.labelers.dissecting.regions import ActivePixels, Dissection, Regions
from neuronlake.ingest.probes.masks.base import NOTHING
from neuronlake.ingest.probes.masks.regions import regions_of


@dataclass(frozen=True)
class LabelledImage:
    """One image.

    Attributes:
        labels: of one size, (height, width) int32 each: places of concepts, or `NOTHING`.
        whole: places of concepts that every pixel shows.
        active: where each unit is above its threshold, (units, height, width) bool.
    """

    labels: list[np.ndarray]
    whole: tuple[int, ...]
    active: np.ndarray

    def shown(self, concept: int) -> np.ndarray:
        """How often each pixel shows a concept, (height, width) int64."""
        of_labels = sum((places == concept).astype(np.int64) for places in self.labels)
        return np.zeros(self.active.shape[1:], np.int64) + of_labels + self.whole.count(concept)


@dataclass(frozen=True)
class LabelledPixels:
    """Some images, and of each concept the number of its category."""

    images: list[LabelledImage]
    categories: list[int]

    @property
    def units(self) -> int:
        """How many."""
        return len(self.images[0].active)

    @property
    def concepts(self) -> int:
        """How many."""
        return len(self.categories)

    def of_images(self, rows: list[int]) -> LabelledPixels:
        """The same of some images alone."""
        return replace(self, images=[self.images[row] for row in rows])

    def shown(self) -> np.ndarray:
        """Whether each pixel of all images shows a concept, (concepts, pixels) bool."""
        return np.array(
            [
                np.concatenate([image.shown(concept).ravel() > 0 for image in self.images])
                for concept in range(self.concepts)
            ]
        )

    def active(self) -> np.ndarray:
        """Where each unit is active in all images, (units, pixels) bool."""
        return np.concatenate([image.active.reshape(self.units, -1) for image in self.images], axis=1)

    def dissection(self) -> Dissection:
        """As the warehouse keeps it."""
        image_of, pixels, concepts, rows = [], [], [], []
        for number, image in enumerate(self.images):
            if image.labels:
                region, shown = regions_of(image.labels, image.whole)
            else:
                region, shown = np.zeros(image.active.shape[1:], np.int32), (tuple(sorted(image.whole)),)
            first = len(image_of)
            image_of += [number] * len(shown)
            concepts += shown
            pixels += np.bincount(region.ravel(), minlength=len(shown)).tolist()
            for unit, is_active in enumerate(image.active):
                counts = np.bincount(region[is_active], minlength=len(shown))
                rows += [(unit, number, first + place, int(counts[place])) for place in np.flatnonzero(counts)]
        ordered = torch.tensor(sorted(rows), dtype=torch.int32).reshape(-1, 4)
        return Dissection(
            Regions(
                image=torch.tensor(image_of),
                pixels=torch.tensor(pixels),
                starts=torch.tensor([0, *np.cumsum([len(each) for each in concepts])]),
                members=torch.tensor([each for some in concepts for each in some], dtype=torch.int64),
                categories=torch.tensor(self.categories, dtype=torch.int64),
                counted=torch.ones(len(self.images), dtype=torch.bool),
            ),
            ActivePixels(
                unit=ordered[:, 0].contiguous(),
                region=ordered[:, 2].contiguous(),
                pixels=ordered[:, 3].contiguous(),
                thresholds=torch.linspace(0, 1, self.units, dtype=torch.float64),
            ),
        )


def drawn(
    random: Generator, images: int, units: int, categories: list[int], *, most_side: int = 12, busy: float = 0.2
) -> LabelledPixels:
    """Images of random sizes with up to three label images of random rectangles, and some with none of a category.

    Args:
        random: what decides.
        images: how many.
        units: how many.
        categories: of the concepts.
        most_side: pixels of an image's edge.
        busy: share of the pixels that a unit is active on; some units in some images on none.
    """
    found: list[LabelledImage] = []
    for _ in range(images):
        shape = tuple(random.integers(1, most_side + 1, 2).tolist())
        some = random.permutation(len(categories))[: random.integers(1, len(categories) + 1)].tolist()
        labels = [_rectangles(random, shape, some) for _ in range(random.integers(0, 4))]
        whole = tuple(random.choice(some, random.integers(0, 3)).tolist())
        awake = random.random((units, 1, 1)) < 0.8
        found.append(LabelledImage(labels, whole, (random.random((units, *shape)) < busy) & awake))
    return LabelledPixels(found, categories)


def _rectangles(random: Generator, shape: tuple[int, ...], concepts: list[int]) -> np.ndarray:
    """A label image."""
    places = np.full(shape, NOTHING, np.int32)
    for concept in random.choice(concepts, 4):
        top, left = (int(random.integers(0, side)) for side in shape)
        places[top : top + int(random.integers(1, 9)), left : left + int(random.integers(1, 9))] = concept
    return places
