"""Masks: what each pixel of an image shows, by label images beside it and by what is told of the image as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from neuronlake.ingest.concepts.concept import Concept
from neuronlake.ingest.names import Part
from neuronlake.ingest.probes.sources import Source

# of a pixel that shows no concept
NOTHING = -1


class MaskReader(Protocol):
    """How the pixels of a label image are concepts. It is sent to other machines as it is."""

    def places(self, content: bytes) -> np.ndarray:
        """(height, width) int32: of each pixel the place of its concept in `Masks.concepts`, or `NOTHING`.

        Raises:
            ProbeError: it is no label image, or has a value that stands for no concept; the message is the reason.
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
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class ImageMasks:
    """All that is labelled of one image.

    Attributes:
        label_images: of one size each, which may be smaller than the image; the same pixel may have several labels.
        whole: places of the concepts that the image as a whole shows, each as often as it is told.
        sha256: over the bytes of the label images, their meaning and `whole`; empty while they are not read.
    """

    label_images: tuple[LabelImage, ...]
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
    fingerprint: str = ""


def stacked(masks: ImageMasks) -> Sequence[np.ndarray]:
    """The label images of one image, (height, width) int32 each.

    Raises:
        ProbeError: one cannot be read, with its name.
    """
    return [each.places() for each in masks.label_images]
