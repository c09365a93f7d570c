"""Label files of CLIP-Dissect and other methods, as scorings like any other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

import neuronlake
from neuronlake.ingest.concepts import concept_sets
from neuronlake.ingest.importers.label_files import (
    UNKNOWN,
    ImportedFileError,
    ImportOptions,
    LabelRow,
    model_of_name,
    read_label_file,
)
from neuronlake.ingest.networks.known_by_name import layer_positions
from neuronlake.sql.store import concepts, runs, scorings
from neuronlake.sql.store.encoders import register_encoder
from neuronlake.sql.store.layers import Layer, layer_of_name, model_of, move_later, register_layer, register_model
from neuronlake.sql.store.names import Entry
from neuronlake.sql.store.probes import register_named_probe
from neuronlake.sql.store.scorings import ScoringRow
from neuronlake.sql.warehouse import Warehouse

# what CLIP-Dissect's args.txt says in a word, beside target_layers
_NAMES_IN_ARGS = ("target_model", "clip_model", "similarity_fn", "concept_set", "d_probe")


@dataclass(frozen=True)
class ImportedFile:
    """What became of a file."""

    path: Path
    model: str
    layers: int
    units: int
    is_new: bool


def import_labels(
    warehouse: Warehouse, path: Path, options: ImportOptions | None = None, command: str = "import_labels()"
) -> list[ImportedFile]:
    """Import a label file, or all csv files of a folder; each is one transaction.

    Raises:
        ImportedFileError: a file is malformed or contradicts labels that are there; nothing of it is imported.
        NameTakenError: a name stands for something else; nothing of the file is imported.
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
    return [_import_file(warehouse, file, options, command) for file in files]


def _import_file(warehouse: Warehouse, path: Path, options: ImportOptions, command: str) -> ImportedFile:
    """One file, all or nothing."""
    file = read_label_file(path, options)
    layers: dict[str, list[LabelRow]] = {}
    for row in file.rows:
        layers.setdefault(row.layer, []).append(row)
    filled = _fill(path, options, file.defaults, set(layers))
    with warehouse.transaction():
        new = list(_new_scorings(warehouse, path, filled, layers))
        if new:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            recipe = {"imported": str(path), "sha256": digest}
            run_id = runs.record_import(warehouse, command, neuronlake.__version__, recipe)
            categories = {each.text: each.category for each in concept_sets.load_concepts(("broden",)).concepts}
            for scoring in new:
                _insert(warehouse, scoring, run_id, categories)
    return ImportedFile(path, filled.model or UNKNOWN, len(layers), len(file.rows), bool(new))


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


@dataclass(frozen=True)
class _NewScoring:
    """The labels of one layer, which are not there yet; `keys` number what they are of."""

    keys: dict[str, int]
    fingerprint: str
    method: str
    rows: list[LabelRow]


def _new_scorings(
    warehouse: Warehouse, path: Path, options: ImportOptions, layers: dict[str, list[LabelRow]]
) -> Iterator[_NewScoring]:
    """The layers whose labels are not there yet; what the file names is registered.

    Raises:
        ImportedFileError: a layer has fewer units, or other labels under the same settings.
        NameTakenError: a name stands for something else.
    """
    method = str(options.method)
    model_id = _model(warehouse, str(options.model))
    positions = layer_positions(options.model or "")
    setting = {
        "probe_id": register_named_probe(warehouse, _entry("probes", "--probe", options.probe)),
        "encoder_id": register_encoder(
            warehouse, _entry("encoders", "--encoder", options.encoder), "imported", "imported", "float32"
        ),
        "concept_set_id": concepts.register_concept_set(
            warehouse, _entry("concept_sets", "--concepts", options.concepts)
        ),
    }
    for place, (name, rows) in enumerate(layers.items()):
        units = max(row.unit for row in rows) + 1
        layer = Layer(
            model_id, name, f"imported:{options.model}:{name}", positions.get(name, place), units, is_imported=True
        )
        keys = {"layer_id": _layer(warehouse, path, options, layer), **setting}
        fingerprint = hashlib.sha256(repr(("imported", keys, method, rows)).encode()).hexdigest()
        known = scorings.fingerprints_like(warehouse, **keys, method=method)
        if known and fingerprint not in known:
            raise ImportedFileError(
                f"{path}: {name} of {options.model} has other labels under the same settings already; "
                "tell them apart with --concepts, --method, --encoder or --probe"
            )
        if not known:
            yield _NewScoring(keys, fingerprint, method, rows)


