"""What training changed: compare."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from neuronlake.commands.options import DEFAULT_WAREHOUSE, Device, OutputFormat, Wait, WarehouseFile, existing
from neuronlake.commands.terminal import progress_bars, resumable, typed_command
from neuronlake.sql import hints


def compare(
    model_a: Annotated[str, typer.Argument(help="Name of the model before, such as an earlier checkpoint.")],
    model_b: Annotated[str, typer.Argument(help="Name of the model after.")],
    layers: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER|LAYER_A=LAYER_B,...",
            help="Layers with commas between; all whose name both have if not given.",
            show_default=False,
        ),
    ] = None,
    probe: Annotated[
        str | None,
        typer.Option(help="Name of the probe; the newest that both layers have seen if not given.", show_default=False),
    ] = None,
    device: Device = None,
    output_format: OutputFormat = None,
    wait: Wait = False,
    warehouse: WarehouseFile = DEFAULT_WAREHOUSE,
) -> None:
    """Two models, unit by unit: which units are the same, which moved, died or appeared, and what became of labels.

    Units are one where their activations over the same images correlate most. Layers are compared once; all is kept in
    the views unit_matches, label_changes and concept_flow.
    """
    from neuronlake.ingest.comparing.compare import compare as run
    from neuronlake.reports import tables
    from neuronlake.sql.opening import open_warehouse

    shape = tables.chosen_format(output_format)
    with (
        resumable(warehouse),
        open_warehouse(existing(warehouse), write=True, wait=wait) as opened,
        progress_bars() as progress,
    ):
        done = run(
            opened,
            model_a,
            model_b,
            layers=layers or (),
            probe=probe,
            device=device or "auto",
            progress=progress,
            command=typed_command(),
        )
        asked = {"model_a": model_a, "model_b": model_b}
        if done.setting is not None:
            asked |= {"setting": str(done.setting)}
        by_layer = opened.query("changes_by_layer", **asked).pl()
        concepts = opened.query("concepts_gained_and_lost", top="5", **asked).pl()
        counted = "labels that hold" if by_layer["same_held"].count() else "all labels"
        if concepts.is_empty():
            concepts = opened.query("concepts_gained_and_lost", top="5", all_labels="true", **asked).pl()
            counted = "all labels"
    if done.compared_layers:
        said = f"{done.compared_layers} of {done.layers} layers compared in {done.seconds:.0f} s, into {warehouse}"
        typer.echo(said, err=True)
    else:
        typer.echo(f"nothing to compare: {warehouse} holds all of it", err=True)
    for note in done.notes:
        typer.echo(f"note: {note}", err=True)
    if done.setting is None:
        score = hints.command(f"cli score --model {model_a} --model {model_b}", warehouse)
        typer.echo(f"note: no setting labels both, so only correlations are known; `{score}` labels them", err=True)
        typer.echo(f"next: {hints.command('cli sql unit_matches', warehouse)}", err=True)
        return
    tables.print_frame(by_layer, shape, by_layer.height)
    if shape == "table" and not concepts.is_empty():
        shown = concepts.select("concept", "category", before="units_a", now="units_b", gained="gained", lost="lost")
        console = tables.output_console()
        console.print(f"\nconcepts gained and lost most, counting {counted}", style="italic", highlight=False)
        console.print(tables.terminal_table(shown))
    for row in by_layer.iter_rows(named=True):
        kept = "by number" if row["is_by_number"] else "by activations alone, for numbers do not mean the same in both"
        typer.echo(f"units of {row['layer']} are paired {kept}", err=True)
    _say_next(asked, warehouse, has_moved=by_layer["moved"].sum() > 0)


def _say_next(asked: dict[str, str], warehouse: Path, *, has_moved: bool) -> None:
    """What to ask of a comparison."""
    given = shlex.join(f"{name}={value}" for name, value in asked.items())
    questions = (f"cli sql most_changed_units {given}", f"cli sql concepts_gained_and_lost {given} top=50")
    if has_moved:
        questions += ("cli sql \"select * from label_changes where change = 'moved'\"",)
    ask = "\n".join(f"  {hints.command(question, warehouse)}" for question in questions)
    typer.echo(f"ask next:\n{ask}", err=True)
