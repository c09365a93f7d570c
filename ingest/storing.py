"""What a plan names and what extraction gave, as rows of the warehouse: each thing once, by its fingerprint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from neuronlake.ingest.concepts.concept_sets import ConceptSet
from neuronlake.ingest.encoders.protocol import Encoder
from neuronlake.ingest.encoders.variants import plain_name
from neuronlake.ingest.layers.planned import PlannedLayer
from neuronlake.ingest.machines.chunks import (
    Chunk,
    ChunkImage,
    ExtractedChunk,
    FailedImage,
    PreparedImage,
    TopCandidates,
)
from neuronlake.ingest.machines.feeding.preparing import ChangedImageError
from neuronlake.ingest.names import renamed, split_name
from neuronlake.ingest.networks.models import Model, name_of
from neuronlake.ingest.plan import Plan
from neuronlake.ingest.probes.probe import Probe
from neuronlake.ingest.recipe import Recipe
from neuronlake.sql.store import chunks, concepts, encoders, layers, names, probes, runs
from neuronlake.sql.store.chunks import LayerValues
from neuronlake.sql.store.concepts import register_concepts
from neuronlake.sql.store.features import StoredLayer
from neuronlake.sql.store.images import pictures
from neuronlake.sql.store.images.reuse import Reused, copy_pictures
from neuronlake.sql.store.names import Entry, NameTakenError
from neuronlake.sql.store.probes import StoredProbe
from neuronlake.sql.warehouse import Warehouse


@dataclass(frozen=True)
class Registered:
    """Numbers of what the plan names, and a line for each thing that the warehouse knows by another name."""

    probe: StoredProbe
    encoder_id: int | None
    concept_set_id: int
    concept_ids: tuple[int, ...]
    layer_ids: dict[tuple[str, str], int]
    layers: tuple[StoredLayer, ...] = ()
    notes: tuple[str, ...] = ()


def register(warehouse: Warehouse, plan: Plan) -> Registered:
    """Write rows for what the warehouse does not know yet, in one transaction, and return all numbers.

    Raises:
        NameTakenError: a name stands for something else there; nothing was changed.
    """
    notes = check_names(warehouse, plan)
    with warehouse.transaction():
        probe = register_probe(warehouse, plan.probe, plan.recipe.chunk_images)
        encoder_id = _register_encoder(warehouse, plan)
        concept_ids = register_concepts(warehouse, plan.concept_set.texts)
        concept_set_id = register_concept_set(warehouse, plan.concept_set, concept_ids)
        stored = [_register_layer(warehouse, plan, layer) for layer in plan.layers]
    return Registered(
        probe=probe,
        encoder_id=encoder_id,
        concept_set_id=concept_set_id,
        concept_ids=tuple(concept_ids),
        layer_ids={layer.key: each.layer_id for layer, each in zip(plan.layers, stored, strict=True)},
        layers=tuple(stored),
        notes=notes,
    )


def readable_chunks(
    warehouse: Warehouse, plan: Plan, probe: StoredProbe
) -> Iterator[tuple[int, tuple[ChunkImage, ...]]]:
    """The chunks of a plan's probe by number, with those of their images that no run has failed to read.

    What failed before stays out, so that all layers are of the same images.
    """
    failed = pictures.known_failures(warehouse, probe)
    for number, start in enumerate(range(0, len(plan.probe.images), probe.chunk_images)):
        some = enumerate(plan.probe.images[start : start + probe.chunk_images], start=probe.first_image_id + start)
        yield number, tuple(ChunkImage(image_id, image) for image_id, image in some if image_id not in failed)


def check_names(warehouse: Warehouse, plan: Plan) -> tuple[str, ...]:
    """Compare what a plan names with what the warehouse holds; nothing is written.

    Returns:
        A line for each thing that the warehouse knows by another name.

    Raises:
        NameTakenError: a name stands for something else there.
    """
    models = [_model_entry(plan.recipe, model) for model in plan.models]
    notes: list[str] = []
    encoders_of_plan = [_encoder_entry(plan.recipe, plan.encoder)] if plan.encoder else []
    for entry in (*models, plan.probe.entry, *encoders_of_plan, plan.concept_set.entry):
        notes += names.name_note(warehouse, entry)
        names.require_free(warehouse, entry)
    for layer in plan.layers:
        notes += _check_layer(warehouse, layer)
    return tuple(notes)


def register_probe(
    warehouse: Warehouse, probe: Probe, chunk_images: int | None = None, entry: Entry | None = None
) -> StoredProbe:
    """The stored probe; it and its images are written if it is not known.

    Raises:
        NameTakenError: another has its name.
    """
    images = pl.DataFrame(
        {
            "path": [image.path for image in probe.images],
            "label": [image.label for image in probe.images],
            "sha256": [None if probe.is_numbered else image.sha256 for image in probe.images],
            "part": [image.part for image in probe.images],
            "image_group": [image.group for image in probe.images],
        },
        schema=dict.fromkeys(("path", "label", "sha256", "part", "image_group"), pl.String),
    )
    return probes.register_probe(
        warehouse,
        entry or probe.entry,
        probe.location,
        images,
        chunk_images or probes.default_chunk_images(len(probe.images)),
        is_imported=probe.is_numbered,
    )


def register_concept_set(warehouse: Warehouse, concept_set: ConceptSet, concept_ids: list[int]) -> int:
    """The number of the concept set; it and its members are written if it is not known.

    Raises:
        NameTakenError: another has its name.
    """
    members = pl.DataFrame(
        {
            "concept_id": concept_ids,
            "category": [concept.category for concept in concept_set.concepts],
            "sets": [list(concept.sets) for concept in concept_set.concepts],
        },
        schema_overrides={"concept_id": pl.Int32},
    )
    return concepts.register_concept_set(
        warehouse, concept_set.entry, members, concept_set.dropped_duplicates, concept_set.dropped_blanks
    )


def _model_entry(recipe: Recipe, model: Model) -> Entry:
    """A model and how to name it otherwise, its weights with it."""
    given = next(each for each in recipe.models if name_of(each) == model.name)

    def option(name: str) -> str:
        if isinstance(given, Model):
            return f'models={{"{name}": ...}}'
        file = recipe.weights.get(model.name, recipe.weights.get(given))
        weights = f" {renamed('--weights', str(file))(name)}" if file else ""
        return renamed("--model", split_name(given)[1])(name) + weights

    return Entry("models", model.name, model.fingerprint, model.name, option)


def _encoder_entry(recipe: Recipe, encoder: Encoder) -> Entry:
    """The encoder and how to name it otherwise."""
    option = renamed("--encoder", split_name(recipe.encoder)[1])
    return Entry("encoders", encoder.name, encoder.fingerprint, plain_name(encoder), option)


def _register_encoder(warehouse: Warehouse, plan: Plan) -> int | None:
    """The number of the encoder, where there is one."""
    encoder = plan.encoder
    if encoder is None:
        return None
    return encoders.register_encoder(
        warehouse,
        _encoder_entry(plan.recipe, encoder),
        source=encoder.source,
        source_kind=encoder.source_kind,
        location=encoder.location,
        precision=encoder.precision,
        dimensions=encoder.dimensions,
    )


def _register_layer(warehouse: Warehouse, plan: Plan, layer: PlannedLayer) -> StoredLayer:
    """The layer, and its model."""
    model = layer.model
    entry = _model_entry(plan.recipe, model)
    row = layers.Layer(
        model_id=layers.register_model(warehouse, entry, model.source, model.source_kind, is_random=model.is_random),
        name=layer.stored_name,
        fingerprint=layer.fingerprint,
        position=layer.position,
        units=layer.units,
        pooling=layer.pooling,
        receptive_field=layer.receptive_field,
        precision=layer.precision,
    )
    layer_id, fingerprint = layers.register_layer(warehouse, row)
    return StoredLayer(layer_id, layer.units, fingerprint)


def _check_layer(warehouse: Warehouse, layer: PlannedLayer) -> Iterator[str]:
    """A line where a model's layer is known by another name, as directions may be.

    Raises:
        NameTakenError: another layer of the model has its name.
    """
    found = layers.layer_of_fingerprint(warehouse, layer.fingerprint)
    if found is not None:
        if found[1].name != layer.stored_name:
            yield names.kept_name(f"{layer.stored_name} of {layer.model.name}", found[1].name)
        return
    model_id = layers.model_of(warehouse, fingerprint=layer.model.fingerprint)
    namesake = layers.layer_of_name(warehouse, model_id, layer.stored_name)
    if namesake is None:
        return
    number, other = namesake
    if not other.is_imported and names.is_used(warehouse, "layers", number):
        raise _taken_layer(warehouse, layer)
    if other.is_imported and other.units > layer.units:
        raise NameTakenError(
            f"labels of {other.units} units were imported for {layer.stored_name} of {layer.model.name}, which "
            f"has {layer.units}; they are of another network: take another --warehouse"
        )


def _taken_layer(warehouse: Warehouse, layer: PlannedLayer) -> NameTakenError:
    """What is said where a model has another layer of that name."""
    where = f"{layer.stored_name!r} of {layer.model.name} is taken in {warehouse.path}"
    directions = layer.reading.directions
    if directions is None:
        return NameTakenError(f"{where} by another reading of it; take another --warehouse")
    taken = layers.layer_names(warehouse)
    new = names.next_name(directions.name, lambda name: layer.stored_name.replace(directions.name, name) in taken)
    place = layer.reading.place.text
    return NameTakenError(
        f"{where} by other directions; give these their own: --directions {place}={new}={directions.spec}"
    )


def load_chunk(
    warehouse: Warehouse,
    registered: Registered,
    chunk: Chunk,
    extracted: ExtractedChunk,
    run_id: int,
    reused: Reused | None = None,
) -> None:
    """Commit what a chunk gave and what is copied: values, its images' pictures and its own record, all or nothing."""
    values = {
        registered.layer_ids[key]: _layer_values(activations.numpy(), extracted.candidates[key])
        for key, activations in extracted.activations.items()
    }
    row = chunks.Chunk(
        probe_id=registered.probe.probe_id,
        number=chunk.number,
        run_id=run_id,
        image_ids=np.array([image.image_id for image in extracted.images], dtype=np.int32),
        # of a chunk without a readable image there are none
        layers={layer_id: values.get(layer_id) for layer_id in map(registered.layer_ids.__getitem__, chunk.layers)},
        encoder_id=registered.encoder_id if chunk.needs_embeddings else None,
        embeddings=None if extracted.embeddings is None else extracted.embeddings.numpy(),
        reused=reused,
    )
    with warehouse.transaction():
        if reused:
            copy_pictures(warehouse, reused)
        load_pictures(warehouse, extracted.images, extracted.failures)
        chunks.insert_chunk(warehouse, row)
        failed = len(extracted.failures)
        runs.count_images(warehouse, run_id, len(extracted.images) + failed, failed)


