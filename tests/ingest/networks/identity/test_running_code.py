"""A network is what it computes: the code that runs, its settings and all of its weights, wherever they are kept."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F  # noqa: N812  as everybody calls it
import torchvision
import torchvision.transforms as T  # noqa: N812
from torch import Tensor, nn
from torchvision.transforms import v2

import neuronlake
from neuronlake.ingest.networks.errors import WeightsError
from neuronlake.ingest.networks.identity.fingerprints import module_code, network_code
from neuronlake.ingest.networks.lending import evaluated
from neuronlake.ingest.networks.models import load_model, model_from_module
from neuronlake.ingest.networks.preprocessing import CustomTransform
from neuronlake.ingest.recipe import Recipe
from neuronlake.sql.store.names import NameTakenError

FACTOR = 1.0
NETWORK = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        nn.init.ones_(self.stem.weight), nn.init.ones_(self.stem.bias)

    @property
    def gain(self):
        return 3.0

    @torch.no_grad()
    def forward(self, x, by=1.0, *, sign=None):
        return self.stem(x) * self.gain * by

def make():
    return Net()
"""


def fingerprint(module: nn.Module) -> str:
    return model_from_module("mine", module).fingerprint


# The code that runs


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "edited_network", raising=False)
    found = tmp_path / "edited_network.py"
    found.write_text(NETWORK)
    return found


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("self.gain * by", "self.gain - by"),
        ("return 3.0", "return 4.0"),
        ("by=1.0", "by=2.0"),
    ],
)
def test_code_that_was_imported_before_its_file_was_edited_is_another_network(
    file: Path, before: str, after: str
) -> None:
    network = importlib.import_module("edited_network")
    first = fingerprint(network.make())
    file.write_text(NETWORK.replace(before, after))
    stale = fingerprint(network.make())
    del sys.modules["edited_network"]
    fresh = fingerprint(importlib.import_module("edited_network").make())
    assert len({first, stale, fresh}) == 3
    file.write_text(NETWORK)
    assert fingerprint(network.make()) == first


def test_a_factory_whose_module_was_imported_before_it_was_edited_is_another_network(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = "edited_network:make"
    monkeypatch.chdir(file.parent)
    first = load_model(spec).fingerprint
    file.write_text(NETWORK.replace("self.gain * by", "self.gain - by"))
    stale = load_model(spec).fingerprint
    del sys.modules["edited_network"]
    importlib.invalidate_caches()
    assert len({first, stale, load_model(spec).fingerprint}) == 3


def test_lines_above_a_class_do_not_count(file: Path) -> None:
    network = importlib.import_module("edited_network")
    first = fingerprint(network.make())
    file.write_text("# a line\n" + NETWORK)
    del sys.modules["edited_network"]
    assert fingerprint(importlib.import_module("edited_network").make()) == first


def test_two_classes_of_one_name_in_one_file_are_two_networks(file: Path) -> None:
    second = NETWORK.replace("self.gain * by", "self.gain - by")
    file.write_text(NETWORK + "first = make()\n" + second)
    network = importlib.import_module("edited_network")
    assert fingerprint(network.first) != fingerprint(network.make())


def test_a_default_that_is_given_from_around_a_class_counts() -> None:
    def made(factor: float) -> nn.Module:
        class Scaled(nn.Module):
            def forward(self, images: Tensor, factor: float = factor) -> Tensor:
                return images * factor

        return Scaled()

    assert fingerprint(made(1.0)) == fingerprint(made(1.0)) != fingerprint(made(2.0))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("@property\n def gain(self): return 1.0", "@property\n def gain(self): return 2.0"),
        ("@staticmethod\n def gain(): return 1.0", "@staticmethod\n def gain(): return 2.0"),
        ("def gain(self, by=1.0): return by", "def gain(self, by=2.0): return by"),
    ],
)
def test_all_of_a_class_typed_at_a_prompt_counts(first: str, second: str) -> None:
    def typed(text: str) -> nn.Module:
        space: dict[str, Any] = {"__name__": "typed", "nn": nn}
        exec(f"class Net(nn.Module):\n {text}\n def forward(self, x): return x * self.gain", space)  # noqa: S102  as a prompt does
        return space["Net"]()

    assert fingerprint(typed(first)) == fingerprint(typed(first)) != fingerprint(typed(second))


# Weights that the state dict does not show


