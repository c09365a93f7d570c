"""Small pictures of images, and the images that could not be read."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from neuronlake.sql.store.probes import StoredProbe
from neuronlake.sql.warehouse import Warehouse


def insert_pictures(warehouse: Warehouse, pictures: pl.DataFrame) -> None:
    """Write pictures that are not there yet: image_id (ascending), width, height and webp."""
    if pictures.is_empty():
        return
    select = "select image_id from store.thumbnails where image_id between $first and $last"
    known = warehouse.sql(select, first=pictures["image_id"][0], last=pictures["image_id"][-1]).pl()
    warehouse.insert("thumbnails", pictures.join(known.cast(pl.Int64), on="image_id", how="anti"))


def insert_failures(warehouse: Warehouse, reasons: Mapping[int, str]) -> None:
    """Write why images could not be read, by their numbers; an earlier reason stays."""
    for image_id, reason in reasons.items():
        statement = "insert or ignore into store.failed_images values ($id, $reason)"
        warehouse.execute(statement, id=image_id, reason=reason)


def pictured_paths(warehouse: Warehouse, first_image_id: int, last_image_id: int) -> dict[int, str]:
    """The images among these of which there is a picture, by number: their paths."""
    return dict(warehouse.step("pictured_paths", first_image_id=first_image_id, last_image_id=last_image_id).fetchall())


def looked_at(warehouse: Warehouse, probe: StoredProbe) -> set[int]:
    """Numbers of the images of a probe of which there is a picture, or a reason why not."""
    return {number for (number,) in warehouse.step("images_looked_at", **probe.image_range).fetchall()}


def known_failures(warehouse: Warehouse, probe: StoredProbe) -> dict[int, str]:
    """The probe's images that earlier runs could not read, by their numbers, each with its path and the reason."""
    return dict(warehouse.step("known_failures", **probe.image_range).fetchall())
