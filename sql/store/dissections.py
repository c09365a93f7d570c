"""Dissections: a layer's maps beside masks, from the highest values of its units to their pixels in each region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
import pyarrow as pa

from neuronlake.sql.warehouse import Warehouse

Pass = Literal["thresholds", "regions"]


@dataclass(frozen=True)
class StoredDissection:
    """A dissection's number, and that of the model."""

    dissection_id: int
    model_id: int


@dataclass(frozen=True)
class RegionRows:
    """Regions of images, in order.

    Attributes:
        image_id: (regions,) int32.
        pixels: (regions,) int64.
        starts: where the concepts of each begin, (regions + 1,) int64.
        members: places of concepts in their set, (pairs,) int64.
    """

    image_id: np.ndarray
    pixels: np.ndarray
    starts: np.ndarray
    members: np.ndarray


@dataclass(frozen=True)
class ActiveRows:
    """Active pixels in the order of units and images; each (rows,) int32."""

    unit: np.ndarray
    image_id: np.ndarray
    region: np.ndarray
    pixels: np.ndarray


@dataclass(frozen=True)
class HighestValues:
    """The highest values of each unit.

    Attributes:
        values: unit after unit, (values,) float32.
        starts: where those of each unit begin, (units + 1,) int64.
    """

    values: np.ndarray
    starts: np.ndarray


def register(
    warehouse: Warehouse, layer_id: int, probe_id: int, concept_set_id: int, quantile: float
) -> StoredDissection:
    """The dissection of a layer; its row is written if there is none."""
    found = find(warehouse, layer_id, probe_id, concept_set_id, quantile)
    if found is not None:
        return found
    number = warehouse.next_id("dissections", "dissection_id")
    row = {"layer_id": layer_id, "probe_id": probe_id, "concept_set_id": concept_set_id, "quantile": quantile}
    warehouse.insert("dissections", pl.DataFrame({"dissection_id": [number]}), **row)
    found = find(warehouse, layer_id, probe_id, concept_set_id, quantile)
    assert found is not None
    return found


def find(
    warehouse: Warehouse, layer_id: int, probe_id: int, concept_set_id: int, quantile: float
) -> StoredDissection | None:
    """The dissection of a layer, if there is one."""
    rows = warehouse.sql(
        "select dissection_id, model_id from store.dissections inner join store.layers using (layer_id)"
        " where layer_id = $layer_id and probe_id = $probe_id and concept_set_id = $set_id and quantile = $quantile",
        layer_id=layer_id,
        probe_id=probe_id,
        set_id=concept_set_id,
        quantile=quantile,
    ).fetchall()
    return StoredDissection(*rows[0]) if rows else None


def dissected_layers(warehouse: Warehouse, probe_id: int, quantile: float) -> dict[int, list[int]]:
    """By concept set of masks the layers that were looked at beside them to the end; the newest first."""
    rows = warehouse.step("dissected_layers", probe_id=probe_id, quantile=quantile).fetchall()
    found: dict[int, list[int]] = {}
    for layer_id, concept_set_id in rows:
        found.setdefault(concept_set_id, []).append(layer_id)
    return found


def quantiles(warehouse: Warehouse, layer_id: int) -> list[float]:
    """With which a layer was looked at beside masks."""
    select = "select distinct quantile from store.dissections where layer_id = $id"
    return [row[0] for row in warehouse.sql(select, id=layer_id).fetchall()]


def done_chunks(warehouse: Warehouse, dissection_id: int, which: Pass) -> set[int]:
    """Chunks of the probe that a pass has been over."""
    select = "select chunk from store.dissected_chunks where dissection_id = $id and pass = $pass"
    return {row[0] for row in warehouse.sql(select, id=dissection_id, **{"pass": which}).fetchall()}


def finish_chunk(warehouse: Warehouse, dissection_id: int, chunk: int, which: Pass, run_id: int) -> None:
    """Record that a pass has been over a chunk."""
    warehouse.insert(
        "dissected_chunks", pl.DataFrame({"pass": [which]}), dissection_id=dissection_id, chunk=chunk, run_id=run_id
    )


def set_places(warehouse: Warehouse, dissection_id: int, places: int) -> None:
    """Write how many places the layer's map of an image has."""
    update = "update store.dissections set places = $places where dissection_id = $id"
    warehouse.execute(update, places=places, id=dissection_id)


def places(warehouse: Warehouse, dissection_id: int) -> int | None:
    """How many places the layer's map of an image has; None before the first chunk."""
    return warehouse.scalar("select places from store.dissections where dissection_id = $id", id=dissection_id)


def insert_tails(warehouse: Warehouse, dissection_id: int, highest: HighestValues, first_unit: int = 0) -> None:
    """Add the highest values of units, which follow each other from the first."""
    units = np.arange(first_unit, first_unit + len(highest.starts) - 1, dtype=np.int32)
    lists = pa.ListArray.from_arrays(highest.starts.astype(np.int32), highest.values.astype(np.float32, copy=False))
    warehouse.insert("tails", pa.table({"unit": units, "highest": lists}), dissection_id=dissection_id)


