"""The reliability diagram of `cli evaluate`: do labels with a confidence of 80 % prove right in 80 of 100 cases?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl
import vl_convert

from neuronlake.reports.drawing.colors import MODEL_COLORS
from neuronlake.reports.drawing.drawable_names import with_drawable_names
from neuronlake.reports.files import OutputError, check_output, write_output
from neuronlake.reports.pictures import vega_lite_version
from neuronlake.reports.tables import evaluation_table
from neuronlake.reports.templates import ENVIRONMENT, asset

FORMATS = (".html", ".svg", ".png")
_SIDE, _COUNTS_HEIGHT = 280, 70
_PANELS_A_ROW = 3
_WHOLE = alt.Scale(domain=[0, 1], nice=False)


def check_diagram(path: Path) -> None:
    """Refuse what no diagram can be written to, before any work is done for it.

    Raises:
        OutputError: its ending is none of FORMATS, or see `check_output`.
    """
    if path.suffix.lower() not in FORMATS:
        raise OutputError(f"{path} does not end in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}, which says how to draw")
    check_output(path)


def write_diagram(path: Path, bins: pl.DataFrame, measures: pl.DataFrame, notes: Sequence[str], title: str) -> None:
    """Write what was found of labels as the file's ending says: a picture, or a page with the measures and notes too.

    Args:
        path: the file.
        bins: see `reliability`.
        measures: rows of the view `evaluations`.
        notes: on which units were counted.
        title: what was evaluated.

    Raises:
        OutputError: see `check_diagram`.
    """
    check_diagram(path)
    spec = reliability(bins, measures, title).to_dict()
    picture = vl_convert.vegalite_to_svg(spec, vl_version=vega_lite_version())
    if path.suffix.lower() == ".png":
        write_output(path, vl_convert.svg_to_png(picture, scale=2))
        return
    if path.suffix.lower() == ".svg":
        write_output(path, picture.encode())
        return
    table = evaluation_table(measures)
    page = ENVIRONMENT.get_template("evaluation.html").render(
        title=title, notes=notes, picture=picture, columns=table.columns, rows=table.rows(), style=asset("page.css")
    )
    write_output(path, page.encode())


@with_drawable_names
def reliability(bins: pl.DataFrame, measures: pl.DataFrame, title: str) -> Any:
    """The share of right labels against their confidence, a panel a setting.

    Args:
        bins: columns setting, method, start, end, units, confidence, right, low, high; one row a setting and bin, with
            the interval of `right` and NaN where a bin has no units.
        measures: columns setting, measure, value, low, high, units; with top_1 and calibration_error of each setting.
        title: what was evaluated.
    """
    most = int(bins["units"].max() or 1)  # pyright: ignore[reportArgumentType]  a number
    numbers = bins["setting"].unique(maintain_order=True)
    panels = [_panel(bins.filter(setting=number), measures.filter(setting=number), most) for number in numbers]
    words = [
        "above the dashed line more labels are right than their confidence says, below it fewer",
        "95 % intervals by Wilson's score; the bars count the labels",
    ]
    text = alt.TitleParams(title, subtitle=words, anchor="start", offset=16)
    side_by_side = alt.concat(*panels, columns=min(len(panels), _PANELS_A_ROW), spacing=36)
    return side_by_side.properties(title=text, background="white", padding=16).configure_view(stroke="#ddd")


def _panel(bins: pl.DataFrame, measures: pl.DataFrame, most: int) -> Any:
    """One setting: shares against confidence, and how many labels stand behind each."""
    shown = bins.filter(pl.col("units") > 0)
    blue = MODEL_COLORS[0]
    axis = alt.Axis(format="%", tickCount=6, labelFlush=False)
    tooltip = [
        alt.Tooltip("confidence:Q", title="mean confidence", format=".1%"),
        alt.Tooltip("right:Q", title="right", format=".1%"),
        alt.Tooltip("low:Q", title="from", format=".1%"),
        alt.Tooltip("high:Q", title="to", format=".1%"),
        alt.Tooltip("units:Q", title="labels"),
    ]
    share = alt.Y("right:Q", title="share of right labels", scale=_WHOLE, axis=axis)
    base = alt.Chart(shown).encode(
        x=alt.X("confidence:Q", title=None, scale=_WHOLE, axis=alt.Axis(labels=False, tickCount=6)), tooltip=tooltip
    )
    ends = pl.DataFrame({"confidence": [0.0, 1.0], "right": [0.0, 1.0]})
    ideal = alt.Chart(ends).mark_line(color="#999", strokeDash=[4, 4]).encode(x="confidence:Q", y="right:Q")
    intervals = base.mark_rule(color=blue, strokeWidth=1.5).encode(y=alt.Y("low:Q"), y2="high:Q")
    line = base.mark_line(color=blue, opacity=0.4).encode(y=share)
    points = base.mark_point(color=blue, filled=True, size=60, opacity=1).encode(y=share)
    counts = alt.Chart(bins).encode(tooltip=["units:Q"])
    room = alt.Scale(domain=[0, 1.25 * most], nice=False)
    bars = counts.mark_bar(color=blue, opacity=0.6).encode(
        x=alt.X("start:Q", bin="binned", title="confidence", scale=_WHOLE, axis=axis),
        x2="end:Q",
        y=alt.Y("units:Q", title="labels", scale=room, axis=alt.Axis(tickCount=2, tickMinStep=1, grid=False)),
    )
    numbers = (
        counts.transform_filter("datum.units > 0")
        .transform_calculate(middle="(datum.start + datum.end) / 2")
        .mark_text(dy=-6, fontSize=10)
        .encode(x=alt.X("middle:Q", scale=_WHOLE), y=alt.Y("units:Q", scale=room), text="units:Q")
    )
    upper = (ideal + line + intervals + points).properties(width=_SIDE, height=_SIDE, title=_heading(bins, measures))
    return alt.vconcat(upper, (bars + numbers).properties(width=_SIDE, height=_COUNTS_HEIGHT), spacing=8)


def _heading(bins: pl.DataFrame, measures: pl.DataFrame) -> alt.TitleParams:
    """Which setting, and how far confidence and truth lie apart in it."""
    number, method = bins.select("setting", "method").row(0)
    error, low, high = measures.filter(measure="calibration_error").select("value", "low", "high").row(0)
    right = round((bins["right"].fill_nan(0) * bins["units"]).sum())
    lines = [
        f"calibration error {error:.3f} ({low:.3f} to {high:.3f})",
        f"{right:,} of {bins['units'].sum():,} labels are right",
    ]
    return alt.TitleParams(f"{method} (setting {number})", subtitle=lines, anchor="start", limit=_SIDE)
