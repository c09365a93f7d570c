"""On one device a run twice, cut off, killed, or with batches that its memory cannot hold stores the same rows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from killed import faults, tables
from small_networks import LAYERS, small_networks
from torch import Tensor, nn

import neuronlake
from neuronlake.ingest.networks.models import model_from_module
from neuronlake.ingest.networks.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from neuronlake.ingest.recipe import Recipe
from tiny import write_image

# of the largest: another number of images in a batch has other kernels compute them
ROUNDING = 1e-4


@pytest.fixture(scope="module")
def recipe(tiny_recipe: Recipe, device: torch.device) -> Recipe:
    """The ResNet on three chunks of two batches."""
    model = small_networks()["resnet"]
    return replace(tiny_recipe, models=(model,), layers=LAYERS["resnet"], random_weights=False, device=str(device))


@pytest.fixture(scope="module")
def expected(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of a run that nothing came in the way of."""
    path = tmp_path_factory.mktemp("whole") / "w.duckdb"
    ingest(path, recipe)
    assert faults(path) == []
    return tables(path)


def ingest(path: Path, recipe: Recipe) -> tuple[str, ...]:
    with neuronlake.open(path, write=True) as warehouse:
        return neuronlake.ingest(warehouse, recipe).notes


def test_two_runs_store_the_same_bit_for_bit(
    recipe: Recipe, expected: dict[str, list[tuple[Any, ...]]], tmp_path: Path
) -> None:
    ingest(tmp_path / "again.duckdb", recipe)
    assert tables(tmp_path / "again.duckdb") == expected


@pytest.mark.parametrize("stage", ["Extracting images", "Scoring layers"])
def test_a_run_that_was_cut_off_goes_on(
    recipe: Recipe, expected: dict[str, list[tuple[Any, ...]]], tmp_path: Path, stage: str
) -> None:
    def cut_off(at: str, done: int, total: int) -> None:
        if at == stage and done > total / 2:
            raise KeyboardInterrupt

    path = tmp_path / "w.duckdb"
    with neuronlake.open(path, write=True) as warehouse, suppress(KeyboardInterrupt):
        neuronlake.ingest(warehouse, recipe, cut_off)
    begun = tables(path)
    assert 0 < len(begun["activations"]) <= len(expected["activations"])
    assert len(begun["labels"]) < len(expected["labels"])
    ingest(path, recipe)
    assert tables(path) == expected


# Kills itself as the second chunk is seen.
KILLED = """
import os, signal, sys
from pathlib import Path
import neuronlake
from small_networks import LAYERS, small_networks

folder, images, concepts, encoder, device = sys.argv[1:]

def tell(stage, done, total):
    if stage == "Extracting images" and done >= 12:
        os.kill(os.getpid(), signal.SIGKILL)

with neuronlake.open(Path(folder) / "w.duckdb", write=True) as warehouse:
    neuronlake.ingest(
        warehouse, progress=tell, models=tuple(small_networks().values())[:1], layers=LAYERS["resnet"],
        probes=images, concepts=concepts, encoder=encoder, device=device, parameters={"top_k": 5}, null_draws=50,
        batch_size=4, chunk_images=8,
    )
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX processes")
def test_a_run_that_was_killed_goes_on(
    recipe: Recipe, expected: dict[str, list[tuple[Any, ...]]], tmp_path: Path
) -> None:
    given = (str(tmp_path), recipe.probes[0], recipe.concepts[0], recipe.encoder, recipe.device)
    tests = str(Path(__file__).parents[1])
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *given], env={**os.environ, "PYTHONPATH": tests}, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    path = tmp_path / "w.duckdb"
    assert faults(path) == []
    assert len(tables(path)["activations"]) < len(expected["activations"])
    ingest(path, recipe)
    assert tables(path) == expected


class Hungry(nn.Module):
    """Asks the device for more than there is where it sees more than three images."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(6)
        self.stem = nn.Conv2d(3, 8, 3)

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > 3:
            torch.empty(2**55, device=images.device)
        return self.stem(images)


def numbers(path: Path) -> np.ndarray:
    with neuronlake.open(path) as warehouse:
        query = "select activation from activations order by model, layer, unit, image"
        return np.asarray(warehouse.sql(query).fetchnumpy()["activation"])


def top_images(path: Path) -> pl.DataFrame:
    with neuronlake.open(path) as warehouse:
        return warehouse.sql("select unit, image, rank from top_images order by all").pl()


def test_batches_that_are_too_much_are_halved_and_nothing_is_lost(recipe: Recipe, tmp_path: Path) -> None:
    seen = Preprocessing(32, 32, (0.5,) * 3, (0.25,) * 3)
    hungry = replace(recipe, models=(model_from_module("hungry", Hungry(), seen),), layers=("stem",), batch_size=8)
    notes = ingest(tmp_path / "halved.duckdb", hungry)
    assert any("ran out of memory on batches of 8, so they were made of 2" in note for note in notes)
    assert ingest(tmp_path / "small.duckdb", replace(hungry, batch_size=2)) == ()
    # the same batches, so the same bits
    np.testing.assert_array_equal(numbers(tmp_path / "halved.duckdb"), numbers(tmp_path / "small.duckdb"))
    ingest(tmp_path / "three.duckdb", replace(hungry, batch_size=3))
    halved, three = (numbers(tmp_path / f"{name}.duckdb") for name in ("halved", "three"))
    assert np.abs(halved - three).max() < ROUNDING * np.abs(three).max()


@contextmanager
def filled(device: torch.device, free: int) -> Generator[None]:
    """Leave so many bytes of a CUDA device's memory; of the CPU's all."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.empty_cache()
    there, _ = torch.cuda.mem_get_info(device)
    filling = torch.empty(max(0, there - free), dtype=torch.uint8, device=device)
    try:
        yield
    finally:
        del filling
        torch.cuda.empty_cache()


def test_a_device_filled_on_purpose_has_batches_halved(recipe: Recipe, tmp_path: Path) -> None:
    # a batch of 256 images of 224 pixels takes a ResNet-18's first convolution 0.8 GB, and as much for its batch norm
    on_gpu = recipe.device == "cuda"
    side, images = (224, 256) if on_gpu else (32, 16)
    for number in range(images):
        write_image(tmp_path / "images" / f"{number:03}.png", number)
    model = model_from_module(
        "resnet", small_networks()["resnet"].module, Preprocessing(side, side, IMAGENET_MEAN, IMAGENET_STD)
    )
    full = replace(recipe, models=(model,), probes=(str(tmp_path / "images"),), batch_size=images, chunk_images=images)
    ingest(tmp_path / "empty.duckdb", full)
    with filled(torch.device(recipe.device), 3 * 2**29):
        notes = ingest(tmp_path / "filled.duckdb", full)
    assert any("ran out of memory on batches of 256" in note for note in notes) == on_gpu
    assert faults(tmp_path / "filled.duckdb") == []
    expected, found = (numbers(tmp_path / f"{name}.duckdb") for name in ("empty", "filled"))
    assert np.abs(found - expected).max() < ROUNDING * np.abs(expected).max()
    known, also = (top_images(tmp_path / f"{name}.duckdb") for name in ("empty", "filled"))
    # of images that are equal but for rounding another may be before
    assert known.join(also, on=known.columns).height > 0.99 * known.height
