"""Crops of photographs that come with scikit-image, so that nothing is fetched."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from neuronlake.ingest.networks.errors import ModelError

# Free to use all of them. Left out are drawings and test patterns, and what has no name that a network could have
# learned: cells, an eye's ground, a moon without its edge.
_PHOTOGRAPHS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "motorcycle_left.png",
    "rocket.jpg",
)
# Each photograph whole, and cut into 2 x 2 overlapping crops.
_GRIDS = (1, 2)
_CROP_OVERLAP = 1.25
_LARGEST_SIDE = 320
# the crops, each with its photograph: left out together where labels are judged, as they tell each other's activations
LIST = "photographs.csv"


def write_photographs(folder: Path) -> None:
    """Cut scikit-image's photographs into crops, one subfolder a photograph, and list them in `LIST`.

    Raises:
        ModelError: scikit-image is not installed.
    """
    try:
        import skimage  # noqa: PLC0415  # deptry: ignore[DEP004]  of the extra `demo`
    except ImportError as error:
        raise ModelError("the demo needs the extra `demo`; install it with: pip install 'neuronlake[demo]'") from error
    with (folder / LIST).open("w", newline="", encoding="utf-8") as opened:
        listing = csv.writer(opened, lineterminator="\n")
        listing.writerow(("path", "label", "group"))
        for name in _PHOTOGRAPHS:
            photographed = Path(name).stem
            (folder / photographed).mkdir()
            with Image.open(Path(skimage.__file__).parent / "data" / name) as photograph:
                rgb = photograph.convert("RGB")
            for place, crop in _crops(rgb):
                crop.save(folder / photographed / f"{place}.png")
                listing.writerow((f"{photographed}/{place}.png", photographed, photographed))


def _crops(rgb: Image.Image) -> Iterator[tuple[str, Image.Image]]:
    """Name and picture of each crop of a photograph."""
    for grid in _GRIDS:
        width, height = (min(side, side / grid * _CROP_OVERLAP) for side in rgb.size)
        for row in range(grid):
            for column in range(grid):
                left = (rgb.width - width) * column / max(1, grid - 1)
                top = (rgb.height - height) * row / max(1, grid - 1)
                crop = rgb.crop((round(left), round(top), round(left + width), round(top + height)))
                crop.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE), Image.Resampling.LANCZOS)
                yield f"{grid}x{grid}-row{row + 1}-column{column + 1}", crop
