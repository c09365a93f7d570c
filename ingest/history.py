"""Runs: the record that each leaves in its warehouse, and recipes had back from there to repeat them."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import tomli_w
import torch

import neuronlake
from neuronlake.ingest.devices import device_name
from neuronlake.ingest.names import split_name
from neuronlake.ingest.plan import Plan
from neuronlake.ingest.probes.locations import is_address
from neuronlake.ingest.probes.probe import split_probe
from neuronlake.ingest.probes.torchvision_datasets import absolute_root, is_dataset
from neuronlake.ingest.recipe import Recipe, RecipeError, ScoreRecipe
from neuronlake.sql.store import runs
from neuronlake.sql.warehouse import Warehouse

_VERSIONED = ("torch", "torchvision", "open-clip-torch", "duckdb", "numpy", "polars", "pyarrow")


@dataclass
class Timing:
    """Seconds of each stage; loading runs beside extraction."""

    extract: float = 0.0
    load: float = 0.0
    score: float = 0.0


@contextmanager
def recorded_run(
    warehouse: Warehouse, command: str, device: torch.device, recipe: str
) -> Generator[tuple[int, Timing]]:
    """A row in `runs` that says how it ended; a run that was killed is called interrupted by the next one.

    Within the block DuckDB keeps few pages, since tensors need the memory.
    """
    versions = {"neuronlake": neuronlake.__version__, "python": platform.python_version()}
    versions |= {name: metadata.version(name) for name in _VERSIONED}
    run_id = runs.start_run(warehouse, command, device_name(device), versions, recipe)
    timing = Timing()
    status = "failed"
    try:
        with warehouse.few_pages():
            yield run_id, timing
        status = "finished"
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    finally:
        runs.finish_run(
            warehouse,
            run_id,
            status,
            extract_seconds=timing.extract,
            load_seconds=timing.load,
            score_seconds=timing.score,
        )


def resolved(plan: Plan) -> Recipe:
    """A plan's recipe with all parameters of the method, and with paths that mean the same in any folder."""
    recipe = plan.recipe
    return replace(
        recipe,
        models=tuple(_model(model) if isinstance(model, str) else model for model in recipe.models),
        probes=tuple(_probe(probe) for probe in recipe.probes),
        masks=recipe.masks and _folder(recipe.masks),
        mask_labels=recipe.mask_labels and recipe.mask_labels.absolute(),
        concepts=tuple(_named(split_name(concepts), _if_there) for concepts in recipe.concepts),
        encoder=_encoder(recipe.encoder),
        parameters=plan.scoring.parameters,
        directions=tuple((layer, _model(file)) for layer, file in recipe.directions),
        weights={name: _absolute(str(file)) for name, file in recipe.weights.items()},
        spool=recipe.spool and recipe.spool.absolute(),
    )


def as_json(recipe: Recipe | ScoreRecipe) -> str:
    """All settings of a recipe. A network that was given in memory leaves its name."""
    settings: dict[str, Any] = {setting.name: getattr(recipe, setting.name) for setting in fields(recipe)}
    settings["models"] = [
        model if isinstance(model, str) else f"{model.name} ({model.source})" for model in recipe.models
    ]
    return json.dumps(settings, default=str)


def recipe_text(warehouse: Warehouse, run: int | None = None) -> str:
    """The recipe of a run as a TOML file that `cli ingest` takes.

    Args:
        warehouse: that holds the run.
        run: its number; the newest of `cli ingest` where None.

    Raises:
        RecipeError: there is no such run, or it was another command's.
    """
    rows = warehouse.sql("select run, command, started, versions, recipe from runs order by run").fetchall()
    recipes: dict[int, dict[str, Any]] = {row[0]: json.loads(row[4]) for row in rows}
    of_ingest = [number for number, settings in recipes.items() if "probes" in settings]
    chosen = run if run is not None else max(of_ingest, default=None)
    if chosen not in of_ingest:
        have = f"it has those of {', '.join(map(str, of_ingest))}" if of_ingest else "no `cli ingest` was run on it"
        raise RecipeError(f"{warehouse.path} has no recipe{'' if run is None else f' of run {run}'}; {have}")
    _, command, started, versions, _ = next(row for row in rows if row[0] == chosen)
    settings = {name: value for name, value in recipes[chosen].items() if value not in (None, [], {})}
    # in TOML tables come last, and pairs of a layer and a file are best read as one
    if "directions" in settings:
        onto: dict[str, list[str]] = {}
        for layer, file in settings.pop("directions"):
            onto.setdefault(layer, []).append(file)
        settings["directions"] = onto
    made = f"{started:%Y-%m-%d %H:%M} UTC with neuronlake {json.loads(versions)['neuronlake']}"
    head = f"# Run {chosen}, {made}: {' '.join(command.split())}"
    return f"{head}\n{tomli_w.dumps(settings)}"


def _absolute(text: str) -> Path:
    """A path that means the same in any folder."""
    return Path(text).expanduser().absolute()


def _if_there(text: str) -> str:
    """A file's path made absolute; what is no file is a name."""
    return str(_absolute(text)) if Path(text).expanduser().is_file() else text


def _model(text: str) -> str:
    """A model as `models.load_model` takes it, or directions."""
    return _named(split_name(text), _spec)


def _named(given: tuple[str | None, str], absolute: Callable[[str], str]) -> str:
    """``NAME=SPEC`` with a spec that means the same in any folder."""
    name, spec = given
    return f"{name}={absolute(spec)}" if name else absolute(spec)


def _spec(text: str) -> str:
    """A file, or ``path/to/file.py:factory``."""
    file, separator, factory = text.rpartition(":")
    return f"{_if_there(file)}:{factory}" if separator else _if_there(text)


def _encoder(text: str) -> str:
    """``local-dir:FOLDER``, ``path/to/file.py:factory`` or ``ARCH/path/to/file``, with or without a name."""
    return _named(split_name(text), _encoder_spec)


def _encoder_spec(text: str) -> str:
    """The same without a name."""
    kind, separator, folder = text.partition(":")
    if kind == "local-dir":
        return f"{kind}{separator}{_absolute(folder)}"
    architecture, _, file = text.partition("/")
    return f"{architecture}/{_if_there(file)}" if Path(file).expanduser().is_file() else _spec(text)


def _probe(text: str) -> str:
    """A path, an address, or a data set of torchvision with its folder, with or without a name."""
    return _named(split_probe(text), _probe_spec)


def _folder(text: str) -> str:
    """A folder or its address, with or without a name."""
    return _named(split_name(text), _probe_spec)


def _probe_spec(text: str) -> str:
    """The same without a name."""
    if is_address(text):
        return text
    return absolute_root(text) if is_dataset(text) else str(_absolute(text))
