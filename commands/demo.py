"""What can be seen at once, with nothing of one's own: demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuronlake.commands.dissect import print_summary, run_ingest
from neuronlake.commands.files import write_page
from neuronlake.commands.options import Wait, expanded
from neuronlake.sql import hints


def demo(
    folder: Annotated[Path, typer.Option(help="Where to write demo.duckdb and demo.html.", callback=expanded)] = Path(),
    wait: Wait = False,
) -> None:
    """Dissect two real networks with no network connection, in a minute or two.

    EfficientNet-Lite0 and Lite1 (ImageNet weights from packages), three layers of each, on crops of
    scikit-image's photographs and on drawn pictures: labelled by Network Dissection with the pictures' masks, and
    by CLIP-Dissect with the ConSE encoder. Writes demo.duckdb and demo.html.
    """
    from neuronlake.ingest.demo.recipe import demo_recipes

    folder.mkdir(parents=True, exist_ok=True)
    warehouse, page = folder / "demo.duckdb", folder / "demo.html"
    for recipe in demo_recipes():
        typer.echo(f"method {recipe.method}", err=True)
        print_summary(run_ingest(warehouse, recipe, wait=wait), warehouse)
    write_page(warehouse, page, None)
    questions = (
        "most_repeated_concept",
        "units_for_concept concept=cat",
        '"select model, layer, concept, units from concept_frequency where rank = 1"',
    )
    ask = "\n".join(f"  {hints.command(f'cli sql {question}', warehouse)}" for question in questions)
    by_masks = hints.command("cli report --setting network_dissection --output masks.html", warehouse)
    typer.echo(
        f"open {page} in a browser, or ask:\n{ask}\nwhat the masks show:\n  {by_masks}\n"
        "then with your own images: cli ingest --help",
        err=True,
    )
