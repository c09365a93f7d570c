"""Extraction on a Ray cluster: workers hold the networks and write chunks to a shared folder, one writer loads them.

A worker that dies is started again by Ray and its chunk extracted anew; a writer that dies finds, when it is run
again, the chunks that were finished meanwhile. Both are harmless, since a chunk's folder lies in one of the warehouse's
own, is named after all that its rows depend on, and appears whole or not at all.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import torch

from neuronlake.ingest.devices import resolve_device
from neuronlake.ingest.layers.compiled import CompiledPasses
from neuronlake.ingest.machines.chunks import Chunk, ExtractedChunk, FailedImage, PreparedImage
from neuronlake.ingest.machines.cluster import ClusterError, Workers, ray, result
from neuronlake.ingest.machines.extraction import extract_chunk
from neuronlake.ingest.machines.feeding.ahead import Decoders, decoded_ahead
from neuronlake.ingest.machines.feeding.batches import BatchLimit
from neuronlake.ingest.machines.feeding.preparing import Prepare, prepare
from neuronlake.ingest.machines.loaded import Load, LoadedNetworks
from neuronlake.ingest.machines.maps.look import Look, LookAt, look_at_chunk
from neuronlake.ingest.machines.shards import read_shard, shard_folder, write_shard

# a worker should find its next chunk waiting
_CHUNKS_PER_WORKER = 2


class _Worker:
    """Holds the networks of a run and extracts chunks."""

    def __init__(
        self,
        load: Load,
        compiled: CompiledPasses | None,
        fingerprints: dict[tuple[str, ...], str],
        device: str,
        batch_size: int,
        threads: int,
    ) -> None:
        torch.set_num_threads(threads)
        self._decoders = Decoders(max(2, threads))
        self._device = resolve_device(device)
        # kept from chunk to chunk: what was too much for the device once will be again
        self._limit = BatchLimit(batch_size)
        layers, encoder = load()
        self._networks = LoadedNetworks(tuple(layers), encoder, load, compiled)
        found = self._networks.fingerprints
        if differing := [" ".join(key) for key, known in fingerprints.items() if found.get(key) != known]:
            raise ClusterError(
                f"a machine of the cluster has other weights of {', '.join(differing)}; give all the same"
            )
        # as long as the worker lives
        self._on_device = ExitStack()
        self._on_device.enter_context(self._networks.on(self._device))

    def extract(self, chunk: Chunk, folder: Path) -> tuple[BatchLimit, dict[str, str]]:
        """Extract a chunk into its folder, unless an earlier attempt has.

        Says what the batches have come down to, and which networks could not be compiled.
        """
        if not folder.is_dir():
            with closing(self._decoded(chunk)) as stream:
                extracted = extract_chunk(self._networks, chunk, stream, self._device, self._limit, lambda _count: None)
            write_shard(extracted, folder)
        compiled = self._networks.compiled
        return self._limit, compiled.refused if compiled else {}

    def look(self, chunk: Chunk, prepare: Prepare, look: Look) -> tuple[BatchLimit, Any]:
        """Look at a chunk's maps; says what the batches have come down to, and gives what was found."""
        with closing(self._decoded(chunk, prepare)) as stream:
            found = look_at_chunk(look, self._networks, chunk, stream, self._device, self._limit, lambda _count: None)
        return self._limit, found

    def _decoded(self, chunk: Chunk, prepare: Prepare = prepare) -> Generator[PreparedImage | FailedImage]:
        """See `decoded_ahead`."""
        return decoded_ahead(self._networks, [chunk], self._device, self._limit.wanted, self._decoders, prepare)


def start_workers(networks: LoadedNetworks, device: str, batch_size: int, workers: Workers) -> list[Any]:
    """Those of the connected cluster, each of which loads the networks for itself."""
    remote = ray.remote(max_restarts=-1, max_task_retries=-1, **workers.needs)(_Worker)
    given = (networks.load, networks.compiled, networks.fingerprints, device, batch_size, workers.threads)
    return [remote.remote(*given) for _ in range(workers.count)]


