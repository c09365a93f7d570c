"""An encoder of the user's own: what its factory may give, and what is said where it gives something else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import neuronlake
from neuronlake.ingest.encoders.loading import load_encoder, load_stored_encoder
from neuronlake.ingest.encoders.protocol import EncoderError
from neuronlake.ingest.find import find_units
from neuronlake.ingest.networks.errors import ModelError
from neuronlake.ingest.recipe import Recipe
from tiny import TWO_TOWERS

OWN = (
    TWO_TOWERS
    + """
def raises():
    raise OSError("no weights here")

def two():
    return TwoTowers(), tokenize

def no_network():
    return "clip", None, tokenize

def no_text():
    return nn.Conv2d(3, 4, 1), None, tokenize

def other_lengths():
    towers = TwoTowers()
    towers.letters = nn.Embedding(256, 5)
    return towers, Preprocessing(32, 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), tokenize

def fails():
    return TwoTowers(), Preprocessing(32, 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), lambda texts: texts[7]
"""
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "towers.py"
    path.write_text(OWN)
    return path


def test_images_and_texts_get_what_the_network_gives_with_length_one(file: Path) -> None:
    encoder = load_encoder(f"mine={file}:make")
    assert (encoder.name, encoder.dimensions) == ("mine", 4)
    images = encoder.encode_images(torch.rand(5, 3, 32, 32))
    texts = encoder.encode_texts(["cat", "a long text of more than sixteen bytes"])
    assert (images.shape, texts.shape) == ((5, 4), (2, 4))
    assert torch.allclose(torch.cat([images, texts]).norm(dim=1), torch.ones(7))
    assert load_encoder(f"{file}:make").name == "make"


def test_another_code_is_another_encoder(file: Path) -> None:
    before = load_encoder(f"{file}:make")
    file.write_text(OWN.replace("mean(dim=(2, 3))", "amax(dim=(2, 3))"))
    assert load_encoder(f"{file}:make").fingerprint != before.fingerprint
    with pytest.raises(EncoderError, match="are not those that made this file's embeddings"):
        load_stored_encoder(before.name, before.source_kind, before.location, before.fingerprint, trust_code=True)


def test_free_text_is_found_with_the_encoder_that_made_the_file(
    file: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    with neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse:
        neuronlake.ingest(
            warehouse,
            models=tiny_recipe.models,
            layers="fc",
            probes=tiny_recipe.probes,
            concepts=tiny_recipe.concepts,
            encoder=f"mine={file}:make",
            prompts=["a {}", "the {}"],
            parameters={"top_k": 5},
            null_draws=20,
            random_weights=True,
        )
        found = find_units(warehouse, "zebra", top=3, encoder=f"mine={file}:make")
    assert found.height == 3


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("two", "gives a tuple; let it return .network, transform, tokenizer."),
        ("no_network", "gives a str as its network"),
        ("no_text", "gives a Conv2d as its network; .* with encode_image and encode_text"),
        ("other_lengths", r"gives \[1, 4\] for an image and \[1, 5\] for a text"),
        ("fails", r"fails on an image and a text: list index out of range \(towers.py"),
    ],
)
def test_what_is_no_encoder_is_named(file: Path, factory: str, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        load_encoder(f"{file}:{factory}")


def test_a_factory_that_raises_is_named(file: Path) -> None:
    with pytest.raises(ModelError, match="no weights here"):
        load_encoder(f"{file}:raises")
