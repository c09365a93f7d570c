"""One image of a probe as networks see it: the bytes that were listed, decoded and cut."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from PIL import Image

from neuronlake import NeuronlakeError
from neuronlake.ingest.machines.chunks import ChunkImage, FailedImage, PreparedImage
from neuronlake.ingest.networks.preprocessing import Preparation
from neuronlake.ingest.probes.decoding import decode, thumbnail
from neuronlake.ingest.probes.locations import ProbeError
from neuronlake.ingest.probes.sources import ProbeImage

Prepared = Iterator[PreparedImage | FailedImage]
# Decodes one image and cuts out of it what each network sees.
Prepare = Callable[[ChunkImage, frozenset[Preparation]], PreparedImage | FailedImage]


class ChangedImageError(NeuronlakeError):
    """An image of the probe is no longer what was listed."""


def _listed_bytes(image: ProbeImage) -> bytes:
    """An image's bytes, which are those whose digest the probe is known by.

    All layers of a probe are of the same images, so whether there is one is decided when the probe is listed.

    Raises:
        ProbeError: it could not be read when the probe was listed.
        ChangedImageError: it could, and cannot now, or has other contents.
    """
    try:
        content = image.source.read()
    except ProbeError as error:
        if not image.sha256:
            raise
        raise ChangedImageError(
            f"{image.path} could be read when the probe was listed and cannot be read any more ({error}); see that it "
            "is there and run the same command again to go on"
        ) from error
    if not image.sha256:
        raise ProbeError("could not be read when the probe was listed")
    if hashlib.sha256(content).hexdigest() != image.sha256:
        raise ChangedImageError(
            f"{image.path} was changed after the probe was listed; leave the probe as it is while it is read, and run "
            "the same command again to go on"
        )
    return content


def prepare(image: ChunkImage, preprocessings: frozenset[Preparation]) -> PreparedImage | FailedImage:
    """Decode one image, cut out of it what each model sees, and make a small picture of it."""
    try:
        rgb = listed_image(image.image)
    except ProbeError as error:
        return FailedImage(image.image_id, str(error))
    pixels = {preprocessing: preprocessing.pixels(rgb) for preprocessing in preprocessings}
    return PreparedImage(image.image_id, *rgb.size, thumbnail(rgb), pixels)


def prepare_pixels(image: ChunkImage, preprocessings: frozenset[Preparation]) -> PreparedImage | FailedImage:
    """Decode one image and cut out of it what each model sees."""
    try:
        rgb = listed_image(image.image)
    except ProbeError as error:
        return FailedImage(image.image_id, str(error))
    pixels = {preprocessing: preprocessing.pixels(rgb) for preprocessing in preprocessings}
    return PreparedImage(image.image_id, *rgb.size, None, pixels)


def listed_image(image: ProbeImage) -> Image.Image:
    """An image of the probe as it was listed.

    Raises:
        ProbeError: it cannot be read.
        ChangedImageError: it is no longer what was listed.
    """
    return decode(_listed_bytes(image))
