"""The warehouse as an app in the browser."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from neuronlake.commands.options import DEFAULT_WAREHOUSE, Setting, WarehouseFile, expanded


def explore(
    edit: Annotated[
        bool, typer.Option("--edit", help="Open the app's notebook as a file of your own, to change it.")
    ] = False,
    notebook: Annotated[
        Path, typer.Option("--notebook", help="That file, with --edit; made if it is not there.", callback=expanded)
    ] = Path("explore.py"),
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port of this machine; a free one if not given.", show_default=False),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
    setting: Setting = None,
    warehouse: WarehouseFile = DEFAULT_WAREHOUSE,
) -> None:
    """Look into units and images, and ask, in an app in the browser: needs pip install 'neuronlake[explore]'.

    The warehouse is read and never changed; tags that you give to units go to a file beside it. The app answers this
    machine alone, and who has its address with the token. Ctrl-C ends it.
    """
    from neuronlake.commands.terminal import open_address
    from neuronlake.reports.explore import serving

    if edit:
        typer.echo(f"{'editing' if notebook.exists() else 'making'} {notebook}; Ctrl-C ends it", err=True)
        serving.edit(warehouse, notebook)
        return

    def ready(address: str) -> None:
        typer.echo(address)
        typer.echo("Ctrl-C ends it", err=True)
        if not no_browser:
            open_address(address)

    serving.serve(warehouse, port, {} if setting is None else {"setting": setting}, ready)
    sys.stdout.flush()
    # pages that were open have threads of marimo's, which would never end; they only read
    os._exit(0)
