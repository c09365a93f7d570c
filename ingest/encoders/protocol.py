"""What an image-text encoder is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from neuronlake import NeuronlakeError
from neuronlake.ingest.networks.preprocessing import Preparation
from neuronlake.ingest.networks.weights import SourceKind
from neuronlake.sql.words import StageProgress


class EncoderError(NeuronlakeError):
    """The encoder is unknown, or its weights cannot be had."""


class Encoder(Protocol):
    """Puts images and texts into one space."""

    @property
    def name(self) -> str:
        """As the user gave it."""
        ...

    @property
    def source(self) -> str:
        """Where its weights came from, as it is shown."""
        ...

    @property
    def source_kind(self) -> SourceKind:
        """What kind of place that is."""
        ...

    @property
    def location(self) -> str:
        """By what `load_encoder` finds it again, from any folder."""
        ...

    @property
    def precision(self) -> str:
        """In which its images are embedded; one of `precision.PRECISIONS`."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of structure, weights, preprocessing and precision."""
        ...

    @property
    def dimensions(self) -> int:
        """Length of an embedding."""
        ...

    @property
    def preprocessing(self) -> Preparation:
        """What it wants its images to be."""
        ...

    def to(self, device: torch.device) -> None:
        """Move to a device."""
        ...

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Normalised pixels, (batch, 3, crop, crop) float32, to (batch, dimensions) float32 of length 1."""
        ...

    def encode_texts(self, texts: Sequence[str], progress: StageProgress | None = None) -> Tensor:
        """Texts to (texts, dimensions) float32 of length 1, on the CPU."""
        ...
