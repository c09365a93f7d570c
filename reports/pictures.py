"""The charts of a report as files: pictures for a paper, or the numbers behind them."""

from __future__ import annotations

from pathlib import Path

import altair as alt
import vl_convert

from neuronlake import NeuronlakeError
from neuronlake.reports.answers import answers_of
from neuronlake.reports.figures import PAPER_WIDTH, Figure, figures
from neuronlake.reports.files import make_folder, write_output
from neuronlake.sql.warehouse import Warehouse


class ReportError(NeuronlakeError):
    """A chart of the report cannot be drawn."""


def write_charts(warehouse: Warehouse, folder: Path, file_format: str, setting: int | str | None = None) -> list[Path]:
    """Write each chart of the report to a file of its own, or the numbers it draws.

    Args:
        warehouse: to read.
        folder: made if it is not there.
        file_format: ``svg``, ``png`` (at twice the size) or ``csv``.
        setting: number of the setting, or its method; the newest where None.

    Returns:
        The files, in the order of the page.

    Raises:
        SettingError: the warehouse holds no scoring, or none of that setting.
        OutputError: a file cannot be written there.
        ReportError: a chart cannot be drawn.
    """
    answers = answers_of(warehouse, setting)
    make_folder(folder)
    written: list[Path] = []
    for figure in figures(answers):
        path = folder / f"{figure.key}.{file_format}"
        write_output(path, _content(figure, file_format))
        written.append(path)
    return written


def vega_lite_version() -> str:
    """The version of Vega-Lite that Altair writes, as vl-convert spells it: 6.1."""
    return ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])


def _content(figure: Figure, file_format: str) -> bytes:
    """A figure as bytes in a format."""
    if file_format == "csv":
        return figure.frame.write_csv().encode()
    if file_format == "svg":
        return _svg(figure).encode()
    return vl_convert.svg_to_png(_svg(figure), scale=2)


def _svg(figure: Figure) -> str:
    """A chart as SVG for a paper."""
    spec = figure.spec | {"width": PAPER_WIDTH, "background": "white"}
    failure = "it has no marks"
    try:
        picture = vl_convert.vegalite_to_svg(spec, vl_version=vega_lite_version())
    except ValueError as error:
        picture, failure = "", " ".join(str(error).splitlines()[:2])
    # some errors are only logged, by the part of the converter that is not Python, and leave a chart without marks
    if 'role="graphics-symbol"' not in picture:
        raise ReportError(f"the chart {figure.key} cannot be drawn: {failure}; --format csv writes its numbers")
    return picture
