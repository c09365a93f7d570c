"""What a plan names, as numbered rows of the warehouse: each thing once, by its fingerprint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from neuronlake.ingest.concepts.concept_sets import ConceptSet
from neuronlake.ingest.layers.planned import PlannedLayer
from neuronlake.ingest.names import Entry
from neuronlake.ingest.plan import Plan
from neuronlake.ingest.probes.probe import Probe
from neuronlake.ingest.taken_names import (
    check_names,
    empty_rivals,
    encoder_entries,
    key_of,
    layer_namesake,
    make_room,
    model_entry,
    registered,
)
from neuronlake.sql.store.features import StoredLayer
from neuronlake.sql.warehouse import Warehouse

_LARGE_PROBE = 16_384
_CHUNK_OF_LARGE_PROBE = 2_048
_LARGEST_CHUNK_OF_SMALL_PROBE = 512
_SMALLEST_CHUNK = 64
_CHUNKS_OF_SMALL_PROBE = 16


@dataclass(frozen=True)
class Registered:
    """Numbers of what the plan names, and a line for each thing that the warehouse knows by another name."""

    probe_id: int
    first_image_id: int
    last_image_id: int
    chunk_images: int
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
    empty_rivals(warehouse, plan)
    with warehouse.transaction():
        probe_id = register_probe(warehouse, plan.probe, plan.recipe.chunk_images)
        encoder_id = _register_encoder(warehouse, plan)
        concept_ids = register_concepts(warehouse, plan.concept_set.texts)
        concept_set_id = register_concept_set(warehouse, plan.concept_set, concept_ids)
        layers = [_register_layer(warehouse, plan, layer) for layer in plan.layers]
    first = int(warehouse.scalar("select min(image_id) from store.images where probe_id = $id", id=probe_id))
    return Registered(
        probe_id=probe_id,
        first_image_id=first,
        last_image_id=first + len(plan.probe.images) - 1,
        chunk_images=warehouse.scalar("select chunk_images from store.probes where probe_id = $id", id=probe_id),
        encoder_id=encoder_id,
        concept_set_id=concept_set_id,
        concept_ids=tuple(concept_ids),
        layer_ids={
            (layer.model.name, layer.name): stored.layer_id for layer, stored in zip(plan.layers, layers, strict=True)
        },
        layers=tuple(layers),
        notes=notes,
    )


def _register_encoder(warehouse: Warehouse, plan: Plan) -> int | None:
    """The encoder, where there is one."""
    return next(
        (
            identify(
                warehouse,
                entry,
                dimensions=encoder.dimensions,
                source=encoder.source,
                source_kind="weights",
                precision=plan.recipe.precision,
            )
            for encoder, entry in encoder_entries(plan)
        ),
        None,
    )


def identify(warehouse: Warehouse, entry: Entry, **columns: Any) -> int:
    """The number of the row with that fingerprint; made if there is none.

    Names are what users group by, so two different things never share one.

    Raises:
        NameTakenError: something else has its name.
    """
    known = registered(warehouse, entry)
    if known is not None:
        return known
    make_room(warehouse, entry)
    key = key_of(entry.table)
    number = warehouse.next_id(entry.table, key)
    row = {key: number, "name": entry.name, "fingerprint": entry.fingerprint, **columns}
    warehouse.insert(entry.table, pl.DataFrame([row]))
    return number


def default_chunk_images(images: int) -> int:
    """How many images go into one transaction.

    DuckDB packs the numbers of the images in groups of 2,048: where a unit's images fill whole groups they take
    next to no space, and loading is twice as fast. On small probes a run that is stopped should lose little.
    """
    if images >= _LARGE_PROBE:
        return _CHUNK_OF_LARGE_PROBE
    wanted = images // _CHUNKS_OF_SMALL_PROBE // _SMALLEST_CHUNK * _SMALLEST_CHUNK
    return min(max(wanted, _SMALLEST_CHUNK), _LARGEST_CHUNK_OF_SMALL_PROBE)


def register_probe(
    warehouse: Warehouse, probe: Probe, chunk_images: int | None = None, entry: Entry | None = None
) -> int:
    """The number of the probe; it and its images are written if it is not known.

    Raises:
        NameTakenError: another has its name.
    """
    # one that gave way to another in a run that was killed as it did
    warehouse.execute("delete from store.probes where images = 0 and location <> 'imported'")
    entry = entry or probe.entry
    known = registered(warehouse, entry)
    if known is not None:
        return known
    probe_id = identify(
        warehouse,
        entry,
        location=probe.location,
        images=len(probe.images),
        chunk_images=chunk_images or default_chunk_images(len(probe.images)),
        is_imported=probe.location == "imported",
    )
    first = warehouse.next_id("images", "image_id")
    rows = pl.DataFrame(
        {
            "image_id": range(first, first + len(probe.images)),
            "path": [image.path for image in probe.images],
            "label": [image.label for image in probe.images],
            "sha256": [None if image.sha256.startswith("unknown: ") else image.sha256 for image in probe.images],
            "part": [image.part for image in probe.images],
        },
        schema_overrides={"label": pl.String, "part": pl.String, "sha256": pl.String},
    )
    warehouse.insert("images", rows, probe_id=probe_id)
    return probe_id


def register_concepts(warehouse: Warehouse, texts: list[str]) -> list[int]:
    """Numbers of the concepts, in their order; those not known are written."""
    known = warehouse.sql("select concept, concept_id from store.concepts").pl()
    numbers: dict[str, int] = dict(known.iter_rows())
    new = [text for text in texts if text not in numbers]
    if new:
        first = warehouse.next_id("concepts", "concept_id")
        numbers.update({text: first + place for place, text in enumerate(new)})
        warehouse.insert("concepts", pl.DataFrame({"concept_id": [numbers[text] for text in new], "concept": new}))
    return [numbers[text] for text in texts]


def register_concept_set(warehouse: Warehouse, concept_set: ConceptSet, concept_ids: list[int]) -> int:
    """The number of the concept set; it and its members are written if it is not known.

    Raises:
        NameTakenError: another has its name.
    """
    known = registered(warehouse, concept_set.entry)
    if known is not None:
        return known
    concept_set_id = identify(
        warehouse,
        concept_set.entry,
        concepts=len(concept_set.concepts),
        dropped_duplicates=concept_set.dropped_duplicates,
        dropped_blanks=concept_set.dropped_blanks,
    )
    members = pl.DataFrame(
        {
            "position": range(len(concept_ids)),
            "concept_id": concept_ids,
            "category": [concept.category for concept in concept_set.concepts],
            "sets": [list(concept.sets) for concept in concept_set.concepts],
        }
    )
    warehouse.insert("concept_set_concepts", members, concept_set_id=concept_set_id)
    return concept_set_id


def _register_layer(warehouse: Warehouse, plan: Plan, layer: PlannedLayer) -> StoredLayer:
    """The layer, and its model."""
    model = layer.model
    model_id = identify(
        warehouse,
        model_entry(plan.recipe, model),
        source=model.source,
        source_kind="weights",
        is_random=model.is_random,
    )
    known = warehouse.scalar("select layer_id from store.layers where fingerprint = $f", f=layer.fingerprint)
    if known is not None:
        return StoredLayer(known, layer.units, layer.fingerprint)
    other = layer_namesake(warehouse, layer)
    if other is not None and other["is_imported"]:
        return _take_over(warehouse, layer, other)
    if other is not None:
        warehouse.execute("delete from store.layers where layer_id = $id", id=other["layer_id"])
    layer_id = warehouse.next_id("layers", "layer_id")
    row = {
        "layer_id": layer_id,
        "model_id": model_id,
        "name": layer.stored_name,
        "fingerprint": layer.fingerprint,
        "position": layer.position,
        "units": layer.units,
        "pooling": layer.pooling,
        "receptive_field": layer.receptive_field,
        "precision": layer.precision,
        "is_imported": False,
    }
    warehouse.insert("layers", pl.DataFrame([row], schema_overrides={"receptive_field": pl.Float32}))
    return StoredLayer(layer_id, layer.units, layer.fingerprint)


def _take_over(warehouse: Warehouse, layer: PlannedLayer, labelled: dict[str, Any]) -> StoredLayer:
    """A layer that was known by labels that were imported for it; its fingerprint stays, for scorings refer to it."""
    warehouse.execute(
        "update store.layers set position = $position, units = $units, pooling = $pooling,"
        " receptive_field = $receptive_field where layer_id = $layer_id",
        position=layer.position,
        units=layer.units,
        pooling=layer.pooling,
        receptive_field=layer.receptive_field,
        layer_id=labelled["layer_id"],
    )
    return StoredLayer(labelled["layer_id"], layer.units, labelled["fingerprint"])
