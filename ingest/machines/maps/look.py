"""Looks at the maps of a chunk's images: what each needs of an image, and what reads the batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch

from neuronlake.ingest.machines.chunks import Chunk, FailedImage, PreparedImage
from neuronlake.ingest.machines.feeding.batches import BatchLimit, run_on_batches
from neuronlake.ingest.machines.feeding.preparing import ChangedImageError, Prepared
from neuronlake.ingest.machines.loaded import LoadedNetworks


class Reader(Protocol):
    """Gathers what the images of one chunk give."""

    def run(self, batch: list[PreparedImage]) -> None:
        """Run the networks on a batch; if one fails, nothing of it is kept.

        Raises:
            LayerError: a layer's output is not what it was in the dry run.
            ModelError: a network fails.
        """
        ...

    def finish(self) -> Any:
        """What the chunk gave."""
        ...


class Look(Protocol):
    """One look at the maps of one chunk. It is sent to other machines as it is."""

    def reader(self, networks: LoadedNetworks, device: torch.device) -> Reader:
        """What reads the chunk's batches with the networks that are wanted, which are on the device."""
        ...


# Given a chunk that is about to be read, how it is looked at.
LookAt = Callable[[Chunk], Look]


def look_at_chunk(
    look: Look,
    networks: LoadedNetworks,
    chunk: Chunk,
    stream: Prepared,
    device: torch.device,
    limit: BatchLimit,
    seen: Callable[[int], None],
) -> Any:
    """Take a chunk's images off the stream and look at their maps, batch by batch.

    Raises:
        ChangedImageError: an image cannot be read that an earlier run could.
    """
    reader = look.reader(networks.wanted_by(chunk), device)
    failures = run_on_batches(reader.run, len(chunk.images), stream, device, limit, seen)
    if failures:
        raise _changed(chunk, failures[0])
    return reader.finish()


def _changed(chunk: Chunk, failure: FailedImage) -> ChangedImageError:
    """What is said of an image that was fine when the layers were extracted."""
    path = next(image.image.path for image in chunk.images if image.image_id == failure.image_id)
    return ChangedImageError(
        f"{path} was decoded by an earlier run and cannot be decoded now ({failure.reason}); see that it is as it was "
        "and run the same command again to go on"
    )
