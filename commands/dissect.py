"""Networks run and units labelled: ingest, recipe, score, evaluate."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuronlake.commands.options import (
    DEFAULT_WAREHOUSE,
    Address,
    BatchSize,
    Compile,
    Decoder,
    Decoders,
    Device,
    Engine,
    KeepConcepts,
    KeepTogether,
    MaskCategories,
    MaskFolder,
    MaskLabels,
    Method,
    Parameter,
    Precision,
    Prompt,
    Wait,
    WarehouseFile,
    Workers,
    pairs,
    parameters,
)
from neuronlake.commands.terminal import progress_bars, readable_bytes, readable_seconds, resumable, typed_command
from neuronlake.sql import hints

if TYPE_CHECKING:
    from neuronlake.ingest.recipe import Recipe
    from neuronlake.ingest.run import Summary
    from neuronlake.sql.warehouse import Warehouse

# options of ingest that say what to do with a recipe
_NO_SETTINGS = ("recipe", "list_layers", "dry_run", "wait", "warehouse")
_NETWORKS, _IMAGES, _LABELS, _MACHINES = "Networks", "Images", "Labels", "Where it runs"


def ingest(
    recipe: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RECIPE.toml]",
            help="A file with these options, as `cli recipe` prints it; options given here take the place of its own.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]MODEL",
            help="A torchvision classifier as NAME-imagenet or NAME-places365; efficientnet-lite0-imagenet (to 2); "
            "timm:NAME; your own as path/to/file.py:factory or package.module:factory; a TorchScript or torch.export "
            "file (.pt2). Repeat for more.",
            show_default=False,
            rich_help_panel=_NETWORKS,
        ),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(
            help="Layers as named_modules() spells them, with commas between; patterns such as layer4.* or **; "
            "NAME:input for what goes in; NAME[0] for an element of a tuple or dict.",
            show_default=False,
            rich_help_panel=_NETWORKS,
        ),
    ] = None,
    list_layers: Annotated[
        bool,
        typer.Option(
            "--list-layers",
            help="Print the layers of the models and stop; needs only --model.",
            rich_help_panel=_NETWORKS,
        ),
    ] = False,
    pooling: Annotated[
        str | None,
        typer.Option(
            help="How maps and tokens become one number: mean or max, of tokens the class token if there is one; "
            "cls: the class token; patches: the mean of the patches' tokens.",
            show_default="mean",
            rich_help_panel=_NETWORKS,
        ),
    ] = None,
    directions: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAYER=[NAME=]FILE",
            help="Dissect directions in a layer's space: a safetensors or npz file with a units x channels matrix, or "
            "a network from channels to units, as --model takes it. Repeat for more.",
            show_default=False,
            rich_help_panel=_NETWORKS,
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL=FILE",
            help="A local checkpoint for a model.",
            show_default=False,
            rich_help_panel=_NETWORKS,
        ),
    ] = None,
    random_weights: Annotated[
        bool | None,
        typer.Option(
            "--random-weights",
            help="Random weights, for tests and timing.",
            show_default=False,
            rich_help_panel=_NETWORKS,
        ),
    ] = None,
    trust_code: Annotated[
        bool | None,
        typer.Option(
            "--trust-code",
            "--trust-pickle",
            help="Read files that hold code and can run it: TorchScript, torch.export (.pt2), and pickles of more than "
            "tensors.",
            show_default=False,
            rich_help_panel=_NETWORKS,
        ),
    ] = None,
    probe: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]PROBE",
            help="A folder of images, at any depth (a subfolder's name is its images' label); a csv or Parquet list "
            "with a column path; a Parquet file with images; a tar, or shards as shards-{000..003}.tar; "
            "torchvision:CIFAR10@ROOT; or an address as s3://bucket/folder. Repeat to put several together.",
            show_default=False,
            rich_help_panel=_IMAGES,
        ),
    ] = None,
    masks: MaskFolder = None,
    mask_labels: MaskLabels = None,
    mask_categories: MaskCategories = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Look at a random sample of N images; at all if not given.",
            show_default=False,
            rich_help_panel=_IMAGES,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Of the sample of images and of the random units.",
            show_default="0",
            rich_help_panel=_IMAGES,
        ),
    ] = None,
    max_failures: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Give up when more than N images cannot be read; if not given, when more than half of the first "
            "1,000 or all of fewer cannot.",
            show_default=False,
            rich_help_panel=_IMAGES,
        ),
    ] = None,
    concepts: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]CONCEPTS",
            help="imagenet, places365, broden, common:N (the N most frequent English words), or a file: text with one "
            "concept a line, csv or Parquet with columns concept and category (any text). Repeat to join.",
            show_default=False,
            rich_help_panel=_LABELS,
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="[NAME=]ENCODER",
            help="ARCH/PRETRAINED of open_clip, ARCH/path/to/file, your own as path/to/file.py:factory, or conse "
            "(needs no download).",
            show_default="ViT-B-16/openai",
            rich_help_panel=_LABELS,
        ),
    ] = None,
    prompt: Prompt = None,
    method: Method = None,
    parameter: Parameter = None,
    keep_concepts: KeepConcepts = None,
    keep_together: KeepTogether = None,
    device: Device = None,
    precision: Precision = None,
    decoder: Decoder = None,
    decoders: Decoders = None,
    compile: Compile = None,  # noqa: A002  as the recipe calls it
    batch_size: BatchSize = None,
    engine: Engine = None,
    address: Address = None,
    workers: Workers = None,
    spool: Annotated[
        Path | None,
        typer.Option(
            help="Folder that all machines of the cluster share, for chunks on their way; beside the warehouse if not "
            "given. They lie in a folder of their own in it, and nothing else there is touched.",
            show_default=False,
            rich_help_panel=_MACHINES,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print what would be done, how large and how long, and stop."),
    ] = False,
    wait: Wait = False,
    warehouse: WarehouseFile = DEFAULT_WAREHOUSE,
) -> None:
    """Dissect models: images in, activations, similarities and labels into the warehouse.

    The same command again goes on after an interruption, and does nothing once all is there.
    """
    options = locals() | {  # before anything else has a name here
        "parameter": parameters(parameter),
        "directions": [pair for text in directions or [] for pair in pairs("--directions", [text]).items()] or None,
        "weights": pairs("--weights", weights) or None,
    }
    from neuronlake.ingest.recipe import Recipe, read_recipe_file, recipe_of

    settings = {name: value for name, value in options.items() if name not in _NO_SETTINGS}
    chosen = recipe_of(Recipe, read_recipe_file(Recipe, recipe) if recipe else {}, settings)
    if missing := _missing(chosen, only_models=list_layers):
        raise typer.BadParameter(f"Missing option '{missing}'{'' if list_layers else '; see also --list-layers'}")
    if list_layers:
        _print_layers(chosen)
    elif dry_run:
        _print_estimate(chosen, warehouse)
    else:
        summary = run_ingest(warehouse, chosen, wait=wait)
        print_summary(summary, warehouse)
        typer.echo(f"next: {hints.command('cli report', warehouse)}", err=True)


def _takes_concepts(recipe: Recipe) -> bool:
    """Whether a method labels with concepts, and not with the images' own labels; what is unknown is told later."""
    from neuronlake.ingest.labelers.registry import has_embeddings, resolve_scoring
    from neuronlake.ingest.labelers.settings import ScoringError

    try:
        return has_embeddings(resolve_scoring(recipe.method, recipe.parameters))
    except ScoringError:
        return False  # to ask for concepts would hide what is wrong


