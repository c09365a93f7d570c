"""Images through networks on a GPU give what they give on the CPU, and the host never waits for it within a chunk."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
import pytest
import torch
from alike import assert_alike
from pretended_devices import PretendedDevice, pretended
from torch import Tensor, nn

from neuronlake.ingest.encoders.clip import ClipEncoder
from neuronlake.ingest.encoders.variants import variant_of
from neuronlake.ingest.layers.choosing import choose_layers
from neuronlake.ingest.machines import extraction
from neuronlake.ingest.machines.chunks import Chunk, ExtractedChunk, FailedImage, MaskedView, PreparedImage
from neuronlake.ingest.machines.extraction import extract_chunk
from neuronlake.ingest.machines.feeding.batches import BatchLimit, run_on_batches
from neuronlake.ingest.machines.loaded import LoadedNetworks
from neuronlake.ingest.machines.maps.crossing import CrossMasks
from neuronlake.ingest.machines.maps.thresholds import SeekThresholds
from neuronlake.ingest.networks.models import Model, model_from_module
from neuronlake.ingest.networks.preprocessing import Preprocessing
from neuronlake.ingest.networks.weights import SourceKind

SIDE, IMAGES = 16, 10
SEEN = Preprocessing(SIDE, SIDE, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SEEN_BY_ENCODER = Preprocessing(SIDE, SIDE, (0.5,) * 3, (0.5,) * 3)


class Residual(nn.Module):
    """As a block of a ResNet."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        return self.relu(self.norm(self.conv(maps)) + maps)


class Attending(nn.Module):
    """As a vision transformer: patches, a class token, two blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, 4)
        self.cls_token = nn.Parameter(torch.randn(1, 1, 8))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(8, 2, 16, 0.0, "gelu", batch_first=True, norm_first=True) for _ in range(2)
        )
        self.head = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.stem(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(tokens[:, 0])


class TwoTowers(nn.Module):
    """As CLIP, with an image that has no direction."""

    def __init__(self) -> None:
        super().__init__()
        self.colours = nn.Linear(3, 4)

    def encode_image(self, pixels: Tensor) -> Tensor:
        return self.colours(pixels.mean(dim=(2, 3)))


def residual() -> Model:
    torch.manual_seed(0)
    stem = [nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)]
    module = nn.Sequential(*stem, Residual(), Residual(), *head)
    return model_from_module("residual", module.eval().requires_grad_(requires_grad=False), SEEN)


def attending() -> Model:
    torch.manual_seed(1)
    return model_from_module("attending", Attending().eval().requires_grad_(requires_grad=False), SEEN)


def networks_in(precision: str = "float32") -> LoadedNetworks:
    """Two networks and an encoder, with maps, tokens, heads and numbers among the layers that are read."""
    of_maps = choose_layers(residual(), ["0", "4", "5", "8"], "max", precision=precision)
    of_tokens = choose_layers(
        attending(), ["stem", "blocks.*", "blocks.1.self_attn:heads", "head"], precision=precision
    )
    torch.manual_seed(2)
    module = TwoTowers().eval().requires_grad_(requires_grad=False)
    encoder = ClipEncoder("towers", "", SourceKind.MEMORY, "", "0", 4, SEEN_BY_ENCODER, module, None)
    planned = (*of_maps, *of_tokens)
    return LoadedNetworks(planned, variant_of(encoder, precision, "pillow"), lambda: (planned, encoder))


def images() -> Iterator[PreparedImage]:
    """As they come out of decoding."""
    random = np.random.default_rng(0)
    for number in range(IMAGES):
        pixels = torch.from_numpy(random.integers(0, 256, (3, SIDE, SIDE), dtype=np.uint8))
        found = PreparedImage(number, 24, 16, None, {SEEN: pixels, SEEN_BY_ENCODER: pixels})
        region = torch.from_numpy(random.integers(0, 3, (12, 10)))
        found.masks[SEEN] = MaskedView(region, ((), (0,), (0, 1)))
        yield found


def chunk_of(networks: LoadedNetworks) -> Chunk:
    keys = tuple(layer.key for layer in networks.layers)
    return Chunk(0, (None,) * IMAGES, keys, needs_embeddings=True)  # pyright: ignore[reportArgumentType]  by number alone


def extracted(networks: LoadedNetworks, device: torch.device) -> ExtractedChunk:
    """In batches of four."""
    with networks.on(device):
        return extract_chunk(networks, chunk_of(networks), images(), device, BatchLimit(4), lambda _: None)


def assert_extracted_alike(found: ExtractedChunk, expected: ExtractedChunk, atol: float = 1e-5) -> None:
    assert_alike(found.activations, expected.activations, atol=atol)
    assert_alike(found.embeddings, expected.embeddings, atol=atol)
    if atol < 1e-4:
        assert_alike(found.candidates, expected.candidates)


@contextmanager
def batches_never_wait(gpu: PretendedDevice) -> Generator[list[int]]:
    """Within the block, no batch may wait for the device; gives the batches' sizes."""
    sizes: list[int] = []

    def watched(run: Callable[[list[PreparedImage]], None], *given: Any) -> list[FailedImage]:
        def one(batch: list[PreparedImage]) -> None:
            sizes.append(len(batch))
            with gpu.never_waiting():
                run(batch)

        return run_on_batches(one, *given)

    with patch.object(extraction, "run_on_batches", watched):
        yield sizes


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_a_chunk_gives_what_it_gives_on_the_cpu_and_no_batch_waits_for_the_device(kind: str) -> None:
    expected = extracted(networks_in(), torch.device("cpu"))
    with pretended(kind) as gpu, batches_never_wait(gpu) as sizes:
        found = extracted(networks_in(), gpu.device)
    assert sizes == [4, 4, 2]
    assert_extracted_alike(found, expected)


