"""The command line: commands of `neuronlake.commands`, and what becomes of their errors."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated

import typer

import neuronlake
from neuronlake import NeuronlakeError
from neuronlake.commands import ask, compare, demo, dissect, explore, files, label, share, units

app = typer.Typer(
    name="cli",
    help="Ask with SQL what the units of a vision network have learned.",
    epilog="Start with: cli demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
# where a file or folder was named that is the other, or that is not for this user
_UNUSABLE = (IsADirectoryError, FileExistsError, NotADirectoryError, PermissionError)
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
    except OSError as error:
        if not debug and isinstance(error, _UNUSABLE) and error.filename:
            print(f"error: {error.filename}: {(error.strerror or '').lower()}; name another place", file=sys.stderr)
            sys.exit(1)
        if debug or error.errno not in _FULL_DISK:
            raise
        what = error.filename or "what this command makes"
        print(f"error: {what} cannot be written: {error.strerror}; free some space and run it again", file=sys.stderr)
        sys.exit(1)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"neuronlake {neuronlake.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Ask with SQL what the units of a vision network have learned."""


_INGEST = (
    "Examples: cli ingest --model resnet18-imagenet --model resnet18-places365 --layers layer3,layer4,fc "
    "--probe ~/data/broden1_224/images --concepts common:20000 · cli ingest recipe.toml --dry-run"
)
_IMPORT = (
    "Examples: cli import results/resnet18_places365 · cli import saved_activations --concepts data/20k.txt "
    "--probe-folder data/broden1_224/images · cli import milan.csv --method milan --model "
    "resnet18-imagenet · cli import netdissect_layer4.csv --model resnet18-imagenet --layer layer4 · "
    'cli import le_siglip --method le_siglip --model resnet18-places365 --column "correlation=sim correlation"'
)
app.command(epilog=_INGEST)(dissect.ingest)
app.command(epilog="Examples: cli recipe > recipe.toml · cli recipe 3 -w old.duckdb")(dissect.recipe)
app.command(
    epilog="Examples: cli score --concepts common:20000 · cli score --method cos_similarity_cubed --layers layer4"
)(label.score)
app.command(
    epilog="Examples: cli evaluate resnet18-imagenet fc --truth imagenet · cli evaluate resnet18-imagenet layer4"
)(label.evaluate)
app.command(
    epilog="Examples: cli compare before after · cli compare resnet18 vit --layers layer4=blocks.11 --probe photos"
)(compare.compare)
app.command()(demo.demo)
app.command(
    epilog='Examples: cli sql most_frequent_concepts top=5 · cli sql "select * from layer_summary" --format csv'
)(ask.sql)
app.command()(ask.views)
app.command()(ask.status)
app.command()(files.report)
app.command(epilog='Example: cli find "striped animal" --top 5')(ask.find)
app.command(epilog="Example: cli unit resnet18-imagenet layer4 17")(units.unit)
app.command(epilog="Example: cli simulate resnet18-imagenet layer4 17 --open")(units.simulate)
app.command(epilog="Examples: cli explore · cli explore --edit, for a notebook of your own")(explore.explore)
app.command(epilog="Examples: cli export · cli export --format parquet --output shared")(share.export)
app.command(epilog="Example: cli snapshot copy.duckdb")(share.snapshot)
app.command()(files.verify)
app.command("import", epilog=_IMPORT)(files.import_labels)


if __name__ == "__main__":
    main()
