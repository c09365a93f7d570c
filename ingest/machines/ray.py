"""A Ray cluster as the machine: its workers extract chunks and label layers, this process reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuronlake.ingest.labelers.base import LabelledLayer, LabelOne, LayerActivations, Shared
from neuronlake.ingest.machines.chunks import Chunk, ExtractedChunk
from neuronlake.ingest.machines.cluster import Cluster, share_out
from neuronlake.ingest.machines.feeding.batches import BatchLimit
from neuronlake.ingest.machines.feeding.preparing import Prepare
from neuronlake.ingest.machines.loaded import LoadedNetworks
from neuronlake.ingest.machines.maps.look import LookAt
from neuronlake.ingest.machines.ray_chunks import extract_with, look_with, start_workers
from neuronlake.ingest.machines.ray_labels import label_with_ray
from neuronlake.ingest.machines.spool import close_folder, own_folder
from neuronlake.sql.warehouse import Warehouse


@dataclass(frozen=True)
class RayMachine:
    """See `base.Machine` and `base.choose_machine`; chunks come as they are done."""

    warehouse: Warehouse
    device: str
    address: str | None
    workers: int | None
    spool: Path | None

    def extract(
        self, networks: LoadedNetworks, chunks: Sequence[Chunk], limit: BatchLimit, seen: Callable[[int], None]
    ) -> Generator[tuple[Chunk, ExtractedChunk]]:
        """Workers hold the networks as long as there are chunks.

        Raises:
            ClusterError: there is no cluster at the address, its machines differ, or it loses workers again and again.
        """
        folder = own_folder(self.warehouse, self.spool)
        if chunks:
            with Cluster(self.address):
                workers = start_workers(networks, self.device, limit.wanted, share_out(self.device, self.workers))
                yield from extract_with(workers, folder, networks, chunks, limit, seen)
        close_folder(self.warehouse, folder)

    def look_at_maps(
        self,
        networks: LoadedNetworks,
        chunks: Sequence[Chunk],
        prepare: Prepare,
        look_at: LookAt,
        limit: BatchLimit,
        seen: Callable[[int], None],
    ) -> Generator[tuple[Chunk, Any]]:
        """As `extract`; what a chunk gives comes back through the cluster's memory."""
        if chunks:
            with Cluster(self.address):
                workers = start_workers(networks, self.device, limit.wanted, share_out(self.device, self.workers))
                yield from look_with(workers, chunks, prepare, look_at, limit, seen)

    def label(self, label_one: LabelOne, shared: Shared, layers: Iterator[LayerActivations]) -> Iterator[LabelledLayer]:
        """As many layers at once as there are workers."""
        return label_with_ray(self.device, self.address, self.workers, label_one, shared, layers)
