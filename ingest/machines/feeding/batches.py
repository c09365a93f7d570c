"""Batches of decoded images for the networks, in parts where a device has too little memory."""

from __future__ import annotations

from collections.abc import Callable

import torch

from neuronlake.ingest.devices import device_name, lacks_memory, release_memory
from neuronlake.ingest.machines.chunks import FailedImage, PreparedImage
from neuronlake.ingest.machines.feeding.preparing import Prepared
from neuronlake.ingest.machines.loaded import DeviceMemoryError


class BatchLimit:
    """How many images go through the networks at once: fewer, once a device has run out of memory.

    Attributes:
        wanted: how many were asked for.
        images: how many they are by now.
        device: name of the device that ran out of memory; empty as long as none has.
    """

    def __init__(self, images: int) -> None:
        self.wanted = images
        self.images = images
        self.device = ""

    def halve(self, images: int, device: torch.device) -> None:
        """So many were too many for a device.

        Raises:
            DeviceMemoryError: it was one.
        """
        if images == 1:
            raise DeviceMemoryError(
                "the device runs out of memory on a single image; free some, name fewer models or layers in one run, "
                "or use --device cpu"
            )
        self.images = images // 2
        self.device = device_name(device)

    def come_down_to(self, other: BatchLimit) -> None:
        """Take over what another process has come down to, if it is less."""
        if other.images < self.images:
            self.images, self.device = other.images, other.device


def run_on_batches(
    run: Callable[[list[PreparedImage]], None],
    images: int,
    stream: Prepared,
    device: torch.device,
    limit: BatchLimit,
    seen: Callable[[int], None],
) -> list[FailedImage]:
    """Take images off the stream and give them to what runs the networks on a batch.

    Args:
        run: is called again with fewer images where the device's memory is not enough.
        images: how many to take.
        stream: of decoded images.
        device: where the networks are.
        limit: how many images make a batch.
        seen: called with the number of images taken.

    Returns:
        Those that could not be read.

    Raises:
        DeviceMemoryError: even one image is too much.
    """
    failures: list[FailedImage] = []
    batch: list[PreparedImage] = []
    for place in range(images):
        prepared = next(stream)
        if isinstance(prepared, FailedImage):
            failures.append(prepared)
        else:
            batch.append(prepared)
        if len(batch) == limit.wanted:
            _in_parts(run, batch, limit, device)
            batch = []
        seen(place + 1)
    if batch:
        _in_parts(run, batch, limit, device)
    return failures


def _in_parts(
    run: Callable[[list[PreparedImage]], None], batch: list[PreparedImage], limit: BatchLimit, device: torch.device
) -> None:
    """Run networks on a batch, in parts where that is too much for the device's memory."""
    while batch:
        part = batch[: limit.images]
        if _fits(run, part):
            batch = batch[len(part) :]
        else:
            limit.halve(len(part), device)
            # only now, when the error is gone and with it what its frames held
            release_memory(device)


def _fits(run: Callable[[list[PreparedImage]], None], batch: list[PreparedImage]) -> bool:
    """Run networks on a batch; if there was too little memory, nothing of it is kept."""
    try:
        run(batch)
    except RuntimeError as error:
        if not lacks_memory(error):
            raise
        return False
    return True