def _missing(recipe: Recipe, *, only_models: bool) -> str | None:
    """The first option that ingest needs and has not."""
    needed = {
        "--model": recipe.models,
        "--layers": only_models or recipe.layers or recipe.directions,
        "--probe": only_models or recipe.probes,
        "--concepts": only_models or recipe.concepts or not _takes_concepts(recipe),
    }
    return next((name for name, value in needed.items() if not value), None)


def recipe(
    run: Annotated[
        int | None, typer.Argument(help="Number of the run; the newest of ingest if not given.", show_default=False)
    ] = None,
    warehouse: WarehouseFile = DEFAULT_WAREHOUSE,
) -> None:
    """Print the recipe of a run, with every setting, as a file that `cli ingest` takes."""
    from neuronlake.ingest.history import recipe_text
    from neuronlake.sql.opening import open_warehouse

    with open_warehouse(warehouse, allow_files=False) as opened:
        typer.echo(recipe_text(opened, run), nl=False)


def _print_layers(recipe: Recipe) -> None:
    """What can be named as a layer of each model."""
    from neuronlake.ingest.layers.choosing import list_layers
    from neuronlake.ingest.plan import load_models
    from neuronlake.reports import tables

    for model in load_models(recipe):
        typer.echo(f"{model.name}:", err=True)
        found = list_layers(model)
        tables.print_frame(found, tables.chosen_format(None), found.height)


