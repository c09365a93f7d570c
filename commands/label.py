"""Labels made again from what is stored, and how far to trust them: score, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuronlake.commands.options import (
    DEFAULT_WAREHOUSE,
    Address,
    Device,
    Engine,
    KeepConcepts,
    Method,
    OutputFormat,
    Parameter,
    Prompt,
    TrustCode,
    UsageError,
    Wait,
    WarehouseFile,
    Workers,
    existing,
    expanded,
    parameters,
)
from neuronlake.commands.terminal import progress_bars, resumable, typed_command
from neuronlake.sql import hints

if TYPE_CHECKING:
    from neuronlake.ingest.judging.evaluate import Evaluation


# what is no setting of a recipe
_NO_SETTINGS = ("wait", "warehouse")


def score(
    model: Annotated[
        list[str] | None, typer.Option(help="A model in the warehouse; all if not given. Repeat for more.")
    ] = None,
    layers: Annotated[
        str | None, typer.Option(help="Layers with commas between; all if not given.", show_default=False)
    ] = None,
    probe: Annotated[str | None, typer.Option(help="Name of the probe; the newest if not given.")] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="Name of the encoder, or where it is, as ingest takes it; the newest if not given."),
    ] = None,
    trust_code: TrustCode = None,
    concepts: Annotated[
        list[str] | None, typer.Option(help="As for ingest; those of the newest scoring if not given.")
    ] = None,
    prompt: Prompt = None,
    method: Method = None,
    parameter: Parameter = None,
    keep_concepts: KeepConcepts = None,
    keep_together: Annotated[
        str | None,
        typer.Option(
            metavar="image|label",
            help="As for ingest; as the probe's labels were judged last if not given.",
            show_default=False,
            rich_help_panel="Labels",
        ),
    ] = None,
    fidelity: Annotated[
        bool | None,
        typer.Option(
            "--fidelity",
            help="Only judge the labels that are there and were not judged: how well each predicts its unit.",
            show_default=False,
        ),
    ] = None,
    device: Device = None,
    engine: Engine = None,
    address: Address = None,
    workers: Workers = None,
    wait: Wait = False,
    warehouse: WarehouseFile = DEFAULT_WAREHOUSE,
) -> None:
    """Score stored activations again, with other concepts, method or parameters; no image is looked at.

    The same settings twice do nothing; each result stands beside the old ones as a setting of its own. With --fidelity
    no label is made: those that are there are judged, of any setting and of other tools too.
    """
    options = locals() | {"parameter": parameters(parameter)}  # before anything else has a name here
    from neuronlake.ingest.recipe import ScoreRecipe, recipe_of
    from neuronlake.ingest.score import score as run
    from neuronlake.sql.opening import open_warehouse

    recipe = recipe_of(ScoreRecipe, {name: value for name, value in options.items() if name not in _NO_SETTINGS})
    with (
        resumable(warehouse),
        open_warehouse(existing(warehouse), write=True, wait=wait) as opened,
        progress_bars() as progress,
    ):
        summary = run(opened, recipe, progress, typed_command())
    if summary.scored_layers:
        what = "judged" if fidelity else "scored"
        done = f"{summary.scored_layers} of {summary.layers} layers {what} in {summary.seconds:.0f} s"
        typer.echo(f"{done}, into {warehouse}", err=True)
    elif fidelity:
        typer.echo(f"nothing more to judge in {warehouse}", err=True)
    else:
        typer.echo(f"nothing to do: {warehouse} holds all of it", err=True)
    for note in summary.notes:
        typer.echo(f"note: {note}", err=True)


def evaluate(
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    layer: Annotated[str, typer.Argument(help="Name of the layer.")],
    truth: Annotated[
        str | None,
        typer.Option(
            help="The units' true names: imagenet, places365, a file with one name a line, or a csv file with "
            "columns unit and name. Or probe: the images' own labels, each the name of the unit that prefers it most "
            "(AUC of at least 0.95 against the other images, five images or more) and prefers no other label more. "
            "WordNet ids of ImageNet count as names.",
            show_default=False,
        ),
    ] = None,
    setting: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER|METHOD",
            help="One setting; all that the layer was scored under if not given.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="With --truth, where to draw the share of right labels against their confidence: .html, .svg or .png.",
            show_default=False,
            callback=expanded,
        ),
    ] = None,
    device: Device = None,
    output_format: OutputFormat = None,
    wait: Wait = False,
    warehouse: WarehouseFile = DEFAULT_WAREHOUSE,
) -> None:
    """How far a layer's labels can be trusted: against true names, or verified on the other half of the probe.

    With true names, units count whose class has images in the probe, where the images' labels tell. Each value has a
    bootstrap 95 % interval over the units. All is kept in the view `evaluations`.
    """
    from neuronlake.ingest.judging.evaluate import evaluate_layer
    from neuronlake.reports import tables
    from neuronlake.sql.opening import open_warehouse

    shape = tables.chosen_format(output_format)
    _check_diagram(output, truth)
    with open_warehouse(existing(warehouse), write=True, wait=wait) as opened, progress_bars() as progress:
        found = evaluate_layer(
            opened, model, layer, truth=truth, setting=setting, device=device or "auto", progress=progress
        )
    measures = found.measures
    table = tables.evaluation_table(measures) if shape in ("table", "md") else measures
    tables.print_frame(table, shape, measures.height)
    for note in found.notes:
        typer.echo(f"note: {note}", err=True)
    if output:
        _draw(output, found, f"{model} {layer} against {truth}", warehouse)


def _check_diagram(output: Path | None, truth: str | None) -> None:
    """Refuse a diagram that there can be none of, before any work is done for it."""
    if output is None:
        return
    from neuronlake.reports.reliability import check_diagram

    if truth is None:
        raise UsageError("--output draws labels against true names; name these with --truth")
    check_diagram(output)


def _draw(output: Path, found: Evaluation, title: str, warehouse: Path) -> None:
    """Write the reliability diagram and say where it is."""
    from neuronlake.reports.reliability import write_diagram

    if found.reliability.is_empty():
        judge = hints.command("cli score --fidelity", warehouse)
        raise UsageError(f"these labels have no confidence to draw; `{judge}` adds it")
    write_diagram(output, found.reliability, found.measures, found.notes, title)
    typer.echo(f"wrote {output}", err=True)
