"""A plan's names beside those of the warehouse: each thing keeps the name it has, and takes none from another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from neuronlake.ingest.encoders.precision import split_precision
from neuronlake.ingest.encoders.protocol import Encoder
from neuronlake.ingest.layers.planned import PlannedLayer
from neuronlake.ingest.names import Entry, NameTakenError, next_name, renamed, split_name
from neuronlake.ingest.networks.models import Model, name_of
from neuronlake.ingest.plan import Plan
from neuronlake.ingest.recipe import Recipe
from neuronlake.sql.warehouse import Warehouse

_WHAT = {
    "models": "another network",
    "probes": "other images or labels",
    "encoders": "another encoder",
    "concept_sets": "other concepts",
}
# what was computed with a row, by which it is more than a name
_USES = {
    "models": ("scorings", "chunks"),
    "layers": ("scorings", "chunks"),
    "probes": ("scorings", "chunks"),
    "encoders": ("scorings", "chunks"),
    "concept_sets": ("scorings",),
}
# rows that refer to it by a foreign key, for which DuckDB refuses to delete both in one transaction
_OWNED = {"models": "layers", "probes": "images"}
# rows that go with it
_ATTACHED = {"encoders": "concept_embeddings", "concept_sets": "concept_set_concepts"}


def key_of(table: str) -> str:
    """The column with the number of its rows."""
    return f"{table.removesuffix('s')}_id"


def entries(plan: Plan) -> list[Entry]:
    """What a plan names."""
    return [
        *(model_entry(plan.recipe, model) for model in plan.models),
        plan.probe.entry,
        *(entry for _, entry in encoder_entries(plan)),
        plan.concept_set.entry,
    ]


def model_entry(recipe: Recipe, model: Model) -> Entry:
    """A model and how to name it otherwise, its weights with it."""
    given = next(each for each in recipe.models if name_of(each) == model.name)

    def option(name: str) -> str:
        if isinstance(given, Model):
            return f'models={{"{name}": ...}}'
        file = recipe.weights.get(model.name, recipe.weights.get(given))
        weights = f" {renamed('--weights', str(file))(name)}" if file else ""
        return renamed("--model", split_name(given)[1])(name) + weights

    return Entry("models", model.name, model.fingerprint, model.name, option)


def encoder_entries(plan: Plan) -> list[tuple[Encoder, Entry]]:
    """The encoder, where there is one, and how to name it otherwise."""
    encoder = plan.encoder
    if encoder is None:
        return []
    option = renamed("--encoder", split_name(plan.recipe.encoder)[1])
    entry = Entry("encoders", encoder.name, encoder.fingerprint, split_precision(encoder.name)[0], option)
    return [(encoder, entry)]


def check_names(warehouse: Warehouse, plan: Plan) -> tuple[str, ...]:
    """Compare what a plan names with what the warehouse holds; nothing is written.

    Returns:
        A line for each thing that the warehouse knows by another name.

    Raises:
        NameTakenError: a name stands for something else there.
    """
    notes: list[str] = []
    for entry in entries(plan):
        notes += name_note(warehouse, entry)
        if known(warehouse, entry) is None:
            _require_free(warehouse, entry)
    for layer in plan.layers:
        notes += _check_layer(warehouse, layer)
    return tuple(notes)


def known(warehouse: Warehouse, entry: Entry) -> tuple[int, str] | None:
    """Number and name of the row with an entry's contents; None also where that is no more than another name."""
    found = _row(warehouse, entry)
    if found and found[1] != entry.name and _is_a_name_alone(warehouse, entry.table, found[0]):
        return None
    return found


def registered(warehouse: Warehouse, entry: Entry) -> int | None:
    """The same in a transaction, in which a row that others refer to cannot give way."""
    found = _row(warehouse, entry)
    if found and (known(warehouse, entry) or _is_owner(warehouse, entry.table, found[0])):
        return found[0]
    return None


