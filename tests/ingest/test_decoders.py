"""Runs with another decoder of JPEGs: layers and embeddings of their own, with nearly the same numbers."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import neuronlake
from neuronlake.ingest import plan
from neuronlake.ingest.estimate import estimate
from neuronlake.ingest.find import find_units
from neuronlake.ingest.history import recipe_text
from neuronlake.ingest.layers.choosing import choose_layers
from neuronlake.ingest.machines.feeding import ahead
from neuronlake.ingest.machines.ray_chunks import _Worker  # pyright: ignore[reportPrivateUsage]
from neuronlake.ingest.machines.shards import read_shard
from neuronlake.ingest.networks.models import Model, load_model
from neuronlake.ingest.networks.preprocessing import Decoder, decoded_by
from neuronlake.ingest.plan import make_plan
from neuronlake.ingest.recipe import Recipe
from neuronlake.ingest.run import pending_chunks
from neuronlake.ingest.storing import register
from neuronlake.sql.verify import verify
from neuronlake.sql.warehouse import Warehouse
from neuronlake.sql.words import no_progress
from tiny import write_image

JPEGS, OTHERS = 9, 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine JPEGs, a PNG, and a JPEG that breaks off."""
    place = tmp_path_factory.mktemp("jpegs")
    for number in range(JPEGS):
        write_image(place / f"{number}.jpg", number)
    write_image(place / "9.png", 9)
    (place / "broken.jpg").write_bytes((place / "0.jpg").read_bytes()[:-100])
    return place


NETWORKS = """
import torch
from neuronlake import Preprocessing

def make(transform=Preprocessing(24, 20, (0.5,) * 3, (0.5,) * 3)):
    torch.manual_seed(0)
    network = torch.nn.Sequential()
    network.add_module("fc", torch.nn.Conv2d(3, 4, 3))
    return network, transform

def make_own():
    return make(lambda image: torch.full((3, 8, 8), image.width / 100))
"""


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("networks") / "net.py"
    file.write_text(NETWORKS)
    return file


