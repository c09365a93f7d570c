"""How a model wants its images: resized, cropped and normalised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms
from torchvision.transforms.v2 import functional as of_tensors

from neuronlake import NeuronlakeError
from neuronlake.ingest.networks.identity.live_code import code_of
from neuronlake.ingest.networks.windows import WHOLE, Window, shown_window

# what decodes plain JPEGs: Pillow, which resizes as pictures too, or what gives tensors and resizes as such
Decoder = Literal["pillow", "torchvision", "nvjpeg"]
DECODERS: tuple[Decoder, ...] = get_args(Decoder)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# times the shorter side
_LONGEST_SLIVER = 64
# whose transforms show all their settings, except for functions
_SHOWING = ("torchvision", "timm", "open_clip")


class TransformError(NeuronlakeError):
    """A transform does not give what a network can take."""


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

    @classmethod
    def of_preset(cls, preset: Any) -> Preprocessing:
        """What a preset of torchvision does, as ``Weights.transforms()`` gives it."""
        return cls(
            resize=preset.resize_size[0],
            crop=preset.crop_size[0],
            mean=tuple(preset.mean),
            std=tuple(preset.std),
            interpolation=preset.interpolation.value,
        )

    @property
    def height(self) -> int:
        """Of what the model sees."""
        return self.crop

    @property
    def width(self) -> int:
        """Of what the model sees."""
        return self.crop

    @property
    def shorter_side(self) -> int:
        """Pixels of the whole resized image's shorter side, at least."""
        return max(self.crop, self.resize)

    @property
    def travels(self) -> bool:
        """Whether another process can do the same; it is data."""
        return True

    @property
    def decoder(self) -> Decoder:
        """What decodes plain JPEGs for it."""
        return "pillow"

    def pixels(self, image: Image.Image) -> Tensor:
        """The part of an RGB image that the model sees, as (3, crop, crop) uint8."""
        if self.resize_mode == "shortest" and (middle := _middle(*image.size)):
            image = image.crop(middle)
        width, height = self._resized(*image.size)
        picture: Any = image  # torchvision takes pictures too, but is typed for tensors alone
        resized = transforms.resize(picture, [height, width], InterpolationMode(self.interpolation))
        return transforms.pil_to_tensor(transforms.center_crop(resized, [self.crop, self.crop]))

    def pixels_of_tensor(self, image: Tensor) -> Tensor:
        """The same of an image as (3, height, width) uint8, on its device; of other pixels by a step here and there.

        torchvision resizes uint8 as such on most processors, and by way of float32 on the others and on a GPU.
        """
        if self.resize_mode == "shortest" and (middle := _middle(image.shape[2], image.shape[1])):
            left, top, right, bottom = middle
            image = image[:, top:bottom, left:right]
        width, height = self._resized(image.shape[2], image.shape[1])
        mode = InterpolationMode(self.interpolation)
        resized = of_tensors.resize(image, [height, width], mode, antialias=True)
        return of_tensors.center_crop(resized, [self.crop, self.crop]).contiguous()

    def normalise(self, pixels: Tensor) -> Tensor:
        """(batch, 3, crop, crop) uint8 to what the model takes, as float32 on the same device."""
        mean, std = (_of_channels(values, pixels.device) for values in (self.mean, self.std))
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

    def window(self, width: int, height: int) -> tuple[float, float, float, float]:
        """What the model sees of an image: left, top, right and bottom, as fractions of its width and height.

        Those below 0 and above 1 are of padding.
        """
        return *self.place_in_image(0, 0, width, height), *self.place_in_image(1, 1, width, height)

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


def _of_channels(values: Sequence[float], device: torch.device) -> Tensor:
    """A number for each channel, (channels, 1, 1) float32; filled in there, for a copy would wait for a GPU's queue."""
    return torch.stack([torch.full((1, 1), value, dtype=torch.float32, device=device) for value in values])