def test_all_comes_back_from_a_gpu_in_one_copy_a_chunk() -> None:
    with pretended("cuda") as gpu:
        networks = networks_in()
        with networks.on(gpu.device):
            before = gpu.copies_back
            extract_chunk(networks, chunk_of(networks), images(), gpu.device, BatchLimit(4), lambda _: None)
            assert gpu.copies_back == before + 1


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_so_it_is_in_half_precision(precision: str) -> None:
    expected = extracted(networks_in(), torch.device("cpu"))
    with pretended("cuda") as gpu, batches_never_wait(gpu):
        found = extracted(networks_in(precision), gpu.device)
    assert_extracted_alike(found, expected, atol=0.1)
    is_reduced = found.activations["attending", "head"] != expected.activations["attending", "head"]
    assert is_reduced.any()


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_networks_are_back_on_the_cpu_afterwards(kind: str) -> None:
    networks = networks_in()
    before = copy.deepcopy(networks.models[1].module.state_dict())
    with pretended(kind) as gpu:
        with networks.on(gpu.device):
            assert {weight.device for weight in networks.models[1].module.parameters()} == {gpu.device}
        assert_alike(networks.models[1].module.state_dict(), before, rtol=0, atol=0)


def maps_of(networks: LoadedNetworks, device: torch.device) -> tuple[object, object]:
    """What both looks at maps give: the highest values, and active pixels with outlines beside masks."""
    # as many units are active here as there
    maps = replace(networks, layers=tuple(layer for layer in networks.layers if layer.model.name == "residual"))
    sought = SeekThresholds(0.1, IMAGES, {})
    units = {layer.key: layer.units for layer in maps.layers}
    thresholds = {key: np.linspace(-1, 1, count) + 1e-3 for key, count in units.items()}
    wanted = pl.DataFrame({"unit": [0, 1, 3], "image_id": [2, 2, 9]}, schema={"unit": pl.Int32, "image_id": pl.Int32})
    crossed = CrossMasks(thresholds, dict.fromkeys(units, wanted))
    found: list[object] = []
    with maps.on(device):
        for look in (sought, crossed):
            reader = look.reader(maps, device)
            batch = list(images())
            reader.run(batch[:6])
            reader.run(batch[6:])
            found.append(reader.finish())
    return found[0], found[1]


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_maps_give_what_they_give_on_the_cpu(kind: str) -> None:
    expected = maps_of(networks_in(), torch.device("cpu"))
    with pretended(kind) as gpu:
        found = maps_of(networks_in(), gpu.device)
    assert_alike(found, expected)
