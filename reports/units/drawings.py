"""How a unit fires, drawn: over all images, and over those of the labels that it prefers."""

from __future__ import annotations

import altair as alt
import polars as pl

from neuronlake.reports.units.inked import as_svg, inked

_BLUE = "#0072b2"
_LONGEST_LABEL = 200


def histogram(bars: pl.DataFrame) -> str:
    """Bars of the query activation_histogram as SVG; their heights are logarithms, for most units fire rarely."""
    # a bar of one image is seen, and one of none is not
    heights = bars.with_columns(images=pl.col("images") + 1, floor=1)
    counts = alt.Axis(tickCount=4, labelExpr="format(datum.value - 1, ',')", values=[1, 11, 101, 1001, 10001, 100001])
    most = int(heights["images"].max() or 1)  # pyright: ignore[reportArgumentType]  a number
    chart = (
        alt.Chart(heights)
        .mark_bar(color=_BLUE, binSpacing=1)
        .encode(
            x=alt.X("from_activation:Q", title="activation", scale=alt.Scale(zero=False, nice=False)),
            x2="to_activation:Q",
            y=alt.Y("images:Q", title="images", axis=counts, scale=alt.Scale(type="log", domain=[1, max(most, 11)])),
            y2="floor:Q",
        )
    )
    return as_svg(inked(chart, 640, 130))


def preferred_labels(rows: pl.DataFrame) -> str:
    """The mean activation of each label with its interval, as SVG."""
    named = rows.with_columns(name=pl.format("{} ({})", "label", "images"))
    order = named["name"].to_list()
    base = alt.Chart(named).encode(
        y=alt.Y("name:N", sort=order, title=None, axis=alt.Axis(labelLimit=_LONGEST_LABEL, domain=False, ticks=False))
    )
    spans = base.mark_rule(color=_BLUE, strokeWidth=2, opacity=0.55).encode(
        x=alt.X("low:Q", title="mean activation, and its 95 % interval", scale=alt.Scale(zero=False)), x2="high:Q"
    )
    means = base.mark_circle(color=_BLUE, size=60, opacity=1).encode(x="mean_activation:Q")
    # the page's font may be wider than the one that the names were measured in
    return as_svg(inked(spans + means, 460, alt.Step(24)).properties(padding={"left": 40}))
