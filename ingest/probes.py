"""Probes: folders of images to decoded images, or the reason why not."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from neuronlake import NeuronlakeError
from neuronlake.ingest.weights import sha256_of

# Files with other endings are no images and are passed over; these are tried, and failures recorded.
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
_THUMBNAIL_SIDE = 96
_THUMBNAIL_QUALITY = 60
_SIXTEEN_BITS = 256


class ProbeError(NeuronlakeError):
    """The probe cannot be used."""


@dataclass(frozen=True)
class ProbeImage:
    """A file of a probe: its path relative to the probe, the name of its folder, and its sha256."""

    path: str
    label: str | None
    sha256: str


@dataclass(frozen=True)
class Probe:
    """A set of images, in the order of their paths."""

    name: str
    folder: Path
    images: tuple[ProbeImage, ...]

    @property
    def fingerprint(self) -> str:
        """sha256 over the paths and contents of all files."""
        digest = hashlib.sha256()
        for image in self.images:
            digest.update(f"{image.path}\0{image.sha256}\n".encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class DecodedImage:
    """An upright RGB image, and a small WebP picture of the whole of it."""

    rgb: Image.Image
    thumbnail: bytes


def load_probe(folder: str | Path, progress: Callable[[int, int], None] | None = None) -> Probe:
    """List a folder of images, at any depth; each file's contents are hashed, so that identity follows them.

    Args:
        folder: where the images lie; the name of the folder that holds an image is its label.
        progress: called with the number of files done and of all files.

    Raises:
        ProbeError: there is no such folder, or no image in it.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise ProbeError(f"there is no folder {root}; --probe takes a folder of images")
    files = sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if not files:
        raise ProbeError(f"{root} holds no images; it needs files such as .jpg or .png, at any depth")
    images: list[ProbeImage] = []
    with ThreadPoolExecutor() as pool:
        for path, digest in zip(files, pool.map(sha256_of, files), strict=True):
            relative = path.relative_to(root)
            label = relative.parent.name or None
            images.append(ProbeImage(relative.as_posix(), label, digest))
            if progress:
                progress(len(images), len(files))
    return Probe(name=root.resolve().name, folder=root, images=tuple(images))


def decode(path: Path) -> DecodedImage:
    """Read an image of any mode.

    Raises:
        ProbeError: the file cannot be read as an image; the message is the reason.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", category=UserWarning)
            with Image.open(path) as image:
                rgb = _upright_rgb(image)
    except UnidentifiedImageError as error:
        raise ProbeError("not an image that can be read") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ProbeError(f"too many pixels: {error}") from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise ProbeError(str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    return DecodedImage(rgb, _thumbnail(rgb))


def _upright_rgb(image: Image.Image) -> Image.Image:
    """The first frame as RGB: turned as its EXIF data say, 16 bits scaled down, transparency on white."""
    image.load()
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I") or upright.mode == "F":
        upright = _eight_bits(upright)
    if "A" in upright.mode or "a" in upright.mode or "transparency" in upright.info:
        layered = upright.convert("RGBA")
        paper = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(paper, layered).convert("RGB")
    return upright.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """A grey image of 16 or 32 bits a pixel, or of floats, as one of 8 bits."""
    values = np.asarray(image, dtype=np.float64)
    if image.mode == "F":
        low, high = float(values.min()), float(values.max())
        values = (values - low) / (high - low or 1.0) * 255
    elif values.max(initial=0) >= _SIXTEEN_BITS:
        values = values / 257
    return Image.fromarray(values.clip(0, 255).round().astype(np.uint8))


def _thumbnail(rgb: Image.Image) -> bytes:
    """The whole image in at most 96 x 96 pixels, as WebP."""
    small = rgb.copy()
    small.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE), Image.Resampling.BICUBIC, reducing_gap=2.0)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=_THUMBNAIL_QUALITY, method=2)
    return buffer.getvalue()
