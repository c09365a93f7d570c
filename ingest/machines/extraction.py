"""The images of one chunk: decoded ahead on threads, and each shown once to every model and to the encoder."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby

import torch
from PIL import Image
from torch import Tensor

from neuronlake import NeuronlakeError
from neuronlake.ingest.devices import device_name, reduced
from neuronlake.ingest.labelers.similarity import top_image_indices
from neuronlake.ingest.layers.passes import read_layers
from neuronlake.ingest.layers.planned import PlannedLayer
from neuronlake.ingest.layers.pooling import Activations
from neuronlake.ingest.machines.chunks import (
    TOP_IMAGES,
    Chunk,
    ChunkImage,
    ExtractedChunk,
    FailedImage,
    PreparedImage,
    TopCandidates,
)
from neuronlake.ingest.machines.loaded import DeviceMemoryError, LoadedNetworks
from neuronlake.ingest.networks.models import Model
from neuronlake.ingest.networks.preprocessing import CustomTransform, Preparation
from neuronlake.ingest.probes.decoding import decode, thumbnail
from neuronlake.ingest.probes.locations import ProbeError
from neuronlake.ingest.probes.sources import ProbeImage, Turns

Prepared = Iterator[PreparedImage | FailedImage]
# Decodes one image and cuts out of it what each network sees.
Prepare = Callable[[ChunkImage, frozenset[Preparation]], PreparedImage | FailedImage]


def top_rows(activations: Tensor) -> Tensor:
    """Row numbers of each unit's top images, (images, units) to (units, k) int64; what is not finite comes last."""
    return top_image_indices(torch.where(activations.isfinite(), activations, -torch.inf), TOP_IMAGES)


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


def listed_image(image: ProbeImage) -> Image.Image:
    """An image of the probe as it was listed.

    Raises:
        ProbeError: it cannot be read.
        ChangedImageError: it is no longer what was listed.
    """
    return decode(_listed_bytes(image))


def prepare_ahead(
    images: Iterable[tuple[ChunkImage, frozenset[Preparation]]], workers: int, ahead: int, prepare: Prepare = prepare
) -> Generator[PreparedImage | FailedImage]:
    """Decode on `workers` threads, at most `ahead` images before they are asked for, in order.

    Decoding and resizing leave Python's lock, so threads run beside the forward passes. To be closed: they are waited
    for, and an interrupt while Python does that by itself would be passed over.

    Raises:
        ChangedImageError: an image is no longer what was listed.
    """
    waiting: deque[Future[PreparedImage | FailedImage]] = deque()
    turns = Turns()
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool_of_threads:
        try:
            for image, preprocessings in images:
                source = turns.hand_out(image.image.source)
                in_turn = replace(image, image=replace(image.image, source=source))
                future = pool_of_threads.submit(prepare, in_turn, preprocessings)
                future.add_done_callback(lambda _, source=source: turns.take_back(source))
                waiting.append(future)
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool_of_threads.shutdown(wait=True, cancel_futures=True)


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


def _to_device(pixels: Tensor, device: torch.device) -> Tensor:
    """A batch on the device; the copy to a CUDA device goes on while the next batch is put together."""
    if device.type == "cuda":
        return pixels.pin_memory().to(device, non_blocking=True)
    return pixels.to(device)


def layers_by_model(networks: LoadedNetworks) -> list[tuple[Model, list[PlannedLayer]]]:
    """The models, each with its layers that are read."""
    by_model = groupby(networks.layers, key=lambda layer: layer.model.name)
    return [(found[0].model, found) for _, layers in by_model if (found := list(layers))]


def as_inputs(
    batch: Sequence[PreparedImage], networks: LoadedNetworks, device: torch.device
) -> dict[Preparation, Tensor]:
    """A batch as each network wants it, on the device."""
    return {
        preprocessing: preprocessing.normalise(
            _to_device(torch.stack([image.pixels[preprocessing] for image in batch]), device)
        )
        for preprocessing in networks.preprocessings
    }