def _insert(warehouse: Warehouse, scoring: _NewScoring, run_id: int, categories: dict[str, str]) -> None:
    """The scoring, its labels, and their similarities where the file has them."""
    rows = scoring.rows
    numbers = _join_set(warehouse, scoring.keys["concept_set_id"], rows, categories)
    has_similarity = all(row.similarity is not None for row in rows if row.description)
    units = max(row.unit for row in rows) + 1
    row = ScoringRow(
        fingerprint=scoring.fingerprint,
        run_id=run_id,
        layer_id=scoring.keys["layer_id"],
        probe_id=scoring.keys["probe_id"],
        encoder_id=scoring.keys["encoder_id"],
        concept_set_id=scoring.keys["concept_set_id"],
        labeler="imported",
        method=scoring.method,
        units=units,
        kept_concepts=int(has_similarity),
    )
    scoring_id = scorings.insert_scoring(warehouse, row)
    named = pl.DataFrame(
        {
            "unit": [row.unit for row in rows],
            "concept_id": [numbers.get(row.description or "") for row in rows],
            "similarity": [row.similarity if has_similarity else None for row in rows],
        },
        schema={"unit": pl.Int32, "concept_id": pl.Int32, "similarity": pl.Float32},
    )
    # a unit that the file passes over has no label, as one that it leaves blank
    every = pl.DataFrame({"unit": pl.int_range(units, dtype=pl.Int32, eager=True)})
    of_all = every.join(named, on="unit", how="left", maintain_order="left")
    terms = of_all.drop_nulls("concept_id").select("unit", "concept_id")
    scorings.insert_labels(warehouse, scoring_id, of_all.drop("concept_id"), terms)
    if has_similarity:
        scorings.insert_similarities(warehouse, scoring_id, of_all.drop_nulls())


def _layer(warehouse: Warehouse, path: Path, options: ImportOptions, layer: Layer) -> int:
    """The number of the layer of that name, of the model of that name, whether computed here or imported before."""
    found = layer_of_name(warehouse, layer.model_id, layer.name)
    if found is None:
        return register_layer(warehouse, layer)[0]
    number, known = found
    if known.units < layer.units:
        raise ImportedFileError(
            f"{path} has labels for {layer.units} units of {layer.name}, and {layer.name} of {options.model} has "
            f"{known.units}"
        )
    # a file with more of the layers knows their order better
    move_later(warehouse, number, layer.position)
    return number


def _model(warehouse: Warehouse, name: str) -> int:
    """The model of that name, whether computed here or imported: the user says that the labels are of it."""
    known = model_of(warehouse, name=name)
    return register_imported_model(warehouse, name, f"imported:{name}") if known is None else known


def register_imported_model(warehouse: Warehouse, name: str, fingerprint: str) -> int:
    """The number of a model of which nothing is known but what was imported.

    Raises:
        NameTakenError: another has its name.
    """
    entry = Entry("models", name, fingerprint, name, lambda new: f"--model {new}")
    return register_model(warehouse, entry, "imported", "imported", is_random=False)


def _entry(table: str, option: str, name: str | None) -> Entry:
    """What is known by its name alone; it never passes for something of the same name that was computed here."""
    shown = f"{name} (imported)"
    return Entry(table, shown, f"imported:{name}", str(name), lambda new: f"{option} {new}")


def _join_set(
    warehouse: Warehouse, concept_set_id: int, rows: list[LabelRow], categories: dict[str, str]
) -> dict[str, int]:
    """Numbers of the labels, which join the concept set: of an imported one, only its labels are known."""
    texts = list(dict.fromkeys(row.description for row in rows if row.description))
    numbers = concepts.register_concepts(warehouse, texts)
    given = {row.description: row.category for row in reversed(rows)}
    members = pl.DataFrame(
        {"concept_id": numbers, "category": [given.get(text) or categories.get(text, "none") for text in texts]},
        schema={"concept_id": pl.Int32, "category": pl.String},
    )
    concepts.add_members(warehouse, concept_set_id, members)
    return dict(zip(texts, numbers, strict=True))


def describe(imported: list[ImportedFile]) -> Iterator[str]:
    """One line a file, for a terminal."""
    for each in imported:
        if each.is_new:
            yield f"{each.path}: {each.units} labels of {each.layers} layers of {each.model}"
        else:
            yield f"{each.path}: nothing to do, its labels are there already"