def tails(warehouse: Warehouse, dissection_id: int, units: range) -> HighestValues:
    """The values of some units that `insert_tails` added, in any order."""
    rows = warehouse.sql(
        "select unit, flatten(list(highest)) as highest from store.tails"
        " where dissection_id = $id and unit between $first and $last group by unit order by unit",
        id=dissection_id,
        first=units.start,
        last=units.stop - 1,
    ).to_arrow_table()
    lists = rows["highest"].combine_chunks()
    found = dict(zip(rows["unit"].to_pylist(), lists.value_lengths().to_pylist(), strict=True))
    lengths = [found.get(unit, 0) for unit in units]
    return HighestValues(lists.flatten().to_numpy(), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def forget_tails(warehouse: Warehouse, dissection_id: int, units: range | None = None) -> None:
    """Delete the highest values of some units, or of all."""
    first, last = (0, 2**31 - 1) if units is None else (units.start, units.stop - 1)
    delete = "delete from store.tails where dissection_id = $id and unit between $first and $last"
    warehouse.execute(delete, id=dissection_id, first=first, last=last)


def stored_values(warehouse: Warehouse, dissection_id: int) -> int:
    """How many values `insert_tails` has added and nobody has deleted."""
    select = "select coalesce(sum(len(highest)), 0) from store.tails where dissection_id = $id"
    return int(warehouse.scalar(select, id=dissection_id))


def insert_thresholds(warehouse: Warehouse, dissection_id: int, values: np.ndarray) -> None:
    """Write the thresholds of a layer's units, (units,) float64."""
    rows = pl.DataFrame({"unit": np.arange(len(values), dtype=np.int32), "threshold": values})
    warehouse.insert("thresholds", rows, dissection_id=dissection_id)


def thresholds(warehouse: Warehouse, dissection_id: int) -> np.ndarray:
    """The thresholds of a layer's units, (units,) float64; none before the pass is over."""
    select = "select threshold from store.thresholds where dissection_id = $id order by unit"
    return warehouse.sql(select, id=dissection_id).fetchnumpy()["threshold"].astype(np.float64)


def region_chunks(warehouse: Warehouse, model_id: int, concept_set_id: int, probe_id: int) -> set[int]:
    """Chunks of a probe whose regions are there, as a model sees them."""
    select = (
        "select chunk from store.region_chunks"
        " where model_id = $model_id and concept_set_id = $set_id and probe_id = $probe_id"
    )
    rows = warehouse.sql(select, model_id=model_id, set_id=concept_set_id, probe_id=probe_id)
    return {row[0] for row in rows.fetchall()}


def insert_regions(
    warehouse: Warehouse, rows: pl.DataFrame, *, model_id: int, concept_set_id: int, probe_id: int, chunk: int
) -> None:
    """Write the regions of a chunk's images: image_id, region, concept_ids, pixels."""
    keys = {"model_id": model_id, "concept_set_id": concept_set_id}
    warehouse.insert("regions", rows, **keys)
    warehouse.insert("region_chunks", pl.DataFrame({"chunk": [chunk]}), probe_id=probe_id, **keys)


def insert_active(warehouse: Warehouse, dissection_id: int, active: pl.DataFrame, outlines: pl.DataFrame) -> None:
    """Write active pixels (unit, image_id, region, pixels) and outlines (unit, image_id, outline)."""
    warehouse.insert("active_regions", active, dissection_id=dissection_id)
    if not outlines.is_empty():
        warehouse.insert("outlines", outlines, dissection_id=dissection_id)


def regions(warehouse: Warehouse, model_id: int, concept_set_id: int, image_ids: np.ndarray) -> RegionRows:
    """The regions of images, as a model sees them.

    Args:
        warehouse: to read.
        model_id: whose view.
        concept_set_id: the concepts that masks tell.
        image_ids: of one probe, ascending.
    """
    members = "select concept_id from store.concept_set_concepts where concept_set_id = $id order by position"
    numbers = [row[0] for row in warehouse.sql(members, id=concept_set_id).fetchall()]
    place_of = np.full(max(numbers, default=0) + 1, -1, dtype=np.int64)
    place_of[numbers] = np.arange(len(numbers))
    table = warehouse.sql(
        "select image_id, pixels, concept_ids from store.regions"
        " where model_id = $model_id and concept_set_id = $set_id and image_id between $first and $last"
        " order by image_id, region",
        model_id=model_id,
        set_id=concept_set_id,
        first=int(image_ids[0]),
        last=int(image_ids[-1]),
    ).to_arrow_table()
    lists = table["concept_ids"].combine_chunks()
    lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
    return RegionRows(
        image_id=table["image_id"].to_numpy(),
        pixels=table["pixels"].to_numpy().astype(np.int64),
        starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        members=place_of[lists.flatten().to_numpy()],
    )


def active_pixels(warehouse: Warehouse, dissection_id: int) -> ActiveRows:
    """Where a layer's units are active."""
    found = warehouse.sql(
        "select unit, image_id, region, pixels from store.active_regions"
        " where dissection_id = $id order by unit, image_id, region",
        id=dissection_id,
    ).fetchnumpy()
    return ActiveRows(**{name: np.asarray(found[name], dtype=np.int32) for name in ActiveRows.__annotations__})


def top_images(warehouse: Warehouse, layer_id: int, probe_id: int, image_ids: Sequence[int], most: int) -> pl.DataFrame:
    """Which of some images are among the first of each unit's top images: unit, image_id."""
    return warehouse.sql(
        "select unit, image_id from store.top_images"
        " where layer_id = $layer_id and probe_id = $probe_id and rank <= $most and image_id between $first and $last",
        layer_id=layer_id,
        probe_id=probe_id,
        most=most,
        first=min(image_ids, default=0),
        last=max(image_ids, default=-1),
    ).pl()
