"""Answers as tables: for a terminal, or as csv, json, markdown and Parquet for other programs."""

from __future__ import annotations

import io
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from neuronlake import NeuronlakeError
from neuronlake.reports.files import make_folder, write_output
from neuronlake.reports.units.card import UnitCard
from neuronlake.reports.units.predictions import Simulation, correlations

FORMATS = ("table", "csv", "json", "md", "parquet")


# wider cells are cut where a table has not room for all
_LONGEST_CELL = 40


class FormatError(NeuronlakeError):
    """There is no such output format, or no output."""


def chosen_format(name: str | None) -> str:
    """The format that was asked for; without one a table in a terminal, else csv.

    Raises:
        FormatError: there is none of that name, or standard output is closed.
    """
    _check_output()
    if name is None:
        return "table" if sys.stdout.isatty() else "csv"
    if name not in FORMATS:
        raise FormatError(f"there is no format {name!r}; choose {', '.join(FORMATS)}")
    return name


def output_console() -> Console:
    """Standard output for tables; where it is no terminal, with room for 200 characters.

    Raises:
        FormatError: standard output is closed.
    """
    _check_output()
    return Console(width=None if sys.stdout.isatty() else 200)


def _check_output() -> None:
    """A shell's ``>&-`` leaves a process without standard output."""
    if sys.__stdout__ is None:
        raise FormatError("standard output is closed, so there is nowhere to print; send it to a file with > FILE")


