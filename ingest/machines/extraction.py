"""The images of one chunk, each shown once to every model and to the encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from neuronlake.ingest.devices import reduced
from neuronlake.ingest.encoders.protocol import Encoder
from neuronlake.ingest.labelers.similarity import top_image_indices
from neuronlake.ingest.layers.passes import read_layers
from neuronlake.ingest.layers.pooling import Activations
from neuronlake.ingest.layers.readings import Reading
from neuronlake.ingest.machines.chunks import (
    TOP_IMAGES,
    Chunk,
    ExtractedChunk,
    FailedImage,
    PreparedImage,
    TopCandidates,
)
from neuronlake.ingest.machines.feeding.batches import BatchLimit, run_on_batches
from neuronlake.ingest.machines.feeding.preparing import Prepared
from neuronlake.ingest.machines.feeding.staging import Staging, fetched
from neuronlake.ingest.machines.loaded import LoadedNetworks
from neuronlake.ingest.networks.models import Model
from neuronlake.ingest.networks.preprocessing import CustomTransform, Preparation

Key = tuple[str, str]


def top_rows(activations: Tensor) -> Tensor:
    """Row numbers of each unit's top images, (images, units) to (units, k) int64; what is not finite comes last."""
    return top_image_indices(torch.where(activations.isfinite(), activations, -torch.inf), TOP_IMAGES)


class _ChunkExtractor:
    """Shows the images of one chunk to the networks, batch by batch, and gathers what they give.

    What they give stays on the device until the chunk is whole, so that a GPU is never waited for before that.
    """

    def __init__(self, networks: LoadedNetworks, device: torch.device, limit: BatchLimit) -> None:
        self._networks = networks
        self._device = device
        self._limit = limit
        self._staging = Staging(device)
        self._images: list[PreparedImage] = []
        self._activations: dict[Key, list[Tensor]] = {}
        self._peaks: dict[Key, list[Tensor]] = {}
        self._embeddings: list[Tensor] = []

    def run(self, batch: list[PreparedImage]) -> None:
        """Run all networks on a batch; if one fails, nothing of it is kept.

        Raises:
            LayerError: a layer's output is not what it was in the dry run.
            ModelError: a network fails.
        """
        activations: dict[Key, Activations] = {}
        encoded: Tensor | None = None
        with torch.inference_mode():
            inputs = self._staging.inputs(batch, self._networks.preprocessings)
            for model, layers in self._networks.by_model:
                with reduced(self._device, layers[0].precision):
                    found = self._read(model, [layer.reading for layer in layers], inputs[model.preprocessing])
                activations |= {(model.name, name): of_layer for name, of_layer in found.items()}
            if encoder := self._networks.encoder:
                encoded = self._encoded(encoder, inputs[encoder.preprocessing]).float()
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

    def _read(self, model: Model, readings: Sequence[Reading], images: Tensor) -> dict[str, Activations]:
        """Of one batch, what a network's layers give."""
        if compiled := self._networks.compiled:
            return compiled.read_layers(model, readings, images, self._limit.images)
        return read_layers(model, readings, images)

    def _encoded(self, encoder: Encoder, images: Tensor) -> Tensor:
        """Of one batch, what the encoder gives."""
        if compiled := self._networks.compiled:
            return compiled.encode_images(encoder.name, encoder.encode_images, images, self._limit.images)
        return encoder.encode_images(images)

    def finish(self, failures: list[FailedImage]) -> ExtractedChunk:
        """The whole chunk, put together on the device, or on the CPU where the device has no memory left for that."""
        if not self._images:
            return ExtractedChunk([], failures, {}, {}, None)
        try:
            return self._together(failures)
        except torch.OutOfMemoryError:
            pass  # and go on when the error is gone, and with it what its frames held
        for parts in (*self._activations.values(), *self._peaks.values(), self._embeddings):
            parts[:] = [part.cpu() for part in parts]
        return self._together(failures)

    def _together(self, failures: list[FailedImage]) -> ExtractedChunk:
        """The whole chunk, put together where its parts are."""
        activations = {key: torch.cat(parts) for key, parts in self._activations.items()}
        rows = {key: top_rows(of_layer) for key, of_layer in activations.items()}
        peaks = {key: _at(torch.cat(parts), rows[key]) for key, parts in self._peaks.items()}
        embeddings = [torch.cat(self._embeddings)] if self._embeddings else []
        here = iter(fetched([*activations.values(), *rows.values(), *peaks.values(), *embeddings]))
        activations, rows, peaks = ({key: next(here) for key in found} for found in (activations, rows, peaks))
        windows = {model.name: self._windows(model.preprocessing) for model in self._networks.models}
        candidates = {
            key: TopCandidates(of_layer, _in_image(of_layer, peaks.get(key), windows[key[0]]))
            for key, of_layer in rows.items()
        }
        return ExtractedChunk(self._images, failures, activations, candidates, next(here, None))

    def _windows(self, preprocessing: Preparation) -> Tensor | None:
        """What a model sees of each image, see `Preprocessing.window`: (images, 4); None where that is not told."""
        if isinstance(preprocessing, CustomTransform):
            return None
        return torch.tensor([preprocessing.window(image.width, image.height) for image in self._images])


def _in_image(rows: Tensor, peaks: Tensor | None, windows: Tensor | None) -> Tensor | None:
    """Places in what the model sees as places in the whole images, both (units, k, 2)."""
    if peaks is None or windows is None:
        return None
    start, end = windows[rows].split(2, dim=2)
    return start + peaks * (end - start)


def _at(peaks: Tensor, rows: Tensor) -> Tensor:
    """Of each unit the peaks on some images: (images, units, 2) and (units, k) to (units, k, 2)."""
    return peaks.permute(1, 0, 2).gather(1, rows[:, :, None].expand(-1, -1, 2))


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
    extractor = _ChunkExtractor(networks.wanted_by(chunk), device, limit)
    return extractor.finish(run_on_batches(extractor.run, len(chunk.images), stream, device, limit, seen))
