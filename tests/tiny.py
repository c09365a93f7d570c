"""A small CLIP, small images and a handful of concepts: the tests' own inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
TINY_CLIP = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2},
}
TINY_PREPROCESSING = {
    "size": 32,
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
CONCEPTS = ["cat", "dog", "red", "striped", "sky", "wheel", "forest", "kitchen"]

# an encoder of one's own, as the text of a file
TWO_TOWERS = """
import torch
from torch import nn
from neuronlake import Preprocessing

class TwoTowers(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.colours = nn.Linear(3, 4)
        self.letters = nn.Embedding(256, 4)

    def encode_image(self, pixels):
        return self.colours(pixels.mean(dim=(2, 3)))

    def encode_text(self, tokens):
        return self.letters(tokens).mean(dim=1)

def tokenize(texts):
    return torch.tensor([list(text.encode()[:16].ljust(16)) for text in texts])

def make():
    return TwoTowers(), Preprocessing(32, 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), tokenize
"""


def smooth_picture(seed: int, size: tuple[int, int] = (48, 40)) -> Image.Image:
    """A picture of smooth random colours."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def write_image(path: Path, seed: int, size: tuple[int, int] = (48, 40)) -> None:
    """A picture of smooth random colours, as a file of the kind that its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    smooth_picture(seed, size).save(path)
