"""The command line: reads arguments, calls one function, prints."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import neuronlake
from neuronlake import NeuronlakeError

if TYPE_CHECKING:
    from neuronlake.ingest.pipeline import Summary
    from neuronlake.ingest.recipe import Recipe

app = typer.Typer(
    name="cli",
    help="Ask with SQL what the units of a vision network have learned.",
    epilog="Start with: cli demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

WarehouseFile = Annotated[
    Path,
    typer.Option("--warehouse", "-w", envvar="NEURONLAKE_WAREHOUSE", help="The DuckDB file.", show_default=True),
]
DEFAULT_WAREHOUSE = Path("warehouse.duckdb")
OutputFormat = Annotated[
    str | None,
    typer.Option(
        "--format", help="table, csv, json, md or parquet; a table in a terminal, else csv.", show_default=False
    ),
]
Setting = Annotated[
    int | None,
    typer.Option(
        help="The setting to show (`cli sql settings` lists them); the newest if not given.", show_default=False
    ),
]


class UsageError(NeuronlakeError):
    """Arguments that do not fit together."""


def main() -> None:
    """Run the command line; what the user can mend is one line, never a traceback."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        app(args=arguments)
    except NeuronlakeError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        # the reader of our output has gone, as `cli sql ... | head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"neuronlake {neuronlake.__version__}")
        raise typer.Exit