def _layer_values(activations: np.ndarray, candidates: TopCandidates) -> LayerValues:
    """A layer's tensors as arrays."""
    peaks = None if candidates.peaks is None else candidates.peaks.numpy()
    return LayerValues(activations, candidates.rows.numpy(), peaks)


def load_pictures(warehouse: Warehouse, images: Sequence[PreparedImage], failures: Sequence[FailedImage]) -> None:
    """Write pictures and failures of images that another model's run has not left here already.

    Raises:
        ChangedImageError: an image fails now that an earlier run could read.
    """
    pictured = [image for image in images if image.thumbnail is not None]
    rows = {
        "image_id": [image.image_id for image in pictured],
        "width": [image.width for image in pictured],
        "height": [image.height for image in pictured],
        "webp": [image.thumbnail for image in pictured],
    }
    pictures.insert_pictures(warehouse, pl.DataFrame(rows))
    reasons = {failure.image_id: failure.reason for failure in failures}
    if reasons:
        _require_never_read(warehouse, reasons)
        pictures.insert_failures(warehouse, reasons)


def _require_never_read(warehouse: Warehouse, reasons: dict[int, str]) -> None:
    """Refuse images that fail now and did not in an earlier run, since its layers have them.

    Raises:
        ChangedImageError: there is one.
    """
    for image_id, path in pictures.pictured_paths(warehouse, min(reasons), max(reasons)).items():
        if image_id in reasons:
            raise ChangedImageError(
                f"{path} was decoded by an earlier run and cannot be decoded now ({reasons[image_id]}); use the "
                "version of Pillow that could, or another warehouse"
            )
