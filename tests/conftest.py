"""What several tests need, made once: small images, a small CLIP, and the warehouse they give."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import pytest
import small_warehouse
import torch

import neuronlake
from neuronlake.ingest.recipe import Recipe
from tiny import CONCEPTS, TINY_CLIP, TINY_PREPROCESSING, write_image

_NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and there is none here")


@pytest.fixture(scope="session", params=["cpu", pytest.param("cuda", marks=[pytest.mark.cuda, _NO_GPU])])
def device(request: pytest.FixtureRequest) -> torch.device:
    """The CPU, where a test checks itself, and a CUDA device; `pytest -m cuda` runs what is for the second alone."""
    return torch.device(request.param)


@pytest.fixture(scope="session")
def tiny_clip() -> torch.nn.Module:
    """A small CLIP with random weights, always the same."""
    torch.manual_seed(1)
    return open_clip.CLIP(**TINY_CLIP, quick_gelu=False).eval()  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="session")
def tiny_clip_folder(tiny_clip: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small CLIP as a folder that open_clip's ``local-dir:`` loads."""
    folder = tmp_path_factory.mktemp("tiny-clip")
    config = {"model_cfg": TINY_CLIP, "preprocess_cfg": TINY_PREPROCESSING}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.save(tiny_clip.state_dict(), folder / "open_clip_pytorch_model.bin")
    return folder


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty small images in two labelled subfolders, and a file that is no image."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(20):
        write_image(folder / ("even" if number % 2 == 0 else "odd") / f"{number:02}.png", number)
    (folder / "notes.txt").write_text("not an image")
    return folder


@pytest.fixture(scope="session")
def concept_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A handful of concepts."""
    path = tmp_path_factory.mktemp("concepts") / "words.txt"
    path.write_text("\n".join(CONCEPTS) + "\n")
    return path


@pytest.fixture(scope="session")
def tiny_recipe(tiny_clip_folder: Path, image_folder: Path, concept_file: Path) -> Recipe:
    """A run that takes seconds: ResNet-18 with random weights, three chunks, few pseudo-units."""
    return Recipe(
        models=("resnet18-imagenet",),
        layers=("layer3", "fc"),
        probes=(str(image_folder),),
        concepts=(str(concept_file),),
        encoder=f"local-dir:{tiny_clip_folder}",
        parameters={"top_k": 5},
        random_weights=True,
        null_draws=50,
        batch_size=4,
        chunk_images=8,
    )


@pytest.fixture(scope="session")
def tiny_warehouse(tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The warehouse that the small run makes. Tests read it and change nothing."""
    path = tmp_path_factory.mktemp("warehouse") / "tiny.duckdb"
    with neuronlake.open(path, write=True) as warehouse:
        neuronlake.ingest(warehouse, tiny_recipe)
    return path


@pytest.fixture(scope="session")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The warehouse of `small_warehouse`, closed. Tests copy it."""
    path = tmp_path_factory.mktemp("small") / "small.duckdb"
    small_warehouse.build(path).close()
    return path
