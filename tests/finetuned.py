"""A small network that learns something, then something else: what it is before, and after with three units rewired."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from neuronlake import Preprocessing

PREPROCESSING = Preprocessing(32, 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# the layers whose units are compared, after the activation
LAYERS = ("2", "5", "8")
# the one whose channels can be rewired
REWIRED = "5"
COLORS = {"red": (200, 40, 40), "green": (40, 180, 60), "blue": (50, 70, 210)}
SHAPES = ("disc", "stripes", "square")
NAMES = [(color, shape) for color in COLORS for shape in SHAPES]


def picture(color: str, shape: str, seed: int) -> Image.Image:
    """A shape of a colour somewhere on grey noise."""
    random = np.random.default_rng(seed)
    pixels = random.integers(90, 150, (32, 32, 3)).astype(np.float64)
    rows, columns = np.mgrid[:32, :32]
    top, left, size = random.integers(4, 14), random.integers(4, 14), random.integers(9, 15)
    inside = (rows >= top) & (rows < top + size) & (columns >= left) & (columns < left + size)
    if shape == "disc":
        inside = (rows - top - size / 2) ** 2 + (columns - left - size / 2) ** 2 < (size / 2) ** 2
    elif shape == "stripes":
        inside &= rows % 4 < 2
    pixels[inside] = np.array(COLORS[color]) + random.normal(0, 12, (int(inside.sum()), 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def write_pictures(folder: Path, each: int) -> Path:
    """So many pictures of each colour and shape, in a folder each, such as ``red stripes``."""
    for place, (color, shape) in enumerate(NAMES):
        (folder / f"{color} {shape}").mkdir(parents=True)
        for number in range(each):
            picture(color, shape, 1000 * place + number).save(folder / f"{color} {shape}" / f"{number:03}.png")
    return folder


def network(seed: int = 0) -> nn.Sequential:
    """Three convolutions, each with its activation, and a head for nine words."""
    torch.manual_seed(seed)
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 5, stride=2, padding=2), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 24, 3, stride=2, padding=1), nn.BatchNorm2d(24), nn.ReLU()),
        *(nn.Conv2d(24, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 9)),
    )


def train(learner: nn.Sequential, words: list[str], steps: int, rate: float) -> None:
    """Teach a network which of some words is in the name of a picture, its head ten times as fast as the rest."""
    torch.manual_seed(1)
    drawn = [(picture(*name, seed=50_000 + number), " ".join(name)) for number in range(25) for name in NAMES]
    pixels = torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1) / 127.5 - 1 for image, _ in drawn])
    truth = torch.tensor([next(place for place, word in enumerate(words) if word in name) for _, name in drawn])
    body = {"params": learner[:-1].parameters(), "lr": rate}
    optimizer = torch.optim.Adam([body, {"params": learner[-1].parameters(), "lr": 10 * rate}])
    learner.train()
    for _ in range(steps):
        batch = torch.randint(len(drawn), (32,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(learner(pixels[batch]), truth[batch]).backward()
        optimizer.step()
    learner.eval()


def before_and_after() -> tuple[nn.Sequential, nn.Sequential]:
    """A network that tells coloured shapes apart, and the same one after it has gone on with a new head for colours."""
    before = network()
    train(before, [" ".join(name) for name in NAMES], 300, 3e-3)
    after = copy.deepcopy(before)
    after[-1] = nn.Linear(24, 3)
    train(after, list(COLORS), 60, 1e-4)
    return before, after


def swap(rewired: nn.Sequential, one: int, other: int) -> None:
    """Let two channels of the second convolution change places, with what the third makes of them."""
    order = torch.arange(24)
    order[[one, other]] = order[[other, one]]
    permute(rewired, order)


def permute(rewired: nn.Sequential, order: torch.Tensor) -> None:
    """Put the channels of the second convolution in another order, with what the third makes of them."""
    with torch.no_grad():
        for layer, names in ((3, ("weight", "bias")), (4, ("weight", "bias", "running_mean", "running_var"))):
            for name in names:
                values = rewired[layer].get_buffer(name) if "running" in name else rewired[layer].get_parameter(name)
                values.copy_(values[order].clone())
        inputs = rewired[6].get_parameter("weight")
        inputs.copy_(inputs[:, order].clone())


def zero(rewired: nn.Sequential, channel: int) -> None:
    """Let a channel of the second convolution fire on nothing."""
    with torch.no_grad():
        for name in ("weight", "bias"):
            rewired[4].get_parameter(name)[channel] = 0
