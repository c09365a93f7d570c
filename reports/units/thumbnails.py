"""Small pictures of images, to stand within a page."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass

from neuronlake.sql.warehouse import Warehouse


@dataclass(frozen=True)
class Picture:
    """A small picture of an image: its size in pixels, and its address, which holds all of it."""

    width: int
    height: int
    source: str


def read_pictures(warehouse: Warehouse, image_ids: Iterable[int]) -> dict[int, Picture]:
    """The pictures of these images, as far as there are any."""
    rows = warehouse.step("pictures_of_images", image_ids=[str(number) for number in image_ids]).fetchall()
    return {
        number: Picture(width, height, f"data:image/webp;base64,{base64.b64encode(webp).decode()}")
        for number, width, height, webp in rows
    }
