"""float32 is float32: no convolution and no product of matrices rounds its inputs to TF32 unless a user asks for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import neuronlake
from neuronlake.ingest.devices import exact_float32
from neuronlake.ingest.networks.models import model_from_module
from neuronlake.ingest.networks.preprocessing import Preprocessing
from neuronlake.ingest.recipe import Recipe


def settings() -> tuple[object, ...]:
    """PyTorch's newer and older switches, which fail where they disagree."""
    backends = torch.backends
    operations = (backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul, backends.mkldnn.matmul)
    older = (backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32, torch.get_float32_matmul_precision())
    return *(each.fp32_precision for each in operations), *older


EXACT = ("ieee", "ieee", "ieee", "ieee", False, False, "highest")


@pytest.fixture(params=["highest", "high", "medium"])
def asked(request: pytest.FixtureRequest) -> Iterator[tuple[object, ...]]:
    """What the program around asked for, and PyTorch's own choice of TF32 for convolutions."""
    torch.set_float32_matmul_precision(request.param)
    yield settings()
    torch.set_float32_matmul_precision("highest")


def test_float32_is_exact_within_the_block_and_then_again_what_it_was(asked: tuple[object, ...]) -> None:
    assert asked[0] == "tf32"  # why this is needed
    with exact_float32():
        assert settings() == EXACT
    assert settings() == asked
    with pytest.raises(ZeroDivisionError), exact_float32():
        raise ZeroDivisionError
    assert settings() == asked


def test_half_the_bits_are_summed_in_float32_within_the_block() -> None:
    products = torch.backends.cuda.matmul
    before = products.allow_bf16_reduced_precision_reduction, products.allow_fp16_reduced_precision_reduction
    assert before == (True, True)  # why this is needed
    with exact_float32():
        assert not products.allow_bf16_reduced_precision_reduction
        assert not products.allow_fp16_reduced_precision_reduction
    assert before == (products.allow_bf16_reduced_precision_reduction, products.allow_fp16_reduced_precision_reduction)


class Asks(nn.Module):
    """Keeps how PyTorch is set while it runs on images, and draws nothing from it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.seen: list[tuple[object, ...]] = []

    def forward(self, images: Tensor) -> Tensor:
        if images.any() and not images.requires_grad:  # not a dry run
            self.seen.append(settings())
        return self.stem(images)


def test_networks_run_in_it(tiny_recipe: Recipe, tmp_path: Path, asked: tuple[object, ...]) -> None:
    network = Asks()
    model = model_from_module("asks", network, Preprocessing(32, 32, (0.5,) * 3, (0.4,) * 3))
    recipe = dataclasses.replace(tiny_recipe, models=(model,), layers=("stem",), random_weights=False, limit=4)
    with neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse:
        neuronlake.ingest(warehouse, recipe)
    assert set(network.seen) == {EXACT}
    assert settings() == asked


def test_convolutions_and_products_keep_the_digits_that_tf32_loses(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(0)
    images, kernels = torch.randn(2, 64, 16, 16, generator=generator), torch.randn(64, 64, 3, 3, generator=generator)
    matrix = torch.randn(256, 256, generator=generator)
    with exact_float32():
        convolved = nn.functional.conv2d(images.to(device), kernels.to(device)).cpu()
        product = (matrix.to(device) @ matrix.to(device)).cpu()
    # 576 and 256 terms of size 1: float32 is off by about 1e-5, TF32 by about 1e-2
    assert (convolved - nn.functional.conv2d(images.double(), kernels.double())).abs().max() < 1e-3
    assert (product - matrix.double() @ matrix.double()).abs().max() < 1e-3
