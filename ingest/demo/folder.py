"""The pictures as a folder in Broden's own layout: an index, pictures with their label images, and tables of labels."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from neuronlake.ingest.demo.canvas import SIDE
from neuronlake.ingest.demo.colors import COLORS
from neuronlake.ingest.demo.pictures import MASK_SIDE, SHAPE_NAMES, TEXTURE_NAMES, Picture
from neuronlake.sql.categories import CATEGORIES as BRODENS
from neuronlake.sql.categories import NO_CATEGORY

# names by category, numbered through; 0 is no label
CATEGORIES = {"color": COLORS, "object": SHAPE_NAMES, "texture": TEXTURE_NAMES}
_COLUMNS = ("image", "split", "ih", "iw", "sh", "sw", *(name for name in BRODENS if name != NO_CATEGORY))
_VALIDATED = 5  # every so many pictures one is for validation
_QUALITY = 84


def write_folder(folder: Path, pictures: Iterable[Picture]) -> None:
    """Write pictures and all that is known of them, each label with the pictures and the area that it has."""
    tally = {category: _Tally(len(names)) for category, names in CATEGORIES.items()}
    rows: list[dict[str, object]] = []
    for place, picture in enumerate(pictures):
        image = folder / "images" / f"{picture.name}.jpg"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.pixels).save(image, quality=_QUALITY, subsampling=0)
        row: dict[str, object] = {"image": f"{picture.name}.jpg", "split": "train" if place % _VALIDATED else "val"}
        row |= {"ih": SIDE, "iw": SIDE, "sh": MASK_SIDE, "sw": MASK_SIDE}
        masks = {"color": picture.colors, "object": picture.shapes, "texture": picture.textures}
        for category, mask in masks.items():
            tally[category].add(mask)
            if category == "texture" and picture.filled_by:
                row[category] = first_number(category) + TEXTURE_NAMES.index(picture.filled_by)
            elif mask.any():
                row[category] = f"{picture.name}_{category}.png"
                _label_image(mask, first_number(category)).save(folder / "images" / f"{picture.name}_{category}.png")
        rows.append(row)
    _write(folder / "index.csv", _COLUMNS, ([row.get(column, "") for column in _COLUMNS] for row in rows))
    _write_tables(folder, tally)


def first_number(category: str) -> int:
    """The number of a category's first label."""
    before = list(CATEGORIES)[: list(CATEGORIES).index(category)]
    return 1 + sum(len(CATEGORIES[other]) for other in before)


@dataclass
class _Tally:
    """Of each label of a category, in how many pictures it is, and how many pictures it would fill."""

    labels: int
    frequency: np.ndarray = field(init=False)
    coverage: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.frequency, self.coverage = np.zeros(self.labels, dtype=np.int64), np.zeros(self.labels)

    def add(self, mask: np.ndarray) -> None:
        """Count a picture, by its mask (MASK_SIDE, MASK_SIDE) of labels from 1."""
        pixels = np.bincount(mask.ravel(), minlength=self.labels + 1)[1:]
        self.frequency += pixels > 0
        self.coverage += pixels / mask.size


def _label_image(mask: np.ndarray, first: int) -> Image.Image:
    """Label numbers as Broden spells them: red + 256 green."""
    numbers = np.where(mask > 0, mask.astype(np.uint16) + (first - 1), 0)
    return Image.fromarray(np.stack([numbers % 256, numbers // 256, 0 * numbers], axis=-1).astype(np.uint8))


def _write_tables(folder: Path, tally: dict[str, _Tally]) -> None:
    """label.csv, category.csv, and c_color.csv and its like with the labels of one category, the largest first."""
    labels: list[Sequence[object]] = []
    categories: list[Sequence[object]] = []
    for category, names in CATEGORIES.items():
        first, counted = first_number(category), tally[category]
        known = [
            (first + place, name, int(counted.frequency[place]), f"{counted.coverage[place]:.6f}")
            for place, name in enumerate(names)
        ]
        labels += [
            (number, name, f"{category}({frequency})", frequency, coverage, "")
            for number, name, frequency, coverage in known
        ]
        categories.append((category, first, first + len(names) - 1, len(names), int(counted.frequency.sum())))
        largest = sorted(known, key=lambda label: -float(label[-1]))
        coded = ((code, *label) for code, label in enumerate(largest, start=1))
        _write(folder / f"c_{category}.csv", ("code", "number", "name", "frequency", "coverage"), coded)
    _write(folder / "label.csv", ("number", "name", "category", "frequency", "coverage", "syns"), labels)
    _write(folder / "category.csv", ("name", "first", "last", "count", "frequency"), categories)


def _write(file: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
