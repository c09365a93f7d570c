"""Encoders that embed images in another way than they do by themselves: in fewer bits, or of other pixels.

Fewer are half the bits where their arithmetic allows it, with sums and norms in float32; other pixels are those of
another decoder than Pillow. Texts are embedded as ever, for they are few.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from neuronlake.ingest.devices import reduced
from neuronlake.ingest.encoders.protocol import Encoder
from neuronlake.ingest.networks.preprocessing import Decoder, Preparation, decoded_by
from neuronlake.ingest.networks.weights import SourceKind
from neuronlake.sql.words import StageProgress


@dataclass(frozen=True)
class EncoderVariant:
    """An encoder whose images are embedded in another way.

    Attributes:
        inner: the encoder itself.
        precision: in which its images are embedded.
        preprocessing: of its images, with their decoder.
    """

    inner: Encoder
    precision: str
    preprocessing: Preparation

    @property
    def name(self) -> str:
        """The encoder's, and what is unusual."""
        return " ".join([self.inner.name, *self._unusual])

    @property
    def _unusual(self) -> list[str]:
        """How it differs from the encoder itself."""
        return [way for way in (self.precision, self.preprocessing.decoder) if way not in ("float32", "pillow")]

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
        return hashlib.sha256(" ".join([self.inner.fingerprint, *self._unusual]).encode()).hexdigest()

    @property
    def dimensions(self) -> int:
        """See Encoder."""
        return self.inner.dimensions

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


def variant_of(encoder: Encoder, precision: str, decoder: Decoder) -> Encoder:
    """The encoder with its images embedded so; as it is where that is how it does it by itself."""
    preprocessing = decoded_by(encoder.preprocessing, decoder)
    if precision == encoder.precision and preprocessing == encoder.preprocessing:
        return encoder
    return EncoderVariant(encoder, precision, preprocessing)


def plain_name(encoder: Encoder) -> str:
    """Its name, whichever way its images are embedded."""
    return encoder.inner.name if isinstance(encoder, EncoderVariant) else encoder.name