def _query_names() -> list[str]:
    """For tab completion."""
    from neuronlake.sql import catalog

    return [*catalog.queries(), *(view.name for view in catalog.views())]


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Ask with SQL what the units of a vision network have learned."""


@app.command(
    epilog="Example: cli ingest --model resnet18-imagenet --model resnet18-places365 --layers layer3,layer4,fc "
    "--probe ~/data/broden1_224/images --concepts common:20000"
)
def ingest(
    model: Annotated[
        list[str],
        typer.Option(
            metavar="[NAME=]MODEL",
            help="A torchvision classifier as NAME-imagenet or NAME-places365; efficientnet-lite0-imagenet (to 2); "
            "timm:NAME; your own as path/to/file.py:factory or package.module:factory; a TorchScript or torch.export "
            "file (.pt2). Repeat for more.",
        ),
    ],
    layers: Annotated[
        str | None,
        typer.Option(
            help="Layers as named_modules() spells them, with commas between; patterns such as layer4.* or **; "
            "NAME:input for what goes in; NAME[0] for an element of a tuple or dict.",
            show_default=False,
        ),
    ] = None,
    probe: Annotated[
        Path | None,
        typer.Option(
            help="A folder of images, at any depth; a subfolder's name is its images' label.", show_default=False
        ),
    ] = None,
    concepts: Annotated[
        list[str] | None,
        typer.Option(
            help="imagenet, places365, broden, common:N (the N most frequent English words), or a file with one "
            "concept a line. Repeat to join.",
            show_default=False,
        ),
    ] = None,
    list_layers: Annotated[
        bool, typer.Option("--list-layers", help="Print the layers of the models and stop; needs only --model.")
    ] = False,
    encoder: Annotated[
        str,
        typer.Option(help="ARCH/PRETRAINED of open_clip, ARCH/path/to/file, or conse (needs no download)."),
    ] = "ViT-B-16/openai",
    prompt: Annotated[str, typer.Option(help="Text that each concept is put into, at {}.")] = "{}",
    method: Annotated[
        str, typer.Option(help="soft_wpmi, wpmi, rank_reorder, cos_similarity or cos_similarity_cubed.")
    ] = "soft_wpmi",
    parameter: Annotated[list[str] | None, typer.Option(help="A parameter of the method, such as top_k=50.")] = None,
    pooling: Annotated[
        str,
        typer.Option(
            help="How maps and tokens become one number: mean or max, of tokens the class token if there is one; "
            "cls: the class token; patches: the mean of the patches' tokens."
        ),
    ] = "mean",
    directions: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAYER=FILE",
            help="Dissect directions in a layer's space: a safetensors or npz file with a units x channels matrix, or "
            "a network from channels to units, as --model takes it. Repeat for more.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Images in one forward pass; by the device if not given.", show_default=False),
    ] = None,
    weights: Annotated[
        list[str] | None, typer.Option(metavar="MODEL=FILE", help="A local checkpoint for a model.")
    ] = None,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Random weights, for tests and timing.")
    ] = False,
    trust_pickle: Annotated[
        bool, typer.Option("--trust-pickle", help="Read checkpoints that hold more than tensors, and run their code.")
    ] = False,
    keep_concepts: Annotated[
        int | None,
        typer.Option(min=2, help="Store only each unit's N best concepts; all if not given.", show_default=False),
    ] = None,
    warehouse: WarehouseFile = DEFAULT_WAREHOUSE,
) -> None:
    """Dissect models: images in, activations, similarities and labels into the warehouse.

    The same command again goes on after an interruption, and does nothing once all is there.
    """
    from neuronlake.ingest.recipe import Recipe

    onto = tuple(pair for text in directions or [] for pair in _pairs("--directions", [text]).items())
    if not list_layers and (missing := _missing(layers or onto, probe, concepts)):
        raise typer.BadParameter(f"Missing option '{missing}'; without it there is only --list-layers")
    recipe = Recipe(
        models=tuple(model),
        layers=tuple(name.strip() for name in (layers or "").split(",") if name.strip()),
        probe=probe or Path(),
        concepts=tuple(concepts or []),
        encoder=encoder,
        prompt=prompt,
        method=method,
        parameters={name: _number(name, value) for name, value in _pairs("--parameter", parameter).items()},
        pooling=pooling,
        directions=onto,
        device=device,
        batch_size=batch_size,
        weights={name: Path(value).expanduser() for name, value in _pairs("--weights", weights).items()},
        random_weights=random_weights,
        trust_pickle=trust_pickle,
        keep_concepts=keep_concepts,
    )
    if list_layers:
        _print_layers(recipe)
        return
    summary = _run_ingest(warehouse, recipe)
    _print_summary(summary, warehouse)
    typer.echo(f"next: cli report --warehouse {shlex.quote(str(warehouse))}", err=True)


def _missing(layers: object, probe: object, concepts: object) -> str | None:
    """The first option that ingest needs and was not given."""
    given = {"--layers": layers, "--probe": probe, "--concepts": concepts}
    return next((name for name, value in given.items() if not value), None)


def _print_layers(recipe: Recipe) -> None:
    """What can be named as a layer of each model."""
    from neuronlake.ingest.chosen_models import load_models
    from neuronlake.ingest.layers import list_layers
    from neuronlake.reports import tables

    for model in load_models(recipe):
        typer.echo(f"{model.name}:", err=True)
        found = list_layers(model)
        tables.print_frame(found, tables.chosen_format(None), found.height)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where to write demo.duckdb and demo.html.")] = Path(),
) -> None:
    """Dissect two real networks with no network connection, in a minute or two.

    EfficientNet-Lite0 and Lite1 (ImageNet weights from packages), three layers of each, on crops of
    scikit-image's photographs, with the ConSE encoder. Writes demo.duckdb and demo.html.
    """
    from neuronlake.ingest.demo import demo_recipe

    folder.mkdir(parents=True, exist_ok=True)
    warehouse, page = folder / "demo.duckdb", folder / "demo.html"
    summary = _run_ingest(warehouse, demo_recipe())
    _print_summary(summary, warehouse)
    _write_report(warehouse, page, None)
    name = shlex.quote(str(warehouse))
    typer.echo(
        f"open {page} in a browser, or ask:\n"
        f"  cli sql most_repeated_concept -w {name}\n"
        f"  cli sql units_for_concept concept=cat -w {name}\n"
        f'  cli sql "select layer, concept, units from concept_frequency where rank = 1" -w {name}\n'
        "then with your own images: cli ingest --help",
        err=True,
    )


@app.command(
    epilog='Examples: cli sql most_frequent_concepts top=5 · cli sql "select * from layer_summary" --format csv'
)
def sql(
    query: Annotated[
        str | None,
        typer.Argument(
            help="A SELECT, or the name of a query or view; `cli views` lists them.",
            autocompletion=_query_names,
        ),
    ] = None,
    parameters: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Parameters: $KEY in the query.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Read the query from a file.", show_default=False)
    ] = None,
    output_format: OutputFormat = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows of a table in a terminal.")] = 40,
    write: Annotated[bool, typer.Option("--write", help="Allow statements that change the warehouse.")] = False,
    allow_files: Annotated[
        bool, typer.Option("--allow-files", help="Let the query read and write other files.")
    ] = False,
    warehouse: WarehouseFile = DEFAULT_WAREHOUSE,
) -> None:
    """Ask the warehouse: free SQL, a named query, or a file."""
    from neuronlake.reports import tables
    from neuronlake.sql.warehouse import open_warehouse

    shape = tables.chosen_format(output_format)
    # DuckDB hears of Ctrl-C only between its tasks, which can be minutes; to end at once is as safe
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with open_warehouse(warehouse, write=write, allow_files=allow_files) as opened:
        relation = opened.ask(_query_text(query, file), _pairs("a parameter", parameters))
        if relation is not None:
            # a terminal needs one row more than it shows, to know that there are more
            tables.print_frame(relation.limit(limit + 1).pl() if shape == "table" else relation.pl(), shape, limit)


@app.command()
def views(
    name: Annotated[
        str | None,
        typer.Argument(help="A view or query to show in full.", autocompletion=_query_names),
    ] = None,
) -> None:
    """List the views and named queries, or show one with its columns, parameters and SQL."""
    from neuronlake.sql import catalog

    if name is None:
        typer.echo("Views, to select from:")
        for view in sorted(catalog.views(), key=lambda view: view.name):
            typer.echo(f"  {view.name:24} {_first_sentence(view.comment)}")
        typer.echo("\nNamed queries, for cli sql NAME [KEY=VALUE ...]:")
        for query in catalog.queries().values():
            typer.echo(f"  {query.name:24} {_first_sentence(query.comment)}")
        typer.echo("\ncli views NAME shows columns, parameters and SQL.")
        return
    typer.echo(catalog.describe(name))


@app.command()
def status(warehouse: WarehouseFile = DEFAULT_WAREHOUSE) -> None:
    """What is in the warehouse, and which runs made it."""
    from rich.console import Console

    from neuronlake.reports.tables import terminal_table
    from neuronlake.sql.warehouse import open_warehouse

    console = Console(width=None if sys.stdout.isatty() else 200)
    with open_warehouse(warehouse, allow_files=False) as opened:
        console.print(f"{warehouse}: {warehouse.stat().st_size / 1e6:.1f} MB", highlight=False)
        for name in ("contents", "settings", "recent_runs"):
            console.print()
            console.print(terminal_table(opened.query(name).pl(), title=name.replace("_", " ")))


@app.command()
def report(
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The page, or the folder for charts; named after the warehouse if not given.",
            show_default=False,
        ),
    ] = None,
    output_format: Annotated[
        str, typer.Option("--format", help="html: one page; svg, png or csv: each chart or its numbers in a file.")
    ] = "html",
    setting: Setting = None,
    warehouse: WarehouseFile = DEFAULT_WAREHOUSE,
) -> None:
    """Draw one HTML file with charts and units, to open with no network; or each chart for a paper."""
    from neuronlake.sql.warehouse import open_warehouse

    stem = re.sub(r"\.duckdb(\.example)?$", "", warehouse.name)
    if output_format == "html":
        _write_report(warehouse, output or Path(f"{stem}.html"), setting)
        return
    if output_format not in ("svg", "png", "csv"):
        raise UsageError(f"there is no format {output_format!r}; choose html, svg, png or csv")
    from neuronlake.reports.page import write_charts

    with open_warehouse(warehouse, allow_files=False) as opened:
        for path in write_charts(opened, output or Path(f"{stem}-charts"), output_format, setting):
            typer.echo(path)


@app.command(epilog='Example: cli find "striped animal" --top 5')
def find(
    text: Annotated[str, typer.Argument(help="Free text; it need not be in any concept set.")],
    top: Annotated[int, typer.Option(min=1, help="How many units.")] = 10,
    images: Annotated[
        int, typer.Option(min=0, max=20, help="How many of the images that excite each unit most to name.")
    ] = 1,
    output_format: OutputFormat = None,
    setting: Setting = None,
    warehouse: WarehouseFile = DEFAULT_WAREHOUSE,
) -> None:
    """Units that score highest for free text, as if it were one more concept of the set."""
    from neuronlake.ingest.find import find_units
    from neuronlake.reports import tables
    from neuronlake.sql.warehouse import open_warehouse

    shape = tables.chosen_format(output_format)
    with open_warehouse(warehouse) as opened, _progress_bars() as progress:
        found = find_units(opened, text, setting=setting, top=top, images=images, progress=progress)
    tables.print_frame(found, shape, top)


@app.command(epilog="Example: cli unit resnet18-imagenet layer4 17")
def unit(
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    layer: Annotated[str, typer.Argument(help="Name of the layer.")],
    number: Annotated[int, typer.Argument(min=0, help="Number of the unit, from 0.")],
    open_page: Annotated[bool, typer.Option("--open", help="Show it as a page in the browser.")] = False,
    setting: Setting = None,
    warehouse: WarehouseFile = DEFAULT_WAREHOUSE,
) -> None:
    """One unit: its label, its best concepts, its top images."""
    import tempfile

    from neuronlake.reports.tables import print_unit
    from neuronlake.reports.unit import read_unit, write_unit_page
    from neuronlake.sql.warehouse import open_warehouse

    with open_warehouse(warehouse, allow_files=False) as opened:
        card = read_unit(opened, model, layer, number, setting)
    print_unit(card)
    if open_page:
        page = Path(tempfile.mkdtemp(prefix="neuronlake-")) / "unit.html"
        write_unit_page(card, page)
        typer.echo(page)
        typer.launch(page.as_uri())


@app.command()
def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the files.")] = Path("descriptions"),
    setting: Setting = None,
    warehouse: WarehouseFile = DEFAULT_WAREHOUSE,
) -> None:
    """Write a description file per model, with CLIP-Dissect's columns: layer, unit, description, similarity."""
    from neuronlake.reports.export import export_descriptions
    from neuronlake.sql.warehouse import open_warehouse

    with open_warehouse(warehouse, allow_files=False) as opened:
        for path in export_descriptions(opened, output, setting):
            typer.echo(path)


