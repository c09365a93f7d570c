"""A layer's output to one activation for each image and unit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from neuronlake import NeuronlakeError

Pooling = Literal["mean", "max", "cls", "patches"]
# what networks call the parameters that are put before the patch tokens
_CLASS_TOKENS = {"cls_token", "class_token", "class_embedding", "dist_token"}
_REGISTER_TOKENS = {"register_tokens", "reg_token", "registers"}


class PoolingError(NeuronlakeError):
    """An output has nothing for a pooling to take; the message goes on from the layer's name."""


@dataclass(frozen=True)
class Frame:
    """What a network's outputs are read by.

    Attributes:
        height: of the images that it sees; only the ratio to the width counts.
        width: of the images that it sees.
        prefix_tokens: tokens before those of the patches: the class token and registers.
    """

    height: int = 1
    width: int = 1
    prefix_tokens: int = 1

    def has_shape(self, height: int, width: int) -> bool:
        """Whether a map of that size has the images' shape."""
        return height * self.width == width * self.height

    def grid(self, tokens: int) -> tuple[int, int] | None:
        """Height and width of the map that so many patches are; None if they are no map."""
        height = math.isqrt(tokens * self.height // self.width)
        if height == 0 or tokens % height:
            return None
        return (height, tokens // height) if self.has_shape(height, tokens // height) else None


@dataclass(frozen=True)
class Positions:
    """A layer's output at each of the places that are pooled.

    Attributes:
        values: (batch, channels, places) float32.
        grid: height and width of the map that the places are, row by row; None if they are no map.
    """

    values: Tensor
    grid: tuple[int, int] | None


@dataclass(frozen=True)
class Activations:
    """A layer's activations on a batch of images.

    Attributes:
        values: (batch, units) float32.
        peaks: (batch, units, 2) float32, x and y of each map's maximum in what the model sees, from 0 to 1; None
            where there are no maps larger than one pixel.
    """

    values: Tensor
    peaks: Tensor | None


def count_prefix_tokens(module: nn.Module) -> int:
    """How many tokens a network puts before its patches, by its own attribute or by its parameters' names."""
    for part in module.modules():
        count = getattr(part, "num_prefix_tokens", None)
        if isinstance(count, int):
            return count
    found = 0
    for name, parameter in module.named_parameters():
        last = name.rpartition(".")[2]
        if last in _CLASS_TOKENS:
            found += 1
        elif last in _REGISTER_TOKENS:
            found += parameter.shape[-2]
    return found


def channels_first(maps: Tensor, frame: Frame = Frame()) -> Tensor:
    """(batch, channels, height, width), also of maps that have their channels last.

    Those are told by which two sizes have the images' shape, as of square images the second and third.
    """
    _, second, third, fourth = maps.shape
    is_last = frame.has_shape(second, third) and not frame.has_shape(third, fourth)
    return maps.permute(0, 3, 1, 2) if is_last else maps


def positions(output: Tensor, pooling: str, frame: Frame) -> Positions:
    """The places of an output that a pooling takes.

    Args:
        output: (batch, units), tokens as (batch, tokens, channels), or maps as (batch, channels, height, width).
        pooling: a `Pooling`.
        frame: of the network.

    Raises:
        PoolingError: the output has none.
    """
    if output.ndim == 2:
        return Positions(output.float()[:, :, None], None)
    if output.ndim == 3:
        return _tokens(output, pooling, frame)
    height, width = output.shape[2:]
    if pooling == "cls":
        raise PoolingError(f"gives maps of {height} x {width}, which have no class token; use --pooling mean or max")
    return Positions(output.flatten(2).float(), (height, width))


def _tokens(tokens: Tensor, pooling: str, frame: Frame) -> Positions:
    """The class token of tokens that have one, unless patches are asked for; else the tokens of the patches."""
    count = tokens.shape[1]
    prefix = min(frame.prefix_tokens, count)
    # some networks add the class token late: what is a whole map without it has none yet
    if frame.grid(count) and not frame.grid(count - prefix) and count > prefix:
        prefix = 0
    if pooling == "cls" and not prefix:
        raise PoolingError(f"gives {count} tokens and none is a class token; use --pooling mean or max")
    if prefix and pooling != "patches":
        return Positions(tokens[:, 0].float()[:, :, None], None)
    if count == prefix:
        raise PoolingError("gives no tokens of patches; use --pooling cls")
    return Positions(tokens[:, prefix:].transpose(1, 2).float(), frame.grid(count - prefix))


def pool(output: Tensor, pooling: str, frame: Frame = Frame()) -> Activations:
    """A layer's output to one activation for each image and unit.

    Of maps, (batch, channels, height, width) or with their channels last as Swin has them, the mean or the maximum is
    taken. Of tokens, (batch, tokens, channels), the class token is taken, and where there is none the mean or the
    maximum; with ``patches`` the mean of the patches' tokens. What is (batch, units) stays.

    Raises:
        PoolingError: the output has nothing that the pooling could take.
    """
    if output.ndim == 4:
        output = channels_first(output, frame)
    return pool_positions(positions(output, pooling, frame), pooling)


def pool_positions(taken: Positions, pooling: str) -> Activations:
    """`pool`, once the places are known."""
    places = taken.values.shape[2]
    values = taken.values.amax(dim=2) if pooling == "max" else taken.values.mean(dim=2)
    if taken.grid is None or places == 1:
        return Activations(values, None)
    height, width = taken.grid
    peak = taken.values.argmax(dim=2)
    x = (peak % width + 0.5) / width
    y = (torch.div(peak, width, rounding_mode="floor") + 0.5) / height
    return Activations(values, torch.stack([x, y], dim=2))
