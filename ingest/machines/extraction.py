"""One pass over a probe: each image is decoded once and shown to every model and to the encoder."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from neuronlake import NeuronlakeError
from neuronlake.ingest.encoders.precision import reduced
from neuronlake.ingest.encoders.protocol import Encoder
from neuronlake.ingest.labelers.similarity import top_image_indices
from neuronlake.ingest.layers.passes import read_layers
from neuronlake.ingest.layers.pooling import Activations
from neuronlake.ingest.layers.readings import Reading
from neuronlake.ingest.networks.models import Model
from neuronlake.ingest.networks.preprocessing import CustomTransform, Preparation
from neuronlake.ingest.probes.decoding import decode
from neuronlake.ingest.probes.locations import ProbeError
from neuronlake.ingest.probes.sources import ProbeImage, Turns

TOP_IMAGES = 20


@dataclass(frozen=True)
class Work:
    """What a chunk of images is still needed for: layers of models, and perhaps the encoder's embeddings.

    `precision` is that of the models; the encoder has its own.
    """

    layers: tuple[tuple[Model, tuple[Reading, ...]], ...]
    encoder: Encoder | None
    precision: str = "float32"

    @property
    def preprocessings(self) -> frozenset[Preparation]:
        """The different ways in which the images must be prepared."""
        needed = {model.preprocessing for model, _ in self.layers}
        return frozenset(needed | ({self.encoder.preprocessing} if self.encoder else set()))


@dataclass(frozen=True)
class ChunkImage:
    """An image to decode, and its number in the warehouse."""

    image_id: int
    image: ProbeImage


@dataclass(frozen=True)
class PreparedImage:
    """A decoded image as each preprocessing wants it."""

    image_id: int
    width: int
    height: int
    thumbnail: bytes | None
    pixels: dict[Preparation, Tensor]


@dataclass(frozen=True)
class FailedImage:
    """An image that could not be read, and why."""

    image_id: int
    reason: str


@dataclass(frozen=True)
class TopCandidates:
    """The images of a chunk with the highest activations of each unit.

    Attributes:
        rows: (units, k) int64, row numbers within the chunk, best first.
        peaks: (units, k, 2) float32, x and y of the map's maximum in the whole image; None without a map.
    """

    rows: Tensor
    peaks: Tensor | None


@dataclass(frozen=True)
class ExtractedChunk:
    """All that one chunk of images gave.

    Attributes:
        images: those that could be read, in order.
        failures: those that could not.
        activations: for each (model name, layer) (images, units) float32 on the CPU.
        candidates: for each (model name, layer) its top images within the chunk.
        embeddings: (images, dimensions) float32 on the CPU, or None where they were not needed.
    """

    images: list[PreparedImage]
    failures: list[FailedImage]
    activations: dict[tuple[str, str], Tensor]
    candidates: dict[tuple[str, str], TopCandidates]
    embeddings: Tensor | None


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


def _prepare(image: ChunkImage, preprocessings: frozenset[Preparation]) -> PreparedImage | FailedImage:
    """Decode one image and cut out of it what each model sees."""
    try:
        decoded = decode(_listed_bytes(image.image))
    except ProbeError as error:
        return FailedImage(image.image_id, str(error))
    rgb: Image.Image = decoded.rgb
    pixels = {preprocessing: preprocessing.pixels(rgb) for preprocessing in preprocessings}
    return PreparedImage(image.image_id, *rgb.size, decoded.thumbnail, pixels)


def prepare_ahead(
    images: Iterable[tuple[ChunkImage, frozenset[Preparation]]], workers: int, ahead: int
) -> Iterator[PreparedImage | FailedImage]:
    """Decode on `workers` threads, at most `ahead` images before they are asked for, in order.

    Decoding and resizing leave Python's lock, so threads run beside the forward passes.

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
                future = pool_of_threads.submit(_prepare, in_turn, preprocessings)
                future.add_done_callback(lambda _, source=source: turns.take_back(source))
                waiting.append(future)
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool_of_threads.shutdown(wait=True, cancel_futures=True)


class DeviceMemoryError(NeuronlakeError):
    """The device has too little memory even for one image."""


class BatchLimit:
    """How many images go through the networks at once: fewer, once the device has run out of memory."""

    def __init__(self, images: int) -> None:
        self.wanted = images
        self.images = images

    def halve(self, images: int) -> None:
        """So many were too many.

        Raises:
            DeviceMemoryError: it was one.
        """
        if images == 1:
            raise DeviceMemoryError(
                "the device runs out of memory on a single image; free some, name fewer models or layers in one run, "
                "or use --device cpu"
            )
        self.images = images // 2


def _to_device(pixels: Tensor, device: torch.device) -> Tensor:
    """A batch on the device; the copy to a CUDA device goes on while the next batch is put together."""
    if device.type == "cuda":
        return pixels.pin_memory().to(device, non_blocking=True)
    return pixels.to(device)


class ChunkExtractor:
    """Shows the images of one chunk to the networks, batch by batch, and gathers what they give.

    What they give stays on the device until the chunk is whole, so that a GPU is never waited for before that.
    """

    def __init__(self, work: Work, device: torch.device) -> None:
        self._work = work
        self._device = device
        self._images: list[PreparedImage] = []
        self._activations: dict[tuple[str, str], list[Tensor]] = {}
        self._peaks: dict[tuple[str, str], list[Tensor]] = {}
        self._embeddings: list[Tensor] = []

    def add(self, batch: list[PreparedImage], limit: BatchLimit) -> None:
        """Run all networks on a batch, in parts where that is too much for the device's memory.

        Raises:
            LayerError: a layer's output is not what it was in the dry run.
            ModelError: a network fails.
            DeviceMemoryError: even one image is too much.
        """
        while batch:
            part = batch[: limit.images]
            if self._fits(part):
                batch = batch[len(part) :]
            else:
                limit.halve(len(part))
                # only now, when the error is gone and with it what its frames held
                if self._device.type == "cuda":
                    torch.cuda.empty_cache()

    def _fits(self, batch: list[PreparedImage]) -> bool:
        """Run all networks on a batch; if there was too little memory, nothing of it is kept."""
        try:
            self._run(batch)
        except torch.OutOfMemoryError:
            return False
        return True

    def _run(self, batch: list[PreparedImage]) -> None:
        """Run all networks on a batch; if one fails, nothing of it is kept."""
        activations: dict[tuple[str, str], Activations] = {}
        encoded: Tensor | None = None
        with torch.inference_mode():
            inputs = {
                preprocessing: preprocessing.normalise(
                    _to_device(torch.stack([image.pixels[preprocessing] for image in batch]), self._device)
                )
                for preprocessing in self._work.preprocessings
            }
            for model, readings in self._work.layers:
                with reduced(self._device, self._work.precision):
                    found = read_layers(model, readings, inputs[model.preprocessing])
                activations |= {(model.name, name): of_layer for name, of_layer in found.items()}
            if self._work.encoder:
                encoded = self._work.encoder.encode_images(inputs[self._work.encoder.preprocessing]).float()
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
        for model, readings in self._work.layers:
            for reading in readings:
                key = (model.name, reading.name)
                peaks = torch.cat(self._peaks[key]).cpu() if key in self._peaks else None
                candidates[key] = self._candidates(activations[key], peaks, model.preprocessing)
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
