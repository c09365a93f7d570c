"""torch.export files that bring code along: none of it is run without --trust-code."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision.models as vision
from torch import Tensor, nn

from neuronlake.ingest.networks.blueprints import ModelError
from neuronlake.ingest.networks.models import load_model
from neuronlake.ingest.networks.weights import WeightsError

pytestmark = pytest.mark.filterwarnings("ignore")


class Bends(nn.Module):
    """A few operators, a constant and a size that is not known."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.shift = torch.tensor([1.0, 2.0, 3.0, 4.0])

    def forward(self, images: Tensor) -> Tensor:
        return (self.stem(images).flatten(2).mean(dim=2) + self.shift).relu()


def export(network: nn.Module, path: Path) -> Path:
    """A network saved for any number of images of 32 x 32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        any_number = ({0: torch.export.Dim.DYNAMIC},)
        program = torch.export.export(network.eval(), (torch.zeros(2, 3, 32, 32),), dynamic_shapes=any_number)
        torch.export.save(program, path)
    return path


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(Bends(), tmp_path_factory.mktemp("good") / "good.pt2")


class Evil:
    """Its pickle makes a folder when it is read."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.trace),)


def torch_pickle(trace: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save(Evil(trace), buffer)
    return buffer.getvalue()


Entries = dict[str, bytes]


def rewritten(good: Path, path: Path, change: Callable[[Entries], None]) -> Path:
    """A copy with other entries; names are without the archive's folder."""
    with zipfile.ZipFile(good) as archive:
        entries = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name.removeprefix("/") if name.startswith("/") else f"good/{name}", content)
    return path


def changed_json(entries: Entries, name: str, change: Callable[[Any], None]) -> None:
    content = json.loads(entries[name])
    change(content)
    entries[name] = json.dumps(content).encode()


def program_with(replace: Mapping[str, str]) -> Callable[[Entries, Path], None]:
    """Patterns in the program, replaced; TRACE is the folder that evil code makes."""

    def change(entries: Entries, trace: Path) -> None:
        text = entries["models/model.json"].decode()
        for pattern, new in replace.items():
            written = json.dumps(new.replace("TRACE", str(trace)))[1:-1]
            text, count = re.subn(pattern, lambda _found, written=written: written, text)
            assert count
        entries["models/model.json"] = text.encode()

    return change


def evil_constant(prefix: str, pickled: Callable[[Path], bytes]) -> Callable[[Entries, Path], None]:
    """A constant that is a pickle, as torch writes those that are no plain tensors."""

    def change(entries: Entries, trace: Path) -> None:
        def point(config: Any) -> None:
            for entry in config["config"].values():
                entry |= {"path_name": f"{prefix}0", "use_pickle": True}

        changed_json(entries, "data/constants/model_constants_config.json", point)
        entries[f"data/constants/{prefix}0"] = pickled(trace)

    return change


def sample_inputs(name: str) -> Callable[[Entries, Path], None]:
    def change(entries: Entries, trace: Path) -> None:
        del entries["data/sample_inputs/model.pt"]
        entries[name] = torch_pickle(trace)

    return change


def weights_of_old(entries: Entries, trace: Path) -> None:
    entries["data/weights/model.pt"] = torch_pickle(trace)


def layout_of_old(entries: Entries, trace: Path) -> None:
    """torch 2.7's, in which even what is called json is unpickled."""
    program = entries["models/model.json"]
    entries.clear()
    entries["/version"] = b"8.16"
    entries["/serialized_exported_program.json"] = program
    for name in ("state_dict.json", "constants.pt", "example_inputs.pt"):
        entries[f"/serialized_{name}"] = torch_pickle(trace)


def library(entries: Entries, _trace: Path) -> None:
    entries["data/aotinductor/model/model.so"] = b"\x7fELF"


EVIL: dict[str, Callable[[Entries, Path], None]] = {
    "example inputs": sample_inputs("data/sample_inputs/model.pt"),
    "example inputs in capitals": sample_inputs("data/sample_inputs/model.PT"),
    "weights as older torch wrote them": weights_of_old,
    "a file as older torch wrote it": layout_of_old,
    "a pickled tensor among the constants": evil_constant("tensor_", torch_pickle),
    "an object among the constants": evil_constant("opaque_obj_", lambda trace: pickle.dumps(Evil(trace))),
    "a compiled library": library,
    "a size that is evaluated": program_with({r"Symbol\('s\d+'[^)]*\)": "__import__('os').mkdir('TRACE')"}),
    "an operator that is none": program_with({r"torch\.ops\.aten\.relu\.default": "torch.os.mkdir"}),
    "a name that is source": program_with({r'(?<=")images(?=")': "x):\n import os; os.mkdir('TRACE')\ndef g(self, x"}),
}


@pytest.mark.parametrize("kind", EVIL)
def test_code_in_an_exported_network_is_not_run(good: Path, tmp_path: Path, kind: str) -> None:
    trace = tmp_path / "trace"
    evil = rewritten(good, tmp_path / "evil.pt2", lambda entries: EVIL[kind](entries, trace))
    with pytest.raises(WeightsError, match=r"could run its code; export it again .* --trust-code") as caught:
        load_model(str(evil))
    assert "\n" not in str(caught.value)
    assert not trace.exists()


@pytest.mark.parametrize("kind", ["example inputs", "a pickled tensor among the constants", "a size that is evaluated"])
def test_what_is_trusted_is_run(good: Path, tmp_path: Path, kind: str) -> None:
    """So the files above are what they are said to be."""
    trace = tmp_path / "trace"
    evil = rewritten(good, tmp_path / "evil.pt2", lambda entries: EVIL[kind](entries, trace))
    with pytest.raises(ModelError):
        load_model(str(evil), trust_code=True)
    assert trace.exists()


def test_entries_that_stand_twice_are_refused(good: Path, tmp_path: Path) -> None:
    path = rewritten(good, tmp_path / "twice.pt2", lambda _entries: None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("good/DATA/sample_inputs/model.pt", torch_pickle(tmp_path / "trace"))
    with pytest.raises(WeightsError, match="could run its code"):
        load_model(str(path))
    assert not (tmp_path / "trace").exists()


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "constants": Bends,
    "convolutions": lambda: vision.ResNet(vision.resnet.BasicBlock, [1, 1, 1, 1], num_classes=10),
    "attention": lambda: vision.VisionTransformer(32, 8, 1, 4, 24, 48, num_classes=10),
    "windows": lambda: vision.SwinTransformer([4, 4], 12, [1, 1], [2, 2], [3, 3], num_classes=10),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_torchs_operators_are_read(tmp_path: Path, name: str) -> None:
    network = NETWORKS[name]()
    model = load_model(str(export(network, tmp_path / "network.pt2")))
    images = torch.randn(3, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(model.module(images), network(images), rtol=1e-4, atol=1e-5)
