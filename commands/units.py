"""One unit: what it stands for, and what its label predicts of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuronlake.commands.options import DEFAULT_WAREHOUSE, Setting, UsageError, WarehouseFile
from neuronlake.commands.terminal import open_quietly

Model = Annotated[str, typer.Argument(help="Name of the model.")]
Layer = Annotated[str, typer.Argument(help="Name of the layer.")]
Number = Annotated[int, typer.Argument(min=0, metavar="unit", help="Number of the unit, from 0.")]
# false alarms, and misses, in a row of the page
_SHOWN = 7
OpenPage = Annotated[bool, typer.Option("--open", help="Show it as a page in the browser.")]


def unit(
    model: Model,
    layer: Layer,
    number: Number,
    open_page: OpenPage = False,
    setting: Setting = None,
    warehouse: WarehouseFile = DEFAULT_WAREHOUSE,
) -> None:
    """One unit: its label, its best concepts, its top images."""
    from neuronlake.reports.tables import print_unit
    from neuronlake.reports.units.card import read_unit
    from neuronlake.reports.units.predictions import read_simulation
    from neuronlake.sql.opening import open_warehouse

    with open_warehouse(warehouse, allow_files=False) as opened:
        card = read_unit(opened, model, layer, number, setting)
        print_unit(card)
        if open_page:
            from neuronlake.reports.units.page import write_unit_page

            simulation = read_simulation(opened, model, layer, number, card.setting.number, _SHOWN)
            page = _new_page("unit.html")
            write_unit_page(opened, card, page, simulation)
            _show(page)


def simulate(
    model: Model,
    layer: Layer,
    number: Number,
    top: Annotated[int, typer.Option(min=1, help="How many false alarms, and how many misses.")] = _SHOWN,
    open_page: OpenPage = False,
    output_format: Annotated[
        str | None,
        typer.Option("--format", help="Print all images: table, csv, json, md or parquet.", show_default=False),
    ] = None,
    setting: Setting = None,
    warehouse: WarehouseFile = DEFAULT_WAREHOUSE,
) -> None:
    """What a unit's label predicts of the images, against what the unit does: where is the label wrong?

    False alarms are images that the label predicts high and the unit has low, misses the other way round; of the 5 %
    that each has highest. They show what the label says too much, and what it lacks.
    """
    from neuronlake.reports import tables
    from neuronlake.reports.units.card import read_unit
    from neuronlake.reports.units.predictions import SimulationError, read_simulation
    from neuronlake.sql.opening import open_warehouse

    if open_page and output_format:
        raise UsageError("choose --open or --format: a page, or all images for another program")
    shape = tables.chosen_format(output_format)
    with open_warehouse(warehouse, allow_files=False) as opened:
        card = read_unit(opened, model, layer, number, setting)
        simulation = read_simulation(opened, model, layer, number, card.setting.number, top)
    if simulation.lack:
        raise SimulationError(simulation.lack)
    if output_format:
        typer.echo(card.setting, err=True)
        tables.print_frame(simulation.images, shape, simulation.images.height)
        return
    tables.print_simulation(card, simulation)
    if open_page:
        from neuronlake.reports.units.page import write_simulation_page

        page = _new_page("simulation.html")
        write_simulation_page(card, page, simulation)
        _show(page)


def _new_page(name: str) -> Path:
    """A file of this name in a folder of its own."""
    import tempfile

    return Path(tempfile.mkdtemp(prefix="neuronlake-")) / name


def _show(page: Path) -> None:
    """A page in the browser, and where it lies."""
    typer.echo(page)
    open_quietly(page)
