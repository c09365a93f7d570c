"""The demo's recipe: real networks and photographs that come with packages, so that it runs without a network."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from neuronlake.ingest.networks.errors import ModelError
from neuronlake.ingest.networks.weights import cache_folder
from neuronlake.ingest.recipe import Recipe

# Photographs of scikit-image, all free to use; its drawings and test patterns are left out.
_PHOTOGRAPHS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "cell.png",
    "chelsea.png",
    "clock_motion.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
)
# Each photograph whole, and cut into grids of 2 x 2, 3 x 3 and 4 x 4 overlapping crops.
_GRIDS = (1, 2, 3, 4)
_CROP_OVERLAP = 1.25
_LARGEST_SIDE = 320


def demo_recipe() -> Recipe:
    """EfficientNet-Lite0 and Lite1, from early to the classifier, on crops of photographs, with ConSE.

    Raises:
        ModelError: the extra `demo` is not installed.
    """
    return Recipe(
        models=("efficientnet-lite0-imagenet", "efficientnet-lite1-imagenet"),
        layers=("_blocks.4", "_blocks.10", "_fc"),
        probes=(str(make_probe(cache_folder() / f"demo-{_crops_version()}" / "photographs")),),
        concepts=("broden", "imagenet"),
        encoder="conse",
        parameters={"top_k": 10},
        keep_concepts=50,
        # the label of a crop is its photograph, whose crops would tell each other's activations
        keep_together="label",
    )


def _crops_version() -> str:
    """Other crops lie in another folder."""
    settings = repr((_PHOTOGRAPHS, _GRIDS, _CROP_OVERLAP, _LARGEST_SIDE))
    return hashlib.sha256(settings.encode()).hexdigest()[:8]


def make_probe(folder: Path) -> Path:
    """Cut scikit-image's photographs into crops, one subfolder a photograph, unless that was done before.

    Raises:
        ModelError: scikit-image is not installed.
    """
    if folder.is_dir():
        return folder
    try:
        import skimage  # noqa: PLC0415  # deptry: ignore[DEP004]  of the extra `demo`
    except ImportError as error:
        raise ModelError("the demo needs the extra `demo`; install it with: pip install 'neuronlake[demo]'") from error
    photographs = Path(skimage.__file__).parent / "data"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        for name in _PHOTOGRAPHS:
            target = Path(scratch) / "crops" / Path(name).stem
            target.mkdir(parents=True)
            with Image.open(photographs / name) as photograph:
                rgb = photograph.convert("RGB")
            for place, crop in _crops(rgb):
                crop.save(target / f"{place}.png")
        shutil.move(Path(scratch) / "crops", folder)
    return folder


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
