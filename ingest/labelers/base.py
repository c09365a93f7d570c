"""What a labeler is: given a layer's activations and what else it asks for, it says what each unit stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from neuronlake.ingest.labelers.dissecting.regions import Dissection, Regions, whole_images
from neuronlake.ingest.labelers.dissecting.shares import AreaShares
from neuronlake.ingest.labelers.predicting.signals import (
    LABELS,
    ImageLabels,
    PlainCosines,
    Signals,
    of_some_images,
    shaped_cosines,
)
from neuronlake.ingest.labelers.settings import Scoring
from neuronlake.ingest.labelers.similarity import Cosines
from neuronlake.sql.store.features import StoredLayer


class Need(StrEnum):
    """What a labeler can ask for besides activations; what it does not ask for is not loaded."""

    EMBEDDINGS = "embeddings"
    IMAGE_LABELS = "image labels"
    # and the images' own labels of a probe that has none
    MASKS = "masks"


def needs_of_signal(scoring: Scoring) -> frozenset[Need]:
    """What a labeler asks for whose concepts have signals: embeddings, or the images' own labels."""
    return frozenset({Need.IMAGE_LABELS if scoring.signal == LABELS else Need.EMBEDDINGS})


# Gives rows of a matrix of images, see `scratch.rows_of`.
Take = Callable[[Tensor, Tensor], Tensor]

_OF_IMAGES = ("image_features", "image_labels", "folds", "content_folds")


@dataclass(frozen=True)
class Shared:
    """What all layers of a run are labelled with, as far as the labeler asks for it.

    Attributes:
        concepts: what units can be labelled with: of the concept set, or the images' own labels where the labeler
            looks at no embedding.
        image_features: (images, dimensions) float32, rows of length 1 or 0.
        concept_features: (concepts, dimensions) float32, rows of length 1.
        image_labels: of each image its place in `concepts`, (images,) int64; -1 for none.
        folds: of each image the part of the probe that it is left out with, (images,) int64.
        content_folds: the same where images of one content are kept together, and no more, however labels are judged:
            for a labeler that tries labels on a part of the images.
        shape: of the concepts' signals, see `signals.SHAPES`; None for the cosines as they are.
        categories: of each of the images' own labels the number of its category, (concepts,) int64.
    """

    concepts: tuple[str, ...]
    image_features: Tensor | None = None
    concept_features: Tensor | None = None
    image_labels: Tensor | None = None
    folds: Tensor | None = None
    content_folds: Tensor | None = None
    shape: str | None = None
    categories: Tensor | None = None

    def _each(self, change: Callable[[Tensor], Tensor], *names: str) -> Shared:
        """The same with some of its tensors changed, as far as they are there."""
        found = {name: getattr(self, name) for name in names}
        return replace(self, **{name: change(tensor) for name, tensor in found.items() if tensor is not None})

    def to(self, device: torch.device) -> Shared:
        """The same with its tensors on a device."""
        return self._each(lambda found: found.to(device), "concept_features", "categories", *_OF_IMAGES)

    def of_images(self, rows: Tensor, take: Take) -> Shared:
        """The same of some images."""
        some = self._each(lambda found: take(found, rows), *_OF_IMAGES)
        if some.image_features is not None and some.concept_features is not None:
            # multiplied once for all images, and on one scale
            vars(some)["cosines"] = self.cosines.of_images(rows, some.image_features)
            vars(some)["signals"] = of_some_images(self.signals, some.cosines)
        return some

    @cached_property
    def signals(self) -> Signals:
        """Of every concept: its cosines, in the shape asked for; where no embedding is looked at, images' labels."""
        if self.shape != LABELS and self.image_features is not None and self.concept_features is not None:
            return shaped_cosines(self.cosines, self.shape)
        assert self.image_labels is not None
        if self.categories is not None:
            return AreaShares(self.regions)
        return ImageLabels(self.image_labels, len(self.concepts))

    @cached_property
    def regions(self) -> Regions:
        """The images as regions of their own labels, for a labeler that asks for masks where there are none."""
        assert self.image_labels is not None
        assert self.categories is not None
        return whole_images(self.image_labels, self.categories)

    @property
    def plain_signals(self) -> Signals:
        """The same without their shape."""
        return self.signals if self.shape is None or self.shape == LABELS else PlainCosines(self.cosines)

    @cached_property
    def cosines(self) -> Cosines:
        """Of every image and every concept, for a labeler that asks for embeddings."""
        assert self.image_features is not None
        assert self.concept_features is not None
        return Cosines(self.image_features, self.concept_features)


