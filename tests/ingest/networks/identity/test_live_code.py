"""A network in memory with hooks or patched code is another network, and an ordinary one is what it always was."""

from __future__ import annotations

import functools
import os
import socket
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  as everybody calls it
import torchvision
from torch import Tensor, nn
from torch.nn.modules import module as every_module

import neuronlake
from neuronlake.ingest.encoders.loading import load_encoder
from neuronlake.ingest.layers.passes import run_until_seen
from neuronlake.ingest.networks.identity.held_objects import UntellableError
from neuronlake.ingest.networks.identity.live_code import live_code
from neuronlake.ingest.networks.known_by_name import blueprint
from neuronlake.ingest.networks.models import Model, load_model, model_from_module
from neuronlake.ingest.plan import looked_at
from neuronlake.ingest.recipe import Recipe

SCALE = 2.0
TABLE = {"a": 1.0}
SOURCE = """
import torch
import torch.nn.functional as F
from torch import nn
from helpers import bend as bent
import helpers

SCALE = 2.0
TABLE = {"a": [1, 2]}

class Net(nn.Module):
    GAIN = 3

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.act = nn.ReLU()

    def inner(self, x):
        return helpers.shift(bent(F.relu(x))) * SCALE + TABLE["a"][0]

    def forward(self, x):
        return torch.tanh(self.act(self.inner(self.stem(x)))).relu() * self.GAIN

def make():
    return Net()

def hooked(kind="zero"):
    net = Net()
    weight = 0.0
    net.stem.register_forward_hook(lambda part, inputs, output: output * weight)
    return net
"""
HELPERS = """
OFFSET = 1.0

def bend(x):
    return x.clamp(min=0)

def shift(x):
    return x + OFFSET
"""


def bend(x: Tensor) -> Tensor:
    """A helper that the network's code names."""
    return deeper(x)


def deeper(x: Tensor) -> Tensor:
    """A helper of the helper."""
    return x.clamp(min=0)


class Net(nn.Module):
    """A network whose code names globals."""

    gain = 3.0

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.act = nn.ReLU()

    def inner(self, x: Tensor) -> Tensor:
        return bend(F.relu(x)) * SCALE

    def forward(self, images: Tensor) -> Tensor:
        return torch.tanh(self.act(self.inner(self.stem(images)))) * TABLE["a"] * self.gain


def fresh() -> Net:
    """The same network each time."""
    torch.manual_seed(0)
    return Net()


def fingerprint(module: nn.Module) -> str:
    return model_from_module("mine", module).fingerprint


