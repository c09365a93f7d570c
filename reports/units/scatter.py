"""The scatter of what a label predicts against what its unit does."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from neuronlake.reports.units.inked import as_svg, inked
from neuronlake.reports.units.predictions import Simulation

_WIDTH, _HEIGHT = 640, 400
_COLORS = {"false alarm": "#e69f00", "miss": "#0072b2", "hit": "#009e73", "other images": "#8c8c8c"}
# each is a path of the picture
_MOST_POINTS = 1500
_DIGITS = 4


def scatter(simulation: Simulation) -> Any:
    """An image a point, of some thousands of images every so many; larger are those that are shown as pictures."""
    shown = pl.concat([simulation.false_alarms, simulation.misses])
    every = -(-simulation.images.height // _MOST_POINTS)
    some = simulation.images.sort("image_id").gather_every(every)
    base = alt.Chart(_points(some)).encode(x=_axis("predicted", simulation), y=_axis("activation", simulation))
    scale = alt.Scale(domain=list(_COLORS), range=list(_COLORS.values()))
    key = alt.Legend(title=None, orient="top", columnPadding=14, symbolOpacity=1)
    color = alt.Color("outcome:N", scale=scale, legend=key)
    points = base.mark_circle(size=16, opacity=0.6).encode(color=color)
    pictured = (
        alt.Chart(_points(shown)).mark_circle(size=70, opacity=1).encode(x="predicted:Q", y="activation:Q", color=color)
    )
    layers = alt.layer(_diagonal(simulation.images), points, pictured)
    return inked(layers, _WIDTH, _HEIGHT, f"one in {every} of {simulation.images.height:,} images" if every > 1 else "")


def scatter_picture(simulation: Simulation) -> str:
    """The scatter as SVG in the colour of the text around it."""
    return as_svg(scatter(simulation))


def _points(images: pl.DataFrame) -> pl.DataFrame:
    """What is drawn of the images."""
    return images.select(
        pl.col("predicted", "activation").cast(pl.Float64).round_sig_figs(_DIGITS),
        pl.col("outcome").fill_null("other images"),
    )


def _axis(column: str, simulation: Simulation) -> Any:
    """One of the two axes, as long as the numbers reach, for predictions vary less than activations."""
    channel, title = (alt.X, "predicted activation") if column == "predicted" else (alt.Y, "activation")
    low, high = _reach(simulation.images[column])
    margin = 0.03 * (high - low) or 1.0
    scale = alt.Scale(domain=[low - margin, high + margin], nice=False, zero=False)
    return channel(f"{column}:Q", title=title, scale=scale, axis=alt.Axis(tickCount=6))


def _reach(values: pl.Series) -> tuple[float, float]:
    """The lowest and the highest."""
    return float(values.min() or 0), float(values.max() or 0)  # pyright: ignore[reportArgumentType]  numbers


def _diagonal(images: pl.DataFrame) -> Any:
    """Where predictions are right, as far as both axes have it."""
    (low, high), (other_low, other_high) = _reach(images["predicted"]), _reach(images["activation"])
    ends = pl.DataFrame({"from": [max(low, other_low)], "to": [min(high, other_high)]})
    rule = alt.Chart(ends).mark_rule(color="currentColor", opacity=0.5, strokeDash=[4, 4])
    return rule.encode(x="from:Q", y="from:Q", x2="to:Q", y2="to:Q")
