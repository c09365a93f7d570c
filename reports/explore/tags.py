"""Words that a reader gives to units: a csv file beside the warehouse, which stays as it is."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

import polars as pl

from neuronlake import NeuronlakeError
from neuronlake.reports.files import write_output
from neuronlake.sql.words import first_line

_SCHEMA = {"model": pl.String, "layer": pl.String, "unit": pl.Int32, "tag": pl.String, "tagged_at": pl.String}
_KEYS = ("model", "layer", "unit", "tag")
# pages of one app are read and written by threads
_WRITING = Lock()


class TagError(NeuronlakeError):
    """The file of tags cannot be read, or the tag is none."""


def tags_file(warehouse: Path) -> Path:
    """``warehouse.tags.csv`` for ``warehouse.duckdb``; beside an exported folder, which may be given as ``.``."""
    warehouse = Path(os.path.abspath(warehouse))  # noqa: PTH100
    return warehouse.with_name(f"{warehouse.name.removesuffix('.duckdb')}.tags.csv")


def read_tags(warehouse: Path) -> pl.DataFrame:
    """Model, layer, unit, tag and when it was given; no rows where nothing was tagged yet.

    Raises:
        TagError: the file is no such csv file.
    """
    path = tags_file(warehouse)
    if not path.exists():
        return pl.DataFrame(schema=_SCHEMA)
    try:
        return pl.read_csv(path, schema=_SCHEMA)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise TagError(
            f"{path} cannot be read as tags ({first_line(error)}); its columns are {', '.join(_SCHEMA)}: mend it or "
            "move it away"
        ) from error


def add_tag(warehouse: Path, units: pl.DataFrame, tag: str) -> pl.DataFrame:
    """Give a tag to units that lack it, and return all tags.

    Args:
        warehouse: the file that the tags are of.
        units: model, layer and unit.
        tag: any text of one line.

    Raises:
        TagError: the tag is empty, or the file cannot be read.
        OutputError: it cannot be written.
    """
    tag = " ".join(tag.split())
    if not tag:
        raise TagError("a tag is a word or two; type one")
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    given = units.select("model", "layer", pl.col("unit").cast(pl.Int32), tag=pl.lit(tag), tagged_at=pl.lit(now))
    with _WRITING:
        known = read_tags(warehouse)
        tags = pl.concat([known, given.join(known, on=_KEYS, how="anti")]).unique(
            _KEYS, keep="first", maintain_order=True
        )
        _write(warehouse, tags)
    return tags


def remove_tag(warehouse: Path, units: pl.DataFrame, tag: str) -> pl.DataFrame:
    """Take a tag back from units, and return all tags that are left; see `add_tag`."""
    taken = units.select("model", "layer", pl.col("unit").cast(pl.Int32), tag=pl.lit(" ".join(tag.split())))
    with _WRITING:
        tags = read_tags(warehouse).join(taken, on=_KEYS, how="anti", maintain_order="left")
        _write(warehouse, tags)
    return tags


def with_tags(units: pl.DataFrame, tags: pl.DataFrame, model: str, layer: str) -> pl.DataFrame:
    """The units of a layer with a column `tags`, empty where a unit has none."""
    of_layer = tags.filter(pl.col("model") == model, pl.col("layer") == layer)
    listed = of_layer.group_by("unit").agg(tags=pl.col("tag").sort().str.join(", "))
    return units.join(listed, on="unit", how="left", maintain_order="left").with_columns(pl.col("tags").fill_null(""))


def _write(warehouse: Path, tags: pl.DataFrame) -> None:
    """Write the file anew; killed at any point it is there whole, as before or after."""
    write_output(tags_file(warehouse), tags.write_csv().encode())
