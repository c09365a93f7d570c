"""Plan, extract, load, score: from images to labels, resumable at every chunk."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata

import torch

import neuronlake
from neuronlake.ingest import scoring
from neuronlake.ingest.extract import (
    BatchLimit,
    ChunkExtractor,
    ChunkImage,
    ExtractedChunk,
    FailedImage,
    PreparedImage,
    Work,
    prepare_ahead,
)
from neuronlake.ingest.load import ChunkParts, finish_layer, load_chunk
from neuronlake.ingest.memory import keep_freed_memory
from neuronlake.ingest.models import Model
from neuronlake.ingest.plan import Plan, PlannedLayer, Progress, make_plan
from neuronlake.ingest.preprocessing import Preparation
from neuronlake.ingest.readings import Reading
from neuronlake.ingest.recipe import Recipe
from neuronlake.ingest.register import Registered, register
from neuronlake.sql.warehouse import Warehouse, utc_now

# soft_wpmi's 100 top images were chosen for probes of tens of thousands
_IMAGES_PER_TOP_IMAGE = 20
_EXTRACTING = "Extracting images"
_VERSIONED = ("torch", "torchvision", "open-clip-torch", "duckdb", "numpy", "polars", "pyarrow")


@dataclass(frozen=True)
class Summary:
    """What a run did."""

    images: int
    extracted_images: int
    failed_images: int
    scored_layers: int
    layers: int
    seconds: float
    notes: tuple[str, ...]

    @property
    def did_nothing(self) -> bool:
        """Everything was in the warehouse already."""
        return self.extracted_images == 0 and self.scored_layers == 0


@dataclass
class Timing:
    """Seconds of each stage; loading runs beside extraction."""

    extract: float = 0.0
    load: float = 0.0
    score: float = 0.0


@dataclass(frozen=True)
class ChunkWork:
    """A chunk of images that layers or the encoder still need."""

    number: int
    images: tuple[ChunkImage, ...]
    work: Work
    parts: ChunkParts


def no_progress(_stage: str, _done: int, _total: int) -> None:
    """Report to nobody."""


def ingest(
    warehouse: Warehouse,
    recipe: Recipe,
    progress: Progress = no_progress,
    command: str = "neuronlake.ingest()",
) -> Summary:
    """Dissect models into a warehouse that is open for writing.

    Work that the warehouse holds already is not done again, so the same recipe after an interruption goes on
    where it stopped, and after success does nothing.

    Args:
        warehouse: see `neuronlake.open`.
        recipe: what to do.
        progress: called with a stage, the number done and the total.
        command: stored with the run.

    Raises:
        NeuronlakeError: something about the recipe or its inputs is wrong; nothing was changed.
    """
    started = time.perf_counter()
    plan = make_plan(recipe, progress)
    registered = register(warehouse, plan)
    chunks = pending_chunks(warehouse, plan, registered)
    unscored = scoring.pending_scorings(warehouse, plan)
    limit = BatchLimit(plan.batch_size)
    if chunks or unscored:
        with _recorded_run(warehouse, plan, command) as (run_id, timing):
            scoring.embed_concepts(warehouse, plan, registered, progress)
            _extract_and_load(warehouse, plan, registered, chunks, limit, run_id, timing, progress)
            _score(warehouse, plan, registered, unscored, run_id, timing, progress)
    failed = warehouse.scalar(
        "select count(*) from store.failed_images where image_id between $first and $last",
        first=registered.first_image_id,
        last=registered.last_image_id,
    )
    return Summary(
        images=len(plan.probe.images),
        extracted_images=sum(len(chunk.images) for chunk in chunks),
        failed_images=failed,
        scored_layers=len(unscored),
        layers=len(plan.layers),
        seconds=time.perf_counter() - started,
        notes=tuple(_notes(plan, failed, limit)),
    )


def _notes(plan: Plan, failed_images: int, limit: BatchLimit) -> Iterator[str]:
    """What a user should know about the numbers."""
    if limit.images < limit.wanted:
        yield (
            f"{_device_name(plan.device)} ran out of memory on batches of {limit.wanted}, so they were made of "
            f"{limit.images}; --batch-size {limit.images} starts with that"
        )
    for model in plan.models:
        yield from model.notes
    repeated = [f"{layer.name} ({layer.calls})" for layer in plan.layers if layer.calls > 1]
    if repeated:
        names = ", ".join(repeated[:3]) + (f" and {len(repeated) - 3} more" if len(repeated) > 3 else "")
        yield f"these layers run several times for an image and their last output counts: {names}"
    if failed_images:
        yield f"{failed_images} of {len(plan.probe.images)} files could not be read: cli sql failed_images"
    concept_set = plan.concept_set
    if concept_set.dropped_duplicates or concept_set.dropped_blanks:
        yield (
            f"{concept_set.name}: {len(concept_set.concepts)} concepts; dropped {concept_set.dropped_duplicates} "
            f"duplicates and {concept_set.dropped_blanks} blank lines"
        )
    top_k = plan.scoring.parameters.get("top_k")
    is_chosen = "top_k" in plan.recipe.parameters
    if top_k and not is_chosen and len(plan.probe.images) < _IMAGES_PER_TOP_IMAGE * top_k:
        yield (
            f"the probe has {len(plan.probe.images)} images and {plan.scoring.method} looks at the "
            f"top {top_k:g} of each unit; with so few images a smaller --parameter top_k=N gives sharper labels"
        )


def pending_chunks(warehouse: Warehouse, plan: Plan, registered: Registered) -> list[ChunkWork]:
    """The chunks that some layer or the encoder lacks, with just what is lacking."""
    rows = warehouse.sql(
        "select chunk, layer_id, encoder_id from store.chunks where probe_id = $id", id=registered.probe_id
    ).fetchall()
    loaded_layers = {(chunk, layer_id) for chunk, layer_id, _ in rows if layer_id is not None}
    loaded_encoders = {(chunk, encoder_id) for chunk, _, encoder_id in rows if encoder_id is not None}
    images = [
        ChunkImage(registered.first_image_id + place, plan.probe.folder / image.path)
        for place, image in enumerate(plan.probe.images)
    ]
    pending: list[ChunkWork] = []
    for number, start in enumerate(range(0, len(images), registered.chunk_images)):
        lacking = [
            layer
            for layer in plan.layers
            if (number, registered.layer_ids[layer.model.name, layer.name]) not in loaded_layers
        ]
        needs_encoder = (number, registered.encoder_id) not in loaded_encoders
        if lacking or needs_encoder:
            by_model: dict[str, tuple[Model, list[Reading]]] = {}
            for layer in lacking:
                by_model.setdefault(layer.model.name, (layer.model, []))[1].append(layer.reading)
            work = Work(
                layers=tuple((model, tuple(readings)) for model, readings in by_model.values()),
                encoder=plan.encoder if needs_encoder else None,
            )
            layer_ids = [registered.layer_ids[layer.model.name, layer.name] for layer in lacking]
            chunk_images = tuple(images[start : start + registered.chunk_images])
            pending.append(ChunkWork(number, chunk_images, work, ChunkParts(layer_ids, has_encoder=needs_encoder)))
    return pending


def _extract_and_load(
    warehouse: Warehouse,
    plan: Plan,
    registered: Registered,
    chunks: list[ChunkWork],
    limit: BatchLimit,
    run_id: int,
    timing: Timing,
    progress: Progress,
) -> None:
    """Extract chunk after chunk while a thread loads the one before; at most two chunks are in memory."""
    started = time.perf_counter()
    keep_freed_memory()
    for model in plan.models:
        model.module.to(plan.device)
    for layer in plan.layers:
        if layer.reading.directions:
            layer.reading.directions.module.to(plan.device)
    plan.encoder.to(plan.device)
    total = sum(len(chunk.images) for chunk in chunks)
    stream = prepare_ahead(_each_image(chunks), workers=max(2, os.cpu_count() or 2), ahead=2 * plan.batch_size)
    loading: Future[None] | None = None
    done = failed = 0
    with ThreadPoolExecutor(1, thread_name_prefix="load") as loader:
        for chunk in chunks:
            extracted = _extract_chunk(
                chunk, stream, plan, limit, lambda seen, before=done: progress(_EXTRACTING, before + seen, total)
            )
            done += len(chunk.images)
            failed += len(extracted.failures)
            if loading:
                loading.result()

            def load(chunk: ChunkWork = chunk, extracted: ExtractedChunk = extracted) -> None:
                began = time.perf_counter()
                load_chunk(warehouse, registered, chunk.number, extracted, chunk.parts, run_id)
                timing.load += time.perf_counter() - began

            loading = loader.submit(load)
        if loading:
            loading.result()
    timing.extract += time.perf_counter() - started
    warehouse.execute(
        "update store.runs set images = $images, failed_images = $failed where run_id = $run_id",
        images=done,
        failed=failed,
        run_id=run_id,
    )


def _extract_chunk(
    chunk: ChunkWork,
    stream: Iterator[PreparedImage | FailedImage],
    plan: Plan,
    limit: BatchLimit,
    seen: Callable[[int], None],
) -> ExtractedChunk:
    """Take the chunk's images off the stream and show them to the networks, batch by batch."""
    extractor = ChunkExtractor(chunk.work, plan.device)
    failures: list[FailedImage] = []
    batch: list[PreparedImage] = []
    for place in range(len(chunk.images)):
        prepared = next(stream)
        if isinstance(prepared, FailedImage):
            failures.append(prepared)
        else:
            batch.append(prepared)
        if len(batch) == plan.batch_size:
            extractor.add(batch, limit)
            batch = []
        seen(place + 1)
    if batch:
        extractor.add(batch, limit)
    return extractor.finish(failures)


