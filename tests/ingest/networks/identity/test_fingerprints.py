"""Identity of a user's own network: it follows the code and the settings that decide its outputs."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from array import array
from collections import deque
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from neuronlake.ingest.networks.identity.fingerprints import module_code
from neuronlake.ingest.networks.models import load_model, model_from_module

NETWORK = """
from torch import nn
from layers.activations import bend
import settings

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        nn.init.ones_(self.stem.weight), nn.init.ones_(self.stem.bias)
        self.scale = settings.SCALE
        self.kinds = {"wide", "narrow", "deep"}

    def forward(self, x):
        from late import shift
        return shift(bend(self.stem(x))) * self.scale

def make():
    return Net()
"""
FILES = {
    "net.py": NETWORK,
    "settings.py": "SCALE = 2.0\n",
    "layers/__init__.py": "",
    "layers/activations.py": "from .parts import clamp\n\ndef bend(x):\n    return clamp(x)\n",
    "layers/parts.py": "def clamp(x):\n    return x.clamp(min=0)\n",
    "late.py": "def shift(x):\n    return x + 1\n",
    "unrelated.py": "SCALE = 5.0\n",
}


def write_code(folder: Path, **changed: str) -> str:
    """A user's folder of code, as --model takes it."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(changed.get(name.replace("/", "_").removesuffix(".py"), text))
    return f"{folder / 'net.py'}:make"


def fingerprint(spec: str) -> str:
    return load_model(spec).fingerprint


@pytest.fixture
def spec(tmp_path: Path) -> str:
    return write_code(tmp_path / "code")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("settings", "SCALE = 2.125\n"),
        ("layers_activations", "from .parts import clamp\n\ndef bend(x):\n    return -clamp(x)\n"),
        ("layers_parts", "def clamp(x):\n    return x.clamp(min=-10)\n"),
        ("late", "def shift(x):\n    return x + 100\n"),
    ],
)
def test_a_changed_file_that_the_network_imports_makes_it_another(
    tmp_path: Path, spec: str, file: str, text: str
) -> None:
    before = fingerprint(spec)
    write_code(tmp_path / "code", **{file: text})
    assert fingerprint(spec) != before
    write_code(tmp_path / "code")
    assert fingerprint(spec) == before


def test_a_changed_file_is_also_the_code_that_runs(tmp_path: Path, spec: str) -> None:
    images = torch.ones(1, 3, 1, 1)
    assert load_model(spec).module.get_submodule("stem")(images).flatten().tolist() == [4.0] * 4
    first: Any = load_model(spec).module
    write_code(tmp_path / "code", settings="SCALE = 3.125\n")
    second: Any = load_model(spec).module
    assert (first.scale, second.scale) == (2.0, 3.125)


def test_files_of_one_name_in_two_folders_are_told_apart(tmp_path: Path, spec: str) -> None:
    other = write_code(tmp_path / "other", settings="SCALE = 7.0\n")
    scales = [vars(load_model(each).module)["scale"] for each in (spec, other, spec)]
    assert scales == [2.0, 7.0, 2.0]


def test_other_files_and_the_folder_do_not_count(tmp_path: Path, spec: str) -> None:
    before = fingerprint(spec)
    (tmp_path / "code" / "unrelated.py").write_text("SCALE = 6.0\n")
    (tmp_path / "code" / "new.py").write_text("import net\n")
    assert fingerprint(spec) == before
    shutil.move(tmp_path / "code", tmp_path / "moved" / "elsewhere")
    assert fingerprint(f"{tmp_path / 'moved' / 'elsewhere' / 'net.py'}:make") == before