@app.command()
def verify(warehouse: WarehouseFile = DEFAULT_WAREHOUSE) -> None:
    """Check that the warehouse is whole: nothing missing, doubled or contradicting itself."""
    from neuronlake.sql import verify as checks
    from neuronlake.sql.warehouse import open_warehouse

    with open_warehouse(warehouse, allow_files=False) as opened, _progress_bars() as progress:
        faults = checks.verify(opened, progress)
    for fault in faults:
        typer.echo(fault)
    if faults:
        typer.echo(f"error: {warehouse} is not whole; go back to a copy, or make it again with `cli ingest`", err=True)
        raise typer.Exit(1)
    typer.echo(f"{warehouse} is whole", err=True)


@app.command(
    "import",
    epilog="Examples: cli import results/resnet18_places365 · cli import milan.csv --method milan --model "
    "resnet18-imagenet · cli import netdissect.csv --column description=label --first-unit 1 --model alexnet-places365",
)
def import_labels(
    path: Annotated[Path, typer.Argument(help="A csv file with layer, unit, description, or a folder of such files.")],
    model: Annotated[str | None, typer.Option(help="The network; else from args.txt or the file's name.")] = None,
    method: Annotated[str | None, typer.Option(help="What gave the labels; else from args.txt.")] = None,
    encoder: Annotated[str | None, typer.Option(help="The image-text model; else from args.txt.")] = None,
    concepts: Annotated[str | None, typer.Option(help="Name of the concept set; else from args.txt.")] = None,
    probe: Annotated[str | None, typer.Option(help="Name of the images; else from args.txt.")] = None,
    column: Annotated[
        list[str] | None, typer.Option(metavar="NAME=IN_FILE", help="A column's name in the file, as unit=neuron.")
    ] = None,
    first_unit: Annotated[int, typer.Option(min=0, help="Number of the first unit in the file.")] = 0,
    warehouse: WarehouseFile = DEFAULT_WAREHOUSE,
) -> None:
    """Import what CLIP-Dissect or another method wrote, to ask about it and compare with it."""
    from neuronlake.ingest import imported
    from neuronlake.sql.warehouse import open_warehouse

    options = imported.ImportOptions(
        model, method, encoder, concepts, probe, columns=_pairs("--column", column), first_unit=first_unit
    )
    with open_warehouse(warehouse, write=True) as opened:
        for line in imported.describe(
            imported.import_labels(opened, path, options, shlex.join(["cli", *sys.argv[1:]]))
        ):
            typer.echo(line, err=True)