def _print_estimate(recipe: Recipe, warehouse: Path) -> None:
    """What a run would do, as lines for a reader."""
    from neuronlake.ingest.estimate import estimate

    with _to_look_up(warehouse) as opened, progress_bars() as progress:
        found = estimate(recipe, progress, opened)
    units = sum(count for _, _, count in found.layers)
    typer.echo(f"{found.images:,} images, chunks: {found.chunks:,}")
    for model, layer, count in found.layers:
        typer.echo(f"  {model} {layer}: {count:,} units")
    typer.echo(f"{found.activations:,} activations of {units:,} units")
    typer.echo(f"{found.similarities:,} similarities with {found.concepts:,} concepts")
    typer.echo(f"about {readable_bytes(found.stored_bytes)} on disk")
    if found.reused_images:
        typer.echo(
            f"{found.reused_images:,} of {found.images:,} images are reused, as the warehouse has their contents"
        )
    typer.echo(
        f"about {readable_seconds(found.extract_seconds)} for the images, "
        f"up to {readable_seconds(found.score_seconds)} for the scores"
    )
    typer.echo("nothing was written; what the warehouse holds already is not done again")
    for note in found.notes:
        typer.echo(f"note: {note}", err=True)


def _to_look_up(warehouse: Path) -> AbstractContextManager[Warehouse | None]:
    """The warehouse to read, if it is there; where another process writes it, its names go unchecked."""
    from neuronlake.sql.failures import WarehouseError
    from neuronlake.sql.opening import open_warehouse

    if not warehouse.is_file() or warehouse.stat().st_size == 0:
        return nullcontext()
    try:
        return open_warehouse(warehouse, allow_files=False)
    except WarehouseError as error:
        typer.echo(f"note: whether its names are free was not looked up: {error}", err=True)
        return nullcontext()


def run_ingest(warehouse: Path, recipe: Recipe, *, wait: bool) -> Summary:
    """Ingest with progress bars."""
    from neuronlake.ingest.run import ingest as run
    from neuronlake.sql.opening import open_warehouse

    with (
        resumable(warehouse),
        open_warehouse(warehouse, write=True, wait=wait) as opened,
        progress_bars() as progress,
    ):
        return run(opened, recipe, progress, typed_command())


def print_summary(summary: Summary, warehouse: Path) -> None:
    """What the run did, in a few lines on standard error."""
    if summary.did_nothing:
        typer.echo(f"nothing to do: {warehouse} holds all of it", err=True)
    else:
        others = f"{summary.reused_images} reused, " if summary.reused_images else ""
        others += f"{summary.unreadable_images} could not be read, " if summary.unreadable_images else ""
        typer.echo(
            f"{summary.extracted_images} images extracted, {others}{summary.scored_layers} of {summary.layers} "
            f"layers scored in {summary.seconds:.0f} s, into {warehouse}",
            err=True,
        )
    for note in summary.notes:
        typer.echo(f"note: {note}", err=True)
