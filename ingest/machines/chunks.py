"""Chunks of images: what is to be done with one, and what it gave."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from neuronlake.ingest.networks.preprocessing import Preparation, TensorPreprocessing
from neuronlake.ingest.probes.sources import ProbeImage

TOP_IMAGES = 20


@dataclass(frozen=True)
class ChunkImage:
    """An image to decode, and its number in the warehouse."""

    image_id: int
    image: ProbeImage


@dataclass(frozen=True)
class Chunk:
    """Images that are extracted and loaded together, and what they are still needed for.

    Attributes:
        number: of the chunk within its probe.
        images: to decode, in order.
        layers: (model name, layer name) of those that lack these images; those of one model follow each other.
        needs_embeddings: whether the encoder lacks them.
    """

    number: int
    images: tuple[ChunkImage, ...]
    layers: tuple[tuple[str, str], ...]
    needs_embeddings: bool


@dataclass(frozen=True)
class PreparedImage:
    """A decoded image as each preprocessing wants it.

    Attributes:
        pixels: what the networks see.
        masks: what masks show of that; none where nobody asks for them.
        jpeg: what is still to be decoded on the networks' device; None where nothing is.
    """

    image_id: int
    width: int
    height: int
    thumbnail: bytes | None
    pixels: dict[Preparation, Tensor]
    masks: dict[Preparation, MaskedView] = field(default_factory=dict[Preparation, "MaskedView"])
    jpeg: EncodedJpeg | None = None


@dataclass(frozen=True)
class EncodedJpeg:
    """A plain JPEG, and what its pixels are wanted for.

    Attributes:
        content: the bytes of its file, that Pillow can read.
        preprocessings: those that see it once it is decoded.
    """

    content: bytes
    preprocessings: frozenset[TensorPreprocessing]


@dataclass(frozen=True)
class MaskedView:
    """What masks show of the part of an image that a network sees.

    Attributes:
        region: of each pixel its region, (height, width) int64, from 0.
        concepts: of each region the places of its concepts, ascending.
    """

    region: Tensor
    concepts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class FailedImage:
    """An image that could not be read, and why."""

    image_id: int
    reason: str


@dataclass(frozen=True)
class TopCandidates:
    """The images of a chunk with the highest activations of each unit.

    Attributes:
        rows: (units, k) int64, row numbers within the chunk, best first.
        peaks: (units, k, 2) float32, x and y of the map's maximum in the whole image; None without a map.
    """

    rows: Tensor
    peaks: Tensor | None


@dataclass(frozen=True)
class ExtractedChunk:
    """All that one chunk of images gave.

    Attributes:
        images: those that could be read, in order.
        failures: those that could not.
        activations: for each (model name, layer) (images, units) float32 on the CPU.
        candidates: for each (model name, layer) its top images within the chunk.
        embeddings: (images, dimensions) float32 on the CPU, or None where they were not needed.
    """

    images: list[PreparedImage]
    failures: list[FailedImage]
    activations: dict[tuple[str, str], Tensor]
    candidates: dict[tuple[str, str], TopCandidates]
    embeddings: Tensor | None
