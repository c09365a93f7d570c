"""Compiled passes give what passes one step at a time give, and step aside where they cannot."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._dynamo import config as dynamo
from torch._dynamo.utils import counters
from torch._inductor import config as inductor

from neuronlake.ingest.layers.choosing import choose_layers
from neuronlake.ingest.layers.compiled import CompiledPasses
from neuronlake.ingest.layers.directions import load_directions
from neuronlake.ingest.layers.passes import read_layers
from neuronlake.ingest.layers.readings import Reading
from neuronlake.ingest.layers.spellings import LayerError
from neuronlake.ingest.networks.models import Model, model_from_module
from neuronlake.ingest.networks.preprocessing import Preprocessing

SEEN = Preprocessing(8, 8, (0.5,) * 3, (0.5,) * 3)
FULL = 4


@pytest.fixture
def passes() -> Iterator[CompiledPasses]:
    passes = CompiledPasses()
    with torch.inference_mode():
        yield passes
    passes.forget()


def model_of(module: nn.Module) -> Model:
    """A network with weights that are always the same."""
    torch.manual_seed(3)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model_from_module("net", module.eval().requires_grad_(False), SEEN)


def readings(model: Model, *layers: str) -> list[Reading]:
    return [layer.reading for layer in choose_layers(model, layers)]


def hooks(model: Model) -> int:
    """How many a network has."""
    parts = [vars(part) for part in model.module.modules()]
    return sum(len(part["_forward_hooks"]) + len(part["_forward_pre_hooks"]) for part in parts)


def graphs() -> int:
    """How many functions torch has compiled."""
    return counters["stats"]["unique_graphs"]


class Attention(nn.Module):
    """Two heads over tokens; their output goes through a projection."""

    def __init__(self) -> None:
        super().__init__()
        self.num_heads = 2
        self.qkv, self.proj = nn.Linear(6, 18), nn.Linear(6, 6)

    def forward(self, tokens: Tensor) -> Tensor:
        query, key, value = self.qkv(tokens).unflatten(2, (3, 2, 3)).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class Pair(nn.Module):
    """Gives a tuple of two."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x + 1, x.mean(dim=1)


class Everything(nn.Module):
    """A layer that is changed in place afterwards, one that runs twice, heads, a tuple, and an end unread."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.twice = nn.Conv2d(6, 6, 3, stride=2, padding=1)
        self.attention = Attention()
        self.pair = Pair()
        self.end = nn.Linear(6, 1000)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.relu(self.stem(images))
        maps = self.twice(self.twice(maps))
        tokens = self.attention(maps.flatten(2).transpose(1, 2))
        return self.end(self.pair(tokens)[1])


LAYERS = ("stem", "relu", "twice", "twice:input", "attention:heads", "attention", "pair[0]", "pair[1]")


def test_every_kind_of_reading_is_as_a_pass_step_by_step_gives_it(passes: CompiledPasses, tmp_path: Path) -> None:
    np.savez(tmp_path / "features.npz", directions=np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32))
    model = model_of(Everything())
    directions = {"twice": [load_directions(str(tmp_path / "features.npz"))]}
    wanted = [layer.reading for layer in choose_layers(model, LAYERS, "mean", directions)]
    assert {each.name for each in wanted} == {*LAYERS, "twice/features"}
    before = graphs()
    for count in (FULL, 3, 1):
        images = torch.randn(count, 3, 8, 8)
        expected = read_layers(model, wanted, images)
        found = passes.read_layers(model, wanted, images, FULL)
        assert list(found) == [each.name for each in wanted]
        for name, of_layer in found.items():
            torch.testing.assert_close(of_layer.values, expected[name].values, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(of_layer.peaks, expected[name].peaks)
    assert passes.notes == []
    assert graphs() - before == 1
    passes.forget()
    assert not hooks(model)


def test_other_layers_of_the_same_network_are_compiled_in_the_place_of_the_first(passes: CompiledPasses) -> None:
    model = model_of(nn.Sequential(nn.Flatten(), nn.Linear(192, 3), nn.Linear(3, 2)))
    images = torch.randn(FULL, 3, 8, 8)
    for layers in (["1"], ["1", "2"]):
        wanted = readings(model, *layers)
        found, expected = passes.read_layers(model, wanted, images, FULL), read_layers(model, wanted, images)
        assert list(found) == layers
        for name, of_layer in found.items():
            torch.testing.assert_close(of_layer.values, expected[name].values)
    assert hooks(model) == 2
    assert passes.notes == []


class Attends(nn.Module):
    """Tokens of an image's columns, put through torch's own attention."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(24, 2, 16, batch_first=True)
        self.attention = nn.MultiheadAttention(24, 2, batch_first=True)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.layer(images.flatten(1, 2).unflatten(1, (8, 3)).transpose(2, 3).flatten(2, 3).reshape(-1, 8, 24))
        return self.attention(tokens, tokens, tokens, need_weights=False)[0]


def test_torchs_own_attention_is_compiled_and_never_copies_its_weights_for_each_token(passes: CompiledPasses) -> None:
    model = model_of(Attends())
    wanted, images = readings(model, "layer", "attention[0]"), torch.randn(FULL, 3, 8, 8)
    expected = read_layers(model, wanted, images)
    found = passes.read_layers(model, wanted, images, FULL)
    for name, of_layer in found.items():
        torch.testing.assert_close(of_layer.values, expected[name].values, rtol=1e-4, atol=1e-5)
    assert passes.notes == []
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        passes.read_layers(model, wanted, images, FULL)
    assert not [event.name for event in profile.events() or [] if event.name == "aten::bmm"]


