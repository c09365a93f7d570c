"""What a machine does, and which one a recipe asks for."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from neuronlake.ingest.devices import resolve_device
from neuronlake.ingest.labelers.base import LabelledLayer, LabelOne, LayerActivations, Shared
from neuronlake.ingest.machines.chunks import Chunk, ExtractedChunk
from neuronlake.ingest.machines.feeding.batches import BatchLimit
from neuronlake.ingest.machines.feeding.preparing import Prepare
from neuronlake.ingest.machines.loaded import LoadedNetworks
from neuronlake.ingest.machines.local import LocalMachine
from neuronlake.ingest.machines.maps.look import LookAt
from neuronlake.sql.warehouse import Warehouse


class Machine(Protocol):
    """Where the work of a run is done; whichever it is, its caller alone reads and writes the warehouse."""

    def extract(
        self, networks: LoadedNetworks, chunks: Sequence[Chunk], limit: BatchLimit, seen: Callable[[int], None]
    ) -> Generator[tuple[Chunk, ExtractedChunk]]:
        """Chunks as they are done, each with what it gave.

        Args:
            networks: what the images are shown to.
            chunks: to extract.
            limit: how many images go through the networks at once; it comes down where a device has too little memory.
            seen: called with the number of images seen so far.

        Raises:
            DeviceMemoryError: a device has too little memory for the networks, or even for one image.
            NeuronlakeError: a network, an image or a machine is not what it should be.
        """
        ...

    def look_at_maps(
        self,
        networks: LoadedNetworks,
        chunks: Sequence[Chunk],
        prepare: Prepare,
        look_at: LookAt,
        limit: BatchLimit,
        seen: Callable[[int], None],
    ) -> Generator[tuple[Chunk, Any]]:
        """Chunks as they are done, each with what a look at its images' maps gave.

        Args:
            networks: what the images are shown to.
            chunks: to look at.
            prepare: makes of an image what the look needs.
            look_at: called when a chunk is about to be looked at.
            limit: as for `extract`.
            seen: as for `extract`.

        Raises:
            NeuronlakeError: as for `extract`.
        """
        ...

    def label(self, label_one: LabelOne, shared: Shared, layers: Iterator[LayerActivations]) -> Iterator[LabelledLayer]:
        """Layers labelled, in their order.

        Args:
            label_one: says what the units of a layer stand for.
            shared: what it is given for all layers.
            layers: taken as there are places for them.

        Raises:
            NeuronlakeError: the labeler cannot say, or a machine is not what it should be.
        """
        ...


def choose_machine(
    warehouse: Warehouse,
    engine: str,
    device: str,
    decoders: int | None = None,
    address: str | None = None,
    workers: int | None = None,
    spool: Path | None = None,
) -> Machine:
    """The machine that a recipe asks for.

    Args:
        warehouse: that is read and written.
        engine: ``local``, this process, or ``ray``, a cluster.
        device: as a recipe names it; each worker of a cluster resolves it for itself.
        decoders: of this process, see `decoders_for`; a cluster's workers use their threads.
        address: of the Ray cluster; one is started here where None.
        workers: of the cluster; by its GPUs or cores where None.
        spool: folder for a cluster's chunks on their way; beside the warehouse where None.

    Raises:
        NeuronlakeError: there is no such device here, or the package ray is missing.
    """
    if engine == "local":
        return LocalMachine(resolve_device(device), decoders)
    from neuronlake.ingest.machines.ray import RayMachine  # noqa: PLC0415  of the extra `ray`

    return RayMachine(warehouse, device, address, workers, spool)
