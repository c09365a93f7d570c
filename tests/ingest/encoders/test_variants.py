"""Reduced precision and other pixels: other numbers, so other layers and embeddings, and nearly the same answers."""

from __future__ import annotations

import dataclasses
import hashlib
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

import neuronlake
from neuronlake.ingest.devices import PRECISIONS
from neuronlake.ingest.encoders.loading import load_encoder, variant_among
from neuronlake.ingest.encoders.variants import plain_name, variant_of
from neuronlake.ingest.find import find_units
from neuronlake.ingest.networks.preprocessing import DECODERS
from neuronlake.ingest.recipe import Recipe, RecipeError


def test_bfloat16_stands_beside_float32_with_nearly_its_numbers(tiny_recipe: Recipe, tmp_path: Path) -> None:
    with neuronlake.open(tmp_path / "w.duckdb") as warehouse:
        neuronlake.ingest(warehouse, tiny_recipe)
        neuronlake.ingest(warehouse, dataclasses.replace(tiny_recipe, precision="bfloat16"))
        layers = warehouse.sql("select distinct layer from unit_labels order by all").fetchall()
        assert layers == [("fc",), ("fc:bfloat16",), ("layer3",), ("layer3:bfloat16",)]
        for layer in ("layer3", "fc"):
            read = "select activation from activations where layer = $layer order by unit, image"
            exact = warehouse.sql(read, layer=layer).pl()["activation"].to_numpy()
            fewer_bits = warehouse.sql(read, layer=f"{layer}:bfloat16").pl()["activation"].to_numpy()
            assert not np.array_equal(exact, fewer_bits)
            assert np.abs(exact - fewer_bits).max() < 0.05 * np.abs(exact).max()
        encoders = [row[0] for row in warehouse.sql("select name from store.encoders order by all").fetchall()]
        assert encoders == [tiny_recipe.encoder, f"{tiny_recipe.encoder} bfloat16"]
        # the newest setting's encoder is made again, precision and all
        assert find_units(warehouse, "striped", top=2).height == 2


def test_an_encoder_in_reduced_precision_gives_float32_of_length_one(tiny_clip_folder: Path) -> None:
    exact = load_encoder(f"local-dir:{tiny_clip_folder}")
    fewer_bits = variant_of(exact, "bfloat16", "pillow")
    pixels = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        wanted, found = exact.encode_images(pixels), fewer_bits.encode_images(pixels)
    assert found.dtype == torch.float32
    assert (wanted * found).sum(dim=1).min() > 0.999
    assert torch.equal(fewer_bits.encode_texts(["cat"]), exact.encode_texts(["cat"]))
    assert fewer_bits.fingerprint != exact.fingerprint
    assert variant_of(exact, "float32", "pillow") is exact
    assert (exact.precision, fewer_bits.precision) == ("float32", "bfloat16")
    assert (fewer_bits.location, fewer_bits.source_kind) == (exact.location, "folder")


def test_a_stored_fingerprint_tells_the_precision_and_the_decoder(tiny_clip_folder: Path) -> None:
    exact = load_encoder(f"local-dir:{tiny_clip_folder}")
    ways = [variant_of(exact, *way) for way in product(PRECISIONS, DECODERS)]
    assert len({way.fingerprint for way in ways}) == len({way.name for way in ways}) == 9
    for way in ways:
        assert variant_among(exact, [way.fingerprint]) == way
    assert variant_among(exact, ["another"]) is None


def test_variants_are_called_after_what_is_unusual_and_keep_their_fingerprints(tiny_clip_folder: Path) -> None:
    exact = load_encoder(f"local-dir:{tiny_clip_folder}")
    fewer_bits, by_gpu = variant_of(exact, "bfloat16", "pillow"), variant_of(exact, "bfloat16", "nvjpeg")
    assert (fewer_bits.name, by_gpu.name) == (f"{exact.name} bfloat16", f"{exact.name} bfloat16 nvjpeg")
    # as warehouses of earlier versions know it
    assert fewer_bits.fingerprint == hashlib.sha256(f"{exact.fingerprint} bfloat16".encode()).hexdigest()
    assert [plain_name(each) for each in (exact, fewer_bits, by_gpu)] == [exact.name] * 3


def test_an_unknown_precision_is_refused(tiny_recipe: Recipe, tmp_path: Path) -> None:
    with (
        neuronlake.open(tmp_path / "w.duckdb") as warehouse,
        pytest.raises(RecipeError, match="there is no precision 'int8'; choose float32 or bfloat16 or float16"),
    ):
        neuronlake.ingest(warehouse, dataclasses.replace(tiny_recipe, precision="int8"))
