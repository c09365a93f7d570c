"""The chart of how far to believe the labels: each unit's held-out correlation against its ceiling."""

from __future__ import annotations

import json
from typing import Any

import altair as alt
import polars as pl

from neuronlake.reports.charts import ALL_LAYERS
from neuronlake.reports.drawing.drawable_names import with_drawable_names
from neuronlake.reports.drawing.encodings import LONGEST_KEY, titled
from neuronlake.reports.drawing.verdicts import Verdict

_HEIGHT = 300
_BLUE, _ORANGE, _GREY = "#0072b2", "#e69f00", "#8c8c8c"
_NO, _UNKNOWN = "no", "not known"
_DIGITS = 3
_MARGIN = 0.03


@with_drawable_names
def held_out_and_ceiling(units: pl.DataFrame, model: str, verdict: Verdict | None) -> Any:
    """A point a unit: how well its label predicts it, against what the encoder sees of it, in one of its layers or all.

    Args:
        units: of all models, whose panels share the scale; columns model, layer, unit, concept, held_out_correlation,
            ceiling, confidence, holds, and judged, the number of the model's units of which these are all or some.
        model: the one to draw.
        verdict: tells the labels that count from the others; None where nothing does.
    """
    rounded = units.with_columns(
        pl.col("held_out_correlation", "ceiling", "confidence").cast(pl.Float64).round(_DIGITS)
    )
    mine = rounded.filter(pl.col("model") == model)
    chosen = alt.param(name="layer", value=ALL_LAYERS)
    # what all points share is not written with each of them
    points = (
        alt.Chart(mine.select("layer", "unit", "concept", "held_out_correlation", "ceiling", "confidence", "holds"))
        .transform_filter(f"layer == {json.dumps(ALL_LAYERS)} || datum.layer == layer")
        .transform_calculate(model=json.dumps(model))
        .mark_circle(size=22, opacity=0.7, cursor="pointer")
        .encode(
            x=_axis("ceiling", "ceiling", rounded), y=_axis("held_out_correlation", "held-out correlation", rounded)
        )
        .encode(tooltip=["concept:N", "layer:N", "unit:Q", *map(_number, _measures(mine))])
    )
    if verdict:
        yes = f"yes, {verdict.criterion}"
        colors = {yes: _BLUE, _NO: _ORANGE} | ({_UNKNOWN: _GREY} if mine["holds"].null_count() else {})
        key = f"isValid(datum.holds) ? (datum.holds ? {json.dumps(yes)} : '{_NO}') : '{_UNKNOWN}'"
        points = points.transform_calculate(verdict=key).encode(color=_by_verdict(verdict, colors))
    (lowest, highest), (other, _) = (_domain(rounded, column) for column in ("ceiling", "held_out_correlation"))
    ends = pl.DataFrame({"from": [max(lowest, other)], "to": [highest]})
    diagonal = alt.Chart(ends).mark_rule(color=_GREY, strokeDash=[4, 4], tooltip=None)
    diagonal = diagonal.encode(x="from:Q", y="from:Q", x2="to:Q", y2="to:Q")
    judged = int(mine["judged"][0])
    some = [f"{mine.height:,} of {judged:,} units, as many of each layer"] if mine.height < judged else []
    return titled((diagonal + points).add_params(chosen), model, _HEIGHT, *some)


def _measures(units: pl.DataFrame) -> list[str]:
    """Those that there is anything to tell of."""
    names = ("held_out_correlation", "ceiling", "confidence")
    return [name for name in names if units[name].count() > 0]


def _number(name: str) -> alt.Tooltip:
    """A measure beside a point."""
    return alt.Tooltip(f"{name}:Q", title=name.replace("held_out_", "held-out "), format=".2f")


def _domain(units: pl.DataFrame, column: str) -> tuple[float, float]:
    """The ends of an axis: 0 is between them, and the upper end is that of both axes."""
    values = pl.concat([units["held_out_correlation"], units["ceiling"]])
    lowest, highest = float(units[column].min() or 0), float(values.max() or 0)  # pyright: ignore[reportArgumentType]  numbers
    return min(0.0, lowest) - _MARGIN, max(0.0, highest) + _MARGIN


def _axis(column: str, title: str, units: pl.DataFrame) -> Any:
    """One of the two axes."""
    channel = alt.X if column == "ceiling" else alt.Y
    scale = alt.Scale(domain=list(_domain(units, column)), nice=False)
    return channel(f"{column}:Q", title=title, scale=scale, axis=alt.Axis(tickCount=6))


def _by_verdict(verdict: Verdict, colors: dict[str, str]) -> alt.Color:
    """Colour by whether a label counts, with the key."""
    key = alt.Legend(orient="top", columns=3, symbolOpacity=1, labelLimit=LONGEST_KEY)
    return alt.Color(
        "verdict:N", title=verdict.one, scale=alt.Scale(domain=list(colors), range=list(colors.values())), legend=key
    )
