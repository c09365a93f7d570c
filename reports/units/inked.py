"""Charts as pictures within a page: in the colour of the text around them, light or dark."""

from __future__ import annotations

from typing import Any

import altair as alt
import vl_convert

from neuronlake.reports.pictures import vega_lite_version


def as_svg(chart: Any) -> str:
    """A chart as SVG text, to stand within a page."""
    return vl_convert.vegalite_to_svg(chart.to_dict(), vl_version=vega_lite_version())


def inked(chart: Any, width: int, height: int | alt.Step, note: str = "") -> Any:
    """A chart in the colours of the page, light or dark, and with no words on each point."""
    ink = "currentColor"
    title = alt.TitleParams(note, anchor="start", color=ink, fontSize=12, fontWeight="normal")
    return (
        chart.properties(width=width, height=height, background="transparent", title=title)
        .configure(aria=False)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=ink,
            titleColor=ink,
            gridColor=ink,
            gridOpacity=0.12,
            domainColor=ink,
            domainOpacity=0.3,
            tickColor=ink,
            tickOpacity=0.3,
            titleFontWeight="normal",
            labelFontSize=12,
            titleFontSize=12,
        )
        .configure_legend(labelColor=ink, labelFontSize=12)
    )