@pytest.fixture(scope="module")
def recipe(tiny_recipe: Recipe, folder: Path, networks: Path) -> Recipe:
    models = (f"usual={networks}:make",)
    return dataclasses.replace(tiny_recipe, models=models, probes=(str(folder),), layers=("fc",), random_weights=False)


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nvJPEG would decode, the CPU decodes as if it were a GPU."""

    def take_any(*_: object) -> None:
        pass

    for module in (plan, ahead):
        monkeypatch.setattr(module, "require_decoder", take_any)


def activations(warehouse: Warehouse, layer: str) -> pl.DataFrame:
    read = "select image, activation from activations where layer = $layer order by unit, image"
    return warehouse.sql(read, layer=layer).pl()


def test_another_decoders_layers_stand_beside_pillows(recipe: Recipe, tmp_path: Path) -> None:
    with neuronlake.open(tmp_path / "w.duckdb") as warehouse:
        neuronlake.ingest(warehouse, recipe)
        of_torchvision = dataclasses.replace(recipe, decoder="torchvision")
        found = neuronlake.ingest(warehouse, of_torchvision)
        assert any("1 of 11 files could not be read" in note for note in found.notes)
        pillows, others = activations(warehouse, "fc"), activations(warehouse, "fc:torchvision")
        assert pillows["image"].equals(others["image"])
        apart = (pillows["activation"] - others["activation"]).abs().to_numpy().reshape(-1, JPEGS + OTHERS)
        assert apart[:, :JPEGS].max() > 0
        assert apart.max() < 0.05 * float(np.abs(pillows["activation"].to_numpy()).max())
        # the PNG is Pillow's in either run; its batch is another one
        assert apart[:, JPEGS:].max() < 1e-4
        encoders = [row[0] for row in warehouse.sql("select name from store.encoders order by all").fetchall()]
        assert encoders == [recipe.encoder, f"{recipe.encoder} torchvision"]
        # the encoder is made again from what its fingerprint tells, and its run from what the run has left
        assert find_units(warehouse, "striped", top=2).height == 2
        assert 'decoder = "torchvision"' in recipe_text(warehouse)
        assert neuronlake.ingest(warehouse, of_torchvision).extracted_images == 0
        assert verify(warehouse) == []


@pytest.mark.usefixtures("without_gpu")
def test_what_a_gpu_decodes_gives_what_the_cpu_would_give(recipe: Recipe, tmp_path: Path) -> None:
    with neuronlake.open(tmp_path / "w.duckdb") as warehouse:
        neuronlake.ingest(warehouse, dataclasses.replace(recipe, decoder="torchvision"))
        neuronlake.ingest(warehouse, dataclasses.replace(recipe, decoder="nvjpeg"))
        assert activations(warehouse, "fc:nvjpeg").equals(activations(warehouse, "fc:torchvision"))


@pytest.mark.parametrize("decoder", ["torchvision", "nvjpeg"])
@pytest.mark.usefixtures("without_gpu")
def test_a_worker_of_a_cluster_extracts_the_same(recipe: Recipe, tmp_path: Path, decoder: Decoder) -> None:
    with neuronlake.open(tmp_path / "w.duckdb") as warehouse:
        planned = make_plan(dataclasses.replace(recipe, decoder=decoder), no_progress)
        stored = register(warehouse, planned)
        chunk = pending_chunks(warehouse, planned, stored)[0]
        networks = planned.networks
        worker = _Worker(networks.load, None, networks.fingerprints, "cpu", 4, 1)
        worker.extract(chunk, tmp_path / "chunk")
        neuronlake.ingest(warehouse, planned.recipe)
        here = activations(warehouse, f"fc:{decoder}").filter(
            pl.col("image").is_in([i.image.path for i in chunk.images])
        )
        there = read_shard(tmp_path / "chunk").activations[planned.layers[0].key]
        assert there.T.flatten().tolist() == here["activation"].to_list()


def test_a_dry_run_tries_the_decoder_and_names_its_layers(recipe: Recipe) -> None:
    found = estimate(dataclasses.replace(recipe, decoder="torchvision"))
    assert [layer for _, layer, _ in found.layers] == ["fc:torchvision"]


def _planned(model: Model, decoder: Decoder) -> tuple[str, str]:
    decoded = dataclasses.replace(model, preprocessing=decoded_by(model.preprocessing, decoder))
    (layer,) = choose_layers(decoded, ["fc"])
    return layer.stored_name, layer.fingerprint


def test_fingerprints_are_those_of_earlier_versions_and_differ_by_decoder(networks: Path) -> None:
    model = load_model(f"usual={networks}:make")
    planned = [_planned(model, decoder) for decoder in ("pillow", "torchvision", "nvjpeg")]
    assert [name for name, _ in planned] == ["fc", "fc:torchvision", "fc:nvjpeg"]
    assert len({fingerprint for _, fingerprint in planned}) == 3
    parts = (model.fingerprint, "fc", "mean", "float32")
    assert planned[0][1] == hashlib.sha256(repr(parts).encode()).hexdigest()


def test_what_takes_pictures_is_the_same_layer_whatever_the_decoder_and_the_run_says_so(
    recipe: Recipe, networks: Path, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(recipe, models=(f"own={networks}:make_own",))
    own = load_model(f"own={networks}:make_own")
    assert _planned(own, "torchvision") == _planned(own, "pillow")
    with neuronlake.open(tmp_path / "w.duckdb") as warehouse:
        neuronlake.ingest(warehouse, recipe)
        found = neuronlake.ingest(warehouse, dataclasses.replace(recipe, decoder="torchvision"))
        assert "own's transform takes pictures, so Pillow decoded its images, not torchvision" in found.notes
        assert warehouse.sql("select name from store.layers").fetchall() == [("fc",)]
