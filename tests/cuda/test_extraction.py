"""What a run on a device stores of each image is what plain forward passes in float64 on the CPU give."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_networks import LAYERS, small_networks
from torch import Tensor
from torch.nn.functional import normalize

import neuronlake
from neuronlake.ingest.encoders.loading import load_encoder
from neuronlake.ingest.networks.models import Model
from neuronlake.ingest.recipe import Recipe
from neuronlake.sql.warehouse import Warehouse

# of a layer's largest activation: rounding in float32, which adds up over twenty layers
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def recipe(tiny_recipe: Recipe, device: torch.device) -> Recipe:
    return replace(
        tiny_recipe, models=tuple(small_networks().values()), layers=(), random_weights=False, device=str(device)
    )


@pytest.fixture(scope="module")
def looked_at(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """A warehouse of both networks and the encoder, made on the device."""
    with neuronlake.open(tmp_path_factory.mktemp("looked-at") / "w.duckdb", write=True) as warehouse:
        ingest_both(warehouse, recipe)
        yield warehouse


def ingest_both(warehouse: Warehouse, recipe: Recipe) -> tuple[str, ...]:
    """A run for each network, whose layers have names of their own; the notes of both."""
    notes: tuple[str, ...] = ()
    for model in recipe.models:
        assert isinstance(model, Model)
        notes += neuronlake.ingest(warehouse, replace(recipe, models=(model,), layers=LAYERS[model.name])).notes
    return notes


@pytest.fixture(scope="module")
def pictures(image_folder: Path) -> list[Image.Image]:
    return [Image.open(path).convert("RGB") for path in sorted(image_folder.rglob("*.png"))]


@pytest.fixture(scope="module")
def exact(pictures: list[Image.Image]) -> dict[tuple[str, str], Tensor]:
    """What each layer gives for all pictures, in float64, by model and layer."""
    found: dict[tuple[str, str], Tensor] = {}
    for name, model in small_networks().items():
        module = model.module.double()
        for layer in LAYERS[name]:

            def keep(_module: object, _inputs: object, output: Tensor, key: tuple[str, str] = (name, layer)) -> None:
                found[key] = output

            module.get_submodule(layer).register_forward_hook(keep)
        with torch.inference_mode():
            pixels = torch.stack([model.preprocessing.pixels(picture) for picture in pictures])
            module((pixels.double() / 255 - 0.5) / 0.25)
    return found


def stored(warehouse: Warehouse, model: str, layer: str) -> np.ndarray:
    """(images, units) float32, in the order of the paths."""
    query = "select activation from activations where model = $model and layer = $layer order by image, unit"
    found = warehouse.sql(query, model=model, layer=layer).fetchnumpy()["activation"]
    return np.asarray(found).reshape(20, -1)


BOTH = [(model, layer) for model, layers in LAYERS.items() for layer in layers]


@pytest.mark.parametrize("place", BOTH, ids="/".join)
def test_activations(looked_at: Warehouse, exact: dict[tuple[str, str], Tensor], place: tuple[str, str]) -> None:
    output = exact[place]
    # a map's mean, a class token, or the number itself
    expected = output.mean(dim=(2, 3)) if output.ndim == 4 else output[:, 0] if output.ndim == 3 else output
    found = stored(looked_at, *place)
    assert np.abs(found - expected.numpy()).max() < TOLERANCE * expected.abs().max()


@pytest.mark.parametrize("place", BOTH, ids="/".join)
def test_top_images_are_the_highest_in_their_order(looked_at: Warehouse, place: tuple[str, str]) -> None:
    activations = stored(looked_at, *place)
    query = "select unit, image, activation from top_images where model = $model and layer = $layer order by unit, rank"
    top = looked_at.sql(query, model=place[0], layer=place[1]).pl()
    images = looked_at.sql("select distinct image from activations order by 1").pl()["image"].to_list()
    rows = np.array([images.index(name) for name in top["image"]]).reshape(activations.shape[1], -1)
    assert rows.shape[1] >= 10
    # stable: what is equal stands in the order of the images
    np.testing.assert_array_equal(rows, np.argsort(-activations, axis=0, kind="stable")[: rows.shape[1]].T)
    values = top["activation"].to_numpy().reshape(rows.shape)
    np.testing.assert_array_equal(values, np.take_along_axis(activations, rows.T, axis=0).T)


@pytest.mark.parametrize("layer", ["layer1", "layer3"])
def test_peaks_are_where_the_maps_are_highest(
    looked_at: Warehouse, exact: dict[tuple[str, str], Tensor], pictures: list[Image.Image], layer: str
) -> None:
    maps = exact["resnet", layer]
    side = maps.shape[-1]
    query = "select unit, image, peak_x, peak_y from top_images where model = 'resnet' and layer = $layer"
    images = looked_at.sql("select distinct image from activations order by 1").pl()["image"].to_list()
    preprocessing = small_networks()["resnet"].preprocessing
    rows = looked_at.sql(query, layer=layer).fetchall()
    is_off = 0
    for unit, name, x, y in rows:
        number = images.index(name)
        of_unit = maps[number, unit]
        row, column = divmod(int(of_unit.argmax()), side)
        expected = preprocessing.place_in_image((column + 0.5) / side, (row + 0.5) / side, *pictures[number].size)
        # two places may be equally high but for rounding
        is_off += (x, y) != pytest.approx(expected, abs=1e-5)
    assert is_off <= len(rows) / 1000


def test_embeddings(
    looked_at: Warehouse, recipe: Recipe, pictures: list[Image.Image], tiny_clip: torch.nn.Module
) -> None:
    preprocessing = load_encoder(recipe.encoder).preprocessing
    pixels = torch.stack([preprocessing.pixels(picture) for picture in pictures]).double() / 255
    encode = copy.deepcopy(tiny_clip).double().encode_image
    with torch.inference_mode():
        expected = normalize(encode((pixels - 0.5) / 0.5), dim=1)
    query = "select embedding from store.image_embeddings inner join store.images using (image_id) order by path"
    found = np.stack(looked_at.sql(query).pl()["embedding"].to_list())
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize(("precision", "tolerance"), [("bfloat16", 0.05), ("float16", 0.01)])
def test_half_the_bits_give_nearly_the_same(
    looked_at: Warehouse, recipe: Recipe, tmp_path: Path, precision: str, tolerance: float
) -> None:
    with neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse:
        ingest_both(warehouse, replace(recipe, precision=precision))
        for model, layer in BOTH:
            fewer_bits, whole = stored(warehouse, model, f"{layer}:{precision}"), stored(looked_at, model, layer)
            assert not np.array_equal(fewer_bits, whole)
            assert np.abs(fewer_bits - whole).max() < tolerance * np.abs(whole).max()
        embeddings = "select embedding from store.image_embeddings order by image_id"
        exact, found = (np.stack(each.sql(embeddings).pl()["embedding"].to_list()) for each in (looked_at, warehouse))
        assert (exact * found).sum(axis=1).min() > 0.999
