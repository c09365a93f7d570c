"""What a concept predicts of an image: its signal, from the cosine of the two or from the image's own label.

A label of several concepts predicts a weighted sum of their signals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from neuronlake.ingest.labelers.similarity import Cosines

# whether the image has the label
LABELS = "labels"
# Shapes of the cosine in deviations from its mean over the images, made in their place.
_OF_DEVIATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "squared": lambda z: z.clamp_min_(0).square_(),
    "cosine": lambda z: z,
    "cubed": lambda z: z.mul_(z.square()),
}
# a and b of sigmoid(a (cosine + b)), from Oikarinen & Weng, "Linear Explanations for Individual Neurons" (ICML 2024,
# arXiv 2405.06855), for CLIP ViT-L-14-336, SigLIP ViT-L-16-384 and SigLIP SO400M-14-384.
_SIGMOIDS = {"sigmoid_clip": (58.0, -0.25), "sigmoid_siglip": (60.0, -0.09), "sigmoid_so400m": (58.0, -0.13)}
# That a recipe can name, the default first.
SHAPES = (*_OF_DEVIATIONS, *_SIGMOIDS, LABELS)

# a cosine, and a signal in deviations, that vary less than this are the same for all images
_CONSTANT = 1e-5
# ibid.: a concept is in the images where the mean of its five largest signals is as high
_PRESENT, _PRESENT_IN = 0.5, 5
_ROWS_AT_ONCE = 2**13


class Signals(Protocol):
    """Of images and concepts, made when they are asked for."""

    @property
    def images(self) -> int:
        """How many."""
        ...

    @property
    def concepts(self) -> int:
        """How many."""
        ...

    def usable(self) -> Tensor:
        """(concepts,) bool, whether a concept's signal tells images apart; for a sigmoid also whether any has it."""
        ...

    def block(self, images: slice, concepts: slice | Tensor) -> Tensor:
        """(images, concepts) float32, which nobody else holds."""
        ...

    def predicted(self, terms: Tensor, weights: Tensor, operators: Tensor | None = None) -> Tensor:
        """What labels predict of each image, but for a constant: the weighted sums of their concepts' signals.

        Args:
            terms: (labels, most terms) int64, as in `LayerLabels`; -1 for none.
            weights: (labels, most terms) float32.
            operators: (labels, most terms) int8, as in `LayerLabels`; None where all labels are sums.

        Returns:
            (images, labels) float32.
        """
        ...


@dataclass(frozen=True)
class PlainCosines:
    """Signals that are the cosines themselves."""

    cosines: Cosines

    @property
    def images(self) -> int:
        """See Signals."""
        return self.cosines.images

    @property
    def concepts(self) -> int:
        """See Signals."""
        return self.cosines.concepts

    def usable(self) -> Tensor:
        """See Signals."""
        return torch.ones(self.concepts, dtype=torch.bool, device=self.cosines.device)

    def block(self, images: slice, concepts: slice | Tensor) -> Tensor:
        """See Signals."""
        return self.cosines.image_features[images] @ self.cosines.text_features[concepts].T

    def predicted(self, terms: Tensor, weights: Tensor, operators: Tensor | None = None) -> Tensor:
        """See Signals; a sum of cosines is the product with a sum of directions."""
        directions = (self.cosines.text_features[terms.clamp_min(0)] * _known(terms, weights)[:, :, None]).sum(dim=1)
        # laid out label by label, as activations are unit by unit
        return (directions @ self.cosines.image_features.T).T


@dataclass(frozen=True)
class Scale:
    """What brings the signals of each concept to mean 0 and deviation 1 over the images, as (concepts,) float32.

    Attributes:
        mean: of the cosines.
        over_deviation: one over their deviation; 0 where that is nothing.
        shaped_mean: of what the shape makes of them.
        over_shaped_deviation: one over its deviation; 0 where that is nothing.
        usable: bool, see Signals.
    """

    mean: Tensor
    over_deviation: Tensor
    shaped_mean: Tensor
    over_shaped_deviation: Tensor
    usable: Tensor


@dataclass(frozen=True)
class ShapedCosines:
    """Signals that are a function of the cosines: standardized, but for a sigmoid's, which are 0 to 1 as they are.

    Attributes:
        cosines: of the images.
        shape: one of `SHAPES`.
        scale: of all images of the probe, also where these are only some of them.
    """

    cosines: Cosines
    shape: str
    scale: Scale

    @property
    def images(self) -> int:
        """See Signals."""
        return self.cosines.images

    @property
    def concepts(self) -> int:
        """See Signals."""
        return self.cosines.concepts

    def usable(self) -> Tensor:
        """See Signals."""
        return self.scale.usable

    def block(self, images: slice, concepts: slice | Tensor) -> Tensor:
        """See Signals."""
        shaped = _shaped(self.cosines.block(images, concepts), self.shape, self.scale, concepts)
        if self.shape in _SIGMOIDS:
            return shaped
        scale = self.scale
        return shaped.sub_(scale.shaped_mean[concepts]).mul_(scale.over_shaped_deviation[concepts])

    def predicted(self, terms: Tensor, weights: Tensor, operators: Tensor | None = None) -> Tensor:
        """See Signals."""
        return _weighted(self, terms, weights)