def zeroing(unit: int) -> Callable[..., Tensor]:
    """A hook that takes out a unit."""

    def hook(_part: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        output[:, unit] = 0
        return output

    return hook


class Masking:
    """A hook with a state."""

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def __call__(self, _part: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        return output * self.mask


def added(other: nn.Module) -> Callable[..., Tensor]:
    """A hook that adds what another network gives."""
    return lambda _part, _inputs, output: output + other(output)


# Hooks

HOOKS: dict[str, Callable[[Net], object]] = {
    "one": lambda net: net.stem.register_forward_hook(zeroing(0)),
    "another closure": lambda net: net.stem.register_forward_hook(zeroing(1)),
    "another part": lambda net: net.act.register_forward_hook(zeroing(0)),
    "another code": lambda net: net.stem.register_forward_hook(lambda _p, _i, output: output * 0),
    "code beside it in the line": lambda net: net.stem.register_forward_hook(lambda _p, _i, output: output * 2),
    "a default": lambda net: net.stem.register_forward_hook(lambda _p, _i, output, by=3: output * by),
    "another default": lambda net: net.stem.register_forward_hook(lambda _p, _i, output, by=4: output * by),
    "before": lambda net: net.stem.register_forward_pre_hook(lambda _p, inputs: (inputs[0] * 2,)),
    "with keywords": lambda net: net.stem.register_forward_hook(lambda _p, _i, _n, output: output, with_kwargs=True),
    "an object": lambda net: net.stem.register_forward_hook(Masking(torch.ones(4, 1, 1))),
    "another object": lambda net: net.stem.register_forward_hook(Masking(torch.tensor([1, 1, 1, 0.0])[:, None, None])),
    "a method": lambda net: net.stem.register_forward_hook(Masking(torch.ones(4, 1, 1)).__call__),
    "a partial": lambda net: net.stem.register_forward_hook(functools.partial(zeroing, 1)),
    "another network": lambda net: net.stem.register_forward_hook(added(nn.Conv2d(4, 4, 1))),
    "the network itself": lambda net: net.stem.register_forward_hook(added(net.act)),
    "two": lambda net: (HOOKS["one"](net), HOOKS["another closure"](net)),
    "two in another order": lambda net: (HOOKS["another closure"](net), HOOKS["one"](net)),
    "a large mask": lambda net: net.stem.register_forward_hook(Masking(torch.zeros(4, 50, 50))),
    "another large mask": lambda net: net.stem.register_forward_hook(
        Masking(torch.zeros(4, 50, 50).index_fill(1, torch.tensor(25), 1))
    ),
}


def test_each_hook_makes_another_network_and_the_same_hook_the_same_one() -> None:
    prints = {"none": fingerprint(fresh())}
    for name, add in HOOKS.items():
        found: list[str] = []
        for _ in range(2):
            net = fresh()
            add(net)
            found.append(fingerprint(net))
        assert found[0] == found[1], name
        prints[name] = found[0]
    assert len(set(prints.values())) == len(prints)


def test_a_hook_that_was_removed_leaves_the_network_as_it_was() -> None:
    net = fresh()
    before = fingerprint(net)
    handle = net.stem.register_forward_hook(zeroing(0))
    assert fingerprint(net) != before
    handle.remove()
    assert fingerprint(net) == before


def test_a_model_that_was_made_before_its_network_was_hooked_is_looked_at_again() -> None:
    net = fresh()
    recipe = Recipe(models=(model_from_module("mine", net),))
    (before,) = looked_at(recipe).models
    handle = net.stem.register_forward_hook(zeroing(0))
    (hooked,) = looked_at(recipe).models
    handle.remove()
    net.stem.weight.data *= 2
    (trained,) = looked_at(recipe).models
    assert before == recipe.models[0]
    assert len({model.fingerprint for model in (before, hooked, trained) if isinstance(model, Model)}) == 3


def test_hooks_of_every_module_count_for_networks_known_by_name_too() -> None:
    before = load_model("resnet18-imagenet", random_weights=True).fingerprint, fingerprint(fresh())
    handle = every_module.register_module_forward_hook(zeroing(0))
    try:
        after = load_model("resnet18-imagenet", random_weights=True).fingerprint, fingerprint(fresh())
    finally:
        handle.remove()
    assert all(one != other for one, other in zip(before, after, strict=True))


def test_the_hooks_that_read_layers_do_not_count(tiny_recipe: Recipe, tmp_path: Path) -> None:
    net = fresh()
    model = model_from_module("mine", net, neuronlake.Preprocessing(32, 32, (0.5,) * 3, (0.5,) * 3))
    seen: list[str] = []
    net.stem.register_forward_hook(lambda *_details: seen.append("seen"))
    run_until_seen(model, (), torch.zeros(1, 3, 8, 8), lambda _reading, value: value)
    assert not net.act._forward_hooks
    settings = {"probe": tiny_recipe.probes[0], "concepts": tiny_recipe.concepts[0], "encoder": tiny_recipe.encoder}
    intact = {"mine": (fresh(), model.preprocessing)}
    with neuronlake.open(tmp_path / "w.duckdb") as warehouse:
        for expected in (20, 0):
            done = neuronlake.ingest(warehouse, models=intact, layers="act", null_draws=10, **settings)
            assert done.extracted_images == expected
        ablated = fresh()
        ablated.stem.register_forward_hook(zeroing(0))
        models = {"ablated": (ablated, model.preprocessing)}
        done = neuronlake.ingest(warehouse, models=models, layers="act", null_draws=10, **settings)
        assert done.extracted_images == 20
        (difference,) = warehouse.sql(
            "select max(abs(a.activation - b.activation)) from activations a join activations b using (unit, image)"
            " where a.model = 'mine' and b.model = 'ablated'"
        ).fetchall()[0]
    assert difference > 0


# Globals and patched code


def patches(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Callable[[], None]]]:
    """Ways to change what a network computes that leave its weights and its class's source alone."""
    here = sys.modules[__name__]
    put = monkeypatch.setattr
    yield "a constant", lambda: put(here, "SCALE", 0.5)
    yield "an entry of a table", lambda: monkeypatch.setitem(TABLE, "a", 7.0)
    yield "a helper", lambda: put(here, "bend", lambda x: x * 0)
    yield "a helper's helper", lambda: put(here, "deeper", lambda x: x)
    yield "a helper's code", lambda: put(deeper, "__code__", (lambda x: x.clamp(max=0)).__code__)
    yield "F.relu", lambda: put(F, "relu", lambda x, inplace=False: x)
    yield "F.relu by another of torch", lambda: put(F, "relu", F.leaky_relu)
    yield "F.relu by a partial", lambda: put(F, "relu", functools.partial(F.leaky_relu, negative_slope=0.3))
    yield "F.relu under its name", lambda: put(F, "relu", functools.wraps(F.relu)(lambda x, inplace=False: x * 0))
    yield "torch.tanh", lambda: put(torch, "tanh", lambda x: x)
    yield "torch.relu below F.relu", lambda: put(torch, "relu", lambda x: x)
    yield "a method of tensors", lambda: put(Tensor, "clamp", lambda x, **_limits: x)
    yield "a method of the class", lambda: put(Net, "inner", lambda _self, x: x)
    yield "a wrapped method", lambda: put(Net, "inner", functools.wraps(Net.inner)(lambda _self, x: x + 1))
    yield "an attribute of the class", lambda: put(Net, "gain", 4.0)
    yield "a class of torch", lambda: put(nn.ReLU, "forward", lambda _self, x: x)
    yield "a class of torch by another", lambda: put(nn.ReLU, "forward", nn.GELU.forward)
    yield "F", lambda: put(here, "F", types.SimpleNamespace(relu=lambda x: x - 1))


def test_each_patch_makes_another_network(monkeypatch: pytest.MonkeyPatch) -> None:
    prints = {"none": fingerprint(fresh())}
    for name, patch in patches(monkeypatch):
        patch()
        prints[name] = fingerprint(fresh())
        assert fingerprint(fresh()) == prints[name]
        monkeypatch.undo()
        assert fingerprint(fresh()) == prints["none"], name
    assert len(set(prints.values())) == len(prints)


def test_a_patched_library_counts_for_networks_known_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def seen() -> str:
        return load_model("resnet18-imagenet", random_weights=True).fingerprint

    before = seen()
    monkeypatch.setattr(F, "relu", F.relu6)
    patched = seen()
    monkeypatch.undo()
    monkeypatch.setattr(torchvision.models.resnet.BasicBlock, "forward", lambda _self, x: x)
    assert len({before, patched, seen()}) == 3


def test_a_method_that_one_instance_got_counts() -> None:
    def patched(factor: float) -> nn.Module:
        def forward(self: Net, images: Tensor) -> Tensor:
            return self.stem(images) * factor

        net = fresh()
        net.forward = types.MethodType(forward, net)
        return net

    assert fingerprint(patched(1.0)) == fingerprint(patched(1.0)) != fingerprint(patched(2.0))


def test_an_object_that_a_part_holds_counts_by_its_contents() -> None:
    def holding(mask: Tensor) -> nn.Module:
        net = fresh()
        net.gates = [Masking(mask)]
        return net

    assert fingerprint(holding(torch.ones(3))) == fingerprint(holding(torch.ones(3)))
    assert fingerprint(holding(torch.ones(3))) != fingerprint(holding(torch.zeros(3)))


def test_code_that_names_itself_is_read_to_an_end() -> None:
    net = fresh()
    loop: list[object] = [net]
    loop.append(loop)

    def hook(part: nn.Module, inputs: object, output: Tensor) -> Tensor:
        return hook(part, inputs, output) if len(loop) > 7 else output

    net.stem.register_forward_hook(hook)
    assert fingerprint(net) == fingerprint(net)


@pytest.mark.parametrize("held", [socket.socket, lambda: (x for x in "ab"), __import__("threading").Lock])
def test_what_has_no_contents_to_compare_is_refused_by_name(held: Callable[[], Any]) -> None:
    net, thing = fresh(), held()
    net.stem.register_forward_hook(lambda _p, _i, output: output * bool(thing))
    with pytest.raises(UntellableError, match=r"holds a \w+, which has no contents to compare; take it out") as caught:
        fingerprint(net)
    assert "\n" not in str(caught.value)
    if isinstance(thing, socket.socket):
        thing.close()


# Factories


def write(folder: Path, net: str = SOURCE, helpers: str = HELPERS) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "net.py").write_text(net)
    (folder / "helpers.py").write_text(helpers)
    return f"{folder / 'net.py'}"


