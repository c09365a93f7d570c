"""Plan, extract, load, score: from images to labels, resumable at every chunk."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from neuronlake.ingest.dissecting import dissect
from neuronlake.ingest.history import Timing, as_json, recorded_run, resolved
from neuronlake.ingest.judging.judge import judged
from neuronlake.ingest.labelers import labelling
from neuronlake.ingest.labelers.labelling import Basis, Inputs
from neuronlake.ingest.machines.base import Machine, choose_machine
from neuronlake.ingest.machines.chunks import TOP_IMAGES, Chunk, ExtractedChunk
from neuronlake.ingest.machines.feeding.batches import BatchLimit
from neuronlake.ingest.networks.lending import evaluated
from neuronlake.ingest.networks.preprocessing import CustomTransform
from neuronlake.ingest.plan import Plan, lent_modules, looked_at, make_plan
from neuronlake.ingest.probes.decoding import quiet_decoding
from neuronlake.ingest.probes.failure_limit import FailureLimit
from neuronlake.ingest.recipe import Recipe, chosen_recipe
from neuronlake.ingest.reusing import Work, moved_up_note, share_work
from neuronlake.ingest.storing import Registered, load_chunk, readable_chunks, register
from neuronlake.sql import hints
from neuronlake.sql.store.chunks import finish_layers, loaded_parts, undirected_images
from neuronlake.sql.store.images.pictures import known_failures
from neuronlake.sql.store.uneven import forget_uneven
from neuronlake.sql.warehouse import Warehouse, require_warehouse
from neuronlake.sql.words import Progress, no_progress

# soft_wpmi's 100 top images were chosen for probes of tens of thousands
_IMAGES_PER_TOP_IMAGE = 20
_EXTRACTING = "Extracting images"


@dataclass(frozen=True)
class Summary:
    """What a run did.

    Attributes:
        images: of the probe.
        extracted_images: images that this run read.
        reused_images: images that this run did not read, since the warehouse has their contents of another probe.
        unreadable_images: images that this run could not read.
        failed_images: images of the probe that no run could read.
        scored_layers: layers that this run scored.
        layers: all that were asked for.
        seconds: from the first look to the last score.
        notes: what a user should know about the numbers.
    """

    images: int
    extracted_images: int
    reused_images: int
    unreadable_images: int
    failed_images: int
    scored_layers: int
    layers: int
    seconds: float
    notes: tuple[str, ...]

    @property
    def did_nothing(self) -> bool:
        """Everything was in the warehouse already."""
        return self.extracted_images + self.reused_images + self.unreadable_images + self.scored_layers == 0


def ingest(
    warehouse: Warehouse,
    recipe: Recipe | None = None,
    progress: Progress = no_progress,
    command: str = "neuronlake.ingest()",
    **settings: object,
) -> Summary:
    """See `neuronlake.ingest`."""
    started = time.perf_counter()
    require_warehouse(warehouse)
    recipe = looked_at(chosen_recipe(Recipe, recipe, settings))
    with evaluated(lent_modules(recipe)):
        return _ingest(warehouse, recipe, progress, command, started)


def _ingest(warehouse: Warehouse, recipe: Recipe, progress: Progress, command: str, started: float) -> Summary:
    """Plan, extract, load and score."""
    plan = make_plan(recipe, progress)
    registered = register(warehouse, plan)
    made_anew = _forget_uneven(warehouse, registered)
    work = share_work(warehouse, plan, registered, pending_chunks(warehouse, plan, registered))
    basis = _basis(plan, registered)
    unscored = labelling.pending_layers(warehouse, basis, list(registered.layers), plan.scoring)
    limit = BatchLimit(plan.batch_size)
    machine = _machine(warehouse, recipe)
    without_labels: tuple[str, ...] = ()
    if work.chunks or unscored:
        with recorded_run(warehouse, command, plan.device, as_json(resolved(plan))) as (run_id, timing):
            if (encoder := plan.encoder) is not None:
                labelling.embed_concepts(warehouse, basis, plan.scoring.prompts, lambda: encoder, progress)
            _extract_and_load(warehouse, plan, registered, machine, work, limit, run_id, timing, progress)
            _finish_layers(warehouse, registered)
            started_looking = time.perf_counter()
            dissect(
                warehouse,
                plan,
                registered,
                [layer.layer_id for layer in unscored],
                machine,
                limit,
                run_id,
                progress,
            )
            started_scoring = time.perf_counter()
            timing.extract += started_scoring - started_looking
            judge = judged(plan.scoring, warehouse.path.parent)
            without_labels = labelling.label_layers(
                warehouse, basis, unscored, plan.scoring, judge, machine.label, run_id, progress
            )
            timing.score += time.perf_counter() - started_scoring
    failed = known_failures(warehouse, registered.probe)
    encoder_id = registered.encoder_id
    undirected = 0 if encoder_id is None else undirected_images(warehouse, encoder_id, registered.probe)
    return Summary(
        images=len(plan.probe.images),
        extracted_images=sum(image_id not in failed for image_id in work.image_ids),
        reused_images=work.reused_images,
        unreadable_images=sum(image_id in failed for image_id in work.image_ids),
        failed_images=len(failed),
        scored_layers=len(unscored),
        layers=len(plan.layers),
        seconds=time.perf_counter() - started,
        notes=(
            *registered.notes,
            *made_anew,
            *([moved_up_note(work.moved_up)] if work.moved_up else []),
            *without_labels,
            *_notes(warehouse, plan, len(failed), undirected, limit),
        ),
    )


def _machine(warehouse: Warehouse, recipe: Recipe) -> Machine:
    """The one that a recipe asks for."""
    return choose_machine(
        warehouse,
        recipe.engine,
        recipe.device,
        decoders=recipe.decoders,
        address=recipe.address,
        workers=recipe.workers,
        spool=recipe.spool,
    )


def _forget_uneven(warehouse: Warehouse, registered: Registered) -> list[str]:
    """Take back what lacks images, so that it is made anew; one line each."""
    layers = {layer_id: f"{name} of {model}" for (model, name), layer_id in registered.layer_ids.items()}
    lacking = forget_uneven(warehouse, registered.probe, layers, registered.encoder_id)
    return [
        f"{'the embeddings of the probe' if layer_id is None else layers[layer_id]} lacked {images} of the images "
        "that others have; made anew, with the labels that came of it"
        for layer_id, images in lacking
    ]


def _notes(
    warehouse: Warehouse, plan: Plan, failed_images: int, undirected_images: int, limit: BatchLimit
) -> Iterator[str]:
    """What a user should know about the numbers."""
    if plan.encoder and undirected_images:
        yield f"{plan.encoder.name} gives {undirected_images} images no direction: they speak for no concept"
    if limit.device:
        yield (
            f"{limit.device} ran out of memory on batches of {limit.wanted}, so they were made of "
            f"{limit.images}; --batch-size {limit.images} starts with that"
        )
    if compiled := plan.networks.compiled:
        yield from compiled.notes
    for model in plan.models:
        yield from model.notes
        transform = model.preprocessing
        if plan.probe.masks and isinstance(transform, CustomTransform) and not transform.tells_window:
            yield f"what {model.name}'s transform cuts off cannot be told: masks count as if it showed whole images"
        if transform.decoder != plan.recipe.decoder:
            yield f"{model.name}'s transform takes pictures, so Pillow decoded its images, not {plan.recipe.decoder}"
    repeated = [f"{layer.name} ({layer.calls})" for layer in plan.layers if layer.calls > 1]
    if repeated:
        names = ", ".join(repeated[:3]) + (f" and {len(repeated) - 3} more" if len(repeated) > 3 else "")
        yield f"these layers run several times for an image and their last output counts: {names}"
    if failed_images:
        ask = hints.command("cli sql failed_images", warehouse.path)
        yield f"{failed_images} of {len(plan.probe.images)} files could not be read: {ask}"
    concept_set = plan.concept_set
    if concept_set.dropped_duplicates or concept_set.dropped_blanks:
        yield (
            f"{concept_set.name}: {len(concept_set.concepts)} concepts; dropped {concept_set.dropped_duplicates} "
            f"duplicates and {concept_set.dropped_blanks} blank lines"
        )
    top_k = plan.scoring.parameters.get("top_k")
    is_chosen = "top_k" in plan.recipe.parameters
    if isinstance(top_k, int) and not is_chosen and len(plan.probe.images) < _IMAGES_PER_TOP_IMAGE * top_k:
        yield (
            f"the probe has {len(plan.probe.images)} images and {plan.scoring.method} looks at the "
            f"top {top_k:g} of each unit; with so few images a smaller --parameter top_k=N gives sharper labels"
        )


def pending_chunks(warehouse: Warehouse, plan: Plan, registered: Registered) -> list[Chunk]:
    """The chunks that some layer or the encoder lacks, with just what is lacking."""
    probe = registered.probe
    loaded = loaded_parts(warehouse, probe.probe_id)
    pending: list[Chunk] = []
    for number, images in readable_chunks(warehouse, plan, probe):
        lacking = tuple(
            layer.key for layer in plan.layers if (number, registered.layer_ids[layer.key]) not in loaded.layers
        )
        needs_embeddings = plan.encoder is not None and (number, registered.encoder_id) not in loaded.encoders
        if lacking or needs_embeddings:
            pending.append(Chunk(number, images, lacking, needs_embeddings))
    return pending


def _extract_and_load(
    warehouse: Warehouse,
    plan: Plan,
    registered: Registered,
    machine: Machine,
    work: Work,
    limit: BatchLimit,
    run_id: int,
    timing: Timing,
    progress: Progress,
) -> None:
    """Extract chunk after chunk while a thread loads the one before; at most two chunks are in memory."""
    # before the machine starts, which may ask the warehouse for something then
    _load_unseen(warehouse, registered, work, run_id, timing, progress)
    started = time.perf_counter()
    chunks = [chunk for chunk in work.chunks if chunk.images]
    total = len(work.image_ids)
    failures = _failure_limit(warehouse, plan, registered)
    loading: Future[None] | None = None
    extracting = machine.extract(plan.networks, chunks, limit, lambda seen: progress(_EXTRACTING, seen, total))
    # closed at once, also after an error, so that networks are off the device before they are given back
    with ThreadPoolExecutor(1, thread_name_prefix="load") as loader, closing(extracting), quiet_decoding():
        for chunk, extracted in extracting:
            for image in extracted.failures:
                place = image.image_id - registered.probe.first_image_id
                failures.add(place, plan.probe.images[place].path, image.reason)
            if loading:
                loading.result()

            def load(chunk: Chunk = chunk, extracted: ExtractedChunk = extracted) -> None:
                began = time.perf_counter()
                load_chunk(warehouse, registered, chunk, extracted, run_id, work.reused.get(chunk.number))
                timing.load += time.perf_counter() - began

            loading = loader.submit(load)
        if loading:
            loading.result()
    timing.extract += time.perf_counter() - started


def _load_unseen(
    warehouse: Warehouse, registered: Registered, work: Work, run_id: int, timing: Timing, progress: Progress
) -> None:
    """Load the chunks of which no image is to be looked at."""
    unseen = [chunk for chunk in work.chunks if not chunk.images]
    for done, chunk in enumerate(unseen):
        began = time.perf_counter()
        nothing = ExtractedChunk([], [], {}, {}, None)
        load_chunk(warehouse, registered, chunk, nothing, run_id, work.reused.get(chunk.number))
        timing.load += time.perf_counter() - began
        progress("Reusing chunks", done + 1, len(unseen))


def _failure_limit(warehouse: Warehouse, plan: Plan, registered: Registered) -> FailureLimit:
    """The limit of the run, to which failures of earlier runs over this probe count as well."""
    first = registered.probe.first_image_id
    known = {number - first: reason for number, reason in known_failures(warehouse, registered.probe).items()}
    return FailureLimit(plan.probe.name, len(plan.probe.images), plan.recipe.max_failures, known)


def _basis(plan: Plan, registered: Registered) -> Basis:
    """What the run's scorings share."""
    return Basis(
        Inputs(registered.probe.probe_id, registered.encoder_id, registered.concept_set_id, plan.recipe.keep_together),
        probe_fingerprint=plan.probe.fingerprint,
        encoder_fingerprint=plan.encoder.fingerprint if plan.encoder else None,
        concept_set_fingerprint=plan.concept_set.fingerprint,
        concept_ids=registered.concept_ids,
    )


def _finish_layers(warehouse: Warehouse, registered: Registered) -> None:
    """Write the state of the units of those layers whose chunks have just become complete."""
    finish_layers(warehouse, registered.probe, registered.layer_ids.values(), TOP_IMAGES)