def hidden_by(body: str, folder: Path) -> str:
    """A factory's file whose network keeps another one, with weights of a file, as the body says."""
    text = f"""
from functools import partial
from pathlib import Path
from types import SimpleNamespace
import torch
from torch import nn

class Box:
    def __init__(self, held):
        self.held = held

class Head(nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.stem = nn.Identity()
        {body}
    def forward(self, x):
        return x

def make():
    backbone = nn.Sequential(nn.Conv2d(3, 4, 1))
    backbone.load_state_dict(torch.load(Path(__file__).with_name("backbone.pt")))
    return Head(backbone)
"""
    (folder / "head.py").write_text(text)
    return f"{folder / 'head.py'}:make"


@pytest.mark.parametrize(
    "body",
    [
        "self.kept = [backbone]",
        "self.kept = {'a': (backbone,)}",
        "self.kept = partial(backbone)",
        "self.kept = backbone.forward",
        "self.kept = backbone[0].weight.matmul",
        "self.kept = SimpleNamespace(held=backbone)",
        "self.kept = Box(backbone)",
        "self.kept = lambda x: backbone(x)",
        "object.__setattr__(self, 'kept', backbone)",
        "self.kept = backbone; self.state_dict = lambda *_all, **_named: {}",
    ],
)
def test_weights_that_the_state_dict_does_not_show_count(tmp_path: Path, body: str) -> None:
    spec = hidden_by(body, tmp_path)
    seen: list[str] = []
    for scale in (1.0, 2.0, 1.0):
        torch.save({"0.weight": torch.full((4, 3, 1, 1), scale), "0.bias": torch.zeros(4)}, tmp_path / "backbone.pt")
        module = load_model(spec).module
        seen += [load_model(spec).fingerprint, fingerprint(module)]
    assert seen[:2] == seen[4:]
    assert seen[0] != seen[2]
    assert seen[1] != seen[3]


def test_a_list_of_a_networks_own_parts_adds_nothing() -> None:
    class Listing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 1)
            self.parts = [self.stem]

    assert network_code(listing := Listing()) == module_code(listing)


# Settings that libraries' classes do not show


def encoder_layer(heads: int = 1, activation: Callable[[Tensor], Tensor] = F.relu, **settings: bool) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.TransformerEncoderLayer(8, heads, 16, activation=activation, **settings))


def vision_transformer(heads: int) -> nn.Module:
    torch.manual_seed(0)
    return torchvision.models.VisionTransformer(32, 16, 1, heads, 8, 16)


def timm_network(**settings: object) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model("test_vit", **settings)


def timm_scaled(scale: float) -> nn.Module:
    module: Any = timm_network()
    module.blocks[0].attn.scale = scale
    return module


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (encoder_layer, lambda: encoder_layer(2)),
        (encoder_layer, lambda: encoder_layer(norm_first=True)),
        (encoder_layer, lambda: encoder_layer(activation=F.gelu)),
        (lambda: vision_transformer(1), lambda: vision_transformer(2)),
        (lambda: timm_network(global_pool="token"), lambda: timm_network(global_pool="avg", fc_norm=False)),
        (lambda: timm_scaled(1.0), lambda: timm_scaled(2.0)),
    ],
)
def test_settings_that_libraries_classes_do_not_show_count(
    first: Callable[[], nn.Module], second: Callable[[], nn.Module]
) -> None:
    assert str(first()) == str(second())
    assert fingerprint(first()) == fingerprint(first()) != fingerprint(second())


def test_such_settings_of_a_factory_count(tmp_path: Path) -> None:
    text = "from torch import nn\ndef made(heads): return nn.Sequential(nn.TransformerEncoderLayer(8, heads, 16))\n"
    (tmp_path / "net.py").write_text(text + "def one(): return made(1)\ndef two(): return made(2)\n")
    one, two = (load_model(f"same={tmp_path / 'net.py'}:{name}").fingerprint for name in ("one", "two"))
    assert one != two


# Transforms


def shrink(image: Any) -> Tensor:
    return T.functional.to_tensor(image.resize((8, 8)))


def helper(pixels: Tensor) -> Tensor:
    return pixels * FACTOR


def with_a_helper(image: Any) -> Tensor:
    return helper(shrink(image))