def test_a_factory_whose_code_is_as_its_files_say_has_nothing_live(tmp_path: Path) -> None:
    file = write(tmp_path / "code")
    module = load_model(f"{file}:make").module
    folder = tmp_path / "code"
    assert live_code(module, [folder / "net.py", folder / "helpers.py"]) == ""
    assert live_code(module, [folder / "net.py"]) != ""


def test_what_is_patched_behind_a_factory_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = f"{write(tmp_path / 'code')}:make"
    before = load_model(spec).fingerprint
    monkeypatch.setattr(F, "relu", lambda x, inplace=False: x)
    assert load_model(spec).fingerprint != before
    monkeypatch.undo()
    assert load_model(spec).fingerprint == before


def test_a_constant_that_a_factory_takes_from_outside_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = SOURCE.replace("SCALE = 2.0", "import os\nSCALE = float(os.environ['SCALE'])")
    spec = f"{write(tmp_path / 'code', text)}:make"
    seen: list[str] = []
    for scale in ("1", "2", "1"):
        monkeypatch.setenv("SCALE", scale)
        seen.append(load_model(spec).fingerprint)
    assert seen[0] == seen[2] != seen[1]


def test_live_code_is_told_alike_in_each_process(tmp_path: Path) -> None:
    file = write(tmp_path / "code", SOURCE.replace("SCALE = 2.0", "SCALE = {'wide', 'narrow', 'deep'} and 1 + 1"))
    script = (
        "import sys; sys.path.insert(0, sys.argv[2]); from neuronlake.ingest.networks.models import *; import net; "
        "print(load_model(sys.argv[1]).fingerprint, model_from_module('m', net.hooked()).module.__class__.__name__, "
        "__import__('neuronlake.ingest.networks.identity.live_code', fromlist=['x']).live_code(net.hooked()))"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", script, f"{file}:hooked", str(tmp_path / "code")],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1


# Ordinary networks


@pytest.mark.parametrize(
    "name", ["resnet18-imagenet", "densenet121-imagenet", "swin_t-imagenet", "timm:test_vit", "timm:test_efficientnet"]
)
def test_networks_of_libraries_have_nothing_live(name: str) -> None:
    assert live_code(blueprint(name).build()) == ""


def test_modules_of_torch_alone_are_what_they_were() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    assert fingerprint(module) == "65aaf7767f458790ac27fb67f48cc570ca6c839201b2a180ab03c049e39e328e"


def test_an_encoder_of_a_library_has_nothing_live(tiny_clip_folder: Path) -> None:
    assert live_code(load_encoder(f"local-dir:{tiny_clip_folder}").module) == ""
