"""What a user's own transform shows of an image is found out, so that masks lie where the network looks."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from PIL import Image
from torchvision import transforms

from neuronlake.ingest.networks.preprocessing import CustomTransform
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


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (64, 48), (500, 375)])
def test_all_of_an_image_is_known_as_all_of_it(size: tuple[int, int]) -> None:
    """Else its masks would be moved by a pixel."""
    for side in (8, 32, 64):
        for way in (transforms.InterpolationMode.BILINEAR, transforms.InterpolationMode.NEAREST):
            transform = transforms.Compose([transforms.Resize((side, side), way), *NORMALIZE])
            assert shown_window(transform, *size) == (0, 0, 1, 1)


def test_what_is_mirrored_or_shuffled_or_blank_is_not_guessed() -> None:
    mirrored = transforms.Compose([transforms.Resize((64, 64)), transforms.RandomHorizontalFlip(1.0), *NORMALIZE])
    turned = transforms.Compose([transforms.RandomRotation((90, 90)), transforms.ToTensor()])

    def blank(_image: Image.Image) -> torch.Tensor:
        return torch.zeros(3, 8, 8)

    assert [shown_window(transform, 400, 300) for transform in (mirrored, turned, blank)] == [None, None, None]


def test_what_is_cropped_elsewhere_each_time_is_not_guessed() -> None:
    torch.manual_seed(0)
    for crop in (transforms.RandomCrop(64), transforms.RandomResizedCrop((32, 32), scale=(0.05, 0.1))):
        assert shown_window(transforms.Compose([crop, *NORMALIZE]), 400, 300) is None


@dataclass
class Halved:
    """A transform that has no hash, as dataclasses have none."""

    size: int = 32

    def __call__(self, image: Image.Image) -> torch.Tensor:
        left = image.crop((0, 0, image.width // 2, image.height))
        return transforms.ToTensor()(left.resize((self.size, self.size)))


def test_a_transform_needs_no_hash() -> None:
    assert CustomTransform.around(Halved()).window(400, 300) == pytest.approx((0, 0, 0.5, 1), abs=0.015)
