"""Masks read once, beside their image: whether they can be read, mean something and have the image's shape."""

from __future__ import annotations

from dataclasses import replace

from neuronlake.ingest.probes.decoding import upright_size
from neuronlake.ingest.probes.locations import ProbeError
from neuronlake.ingest.probes.masks.base import ImageMasks, digest, stacked


def checked(masks: ImageMasks, path: str, content: bytes) -> ImageMasks:
    """The masks of an image with their sha256.

    Args:
        masks: as they are listed.
        path: the image's name.
        content: its bytes; where they are no image, that is told elsewhere.

    Raises:
        ProbeError: one cannot be read, has a value that stands for nothing, or another shape than the image.
    """
    label_images = stacked(masks)
    size = upright_size(content) if label_images else None
    for each, places in zip(masks.label_images, label_images, strict=True):
        height, width = places.shape
        if size and not have_one_shape((width, height), size):
            raise ProbeError(
                f"{each.path} is {width} x {height} pixels and {path} {size[0]} x {size[1]}: a mask may be smaller "
                "than its image, but not of another shape; make it anew from that image"
            )
    return replace(masks, sha256=digest(label_images, masks.whole))


def have_one_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes, (width, height), are of one picture: the smaller is the larger made small, to a pixel."""
    (small_width, small_height), (width, height) = sorted([one, other])
    # small_width is off from scale * width by less than 1, and so is small_height from scale * height
    return abs(small_width * height - small_height * width) < width + height


def first_of(faults: list[str]) -> str:
    """The first of what is wrong, and how many there are besides."""
    return faults[0] if len(faults) == 1 else f"{faults[0]} (and {len(faults) - 1:,} more)"
