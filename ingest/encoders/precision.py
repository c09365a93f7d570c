"""Encoders in reduced precision: half the bits where their arithmetic allows it, sums and norms in float32."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from neuronlake.ingest.devices import reduced
from neuronlake.ingest.encoders.protocol import Encoder
from neuronlake.ingest.networks.preprocessing import Preparation
from neuronlake.ingest.networks.weights import SourceKind
from neuronlake.sql.words import StageProgress


@dataclass(frozen=True)
class ReducedEncoder:
    """An encoder whose images are embedded in reduced precision; texts are not, for they are few."""

    inner: Encoder
    precision: str

    @property
    def name(self) -> str:
        """The encoder's, and the precision."""
        return f"{self.inner.name} {self.precision}"

    @property
    def source(self) -> str:
        """See Encoder."""
        return self.inner.source

    @property
    def source_kind(self) -> SourceKind:
        """See Encoder."""
        return self.inner.source_kind

    @property
    def location(self) -> str:
        """See Encoder."""
        return self.inner.location

    @property
    def fingerprint(self) -> str:
        """Another than the encoder's own, for its numbers differ."""
        return hashlib.sha256(f"{self.inner.fingerprint} {self.precision}".encode()).hexdigest()

    @property
    def dimensions(self) -> int:
        """See Encoder."""
        return self.inner.dimensions

    @property
    def preprocessing(self) -> Preparation:
        """See Encoder."""
        return self.inner.preprocessing

    def to(self, device: torch.device) -> None:
        """See Encoder."""
        self.inner.to(device)

    def encode_images(self, pixels: Tensor) -> Tensor:
        """See Encoder."""
        with reduced(pixels.device, self.precision):
            return self.inner.encode_images(pixels).float()

    def encode_texts(self, texts: Sequence[str], progress: StageProgress | None = None) -> Tensor:
        """See Encoder."""
        return self.inner.encode_texts(texts, progress)


def in_precision(encoder: Encoder, precision: str) -> Encoder:
    """The encoder as it is, or with its images in reduced precision."""
    return encoder if precision == "float32" else ReducedEncoder(encoder, precision)