def _middle(width: int, height: int) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of the part around a sliver's middle, all that a crop sees; None of other images.

    Whole, a sliver could become gigabytes when resized.
    """
    longest = _LONGEST_SLIVER * min(width, height)
    if max(width, height) <= longest:
        return None
    # as much on both sides is cut off
    wide, high = (min(side, longest + (side - longest) % 2) for side in (width, height))
    left, top = (width - wide) // 2, (height - high) // 2
    return left, top, left + wide, top + high


@dataclass(frozen=True)
class TensorPreprocessing(Preprocessing):
    """A preprocessing whose plain JPEGs are not decoded by Pillow, so that it gives other pixels.

    Attributes:
        decoded_by: what decodes them.
    """

    decoded_by: Decoder = "torchvision"

    @property
    def decoder(self) -> Decoder:
        """See `Preprocessing`."""
        return self.decoded_by


@dataclass(frozen=True)
class CustomTransform:
    """A user's own transform, from an RGB image to a (3, height, width) tensor.

    Nothing is known of what it cuts off, so places in the model's view are not places in the image.

    Attributes:
        identity: of what it does, by its repr or by its code and what it holds; part of the model's identity.
        height: of what the model sees.
        width: of what the model sees.
        transform: the transform itself.
    """

    identity: str
    height: int
    width: int
    transform: Callable[[Image.Image], Tensor] = field(compare=False, repr=False)

    @classmethod
    def around(cls, transform: Callable[[Image.Image], Any]) -> CustomTransform:
        """Wrap a transform, after trying it on a wide and on a tall image.

        Raises:
            TransformError: it fails, or gives no tensors of one size with three channels.
        """
        shapes: list[tuple[int, ...]] = []
        for size in ((400, 300), (300, 400)):
            try:
                result = transform(Image.new("RGB", size))
            except Exception as error:
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                raise TransformError(f"the transform {_name(transform)} fails on an RGB image ({reason})") from error
            if not isinstance(result, Tensor) or result.ndim != 3 or result.shape[0] != 3:
                found = list(result.shape) if isinstance(result, Tensor) else type(result).__name__
                raise TransformError(
                    f"the transform {_name(transform)} gives {found}, not a (3, height, width) tensor of one image"
                )
            shapes.append(tuple(result.shape))
        if shapes[0] != shapes[1]:
            raise TransformError(
                f"the transform {_name(transform)} gives a wide image as {list(shapes[0])} and a tall one as "
                f"{list(shapes[1])}; let it crop to one size"
            )
        return cls(_identity(transform), shapes[0][1], shapes[0][2], transform)

    def as_it_is(self) -> CustomTransform:
        """The same with the identity of now: what a transform in memory holds may have changed since."""
        return replace(self, identity=_identity(self.transform))

    @property
    def shorter_side(self) -> int:
        """Pixels of the shorter side of what the model sees."""
        return min(self.height, self.width)

    def window(self, width: int, height: int) -> tuple[float, float, float, float]:
        """See `Preprocessing.window`; the whole image where the transform does not show what it cuts off."""
        return _window(self, width, height) or WHOLE

    @property
    def tells_window(self) -> bool:
        """Whether the transform shows what it cuts off."""
        return _window(self, 400, 300) is not None

    @property
    def decoder(self) -> Decoder:
        """What decodes JPEGs for it: it takes pictures."""
        return "pillow"

    @property
    def travels(self) -> bool:
        """Whether another process can do the same: it finds the code of known libraries."""
        return _shows_all(self.transform)

    def pixels(self, image: Image.Image) -> Tensor:
        """What the model takes, (3, height, width) float32."""
        return self.transform(image).float()

    def normalise(self, pixels: Tensor) -> Tensor:
        """(batch, 3, height, width) float32, which the transform has normalised already."""
        return pixels


# by the transform's identity, for it may have no hash itself
@lru_cache(maxsize=4096)
def _window(custom: CustomTransform, width: int, height: int) -> Window | None:
    """See `shown_window`."""
    return shown_window(custom.transform, width, height)


Preparation = Preprocessing | CustomTransform


def decoded_by(preparation: Preparation, decoder: Decoder) -> Preparation:
    """The same with its plain JPEGs decoded by another decoder; as it is where that makes no other pixels."""
    if decoder == preparation.decoder or isinstance(preparation, CustomTransform):
        return preparation
    plain = {each.name: getattr(preparation, each.name) for each in fields(Preprocessing)}
    return Preprocessing(**plain) if decoder == "pillow" else TensorPreprocessing(**plain, decoded_by=decoder)


def prepared_by(transform: object) -> Preparation:
    """Any of the ways to write preprocessing as one that models take.

    Args:
        transform: a `Preprocessing`, a preset of torchvision, or a callable from an RGB image to a tensor; the usual
            Compose of Resize, CenterCrop, ToTensor and Normalize is recognised as the `Preprocessing` it is.

    Raises:
        TransformError: it is none of these, or does not work.
    """
    if isinstance(transform, Preprocessing | CustomTransform):
        return transform
    if all(hasattr(transform, name) for name in ("resize_size", "crop_size", "mean", "std", "interpolation")):
        return Preprocessing.of_preset(transform)
    if not callable(transform):
        raise TransformError(
            f"a transform is a Preprocessing, a preset of torchvision or a callable, not {type(transform).__name__}"
        )
    return _recognised(transform) or CustomTransform.around(transform)


def _recognised(transform: Any) -> Preprocessing | None:
    """The usual Compose as data; None if it is another one. It is believed only after giving the same pixels."""
    steps = {type(step).__name__: step for step in getattr(transform, "transforms", ())}
    if not {"Resize", "CenterCrop", "Normalize"} <= steps.keys():
        return None
    size, crop = steps["Resize"].size, steps["CenterCrop"].size
    sides = [size] if isinstance(size, int) else list(size)
    guess = Preprocessing(
        resize=sides[0],
        crop=crop if isinstance(crop, int) else crop[0],
        mean=tuple(float(value) for value in steps["Normalize"].mean),
        std=tuple(float(value) for value in steps["Normalize"].std),
        interpolation=steps["Resize"].interpolation.value,
        resize_mode="shortest" if len(sides) == 1 else "squash",
    )
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    wide = Image.fromarray(noise).resize((400, 300))
    for picture in (wide, wide.transpose(Image.Transpose.ROTATE_90)):
        try:
            theirs, ours = transform(picture), guess.normalise(guess.pixels(picture))
        except Exception:  # whatever it is, it is not the usual one
            return None
        if not isinstance(theirs, Tensor) or theirs.shape != ours.shape or not torch.allclose(theirs, ours, atol=1e-4):
            return None
    return guess


def _name(transform: object) -> str:
    """A transform as a message calls it."""
    return getattr(transform, "__name__", None) or type(transform).__name__


def _identity(transform: Callable[..., Any]) -> str:
    """What a transform does, as text: its repr if that says so, else its code and all that it holds."""
    if _shows_all(transform):
        return repr(transform)
    return f"{_name(transform)} {code_of(transform, f'the transform {_name(transform)}')}"


def _shows_all(transform: object) -> bool:
    """Whether a transform, and each step in it, is of a library whose reprs have all that decides what it does."""
    kind = type(transform)
    if (kind is not nn.Sequential and kind.__module__.partition(".")[0] not in _SHOWING) or kind.__name__ == "Lambda":
        return False
    held = [
        list(value.values()) if isinstance(value, dict) else value
        for value in getattr(transform, "__dict__", {}).values()
    ]
    entries = [entry for value in held for entry in (value if isinstance(value, list | tuple) else [value])]
    return all(_shows_all(entry) for entry in entries if callable(entry))