def _run_ingest(warehouse: Path, recipe: Recipe) -> Summary:
    """Ingest with progress bars; Ctrl-C ends with status 130 and a line on how to go on."""
    from neuronlake.ingest.pipeline import ingest as run
    from neuronlake.sql.warehouse import open_warehouse

    command = shlex.join(["cli", *sys.argv[1:]])
    try:
        with open_warehouse(warehouse, write=True) as opened, _progress_bars() as progress:
            return run(opened, recipe, progress, command)
    except KeyboardInterrupt:
        typer.echo("interrupted: what was loaded is kept; run the same command again to go on", err=True)
        raise typer.Exit(130) from None


def _write_report(warehouse: Path, page: Path, setting: int | None) -> None:
    """Write the page and say where it is."""
    from neuronlake.reports.page import write_report
    from neuronlake.sql.warehouse import open_warehouse

    with open_warehouse(warehouse, allow_files=False) as opened:
        write_report(opened, page, setting)
    typer.echo(f"wrote {page} ({page.stat().st_size / 1e6:.1f} MB)", err=True)


def _print_summary(summary: Summary, warehouse: Path) -> None:
    """What the run did, in a few lines on standard error."""
    if summary.did_nothing:
        typer.echo(f"nothing to do: {warehouse} holds all of it", err=True)
    else:
        typer.echo(
            f"{summary.extracted_images} images extracted, {summary.scored_layers} of {summary.layers} layers scored "
            f"in {summary.seconds:.0f} s, into {warehouse}",
            err=True,
        )
    for note in summary.notes:
        typer.echo(f"note: {note}", err=True)