class _ChunkExtractor:
    """Shows the images of one chunk to the networks, batch by batch, and gathers what they give.

    What they give stays on the device until the chunk is whole, so that a GPU is never waited for before that.
    """

    def __init__(self, networks: LoadedNetworks, device: torch.device) -> None:
        self._networks = networks
        self._device = device
        self._by_model = layers_by_model(networks)
        self._images: list[PreparedImage] = []
        self._activations: dict[tuple[str, str], list[Tensor]] = {}
        self._peaks: dict[tuple[str, str], list[Tensor]] = {}
        self._embeddings: list[Tensor] = []

    def run(self, batch: list[PreparedImage]) -> None:
        """Run all networks on a batch; if one fails, nothing of it is kept.

        Raises:
            LayerError: a layer's output is not what it was in the dry run.
            ModelError: a network fails.
        """
        activations: dict[tuple[str, str], Activations] = {}
        encoded: Tensor | None = None
        with torch.inference_mode():
            inputs = as_inputs(batch, self._networks, self._device)
            for model, layers in self._by_model:
                with reduced(self._device, layers[0].precision):
                    found = read_layers(model, [layer.reading for layer in layers], inputs[model.preprocessing])
                activations |= {(model.name, name): of_layer for name, of_layer in found.items()}
            if encoder := self._networks.encoder:
                encoded = encoder.encode_images(inputs[encoder.preprocessing]).float()
                # an image without a direction is all zeros: it then speaks for every concept alike
                encoded = encoded.where(encoded.isfinite().all(dim=1, keepdim=True), 0.0)
        for key, of_layer in activations.items():
            self._activations.setdefault(key, []).append(of_layer.values)
            if of_layer.peaks is not None:
                self._peaks.setdefault(key, []).append(of_layer.peaks)
        if encoded is not None:
            self._embeddings.append(encoded)
        # the pixels have been seen: keep what the warehouse wants of the image
        self._images += [
            PreparedImage(image.image_id, image.width, image.height, image.thumbnail, {}) for image in batch
        ]

    def finish(self, failures: list[FailedImage]) -> ExtractedChunk:
        """The whole chunk."""
        if not self._images:
            return ExtractedChunk([], failures, {}, {}, None)
        activations = {key: torch.cat(parts).cpu() for key, parts in self._activations.items()}
        candidates: dict[tuple[str, str], TopCandidates] = {}
        for layer in self._networks.layers:
            peaks = torch.cat(self._peaks[layer.key]).cpu() if layer.key in self._peaks else None
            candidates[layer.key] = self._candidates(activations[layer.key], peaks, layer.model.preprocessing)
        embeddings = torch.cat(self._embeddings).cpu() if self._embeddings else None
        return ExtractedChunk(self._images, failures, activations, candidates, embeddings)

    def _candidates(self, activations: Tensor, peaks: Tensor | None, preprocessing: Preparation) -> TopCandidates:
        """Each unit's top images within the chunk, with the place where it fired in the whole image."""
        rows = top_rows(activations)
        if peaks is None or isinstance(preprocessing, CustomTransform):
            return TopCandidates(rows, None)
        corners = [preprocessing.place_in_image(0, 0, image.width, image.height) for image in self._images]
        opposite = [preprocessing.place_in_image(1, 1, image.width, image.height) for image in self._images]
        start = torch.tensor(corners)[rows]  # (units, k, 2)
        end = torch.tensor(opposite)[rows]
        chosen = peaks.permute(1, 0, 2).gather(1, rows[:, :, None].expand(-1, -1, 2))
        return TopCandidates(rows, start + chosen * (end - start))


def extract_chunk(
    networks: LoadedNetworks,
    chunk: Chunk,
    stream: Prepared,
    device: torch.device,
    limit: BatchLimit,
    seen: Callable[[int], None],
) -> ExtractedChunk:
    """Take a chunk's images off the stream and show them to the networks that lack them, batch by batch.

    Args:
        networks: on the device.
        chunk: whose images come next.
        stream: of decoded images.
        device: where the networks are.
        limit: how many images make a batch; it comes down where that is too many.
        seen: called with the number of the chunk's images seen.
    """
    extractor = _ChunkExtractor(networks.wanted_by(chunk), device)
    return extractor.finish(run_on_batches(extractor.run, len(chunk.images), stream, device, limit, seen))


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
            if device.type == "cuda":
                torch.cuda.empty_cache()


def _fits(run: Callable[[list[PreparedImage]], None], batch: list[PreparedImage]) -> bool:
    """Run networks on a batch; if there was too little memory, nothing of it is kept."""
    try:
        run(batch)
    except torch.OutOfMemoryError:
        return False
    return True


def decoded_ahead(
    networks: LoadedNetworks,
    chunks: Sequence[Chunk],
    limit: BatchLimit,
    threads: int | None = None,
    prepare: Prepare = prepare,
) -> Generator[PreparedImage | FailedImage]:
    """All images of all chunks, each as the networks want it that lack it; on as many threads as cores unless told.

    To be closed, see `prepare_ahead`.
    """
    wanted = (
        (image, preprocessings)
        for chunk in chunks
        for preprocessings in [networks.wanted_by(chunk).preprocessings]
        for image in chunk.images
    )
    workers = threads or max(2, os.cpu_count() or 2)
    return prepare_ahead(wanted, workers, 2 * limit.wanted, prepare)
