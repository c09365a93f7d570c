"""The networks of a run as one process holds them, and the time for which they are on a device."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby

import torch

from neuronlake import NeuronlakeError
from neuronlake.ingest.devices import exact_float32, lacks_memory, release_memory
from neuronlake.ingest.encoders.protocol import Encoder
from neuronlake.ingest.layers.compiled import CompiledPasses
from neuronlake.ingest.layers.planned import PlannedLayer
from neuronlake.ingest.machines.allocator import keep_freed_memory
from neuronlake.ingest.machines.chunks import Chunk
from neuronlake.ingest.networks.models import Model
from neuronlake.ingest.networks.preprocessing import Preparation
from neuronlake.ingest.networks.running import channels_last

Load = Callable[[], tuple[Sequence[PlannedLayer], Encoder | None]]


class DeviceMemoryError(NeuronlakeError):
    """The device has too little memory for the networks, or even for one image."""


@contextmanager
def memory_to_label() -> Generator[None]:
    """Around the labelling of a layer: says what to do where a device has too little memory for it.

    Raises:
        DeviceMemoryError: it has.
    """
    try:
        yield
    except RuntimeError as error:
        if not lacks_memory(error):
            raise
        raise DeviceMemoryError(
            "the device has too little memory to label a layer; free some, or label on the processor what is "
            "extracted: cli score --device cpu"
        ) from error


@dataclass(frozen=True)
class LoadedNetworks:
    """What images are shown to.

    Attributes:
        layers: that are read, those of one model after each other.
        encoder: that embeds images; None where nobody asks for embeddings.
        load: gives layers and encoder once more, in another process; it travels there by reference.
        compiled: what runs them as torch.compile makes them; None where they run as they are.
    """

    layers: tuple[PlannedLayer, ...]
    encoder: Encoder | None
    load: Load
    compiled: CompiledPasses | None = None

    @property
    def models(self) -> list[Model]:
        """The models, each once."""
        return list({layer.model.name: layer.model for layer in self.layers}.values())

    @property
    def by_model(self) -> list[tuple[Model, list[PlannedLayer]]]:
        """The models, each with its layers that are read."""
        by_model = groupby(self.layers, key=lambda layer: layer.model.name)
        return [(found[0].model, found) for _, layers in by_model if (found := list(layers))]

    @property
    def preprocessings(self) -> frozenset[Preparation]:
        """The different ways in which the images must be prepared."""
        needed = {model.preprocessing for model in self.models}
        return frozenset(needed | ({self.encoder.preprocessing} if self.encoder else set()))

    @property
    def fingerprints(self) -> dict[tuple[str, ...], str]:
        """What all that hold these networks must agree about."""
        of_encoder = {("encoder",): self.encoder.fingerprint} if self.encoder else {}
        return {**{layer.key: layer.fingerprint for layer in self.layers}, **of_encoder}

    def wanted_by(self, chunk: Chunk) -> LoadedNetworks:
        """Those of them that a chunk must be shown to."""
        wanted = set(chunk.layers)
        layers = tuple(layer for layer in self.layers if layer.key in wanted)
        return replace(self, layers=layers, encoder=self.encoder if chunk.needs_embeddings else None)

    @contextmanager
    def on(self, device: torch.device) -> Generator[None]:
        """Within the block all are on the device, laid out as it is fastest, and compute float32 in all its bits.

        Scoring needs the device's memory afterwards.

        Raises:
            DeviceMemoryError: it has too little memory for them.
        """
        keep_freed_memory()
        try:
            self._move(device)
            with exact_float32(), channels_last(self.models):
                yield
        finally:
            if self.compiled:
                self.compiled.forget()
            self._move(torch.device("cpu"))
            release_memory(device)

    def _move(self, device: torch.device) -> None:
        """Put all on a device.

        Raises:
            DeviceMemoryError: it has too little memory for them.
        """
        try:
            for layer in self.layers:
                layer.model.module.to(device)
                if layer.reading.directions:
                    layer.reading.directions.module.to(device)
            if self.encoder:
                self.encoder.to(device)
        except torch.OutOfMemoryError as error:
            raise DeviceMemoryError(
                "the device has too little memory for the networks; free some, name fewer models in one run, or use "
                "--device cpu"
            ) from error
