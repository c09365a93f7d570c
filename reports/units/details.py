"""What a unit's page shows beside its card: how it fires, on what, and what is near it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl
from scipy import stats

from neuronlake.reports.units.card import UnitCard
from neuronlake.reports.units.thumbnails import Picture, read_pictures
from neuronlake.sql.warehouse import Warehouse

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Band:
    """Images between two ranks of a unit.

    Attributes:
        first_rank: of all images in it.
        last_rank: of all images in it.
        all_images: of the probe.
        lowest: activation of all images in it.
        highest: activation of all images in it.
        images: some of them, evenly by rank: rows of the query images_in_bands.
    """

    first_rank: int
    last_rank: int
    all_images: int
    lowest: float
    highest: float
    images: list[dict[str, Any]]


@dataclass(frozen=True)
class UnitDetails:
    """What the activations of a unit say of it; of a layer whose labels alone are known, little.

    Attributes:
        histogram: of the query activation_histogram.
        bands: below the top images.
        labels: what each setting says of the unit, of the query labels_of_unit.
        preferred: of the query labels_a_unit_prefers, with `low` and `high`, a 95 % interval of the mean.
        nearest: of the query nearest_units.
        pictures: of the images shown, by number.
        outlines: where on a top image the unit is above its threshold: rows of outlines_of_unit by number of the image.
    """

    histogram: pl.DataFrame
    bands: list[Band]
    labels: pl.DataFrame
    preferred: pl.DataFrame
    nearest: pl.DataFrame
    pictures: dict[int, Picture]
    outlines: dict[int, dict[str, Any]]


def read_details(warehouse: Warehouse, card: UnitCard) -> UnitDetails:
    """What there is about the unit of a card, over the probe of its label."""
    where = {name: str(card.label[name]) for name in ("model", "layer", "unit")}
    over_probe = {**where, "probe": card.label["probe"]}
    top = {} if card.images.is_empty() else {"top": str(card.images.height)}
    bands = _bands(warehouse.query("images_in_bands", **over_probe, **top).pl())
    outlines = {row["image_id"]: row for row in warehouse.query("outlines_of_unit", **where).pl().to_dicts()}
    shown = [*card.images["image_id"], *(image["image_id"] for band in bands for image in band.images)]
    return UnitDetails(
        histogram=warehouse.query("activation_histogram", **over_probe).pl(),
        bands=bands,
        labels=warehouse.query("labels_of_unit", **where).pl(),
        preferred=with_intervals(warehouse.query("labels_a_unit_prefers", **over_probe).pl()),
        nearest=warehouse.query("nearest_units", **over_probe, setting=str(card.setting.number)).pl(),
        pictures=read_pictures(warehouse, shown),
        outlines={number: outlines[number] for number in card.images["image_id"] if number in outlines},
    )


def with_intervals(preferred: pl.DataFrame) -> pl.DataFrame:
    """The rows of labels_a_unit_prefers with Student's 95 % interval of each mean, `low` to `high`.

    Another sample of images with that label would have its mean within it 95 times of 100.
    """
    reach = stats.t.ppf((1 + _CONFIDENCE) / 2, preferred["images"].to_numpy() - 1)
    half = pl.Series(reach, dtype=pl.Float64) * preferred["standard_error"].fill_null(0.0)
    return preferred.with_columns(
        low=pl.col("mean_activation") - half,
        high=pl.col("mean_activation") + half,
    )


def _bands(images: pl.DataFrame) -> list[Band]:
    """The images of each band."""
    return [
        Band(*band.row(0, named=False)[:5], images=band.drop(_OF_BAND).to_dicts())
        for band in images.select(*_OF_BAND, pl.exclude(_OF_BAND)).partition_by("band", maintain_order=True)
    ]


_OF_BAND = ("first_rank", "last_rank", "all_images", "lowest", "highest")