class Judges(nn.Module):
    """Looks at its images before it decides what to do."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(192, 2)

    def forward(self, images: Tensor) -> Tensor:
        flat = images.flatten(1)
        return self.linear(flat if flat.sum() > 0 else -flat)


def test_what_cannot_be_compiled_runs_as_it_is_and_a_note_says_why(
    passes: CompiledPasses, capfd: pytest.CaptureFixture[str]
) -> None:
    model = model_of(Judges())
    wanted = readings(model, "linear")
    for count in (FULL, 2):
        images = torch.randn(count, 3, 8, 8)
        found, expected = passes.read_layers(model, wanted, images, FULL), read_layers(model, wanted, images)
        assert found["linear"].values.equal(expected["linear"].values)
    (note,) = passes.notes
    assert note.startswith("net could not be compiled and ran as it is (")
    assert "data-dependent" in note.lower()
    assert "\n" not in note
    assert not hooks(model)
    assert capfd.readouterr() == ("", "")


def test_a_machine_without_a_compiler_runs_networks_as_they_are(
    passes: CompiledPasses,
) -> None:
    model = model_of(nn.Sequential(nn.Flatten(), nn.Linear(192, 3), nn.Tanh(), nn.Linear(3, 5)))
    wanted, images = readings(model, "1", "3"), torch.randn(FULL, 3, 8, 8)
    with inductor.patch({"cpp.cxx": ("no-such-compiler",)}):
        found = passes.read_layers(model, wanted, images, FULL)
    assert found["3"].values.equal(read_layers(model, wanted, images)["3"].values)
    (note,) = passes.notes
    assert "InvalidCxxCompiler: No working C++ compiler found" in note


def test_a_torchscript_network_is_left_as_it_is(passes: CompiledPasses) -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(192, 3)).eval()
    with pytest.warns(FutureWarning, match="deprecated"):
        traced: Any = torch.jit.trace(linear, torch.zeros(2, 3, 8, 8))
    model = model_from_module("scripted", traced, SEEN)
    images = torch.randn(FULL, 3, 8, 8)
    with torch.inference_mode():
        found = passes.read_layers(model, readings(model, "1"), images, FULL)
    torch.testing.assert_close(found["1"].values, traced(images))
    assert passes.notes == ["scripted could not be compiled and ran as it is (it is TorchScript, which runs by itself)"]


class Skips(nn.Module):
    """Leaves out a layer for batches of four."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(192, 2)

    def forward(self, images: Tensor) -> Tensor:
        return images if len(images) == FULL else self.linear(images.flatten(1))


def test_what_is_wrong_with_a_layer_is_said_as_without_compiling(passes: CompiledPasses) -> None:
    model = model_of(Skips())
    with pytest.raises(LayerError, match="layer 'linear' of net gave no output for some images"):
        passes.read_layers(model, readings(model, "linear"), torch.randn(FULL, 3, 8, 8), FULL)


@torch.library.custom_op("neuronlake_tests::at_most_two", mutates_args=())
def at_most_two(images: Tensor) -> Tensor:
    """A step for which the device has memory only on two images."""
    if len(images) > 2:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    return images.clone()


@at_most_two.register_fake
def _(images: Tensor) -> Tensor:
    return torch.empty_like(images)


class Hungry(nn.Module):
    """Takes two images at most."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(192, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(torch.ops.neuronlake_tests.at_most_two(images).flatten(1))


def test_too_little_memory_is_said_of_a_full_batch_and_fewer_images_are_then_not_filled_up(
    passes: CompiledPasses,
) -> None:
    model = model_of(Hungry())
    wanted, images = readings(model, "linear"), torch.randn(FULL, 3, 8, 8)
    with pytest.raises(torch.OutOfMemoryError, match=r"Tried to allocate 2\.00 GiB"):
        passes.read_layers(model, wanted, images, FULL)
    expected = read_layers(model, wanted, images[:2])["linear"].values
    assert passes.read_layers(model, wanted, images[:2], FULL)["linear"].values.equal(expected)
    # what the batches come down to is compiled
    found = passes.read_layers(model, wanted, images[:2], 2)["linear"].values
    torch.testing.assert_close(found, expected)
    assert passes.notes == []


def test_an_encoder_makes_what_it_makes_when_first_called_before_it_is_compiled(passes: CompiledPasses) -> None:
    made: list[Tensor] = []

    def encode(images: Tensor) -> Tensor:
        if not made:
            made.append(torch.tensor(np.arange(192 * 2).reshape(192, 2), dtype=torch.float32))
        return images.flatten(1) @ made[0]

    images = torch.randn(3, 3, 8, 8)
    found = passes.encode_images("mine", encode, images, FULL)
    torch.testing.assert_close(found, encode(images))
    assert passes.notes == []


@dynamo.patch(recompile_limit=1)
def test_a_run_compiles_any_number_of_networks_and_keeps_none(passes: CompiledPasses) -> None:
    images = torch.randn(1, 3, 8, 8)
    alive: list[weakref.ref[nn.Module]] = []
    for name in ("first", "second"):
        module = nn.Sequential(nn.Flatten(), nn.Linear(192, 3)).eval()
        model = model_from_module(name, module, SEEN)
        passes.read_layers(model, readings(model, "1"), images, 1)
        alive.append(weakref.ref(module))
    assert passes.notes == []
    passes.forget()
    del module, model
    gc.collect()
    assert [each() for each in alive] == [None, None]
