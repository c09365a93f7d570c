"""Plain JPEGs to pixels by torchvision.io: on the CPU, or on a GPU, where it is nvJPEG that decodes.

One code for both, with the device as an argument, so that all but nvJPEG itself is the same on a machine without a GPU.
torchvision calls these functions deprecated from 0.29 on; where they have gone, `require_decoder` says so.
"""

from __future__ import annotations

import io
import re
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from neuronlake import NeuronlakeError
from neuronlake.ingest.devices import release_memory
from neuronlake.ingest.machines.chunks import EncodedJpeg, FailedImage, PreparedImage
from neuronlake.ingest.machines.loaded import DeviceMemoryError
from neuronlake.ingest.networks.preprocessing import Decoder, Preparation
from neuronlake.ingest.probes.decoding import decode, quiet_decoding
from neuronlake.ingest.probes.locations import ProbeError
from neuronlake.sql.words import first_line

# decoded at once: 192 MB as they are, four times as much while one of them is resized
_PIXELS_AT_ONCE = 64_000_000
# nvJPEG's status ALLOCATOR_FAILURE, in torchvision's words
_NO_MEMORY = re.compile(r"Failed to [^:]+: 5\b")


class DecoderError(NeuronlakeError):
    """This machine does not have the decoder that is asked for."""


@lru_cache
def require_decoder(decoder: Decoder, device: torch.device) -> None:
    """Refuse a decoder that cannot decode for networks on a device.

    Raises:
        DecoderError: it cannot.
    """
    if decoder == "pillow":
        return
    if decoder == "nvjpeg" and device.type != "cuda":
        raise DecoderError(
            f"--decoder nvjpeg decodes on a CUDA device, and the networks run on {device.type} here; use --device cuda "
            "where there is one, or --decoder torchvision or pillow"
        )
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG")
    try:
        with quiet_decoding():
            decode_together([buffer.getvalue()], device if decoder == "nvjpeg" else torch.device("cpu"))
    except (ImportError, AttributeError, RuntimeError) as error:
        raise DecoderError(
            f"the torchvision that is installed cannot decode JPEGs for --decoder {decoder} ({first_line(error)}); "
            "install one that can, or use --decoder pillow"
        ) from error


def decoded(images: Sequence[PreparedImage], device: torch.device) -> list[PreparedImage | FailedImage]:
    """Images with the pixels of their JPEGs, on the device; those that have none are as they were.

    A JPEG that Pillow can read and torchvision cannot, Pillow decodes: whether that is so depends on its bytes alone.

    Raises:
        DeviceMemoryError: the device has too little memory for a single image.
    """
    jpegs = [image.jpeg for image in images if image.jpeg]
    try:
        found = iter(_tensors([jpeg.content for jpeg in jpegs], device))
        return [_with_pixels(image, image.jpeg, next(found), device) if image.jpeg else image for image in images]
    except torch.OutOfMemoryError as error:
        if len(images) == 1:
            raise DeviceMemoryError(
                "the device has too little memory to decode a single image; free some, use a smaller --batch-size, or "
                "use --decoder pillow"
            ) from error
    # only now, when the error is gone and with it what its frames held; nvJPEG takes memory beside torch's
    release_memory(device)
    return [each for image in images for each in decoded([image], device)]


def _tensors(contents: list[bytes], device: torch.device) -> list[Tensor | None]:
    """Each JPEG as (3, height, width) uint8 on the device; None where it cannot be decoded there."""
    try:
        return [*decode_together(contents, device)] if contents else []
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        if _NO_MEMORY.search(str(error)):
            raise torch.OutOfMemoryError(str(error)) from error
        if len(contents) == 1:
            return [None]
    # one of several is refused with all others
    return [found for content in contents for found in _tensors([content], device)]


