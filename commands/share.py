"""What is given to others: description files, a folder of Parquet files, a copy of the warehouse."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuronlake.commands.options import DEFAULT_WAREHOUSE, Setting, UsageError, WarehouseFile, expanded
from neuronlake.commands.terminal import progress_bars, readable_bytes
from neuronlake.sql import hints

_DESCRIPTIONS, _PARQUET = "descriptions", "parquet"


def export(
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder for the files; descriptions, or named after the warehouse, if not given.",
            show_default=False,
            callback=expanded,
        ),
    ] = None,
    export_format: Annotated[
        str,
        typer.Option(
            "--format",
            help="descriptions: a file per model, with CLIP-Dissect's columns; parquet: a folder with everything, that "
            "--warehouse reads too.",
        ),
    ] = _DESCRIPTIONS,
    setting: Setting = None,
    warehouse: WarehouseFile = DEFAULT_WAREHOUSE,
) -> None:
    """Write the labels as files like CLIP-Dissect's, or all as a folder of Parquet files to give away.

    A description file has a row per unit: layer, unit, description, similarity. The description of a sum is its first
    concept; all of them are in the view unit_terms.

    The folder has a README, the report of the setting, the views with names and the tables behind them. It is
    read-only and can be moved: cli sql QUERY --warehouse FOLDER.
    """
    from neuronlake.reports.exports.descriptions import export_descriptions
    from neuronlake.reports.exports.parquet_folder import export_folder
    from neuronlake.sql.opening import open_warehouse
    from neuronlake.sql.settings import chosen_setting

    if export_format == _PARQUET:
        folder = output or Path(hints.stem(warehouse))
        with open_warehouse(warehouse) as opened, progress_bars() as progress:
            export_folder(opened, folder, setting, progress)
        with open_warehouse(folder) as written:  # and it can be read back
            typer.echo(f"wrote {folder} ({readable_bytes(written.size())})", err=True)
        return
    if export_format != _DESCRIPTIONS:
        raise UsageError(f"there is no format {export_format!r}; choose {_DESCRIPTIONS} or {_PARQUET}")
    with open_warehouse(warehouse, allow_files=False) as opened:
        shown = chosen_setting(opened, setting)
        for path in export_descriptions(opened, output or Path(_DESCRIPTIONS), shown.number):
            typer.echo(path)
    typer.echo(shown, err=True)


def snapshot(
    copy: Annotated[Path, typer.Argument(metavar="FILE", help="The file to make.", callback=expanded)],
    warehouse: WarehouseFile = DEFAULT_WAREHOUSE,
) -> None:
    """Copy the warehouse to a new file, whole and compact, while others may read it."""
    from neuronlake.sql.files.snapshot import snapshot as copy_warehouse

    with progress_bars() as progress:
        made = copy_warehouse(warehouse, copy, progress)
    typer.echo(f"wrote {copy}: {made.rows:,} rows, {readable_bytes(made.size)}", err=True)