class ModuleTransform(nn.Module):
    """A transform without a repr of its settings."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, image: Any) -> Tensor:
        return shrink(image) * self.factor


class Weighting:
    """A transform that holds a tensor of which a repr shows the ends."""

    def __init__(self, factor: float) -> None:
        self.mask = torch.ones(40, 40).index_fill(0, torch.tensor(20), factor)

    def __repr__(self) -> str:
        return f"Weighting({self.mask})"

    def __call__(self, image: Any) -> Tensor:
        return shrink(image) * self.mask[16:24, 16:24]


def composed(step: Callable[[Tensor], Tensor]) -> Callable[[Any], Tensor]:
    return T.Compose([T.Resize((8, 8)), T.ToTensor(), T.Lambda(step)])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lambda: composed(lambda x: x), lambda: composed(lambda x: x * 5)),
        (lambda: v2.Compose([shrink, v2.Lambda(torch.abs)]), lambda: v2.Compose([shrink, v2.Lambda(torch.neg)])),
        (lambda: ModuleTransform(1.0), lambda: ModuleTransform(2.0)),
        (lambda: Weighting(1.0), lambda: Weighting(2.0)),
        (lambda: partial(torch.mul, other=1), lambda: partial(torch.mul, other=2)),
    ],
)
def test_transforms_that_do_otherwise_are_told_apart(first: Callable[[], Any], second: Callable[[], Any]) -> None:
    def told(make: Callable[[], Any]) -> str:
        return CustomTransform("", 8, 8, make()).as_it_is().identity

    assert told(first) == told(first) != told(second)


def test_what_a_transform_names_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_from_module("mine", nn.Conv2d(3, 4, 1), with_a_helper)
    before = model.fingerprint
    monkeypatch.setitem(globals(), "FACTOR", 2.0)
    changed = model.as_it_is()
    monkeypatch.undo()
    monkeypatch.setitem(globals(), "helper", lambda pixels: pixels - 1)
    assert len({before, changed.fingerprint, model.as_it_is().fingerprint}) == 3
    monkeypatch.undo()
    assert model.as_it_is() == model


def test_a_transform_of_a_librarys_steps_is_its_repr() -> None:
    steps = T.Compose([T.Resize((8, 8)), T.Grayscale(3), T.ToTensor(), T.Normalize((0.5,) * 3, (0.5,) * 3)])
    assert CustomTransform.around(steps).identity == repr(steps)


# Networks that are not plain


class Saving(nn.Module):
    """Saves a setting as its extra state."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.__dict__["_held"] = lambda: factor

    def get_extra_state(self) -> object:
        return {"factor": self._held()}

    def forward(self, images: Tensor) -> Tensor:
        return images * self._held()


def quantized(scale: float) -> nn.Module:
    linear = nn.Linear(2, 2, bias=False)
    nn.init.constant_(linear.weight, scale)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(nn.Sequential(linear), {nn.Linear})


def scripted(factor: float, *, trains: bool = False) -> nn.Module:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 1)
            nn.init.ones_(self.stem.weight)
            nn.init.ones_(self.stem.bias)
            self.factor = factor

        def forward(self, images: Tensor) -> Tensor:
            return self.stem(images) * self.factor

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(Scaled().train(trains))


@pytest.mark.parametrize("make", [quantized, Saving, scripted])
def test_networks_with_more_than_tensors_in_their_state_are_told_apart(make: Callable[[float], nn.Module]) -> None:
    assert fingerprint(make(1.0)) == fingerprint(make(1.0)) != fingerprint(make(2.0))


def test_a_script_in_memory_is_lent_as_any_network_is() -> None:
    script = scripted(1.0, trains=True)
    model = model_from_module("mine", script)
    images, seen = torch.ones(1, 3, 2, 2), list[Tensor]()
    with evaluated([model.module]):
        assert not script.training
        model.module.get_submodule("stem").register_forward_hook(lambda _part, _inputs, output: seen.append(output))
        assert model.module(images).flatten()[0] == 4
    assert script.training
    assert seen[0].shape == (1, 4, 2, 2)
    assert fingerprint(script) == fingerprint(scripted(1.0)) == model.fingerprint


@pytest.mark.parametrize("module", [nn.Sequential(nn.LazyLinear(4)), nn.Linear(3, 4, device="meta")])
def test_a_network_without_weights_yet_is_refused_in_one_line(module: nn.Module) -> None:
    with pytest.raises(WeightsError, match=r"weight of a \w+ has no numbers yet; load its weights, or run it on an"):
        fingerprint(module)


def test_a_script_and_a_transform_in_memory_are_ingested_and_told_apart(tiny_recipe: Recipe, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "probe": tiny_recipe.probes[0],
        "concepts": tiny_recipe.concepts[0],
        "encoder": tiny_recipe.encoder,
    }
    with neuronlake.open(tmp_path / "w.duckdb") as warehouse:

        def extracted(factor: float, step: Callable[[Tensor], Tensor]) -> int:
            models = {"mine": (scripted(factor), composed(step))}
            return neuronlake.ingest(
                warehouse, models=models, layers="stem", null_draws=10, **settings
            ).extracted_images

        assert (extracted(1.0, torch.abs), extracted(1.0, torch.abs)) == (20, 0)
        for factor, step in ((2.0, torch.abs), (1.0, torch.neg)):
            with pytest.raises(NameTakenError, match="'mine' is taken"):
                extracted(factor, step)
