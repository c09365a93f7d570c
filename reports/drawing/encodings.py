"""What charts share: titles, axes of names, and the colours with their keys."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import altair as alt
import polars as pl

from neuronlake.reports.drawing.colors import MODEL_COLORS

# pixels for a bar, with the gap below it
BAR_STEP = 19
_KEY_COLUMNS = alt.ExprRef("containerSize()[0] < 400 ? 2 : 3")
LONGEST_KEY = 300
# pixels; a longer name or title is cut, and the tooltip has it whole
_LONGEST_NAME = 150
_LONGEST_TITLE = 320
_CHARACTER = 7


def titled(chart: Any, title: str, height: int, *lines: str) -> Any:
    """A chart as wide as its place on the page, with lines of small print below its title."""
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    small = list(lines) or alt.Undefined
    text = alt.TitleParams(title, subtitle=small, limit=_LONGEST_TITLE)
    return chart.properties(title=text, width="container", height=height, autosize=fit)


def name_axis(every: pl.Series) -> alt.Axis:
    """An axis of names, with the same room for them in panels that stand side by side.

    Args:
        every: the names of all those panels.
    """
    longest = max((len(name) for name in every), default=0)
    return alt.Axis(labelLimit=_LONGEST_NAME, minExtent=min(_LONGEST_NAME, _CHARACTER * longest) + 8)


def slanted_name_axis() -> alt.Axis:
    """An axis of names below a chart."""
    return alt.Axis(labelAngle=-30, labelLimit=_LONGEST_NAME)


def categories_in(frame: pl.DataFrame, colors: Mapping[str, str]) -> list[str]:
    """The categories in a frame, in the order of the colours."""
    return [category for category in colors if category in set(frame["category"])]


def category_color(colors: Mapping[str, str], occurring: Any) -> alt.Color:
    """Colour by category, the same in every chart; the key has those that occur."""
    return alt.Color(
        "category:N",
        title="category",
        scale=alt.Scale(domain=list(colors), range=list(colors.values())),
        legend=alt.Legend(
            orient="bottom", columns=_KEY_COLUMNS, symbolType="square", symbolOpacity=1, values=occurring
        ),
    )


def ink_on_shades(column: str, highest: float) -> Any:
    """The colour of a number on a cell that is the darker the higher the number is."""
    return alt.condition(f"datum.{column} > {0.55 * highest}", alt.value("white"), alt.value("#222"))


def model_color(models: list[str]) -> alt.Color:
    """Colour by model, the same in every chart."""
    colors = [color for _, color in zip(models, cycle(MODEL_COLORS), strict=False)]
    return alt.Color(
        "model:N",
        title=None,
        scale=alt.Scale(domain=models, range=colors),
        legend=alt.Legend(orient="bottom", columns=1, labelLimit=LONGEST_KEY, symbolType="square"),
    )


def layers_by_depth(frame: pl.DataFrame) -> list[str]:
    """Names of layers, early to late."""
    return names_by(frame, "layer", "position")


def names_by(frame: pl.DataFrame, name: str, position: str) -> list[str]:
    """Each name once, in the order of the positions."""
    return frame.sort(position)[name].unique(maintain_order=True).to_list()
