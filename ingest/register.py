"""What a plan names, as numbered rows of the warehouse: each thing once, by its fingerprint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from neuronlake.ingest.concepts import ConceptSet
from neuronlake.ingest.plan import Plan, PlannedLayer
from neuronlake.ingest.probes import Probe
from neuronlake.sql.warehouse import Warehouse

_LARGE_PROBE = 16_384
_CHUNK_OF_LARGE_PROBE = 2_048
_LARGEST_CHUNK_OF_SMALL_PROBE = 512
_SMALLEST_CHUNK = 64
_CHUNKS_OF_SMALL_PROBE = 16


@dataclass(frozen=True)
class Registered:
    """Numbers of what the plan names."""

    probe_id: int
    first_image_id: int
    last_image_id: int
    chunk_images: int
    encoder_id: int
    concept_set_id: int
    concept_ids: tuple[int, ...]
    layer_ids: dict[tuple[str, str], int]


def register(warehouse: Warehouse, plan: Plan) -> Registered:
    """Write rows for what the warehouse does not know yet, in one transaction, and return all numbers."""
    with warehouse.transaction():
        probe_id = register_probe(warehouse, plan.probe, plan.recipe.chunk_images)
        encoder_id = identify(
            warehouse,
            "encoders",
            plan.encoder.fingerprint,
            name=plan.encoder.name,
            dimensions=plan.encoder.dimensions,
            source=plan.encoder.source,
        )
        concept_ids = register_concepts(warehouse, plan.concept_set.texts)
        concept_set_id = register_concept_set(warehouse, plan.concept_set, concept_ids)
        layer_ids = {(layer.model.name, layer.name): _register_layer(warehouse, layer) for layer in plan.layers}
    first = int(warehouse.scalar("select min(image_id) from store.images where probe_id = $id", id=probe_id))
    return Registered(
        probe_id=probe_id,
        first_image_id=first,
        last_image_id=first + len(plan.probe.images) - 1,
        chunk_images=warehouse.scalar("select chunk_images from store.probes where probe_id = $id", id=probe_id),
        encoder_id=encoder_id,
        concept_set_id=concept_set_id,
        concept_ids=tuple(concept_ids),
        layer_ids=layer_ids,
    )


def _known(warehouse: Warehouse, table: str, fingerprint: str) -> int | None:
    """The number of the row with that fingerprint."""
    key = f"{table.removesuffix('s')}_id"
    return warehouse.scalar(f"select {key} from store.{table} where fingerprint = $f", f=fingerprint)  # noqa: S608


def identify(warehouse: Warehouse, table: str, fingerprint: str, *, name: str, **columns: Any) -> int:
    """The number of the row with that fingerprint; made if there is none.

    Names are what users group by, so two different things never share one: the second gets ``#2``.
    """
    known = _known(warehouse, table, fingerprint)
    if known is not None:
        return known
    key = f"{table.removesuffix('s')}_id"
    number = warehouse.next_id(table, key)
    row = {key: number, "name": free_name(warehouse, table, name), "fingerprint": fingerprint, **columns}
    warehouse.insert(table, pl.DataFrame([row]))
    return number


def free_name(warehouse: Warehouse, table: str, name: str) -> str:
    """The name, with a number where something else has it already."""
    return _numbered(name, {row[0] for row in warehouse.sql(f"select name from store.{table}").fetchall()})  # noqa: S608


def _numbered(name: str, taken: set[str]) -> str:
    """The name, with a number if it is taken."""
    candidate, count = name, 1
    while candidate in taken:
        count += 1
        candidate = f"{name}#{count}"
    return candidate


def default_chunk_images(images: int) -> int:
    """How many images go into one transaction.

    DuckDB packs the numbers of the images in groups of 2,048: where a unit's images fill whole groups they take
    next to no space, and loading is twice as fast. On small probes a run that is stopped should lose little.
    """
    if images >= _LARGE_PROBE:
        return _CHUNK_OF_LARGE_PROBE
    wanted = images // _CHUNKS_OF_SMALL_PROBE // _SMALLEST_CHUNK * _SMALLEST_CHUNK
    return min(max(wanted, _SMALLEST_CHUNK), _LARGEST_CHUNK_OF_SMALL_PROBE)


def register_probe(warehouse: Warehouse, probe: Probe, chunk_images: int | None = None) -> int:
    """The number of the probe; it and its images are written if it is not known."""
    known = _known(warehouse, "probes", probe.fingerprint)
    if known is not None:
        return known
    probe_id = identify(
        warehouse,
        "probes",
        probe.fingerprint,
        name=probe.name,
        location=probe.location,
        images=len(probe.images),
        chunk_images=chunk_images or default_chunk_images(len(probe.images)),
    )
    first = warehouse.next_id("images", "image_id")
    rows = pl.DataFrame(
        {
            "image_id": range(first, first + len(probe.images)),
            "path": [image.path for image in probe.images],
            "label": [image.label for image in probe.images],
            "sha256": [image.sha256 for image in probe.images],
            "part": [image.part for image in probe.images],
        },
        schema_overrides={"label": pl.String, "part": pl.String},
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
    """The number of the concept set; it and its members are written if it is not known."""
    known = _known(warehouse, "concept_sets", concept_set.fingerprint)
    if known is not None:
        return known
    concept_set_id = identify(
        warehouse,
        "concept_sets",
        concept_set.fingerprint,
        name=concept_set.name,
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


def _register_layer(warehouse: Warehouse, layer: PlannedLayer) -> int:
    """The layer, and its model."""
    model = layer.model
    model_id = identify(
        warehouse,
        "models",
        model.fingerprint,
        name=model.name,
        source=model.source,
        is_random=model.is_random,
    )
    known = _known(warehouse, "layers", layer.fingerprint)
    if known is not None:
        return known
    layer_id = warehouse.next_id("layers", "layer_id")
    # other directions may come under the same file's name
    taken = warehouse.sql("select name from store.layers where model_id = $id", id=model_id).fetchall()
    row = {
        "layer_id": layer_id,
        "model_id": model_id,
        "name": _numbered(layer.stored_name, {name for (name,) in taken}),
        "fingerprint": layer.fingerprint,
        "position": layer.position,
        "units": layer.units,
        "pooling": layer.pooling,
        "receptive_field": layer.receptive_field,
    }
    warehouse.insert("layers", pl.DataFrame([row], schema_overrides={"receptive_field": pl.Float32}))
    return layer_id
