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
from neuronlake.ingest.names import Entry
from neuronlake.ingest.networks.known_by_name import layer_positions
from neuronlake.ingest.register import identify
from neuronlake.sql.warehouse import Warehouse, utc_now

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
        writer = _Writer(warehouse, path, filled, command)
        new = [writer.add_layer(place, name, members) for place, (name, members) in enumerate(layers.items())]
    return ImportedFile(path, filled.model or UNKNOWN, len(layers), len(file.rows), any(new))


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


class _Writer:
    """Writes the layers of one file; what the file names is registered as it is met."""

    def __init__(self, warehouse: Warehouse, path: Path, options: ImportOptions, command: str) -> None:
        self._warehouse = warehouse
        self._path = path
        self._options = options
        self._command = command
        self._run_id: int | None = None
        self._positions = layer_positions(options.model or "")
        self._categories = {each.text: each.category for each in concept_sets.load_concepts(("broden",)).concepts}

    def add_layer(self, place: int, name: str, rows: list[LabelRow]) -> bool:
        """One scoring; False where just these labels are there already."""
        options = self._options
        keys = {
            "layer_id": self._layer(place, name, max(row.unit for row in rows) + 1),
            "probe_id": self._named("probes", options.probe, location="imported", images=0, is_imported=True),
            "encoder_id": self._named(
                "encoders", options.encoder, source="imported", source_kind="imported", precision="float32"
            ),
            "concept_set_id": self._named(
                "concept_sets", options.concepts, concepts=0, dropped_duplicates=0, dropped_blanks=0
            ),
        }
        fingerprint = hashlib.sha256(repr(("imported", keys, options.method, rows)).encode()).hexdigest()
        known = self._warehouse.sql(
            "select fingerprint from store.scorings where layer_id = $layer_id and probe_id = $probe_id"
            " and encoder_id = $encoder_id and concept_set_id = $concept_set_id and method = $method",
            method=options.method,
            **keys,
        ).fetchall()
        if (fingerprint,) in known:
            return False
        if known:
            raise ImportedFileError(
                f"{self._path}: {name} of {options.model} has other labels under the same settings already; "
                "tell them apart with --concepts, --method, --encoder or --probe"
            )
        self._insert(fingerprint, keys, rows)
        return True

    def _insert(self, fingerprint: str, keys: dict[str, int], rows: list[LabelRow]) -> None:
        """The scoring, its labels, and their similarities where the file has them."""
        concept_ids = self._concepts(keys["concept_set_id"], rows)
        has_similarity = all(row.similarity is not None for row in rows if row.description)
        scoring_id = self._warehouse.next_id("scorings", "scoring_id")
        units = max(row.unit for row in rows) + 1
        scoring: dict[str, Any] = {
            "scoring_id": scoring_id,
            "fingerprint": fingerprint,
            "run_id": self._run(),
            **keys,
            "labeler": "imported",
            "method": self._options.method,
            "parameters": "{}",
            "changed_parameters": "",
            "prompts": ["{}"],
            "images": 0,
            "units": units,
            "null_draws": 0,
            "seed": 0,
            "kept_concepts": int(has_similarity),
        }
        self._warehouse.insert("scorings", pl.DataFrame([scoring]))
        named = pl.DataFrame(
            {
                "unit": [row.unit for row in rows],
                "concept_id": [concept_ids.get(row.description or "") for row in rows],
                "similarity": [row.similarity if has_similarity else None for row in rows],
            },
            schema={"unit": pl.Int32, "concept_id": pl.Int32, "similarity": pl.Float32},
        )
        # a unit that the file passes over has no label, as one that it leaves blank
        every = pl.DataFrame({"unit": pl.int_range(units, dtype=pl.Int32, eager=True)})
        labels = every.join(named, on="unit", how="left", maintain_order="left")
        self._warehouse.insert("labels", labels.drop("concept_id"), scoring_id=scoring_id)
        terms = labels.drop_nulls("concept_id").select("unit", "concept_id").with_columns(position=0, weight=1.0)
        self._warehouse.insert("label_terms", terms, scoring_id=scoring_id)
        if has_similarity:
            self._warehouse.insert("similarities", labels.drop_nulls(), scoring_id=scoring_id)

    def _layer(self, place: int, name: str, units: int) -> int:
        """The layer of that name, of the model of that name, whether computed here or imported before."""
        model = self._options.model
        model_id = self._model()
        position = self._positions.get(name, place)
        found = self._warehouse.sql(
            "select layer_id, units from store.layers where model_id = $model_id and name = $name",
            model_id=model_id,
            name=name,
        ).fetchall()
        if found:
            if found[0][1] < units:
                raise ImportedFileError(
                    f"{self._path} has labels for {units} units of {name}, and {name} of {model} has {found[0][1]}"
                )
            # a file with more of the layers knows their order better
            self._warehouse.execute(
                "update store.layers set position = greatest(position, $position)"
                " where layer_id = $layer_id and is_imported",
                layer_id=found[0][0],
                position=position,
            )
            return found[0][0]
        layer_id = self._warehouse.next_id("layers", "layer_id")
        row = {
            "layer_id": layer_id,
            "model_id": model_id,
            "name": name,
            "fingerprint": f"imported:{model}:{name}",
            "position": position,
            "units": units,
            "pooling": "mean",
            "precision": "float32",
            "is_imported": True,
        }
        self._warehouse.insert("layers", pl.DataFrame([row]))
        return layer_id

    def _model(self) -> int:
        """The model of that name, whether computed here or imported: the user says that the labels are of it."""
        name = str(self._options.model)
        known = self._warehouse.scalar("select model_id from store.models where name = $name", name=name)
        if known is not None:
            return int(known)
        entry = Entry("models", name, f"imported:{name}", name, lambda new: f"--model {new}")
        return identify(self._warehouse, entry, source="imported", source_kind="imported", is_random=False)

    def _named(self, table: str, name: str | None, **columns: Any) -> int:
        """What is known by its name alone; it never passes for something of the same name that was computed here."""
        option = {"probes": "--probe", "encoders": "--encoder", "concept_sets": "--concepts"}[table]
        shown = f"{name} (imported)"
        entry = Entry(table, shown, f"imported:{name}", str(name), lambda new: f"{option} {new}")
        return identify(self._warehouse, entry, **columns)

    def _concepts(self, concept_set_id: int, rows: list[LabelRow]) -> dict[str, int]:
        """Numbers of the labels, which join the concept set: of an imported one, only its labels are known."""
        texts = list(dict.fromkeys(row.description for row in rows if row.description))
        numbers: dict[str, int] = dict(
            self._warehouse.sql("select concept, concept_id from store.concepts").pl().iter_rows()
        )
        new = [text for text in texts if text not in numbers]
        first = self._warehouse.next_id("concepts", "concept_id")
        numbers.update({text: first + place for place, text in enumerate(new)})
        if new:
            self._warehouse.insert("concepts", pl.DataFrame({"concept_id": [numbers[t] for t in new], "concept": new}))
        members = self._warehouse.sql(
            "select concept_id from store.concept_set_concepts where concept_set_id = $id", id=concept_set_id
        ).fetchall()
        given = {row.description: row.category for row in reversed(rows)}
        joining = [text for text in texts if (numbers[text],) not in members]
        if joining:
            frame = pl.DataFrame(
                {
                    "position": range(len(members), len(members) + len(joining)),
                    "concept_id": [numbers[text] for text in joining],
                    "category": [given.get(text) or self._categories.get(text, "none") for text in joining],
                }
            )
            self._warehouse.insert("concept_set_concepts", frame, concept_set_id=concept_set_id)
            self._warehouse.execute(
                "update store.concept_sets set concepts = $concepts where concept_set_id = $id",
                concepts=len(members) + len(joining),
                id=concept_set_id,
            )
        return {text: numbers[text] for text in texts}

    def _run(self) -> int:
        """A finished run that records where the labels came from."""
        if self._run_id is None:
            self._run_id = self._warehouse.next_id("runs", "run_id")
            digest = hashlib.sha256(self._path.read_bytes()).hexdigest()
            recipe = {"imported": str(self._path), "sha256": digest}
            record_import(self._warehouse, self._run_id, self._command, recipe)
        return self._run_id


def record_import(warehouse: Warehouse, run_id: int, command: str, recipe: dict[str, Any]) -> None:
    """A finished run that says where imported rows came from."""
    warehouse.execute(
        "insert into store.runs (run_id, command, status, started_at, finished_at, device, versions, recipe)"
        " values ($run_id, $command, 'finished', $at, $at, 'none', $versions, $recipe)",
        run_id=run_id,
        command=command,
        at=utc_now(),
        versions=json.dumps({"neuronlake": neuronlake.__version__}),
        recipe=json.dumps(recipe),
    )


def describe(imported: list[ImportedFile]) -> Iterator[str]:
    """One line a file, for a terminal."""
    for each in imported:
        if each.is_new:
            yield f"{each.path}: {each.units} labels of {each.layers} layers of {each.model}"
        else:
            yield f"{each.path}: nothing to do, its labels are there already"