@dataclass(frozen=True)
class LayerData:
    """A layer as a labeler sees it.

    Attributes:
        activations: (images, live units) float32, finite, on the device to work on.
        shared: with its tensors on the same device.
        labels: what its units are labelled with already, where that is only to be judged.
        dissection: its live units beside masks, for a labeler that asks for masks where there are some.
    """

    activations: Tensor
    shared: Shared
    labels: LayerLabels | None = None
    dissection: Dissection | None = None

    @cached_property
    def signals(self) -> Signals:
        """What every concept predicts of the images."""
        return AreaShares(self.dissection.regions) if self.dissection else self.shared.signals

    @property
    def is_by_area(self) -> bool:
        """Whether these are shares of the images' pixels."""
        return isinstance(self.signals, AreaShares)

    @property
    def plain_signals(self) -> Signals:
        """The same without their shape."""
        return self.signals if self.is_by_area else self.shared.plain_signals

    def of_images(self, rows: Tensor, take: Take) -> LayerData:
        """The same of some images.

        Args:
            rows: (some images,) int64, ascending.
            take: gives rows of a matrix.
        """
        some = self.dissection and self.dissection.of_images(rows)
        return LayerData(take(self.activations, rows), self.shared.of_images(rows, take), dissection=some)


@dataclass(frozen=True)
class LayerLabels:
    """What a labeler says of a layer's live units.

    Attributes:
        terms: (units, most terms) int64, the concepts of each label in order, by their place in `Shared.concepts`;
            -1 after the last. The first is the one that is counted.
        weights: (units, most terms) float32.
        score: (units,) float32; compares only within the layer.
        runner_up: (units,) int64, the second best concept; -1 for none.
        runner_up_score: (units,) float32; NaN for none.
        intercepts: (units,) float32, what is added to the weighted signals to give the activation; None where labels
            predict none.
        operators: how each term is put to those before it, (units, most terms) int8: 0 as in a sum, else one more than
            its place in `formulas.OPERATORS`; None where all labels are sums.
        matrix: (units, concepts) float32, the score of every concept; None where there is none.
        null: what the labeler says of the pseudo-units that go with the layer; None where it is not asked about any.
        overlaps: pixels behind scores that are intersections over unions; None for any other.
        fidelity: how far to believe the labels; None until they are judged.
    """

    terms: np.ndarray
    weights: np.ndarray
    score: np.ndarray
    runner_up: np.ndarray
    runner_up_score: np.ndarray
    intercepts: np.ndarray | None = None
    operators: np.ndarray | None = None
    matrix: np.ndarray | None = None
    null: NullLabels | None = None
    overlaps: Overlaps | None = None
    fidelity: LayerFidelity | None = None


@dataclass(frozen=True)
class NullLabels:
    """Labels of pseudo-units, in the order of `significance.PseudoUnits`.

    Attributes:
        terms: (draws, most terms) int64.
        weights: (draws, most terms) float32.
    """

    terms: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Overlaps:
    """Pixels of units and of what they are labelled with.

    Attributes:
        thresholds: above which a unit counts as active, (units,) float64.
        intersection: of each unit and its label, (units,) int64.
        union: the same.
        of_concepts: intersections and unions of each unit and concept, two of (units, concepts) int64; None for
            formulas.
    """

    thresholds: np.ndarray
    intersection: np.ndarray
    union: np.ndarray
    of_concepts: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True)