@contextmanager
def _progress_bars() -> Generator[Callable[[str, int, int], None]]:
    """One bar for each stage, on standard error; none where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    bars: dict[str, TaskID] = {}
    columns = (TextColumn("{task.description:20}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as display:

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = display.add_task(stage, total=total)
            display.update(bars[stage], completed=done, total=total)

        yield progress


def _pairs(what: str, texts: list[str] | None) -> dict[str, str]:
    """KEY=VALUE texts as a dict."""
    pairs: dict[str, str] = {}
    for text in texts or []:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise UsageError(f"{what} is written KEY=VALUE, not {text!r}")
        pairs[name] = value
    return pairs


def _number(name: str, text: str) -> int | float:
    """A parameter's value."""
    try:
        return int(text) if re.fullmatch(r"-?\d+", text) else float(text)
    except ValueError:
        raise UsageError(f"--parameter {name} takes a number, not {text!r}") from None


def _query_text(query: str | None, file: Path | None) -> str:
    """The query as given, or from a file."""
    if (query is None) == (file is None):
        raise UsageError("give a query, or a file with -f; `cli views` lists what can be asked by name")
    if file is None:
        return query or ""
    if not file.is_file():
        raise UsageError(f"there is no file {file}")
    return file.read_text(encoding="utf-8")


def _first_sentence(text: str) -> str:
    """A comment up to its first full stop or question mark."""
    return re.split(r"(?<=[.?])\s", text)[0]