def _row(warehouse: Warehouse, entry: Entry) -> tuple[int, str] | None:
    """Number and name of the row with an entry's contents."""
    select = f"select {key_of(entry.table)}, name from store.{entry.table} where fingerprint = $f"  # noqa: S608
    return next(iter(warehouse.sql(select, f=entry.fingerprint).fetchall()), None)


def name_note(warehouse: Warehouse, entry: Entry) -> Iterator[str]:
    """A line where the warehouse knows the same contents by another name."""
    found = known(warehouse, entry)
    if found and found[1] != entry.name:
        yield _note(entry.name, found[1])


def _note(name: str, stored: str) -> str:
    return f"{name} is in the warehouse as {stored!r}; it keeps that name"


def _rivals(warehouse: Warehouse, entry: Entry) -> list[int]:
    """Numbers of the rows that have an entry's name or its contents, and not both."""
    select = f"select {key_of(entry.table)} from store.{entry.table} where (name = $n) <> (fingerprint = $f)"  # noqa: S608
    return [number for (number,) in warehouse.sql(select, n=entry.name, f=entry.fingerprint).fetchall()]


def _require_free(warehouse: Warehouse, entry: Entry) -> None:
    """Refuse an entry's name where something else has it, of which more is stored than the name.

    Raises:
        NameTakenError: something has.
    """
    for number in _rivals(warehouse, entry):
        if _is_used(warehouse, entry.table, number):
            raise taken(warehouse, entry, number)


def taken(warehouse: Warehouse, entry: Entry, number: int) -> NameTakenError:
    """What is said where a name stands for another row."""
    names = {name for (name,) in warehouse.sql(f"select name from store.{entry.table}").fetchall()}  # noqa: S608
    what = _WHAT[entry.table]
    if entry.table == "models" and _is_imported(warehouse, entry.table, number):
        what = "an imported network, of whose weights nothing is known"
    return NameTakenError(
        f"the name {entry.name!r} is taken in {warehouse.path} by {what}; give this one its own: "
        f"{entry.another_name(names)}"
    )


def _is_imported(warehouse: Warehouse, table: str, number: int) -> bool:
    """Whether a row came from another tool, so that nothing here could make it again."""
    if table == "concept_sets":
        return _is_imported_set(warehouse, number)
    origin = {"models": "source", "encoders": "source", "probes": "location"}.get(table)
    if origin is None:
        return False
    return warehouse.scalar(f"select {origin} from store.{table} where {key_of(table)} = $id", id=number) == "imported"  # noqa: S608


def _is_imported_set(warehouse: Warehouse, number: int) -> bool:
    """Whether saved features of all its concepts were imported, which wait to be scored."""
    embedded = "(select concept_id from store.concept_embeddings semi join imported using (encoder_id))"
    return bool(
        warehouse.scalar(
            "with imported as (select encoder_id from store.encoders where source = 'imported')"  # noqa: S608
            f" select bool_and(concept_id in {embedded}) from store.concept_set_concepts where concept_set_id = $id",
            id=number,
        )
    )


def _is_used(warehouse: Warehouse, table: str, number: int) -> bool:
    """Whether more is stored than a name: a run that ended before its first chunk leaves nothing else."""
    if _is_imported(warehouse, table, number):
        return True
    of_row = (
        "layer_id in (select layer_id from store.layers where model_id = $id)"
        if table == "models"
        else f"{key_of(table)} = $id"
    )
    return any(
        warehouse.scalar(f"select count(*) from store.{use} where {of_row}", id=number)  # noqa: S608
        for use in _USES[table]
    )


def _is_a_name_alone(warehouse: Warehouse, table: str, number: int) -> bool:
    """Whether another name can take its place; concept sets are imported too, and wait to be scored."""
    return table != "concept_sets" and not _is_used(warehouse, table, number)