class LayerFidelity:
    """How far to believe the labels of a layer's live units.

    Attributes:
        measures: of `judging.fidelity` by name, on all images and held out, with ceiling, stability and confidence;
            each (units,) float32, NaN where it is not known.
        shares: (units, most terms) float32, of what a label explains the share of each of its terms; NaN for none.
        is_polysemantic: (units,) bool, whether two terms with unlike signals have much of that.
        p: (units,) float64; NaN where the labeler labels no pseudo-units.
        q: (units,) float64, the same over the layer's units.
    """

    measures: Mapping[str, np.ndarray]
    shares: np.ndarray
    is_polysemantic: np.ndarray
    p: np.ndarray
    q: np.ndarray


class Labeler(Protocol):
    """Labels layers, one at a time. It is sent to other machines as it is, so it holds settings and no tensors."""

    @property
    def needs(self) -> frozenset[Need]:
        """What it asks for, with these settings."""
        ...

    def __init__(self, scoring: Scoring) -> None:
        """With the settings of a scoring."""
        ...

    def label(self, layer: LayerData) -> LayerLabels:
        """What each live unit of a layer stands for; there may be none.

        Raises:
            NeuronlakeError: it cannot say.
        """
        ...


@dataclass(frozen=True)
class LayerActivations:
    """A layer to label.

    Attributes:
        layer: which.
        live: its live units.
        values: (images, live units) float32, finite, on the CPU.
        labels: of the live units, where they are only to be judged.
        dissection: of the live units, for a labeler that asks for masks where there are some; on the CPU.
    """

    layer: StoredLayer
    live: list[int]
    values: Tensor
    labels: LayerLabels | None = None
    dissection: Dissection | None = None

    def on(self, device: torch.device, shared: Shared) -> LayerData:
        """What a labeler sees, on the device that `shared` is on."""
        dissection = self.dissection and self.dissection.to(device)
        return LayerData(self.values.to(device), shared, self.labels, dissection)


@dataclass(frozen=True)
class LabelledLayer:
    """A layer with its labels."""

    layer: StoredLayer
    live: list[int]
    labels: LayerLabels


# What says what the units of a layer stand for: a labeler's `label`, with or without a judge of it.
LabelOne = Callable[[LayerData], LayerLabels]
# What labels layers: takes what labels one, what that is given for all of them, and layers as there are places for
# them; gives them labelled, in the same order.
Label = Callable[[LabelOne, Shared, Iterator[LayerActivations]], Iterator[LabelledLayer]]


def one_concept_each(
    best: Tensor,
    score: Tensor,
    *,
    runner_up: Tensor | None = None,
    runner_up_score: Tensor | None = None,
    matrix: Tensor | None = None,
    null: Tensor | None = None,
) -> LayerLabels:
    """Labels of one concept each.

    Args:
        best: (units,) int64, by place in `Shared.concepts`; -1 for a unit without a label.
        score: (units,) float32.
        runner_up: (units,) int64; -1 for none.
        runner_up_score: (units,) float32; NaN for none.
        matrix: (units, concepts) float32.
        null: (draws,) int64, labels of pseudo-units.
    """
    units = len(best)
    unknown = torch.full((units,), torch.nan)
    return LayerLabels(
        terms=best.cpu().numpy()[:, None],
        weights=np.ones((units, 1), dtype=np.float32),
        score=score.cpu().numpy(),
        runner_up=(torch.full((units,), -1) if runner_up is None else runner_up).cpu().numpy(),
        runner_up_score=(unknown if runner_up_score is None else runner_up_score).cpu().numpy(),
        matrix=None if matrix is None else matrix.cpu().numpy(),
        null=None if null is None else NullLabels(null.cpu().numpy()[:, None], np.ones((len(null), 1), np.float32)),
    )
