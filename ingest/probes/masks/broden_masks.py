"""Broden's masks: the label images and whole labels of its index, and the category that each label is counted in."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from neuronlake.ingest.concepts.concept import Concept
from neuronlake.ingest.concepts.same_names import broden_name
from neuronlake.ingest.probes.broden import columns_of
from neuronlake.ingest.probes.locations import Location, ProbeError
from neuronlake.ingest.probes.masks.base import NOTHING, ImageMasks, LabelImage
from neuronlake.ingest.probes.masks.label_images import BrodenReader
from neuronlake.ingest.probes.masks.tables import Meanings, meanings, require_known, whole_number
from neuronlake.ingest.probes.sources import FileBytes

# what an index says of an image before its categories
_OF_IMAGES = ("image", "split", "ih", "iw", "sh", "sw")


@dataclass(frozen=True)
class BrodenMasks:
    """What an index tells of its images.

    Attributes:
        concepts: labels of the categories that are read, each once.
        by_image: the masks of each image, by its path; not yet read.
    """

    concepts: tuple[Concept, ...]
    by_image: Mapping[str, ImageMasks]


def broden_masks(folder: Location, chosen: Sequence[str]) -> BrodenMasks:
    """The masks of Broden's folder.

    A cell of the index has, with semicolons between, files under ``images/`` that label pixels, and numbers of labels
    that the image as a whole has. An image may have neither.

    Args:
        folder: of ``index.csv``, ``label.csv`` and ``c_CATEGORY.csv``.
        chosen: categories that are read; all columns of the index where empty.

    Raises:
        ProbeError: a file, a column or a label is missing, or there is no such category.
    """
    index = columns_of(folder.join("index.csv"), "image")
    there = [column for column in index.columns if column not in _OF_IMAGES]
    require_known(chosen, there, folder.join("index.csv"))
    categories = [each for each in there if not chosen or each in chosen]
    labels = folder.join("label.csv")
    means = _meanings(labels, _names(labels), _coverages(folder, categories), categories)
    reader = BrodenReader(str(labels), *means.columns)
    by_image: dict[str, ImageMasks] = {}
    for path, *cells in index.select("image", *categories).iter_rows():
        parts = [part.strip() for cell in cells for part in (cell or "").split(";") if part.strip()]
        files = [folder.join("images").join(part) for part in parts if not part.isdecimal()]
        numbers = [int(part) for part in parts if part.isdecimal()]
        if unknown := [number for number in numbers if number not in means.places]:
            raise ProbeError(f"{path} {reader.unlisted(unknown[0])}")
        by_image[path] = ImageMasks(
            tuple(LabelImage(str(file), FileBytes(file), reader) for file in files),
            tuple(sorted(place for number in numbers if (place := means.places[number]) != NOTHING)),
        )
    return BrodenMasks(means.concepts, by_image)


def _names(file: Location) -> list[tuple[int, str, str]]:
    """Number, name and categories of each label."""
    table = columns_of(file, "number", "name", "category")
    rows = table.select("number", "name", pl.col("category").fill_null("")).iter_rows()
    return [(_whole(file, number), name or "", category) for number, name, category in rows]


def _coverages(folder: Location, categories: Sequence[str]) -> dict[str, dict[int, float]]:
    """For each category that has a file of its labels, the images that each of them would fill in it."""
    found: dict[str, dict[int, float]] = {}
    for category in categories:
        file = folder.join(f"c_{category}.csv")
        if file.is_file():
            rows = columns_of(file, "number", "coverage").select("number", "coverage").iter_rows()
            found[category] = {_whole(file, number): _finite(file, coverage) for number, coverage in rows}
    return found


def _meanings(
    file: Location,
    names: Sequence[tuple[int, str, str]],
    coverages: Mapping[str, Mapping[int, float]],
    categories: Sequence[str],
) -> Meanings:
    """What the numbers of labels stand for; 0, and a label of no category that is read, for nothing.

    A label is counted in the category in which it covers most, and of equal ones in the last, as NetDissect-Lite counts
    it; where no file tells that, in the one of `label.csv` that has most images with it.
    """
    rows: dict[int, Concept | None] = {}
    for number, name, told in names:
        if number in rows:
            raise ProbeError(f"{file} lists the label {number} twice; get Broden's files again")
        weights = {each: found[number] for each, found in coverages.items() if number in found}
        weights = weights or {each: count for each, count in _images_with(told).items() if each in categories}
        primary = max(reversed([each for each in categories if each in weights]), key=weights.__getitem__, default=None)
        rows[number] = Concept(broden_name(name, primary), primary) if primary and name else None
    return meanings(rows | {0: None}, ())


def _images_with(told: str) -> dict[str, int]:
    """Of `object(31);material(7)` the categories, and how many images have the label in each."""
    return {category: int(count) for category, count in re.findall(r"([^;()]+)\((\d+)\)", told)}


def _whole(file: Location, text: str | None) -> int:
    """A label's number."""
    number = whole_number(text)
    if number is None:
        raise ProbeError(f"{file} has a label whose number is {text!r}; get Broden's files again")
    return number


def _finite(file: Location, text: str | None) -> float:
    """A coverage."""
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ProbeError(f"{file} has a coverage of {text!r}, not a number; get Broden's files again")
    return value
