"""The bytes of an image to pixels: upright, RGB, of any kind that Pillow reads; or the reason why not."""

from __future__ import annotations

import io
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from neuronlake.ingest.probes.locations import ProbeError
from neuronlake.sql.words import first_line

_THUMBNAIL_SIDE = 96
# of a draft that a thumbnail is made of: twice as large as that looks as from the whole image
THUMBNAIL_DRAFT_SIDE = 2 * _THUMBNAIL_SIDE
_THUMBNAIL_QUALITY = 60
_SIXTEEN_BITS = 256
# orientations of EXIF in which width and height change places
_ON_ITS_SIDE = frozenset({5, 6, 7, 8})
_TURNED = frozenset({2, 3, 4}) | _ON_ITS_SIDE


@contextmanager
def quiet_decoding() -> Generator[None]:
    """Within the block Pillow warns of nothing: what it means is the reason why an image is refused, or no matter.

    For the thread that starts the others, around all that they do: the filters of warnings are the whole process's,
    and threads that each set and restore them leave other code with wrong ones.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
        # of its decoders, from 0.29 on
        warnings.filterwarnings("ignore", "The image decoding", DeprecationWarning, r"torchvision\.io")
        yield


def decode(content: bytes) -> Image.Image:
    """An image of any mode from the bytes of its file, upright and RGB; on any thread, see `quiet_decoding`.

    Raises:
        ProbeError: they cannot be read as an image; the message is the reason.
    """
    with _reasons(), Image.open(io.BytesIO(content)) as image:
        check_size(image)
        return _upright_rgb(image)


@dataclass(frozen=True)
class Draft:
    """What Pillow shows of a plain JPEG without decoding it in full.

    Attributes:
        width: of the whole image.
        height: of the whole image.
        picture: the image at a fraction of its size.
    """

    width: int
    height: int
    picture: Image.Image


def plain_jpeg(content: bytes, side: int = 1) -> Draft | None:
    """A draft of a plain JPEG: upright, RGB as YCbCr, and not progressive; None where it is another kind of image.

    Whatever decodes such a JPEG sees the same image, and a GPU can. All its bytes are read: this fails where `decode`
    does.

    Args:
        content: of its file.
        side: pixels of the picture's longer side, at least, where the image has them.

    Raises:
        ProbeError: they cannot be read as an image; the message is the reason.
    """
    with _reasons(), Image.open(io.BytesIO(content)) as image:
        check_size(image)
        if image.format != "JPEG" or image.mode != "RGB" or not _is_plain(image):
            return None
        width, height = image.size
        scale = max(width, height) / side
        image.draft("RGB", (max(1, round(width / scale)), max(1, round(height / scale))))
        image.load()
        return Draft(width, height, image.copy())


def _is_plain(jpeg: Image.Image) -> bool:
    """Whether a JPEG of three channels is upright and not progressive, and its channels are those of YCbCr."""
    layers: list[tuple[int, ...]] = getattr(jpeg, "layer", [])
    is_stored_as_rgb = jpeg.info.get("adobe_transform") == 0 or [layer[0] for layer in layers] == [*b"RGB"]
    is_upright = jpeg.getexif().get(ExifTags.Base.Orientation, 1) not in _TURNED
    return is_upright and not is_stored_as_rgb and "progressive" not in jpeg.info


@contextmanager
def _reasons() -> Generator[None]:
    """Within the block what Pillow raises is a ProbeError."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise ProbeError("not an image that can be read") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # of Pillow's sentence what comes before its guess at an attack
        raise ProbeError(f"too many pixels: {str(error).partition(',')[0]}") from error
    except (ProbeError, MemoryError):
        raise
    except Exception as error:  # damaged files take Pillow's readers to errors of many kinds
        raise ProbeError(first_line(error)) from error


def upright_size(content: bytes) -> tuple[int, int] | None:
    """Width and height that an image will have when it is decoded; None where that cannot be told."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            is_on_its_side = image.getexif().get(ExifTags.Base.Orientation, 1) in _ON_ITS_SIDE
            return (image.height, image.width) if is_on_its_side else image.size
    except Exception:  # of any kind, as in `decode`, which says what it is
        return None


def has_foreign_formats() -> bool:
    """Whether the program has taught Pillow to read more than it does by itself."""
    return any(not factory.__module__.startswith("PIL.") for factory, _accept in Image.OPEN.values())


def check_size(image: Image.Image) -> None:
    """Refuse more pixels than Pillow's limit, of which it only warns up to twice as many, and then just once.

    Raises:
        ProbeError: there are more.
    """
    pixels, limit = image.width * image.height, Image.MAX_IMAGE_PIXELS
    if limit is not None and pixels > limit:
        raise ProbeError(f"too many pixels: {image.width} x {image.height} is more than {limit}")


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
    if not np.isfinite(values).all():
        raise ProbeError("some of its pixels are NaN or infinite; clean them, as with numpy.nan_to_num")
    if image.mode == "F":
        low, high = float(values.min()), float(values.max())
        values = (values - low) / (high - low or 1.0) * 255
    elif values.max(initial=0) >= _SIXTEEN_BITS:
        values = values / 257
    return Image.fromarray(values.clip(0, 255).round().astype(np.uint8))


def thumbnail(rgb: Image.Image) -> bytes:
    """The whole image in at most 96 x 96 pixels, as WebP."""
    small = rgb.copy()
    small.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE), Image.Resampling.BICUBIC, reducing_gap=2.0)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=_THUMBNAIL_QUALITY, method=2)
    return buffer.getvalue()
