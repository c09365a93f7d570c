"""Weights: downloaded once and checked, read without running code, refused where they do not fit."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

from neuronlake.ingest.networks import known_by_name, weights
from neuronlake.ingest.networks.errors import ModelError, WeightsError
from neuronlake.ingest.networks.identity.fingerprints import module_fingerprint
from neuronlake.ingest.networks.models import load_model
from neuronlake.ingest.networks.weights import RemoteFile


class QuietHandler(SimpleHTTPRequestHandler):
    requests: list[str] = []  # noqa: RUF012  shared on purpose: the test counts requests

    def do_GET(self) -> None:
        self.requests.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """A web server on this machine: its address, its folder, and the requests it got."""
    folder = tmp_path / "served"
    folder.mkdir()
    QuietHandler.requests = []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder))) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", folder, QuietHandler.requests
        http.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEURONLAKE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def remote(address: str, content: bytes) -> RemoteFile:
    return RemoteFile(f"{address}/file.bin", len(content), hashlib.sha256(content).hexdigest())


def test_a_download_is_checked_and_kept(server: tuple[str, Path, list[str]], cache: Path) -> None:
    address, folder, requests = server
    (folder / "file.bin").write_bytes(b"weights")
    wanted = remote(address, b"weights")
    assert weights.download(wanted, "hint").read_bytes() == b"weights"
    assert weights.download(wanted, "hint") == cache / "file.bin"
    assert len(requests) == 1


def test_a_damaged_file_in_the_cache_is_fetched_again(server: tuple[str, Path, list[str]], cache: Path) -> None:
    address, folder, _ = server
    (folder / "file.bin").write_bytes(b"weights")
    cache.mkdir()
    (cache / "file.bin").write_bytes(b"wei")
    assert weights.download(remote(address, b"weights"), "hint").read_bytes() == b"weights"


def test_a_download_that_is_something_else_is_refused_and_not_kept(
    server: tuple[str, Path, list[str]], cache: Path
) -> None:
    address, folder, _ = server
    (folder / "file.bin").write_bytes(b"a login page")
    with pytest.raises(WeightsError, match="is not the expected file"):
        weights.download(remote(address, b"weights"), "hint")
    assert list(cache.iterdir()) == []


def test_without_a_network_the_message_says_what_was_tried_and_what_to_do(cache: Path) -> None:
    unreachable = RemoteFile("http://127.0.0.1:9/file.bin", 1, "0" * 64)
    with pytest.raises(WeightsError) as error:
        weights.download(unreachable, "pass --weights resnet18-places365=FILE")
    assert "http://127.0.0.1:9/file.bin" in str(error.value)
    assert "pass --weights resnet18-places365=FILE" in str(error.value)
    assert list(cache.iterdir()) == []


def test_places365_comes_through_the_cache_in_its_published_layout(
    server: tuple[str, Path, list[str]], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(3)
    network = torchvision.models.resnet18(num_classes=365)
    # as published: in a dict, with `module.` before each name, without the counters of newer torch
    layout = {
        f"module.{name}": tensor
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    address, folder, _ = server
    file = folder / "resnet18_places365.pth.tar"
    torch.save({"epoch": 90, "arch": "resnet18", "state_dict": layout, "best_prec1": 54.2}, file)
    content = file.read_bytes()
    published = RemoteFile(f"{address}/{file.name}", len(content), hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(known_by_name.PLACES365_WEIGHTS, "resnet18", published)

    model = load_model("resnet18-places365")

    assert torch.equal(model.module.get_parameter("fc.weight"), network.fc.weight)
    assert len(model.class_names) == 365
    assert model.source == published.url
    assert (cache / file.name).exists()


def test_a_local_file_takes_the_place_of_a_download(tmp_path: Path) -> None:
    torch.manual_seed(4)
    network = torchvision.models.resnet18()
    torch.save(network.state_dict(), tmp_path / "mine.pth")
    safetensors.torch.save_file(network.state_dict(), tmp_path / "mine.safetensors")
    pickled = load_model("resnet18-imagenet", tmp_path / "mine.pth")
    safe = load_model("resnet18-imagenet", tmp_path / "mine.safetensors")
    assert torch.equal(pickled.module.get_parameter("conv1.weight"), network.conv1.weight)
    assert pickled.fingerprint == safe.fingerprint


def test_random_weights_are_recorded_and_repeatable() -> None:
    first, again = (load_model("resnet18-imagenet", random_weights=True) for _ in range(2))
    assert first.is_random
    assert first.fingerprint == again.fingerprint
    assert "random" in first.source


def test_the_fingerprint_tells_weights_and_architectures_apart() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=1))
    strided = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2))
    strided.load_state_dict(network.state_dict())
    before = module_fingerprint(network)
    assert before != module_fingerprint(strided)
    with torch.no_grad():
        network[0].bias[0] += 1e-3
    assert before != module_fingerprint(network)


class Evil:
    """Its pickle makes a folder when it is read."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.trace),)


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"state_dict": Evil(tmp_path / "trace")}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="could run its code"):
        load_model("resnet18-imagenet", tmp_path / "evil.pth")
    assert not (tmp_path / "trace").exists()


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "whole.pth")
    content = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match="not a readable checkpoint"):
        load_model("resnet18-imagenet", tmp_path / "cut.pth")


def test_a_checkpoint_of_another_architecture_names_what_differs(tmp_path: Path) -> None:
    torch.save(torchvision.models.resnet18(num_classes=10).state_dict(), tmp_path / "ten.pth")
    with pytest.raises(WeightsError, match=r"fc\.weight is \[10, 512\], not \[1000, 512\]"):
        load_model("resnet18-imagenet", tmp_path / "ten.pth")
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "linear.pth")
    with pytest.raises(WeightsError, match=r"lacks conv1\.weight"):
        load_model("resnet18-imagenet", tmp_path / "linear.pth")


def test_a_missing_weights_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no weights file at .*nowhere\.pth"):
        load_model("resnet18-imagenet", tmp_path / "nowhere.pth")


@pytest.mark.parametrize(
    ("name", "near"),
    [("resnt18-imagenet", "resnet18-imagenet"), ("resnet18", "resnet18-"), ("efficientnet-lite7-imagenet", "lite")],
)
def test_an_unknown_model_gets_near_names(name: str, near: str) -> None:
    with pytest.raises(ModelError, match=f"there is no model '{name}'.*{near}"):
        load_model(name)


def test_a_network_whose_places_weights_are_not_published_asks_for_a_file() -> None:
    with pytest.raises(WeightsError, match="pass --weights resnet34-places365=FILE"):
        load_model("resnet34-places365")
