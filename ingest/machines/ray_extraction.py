"""Extraction on a Ray cluster: workers hold the networks and write chunks to a shared folder, one writer loads them.

A worker that dies is started again by Ray and its chunk extracted anew; a writer that dies finds, when it is run
again, the chunks that were finished meanwhile. Both are harmless, since a chunk's folder lies in one of the warehouse's
own, is named after all that its rows depend on, and appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from neuronlake.ingest.encoders.protocol import Encoder
from neuronlake.ingest.history import no_progress
from neuronlake.ingest.machines.cluster import Cluster, ClusterError, ray, result, share_out
from neuronlake.ingest.machines.extraction import BatchLimit, ChunkImage, ExtractedChunk, Work, prepare_ahead
from neuronlake.ingest.machines.freed_memory import keep_freed_memory
from neuronlake.ingest.machines.local import ChunkWork, extract_chunk, move_networks
from neuronlake.ingest.machines.shards import read_shard, write_shard
from neuronlake.ingest.networks.running import channels_last
from neuronlake.ingest.plan import Plan, PlannedLayer, load_networks, resolve_device
from neuronlake.ingest.recipe import Recipe

# a worker should find its next chunk waiting
_CHUNKS_PER_WORKER = 2


@dataclass(frozen=True)
class _Task:
    """A chunk as it travels: names instead of networks."""

    images: tuple[ChunkImage, ...]
    layers: tuple[tuple[str, tuple[str, ...]], ...]
    has_encoder: bool
    folder: Path


class _Worker:
    """Holds the networks of a recipe and extracts chunks."""

    def __init__(self, recipe: Recipe, fingerprints: dict[str, str], batch_size: int, threads: int) -> None:
        torch.set_num_threads(threads)
        keep_freed_memory()
        self._threads = threads
        self._batch_size = batch_size
        self._device = resolve_device(recipe.device)
        self._precision = recipe.precision
        layers, self._encoder = load_networks(recipe, no_progress)
        self._models = {layer.model.name: layer.model for layer in layers}
        self._readings = {(layer.model.name, layer.name): layer.reading for layer in layers}
        found = _fingerprints(layers, self._encoder)
        if differing := [name for name, fingerprint in fingerprints.items() if found.get(name) != fingerprint]:
            raise ClusterError(
                f"a machine of the cluster has other weights of {', '.join(differing)}; give all the same"
            )
        move_networks(layers, self._encoder, self._device)
        # as long as the worker lives
        self._layout = ExitStack()
        self._layout.enter_context(channels_last(list(self._models.values())))

    def extract(self, task: _Task) -> None:
        """Extract a chunk into its folder, unless an earlier attempt has."""
        if task.folder.is_dir():
            return
        work = Work(
            layers=tuple(
                (self._models[name], tuple(self._readings[name, layer] for layer in layers))
                for name, layers in task.layers
            ),
            encoder=self._encoder if task.has_encoder else None,
            precision=self._precision,
        )
        wanted = ((image, work.preprocessings) for image in task.images)
        stream = prepare_ahead(wanted, workers=self._threads, ahead=2 * self._batch_size)
        extracted = extract_chunk(
            work, len(task.images), stream, self._device, BatchLimit(self._batch_size), lambda _count: None
        )
        write_shard(extracted, task.folder)


def extract_with_ray(
    folder: Path, plan: Plan, chunks: Sequence[ChunkWork], _limit: BatchLimit, seen: Callable[[int], None]
) -> Generator[tuple[ChunkWork, ExtractedChunk]]:
    """Chunks as workers finish them.

    Args:
        folder: of the warehouse's own, that all machines share; a chunk is deleted there once it is given out.
        plan: what to extract.
        chunks: of the plan.
        seen: called with the number of images done.

    Raises:
        ClusterError: there is no cluster at the address, or its machines differ.
        NeuronlakeError: what a worker says is wrong.
    """
    if not chunks:
        return
    with Cluster(plan.recipe.address):
        workers = _start_workers(plan)
        waiting = list(reversed(chunks))
        running: dict[Any, tuple[ChunkWork, _Task, Any]] = {}
        for worker in workers * _CHUNKS_PER_WORKER:
            _give(worker, waiting, running, plan, folder)
        done = 0
        while running:
            ready, _ = ray.wait(list(running), num_returns=1)
            chunk, task, worker = running.pop(ready[0])
            result(ready[0])
            _give(worker, waiting, running, plan, folder)
            done += len(chunk.images)
            seen(done)
            extracted = read_shard(task.folder)
            _require_own(extracted, task)
            yield chunk, extracted
            shutil.rmtree(task.folder)


def _start_workers(plan: Plan) -> list[Any]:
    """One worker for each GPU of the cluster, or for each pair of cores."""
    workers = share_out(plan.recipe.device, plan.recipe.workers)
    remote = ray.remote(max_restarts=-1, max_task_retries=-1, **workers.needs)(_Worker)
    fingerprints = _fingerprints(plan.layers, plan.encoder)
    return [remote.remote(plan.recipe, fingerprints, plan.batch_size, workers.threads) for _ in range(workers.count)]


def _fingerprints(layers: Sequence[PlannedLayer], encoder: Encoder) -> dict[str, str]:
    """What all machines must agree about."""
    return {f"{layer.model.name} {layer.name}": layer.fingerprint for layer in layers} | {
        "encoder": encoder.fingerprint
    }


def _give(
    worker: Any,
    waiting: list[ChunkWork],
    running: dict[Any, tuple[ChunkWork, _Task, Any]],
    plan: Plan,
    folder: Path,
) -> None:
    """Send the next chunk to a worker."""
    if waiting:
        chunk = waiting.pop()
        task = _task(chunk, plan, folder)
        running[worker.extract.remote(task)] = (chunk, task, worker)


def _task(chunk: ChunkWork, plan: Plan, folder: Path) -> _Task:
    """A chunk with the folder that is named after all that its rows depend on."""
    layers = tuple((model.name, tuple(reading.name for reading in readings)) for model, readings in chunk.work.layers)
    fingerprints = {(layer.model.name, layer.name): layer.fingerprint for layer in plan.layers}
    parts = (
        folder.name,
        chunk.number,
        [(image.image_id, image.image.sha256) for image in chunk.images],
        [(model, name, fingerprints[model, name]) for model, names in layers for name in names],
        plan.encoder.fingerprint if chunk.work.encoder else None,
    )
    name = f"{chunk.number:06}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"
    return _Task(chunk.images, layers, chunk.work.encoder is not None, folder / name)


def _require_own(extracted: ExtractedChunk, task: _Task) -> None:
    """Refuse a chunk that is not the task's, whatever its folder is called.

    Raises:
        ClusterError: it is of other images or layers.
    """
    wanted = [image.image_id for image in task.images]
    found = sorted([image.image_id for image in extracted.images] + [image.image_id for image in extracted.failures])
    layers = {(model, name) for model, names in task.layers for name in names}
    fits = not extracted.images or (
        set(extracted.activations) == layers and (extracted.embeddings is not None) == task.has_encoder
    )
    if found != wanted or not fits:
        raise ClusterError(
            f"{task.folder} holds a chunk of other images or layers; remove that folder and run the same command again"
        )
