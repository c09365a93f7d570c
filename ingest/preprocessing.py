"""How a model wants its images: resized, cropped and normalised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms


@dataclass(frozen=True)
class Preprocessing:
    """Resize, centre crop, normalise, as torchvision's and open_clip's presets do.

    Being data, it is part of a model's identity, and models that want the same pixels share them.

    Attributes:
        resize: pixels that the resized side gets.
        crop: side of the square that the model sees.
        interpolation: ``bilinear`` or ``bicubic``.
        resize_mode: which side: ``shortest``, ``longest`` (the rest is padded) or ``squash`` (both).
        mean: of the red, green and blue channel, of pixels in [0, 1].
        std: their deviations.
    """

    resize: int
    crop: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bilinear"
    resize_mode: str = "shortest"

    def pixels(self, image: Image.Image) -> Tensor:
        """The part of an RGB image that the model sees, as (3, crop, crop) uint8."""
        width, height = self._resized(*image.size)
        picture: Any = image  # torchvision takes pictures too, but is typed for tensors alone
        resized = transforms.resize(picture, [height, width], InterpolationMode(self.interpolation))
        return transforms.pil_to_tensor(transforms.center_crop(resized, [self.crop, self.crop]))

    def normalise(self, pixels: Tensor) -> Tensor:
        """(batch, 3, crop, crop) uint8 to what the model takes, as float32 on the same device."""
        mean = torch.tensor(self.mean, device=pixels.device).view(-1, 1, 1)
        std = torch.tensor(self.std, device=pixels.device).view(-1, 1, 1)
        return (pixels.float() / 255 - mean) / std

    def place_in_image(self, x: float, y: float, width: int, height: int) -> tuple[float, float]:
        """A place in the model's square as a place in the whole image.

        Args:
            x: from the left of the square (0) to its right (1).
            y: from the top of the square (0) to its bottom (1).
            width: of the whole image, in pixels.
            height: of the whole image, in pixels.

        Returns:
            The place as fractions of the whole image's width and height.
        """
        resized_width, resized_height = self._resized(width, height)
        left = round((resized_width - self.crop) / 2)
        top = round((resized_height - self.crop) / 2)
        return (left + x * self.crop) / resized_width, (top + y * self.crop) / resized_height

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        """Size of the resized image, before it is cropped."""
        if self.resize_mode == "squash":
            return self.resize, self.resize
        if self.resize_mode == "longest":
            scale = self.resize / max(width, height)
            return max(1, round(width * scale)), max(1, round(height * scale))
        if width <= height:
            return self.resize, int(self.resize * height / width)
        return int(self.resize * width / height), self.resize
