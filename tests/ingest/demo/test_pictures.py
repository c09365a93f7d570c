"""The demo's pictures show what their masks say, and are the same wherever they are drawn."""

from __future__ import annotations

import csv
import hashlib
import math
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neuronlake.ingest.concepts.concept_sets import load_concepts
from neuronlake.ingest.demo.canvas import CANVAS, SIDE, Ink, Plane
from neuronlake.ingest.demo.colors import BRIGHTEST, COLORS, DARKEST, PROTOTYPES, Paintbox, nearest
from neuronlake.ingest.demo.folder import CATEGORIES, first_number, write_folder
from neuronlake.ingest.demo.pictures import MASK_SIDE, SHAPE_NAMES, TEXTURE_NAMES, Picture, majority, pictures
from neuronlake.ingest.demo.shapes import draw_shape
from neuronlake.ingest.probes.locations import Location
from neuronlake.ingest.probes.masks.broden_masks import broden_masks

LEAST = 12  # pictures of each concept


@pytest.fixture(scope="module")
def drawn() -> list[Picture]:
    return list(pictures())


@pytest.fixture(scope="module")
def folder(drawn: list[Picture], tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("drawn")
    write_folder(made, drawn)
    return made


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def inner(mask: np.ndarray) -> np.ndarray:
    """The pixels of a mask (height, width) whose eight neighbours all have the same label."""
    same = np.zeros(mask.shape, dtype=bool)
    middle = mask[1:-1, 1:-1]
    neighbours = [
        mask[1 + y : mask.shape[0] - 1 + y, 1 + x : mask.shape[1] - 1 + x] for y in (-1, 0, 1) for x in (-1, 0, 1)
    ]
    same[1:-1, 1:-1] = np.all([middle == each for each in neighbours], axis=0)
    return same


def test_a_circle_has_the_area_of_a_circle_and_a_ring_is_hollow() -> None:
    filled, hollow = Ink(), Ink()
    draw_shape("circle", filled, Plane(200, 0.3))
    draw_shape("ring", hollow, Plane(200, 0.3))
    y, x = np.mgrid[:CANVAS, :CANVAS]
    distance = np.hypot(y - CANVAS / 2, x - CANVAS / 2)
    assert filled.pixels()[distance < 178].all()
    assert not filled.pixels()[distance > 182].any()
    assert filled.pixels().sum() == pytest.approx(math.pi * 180**2, rel=0.01)
    assert hollow.pixels()[(distance > 120) & (distance < 196)].all()
    assert not hollow.pixels()[distance < 112].any()


@pytest.mark.parametrize(
    ("shape", "area"),
    # of a square of diagonal 2.2, a triangle of circumradius 1.05, five arms of 0.6 x 0.6 and thereabouts
    [("square", 2.42), ("triangle", 3 * math.sqrt(3) / 4 * 1.05**2), ("cross", 0.36 + 4 * 0.6 * 0.65)],
)
def test_other_shapes_have_the_area_of_their_outline_however_they_are_turned(shape: str, area: float) -> None:
    for angle in (0.0, 0.4):
        ink = Ink()
        draw_shape(shape, ink, Plane(200, angle))
        assert ink.pixels().sum() == pytest.approx(area * 200**2, rel=0.02)


def test_a_paint_stays_its_colour_in_shadow_and_in_light() -> None:
    box = Paintbox(np.random.default_rng(0))
    paints = [box.take() for _ in range(110)]
    assert Counter(paint.color for paint in paints) == dict.fromkeys(range(11), 10)
    for light in (DARKEST, 1.0, BRIGHTEST):
        seen = np.clip(light * np.array([paint.rgb for paint in paints]), 0, 255)
        assert nearest(seen).tolist() == [paint.color for paint in paints]
    assert nearest(np.array(list(PROTOTYPES.values()))).tolist() == list(range(11))


def test_paints_beside_each_other_differ_in_brightness() -> None:
    box = Paintbox(np.random.default_rng(0))
    for _ in range(50):
        ground = box.take()
        other = box.take([ground])
        assert ground.color != other.color
        assert abs(np.dot(np.subtract(ground.rgb, other.rgb), (0.299, 0.587, 0.114))) >= 42


def test_each_concept_is_in_at_least_twelve_pictures(drawn: list[Picture]) -> None:
    assert len(drawn) == 216
    for names, masks in (
        (COLORS, [picture.colors for picture in drawn]),
        (SHAPE_NAMES, [picture.shapes for picture in drawn]),
        (TEXTURE_NAMES, [picture.textures for picture in drawn]),
    ):
        found = Counter(label for mask in masks for label in np.unique(mask).tolist() if label)
        assert set(found) == set(range(1, len(names) + 1))
        assert min(found.values()) >= LEAST, names
    assert Counter(picture.filled_by for picture in drawn) == {None: 108} | dict.fromkeys(TEXTURE_NAMES, 6)


def test_textures_and_colours_are_called_as_in_broden() -> None:
    known = {concept.text: concept.category for concept in load_concepts(("broden",)).concepts}
    assert {name: known.get(name) for name in TEXTURE_NAMES} == dict.fromkeys(TEXTURE_NAMES, "texture")
    assert {name: known.get(name) for name in COLORS} == dict.fromkeys(COLORS, "color")


def test_the_colour_of_each_pixel_is_the_one_of_its_mask(drawn: list[Picture]) -> None:
    plain, textured = list[np.ndarray](), list[np.ndarray]()
    for picture in drawn:
        assert picture.pixels.shape == (SIDE, SIDE, 3)
        assert picture.colors.shape == (MASK_SIDE, MASK_SIDE)
        assert picture.colors.min() > 0  # the ground has its colour too
        # four pixels of the picture lie under one of the mask; edges are mixed
        seen = picture.pixels.reshape(MASK_SIDE, 2, MASK_SIDE, 2, 3).mean(axis=(1, 3))
        clear = inner(picture.colors)
        is_right = nearest(seen) + 1 == picture.colors
        plain.append(is_right[clear & (picture.textures == 0)])
        textured.append(is_right[clear & (picture.textures > 0)])
    assert np.concatenate(plain).mean() > 0.9999
    # a texture has shades of its own, which light may turn, and parts as thin as a pixel of the mask
    assert np.concatenate(textured).mean() > 0.99


def test_a_pixel_of_a_mask_has_the_label_of_most_of_what_lies_under_it() -> None:
    # 8 x 8 pixels of the canvas lie under one: of the first 33 are labelled 2, of the last 31
    canvas = np.zeros((CANVAS, CANVAS), dtype=np.uint8)
    canvas[:4, :8] = 2
    canvas[4, 0] = 2
    canvas[-4:, -8:] = 3
    canvas[-1, -1] = 0
    mask = majority(Image.fromarray(canvas))
    assert mask.shape == (MASK_SIDE, MASK_SIDE)
    assert np.argwhere(mask).tolist() == [[0, 0]]
    assert mask[0, 0] == 2


def test_a_filled_picture_has_its_texture_everywhere_and_others_in_a_part(drawn: list[Picture]) -> None:
    for picture in drawn:
        textured = float((picture.textures > 0).mean())
        if picture.filled_by:
            assert set(np.unique(picture.textures)) == {1 + TEXTURE_NAMES.index(picture.filled_by)}
            assert not picture.shapes.any()
        else:
            assert 0.02 < textured < 0.98
            assert picture.shapes.any()


def test_the_folder_is_small(folder: Path) -> None:
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 5_000_000


def test_the_same_bytes_come_out_twice(folder: Path, tmp_path: Path) -> None:
    write_folder(tmp_path, islice(pictures(), 116))
    again = contents(tmp_path / "images")
    assert len(again) > 200
    assert again.items() <= contents(folder / "images").items()


def contents(folder: Path) -> dict[str, str]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_the_tables_tell_what_the_label_images_hold(folder: Path) -> None:
    pictures_with: Counter[int] = Counter()
    covered: Counter[int] = Counter()
    for row in rows(folder / "index.csv"):
        assert (row["ih"], row["iw"], row["sh"], row["sw"]) == ("224", "224", "112", "112")
        assert row["color"]
        for cell in (row["color"], row["object"], row["texture"]):
            if cell.isdecimal():
                counts = {int(cell): MASK_SIDE**2}
            elif cell:
                red, green, blue = np.moveaxis(np.asarray(Image.open(folder / "images" / cell), dtype=np.int64), 2, 0)
                assert red.shape == (MASK_SIDE, MASK_SIDE)
                assert not blue.any()
                counts = Counter((red + 256 * green)[red + green > 0].tolist())
            else:
                counts = {}
            pictures_with.update(counts.keys())
            covered.update(counts)
    labels = rows(folder / "label.csv")
    assert [int(label["number"]) for label in labels] == list(range(1, 39))
    for label in labels:
        number, frequency = int(label["number"]), int(label["frequency"])
        assert frequency == pictures_with[number]
        assert float(label["coverage"]) == pytest.approx(covered[number] / MASK_SIDE**2, abs=1e-6)
        category = label["category"].partition("(")[0]
        assert label["category"] == f"{category}({frequency})"
        coded = {row["number"]: row for row in rows(folder / f"c_{category}.csv")}[label["number"]]
        assert (coded["name"], coded["frequency"], coded["coverage"]) == (
            label["name"],
            label["frequency"],
            label["coverage"],
        )


def test_the_codes_of_a_category_go_by_coverage(folder: Path) -> None:
    for row in rows(folder / "category.csv"):
        names = CATEGORIES[row["name"]]
        first = first_number(row["name"])
        assert (int(row["first"]), int(row["last"]), int(row["count"])) == (first, first + len(names) - 1, len(names))
        coded = rows(folder / f"c_{row['name']}.csv")
        assert [int(label["code"]) for label in coded] == list(range(1, len(names) + 1))
        coverages = [float(label["coverage"]) for label in coded]
        assert coverages == sorted(coverages, reverse=True)
        assert int(row["frequency"]) == sum(int(label["frequency"]) for label in coded)


def test_it_is_read_as_a_folder_of_broden(folder: Path, drawn: list[Picture]) -> None:
    masks = broden_masks(Location.of(str(folder)), ())
    names = [(concept.text, concept.category) for concept in masks.concepts]
    assert sorted(names) == sorted((name, category) for category, names in CATEGORIES.items() for name in names)
    picture = next(picture for picture in drawn if picture.name == "shapes/001")
    found = [image.places() for image in masks.by_image["shapes/001.jpg"].label_images]
    drawn_as = {"color": picture.colors, "texture": picture.textures, "object": picture.shapes}
    for mask, (category, expected) in zip(found, drawn_as.items(), strict=True):
        places = {place: names.index((name, category)) for place, name in enumerate(CATEGORIES[category], start=1)}
        assert (mask == np.vectorize({0: -1, **places}.get)(expected)).all()
    filled = masks.by_image["filled/striped_1.jpg"]
    assert [names[place] for place in filled.whole] == [("striped", "texture")]