def test_the_fingerprint_is_the_same_in_each_process(spec: str) -> None:
    load = "from neuronlake.ingest.networks.models import load_model"
    script = f"import sys; {load}; print(load_model(sys.argv[1]).fingerprint)"
    seen = {
        subprocess.run(
            [sys.executable, "-c", script, spec],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert seen == {fingerprint(spec)}


def test_a_package_is_followed_below_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    load = "from neuronlake.ingest.networks.models import load_model"
    script = f"{load}; print(load_model('apackage.net:make').fingerprint)"
    text = NETWORK.replace("from layers", "from .layers").replace("import settings", "from . import settings")
    seen: list[str] = []
    for scale in ("2.0", "3.125"):
        write_code(tmp_path / "apackage", net=text, settings=f"SCALE = {scale}\n")
        (tmp_path / "apackage" / "__init__.py").touch()
        command = [sys.executable, "-c", script]
        seen.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert seen[0] != seen[1]


# Settings


@dataclasses.dataclass
class Config:
    """Settings as an object."""

    factor: float = 1.0
    places: frozenset[str] = frozenset({"left", "right", "above"})


class Holder(nn.Module):
    """Holds one attribute beside its weights."""

    def __init__(self, held: object) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.held = held

    def forward(self, images: Tensor) -> Tensor:
        return self.stem(images)


def doubled(value: float) -> float:
    return value * 2


def halved(value: float) -> float:
    return value / 2


class Opaque:
    """Nothing that could be read: its repr has an address."""


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (2.0, 3.0),
        (2, True),
        ("relu", "gelu"),
        ([1, (2, 3)], [1, (2, 4)]),
        ({"a": 1}, {"a": 2}),
        (Config(), Config(factor=2.0)),
        (torch.float16, torch.float32),
        (torch.arange(3), torch.arange(3) * 2),
        (torch.relu, torch.tanh),
        (nn.functional.gelu, nn.functional.silu),
        (doubled, halved),
        ("/first", "/second"),
        (slice(1, 2), slice(1, 3)),
        (range(3), range(4)),
        (deque([1.0]), deque([2.0])),
        (array("d", [1.0]), array("d", [2.0])),
        (itemgetter(0), itemgetter(1)),
        (partial(nn.functional.gelu, approximate="tanh"), partial(nn.functional.gelu, approximate="none")),
    ],
)
def test_an_attribute_counts(first: object, second: object) -> None:
    assert module_code(Holder(first)) == module_code(Holder(first)) != module_code(Holder(second))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("/home/ada/weights.pt", "/mnt/weights.pt"),
        (Path("/home/ada"), Path("/mnt")),
        ({"c", "b", "a"}, {"a", "b", "c"}),
        (Opaque(), Opaque()),
        ({"b": 2, "a": 1}, {"a": 1, "b": 2}),
    ],
)
def test_places_and_order_do_not_count(first: object, second: object) -> None:
    assert module_code(Holder(first)) == module_code(Holder(second))


def test_a_list_that_holds_itself_is_read_to_an_end() -> None:
    held: list[object] = [1]
    held.append(held)
    assert module_code(Holder(held)) == module_code(Holder(held))


def test_settings_of_torchs_modules_count_within_a_users_network() -> None:
    def heads(count: int) -> nn.Module:
        holder = Holder(None)
        holder.attention = nn.MultiheadAttention(8, count)
        return holder

    assert module_code(heads(2)) != module_code(heads(4))


def test_buffers_that_are_not_saved_count() -> None:
    def buffered(values: Tensor) -> nn.Module:
        holder = Holder(None)
        holder.register_buffer("mask", values, persistent=False)
        return holder

    assert module_code(buffered(torch.ones(2))) != module_code(buffered(torch.zeros(2)))


def test_a_patched_forward_counts() -> None:
    def patched(forward: Callable[[float], float]) -> nn.Module:
        module = nn.Sequential(nn.ReLU())
        module[0].forward = forward
        return module

    assert module_code(nn.Sequential(nn.ReLU())) == ""
    assert module_code(patched(doubled)) != module_code(patched(halved))


def test_an_attribute_makes_another_model_of_a_module_in_memory() -> None:
    prints = [model_from_module("mine", Holder(held)).module for held in (1.0, 2.0)]
    prints[1].load_state_dict(prints[0].state_dict())
    assert len({model_from_module("mine", module).fingerprint for module in prints}) == 2
    assert len({model_from_module("mine", prints[0]).fingerprint for _ in range(2)}) == 1
