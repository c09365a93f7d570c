"""The demo's recipes: real networks, photographs that come with packages and drawn pictures; no network is needed."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from neuronlake.ingest.demo.folder import write_folder
from neuronlake.ingest.demo.photographs import LIST, write_photographs
from neuronlake.ingest.demo.pictures import pictures
from neuronlake.ingest.networks.weights import cache_folder
from neuronlake.ingest.recipe import Recipe

# The study's 0.005 is for Broden, of which each texture is a far smaller part. Here each covers one image in 43 and
# each colour one in 19: a unit that shows it exactly, but is active in 0.005 of all places, has an IoU of 0.2 or 0.1.
_ACTIVE = 0.02
_WITH_MAPS = ("_blocks.4", "_blocks.10")


def demo_recipes() -> tuple[Recipe, Recipe]:
    """EfficientNet-Lite0 and Lite1, from early to the classifier, on crops of photographs and on drawn pictures.

    Labelled twice: by Network Dissection with the pictures' masks, but for the classifier, which looks at images as a
    whole; and by CLIP-Dissect with ConSE as the encoder.

    Raises:
        ModelError: the extra `demo` is not installed.
    """
    made = cache_folder() / f"demo-{_version()}"
    looked_at = Recipe(
        models=("efficientnet-lite0-imagenet", "efficientnet-lite1-imagenet"),
        layers=(*_WITH_MAPS, "_fc"),
        chunk_images=1_000,
        probes=(f"photographs={make_photographs(made / 'photographs') / LIST}", str(make_pictures(made / "drawn"))),
    )
    by_words = replace(
        looked_at, concepts=("broden", "imagenet"), encoder="conse", parameters={"top_k": 5}, keep_concepts=50
    )
    by_masks = replace(looked_at, layers=_WITH_MAPS, method="network_dissection", parameters={"quantile": _ACTIVE})
    return by_masks, by_words


def make_photographs(folder: Path) -> Path:
    """Crops of photographs, see `photographs.write_photographs`, unless they are there.

    Raises:
        ModelError: scikit-image is not installed.
    """
    return _made_once(folder, write_photographs)


def make_pictures(folder: Path) -> Path:
    """The drawn pictures in Broden's layout, unless they are there."""
    return _made_once(folder, lambda empty: write_folder(empty, pictures()))


def _version() -> str:
    """Other code makes other pictures, which lie in another folder."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:8]


def _made_once(folder: Path, write: Callable[[Path], None]) -> Path:
    """A folder that is there as a whole or not at all."""
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = Path(scratch) / "made"
            made.mkdir()
            write(made)
            shutil.move(made, folder)
    return folder
