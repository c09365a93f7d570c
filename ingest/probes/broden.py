"""Broden as NetDissect lays it out: the images of its index, with their scenes or textures as labels."""

from __future__ import annotations

import polars as pl

from neuronlake.ingest.probes.lists import listed_images, read_csv
from neuronlake.ingest.probes.locations import Location, ProbeError
from neuronlake.ingest.probes.sources import ProbeImage

# Columns of the index that say what an image as a whole shows; the first that has a value counts.
_LABEL_COLUMNS = ("scene", "texture")


def is_broden(folder: Location) -> bool:
    """Whether a folder has an index with Broden's first columns, and a folder of images."""
    index = folder.join("index.csv")
    return index.is_file() and folder.join("images").is_folder() and index.read(0, 100).startswith(b"image,split,")


def broden_images(folder: Location) -> list[ProbeImage]:
    """The images that ``index.csv`` lists in ``image``, which lie under ``images/``.

    Their labels are the names that ``label.csv`` gives to the numbers in ``scene``, or else in ``texture``. The
    segmentation maps beside them are listed in other columns, so they are no images of the probe.

    Raises:
        ProbeError: a file or column is missing, or an image is listed twice.
    """
    index = read_csv(folder.join("index.csv"))
    names = columns_of(folder.join("label.csv"), "number", "name")
    labels = {number: name for number, name in names.select("number", "name").iter_rows() if number and name}
    given = [index[column] for column in _LABEL_COLUMNS if column in index.columns]
    # several numbers have semicolons between; the first is the main one
    chosen = [
        next((labels.get(number.partition(";")[0]) for number in numbers if number), None)
        for numbers in zip(*given, strict=True)
    ] or [None] * index.height
    return listed_images(folder.join("index.csv"), folder.join("images"), index["image"], chosen)


def columns_of(file: Location, *needed: str) -> pl.DataFrame:
    """A csv file that has these columns.

    Raises:
        ProbeError: it has not.
    """
    table = read_csv(file)
    lacking = [column for column in needed if column not in table.columns]
    if lacking:
        raise ProbeError(f"{file} has no column {' or '.join(lacking)}; get Broden's files again")
    return table
