"""Images first: those that a reader looks for, and the units that one of them excites."""

from __future__ import annotations

import html

import polars as pl

from neuronlake.reports.units.thumbnails import read_pictures
from neuronlake.sql.warehouse import Warehouse

_MOST_UNITS, _MOST_IMAGES = 100, 40


def find_images(warehouse: Warehouse, text: str, setting: int) -> pl.DataFrame:
    """Picture, path, label and number of the first images of a setting's probe whose path or label contains a text."""
    found = warehouse.query("images_by_name", text=text, setting=str(setting), top=str(_MOST_IMAGES)).pl()
    pictures = read_pictures(warehouse, found["image_id"])
    shown = [picture.source if (picture := pictures.get(number)) else "" for number in found["image_id"]]
    return found.select(pl.Series("picture", shown, dtype=pl.String), "image", "label", "image_id")


def said_of(found: pl.DataFrame) -> str:
    """What to say above images that were found."""
    if found.is_empty():
        return "No image of the probe has this in its path or label."
    more = f"The first {_MOST_IMAGES}; type more to see others. " if found.height == _MOST_IMAGES else ""
    return f"{more}Tick an image to see which units it excites most."


def excited_units(warehouse: Warehouse, image: str, setting: int) -> pl.DataFrame:
    """The units that an image of that path excites most, of the query image_profile."""
    asked = {"image": image, "setting": str(setting), "top": str(_MOST_UNITS)}
    found = warehouse.query("image_profile", **asked).pl()
    shown = found.select("model", "layer", "unit", "excitement", "activation", "concept", "confidence", "holds")
    return shown.with_columns(pl.col("excitement", "activation", "confidence").cast(pl.Float64).round(3))


def image_part(warehouse: Warehouse, image: str, setting: int) -> str:
    """The picture of an image of that path in a setting's probe, and the path, as HTML."""
    asked = {"text": image, "setting": str(setting), "top": "1"}
    found = warehouse.query("images_by_name", **asked).pl().filter(image=image)
    (row,) = found.to_dicts() or ({"image_id": -1},)
    picture = read_pictures(warehouse, [row["image_id"]]).get(row["image_id"])
    shown = f'<img alt="" src="{picture.source}" style="height: 160px; object-fit: contain">' if picture else ""
    return f'<figure class="chosen-image">{shown}<figcaption>{html.escape(image)}</figcaption></figure>'