def decode_together(contents: list[bytes], device: torch.device) -> list[Tensor]:
    """What torchvision makes of them; it raises RuntimeError, for all if one cannot be decoded."""
    # where it has gone from torchvision, all else goes on
    from torchvision.io import ImageReadMode, decode_jpeg  # noqa: PLC0415

    encoded = [torch.frombuffer(bytearray(content), dtype=torch.uint8) for content in contents]
    if device.type == "cuda":
        # a GPU's own decoder does not wait for its stream, and writes into memory that was given back while what is
        # queued there has not read it yet (pytorch/vision#9606, meta-pytorch/torchcodec#1634)
        torch.cuda.current_stream(device).synchronize()
    tensors: Any = decode_jpeg(encoded, ImageReadMode.RGB, device)
    return tensors


def _with_pixels(
    image: PreparedImage, jpeg: EncodedJpeg, tensor: Tensor | None, device: torch.device
) -> PreparedImage | FailedImage:
    """An image with its JPEG's pixels."""
    pixels: dict[Preparation, Tensor] = {}
    if tensor is not None and tensor.shape == (3, image.height, image.width):
        pixels |= {each: each.pixels_of_tensor(tensor) for each in jpeg.preprocessings}
    else:
        try:
            rgb = decode(jpeg.content)
        except ProbeError as error:
            return FailedImage(image.image_id, str(error))
        pixels |= {each: each.pixels(rgb).to(device) for each in jpeg.preprocessings}
    return replace(image, pixels=image.pixels | pixels, jpeg=None)


def decoded_on(
    stream: Generator[PreparedImage | FailedImage], device: torch.device, at_once: int
) -> Generator[PreparedImage | FailedImage]:
    """Images with all their pixels, those of tensors on the device, in order.

    On a CUDA device they are made on a stream of their own, so that the networks go on with the batch before.

    Args:
        stream: of images whose JPEGs wait for the device; it is closed with this.
        device: of the networks.
        at_once: how many images at most.

    Raises:
        DeviceMemoryError: the device has too little memory for a single image.
    """
    beside = torch.cuda.Stream(device) if device.type == "cuda" else None
    with closing(stream):
        for some in _groups(stream, at_once):
            if beside is None:
                yield from _there(some, device)
            else:
                with torch.cuda.stream(beside):
                    found = _there(some, device)
                _hand_over(found, beside, torch.cuda.current_stream(device))
                yield from found


def _hand_over(images: list[PreparedImage | FailedImage], made_on: torch.cuda.Stream, to: torch.cuda.Stream) -> None:
    """Let another stream read pixels once they are made; their memory is given back only when it has."""
    to.wait_stream(made_on)
    for image in images:
        for pixels in image.pixels.values() if isinstance(image, PreparedImage) else ():
            if pixels.device.type == "cuda":
                pixels.record_stream(to)


def _groups(
    stream: Iterable[PreparedImage | FailedImage], at_once: int
) -> Generator[list[PreparedImage | FailedImage]]:
    """Some images at a time, fewer where they are large."""
    some: list[PreparedImage | FailedImage] = []
    pixels = 0
    for image in stream:
        some.append(image)
        pixels += image.width * image.height if isinstance(image, PreparedImage) and image.jpeg else 0
        if len(some) == at_once or pixels >= _PIXELS_AT_ONCE:
            yield some
            some, pixels = [], 0
    if some:
        yield some


def _there(some: list[PreparedImage | FailedImage], device: torch.device) -> list[PreparedImage | FailedImage]:
    """Images whose pixels as tensors are on the device, whoever has decoded them."""
    found = iter(decoded([image for image in some if isinstance(image, PreparedImage)], device))
    images = [image if isinstance(image, FailedImage) else next(found) for image in some]
    return [image if isinstance(image, FailedImage) else _moved(image, device) for image in images]


def _moved(image: PreparedImage, device: torch.device) -> PreparedImage:
    """An image whose pixels are where the others' of its batch are."""
    pixels = {each: of.to(device) if each.decoder == "nvjpeg" else of for each, of in image.pixels.items()}
    return replace(image, pixels=pixels)
