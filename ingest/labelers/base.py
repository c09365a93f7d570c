"""What a labeler is: given a layer's activations and what else it asks for, it says what each unit stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from neuronlake.ingest.labelers.settings import Scoring
from neuronlake.ingest.labelers.similarity import Cosines
from neuronlake.sql.store.features import StoredLayer


class Need(StrEnum):
    """What a labeler can ask for besides activations; what it does not ask for is not loaded."""

    EMBEDDINGS = "embeddings"
    IMAGE_LABELS = "image labels"


@dataclass(frozen=True)
class Shared:
    """What all layers of a run are labelled with, as far as the labeler asks for it.

    Attributes:
        concepts: what units can be labelled with: of the concept set, or the images' own labels where the labeler
            looks at no embedding.
        image_features: (images, dimensions) float32, rows of length 1 or 0.
        concept_features: (concepts, dimensions) float32, rows of length 1.
        image_labels: of each image its place in `concepts`, (images,) int64; -1 for none.
    """

    concepts: tuple[str, ...]
    image_features: Tensor | None = None
    concept_features: Tensor | None = None
    image_labels: Tensor | None = None

    def to(self, device: torch.device) -> Shared:
        """The same with its tensors on a device."""
        names = ("image_features", "concept_features", "image_labels")
        tensors = {name: getattr(self, name) for name in names}
        return replace(self, **{name: None if found is None else found.to(device) for name, found in tensors.items()})

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
    """

    activations: Tensor
    shared: Shared


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
        p: (units,) float64; NaN where the labeler has no null.
        q: (units,) float64, the same over the layer's units.
        operators: for each unit how each term is put to those before it; None where all labels are sums.
        matrix: (units, concepts) float32, the score of every concept; None where there is none.
    """

    terms: np.ndarray
    weights: np.ndarray
    score: np.ndarray
    runner_up: np.ndarray
    runner_up_score: np.ndarray
    p: np.ndarray
    q: np.ndarray
    operators: tuple[tuple[str | None, ...], ...] | None = None
    matrix: np.ndarray | None = None


class Labeler(Protocol):
    """Labels layers, one at a time. It is sent to other machines as it is, so it holds settings and no tensors."""

    needs: ClassVar[frozenset[Need]]

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
    """

    layer: StoredLayer
    live: list[int]
    values: Tensor


@dataclass(frozen=True)
class LabelledLayer:
    """A layer with its labels."""

    layer: StoredLayer
    live: list[int]
    labels: LayerLabels


# What labels layers: takes a labeler, what it is given for all of them, and layers as there are places for them; gives
# them labelled, in the same order.
Label = Callable[[Labeler, Shared, Iterator[LayerActivations]], Iterator[LabelledLayer]]


def one_concept_each(
    best: Tensor,
    score: Tensor,
    *,
    runner_up: Tensor | None = None,
    runner_up_score: Tensor | None = None,
    p: Tensor | None = None,
    q: Tensor | None = None,
    matrix: Tensor | None = None,
) -> LayerLabels:
    """Labels of one concept each.

    Args:
        best: (units,) int64, by place in `Shared.concepts`; -1 for a unit without a label.
        score: (units,) float32.
        runner_up: (units,) int64; -1 for none.
        runner_up_score: (units,) float32; NaN for none.
        p: (units,) float64.
        q: (units,) float64.
        matrix: (units, concepts) float32.
    """
    units = len(best)
    unknown = torch.full((units,), torch.nan)
    return LayerLabels(
        terms=best.cpu().numpy()[:, None],
        weights=np.ones((units, 1), dtype=np.float32),
        score=score.cpu().numpy(),
        runner_up=(torch.full((units,), -1) if runner_up is None else runner_up).cpu().numpy(),
        runner_up_score=(unknown if runner_up_score is None else runner_up_score).cpu().numpy(),
        p=(unknown if p is None else p).double().cpu().numpy(),
        q=(unknown if q is None else q).double().cpu().numpy(),
        matrix=None if matrix is None else matrix.cpu().numpy(),
    )
