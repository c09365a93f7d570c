"""Extraction in this process: chunk after chunk, with images decoded ahead on threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

import torch

from neuronlake.ingest.encoders.protocol import Encoder
from neuronlake.ingest.load import ChunkParts
from neuronlake.ingest.machines.extraction import (
    BatchLimit,
    ChunkExtractor,
    ChunkImage,
    DeviceMemoryError,
    ExtractedChunk,
    FailedImage,
    PreparedImage,
    Work,
    prepare_ahead,
)
from neuronlake.ingest.machines.freed_memory import keep_freed_memory
from neuronlake.ingest.networks.lending import release_memory
from neuronlake.ingest.networks.preprocessing import Preparation
from neuronlake.ingest.networks.running import channels_last
from neuronlake.ingest.plan import Plan, PlannedLayer


@dataclass(frozen=True)
class ChunkWork:
    """A chunk of images that layers or the encoder still need."""

    number: int
    images: tuple[ChunkImage, ...]
    work: Work
    parts: ChunkParts


# Takes a plan, its chunks, how many images fit the device, and what to call with the number of images seen;
# gives chunks as they are done.
Engine = Callable[
    [Plan, Sequence[ChunkWork], BatchLimit, Callable[[int], None]], Generator[tuple[ChunkWork, ExtractedChunk]]
]


def extract_locally(
    plan: Plan, chunks: Sequence[ChunkWork], limit: BatchLimit, seen: Callable[[int], None]
) -> Generator[tuple[ChunkWork, ExtractedChunk]]:
    """Each chunk in order; images of the next one are decoded while this one is in the networks."""
    if not chunks:
        return
    keep_freed_memory()
    done = 0
    try:
        move_networks(plan.layers, plan.encoder, plan.device)
        stream = prepare_ahead(_each_image(chunks), workers=decoding_threads(), ahead=2 * plan.batch_size)
        with channels_last(plan.models):
            for chunk in chunks:
                images = len(chunk.images)
                extracted = extract_chunk(
                    chunk.work, images, stream, plan.device, limit, lambda count, before=done: seen(before + count)
                )
                done += images
                yield chunk, extracted
    finally:
        leave_device(plan)


def leave_device(plan: Plan) -> None:
    """Take all networks off the device, which scoring needs the memory of."""
    move_networks(plan.layers, plan.encoder, torch.device("cpu"))
    release_memory(plan.device)


def move_networks(layers: Sequence[PlannedLayer], encoder: Encoder, device: torch.device) -> None:
    """Put all networks on the device.

    Raises:
        DeviceMemoryError: it has too little memory for them.
    """
    try:
        for layer in layers:
            layer.model.module.to(device)
            if layer.reading.directions:
                layer.reading.directions.module.to(device)
        encoder.to(device)
    except torch.OutOfMemoryError as error:
        raise DeviceMemoryError(
            "the device has too little memory for the networks; free some, name fewer models in one run, or use "
            "--device cpu"
        ) from error


def decoding_threads() -> int:
    """How many images are decoded at once."""
    return max(2, os.cpu_count() or 2)


def extract_chunk(
    work: Work,
    images: int,
    stream: Iterator[PreparedImage | FailedImage],
    device: torch.device,
    limit: BatchLimit,
    seen: Callable[[int], None],
) -> ExtractedChunk:
    """Take a chunk's images off the stream and show them to the networks, batch by batch."""
    extractor = ChunkExtractor(work, device)
    failures: list[FailedImage] = []
    batch: list[PreparedImage] = []
    for place in range(images):
        prepared = next(stream)
        if isinstance(prepared, FailedImage):
            failures.append(prepared)
        else:
            batch.append(prepared)
        if len(batch) == limit.wanted:
            extractor.add(batch, limit)
            batch = []
        seen(place + 1)
    if batch:
        extractor.add(batch, limit)
    return extractor.finish(failures)


def _each_image(chunks: Sequence[ChunkWork]) -> Iterator[tuple[ChunkImage, frozenset[Preparation]]]:
    """All images of all chunks, with what is needed of each."""
    for chunk in chunks:
        preprocessings = chunk.work.preprocessings
        for image in chunk.images:
            yield image, preprocessings
