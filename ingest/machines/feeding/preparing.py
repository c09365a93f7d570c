"""One image of a probe as networks see it: the bytes that were listed, decoded and cut."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from neuronlake import NeuronlakeError
from neuronlake.ingest.machines.chunks import ChunkImage, EncodedJpeg, FailedImage, PreparedImage
from neuronlake.ingest.machines.feeding.jpegs import decoded
from neuronlake.ingest.networks.preprocessing import Preparation, TensorPreprocessing
from neuronlake.ingest.probes.decoding import THUMBNAIL_DRAFT_SIDE, decode, plain_jpeg, thumbnail
from neuronlake.ingest.probes.locations import ProbeError
from neuronlake.ingest.probes.sources import ProbeImage

# Images, each with what sees it.
Wanted = Iterable[tuple[ChunkImage, frozenset[Preparation]]]
Prepared = Iterator[PreparedImage | FailedImage]
# Decodes one image and cuts out of it what each network sees.
Prepare = Callable[[ChunkImage, frozenset[Preparation]], PreparedImage | FailedImage]

_PROCESSOR = torch.device("cpu")


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
    return _prepared(image, preprocessings, has_thumbnail=True)


def prepare_pixels(image: ChunkImage, preprocessings: frozenset[Preparation]) -> PreparedImage | FailedImage:
    """Decode one image and cut out of it what each model sees."""
    return _prepared(image, preprocessings, has_thumbnail=False)


def _prepared(
    image: ChunkImage, preprocessings: frozenset[Preparation], *, has_thumbnail: bool
) -> PreparedImage | FailedImage:
    """One image as networks see it; what a GPU is to decode has its pixels still to come.

    Which of the two ways an image goes depends on its bytes alone, and Pillow says whether it can be read at all.
    """
    try:
        content = _listed_bytes(image.image)
        as_tensor = frozenset(each for each in preprocessings if isinstance(each, TensorPreprocessing))
        draft = plain_jpeg(content, THUMBNAIL_DRAFT_SIDE if has_thumbnail else 1) if as_tensor else None
        if draft and as_tensor == preprocessings:
            size, pixels = (draft.width, draft.height), dict[Preparation, Tensor]()
            picture = draft.picture
        else:
            picture = decode(content)
            by_pillow = preprocessings - as_tensor if draft else preprocessings
            size, pixels = picture.size, {each: each.pixels(picture) for each in by_pillow}
    except ProbeError as error:
        return FailedImage(image.image_id, str(error))
    jpeg = EncodedJpeg(content, as_tensor) if draft else None
    small = thumbnail(picture) if has_thumbnail else None
    prepared = PreparedImage(image.image_id, *size, small, pixels, jpeg=jpeg)
    # all of a run have one decoder
    is_for_gpu = any(each.decoder == "nvjpeg" for each in as_tensor)
    return prepared if is_for_gpu else decoded([prepared], _PROCESSOR)[0]
