"""What a run would do, how large its result would be and how long it would take, found by trying a little of it."""

from __future__ import annotations

import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.functional import normalize

from neuronlake.ingest.judging.judge import judged
from neuronlake.ingest.labelers.base import LayerData, Need, Shared
from neuronlake.ingest.labelers.registry import labeler_of
from neuronlake.ingest.machines.chunks import Chunk, ChunkImage
from neuronlake.ingest.machines.extraction import extract_chunk
from neuronlake.ingest.machines.feeding.ahead import decoded_ahead, decoders_for
from neuronlake.ingest.machines.feeding.batches import BatchLimit
from neuronlake.ingest.networks.lending import evaluated
from neuronlake.ingest.plan import Plan, lent_modules, make_plan
from neuronlake.ingest.probes.decoding import quiet_decoding
from neuronlake.ingest.recipe import Recipe
from neuronlake.ingest.reusing import moved_up_note, reusable_images
from neuronlake.ingest.storing import check_names
from neuronlake.sql.store.images.reuse import Reusable
from neuronlake.sql.store.probes import default_chunk_images
from neuronlake.sql.warehouse import Warehouse
from neuronlake.sql.words import Progress, no_progress

# measured by benchmarks/warehouse.py with 200 million activations; small warehouses take more
_ACTIVATION_BYTES = 3.4
_SIMILARITY_BYTES = 4.0
_PICTURE_BYTES = 1_400
_TIMED_BATCHES = 2
# for activations, for thresholds, and beside masks
_PASSES_WITH_MASKS = 3
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
        extract_seconds: for decoding and forward passes, from a few images; of all passes where there are masks. With
            the time that networks took to be compiled; torch keeps what it has compiled, so a run may need less.
        score_seconds: at most, for similarities and p-values, from a part of the images and concepts.
        notes: what the warehouse, where one was given, knows by another name.
        reused_images: of which that warehouse has the contents, so that nobody looks at them again.
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
    reused_images: int = 0


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
    known = reusable_images(warehouse, plan) if warehouse else Reusable({})
    reused = len(known.sources)
    if known.moved_up:
        notes += (moved_up_note(len(known.moved_up)),)
    images, units = len(plan.probe.images), sum(layer.units for layer in plan.layers)
    concepts = len(plan.concept_set.concepts)
    similarities = units * min(concepts, plan.scoring.keep_concepts or concepts)
    chunk_images = recipe.chunk_images or default_chunk_images(images)
    passes = _PASSES_WITH_MASKS if plan.probe.masks else 1  # those over maps look at all images
    seconds_once, seconds_each = _seconds_of_images(plan, progress)
    if plan.networks.compiled:
        notes += tuple(plan.networks.compiled.notes)
    embedding_bytes = 4 * plan.encoder.dimensions if plan.encoder else 0
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
        extract_seconds=seconds_once + seconds_each * (images * passes - reused),
        score_seconds=sum(_seconds_of_scoring(plan, layer.units) for layer in plan.layers),
        notes=notes,
        reused_images=reused,
    )


def _seconds_of_images(plan: Plan, progress: Progress) -> tuple[float, float]:
    """How long networks take to be compiled, if they are; then decoding and forward passes of one image."""
    limit = BatchLimit(plan.batch_size)
    layers = tuple(layer.key for layer in plan.layers)

    def extract(count: int) -> float:
        images = tuple(ChunkImage(place, image) for place, image in enumerate(plan.probe.images[:count]))
        chunk = Chunk(0, images, layers, needs_embeddings=plan.encoder is not None)
        began = time.perf_counter()
        # on threads, for processes take seconds to start
        decoders = decoders_for(plan.device, plan.networks, count, processes=0)
        with closing(decoded_ahead(plan.networks, [chunk], plan.device, limit.wanted, decoders)) as stream:
            extract_chunk(
                plan.networks, chunk, stream, plan.device, limit, lambda done: progress("Trying images", done, count)
            )
        return time.perf_counter() - began

    with plan.networks.on(plan.device), quiet_decoding():
        warming_up = extract(1)
        tried = min(_TIMED_BATCHES * plan.batch_size, len(plan.probe.images))
        return warming_up if plan.recipe.compile else 0.0, extract(tried) / tried


def _seconds_of_scoring(plan: Plan, units: int) -> float:
    """One layer's labels and their fidelity, from a part of the images and concepts, scaled up."""
    generator = torch.Generator().manual_seed(0)
    images, concepts = len(plan.probe.images), len(plan.concept_set.concepts)
    some_images, some_concepts = min(images, _TIMED_IMAGES), min(concepts, _TIMED_CONCEPTS)
    dimensions = plan.encoder.dimensions if plan.encoder else 1
    images_of, texts_of = (
        normalize(torch.randn(count, dimensions, generator=generator), dim=1) for count in (some_images, some_concepts)
    )
    labels = torch.randint(some_concepts, (some_images,), generator=generator)
    texts, folds = tuple(plan.concept_set.texts[:some_concepts]), torch.arange(some_images) % 5
    if Need.MASKS in labeler_of(plan.scoring).needs:
        # counts of pixels take less
        shared = Shared(
            texts, image_labels=labels, folds=folds, categories=torch.zeros(some_concepts, dtype=torch.int64)
        )
    else:
        shared = Shared(texts, images_of, texts_of, labels, folds)
    shared = shared.to(plan.device)
    activations = torch.rand(some_images, units, generator=generator).to(plan.device)
    began = time.perf_counter()
    judged(plan.scoring, Path(tempfile.gettempdir()))(LayerData(activations, shared))
    return (time.perf_counter() - began) * (images / some_images) * (concepts / some_concepts)