def print_frame(frame: pl.DataFrame, file_format: str, limit: int) -> None:
    """Print a frame on standard output; as a table, at most `limit` rows of it."""
    if file_format != "table":
        write_frame(frame, file_format, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    console = output_console()
    fitted = _fitted(frame.head(limit), console.width)
    if fitted.alike:
        alike = ", ".join(f"{name} {_cell(value)}" for name, value in fitted.alike.items())
        console.print(f"in all rows shown: {alike}\n", style="dim", highlight=False, markup=False)
    console.print(terminal_table(fitted.frame, more_rows=frame.height > limit))
    notes = Console(stderr=True)
    if fitted.left_out:
        notes.print(f"too wide for {', '.join(fitted.left_out)}; --format csv has them", highlight=False, markup=False)
    if frame.height > limit:
        notes.print(f"the first {limit} rows; --limit N shows more, --format csv all", highlight=False)


@dataclass(frozen=True)
class _Fitted:
    """A table that a terminal has room for.

    Attributes:
        frame: its columns.
        alike: columns that were taken out because all rows are alike in them, with their value.
        left_out: columns that were taken out for want of room.
    """

    frame: pl.DataFrame
    alike: dict[str, Any]
    left_out: list[str]


def _fitted(frame: pl.DataFrame, width: int) -> _Fitted:
    """The table as it is where it fits; else without what all rows share, and then without its last columns."""
    widths = {name: _column_width(frame[name]) for name in frame.columns}
    if sum(widths.values()) <= width:
        return _Fitted(frame, {}, [])
    several = frame.height > 1
    alike = {name: frame[name][0] for name in frame.columns if several and len(set(map(_cell, frame[name]))) == 1}
    kept: list[str] = []
    for name in frame.columns:
        if name not in alike and (not kept or sum(widths[each] for each in [*kept, name]) <= width):
            kept.append(name)
    left_out = [name for name in frame.columns if name not in kept and name not in alike]
    return _Fitted(frame.select(kept), alike, left_out)


def _column_width(column: pl.Series) -> int:
    """Characters that a column wants, and the gap beside it; long texts are cut."""
    longest = max([len(column.name), *(len(_cell(value)) for value in column)])
    return min(longest, _LONGEST_CELL) + 2


def terminal_table(frame: pl.DataFrame, title: str | None = None, more_rows: bool = False) -> Table:
    """A table for a terminal; numbers stand right, floats have four digits."""
    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for name, kind in frame.schema.items():
        table.add_column(escape(name), justify="right" if kind.is_numeric() else "left", overflow="ellipsis")
    for row in frame.iter_rows():
        table.add_row(*(escape(_cell(value)) for value in row))
    if more_rows:
        table.add_row(*["…" for _ in frame.columns])
    return table


def print_unit(card: UnitCard) -> None:
    """A unit's card, on standard output."""
    console = Console()
    label = card.label
    console.print(card.title, style="bold", highlight=False, markup=False)
    if label["concept"] is None:
        console.print(card.lack, highlight=False)
    else:
        counted = card.counted if card.explanation is None else f"counted as {card.counted}"
        named = ", ".join(filter(None, (counted, card.scores)))
        for line in filter(None, (card.explanation, named, card.overlap, card.fidelity, card.meanings)):
            console.print(line, highlight=False, markup=False)
    console.print(str(card.setting), style="dim", highlight=False, markup=False, soft_wrap=True)
    if label["status"] == "dead":
        return  # all images are alike to it
    if card.sum is not None:
        console.print()
        known = ("concept", "weight", "share") if card.sum["share"].count() > 0 else ("concept", "weight")
        console.print(terminal_table(card.sum.select(known), title="the sum"))
    if not card.concepts.is_empty():
        console.print()
        score = "IoU" if card.label["union_pixels"] else "similarity"
        console.print(
            terminal_table(card.concepts.select("concept", pl.col("similarity").alias(score)), title="best concepts")
        )
    if not card.images.is_empty():
        console.print()
        console.print(terminal_table(card.images.select("rank", "image", "label", "activation"), title="top images"))


def print_simulation(card: UnitCard, simulation: Simulation) -> None:
    """What a unit's label predicts, and the images on which it is most wrong, on standard output."""
    console = Console()
    console.print(card.title, style="bold", highlight=False, markup=False)
    console.print(card.label["explanation"], highlight=False, markup=False)
    for line in filter(None, (correlations(card.label, simulation.images.height), f"top 5 %: {simulation.counts}")):
        console.print(line, highlight=False, markup=False)
    console.print(str(card.setting), style="dim", highlight=False, markup=False, soft_wrap=True)
    lists = {
        "false alarms: predicted high, the unit is low": simulation.false_alarms,
        "misses: the unit is high, predicted low": simulation.misses,
    }
    for title, images in lists.items():
        if not images.is_empty():
            console.print(f"\n{title}", style="italic", highlight=False)
            console.print(terminal_table(images.select("image", "label", "predicted", "activation")))


def evaluation_table(evaluations: pl.DataFrame) -> pl.DataFrame:
    """Rows of the view `evaluations` with a column a setting, each value with its interval where it has one."""
    names = pl.format("{} (setting {})", "method", "setting")
    value, low, high = (pl.col(name).round_sig_figs(3).cast(pl.String) for name in ("value", "low", "high"))
    interval = pl.coalesce(pl.format("{} [{}, {}]", value, low, high), value)
    return evaluations.select(names.alias("settings"), "measure", interval.alias("shown")).pivot(
        on="settings", index="measure", values="shown"
    )


def write_frame(frame: pl.DataFrame, file_format: str, output: BinaryIO) -> None:
    """Write a frame to a binary stream in one of FORMATS other than ``table``."""
    if file_format == "parquet":
        content = io.BytesIO()
        frame.write_parquet(content)  # to a stream of the system's, it would say in its own words that a disk is full
        output.write(content.getvalue())
    elif file_format == "csv":
        output.write(_flat(frame).write_csv().encode())
    elif file_format == "json":
        rows = [{name: _json_value(value) for name, value in row.items()} for row in frame.iter_rows(named=True)]
        output.write((json.dumps(rows, ensure_ascii=False, indent=1) + "\n").encode())
    else:
        output.write(markdown(frame).encode())


def write_description_file(frame: pl.DataFrame, path: Path) -> None:
    """A description file in CLIP-Dissect's columns: layer, unit, description, similarity."""
    make_folder(path.parent)
    write_output(path, frame.write_csv().encode())


def _cell(value: Any) -> str:
    """One value as a reader wants it."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, list):
        return ", ".join(_cell(item) for item in value)
    return str(value)


def _json_value(value: Any) -> Any:
    """What JSON has no word for, as text; numbers that are not finite as null."""
    if isinstance(value, list):
        return [_json_value(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _json_value(item) for name, item in value.items()}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Lists and bytes as text, which csv needs."""
    texts = {
        name: pl.Series(name, [None if value is None else _cell(value) for value in frame[name].to_list()], pl.String)
        for name, kind in frame.schema.items()
        if kind.is_nested() or kind == pl.Binary
    }
    return frame.with_columns(**texts)


def markdown(frame: pl.DataFrame) -> str:
    """A GitHub table."""
    lines = [
        "| " + " | ".join(frame.columns) + " |",
        "|" + "|".join(" ---: " if kind.is_numeric() else " --- " for kind in frame.dtypes) + "|",
    ]
    for row in frame.iter_rows():
        cells = ("" if value is None else _cell(value).replace("|", "\\|").replace("\n", " ") for value in row)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
