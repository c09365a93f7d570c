"""Label images: the bytes of a PNG to the values of its pixels, and these to concepts."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from PIL import Image

from neuronlake.ingest.probes.decoding import check_size
from neuronlake.ingest.probes.locations import ProbeError
from neuronlake.ingest.probes.masks.base import NOTHING
from neuronlake.sql.words import first_line

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# where a PNG says how many bits a value has, and what its values are
_DEPTH_AND_COLORS = slice(24, 26)
_GREY, _RGB, _PALETTE = 0, 2, 3
_UNLISTED = -2
# above which a table from values to places is sought through and not spread out
_MOST_SPREAD = 1 << 16


@dataclass(frozen=True, slots=True)
class ValueReader(ABC):
    """What the values of label images mean; a subclass for each way to write them.

    Attributes:
        table: the file that says what they mean, for messages.
        values: that it lists, ascending.
        concepts: their places in `Masks.concepts`, or `NOTHING`.
    """

    table: str
    values: tuple[int, ...]
    concepts: tuple[int, ...]

    @abstractmethod
    def unlisted(self, value: int) -> str:
        """What is said of a value that the table does not list, after the file's name."""

    @abstractmethod
    def values_of(self, red: np.ndarray, green: np.ndarray, blue: np.ndarray) -> np.ndarray:
        """The values of colors, each (height, width) int32."""

    def places(self, content: bytes) -> np.ndarray:
        """See MaskReader.

        Raises:
            ProbeError: it is no PNG of whole numbers, or has a value that the table does not list.
        """
        pixels = read_pixels(content)
        values = pixels if pixels.ndim == 2 else self.values_of(*np.moveaxis(pixels, -1, 0).astype(np.int32))
        keys, concepts = np.array(self.values, np.int64), np.array(self.concepts, np.int32)
        largest = int(values.max(initial=0))
        if largest < _MOST_SPREAD:
            places = np.full(largest + 1, _UNLISTED, np.int32)
            fitting = keys <= largest
            places[keys[fitting]] = concepts[fitting]
            found = places[values]
        else:
            nearest = np.searchsorted(keys, values).clip(max=len(keys) - 1)
            found = np.where(keys[nearest] == values, concepts[nearest], np.int32(_UNLISTED))
        if found.min(initial=NOTHING) == _UNLISTED:
            raise ProbeError(self.unlisted(int(values[found == _UNLISTED].min())))
        return found


@dataclass(frozen=True, slots=True)
class TableReader(ValueReader):
    """The value is the pixel, grey or of a palette; of colors it is the class of ADE20K, red // 10 * 256 + green."""

    def values_of(self, red: np.ndarray, green: np.ndarray, blue: np.ndarray) -> np.ndarray:
        """See ValueReader; blue tells one thing of a class from another."""
        del blue
        return red // 10 * 256 + green

    def unlisted(self, value: int) -> str:
        """See ValueReader."""
        return f'has the value {value}, which {self.table} does not list; add a row "{value},," if it means nothing'


@dataclass(frozen=True, slots=True)
class BrodenReader(ValueReader):
    """The value is the label's number, red + 256 green."""

    def values_of(self, red: np.ndarray, green: np.ndarray, blue: np.ndarray) -> np.ndarray:
        """See ValueReader."""
        del blue
        return red + 256 * green

    def unlisted(self, value: int) -> str:
        """See ValueReader."""
        return f"has the label {value}, which {self.table} does not list; get Broden's files again"


@dataclass(frozen=True, slots=True)
class PanopticReader(ValueReader):
    """The value is the segment's id, red + 256 green + 65536 blue."""

    def values_of(self, red: np.ndarray, green: np.ndarray, blue: np.ndarray) -> np.ndarray:
        """See ValueReader."""
        return red + 256 * green + 65_536 * blue

    def unlisted(self, value: int) -> str:
        """See ValueReader."""
        return f"has the segment {value}, which {self.table} does not list; get the two from one place"


def read_pixels(content: bytes) -> np.ndarray:
    """The pixels of a PNG: (height, width) uint8 where it is grey or has a palette, else (height, width, 3) uint8.

    Raises:
        ProbeError: it is no PNG, damaged, moving, or its pixels are no whole numbers of 8 bits.
    """
    if not content.startswith(_SIGNATURE):
        raise ProbeError("is no PNG; save label images as PNG, which keeps each value as it is")
    bits, colors = content[_DEPTH_AND_COLORS].ljust(2, b"\0")
    if bits > 8:
        raise ProbeError(f"has {bits} bits a value; save it with 8 bits")
    if colors not in {_GREY, _RGB, _PALETTE}:
        raise ProbeError("has transparency; save it without, grey, with a palette or as RGB")
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            check_size(image)
            is_animated = getattr(image, "is_animated", False)
            pixels = np.asarray(image)
    except (ProbeError, Image.DecompressionBombError) as error:
        raise ProbeError("has too many pixels; make it smaller, as a mask may be smaller than its image") from error
    except MemoryError:
        raise
    except Exception as error:  # damaged files take Pillow's readers to errors of many kinds
        raise ProbeError(f"cannot be read: {first_line(error)}; save it again as PNG") from error
    if is_animated:
        raise ProbeError("is animated; save one picture of it alone")
    if colors == _GREY and bits in {2, 4}:  # which Pillow spreads over 0 to 255
        return pixels // np.uint8(255 // ((1 << bits) - 1))
    return pixels.astype(np.uint8, copy=False)