@dataclass(frozen=True)
class ImageLabels:
    """Signals that are 1 for an image with the label, and else 0.

    Attributes:
        places: of each image its label's place among the concepts, (images,) int64; -1 for none.
        concepts: how many.
    """

    places: Tensor
    concepts: int

    @property
    def images(self) -> int:
        """See Signals."""
        return len(self.places)

    def usable(self) -> Tensor:
        """See Signals."""
        counts = torch.bincount(self.places[self.places >= 0], minlength=self.concepts)
        return (counts > 0) & (counts < self.images)

    def block(self, images: slice, concepts: slice | Tensor) -> Tensor:
        """See Signals."""
        numbers = torch.arange(self.concepts, device=self.places.device)[concepts]
        return (self.places[images, None] == numbers).float()

    def predicted(self, terms: Tensor, weights: Tensor, operators: Tensor | None = None) -> Tensor:
        """See Signals."""
        return _weighted(self, terms, weights)


def shaped_cosines(cosines: Cosines, shape: str | None) -> Signals:
    """Signals of a shape, with the scale of these images; of none, the cosines as they are."""
    return PlainCosines(cosines) if shape is None else ShapedCosines(cosines, shape, _scale(cosines, shape))


def of_some_images(signals: Signals, cosines: Cosines) -> Signals:
    """The same of images whose cosines are given, on the same scale."""
    if isinstance(signals, ShapedCosines):
        return ShapedCosines(cosines, signals.shape, signals.scale)
    return PlainCosines(cosines)


def _known(terms: Tensor, weights: Tensor) -> Tensor:
    """Weights of the terms that there are; 0 for others."""
    return weights * (terms >= 0)


def _weighted(signals: Signals, terms: Tensor, weights: Tensor) -> Tensor:
    """Sums of signals, term by term, (images, labels) float32; see Signals."""
    weights = _known(terms, weights)
    total = torch.zeros(len(terms), signals.images, device=terms.device)
    for start in range(0, signals.images, _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        for place in range(terms.shape[1]):
            total[:, rows].addcmul_(signals.block(rows, terms[:, place].clamp_min(0)).T, weights[:, place, None])
    return total.T


def _shaped(cosines: Tensor, shape: str, scale: Scale, concepts: slice | Tensor) -> Tensor:
    """What a shape makes of cosines, (images, concepts) float32, in new memory."""
    if shape in _SIGMOIDS:
        steepness, shift = _SIGMOIDS[shape]
        return cosines.add(shift).mul_(steepness).sigmoid_()
    deviations = cosines.sub(scale.mean[concepts]).mul_(scale.over_deviation[concepts])
    return _OF_DEVIATIONS[shape](deviations)


def _scale(cosines: Cosines, shape: str) -> Scale:
    """Of the images, gone through twice: block by block."""
    features, texts = cosines.image_features, cosines.text_features
    mean = features.mean(dim=0)
    covariance = torch.zeros(features.shape[1], features.shape[1], device=features.device)
    for part in features.split(_ROWS_AT_ONCE):
        about = part - mean
        covariance += about.T @ about
    variance = ((texts @ (covariance / cosines.images)) * texts).sum(dim=1)
    deviation = variance.clamp_min(0).sqrt()
    is_usable = deviation > _CONSTANT
    one = torch.ones_like(deviation)
    scale = Scale(texts @ mean, _over(deviation), 0 * one, one, is_usable)
    totals, squares = torch.zeros_like(deviation), torch.zeros_like(deviation)
    largest = torch.full((_PRESENT_IN, cosines.concepts), -torch.inf, device=features.device)
    for start in range(0, cosines.images, _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        for block in cosines.concept_blocks(_ROWS_AT_ONCE):
            shaped = _shaped(cosines.block(rows, block), shape, scale, block)
            totals[block] += shaped.sum(dim=0)
            squares[block] += shaped.square().sum(dim=0)
            if shape in _SIGMOIDS:
                largest[:, block] = torch.cat([largest[:, block], shaped]).topk(_PRESENT_IN, dim=0).values
    if shape in _SIGMOIDS:
        return Scale(scale.mean, scale.over_deviation, 0 * one, one, is_usable & (largest.mean(dim=0) >= _PRESENT))
    middle = totals / cosines.images
    spread = (squares / cosines.images - middle.square()).clamp_min(0).sqrt()
    return Scale(scale.mean, scale.over_deviation, middle, _over(spread), is_usable & (spread > _CONSTANT))


def _over(deviation: Tensor) -> Tensor:
    """One over each; 0 for one that is nothing."""
    return torch.where(deviation > _CONSTANT, 1 / deviation, 0.0)
