"""Small label images as bytes, in each way to write their values."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

Rows = Sequence[Sequence[int]]


def saved(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    """An image as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def grey(values: Rows) -> bytes:
    """The values as greys."""
    return saved(Image.fromarray(np.array(values, np.uint8)))


def palette(values: Rows) -> bytes:
    """The values as places in a palette, whose colors say nothing."""
    image = Image.fromarray(np.array(values, np.uint8)).convert("P")
    image.putdata([value for row in values for value in row])
    image.putpalette([255 - value for value in range(256) for _ in range(3)])
    return saved(image)


def colors(values: Rows) -> bytes:
    """The values as red + 256 green + 65536 blue."""
    numbers = np.array(values)
    rgb = np.stack([numbers % 256, numbers // 256 % 256, numbers // 65_536], axis=-1)
    return saved(Image.fromarray(rgb.astype(np.uint8)))


def ade20k(values: Rows, blue: int = 3) -> bytes:
    """The values as ADE20K writes a class: in tens of red, and green; blue is the number of the thing."""
    numbers = np.array(values)
    rgb = np.stack([numbers // 256 * 10, numbers % 256, np.full_like(numbers, blue)], axis=-1)
    return saved(Image.fromarray(rgb.astype(np.uint8)))


def few_bits(values: Rows, bits: int) -> bytes:
    """The values as greys of 1, 2 or 4 bits, which Pillow reads but does not write."""
    # each row fits into a byte, after one that says it is not filtered
    rows = [bytes([0, int("".join(f"{value:0{bits}b}" for value in row).ljust(8, "0"), 2)]) for row in values]

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", len(values[0]), len(values), bits, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"".join(rows)))
        + chunk(b"IEND", b"")
    )
