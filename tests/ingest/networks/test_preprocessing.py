"""Preprocessing gives what the presets of torchvision and open_clip give."""

from __future__ import annotations

import numpy as np
import open_clip
import pytest
import torch
import torchvision
from PIL import Image

from neuronlake.ingest.networks.models import load_model
from neuronlake.ingest.networks.preprocessing import Preprocessing

SIZES = [(300, 200), (200, 333), (256, 256), (64, 100), (1000, 30)]


def noise(size: tuple[int, int]) -> Image.Image:
    width, height = size
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(4, 400), (400, 4), (3, 401)])
def test_of_a_sliver_only_what_the_crop_sees_is_resized(size: tuple[int, int]) -> None:
    ours, image = Preprocessing(32, 32, (0.5,) * 3, (0.5,) * 3), noise(size)
    width, height = (32, 32 * size[1] // size[0]) if size[0] < size[1] else (32 * size[0] // size[1], 32)
    whole = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - 32) / 2), round((height - 32) / 2)
    expected = torch.from_numpy(np.asarray(whole.crop((left, top, left + 32, top + 32))).copy()).permute(2, 0, 1)
    # a pixel of the original is many here: where its edge lies may differ by one
    assert (ours.pixels(image).float() - expected.float()).abs().mean() < 10


def test_a_sliver_of_any_length_takes_little_memory() -> None:
    ours = Preprocessing(256, 224, (0.5,) * 3, (0.5,) * 3)
    # resized as a whole it would be 256 x 15,360,000 pixels
    assert ours.pixels(Image.new("RGB", (1, 60_000))).shape == (3, 224, 224)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("architecture", ["resnet18", "convnext_tiny", "swin_t"])
def test_it_equals_torchvisions_own_transforms(architecture: str, size: tuple[int, int]) -> None:
    preset = torchvision.models.get_model_weights(architecture)["DEFAULT"].transforms()
    ours = load_model(f"{architecture}-imagenet", random_weights=True).preprocessing
    image = noise(size)
    torch.testing.assert_close(ours.normalise(ours.pixels(image)[None]), preset(image)[None], rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
def test_it_equals_open_clips_transform(resize_mode: str, size: tuple[int, int]) -> None:
    mean, std = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
    theirs = open_clip.image_transform(
        64, is_train=False, mean=mean, std=std, resize_mode=resize_mode, interpolation="bicubic"
    )
    ours = Preprocessing(64, 64, mean, std, "bicubic", resize_mode)
    image = noise(size)
    torch.testing.assert_close(ours.normalise(ours.pixels(image)[None]), theirs(image)[None], rtol=0, atol=1e-6)


def test_a_place_in_the_crop_is_found_in_the_whole_image() -> None:
    cropped = Preprocessing(256, 224, (0.5,) * 3, (0.5,) * 3)
    # 512 x 256 keeps its size, and the crop of 224 begins at x = 144, y = 16
    assert cropped.place_in_image(0, 0, 512, 256) == (144 / 512, 16 / 256)
    assert cropped.place_in_image(1, 0.5, 512, 256) == ((144 + 224) / 512, 0.5)
    squashed = Preprocessing(224, 224, (0.5,) * 3, (0.5,) * 3, resize_mode="squash")
    assert squashed.place_in_image(0.25, 0.75, 512, 256) == (0.25, 0.75)
