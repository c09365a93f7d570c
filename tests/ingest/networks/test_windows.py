"""What a user's own transform shows of an image is found out, so that masks lie where the network looks."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from torchvision import transforms

from neuronlake.ingest.networks.windows import shown_window

NORMALIZE = [transforms.ToTensor(), transforms.Normalize((0.4, 0.5, 0.6), (0.2, 0.3, 0.25))]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([transforms.Resize((64, 64))], (0, 0, 1, 1)),
        # of 400 x 300 the middle 300
        ([transforms.Resize(64), transforms.CenterCrop(64)], (0.125, 0, 0.875, 1)),
        ([transforms.Resize(64), transforms.CenterCrop(32)], (0.3125, 0.25, 0.6875, 0.75)),
        ([transforms.CenterCrop(100)], (0.375, 1 / 3, 0.625, 2 / 3)),
        # as far above and below as there is padding
        ([transforms.Pad((0, 50)), transforms.Resize((64, 64))], (0, -1 / 6, 1, 7 / 6)),
        ([transforms.Grayscale(3), transforms.Resize(64), transforms.CenterCrop(64)], (0.125, 0, 0.875, 1)),
    ],
)
def test_crops_and_padding_are_found(steps: list[object], expected: tuple[float, ...]) -> None:
    found = shown_window(transforms.Compose([*steps, *NORMALIZE]), 400, 300)
    assert found == pytest.approx(expected, abs=0.015)


def test_what_is_mirrored_or_shuffled_or_blank_is_not_guessed() -> None:
    mirrored = transforms.Compose([transforms.Resize((64, 64)), transforms.RandomHorizontalFlip(1.0), *NORMALIZE])
    turned = transforms.Compose([transforms.RandomRotation((90, 90)), transforms.ToTensor()])

    def blank(_image: Image.Image) -> torch.Tensor:
        return torch.zeros(3, 8, 8)

    assert [shown_window(transform, 400, 300) for transform in (mirrored, turned, blank)] == [None, None, None]