def extract_with(
    workers: Sequence[Any],
    folder: Path,
    networks: LoadedNetworks,
    chunks: Sequence[Chunk],
    limit: BatchLimit,
    seen: Callable[[int], None],
) -> Generator[tuple[Chunk, ExtractedChunk]]:
    """Chunks as workers finish them.

    Args:
        workers: of `start_workers`.
        folder: of the warehouse's own, that all machines share; a chunk is deleted there once it is given out.
        networks: what the workers hold; is told which of them could not be compiled.
        chunks: to extract.
        limit: comes down to that of the worker with the least memory.
        seen: called with the number of images done.

    Raises:
        ClusterError: the cluster's machines differ, or lose workers again and again.
        NeuronlakeError: what a worker says is wrong.
    """
    fingerprints = networks.fingerprints

    def start(worker: Any, chunk: Chunk) -> Any:
        return worker.extract.remote(chunk, shard_folder(folder, chunk, fingerprints))

    for chunk, (came_down, refused) in _as_done(workers, chunks, start, seen):
        limit.come_down_to(came_down)
        if networks.compiled:
            networks.compiled.refused |= refused
        shard = shard_folder(folder, chunk, fingerprints)
        extracted = read_shard(shard)
        _require_own(extracted, chunk, shard)
        yield chunk, extracted
        shutil.rmtree(shard)


def look_with(
    workers: Sequence[Any],
    chunks: Sequence[Chunk],
    prepare: Prepare,
    look_at: LookAt,
    limit: BatchLimit,
    seen: Callable[[int], None],
) -> Generator[tuple[Chunk, Any]]:
    """Chunks as workers have looked at them, with what they found; see `Machine.look_at_maps`.

    Raises:
        ClusterError: the cluster loses workers again and again.
        NeuronlakeError: what a worker says is wrong.
    """

    def start(worker: Any, chunk: Chunk) -> Any:
        return worker.look.remote(chunk, prepare, look_at(chunk))

    for chunk, (came_down, found) in _as_done(workers, chunks, start, seen):
        limit.come_down_to(came_down)
        yield chunk, found


def _as_done(
    workers: Sequence[Any],
    chunks: Sequence[Chunk],
    start: Callable[[Any, Chunk], Any],
    seen: Callable[[int], None],
) -> Generator[tuple[Chunk, Any]]:
    """Chunks in the order in which workers are done with them, with what they say.

    Args:
        workers: each has a few chunks at once.
        chunks: to give them.
        start: gives a worker a chunk; gives back the reference to what it will say.
        seen: called with the number of images done.
    """
    waiting = list(reversed(chunks))
    running: dict[Any, tuple[Chunk, Any]] = {}

    def give(worker: Any) -> None:
        if waiting:
            chunk = waiting.pop()
            running[start(worker, chunk)] = (chunk, worker)

    for worker in [*workers] * _CHUNKS_PER_WORKER:
        give(worker)
    done = 0
    while running:
        ready, _ = ray.wait(list(running), num_returns=1)
        chunk, worker = running.pop(ready[0])
        said = result(ready[0])
        give(worker)
        done += len(chunk.images)
        seen(done)
        yield chunk, said


def _require_own(extracted: ExtractedChunk, chunk: Chunk, shard: Path) -> None:
    """Refuse what is not of the chunk, whatever its folder is called.

    Raises:
        ClusterError: it is of other images or layers.
    """
    wanted = [image.image_id for image in chunk.images]
    found = sorted([image.image_id for image in extracted.images] + [image.image_id for image in extracted.failures])
    fits = not extracted.images or (
        set(extracted.activations) == set(chunk.layers) and (extracted.embeddings is not None) == chunk.needs_embeddings
    )
    if found != wanted or not fits:
        raise ClusterError(
            f"{shard} holds a chunk of other images or layers; remove that folder and run the same command again"
        )
