"""This process as the machine: chunk after chunk and layer after layer, on one device."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch

from neuronlake.ingest.labelers.base import LabelledLayer, LabelOne, LayerActivations, Shared
from neuronlake.ingest.machines.chunks import Chunk, ExtractedChunk, FailedImage, PreparedImage
from neuronlake.ingest.machines.extraction import extract_chunk
from neuronlake.ingest.machines.feeding.ahead import decoded_ahead, decoders_for
from neuronlake.ingest.machines.feeding.batches import BatchLimit
from neuronlake.ingest.machines.feeding.preparing import Prepare, prepare
from neuronlake.ingest.machines.loaded import LoadedNetworks, memory_to_label
from neuronlake.ingest.machines.maps.look import LookAt, look_at_chunk


@dataclass(frozen=True)
class LocalMachine:
    """See `base.Machine`; chunks come in their order.

    Attributes:
        device: of the networks.
        decoders: see `decoders_for`.
    """

    device: torch.device
    decoders: int | None = None

    def extract(
        self, networks: LoadedNetworks, chunks: Sequence[Chunk], limit: BatchLimit, seen: Callable[[int], None]
    ) -> Generator[tuple[Chunk, ExtractedChunk]]:
        """Images of the next chunk are decoded while this one is in the networks."""
        if not chunks:
            return
        done = 0
        with networks.on(self.device), closing(self._decoded(networks, chunks, limit)) as stream:
            for chunk in chunks:
                extracted = extract_chunk(
                    networks, chunk, stream, self.device, limit, lambda count, before=done: seen(before + count)
                )
                done += len(chunk.images)
                yield chunk, extracted

    def look_at_maps(
        self,
        networks: LoadedNetworks,
        chunks: Sequence[Chunk],
        prepare: Prepare,
        look_at: LookAt,
        limit: BatchLimit,
        seen: Callable[[int], None],
    ) -> Generator[tuple[Chunk, Any]]:
        """One chunk after the other, in their order; images of the next are decoded meanwhile."""
        if not chunks:
            return
        done = 0
        with networks.on(self.device), closing(self._decoded(networks, chunks, limit, prepare)) as stream:
            for chunk in chunks:
                found = look_at_chunk(
                    look_at(chunk),
                    networks,
                    chunk,
                    stream,
                    self.device,
                    limit,
                    lambda count, before=done: seen(before + count),
                )
                done += len(chunk.images)
                yield chunk, found

    def _decoded(
        self, networks: LoadedNetworks, chunks: Sequence[Chunk], limit: BatchLimit, prepare: Prepare = prepare
    ) -> Generator[PreparedImage | FailedImage]:
        """See `decoded_ahead`."""
        images = sum(len(chunk.images) for chunk in chunks)
        decoders = decoders_for(self.device, networks, images, self.decoders)
        return decoded_ahead(networks, chunks, limit.wanted, decoders, prepare)

    def label(self, label_one: LabelOne, shared: Shared, layers: Iterator[LayerActivations]) -> Iterator[LabelledLayer]:
        """One layer after the other."""
        with memory_to_label():
            here = shared.to(self.device)

        def labelled(layer: LayerActivations) -> LabelledLayer:
            with memory_to_label():
                return LabelledLayer(layer.layer, layer.live, label_one(layer.on(self.device, here)))

        # a loop's variable would keep a layer's activations while the next ones are read
        yield from map(labelled, layers)
