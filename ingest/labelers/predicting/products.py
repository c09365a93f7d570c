"""Products of concepts' signals with units' activations and with each other, over images: Gram matrices.

The images are gone through block by block. Of the concepts' products with each other only those columns are made that
are asked for, and kept: all of 20,000 concepts would take 1.6 GB.

Throughout

    signals: of all images and concepts, see `signals.Signals`
    images: (images,) float32, 1 for an image that counts, else 0
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from neuronlake.ingest.labelers.predicting.signals import Signals

# Numbers that are held at once: on a processor few enough for its cache.
_AT_ONCE = {"cpu": 2**21, "cuda": 2**26}
_FEWEST_CONCEPTS = 256
_ROWS_AT_ONCE = 2**13
# Columns of products that are kept for the next units.
_KEPT = 2**26


@dataclass(frozen=True)
class Units:
    """Activations in a range where their products keep their digits.

    Attributes:
        activations: (images, units) float32, finite.
        middle: their means, (units,).
        scale: the largest distance from these, (units,); above 0.
    """

    activations: Tensor
    middle: Tensor
    scale: Tensor

    @property
    def count(self) -> int:
        """How many."""
        return self.activations.shape[1]

    def of(self, rows: slice) -> Tensor:
        """Those of some images, less the middle and over the scale: (images, units) float32."""
        return self.activations[rows].sub(self.middle).div_(self.scale)


def units_of(activations: Tensor) -> Units:
    """The units of a layer, or some of them."""
    middle = activations.mean(dim=0)
    low, high = activations.aminmax(dim=0)
    scale = torch.maximum(high - middle, middle - low).clamp_min(torch.finfo(torch.float32).tiny)
    return Units(activations, middle, scale)


@dataclass(frozen=True)
class Covariances:
    """Of concepts' signals with units, over some images.

    Attributes:
        concepts: of each unit with each concept, (units, concepts) float32.
        deviation: of the concepts' signals, (concepts,) float32.
        unit_deviation: of the units, (units,) float32.
    """

    concepts: Tensor
    deviation: Tensor
    unit_deviation: Tensor


def of_units(signals: Signals, units: Units, images: Tensor) -> Covariances:
    """Covariances of all concepts with units."""
    products = torch.zeros(units.count, signals.concepts, device=images.device)
    totals, squares = products.new_zeros(signals.concepts), products.new_zeros(signals.concepts)
    unit_totals, unit_squares = products.new_zeros(units.count), products.new_zeros(units.count)
    for rows in _image_blocks(signals):
        weight = images[rows]
        activations = units.of(rows).mul_(weight[:, None])
        unit_totals += activations.sum(dim=0)
        unit_squares += activations.square().sum(dim=0)
        for concepts in _concept_blocks(signals, images.device):
            block = signals.block(rows, concepts)
            products[:, concepts].addmm_(activations.T, block)
            totals[concepts] += weight @ block
            squares[concepts] += weight @ block.square_()
    count = images.sum()
    mean, unit_mean = totals / count, unit_totals / count
    return Covariances(
        products.div_(count).addmm_(unit_mean[:, None], mean[None], alpha=-1),
        (squares / count - mean.square()).clamp_min_(0).sqrt_(),
        (unit_squares / count - unit_mean.square()).clamp_min_(0).sqrt_(),
    )


class ConceptProducts:
    """Covariances of concepts with concepts over some images, column by column as they are asked for."""

    def __init__(self, signals: Signals, images: Tensor) -> None:
        self.signals = signals
        self.images = images
        self._places = torch.full((signals.concepts,), -1, device=images.device)
        self._rows = torch.empty(0, signals.concepts, device=images.device)

    def forget_many(self) -> None:
        """Let those go that are kept, where they are many."""
        if self._rows.numel() > _KEPT:
            self._places.fill_(-1)
            self._rows = self._rows[:0].clone()

    def of(self, concepts: Tensor) -> Tensor:
        """Covariances of some concepts with all.

        Args:
            concepts: (some,) int64, perhaps with repetitions.

        Returns:
            (some, concepts) float32.
        """
        places = self._known(concepts)
        return self._rows[places]

    def among(self, concepts: Tensor) -> Tensor:
        """Covariances of a few concepts of each unit.

        Args:
            concepts: (units, few) int64.

        Returns:
            (units, few, few) float32.
        """
        places = self._known(concepts)
        return self._rows[places[:, :, None], concepts[:, None, :]]

    def _known(self, concepts: Tensor) -> Tensor:
        """Rows of concepts among those that are kept, made first where they are not."""
        missing = concepts.unique()
        missing = missing[self._places[missing] < 0]
        if len(missing):
            self._places[missing] = len(self._rows) + torch.arange(len(missing), device=missing.device)
            self._rows = torch.cat([self._rows, self._computed(missing)])
        return self._places[concepts]

    def _computed(self, some: Tensor) -> Tensor:
        """Covariances of some concepts with all, gone through the images."""
        products = torch.zeros(len(some), self.signals.concepts, device=some.device)
        totals = products.new_zeros(self.signals.concepts)
        for rows in _image_blocks(self.signals):
            weight = self.images[rows]
            of_some = self.signals.block(rows, some).mul_(weight[:, None])
            for concepts in _concept_blocks(self.signals, some.device):
                block = self.signals.block(rows, concepts)
                products[:, concepts].addmm_(of_some.T, block)
                totals[concepts] += weight @ block
        count = self.images.sum()
        mean = totals / count
        return products.div_(count).addmm_(mean[some, None], mean[None], alpha=-1)


@dataclass(frozen=True)
class TermSums:
    """Sums over images of a few signals of each unit and its activations, float64 on the CPU: MPS knows no float64.

    Attributes:
        images: how many, ().
        signals: (units, terms).
        squares: of signals with signals, (units, terms, terms).
        products: of signals with the activations, (units, terms).
        activations: (units,).
        activation_squares: (units,).
    """

    images: Tensor
    signals: Tensor
    squares: Tensor
    products: Tensor
    activations: Tensor
    activation_squares: Tensor

    def plus(self, other: TermSums) -> TermSums:
        """Over the images of both."""
        mine, others = vars(self), vars(other)
        return TermSums(**{name: mine[name] + others[name] for name in mine})

    def centred(self) -> tuple[Tensor, Tensor, Tensor]:
        """Means of squares, products and activation squares of what is above and below the means."""
        count = self.images.clamp_min(1)
        signals, activations = self.signals / count, self.activations / count
        return (
            self.squares / count - signals[:, :, None] * signals[:, None, :],
            self.products / count - signals * activations[:, None],
            (self.activation_squares / count - activations.square()).clamp_min(0),
        )


def of_terms(signals: Signals, units: Units, terms: Tensor, *parts: Tensor) -> tuple[TermSums, ...]:
    """Sums of the signals of each unit's own few concepts, over each of some parts of the images.

    Args:
        signals: see above.
        units: their activations count as they are in range, less their middle and over their scale.
        terms: (units, terms) int64, by place; -1 for none, a signal of 0.
        parts: of the images, each as `images` above.
    """
    count = terms.shape[1]
    sums = torch.zeros(len(parts), units.count, 2 + count, 2 + count, dtype=torch.float64)
    distinct, places = terms.clamp_min(0).unique(return_inverse=True)
    at_once = max(1, _at_once(terms.device) // max(1, units.count, len(distinct)))
    for start in range(0, signals.images, at_once):
        rows = slice(start, start + at_once)
        activations = units.of(rows).T
        block = signals.block(rows, distinct).T
        of_units = [block[places[:, term]] * (terms[:, term, None] >= 0) for term in range(count)]
        # a unit's activations, its signals and 1 stand as rows of one matrix
        together = torch.stack([activations, *of_units, torch.ones_like(activations)], dim=1)
        for part, images in enumerate(parts):
            sums[part] += torch.bmm(together * images[rows], together.transpose(1, 2)).cpu().double()
    return tuple(
        TermSums(
            images=images.sum().cpu().double(),
            signals=of_part[:, -1, 1:-1],
            squares=of_part[:, 1:-1, 1:-1],
            products=of_part[:, 1:-1, 0],
            activations=of_part[:, -1, 0],
            activation_squares=of_part[:, 0, 0],
        )
        for images, of_part in zip(parts, sums, strict=True)
    )


def _image_blocks(signals: Signals) -> Iterator[slice]:
    """Slices over the images."""
    for start in range(0, signals.images, _ROWS_AT_ONCE):
        yield slice(start, min(start + _ROWS_AT_ONCE, signals.images))


def _concept_blocks(signals: Signals, device: torch.device) -> Iterator[slice]:
    """Slices over the concepts, whose signals of a block of images are held at once."""
    size = max(_FEWEST_CONCEPTS, _at_once(device) // min(_ROWS_AT_ONCE, max(1, signals.images)))
    for start in range(0, signals.concepts, size):
        yield slice(start, min(start + size, signals.concepts))


def _at_once(device: torch.device) -> int:
    """Numbers to hold at once on a device; an unknown one counts as a processor."""
    return _AT_ONCE.get(device.type, _AT_ONCE["cpu"])
