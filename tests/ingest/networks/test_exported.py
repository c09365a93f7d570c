"""torch.export files: they hold code, so that none is read without --trust-code."""

from __future__ import annotations

import io
import json
import os
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision.models as vision
from torch import Tensor, nn

from neuronlake.ingest.layers.directions import load_directions
from neuronlake.ingest.networks.errors import ModelError, WeightsError
from neuronlake.ingest.networks.models import load_model

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


def evil_inputs(entries: Entries, trace: Path) -> None:
    """Example inputs that are a pickle."""
    entries["data/sample_inputs/model.pt"] = torch_pickle(trace)


def evil_constant(entries: Entries, trace: Path) -> None:
    """A constant that is a pickle, as torch writes those that are no plain tensors."""
    config = json.loads(entries["data/constants/model_constants_config.json"])
    for entry in config["config"].values():
        entry |= {"path_name": "tensor_0", "use_pickle": True}
    entries["data/constants/model_constants_config.json"] = json.dumps(config).encode()
    entries["data/constants/tensor_0"] = torch_pickle(trace)


def evil_size(entries: Entries, trace: Path) -> None:
    """A size that is Python, which torch evaluates."""
    code = json.dumps(f"__import__('os').mkdir('{trace}')")[1:-1]
    text, count = re.subn(r"Symbol\('s\d+'[^)]*\)", lambda _found: code, entries["models/model.json"].decode())
    assert count
    entries["models/model.json"] = text.encode()


EVIL: dict[str, Callable[[Entries, Path], None]] = {
    "example inputs": evil_inputs,
    "a pickled tensor among the constants": evil_constant,
    "a size that is evaluated": evil_size,
}


def test_an_exported_network_is_not_read_unless_it_is_trusted(good: Path) -> None:
    said = (
        r"good\.pt2 is a torch\.export file, which holds code that may do anything; pass --trust-code if you trust who"
    )
    with pytest.raises(WeightsError, match=said) as caught:
        load_model(str(good))
    assert "\n" not in str(caught.value)
    with pytest.raises(WeightsError, match=said):
        load_directions(str(good))
    assert load_model(str(good), trust_code=True).name == "good"


@pytest.mark.parametrize("kind", EVIL)
def test_code_in_an_exported_network_is_run_only_when_trusted(good: Path, tmp_path: Path, kind: str) -> None:
    trace = tmp_path / "trace"
    evil = rewritten(good, tmp_path / "evil.pt2", lambda entries: EVIL[kind](entries, trace))
    with pytest.raises(WeightsError, match="holds code"):
        load_model(str(evil))
    assert not trace.exists()
    # so the file is what it is said to be
    with pytest.raises(ModelError):
        load_model(str(evil), trust_code=True)
    assert trace.exists()


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "constants": Bends,
    "convolutions": lambda: vision.ResNet(vision.resnet.BasicBlock, [1, 1, 1, 1], num_classes=10),
    "attention": lambda: vision.VisionTransformer(32, 8, 1, 4, 24, 48, num_classes=10),
    "windows": lambda: vision.SwinTransformer([4, 4], 12, [1, 1], [2, 2], [3, 3], num_classes=10),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_torchs_operators_are_read(tmp_path: Path, name: str) -> None:
    network = NETWORKS[name]()
    model = load_model(str(export(network, tmp_path / "network.pt2")), trust_code=True)
    images = torch.randn(3, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(model.module(images), network(images), rtol=1e-4, atol=1e-5)
