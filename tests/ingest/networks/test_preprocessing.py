"""Preprocessing gives what the presets of torchvision and open_clip give."""

from __future__ import annotations

import numpy as np
import open_clip
import pytest
import torch
import torchvision
from PIL import Image

from neuronlake.ingest.networks.models import load_model
from neuronlake.ingest.networks.preprocessing import DECODERS, Preprocessing, decoded_by
from tiny import smooth_picture

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


@pytest.mark.parametrize("size", [*SIZES, (400, 4), (3, 401), (33, 33)])
@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("resize", "crop"), [(64, 64), (73, 64), (60, 64)])
def test_a_tensor_is_cut_as_a_picture_is(
    resize: int, crop: int, interpolation: str, resize_mode: str, size: tuple[int, int]
) -> None:
    ours = Preprocessing(resize, crop, (0.5,) * 3, (0.5,) * 3, interpolation, resize_mode)
    image = smooth_picture(0, size)
    found = ours.pixels_of_tensor(torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1))
    assert found.dtype == torch.uint8
    # Pillow rounds twice, once for either side; a step beside, and edges would differ by many
    assert (found.int() - ours.pixels(image).int()).abs().max() <= 2


def test_other_pixels_are_another_preprocessing_and_pillows_is_told_as_ever() -> None:
    ours = Preprocessing(8, 8, (0.5,) * 3, (0.25,) * 3)
    # fingerprints of networks are made of this
    assert repr(ours) == (
        "Preprocessing(resize=8, crop=8, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), interpolation='bilinear', "
        "resize_mode='shortest')"
    )
    assert {**vars(ours)}.keys() == {"resize", "crop", "mean", "std", "interpolation", "resize_mode"}
    others = {decoder: decoded_by(ours, decoder) for decoder in DECODERS}
    assert {name: other.decoder for name, other in others.items()} == {name: name for name in DECODERS}
    assert len({*others.values()}) == 3
    assert others["pillow"] is ours
    assert decoded_by(others["nvjpeg"], "pillow") == ours
    assert decoded_by(others["nvjpeg"], "torchvision") == others["torchvision"]


def test_a_place_in_the_crop_is_found_in_the_whole_image() -> None:
    cropped = Preprocessing(256, 224, (0.5,) * 3, (0.5,) * 3)
    # 512 x 256 keeps its size, and the crop of 224 begins at x = 144, y = 16
    assert cropped.place_in_image(0, 0, 512, 256) == (144 / 512, 16 / 256)
    assert cropped.place_in_image(1, 0.5, 512, 256) == ((144 + 224) / 512, 0.5)
    squashed = Preprocessing(224, 224, (0.5,) * 3, (0.5,) * 3, resize_mode="squash")
    assert squashed.place_in_image(0.25, 0.75, 512, 256) == (0.25, 0.75)
