"""What a run would do, how large its result would be and how long it would take, found by trying a little of it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch.nn.functional import normalize

from neuronlake.ingest.chosen_models import lent_modules
from neuronlake.ingest.history import no_progress
from neuronlake.ingest.labelers.clip_dissect import score_units
from neuronlake.ingest.labelers.similarity import Cosines
from neuronlake.ingest.layers.channels_last import channels_last
from neuronlake.ingest.layers.readings import Reading
from neuronlake.ingest.machines.extraction import BatchLimit, ChunkImage, Work, prepare_ahead
from neuronlake.ingest.machines.freed_memory import keep_freed_memory
from neuronlake.ingest.machines.local import decoding_threads, extract_chunk, leave_device, move_networks
from neuronlake.ingest.networks.lending import evaluated
from neuronlake.ingest.plan import Plan, Progress, make_plan
from neuronlake.ingest.probes.decoding import quiet_decoding
from neuronlake.ingest.recipe import Recipe
from neuronlake.ingest.register import check_names
from neuronlake.sql.store.probes import default_chunk_images
from neuronlake.sql.warehouse import Warehouse

# measured by benchmarks/warehouse.py with 200 million activations; small warehouses take more
_ACTIVATION_BYTES = 3.4
_SIMILARITY_BYTES = 4.0
_PICTURE_BYTES = 1_400
_TIMED_BATCHES = 2
_TIMED_IMAGES, _TIMED_CONCEPTS = 4_096, 2_048


@dataclass(frozen=True)
class Estimate:
    """What a run would do, were the warehouse empty.

    Attributes:
        images: in the probe.
        chunks: transactions that they are loaded in.
        layers: model, layer and units of each.
        concepts: in the set.
        activations: rows of activations.
        similarities: rows of similarities.
        stored_bytes: about how large the warehouse would become.
        extract_seconds: for decoding and forward passes, from a few images.
        score_seconds: at most, for similarities and p-values, from a part of the images and concepts.
        notes: what the warehouse, where one was given, knows by another name.
    """

    images: int
    chunks: int
    layers: tuple[tuple[str, str, int], ...]
    concepts: int
    activations: int
    similarities: int
    stored_bytes: int
    extract_seconds: float
    score_seconds: float
    notes: tuple[str, ...] = ()


def estimate(recipe: Recipe, progress: Progress = no_progress, warehouse: Warehouse | None = None) -> Estimate:
    """Plan a run and try it on a few images; nothing is written.

    Args:
        recipe: what the run would do.
        progress: called with a stage, the number done and the total.
        warehouse: that the run would write to; whether it takes the names is looked up.

    Raises:
        NeuronlakeError: something about the recipe or its inputs is wrong, as for `ingest`.
    """
    with evaluated(lent_modules(recipe)):
        return _estimate(recipe, progress, warehouse)


def _estimate(recipe: Recipe, progress: Progress, warehouse: Warehouse | None) -> Estimate:
    """Plan the run and try it."""
    plan = make_plan(recipe, progress)
    notes = check_names(warehouse, plan) if warehouse else ()
    images, units = len(plan.probe.images), sum(layer.units for layer in plan.layers)
    concepts = len(plan.concept_set.concepts)
    similarities = units * min(concepts, plan.scoring.keep_concepts or concepts)
    chunk_images = recipe.chunk_images or default_chunk_images(images)
    embedding_bytes = 4 * plan.encoder.dimensions
    return Estimate(
        images=images,
        chunks=-(-images // chunk_images),
        layers=tuple((layer.model.name, layer.stored_name, layer.units) for layer in plan.layers),
        concepts=concepts,
        activations=units * images,
        similarities=similarities,
        stored_bytes=round(
            units * images * _ACTIVATION_BYTES
            + similarities * _SIMILARITY_BYTES
            + images * (_PICTURE_BYTES + embedding_bytes)
            + concepts * embedding_bytes
        ),
        extract_seconds=_seconds_of_an_image(plan, progress) * images,
        score_seconds=sum(_seconds_of_scoring(plan, layer.units) for layer in plan.layers),
        notes=notes,
    )


def _seconds_of_an_image(plan: Plan, progress: Progress) -> float:
    """Decoding and forward passes of all networks, once they have warmed up."""
    keep_freed_memory()
    move_networks(plan.layers, plan.encoder, plan.device)
    readings: dict[str, list[Reading]] = {}
    for layer in plan.layers:
        readings.setdefault(layer.model.name, []).append(layer.reading)
    work = Work(
        tuple((model, tuple(readings[model.name])) for model in plan.models), plan.encoder, plan.recipe.precision
    )
    limit = BatchLimit(plan.batch_size)

    def extract(count: int) -> float:
        wanted = (
            (ChunkImage(place, image), work.preprocessings) for place, image in enumerate(plan.probe.images[:count])
        )
        began = time.perf_counter()
        stream = prepare_ahead(wanted, workers=decoding_threads(), ahead=2 * plan.batch_size)
        extract_chunk(work, count, stream, plan.device, limit, lambda done: progress("Trying images", done, count))
        return time.perf_counter() - began

    try:
        with channels_last(plan.models), quiet_decoding():
            extract(1)
            tried = min(_TIMED_BATCHES * plan.batch_size, len(plan.probe.images))
            return extract(tried) / tried
    finally:
        leave_device(plan)


def _seconds_of_scoring(plan: Plan, units: int) -> float:
    """One layer's similarities and p-values, from a part of the images and concepts, scaled up."""
    generator = torch.Generator().manual_seed(0)
    images, concepts = len(plan.probe.images), len(plan.concept_set.concepts)
    some_images, some_concepts = min(images, _TIMED_IMAGES), min(concepts, _TIMED_CONCEPTS)
    features = [
        normalize(torch.randn(count, plan.encoder.dimensions, generator=generator), dim=1).to(plan.device)
        for count in (some_images, some_concepts)
    ]
    activations = torch.rand(some_images, units, generator=generator).to(plan.device)
    began = time.perf_counter()
    score_units(Cosines(*features), activations, plan.scoring)
    return (time.perf_counter() - began) * (images / some_images) * (concepts / some_concepts)
