"""Label files of CLIP-Dissect and other methods, as scorings like any other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import neuronlake
from neuronlake.ingest.devices import resolve_device
from neuronlake.ingest.importers.label_files import (
    UNKNOWN,
    ImportedFileError,
    ImportOptions,
    LabelRow,
    model_of_name,
    read_label_file,
)
from neuronlake.ingest.importers.label_scorings import scorings_of, store
from neuronlake.ingest.judging.stored import judge_stored
from neuronlake.ingest.machines.local import LocalMachine
from neuronlake.sql.store import runs, scorings
from neuronlake.sql.warehouse import Warehouse
from neuronlake.sql.words import Progress, no_progress

# what CLIP-Dissect's args.txt says in a word, beside target_layers
_NAMES_IN_ARGS = ("target_model", "clip_model", "similarity_fn", "concept_set", "d_probe")


@dataclass(frozen=True)
class ImportedFile:
    """What became of a file.

    Attributes:
        is_new: labels of a layer were not there.
        is_mended: labels were there as older versions read them, see `LabelRow.as_read_at_first`.
        correlations: how many came in for labels of whose layer there were none, or others.
        has_new_pixels: how many pixels labels and units have in common was not there, or not so.
        notes: what could not be judged, and why.
    """

    path: Path
    model: str
    layers: int
    units: int
    is_new: bool
    is_mended: bool = False
    correlations: int = 0
    has_new_pixels: bool = False
    notes: tuple[str, ...] = ()


def import_labels(
    warehouse: Warehouse,
    path: Path,
    options: ImportOptions | None = None,
    command: str = "import_labels()",
    progress: Progress = no_progress,
) -> list[ImportedFile]:
    """Import a label file, or all csv files of a folder, in one transaction.

    Labels of a layer whose activations are there are judged by them.

    Raises:
        ImportedFileError: a file is malformed or contradicts labels that are there, or its correlations would take the
            place of what was measured here; nothing is imported.
        NameTakenError: a name stands for something else; nothing is imported.
    """
    if path.is_dir():
        files = sorted(file for file in path.glob("*.csv") if file.is_file())
        if not files:
            raise ImportedFileError(f"{path} holds nothing to import; it needs label files (.csv) or activations (.pt)")
    elif path.is_file():
        files = [path]
    else:
        raise ImportedFileError(f"there is no label file {path}; name a csv file, or a folder that holds some")
    options = options or ImportOptions()
    if options.probe_folder:
        raise ImportedFileError(f"{path} holds labels; --probe-folder is about saved activations")
    with warehouse.transaction():
        return [_import_file(warehouse, file, options, command, progress) for file in files]


def _import_file(
    warehouse: Warehouse, path: Path, options: ImportOptions, command: str, progress: Progress
) -> ImportedFile:
    """One file, all or nothing."""
    file = read_label_file(path, options)
    layers: dict[str, list[LabelRow]] = {}
    for row in file.rows:
        layers.setdefault(row.layer, []).append(row)
    filled = _fill(path, options, file.defaults, set(layers))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with warehouse.transaction():
        found = list(scorings_of(warehouse, path, digest, filled, layers))
        changed = [scoring for scoring in found if scoring.changes]
        if changed:
            recipe = {"imported": str(path), "sha256": digest}
            run_id = runs.record_import(warehouse, command, neuronlake.__version__, recipe)
            for scoring in changed:
                store(warehouse, scoring, run_id)
    notes = _judge(warehouse, str(filled.model), tuple(layers), progress) if changed else ()
    figures = [scoring.correlations.drop_nulls() for scoring in found if scoring.correlations is not None]
    return ImportedFile(
        path,
        filled.model or UNKNOWN,
        len(layers),
        len(file.rows),
        is_new=any(scoring.known is None for scoring in found),
        is_mended=any(scoring.labels_change and scoring.known is not None for scoring in found),
        correlations=sum(figure.height for figure in figures),
        has_new_pixels=any(not scoring.overlaps.is_empty() for scoring in found),
        notes=notes,
    )


def _judge(warehouse: Warehouse, model: str, layers: Sequence[str], progress: Progress) -> tuple[str, ...]:
    """Judge the imported labels of these layers that can be and were not."""
    unjudged = scorings.unjudged(warehouse, [model], layers).to_dicts()
    rows = [row for row in unjudged if row["is_imported"] and row["probe_id"] is not None]
    machine = LocalMachine(resolve_device("auto"))
    return judge_stored(warehouse, rows, machine.label, progress)[1] if rows else ()


def _fill(path: Path, options: ImportOptions, defaults: ImportOptions, layers: set[str]) -> ImportOptions:
    """The options, with what goes without saying, what args.txt says and the name of the file."""
    args = {} if defaults.method else _read_args(path, layers)
    model = options.model or model_of_name(path.stem)
    if model is None and "target_model" in args:
        model = model_of_name(args["target_model"]) or f"{args['target_model']}-imagenet"
    if model is None:
        raise ImportedFileError(f"{path} does not say which model it is about; add --model NAME")
    encoder = args["clip_model"].replace("/", "-") + "/openai" if "clip_model" in args else UNKNOWN
    return ImportOptions(
        model=model,
        method=options.method or defaults.method or args.get("similarity_fn", UNKNOWN),
        encoder=options.encoder or defaults.encoder or encoder,
        concepts=options.concepts or defaults.concepts or Path(args.get("concept_set", UNKNOWN)).stem,
        probe=options.probe or defaults.probe or args.get("d_probe", UNKNOWN),
    )


def _read_args(path: Path, layers: set[str]) -> dict[str, str]:
    """What the args.txt beside a file says in names, where it is about just these layers.

    Raises:
        ImportedFileError: it is not what CLIP-Dissect writes.
    """
    file = path.parent / "args.txt"
    try:
        args: Any = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise ImportedFileError(f"{file} is not JSON: {error}") from error
    odd = _odd_argument(args)
    if odd:
        raise ImportedFileError(f"{file} is not as CLIP-Dissect writes it: {odd}; mend it, or move it elsewhere")
    named = {name: args[name] for name in _NAMES_IN_ARGS if name in args}
    return named if set(args.get("target_layers", layers)) == layers else {}


def _odd_argument(args: Any) -> str | None:
    """What in an args.txt is not what it should be."""
    if not isinstance(args, dict):
        return "it holds no object"
    layers: Any = args.get("target_layers", [])
    if not isinstance(layers, list) or not all(_is_name(layer) for layer in layers):
        return "target_layers is no list of names"
    return next((f"{name} is no name" for name in _NAMES_IN_ARGS if name in args and not _is_name(args[name])), None)


def _is_name(value: Any) -> bool:
    """Whether it is a text that can be shown."""
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def describe(imported: list[ImportedFile]) -> Iterator[str]:
    """One line a file, for a terminal."""
    for each in imported:
        if each.is_new:
            line = f"{each.units} labels of {each.layers} layers of {each.model}"
        elif each.is_mended:
            line = (
                "its labels are mended: before, scenes and objects of one name were one concept, and no bias was read"
            )
        elif each.has_new_pixels:
            line = "its labels are there already; the pixels behind them are new"
        elif each.correlations:
            line = "its labels are there already"
        else:
            line = "nothing to do, its labels are there already"
        yield f"{each.path}: {line}" + (f"; {each.correlations} new correlations" if each.correlations else "")
        yield from (f"note: {note}" for note in each.notes)
