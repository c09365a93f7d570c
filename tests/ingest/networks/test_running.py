"""Channels last: the same numbers, for networks that can do with it, and only while images are shown to them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import neuronlake
from neuronlake.ingest.networks.models import Model, load_model, model_from_module
from neuronlake.ingest.networks.running import channels_last


class Flattening(nn.Module):
    """A network whose code wants its maps in the usual order, as many do."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 6, 3, stride=16)
        self.fc = nn.Linear(6 * 14 * 14, 4)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.convolution(images)
        return self.fc(maps.view(len(maps), -1))


def is_last(module: nn.Module) -> bool:
    """Whether a network's kernels have their channels last."""
    return any(not weight.is_contiguous() for weight in module.parameters())


def of_module(module: nn.Module) -> Model:
    """A user's own."""
    torch.manual_seed(0)
    return model_from_module("own", module)


@pytest.mark.parametrize("name", ["resnet18-imagenet", "efficientnet_b0-imagenet", "convnext_tiny-imagenet"])
def test_a_network_gives_the_same_with_channels_last_and_gets_its_order_back(name: str) -> None:
    model = load_model(name, random_weights=True)
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = model.module(images)
        with channels_last([model]):
            assert is_last(model.module)
            torch.testing.assert_close(model.module(images), before, rtol=1e-4, atol=1e-5)
        assert torch.equal(model.module(images), before)
    assert not is_last(model.module)


def test_a_network_that_cannot_work_so_is_left_as_it_is() -> None:
    model = of_module(Flattening())
    with channels_last([model]), torch.inference_mode():
        assert not is_last(model.module)
        assert model.module(torch.zeros(2, 3, 224, 224)).shape == (2, 4)


def test_the_order_that_a_user_has_chosen_stays() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3)).to(memory_format=torch.channels_last)
    with channels_last([of_module(module)]):
        assert is_last(module)
    assert is_last(module)


def test_a_network_without_convolutions_is_not_run() -> None:
    class Failing(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:  # noqa: A002
            raise AssertionError

    with channels_last([of_module(Failing(3, 4))]):
        pass


def test_images_are_shown_to_networks_with_channels_last(
    image_folder: Path, concept_file: Path, tiny_clip_folder: Path, tmp_path: Path
) -> None:
    seen: list[bool] = []
    module = nn.Sequential(nn.Conv2d(3, 4, 3, stride=8), nn.ReLU())
    module.register_forward_hook(lambda part, _inputs, _output: seen.append(is_last(part)))
    with neuronlake.open(tmp_path / "w.duckdb") as warehouse:
        done = neuronlake.ingest(
            warehouse,
            models={"mine": module},
            layers="0",
            probe=str(image_folder),
            concepts=str(concept_file),
            encoder=f"local-dir:{tiny_clip_folder}",
            null_draws=10,
        )
        assert done.extracted_images == 20
    assert seen[-1]
    assert not is_last(module)