def _each_image(chunks: list[ChunkWork]) -> Iterator[tuple[ChunkImage, frozenset[Preparation]]]:
    """All images of all chunks, with what is needed of each."""
    for chunk in chunks:
        preprocessings = chunk.work.preprocessings
        for image in chunk.images:
            yield image, preprocessings


def _score(
    warehouse: Warehouse,
    plan: Plan,
    registered: Registered,
    unscored: list[PlannedLayer],
    run_id: int,
    timing: Timing,
    progress: Progress,
) -> None:
    """Finish the layers whose chunks are all there, then score those that have no such scoring."""
    started = time.perf_counter()
    for layer_id in registered.layer_ids.values():
        keys = {"layer_id": layer_id, "probe_id": registered.probe_id}
        finished = warehouse.scalar(
            "select count(*) from store.units where layer_id = $layer_id and probe_id = $probe_id", **keys
        )
        if not finished:
            finish_layer(warehouse, registered, layer_id)
    for done, layer in enumerate(unscored):
        progress("Scoring layers", done, len(unscored))
        scoring.score_layer(warehouse, plan, registered, layer, run_id)
    progress("Scoring layers", len(unscored), len(unscored))
    timing.score += time.perf_counter() - started


@contextmanager
def _recorded_run(warehouse: Warehouse, plan: Plan, command: str) -> Generator[tuple[int, Timing]]:
    """A row in `runs` that says how it ended; a run that was killed is called interrupted by the next one."""
    warehouse.execute("update store.runs set status = 'interrupted' where status = 'running'")
    run_id = warehouse.next_id("runs", "run_id")
    versions = {"neuronlake": neuronlake.__version__, "python": platform.python_version()}
    versions |= {name: metadata.version(name) for name in _VERSIONED}
    warehouse.execute(
        "insert into store.runs (run_id, command, status, started_at, device, versions, recipe)"
        " values ($run_id, $command, 'running', $at, $device, $versions, $recipe)",
        run_id=run_id,
        command=command,
        at=utc_now(),
        device=_device_name(plan.device),
        versions=json.dumps(versions),
        recipe=plan.recipe.as_json(),
    )
    timing = Timing()
    status = "failed"
    try:
        yield run_id, timing
        status = "finished"
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    finally:
        warehouse.execute(
            "update store.runs set status = $status, finished_at = $at, extract_seconds = $extract,"
            " load_seconds = $load, score_seconds = $score where run_id = $run_id",
            status=status,
            at=utc_now(),
            extract=timing.extract,
            load=timing.load,
            score=timing.score,
            run_id=run_id,
        )


def _device_name(device: torch.device) -> str:
    """The device as a reader knows it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"
