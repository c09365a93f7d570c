"""Models, their layers, and which of these were compared."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import polars as pl

from neuronlake.sql.store.names import Entry, identify
from neuronlake.sql.warehouse import Warehouse


@dataclass(frozen=True)
class Layer:
    """A layer as the warehouse knows it, apart from its number.

    Attributes:
        model_id: number of its model.
        name: with pooling and precision where they are unusual.
        fingerprint: of all that its activations depend on.
        position: in its model, from 0.
        units: how many.
        pooling: how its output becomes one number for each image and unit.
        receptive_field: side of the square that a pixel of the map sees, as a share of the image's shorter side; None
            without a map.
        precision: in which it is computed.
        is_imported: known by labels or activations that another tool wrote.
    """

    model_id: int
    name: str
    fingerprint: str
    position: int
    units: int
    pooling: str = "mean"
    receptive_field: float | None = None
    precision: str = "float32"
    is_imported: bool = False


@dataclass(frozen=True)
class Comparison:
    """Two layers that were compared, apart from its number.

    Attributes:
        run_id: the run that did it.
        layer_a_id: number of the first layer.
        layer_b_id: number of the second.
        probe_id: over whose images.
        images: how many of them.
        is_by_number: units of the same number are one unit at two times.
    """

    run_id: int
    layer_a_id: int
    layer_b_id: int
    probe_id: int
    images: int
    is_by_number: bool


def register_model(warehouse: Warehouse, entry: Entry, source: str, source_kind: str, *, is_random: bool) -> int:
    """The number of the model of that fingerprint; written if it is not known.

    Raises:
        NameTakenError: another has its name.
    """
    return identify(warehouse, entry, source=source, source_kind=source_kind, is_random=is_random)


def model_of(warehouse: Warehouse, *, name: str | None = None, fingerprint: str | None = None) -> int | None:
    """The number of the model of that name, or of that fingerprint."""
    select = "select model_id from store.models where name = $name or fingerprint = $fingerprint"
    return warehouse.scalar(select, name=name, fingerprint=fingerprint)


def model_names(warehouse: Warehouse) -> set[str]:
    """The names of all models."""
    return {name for (name,) in warehouse.sql("select name from store.models").fetchall()}


def layer_names(warehouse: Warehouse) -> set[str]:
    """The names of all layers of all models."""
    return {name for (name,) in warehouse.sql("select name from store.layers").fetchall()}


def layer_of_fingerprint(warehouse: Warehouse, fingerprint: str) -> tuple[int, Layer] | None:
    """The layer of that fingerprint, with its number."""
    return _found(warehouse.sql("select * from store.layers where fingerprint = $f", f=fingerprint).pl())


def layer_of_name(warehouse: Warehouse, model_id: int | None, name: str) -> tuple[int, Layer] | None:
    """A model's layer of that name, with its number."""
    select = "select * from store.layers where model_id = $model_id and name = $name"
    return _found(warehouse.sql(select, model_id=model_id, name=name).pl())


def _found(rows: pl.DataFrame) -> tuple[int, Layer] | None:
    """The layer in the first of some rows."""
    for row in rows.iter_rows(named=True):
        return row.pop("layer_id"), Layer(**row)
    return None


def register_layer(warehouse: Warehouse, layer: Layer) -> tuple[int, str]:
    """The layer of that fingerprint, or else the imported one of that name: its number and its fingerprint.

    What was imported for a layer knows less of it, so it takes over what this one says; its fingerprint stays, for
    scorings are known by it. Another layer of that name, of which only the name is stored, gives way.
    """
    found = layer_of_fingerprint(warehouse, layer.fingerprint)
    if found is not None:
        return found[0], layer.fingerprint
    namesake = layer_of_name(warehouse, layer.model_id, layer.name)
    if namesake is not None and namesake[1].is_imported:
        correct_layer(warehouse, namesake[0], layer)
        return namesake[0], namesake[1].fingerprint
    if namesake is not None:
        warehouse.execute("delete from store.layers where layer_id = $id", id=namesake[0])
    layer_id = warehouse.next_id("layers", "layer_id")
    row = pl.DataFrame([{"layer_id": layer_id, **asdict(layer)}], schema_overrides={"receptive_field": pl.Float32})
    warehouse.insert("layers", row)
    return layer_id, layer.fingerprint


def correct_layer(warehouse: Warehouse, layer_id: int, layer: Layer) -> None:
    """Let a layer of which little was known take over what is known now."""
    warehouse.run_step(
        "correct_layer",
        layer_id=layer_id,
        position=layer.position,
        units=layer.units,
        pooling=layer.pooling,
        receptive_field=layer.receptive_field,
    )


def move_later(warehouse: Warehouse, layer_id: int, position: int) -> None:
    """Put an imported layer at a later position; one that was computed here knows its own."""
    update = "update store.layers set position = greatest(position, $p) where layer_id = $id and is_imported"
    warehouse.execute(update, p=position, id=layer_id)


def next_position(warehouse: Warehouse, model_id: int) -> int:
    """One more than that of a model's last layer."""
    select = "select coalesce(max(position), -1) + 1 from store.layers where model_id = $id"
    return int(warehouse.scalar(select, id=model_id))


def is_compared(warehouse: Warehouse, layer_a_id: int, layer_b_id: int, probe_id: int) -> bool:
    """Whether two layers were compared over the images of a probe, told from the first."""
    select = "select 1 from store.comparisons where layer_a_id = $a and layer_b_id = $b and probe_id = $p"
    return warehouse.scalar(select, a=layer_a_id, b=layer_b_id, p=probe_id) is not None


def insert_comparison(warehouse: Warehouse, comparison: Comparison, closest: pl.DataFrame) -> None:
    """Write a comparison with what it found, or nothing of it.

    Args:
        warehouse: to write to.
        comparison: of which layers.
        closest: the other columns of the table ``store.closest_units``: a row for each live unit of both layers.
    """
    with warehouse.transaction():
        comparison_id = warehouse.next_id("comparisons", "comparison_id")
        warehouse.insert("comparisons", pl.DataFrame([{"comparison_id": comparison_id, **asdict(comparison)}]))
        warehouse.insert("closest_units", closest, comparison_id=comparison_id)


def forget_comparisons(warehouse: Warehouse, layer_id: int, probe_id: int) -> None:
    """Delete those of a layer over a probe whose activations are made anew."""
    of_layer = "$layer_id in (layer_a_id, layer_b_id) and probe_id = $probe_id"
    comparisons = f"(select comparison_id from store.comparisons where {of_layer})"  # noqa: S608
    for table in ("closest_units", "comparisons"):  # what is found by the other first
        delete = f"delete from store.{table} where comparison_id in {comparisons}"  # noqa: S608
        warehouse.execute(delete, layer_id=layer_id, probe_id=probe_id)
