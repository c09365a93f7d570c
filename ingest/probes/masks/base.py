"""Masks: what each pixel of an image shows, by label images beside it and by what is told of the image as a whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from neuronlake.ingest.concepts.concept import Concept
from neuronlake.ingest.names import Part
from neuronlake.ingest.probes.locations import ProbeError

if TYPE_CHECKING:
    from neuronlake.ingest.probes.sources import Source

# of a pixel that shows no concept
NOTHING = -1


class MaskReader(Protocol):
    """How the pixels of a label image are concepts. It is sent to other machines as it is."""

    def places(self, content: bytes) -> np.ndarray:
        """(height, width) int32: of each pixel the place of its concept in `Masks.concepts`, or `NOTHING`.

        Raises:
            ProbeError: it is no label image, or has a value that stands for no concept; the message goes on after the
                file's name.
        """
        ...


@dataclass(frozen=True, slots=True)
class LabelImage:
    """A file that labels the pixels of an image.

    Attributes:
        path: its name, for messages.
        source: where its bytes are.
        reader: what its pixels mean.
    """

    path: str
    source: Source
    reader: MaskReader

    def places(self) -> np.ndarray:
        """See MaskReader.

        Raises:
            ProbeError: it cannot be read; with the file's name.
        """
        try:
            content = self.source.read()
        except ProbeError as error:
            raise ProbeError(f"{self.path} cannot be read: {error}") from error
        try:
            return self.reader.places(content)
        except ProbeError as error:
            raise ProbeError(f"{self.path} {error}") from error


@dataclass(frozen=True, slots=True)
class ImageMasks:
    """All that is labelled of one image.

    Attributes:
        label_images: of one shape, but perhaps not of one size, and perhaps smaller than the image; the same pixel may
            have several labels.
        whole: places of the concepts that the image as a whole shows, each as often as it is told.
        sha256: over the places of all pixels and `whole`, see `digest`; empty while they are not read.
    """

    label_images: tuple[LabelImage, ...] = ()
    whole: tuple[int, ...] = ()
    sha256: str = ""


@dataclass(frozen=True)
class Masks:
    """What the masks of a probe can show.

    Attributes:
        part: their name, and where they are.
        concepts: each once, in the order of the places; `Concept.category` is the one that it is counted in.
        fingerprint: sha256 over the concepts and the masks of all images.
    """

    part: Part
    concepts: tuple[Concept, ...]
    fingerprint: str


def stacked(masks: ImageMasks) -> list[np.ndarray]:
    """The label images of one image, (height, width) int32 each.

    Raises:
        ProbeError: one cannot be read, with its name.
    """
    return [each.places() for each in masks.label_images]


def digest(label_images: Sequence[np.ndarray], whole: Sequence[int]) -> str:
    """sha256 over what masks say, however their files write it: masks that are read again may be others by then."""
    found = hashlib.sha256(repr(tuple(whole)).encode())
    for places in label_images:
        found.update(f"{places.shape}".encode())
        found.update(np.ascontiguousarray(places, dtype="<i4").data)
    return found.hexdigest()


def fingerprint(concepts: Iterable[Concept], masks: Iterable[ImageMasks | None]) -> str:
    """sha256 over the concepts and, in the order of the images, their masks."""
    found = hashlib.sha256(repr([(each.text, each.category) for each in concepts]).encode())
    for each in masks:
        found.update(f"{each.sha256 if each else ''}\n".encode())
    return found.hexdigest()
