"""Options that several commands have, or that many words are needed for, and the texts they are given as."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from neuronlake import NeuronlakeError
from neuronlake.sql import hints

DEFAULT_WAREHOUSE = hints.DEFAULT_WAREHOUSE
_IMAGES, _LABELS, _MACHINES = "Images", "Labels", "Where it runs"


def expanded(path: Path | None) -> Path | None:
    """A path with the home folder for its ``~``, which a shell leaves in variables and behind an equals sign."""
    try:
        return path and path.expanduser()
    except RuntimeError as error:
        raise typer.BadParameter(f"there is no such home folder: {path}") from error


WarehouseFile = Annotated[
    Path,
    typer.Option(
        "--warehouse",
        "-w",
        envvar=hints.WAREHOUSE_VARIABLE,
        help="The DuckDB file.",
        show_default=True,
        callback=expanded,
    ),
]
Wait = Annotated[
    bool,
    typer.Option("--wait", help="Where another process holds the warehouse, wait until it ends."),
]
OutputFormat = Annotated[
    str | None,
    typer.Option(
        "--format", help="table, csv, json, md or parquet; a table in a terminal, else csv.", show_default=False
    ),
]
Setting = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBER|METHOD",
        help="The setting to show (`cli sql settings` lists them); the newest if not given.",
        show_default=False,
    ),
]
MaskFolder = Annotated[
    str | None,
    typer.Option(
        metavar="[NAME=]FOLDER",
        help="PNG files that label the pixels of a folder's images, for --method network_dissection: NAME.png or "
        "NAME_seg.png for each image. Broden's folder has its own.",
        show_default=False,
        rich_help_panel=_IMAGES,
    ),
]
MaskLabels = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="What the masks' values mean: a csv file with columns value, concept and category, or COCO's panoptic "
        "json.",
        show_default=False,
        rich_help_panel=_IMAGES,
    ),
]
MaskCategories = Annotated[
    str | None,
    typer.Option(
        help="Categories of the masks' concepts to look at, with commas between, as object,part; all if not given.",
        show_default=False,
        rich_help_panel=_IMAGES,
    ),
]
Prompt = Annotated[
    list[str] | None,
    typer.Option(
        help="Text that each concept is put into, at {}; or openai_7 or openai_80, the prompts CLIP was tested with. "
        "Repeat to average several.",
        show_default="{}",
        rich_help_panel=_LABELS,
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        help="soft_wpmi, wpmi, rank_reorder, cos_similarity or cos_similarity_cubed: one concept a unit, as "
        "CLIP-Dissect finds it; correlation: the one that predicts it best; linear: a sum of a few that predicts it; "
        "network_dissection: the one whose pixels in --masks it covers best, or of whose images it fires on most.",
        show_default="soft_wpmi",
        rich_help_panel=_LABELS,
    ),
]
Parameter = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        help="A parameter of the method, such as top_k=50, concepts=2, signal=cubed or length=3.",
        show_default=False,
        rich_help_panel=_LABELS,
    ),
]
KeepTogether = Annotated[
    str | None,
    typer.Option(
        metavar="image|label",
        help="What is left out together where labels are judged: images of the same content, or of the same label. "
        "A list of images can have a column group for those of one photograph.",
        show_default="image",
        rich_help_panel=_LABELS,
    ),
]
KeepConcepts = Annotated[
    int | None,
    typer.Option(
        min=2,
        help="Store only each unit's N best concepts; all if not given.",
        show_default=False,
        rich_help_panel=_LABELS,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(help="auto, cpu, cuda, cuda:1 or mps.", show_default="auto", rich_help_panel=_MACHINES),
]
Precision = Annotated[
    str | None,
    typer.Option(
        help="float32; or bfloat16 or float16, in which many devices run networks twice as fast, to a few digits.",
        show_default="float32",
        rich_help_panel=_MACHINES,
    ),
]
Compile = Annotated[
    bool | None,
    typer.Option(
        "--compile",
        help="Run networks as torch.compile makes them: many are faster, after up to some minutes for each.",
        show_default=False,
        rich_help_panel=_MACHINES,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Images in one forward pass; by the device if not given.",
        show_default=False,
        rich_help_panel=_MACHINES,
    ),
]
Decoder = Annotated[
    str | None,
    typer.Option(
        help="What decodes JPEGs: pillow; or torchvision, or nvjpeg on a CUDA device, which give other pixels and so "
        "layers of their own.",
        show_default="pillow",
        rich_help_panel=_MACHINES,
    ),
]
Decoders = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Processes that decode images, 0 for threads; as many as cores beside a GPU, else threads, if not given. "
        "Images that a transform of your own cuts are always decoded on threads.",
        show_default=False,
        rich_help_panel=_MACHINES,
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        help="What runs the networks: local, or ray (a cluster).", show_default="local", rich_help_panel=_MACHINES
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        help="Of the Ray cluster, or auto; one is started here if not given.",
        show_default=False,
        rich_help_panel=_MACHINES,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Ray workers; one a GPU, or for two cores, if not given.",
        show_default=False,
        rich_help_panel=_MACHINES,
    ),
]


TrustCode = Annotated[
    bool | None,
    typer.Option(
        "--trust-code",
        "--trust-pickle",
        help="Read files that hold code and can run it: TorchScript, torch.export (.pt2), pickles of more than "
        "tensors, and Python files that only a warehouse names.",
        show_default=False,
    ),
]


class UsageError(NeuronlakeError):
    """Arguments that do not fit together."""


def existing(warehouse: Path) -> Path:
    """The file, which a command that only adds to it must not make anew."""
    if not warehouse.exists():
        raise UsageError(
            f"there is no warehouse at {warehouse}; make one with `{hints.command('cli ingest', warehouse)}`, "
            "or name it with --warehouse"
        )
    return warehouse


def pairs(what: str, texts: list[str] | None) -> dict[str, str]:
    """KEY=VALUE texts as a dict."""
    pairs: dict[str, str] = {}
    for text in texts or []:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise UsageError(f"{what} is written KEY=VALUE, not {text!r}")
        pairs[name] = value
    return pairs


def parameters(texts: list[str] | None) -> dict[str, int | float | str] | None:
    """The parameters of a method; None where none is given."""
    if not texts:
        return None
    return {name: _value(value) for name, value in pairs("--parameter", texts).items()}


def _value(text: str) -> int | float | str:
    """A parameter's value: a number where it is one."""
    try:
        return int(text) if re.fullmatch(r"-?\d+", text) else float(text)
    except ValueError:
        return text