def _is_owner(warehouse: Warehouse, table: str, number: int) -> bool:
    """Whether rows refer to it by a foreign key."""
    if table not in _OWNED:
        return False
    count = f"select count(*) from store.{_OWNED[table]} where {key_of(table)} = $id"  # noqa: S608
    return warehouse.scalar(count, id=number) > 0


def empty_rivals(warehouse: Warehouse, plan: Plan) -> None:
    """Take from the unused rows in a plan's way what would keep them from being deleted, in a transaction."""
    with warehouse.transaction():
        for entry in entries(plan):
            if entry.table not in _OWNED or known(warehouse, entry):
                continue
            for number in _rivals(warehouse, entry):
                if entry.table == "probes":  # as long as it lies there, it is a probe of no images
                    warehouse.execute("update store.probes set images = 0 where probe_id = $id", id=number)
                owned = f"delete from store.{_OWNED[entry.table]} where {key_of(entry.table)} = $id"  # noqa: S608
                warehouse.execute(owned, id=number)


def make_room(warehouse: Warehouse, entry: Entry) -> None:
    """Delete the rows in an entry's way of which no more than a name is stored.

    Raises:
        NameTakenError: more is.
    """
    for number in _rivals(warehouse, entry):
        if _is_owner(warehouse, entry.table, number) or _is_used(warehouse, entry.table, number):
            raise taken(warehouse, entry, number)
        of_row = f"where {key_of(entry.table)} = $id"
        if entry.table in _ATTACHED:
            warehouse.execute(f"delete from store.{_ATTACHED[entry.table]} {of_row}", id=number)  # noqa: S608
        warehouse.execute(f"delete from store.{entry.table} {of_row}", id=number)  # noqa: S608


def _check_layer(warehouse: Warehouse, layer: PlannedLayer) -> Iterator[str]:
    """A line where a model's layer is known by another name, as directions may be.

    Raises:
        NameTakenError: another layer of the model has its name.
    """
    stored = warehouse.scalar("select name from store.layers where fingerprint = $f", f=layer.fingerprint)
    if stored is not None:
        if stored != layer.stored_name:
            yield _note(f"{layer.stored_name} of {layer.model.name}", stored)
        return
    other = layer_namesake(warehouse, layer)
    if other is None:
        return
    if other["is_imported"]:
        if other["units"] > layer.units:
            raise NameTakenError(
                f"labels of {other['units']} units were imported for {layer.stored_name} of {layer.model.name}, which "
                f"has {layer.units}; they are of another network: take another --warehouse"
            )
    elif _is_used(warehouse, "layers", other["layer_id"]):
        raise _taken_layer(warehouse, layer)


def layer_namesake(warehouse: Warehouse, layer: PlannedLayer) -> dict[str, Any] | None:
    """The other layer of a planned one's model that has its name: its number, units, and whether it was imported."""
    found = warehouse.sql(
        "select layer_id, layers.fingerprint, units, layers.is_imported"
        " from store.layers join store.models using (model_id)"
        " where models.fingerprint = $model and layers.name = $name and layers.fingerprint <> $layer",
        model=layer.model.fingerprint,
        name=layer.stored_name,
        layer=layer.fingerprint,
    ).pl()
    return None if found.is_empty() else found.row(0, named=True)


def _taken_layer(warehouse: Warehouse, layer: PlannedLayer) -> NameTakenError:
    """What is said where a model has another layer of that name."""
    where = f"{layer.stored_name!r} of {layer.model.name} is taken in {warehouse.path}"
    directions = layer.reading.directions
    if directions is None:
        return NameTakenError(f"{where} by another reading of it; take another --warehouse")
    names = {name for (name,) in warehouse.sql("select name from store.layers").fetchall()}
    new = next_name(directions.name, lambda name: layer.stored_name.replace(directions.name, name) in names)
    place = layer.reading.place.text
    return NameTakenError(
        f"{where} by other directions; give these their own: --directions {place}={new}={directions.spec}"
    )
