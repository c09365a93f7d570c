"""The chart of what masks show: how many units of each layer are detectors, and of how many concepts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from neuronlake.reports.drawing.drawable_names import with_drawable_names
from neuronlake.reports.drawing.encodings import (
    BAR_STEP,
    LONGEST_KEY,
    categories_in,
    category_color,
    layers_by_depth,
    name_axis,
    titled,
)

_UNIQUE, _ALL = "unique detectors", "all detectors"
_PALE = 0.4
# the end of the scale leaves room for the number at the end of the longest bar
_ROOM = 1.12


@with_drawable_names
def detectors(summary: pl.DataFrame, model: str, colors: Mapping[str, str]) -> Any:
    """Of each layer of a model two bars in the colours of the categories: unique detectors, and below all detectors.

    Args:
        summary: of all models, whose panels share the scale; columns model, layer, position, category, detectors,
            unique_detectors; one row a layer and category, also where there is no detector.
        model: the one to draw.
        colors: of the categories, see `category_colors`.
    """
    counted = ("unique_detectors", "detectors")
    longest = max(float(summary.group_by("model", "layer").agg(pl.sum(name))[name].max() or 1) for name in counted)  # pyright: ignore[reportArgumentType]  a number
    mine = _bars(summary.filter(pl.col("model") == model))
    places = {category: place for place, category in enumerate(colors)}
    placed = mine.with_columns(place=pl.col("category").replace_strict(places, return_dtype=pl.Int32))
    base = alt.Chart(placed).encode(
        y=alt.Y("layer:N", title=None, sort=layers_by_depth(mine), axis=name_axis(summary["layer"])),
        yOffset=alt.YOffset("bar:N", sort=[_UNIQUE, _ALL], scale=alt.Scale(paddingInner=0.1)),
        opacity=_certainty(),
    )
    scale = alt.Scale(domainMin=0, domainMax=_ROOM * longest, nice=False)
    bars = base.mark_bar().encode(
        x=alt.X("count:Q", title="detectors", axis=alt.Axis(tickMinStep=1, tickCount=8), scale=scale, stack="zero"),
        color=category_color(colors, categories_in(mine.filter(pl.col("count") > 0), colors)),
        order=alt.Order("place:Q"),
        tooltip=["layer:N", "category:N", "detectors:Q", alt.Tooltip("unique_detectors:Q", title="unique detectors")],
    )
    numbers = base.mark_text(align="left", dx=4).encode(x="sum(count):Q", text="sum(count):Q", opacity=alt.value(1))
    height = 2 * BAR_STEP * mine["layer"].n_unique()
    return titled(bars + numbers, model, height)


def _bars(summary: pl.DataFrame) -> pl.DataFrame:
    """A row a layer, category and bar of the two, with its length in `count`."""
    lengths = ((_UNIQUE, "unique_detectors"), (_ALL, "detectors"))
    rows = summary.select("layer", "position", "category", "detectors", "unique_detectors")
    return pl.concat([rows.with_columns(bar=pl.lit(name), count=pl.col(column)) for name, column in lengths])


def _certainty() -> alt.Opacity:
    """Full colour for unique detectors and pale for all, with the key to both."""
    key = alt.Legend(
        orient="top",
        columns=2,
        labelLimit=LONGEST_KEY,
        symbolType="square",
        symbolFillColor="gray",
        symbolStrokeWidth=0,
    )
    return alt.Opacity("bar:O", title=None, scale=alt.Scale(domain=[_UNIQUE, _ALL], range=[1, _PALE]), legend=key)
