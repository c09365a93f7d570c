"""Files out of the warehouse and into it: reports, imported results; and whether it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuronlake.commands.options import DEFAULT_WAREHOUSE, Setting, UsageError, Wait, WarehouseFile, expanded, pairs
from neuronlake.commands.terminal import progress_bars, typed_command
from neuronlake.sql import hints


def report(
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The page, or the folder for charts; named after the warehouse if not given.",
            show_default=False,
            callback=expanded,
        ),
    ] = None,
    output_format: Annotated[
        str, typer.Option("--format", help="html: one page; svg, png or csv: each chart or its numbers in a file.")
    ] = "html",
    setting: Setting = None,
    warehouse: WarehouseFile = DEFAULT_WAREHOUSE,
) -> None:
    """Draw one HTML file with charts and units, to open with no network; or each chart for a paper."""
    from neuronlake.sql.opening import open_warehouse

    stem = hints.stem(warehouse)
    if output_format == "html":
        write_page(warehouse, output or Path(f"{stem}.html"), setting)
        return
    if output_format not in ("svg", "png", "csv"):
        raise UsageError(f"there is no format {output_format!r}; choose html, svg, png or csv")
    from neuronlake.reports.pictures import write_charts
    from neuronlake.sql.settings import chosen_setting

    with open_warehouse(warehouse, allow_files=False) as opened:
        shown = chosen_setting(opened, setting)
        for path in write_charts(opened, output or Path(f"{stem}-charts"), output_format, shown.number):
            typer.echo(path)
    typer.echo(shown, err=True)


def verify(warehouse: WarehouseFile = DEFAULT_WAREHOUSE) -> None:
    """Check that the warehouse is whole: nothing missing, doubled or contradicting itself."""
    from neuronlake.sql import verify as checks
    from neuronlake.sql.opening import open_warehouse

    with open_warehouse(warehouse, allow_files=False) as opened, progress_bars() as progress:
        faults = checks.verify(opened, progress)
    for fault in faults:
        typer.echo(fault)
    if faults:
        again = hints.command("cli ingest", warehouse)
        typer.echo(f"error: {warehouse} is not whole; go back to a copy, or make it again with `{again}`", err=True)
        raise typer.Exit(1)
    typer.echo(f"{warehouse} is whole", err=True)


def import_labels(
    path: Annotated[
        Path,
        typer.Argument(
            help="A csv file with layer, unit, description, or a result file of NetDissect or Linear Explanations; a "
            "folder of such files; or a saved_activations folder.",
            callback=expanded,
        ),
    ],
    model: Annotated[str | None, typer.Option(help="The network; else from args.txt or the file's name.")] = None,
    method: Annotated[str | None, typer.Option(help="What gave the labels; else from args.txt.")] = None,
    encoder: Annotated[str | None, typer.Option(help="The image-text model; else from args.txt.")] = None,
    concepts: Annotated[
        str | None,
        typer.Option(
            help="Name of the concept set; else from args.txt. With saved activations, the file with the concepts; "
            "there it, the encoder and the probe may have a name before them, as in mine=broden."
        ),
    ] = None,
    probe: Annotated[str | None, typer.Option(help="Name of the images; else from args.txt.")] = None,
    layer: Annotated[str | None, typer.Option(help="The layer, for a file without such a column.")] = None,
    probe_folder: Annotated[
        Path | None, typer.Option(help="The images behind saved activations, as CLIP-Dissect read them.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=IN_FILE",
            help="The name in the file of layer, unit, description or similarity, as unit=neuron; of correlation: how "
            "well each label predicts its unit on images that did not choose it. Repeat for several.",
        ),
    ] = None,
    first_unit: Annotated[int, typer.Option(min=0, help="Number of the first unit in the file.")] = 0,
    wait: Wait = False,
    warehouse: WarehouseFile = DEFAULT_WAREHOUSE,
) -> None:
    """Import what CLIP-Dissect or another method wrote, to ask about it and compare with it."""
    from neuronlake.ingest.importers import activations, labels
    from neuronlake.sql.opening import open_warehouse

    options = labels.ImportOptions(
        model, method, encoder, concepts, probe, layer, probe_folder, pairs("--column", column), first_unit
    )
    command = typed_command()
    with open_warehouse(warehouse, write=True, wait=wait) as opened, progress_bars() as progress:
        if activations.holds_activations(path):
            lines = activations.import_activations(opened, path, options, command, progress).lines()
        else:
            lines = labels.describe(labels.import_labels(opened, path, options, command, progress))
    for line in lines:
        typer.echo(line, err=True)


def write_page(warehouse: Path, page: Path, setting: str | None) -> None:
    """Write the page and say where it is."""
    from neuronlake.reports.page import write_report
    from neuronlake.sql.opening import open_warehouse

    with open_warehouse(warehouse, allow_files=False) as opened:
        write_report(opened, page, setting)
    if page.is_file():  # and no device, such as /dev/stdout
        typer.echo(f"wrote {page} ({page.stat().st_size / 1e6:.1f} MB)", err=True)
