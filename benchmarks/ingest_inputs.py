"""What benchmarks/ingest.py and gpu.py show to what: photographs, and two sets of networks, all with random weights."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
import torchvision
from PIL import Image
from torch import nn

from neuronlake.ingest.encoders.loading import Encoder, load_encoder
from neuronlake.ingest.networks.models import Model, load_model
from neuronlake.ingest.networks.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

CONCEPTS = tuple(f"concept {number}" for number in range(64))
PHOTOGRAPH = (500, 375)  # the median photograph of ImageNet
SMALL_PICTURE = (160, 120)
_SMALL_SIDE = 64
_DIFFERENT = 400


@dataclass(frozen=True)
class Networks:
    """Models, layers and encoder of a measurement.

    Attributes:
        models: as `--model` takes them.
        layers: the same for all.
        encoder: as `--encoder` takes it.
        are_by_name: whether the models are known by name, so that `--random-weights` is for them.
    """

    models: tuple[str, ...]
    layers: tuple[str, ...]
    encoder: str
    are_by_name: bool

    def load(self) -> tuple[list[Model], Encoder]:
        """All of them."""
        models = [load_model(name, random_weights=self.are_by_name) for name in self.models]
        return models, load_encoder(self.encoder)

    def as_json(self) -> str:
        """For the command line of another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Networks:
        """What `as_json` gave."""
        given = json.loads(text)
        return cls(tuple(given["models"]), tuple(given["layers"]), given["encoder"], given["are_by_name"])


def real_networks(folder: Path) -> Networks:
    """Two ResNet-18s and CLIP ViT-B/16."""
    _write_encoder(folder, "ViT-B-16", 224, quick_gelu=True)
    models = ("resnet18-imagenet", "resnet18-places365")
    return Networks(models, ("layer3", "layer4", "fc"), f"local-dir:{folder}", are_by_name=True)


def light_networks(folder: Path) -> Networks:
    """Two ResNet-18s that look at 64 pixels, and the smallest vision transformer of open_clip, on 64 pixels too."""
    _write_encoder(folder, "ViT-S-32-alt", _SMALL_SIDE, quick_gelu=False)
    models = tuple(f"{name}={Path(__file__).resolve()}:{name}" for name in ("first_small", "second_small"))
    return Networks(models, ("layer3", "layer4", "fc"), f"local-dir:{folder}", are_by_name=False)


def first_small() -> tuple[nn.Module, Preprocessing]:
    """A factory as `--model` takes it."""
    return _small_resnet(1)


def second_small() -> tuple[nn.Module, Preprocessing]:
    """Another, with other weights."""
    return _small_resnet(2)


def _small_resnet(seed: int) -> tuple[nn.Module, Preprocessing]:
    """A ResNet-18 for small pictures."""
    torch.manual_seed(seed)
    preprocessing = Preprocessing(_SMALL_SIDE + 8, _SMALL_SIDE, IMAGENET_MEAN, IMAGENET_STD)
    return torchvision.models.resnet18(weights=None), preprocessing


def _write_encoder(folder: Path, architecture: str, side: int, *, quick_gelu: bool) -> None:
    """A CLIP with random weights, as a folder that open_clip loads."""
    folder.mkdir()
    torch.manual_seed(0)
    module: Any = open_clip.create_model(
        architecture, pretrained=None, force_quick_gelu=quick_gelu, force_image_size=side
    )
    plain = open_clip.get_model_config(architecture) or {}
    model = {**plain, "quick_gelu": quick_gelu, "vision_cfg": {**plain["vision_cfg"], "image_size": side}}
    config = {"model_cfg": model, "preprocess_cfg": {"size": side}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.save(module.state_dict(), folder / "open_clip_pytorch_model.bin")


def write_photographs(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """JPEG files with the detail of photographs, in a subfolder, since CLIP-Dissect reads folders of classes."""
    random = np.random.default_rng(0)
    (folder / "all").mkdir(parents=True)
    for number in range(count):
        (folder / "all" / f"{number:06}.jpg").write_bytes(_photograph(random, size))
    return folder


def write_photographs_of_all_sizes(folder: Path, count: int) -> Path:
    """The same with sides from 224 to 500 pixels; after some hundred the same come again, with another comment each.

    To the warehouse these are images of their own, and they take as long to decode; to write, a hundredth.
    """
    random = np.random.default_rng(0)
    made = [_photograph(random, _size(random)) for _ in range(min(count, _DIFFERENT))]
    (folder / "all").mkdir(parents=True)
    for number in range(count):
        jpeg = made[number % len(made)]
        # a segment of a comment, after the marker that begins the file
        comment = b"\xff\xfe\x00\x0a" + f"{number:08}".encode()
        (folder / "all" / f"{number:06}.jpg").write_bytes(jpeg[:2] + comment + jpeg[2:])
    return folder


def _size(random: np.random.Generator) -> tuple[int, int]:
    """Width and height of a photograph that stands or lies."""
    longer = int(random.integers(300, 501))
    shorter = max(224, longer * 3 // 4)
    return (longer, shorter) if random.random() < 0.7 else (shorter, longer)


def _photograph(random: np.random.Generator, size: tuple[int, int]) -> bytes:
    """A JPEG file."""
    coarse = random.integers(0, 256, (size[1] // 6, size[0] // 6, 3), dtype=np.uint8)
    written = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(written, "JPEG", quality=90)
    return written.getvalue()


def write_concepts(folder: Path) -> Path:
    """A file with one concept a line."""
    path = folder / "concepts.txt"
    path.write_text("\n".join(CONCEPTS))
    return path
