"""A warehouse as a folder to give away: Parquet files, the report, and a README that says how to read them."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

import neuronlake
from neuronlake.reports.files import OutputError, explained
from neuronlake.reports.page import write_report
from neuronlake.reports.tables import markdown
from neuronlake.reports.templates import ENVIRONMENT
from neuronlake.sql.exclusive import sole_maker
from neuronlake.sql.files.folders import HELD_BY_VIEWS
from neuronlake.sql.files.parquet import Written, computed_views, write_parquet
from neuronlake.sql.settings import all_settings
from neuronlake.sql.warehouse import Warehouse
from neuronlake.sql.words import Progress, no_progress

_TABLE = "Table `store.{}`."


def export_folder(
    warehouse: Warehouse, folder: str | Path, setting: int | str | None = None, progress: Progress = no_progress
) -> Path:
    """Write a warehouse as a folder of Parquet files, with its report and a README; `neuronlake.open` reads it.

    The folder is there whole or not at all.

    Args:
        warehouse: to read.
        folder: one that is empty or not there yet.
        setting: number of the setting that the report shows, or its method; the newest where None.
        progress: called with a stage, the share that is done and 100.

    Returns:
        The folder.

    Raises:
        SettingError: the warehouse has no such setting.
        OutputError: the folder holds something, or cannot be written.
        WarehouseError: the warehouse is not whole, or another process makes this folder.
    """
    folder = Path(folder).expanduser()
    home = Path(os.path.realpath(folder))
    try:
        _check_free(folder)
        with sole_maker(home):
            scratch = home.with_name(f".{home.name}.neuronlake-new")
            shutil.rmtree(scratch, ignore_errors=True)  # what a killed export left
            scratch.mkdir()
            try:
                _fill(warehouse, scratch, home.name, setting, progress)
                with suppress(OSError):
                    home.rmdir()  # an empty one; of another, the next step says that it is not
                scratch.rename(home)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise explained(folder, error) from error
    return folder


def _check_free(folder: Path) -> None:
    """Refuse a place where something is, or that is in no folder."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; name a folder with --output")
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputError(
            f"{folder} is not empty, and nothing is written over; remove it first or name another with --output"
        )
    if folder.is_dir() and folder.samefile(Path.cwd()):  # whose place the one that is made takes
        raise OutputError(f"{folder} is the folder that you are in; name another with --output, such as one in it")
    if not folder.absolute().parent.is_dir():
        raise OutputError(f"the folder {folder.parent} does not exist; make it or name another with --output")


def _fill(warehouse: Warehouse, scratch: Path, name: str, setting: int | str | None, progress: Progress) -> None:
    """Write all files of the folder that is to be called so."""
    write_report(warehouse, scratch / "report.html", setting)
    written = write_parquet(warehouse, scratch, progress)
    (scratch / "README.md").write_text(_readme(warehouse, written, name), encoding="utf-8")


def _readme(warehouse: Warehouse, written: list[Written], name: str) -> str:
    """What the folder holds, and how to read it."""
    layers = warehouse.query("contents").pl().select("model", "layer", "units", "probe", "images")
    files = pl.DataFrame(
        {
            "file": [f"`{'views' if each.is_view else 'tables'}/{each.name}.parquet`" for each in written],
            "rows": [each.rows for each in written],
            "what": [_what(each) for each in written],
        }
    )
    return ENVIRONMENT.get_template("exported.md").render(
        name=name,
        warehouse=warehouse.path.name,
        written=datetime.now(UTC).strftime("%Y-%m-%d"),
        version=neuronlake.__version__,
        layers=markdown(layers),
        settings=[str(setting) for setting in all_settings(warehouse)],
        computed=[(view.name, _first_sentence(view.comment)) for view in computed_views()],
        files=markdown(files),
    )


def _what(written: Written) -> str:
    """What a file holds, in a line."""
    if not written.is_view:
        return _TABLE.format(written.name)
    also = f" {_TABLE.format(written.name)}" if written.name in HELD_BY_VIEWS else ""
    return f"{_first_sentence(written.comment)}{also}"


def _first_sentence(text: str) -> str:
    """A comment up to its first full stop or question mark."""
    return re.split(r"(?<=[.?])\s", text)[0]
