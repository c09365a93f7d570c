"""Bars of units, one a concept: in full colour those whose label counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from neuronlake.reports.drawing.encodings import BAR_STEP, LONGEST_KEY, category_color, name_axis
from neuronlake.reports.drawing.verdicts import Verdict

_NO = "no"
_PALE = 0.4


def concept_bars(
    chart: alt.Chart,
    every: pl.DataFrame,
    colors: Mapping[str, str],
    verdict: Verdict | None,
    *,
    longest_bar: Any,
    categories: Any,
    order: str = "units",
) -> Any:
    """A bar of units a concept, with its number; in full colour the units whose label counts.

    Where all labels count all is in full colour, with no key to full and pale.

    Args:
        chart: of columns concept, category, units, held.
        every: the rows of all panels that stand beside it.
        colors: of the categories.
        verdict: which labels count; None for all.
        longest_bar: end of the scale.
        categories: those to explain.
        order: the column that puts the bars in order, highest first.
    """
    tooltip = [alt.Tooltip("concept:N"), alt.Tooltip("category:N"), alt.Tooltip("units:Q")]
    if verdict:
        tooltip.append(alt.Tooltip("held:Q", title=verdict.title.lower()))
    base = chart.encode(
        y=alt.Y(
            "concept:N",
            title=None,
            sort=alt.EncodingSortField(order, op="max", order="descending"),
            axis=name_axis(every["concept"]),
        ),
        color=category_color(colors, categories),
        tooltip=tooltip,
    )
    units = alt.X(
        "units:Q",
        title="units with this label",
        axis=alt.Axis(tickMinStep=1),
        scale=alt.Scale(domainMin=0, domainMax=longest_bar, nice=False),
    )
    bar = base.mark_bar(cursor="pointer", size=BAR_STEP - 3)
    bars = bar.encode(x=units)
    some = "isValid(datum.held) && datum.held != datum.units"
    said = f"{some} ? datum.held + ' of ' + datum.units : '' + datum.units" if verdict else "'' + datum.units"
    text = chart.transform_calculate(shown=said).encode(y=base.encoding.y)
    counts = text.mark_text(align="left", dx=4).encode(x="units:Q", text="shown:N")
    if not verdict:
        return bars + counts
    yes = f"yes, {verdict.criterion}"
    opacity = _certainty(verdict.one, yes)
    parts = [(_NO, bars), (yes, bar.encode(x="held:Q"))]
    keyed = [part.transform_calculate(certainty=f"'{name}'").encode(opacity=opacity) for name, part in parts]
    return alt.layer(*keyed, counts)


def with_room(most: Any) -> float:
    """The end of a scale that leaves room for the numbers at the end of the longest bar, in a narrow panel too."""
    return 1.3 * most


def _certainty(title: str, yes: str) -> alt.Opacity:
    """Opacity of the two parts of the bars, with the key to both."""
    key = alt.Legend(
        orient="top",
        columns=2,
        labelLimit=LONGEST_KEY,
        symbolType="square",
        symbolFillColor="gray",
        symbolStrokeWidth=0,
    )
    scale = alt.Scale(domain=[yes, _NO], range=[1, _PALE])
    return alt.Opacity("certainty:O", title=title, scale=scale, legend=key)
