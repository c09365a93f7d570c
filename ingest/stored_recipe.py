"""A run's recipe as its warehouse keeps it, complete enough to repeat the run, and as a TOML file again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import tomli_w

from neuronlake.ingest.names import split_name
from neuronlake.ingest.plan import Plan
from neuronlake.ingest.probes.locations import is_address
from neuronlake.ingest.probes.probe import split_probe
from neuronlake.ingest.probes.torchvision_datasets import absolute_root, is_dataset
from neuronlake.ingest.recipe import Recipe
from neuronlake.ingest.settings import RecipeError
from neuronlake.sql.warehouse import Warehouse


def resolved(plan: Plan) -> Recipe:
    """A plan's recipe with all parameters of the method, and with paths that mean the same in any folder."""
    recipe = plan.recipe
    return replace(
        recipe,
        models=tuple(_model(model) if isinstance(model, str) else model for model in recipe.models),
        probes=tuple(_probe(probe) for probe in recipe.probes),
        concepts=tuple(_named(split_name(concepts), _if_there) for concepts in recipe.concepts),
        encoder=_encoder(recipe.encoder),
        parameters=plan.scoring.parameters,
        directions=tuple((layer, _model(file)) for layer, file in recipe.directions),
        weights={name: _absolute(str(file)) for name, file in recipe.weights.items()},
        spool=recipe.spool and recipe.spool.absolute(),
    )


def as_json(recipe: Any) -> str:
    """All settings of a recipe. A network that was given in memory leaves its name."""
    settings = {setting.name: getattr(recipe, setting.name) for setting in fields(recipe)}
    settings["models"] = [
        model if isinstance(model, str) else f"{model.name} ({model.source})" for model in settings["models"]
    ]
    return json.dumps(settings, default=_plain)


def _plain(value: object) -> object:
    """What JSON has no form for: mappings of other kinds as dicts, the rest as text."""
    return dict(value) if isinstance(value, Mapping) else str(value)


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


def _probe_spec(text: str) -> str:
    """The same without a name."""
    if is_address(text):
        return text
    return absolute_root(text) if is_dataset(text) else str(_absolute(text))
