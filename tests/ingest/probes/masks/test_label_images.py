"""Label images: what a pixel's value is in each encoding, and which files are none."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from mask_files import ade20k, colors, few_bits, grey, palette, saved
from PIL import Image

from neuronlake.ingest.probes.decoding import quiet_decoding
from neuronlake.ingest.probes.locations import ProbeError
from neuronlake.ingest.probes.masks.base import NOTHING
from neuronlake.ingest.probes.masks.label_images import BrodenReader, PanopticReader, TableReader, ValueReader

# the values 0, 3 and 200 are the concepts 1, nothing and 0
TABLE = TableReader("classes.csv", (0, 3, 200), (1, NOTHING, 0))


@pytest.mark.parametrize("written", [grey, palette])
def test_a_grey_or_palette_pixel_is_its_value(written) -> None:
    places = TABLE.places(written([[0, 3], [200, 200], [0, 0]]))
    assert places.tolist() == [[1, NOTHING], [0, 0], [1, 1]]
    assert places.dtype == np.int32


@pytest.mark.parametrize(("bits", "values"), [(1, [[0, 1], [1, 1]]), (2, [[0, 3], [3, 1]]), (4, [[0, 15]])])
def test_pixels_of_few_bits_are_the_values_that_the_file_holds(bits: int, values: list[list[int]]) -> None:
    reader = TableReader("classes.csv", tuple(range(16)), tuple(range(16)))
    assert reader.places(few_bits(values, bits)).tolist() == values
    image = Image.fromarray(np.array(values, np.uint8)).convert("P")
    image.putdata([value for row in values for value in row])
    assert reader.places(saved(image, bits=bits)).tolist() == values


def test_colors_are_the_class_of_ade20k_whatever_thing_of_it_they_tell_apart() -> None:
    reader = TableReader("objects.csv", (0, 255, 256, 2978), (NOTHING, 0, 1, 2))
    classes = [[0, 255], [256, 2978]]
    assert reader.places(ade20k(classes)).tolist() == reader.places(ade20k(classes, blue=99)).tolist()
    assert reader.places(ade20k(classes)).tolist() == [[NOTHING, 0], [1, 2]]
    # a red of 19 is in the tens of 10
    assert reader.places(saved(Image.new("RGB", (1, 1), (19, 0, 0)))).tolist() == [[1]]


def test_broden_writes_numbers_in_red_and_green() -> None:
    reader = BrodenReader("label.csv", (0, 5, 332), (NOTHING, 0, 1))
    assert reader.places(colors([[332, 5], [0, 5]])).tolist() == [[1, 0], [NOTHING, 0]]


def test_coco_writes_segments_in_all_three_colors() -> None:
    reader = PanopticReader("panoptic.json", (0, 300, 8_000_000), (NOTHING, 0, 1))
    assert reader.places(colors([[8_000_000, 300], [0, 300]])).tolist() == [[1, 0], [NOTHING, 0]]
    assert reader.places(colors([[0, 300]])).tolist() == [[NOTHING, 0]]


@pytest.mark.parametrize(
    ("reader", "content", "message"),
    [
        (
            TABLE,
            grey([[0, 12], [11, 12]]),
            'has the value 11, which classes.csv does not list; add a row "11,," if it means nothing',
        ),
        (
            BrodenReader("label.csv", (0,), (NOTHING,)),
            colors([[333]]),
            "has the label 333, which label.csv does not list; get Broden's files again",
        ),
        (
            PanopticReader("panoptic.json", (0, 7), (NOTHING, 0)),
            colors([[0, 70_000], [7, 9_000_000]]),
            "has the segment 70000, which panoptic.json does not list; get the two from one place",
        ),
    ],
)
def test_a_value_of_which_nothing_is_said_is_refused(reader: ValueReader, content: bytes, message: str) -> None:
    with pytest.raises(ProbeError) as error:
        reader.places(content)
    assert str(error.value) == message


def moving() -> bytes:
    frames = [Image.new("L", (4, 4), value) for value in (0, 200)]
    return saved(frames[0], save_all=True, append_images=frames[1:])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (saved(Image.fromarray(np.zeros((2, 2), np.uint16))), "has 16 bits a value; save it with 8 bits"),
        (saved(Image.new("RGBA", (2, 2))), "has transparency; save it without, grey, with a palette or as RGB"),
        (saved(Image.new("LA", (2, 2))), "has transparency; save it without, grey, with a palette or as RGB"),
        (moving(), "is animated; save one picture of it alone"),
        (
            saved(Image.fromarray(np.zeros((2, 2), np.float32)), "TIFF"),
            "is no PNG; save label images as PNG, which keeps each value as it is",
        ),
        (
            saved(Image.new("L", (2, 2)), "JPEG"),
            "is no PNG; save label images as PNG, which keeps each value as it is",
        ),
        (b"words", "is no PNG; save label images as PNG, which keeps each value as it is"),
        (b"", "is no PNG; save label images as PNG, which keeps each value as it is"),
    ],
)
def test_what_is_no_label_image_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ProbeError) as error:
        TABLE.places(content)
    assert str(error.value) == message


def test_a_damaged_file_is_refused() -> None:
    whole = grey(np.random.default_rng(0).integers(0, 255, (40, 40)).tolist())
    for content in (whole[: len(whole) // 2], whole[:20]):
        with pytest.raises(ProbeError, match=r"^cannot be read: .+; save it again as PNG$"):
            TABLE.places(content)


def test_a_picture_of_more_pixels_than_can_be_kept_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 8)
    for side in (3, 5):  # Pillow refuses no less than twice the limit
        with quiet_decoding(), pytest.raises(ProbeError, match=r"^has too many pixels; make it smaller, as a mask may"):
            TABLE.places(grey([[0] * side] * side))


def test_a_reader_travels_to_other_machines() -> None:
    copy = pickle.loads(pickle.dumps(TABLE))  # noqa: S301  our own
    assert copy == TABLE
    assert copy.places(grey([[200]])).tolist() == [[0]]
