"""Bars of units, one a concept: in full colour those whose label is better than chance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from neuronlake.reports.drawing.encodings import BAR_STEP, category_color, name_axis

_BETTER, _NOT_BETTER = "yes, q < 0.05", "no"
_PALE = 0.4


def concept_bars(
    chart: alt.Chart,
    every: pl.DataFrame,
    colors: Mapping[str, str],
    *,
    longest_bar: Any,
    categories: Any,
    order: str = "units",
) -> Any:
    """A bar of units a concept, with its number; in full colour the units whose label is better than chance.

    All is in full colour where none is known to be, and there is no key to full and pale.

    Args:
        chart: of columns concept, category, units, significant.
        every: the rows of all panels that stand beside it.
        colors: of the categories.
        longest_bar: end of the scale.
        categories: those to explain.
        order: the column that puts the bars in order, highest first.
    """
    knows_chance = every["significant"].count() > 0
    tooltip = [alt.Tooltip("concept:N"), alt.Tooltip("category:N"), alt.Tooltip("units:Q")]
    if knows_chance:
        tooltip.append(alt.Tooltip("significant:Q", title="better than chance"))
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
    some = "isValid(datum.significant) && datum.significant != datum.units"
    said = f"{some} ? datum.significant + ' of ' + datum.units : '' + datum.units"
    text = chart.transform_calculate(shown=said).encode(y=base.encoding.y)
    counts = text.mark_text(align="left", dx=4).encode(x="units:Q", text="shown:N")
    if not knows_chance:
        return bars + counts
    parts = [(_NOT_BETTER, bars), (_BETTER, bar.encode(x="significant:Q"))]
    keyed = [part.transform_calculate(certainty=f"'{name}'").encode(opacity=_certainty()) for name, part in parts]
    return alt.layer(*keyed, counts)


def with_room(most: Any) -> float:
    """The end of a scale that leaves room for the numbers at the end of the longest bar, in a narrow panel too."""
    return 1.3 * most


def _certainty() -> alt.Opacity:
    """Opacity of the parts of the bars, _BETTER and _NOT_BETTER, with the key to both."""
    key = alt.Legend(orient="top", columns=2, symbolType="square", symbolFillColor="gray", symbolStrokeWidth=0)
    scale = alt.Scale(domain=[_BETTER, _NOT_BETTER], range=[1, _PALE])
    return alt.Opacity("certainty:O", title="label better than chance", scale=scale, legend=key)
