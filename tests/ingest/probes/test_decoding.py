"""Decoding: every kind of image reads properly, and what does not read says why."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from neuronlake.ingest.probes.decoding import decode, plain_jpeg, quiet_decoding, thumbnail
from neuronlake.ingest.probes.locations import ProbeError
from tiny import smooth_picture


def corner(path: Path) -> tuple[int, ...]:
    """The colour of the top left pixel, after decoding."""
    rgb = decode(path.read_bytes())
    assert rgb.mode == "RGB"
    pixel = rgb.getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return tuple(int(value) for value in pixel)


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def test_grey_images_have_three_equal_channels(tmp_path: Path) -> None:
    assert corner(saved(tmp_path / "grey.png", Image.new("L", (4, 4), 77))) == (77, 77, 77)


def test_sixteen_bits_are_scaled_down_to_eight(tmp_path: Path) -> None:
    values = np.full((4, 4), 0x8080, dtype=np.uint16)
    assert corner(saved(tmp_path / "sixteen.png", Image.fromarray(values))) == (128, 128, 128)


def test_floats_are_stretched_between_their_extremes(tmp_path: Path) -> None:
    values = np.array([[0.25, 0.75]], dtype=np.float32)
    rgb = decode(saved(tmp_path / "float.tiff", Image.fromarray(values)).read_bytes())
    assert [rgb.getpixel((0, 0)), rgb.getpixel((1, 0))] == [(0, 0, 0), (255, 255, 255)]


def test_palettes_are_looked_up(tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 4), (10, 200, 30)).convert("P", palette=Image.Palette.ADAPTIVE)
    assert corner(saved(tmp_path / "palette.gif", image)) == (10, 200, 30)


def test_transparency_shows_white_paper(tmp_path: Path) -> None:
    assert corner(saved(tmp_path / "clear.png", Image.new("RGBA", (4, 4), (255, 0, 0, 0)))) == (255, 255, 255)
    assert corner(saved(tmp_path / "half.png", Image.new("LA", (4, 4), (0, 128)))) == (127, 127, 127)
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([200, 0, 0])
    assert corner(saved(tmp_path / "clear.gif", palette, transparency=0)) == (255, 255, 255)


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    red, green, blue = corner(saved(tmp_path / "cmyk.jpg", Image.new("CMYK", (16, 16), (0, 255, 255, 0)), quality=95))
    assert red > 240
    assert max(green, blue) < 15


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", (20, 10), "black")
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    assert decode(saved(tmp_path / "turned.jpg", image, exif=exif).read_bytes()).size == (10, 20)


def test_the_thumbnail_shows_the_whole_image_small(tmp_path: Path) -> None:
    decoded = decode(saved(tmp_path / "wide.png", Image.new("RGB", (300, 100), "green")).read_bytes())
    with Image.open(io.BytesIO(thumbnail(decoded))) as small:
        assert (small.format, small.size) == ("WEBP", (96, 32))


def test_a_truncated_image_gives_its_reason(tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(whole, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    with pytest.raises(ProbeError, match="truncated"):
        decode((tmp_path / "cut.jpg").read_bytes())


def test_an_image_that_takes_pillow_to_an_odd_error_gives_it_as_its_reason(tmp_path: Path) -> None:
    # turned, with a width that is text
    entries = [struct.pack(">HHI4s", 0x0112, 3, 1, b"\0\6\0\0"), struct.pack(">HHI4s", 0x0100, 2, 4, b"abc\0")]
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", len(entries)) + b"".join(entries) + b"\0\0\0\0"
    content = saved(tmp_path / "odd.jpg", Image.new("RGB", (20, 10)), exif=exif).read_bytes()
    with pytest.raises(ProbeError, match="not an integer"):
        decode(content)


def test_a_file_that_is_no_image_gives_its_reason(tmp_path: Path) -> None:
    (tmp_path / "words.png").write_text("these are words")
    with pytest.raises(ProbeError, match="not an image"):
        decode((tmp_path / "words.png").read_bytes())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_floats_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    values = np.array([[0.25, value]], dtype=np.float32)
    with pytest.raises(ProbeError, match="some of its pixels are NaN or infinite"):
        decode(saved(tmp_path / "float.tiff", Image.fromarray(values)).read_bytes())


def test_more_pixels_than_the_limit_are_refused_whatever_becomes_of_warnings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = saved(tmp_path / "large.png", Image.new("RGB", (120, 100))).read_bytes()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)  # of 12,000, of which Pillow only warns
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ProbeError, match="too many pixels: 120 x 100 is more than 10000"):
            decode(content)


def test_threads_that_decode_leave_the_filters_of_warnings_alone(tmp_path: Path) -> None:
    content = saved(tmp_path / "small.png", Image.new("RGB", (64, 64))).read_bytes()
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            list(pool.map(decode, [content] * 32))
    assert list(warnings.filters) == before


def test_a_warning_of_pillow_is_not_shown_within_a_run(tmp_path: Path) -> None:
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([200, 0, 0])
    content = saved(tmp_path / "clear.png", palette, transparency=b"\x00\x80").read_bytes()
    with warnings.catch_warnings(record=True) as shown, quiet_decoding():
        decode(content)
    assert shown == []


def test_an_image_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = saved(tmp_path / "bomb.png", Image.new("RGB", (200, 200)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    with pytest.raises(ProbeError, match="too many pixels"):
        decode(file.read_bytes())


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


PICTURE = smooth_picture(1, (400, 300))


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"exif": turned(1)}, {"optimize": True}])
def test_a_plain_jpeg_is_drafted_at_a_fraction_of_its_size(options: dict[str, Any]) -> None:
    draft = plain_jpeg(encoded(PICTURE, **options), side=100)
    assert draft
    assert (draft.width, draft.height, draft.picture.size) == (400, 300, (100, 75))
    whole = np.asarray(PICTURE.resize((100, 75)), np.int16)
    assert np.abs(np.asarray(draft.picture, np.int16) - whole).mean() < 3
    smallest = plain_jpeg(encoded(PICTURE, **options))
    assert smallest
    assert (smallest.width, smallest.picture.size) == (400, (50, 38))


@pytest.mark.parametrize(
    "content",
    [
        encoded(PICTURE, "PNG"),
        encoded(PICTURE.convert("L")),
        encoded(PICTURE.convert("CMYK")),
        encoded(PICTURE, progressive=True),
        encoded(PICTURE, keep_rgb=True),
        *(encoded(PICTURE, exif=turned(orientation)) for orientation in range(2, 9)),
    ],
)
def test_what_another_decoder_may_see_otherwise_is_no_plain_jpeg(content: bytes) -> None:
    assert plain_jpeg(content) is None
    assert decode(content).mode == "RGB"


def reason(read: Callable[[bytes], object], content: bytes) -> str | None:
    try:
        read(content)
    except ProbeError as error:
        return str(error)
    return None


def test_a_damaged_jpeg_is_refused_by_its_draft_for_the_reason_for_which_it_is_refused_as_a_whole() -> None:
    whole = encoded(PICTURE, quality=90)
    random = np.random.default_rng(0)
    damaged = [whole[:length] for length in random.integers(0, len(whole), 40)]
    for _ in range(60):
        content = bytearray(whole)
        content[int(random.integers(0, 700))] = int(random.integers(0, 256))
        damaged.append(bytes(content))
    reasons = [reason(decode, content) for content in damaged]
    assert len({*reasons}) > 3
    assert None in reasons
    assert [reason(plain_jpeg, content) for content in damaged] == reasons


def test_a_plain_jpeg_of_too_many_pixels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)
    with pytest.raises(ProbeError, match="too many pixels"):
        plain_jpeg(encoded(PICTURE))
