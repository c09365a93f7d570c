"""Settings as users give them, in a TOML file, as keywords or as options, to the values that a recipe holds."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from neuronlake import NeuronlakeError

if TYPE_CHECKING:
    from neuronlake.ingest.networks.models import Model

_Recipe = TypeVar("_Recipe")
# the options' names of what can be given several times, and what a setting was called before
_OTHER_NAMES = {
    "model": "models",
    "probe": "probes",
    "prompt": "prompts",
    "parameter": "parameters",
    "trust_pickle": "trust_code",
}

# a BIGINT of the warehouse, and what PyTorch takes as a seed
_LARGEST_WHOLE = 2**63 - 1


class RecipeError(NeuronlakeError):
    """A setting of the run makes no sense."""


class _WrongTypeError(Exception):
    """A setting is not of the type that it should have; the message says which that is."""


def recipe_of(kind: type[_Recipe], *settings: Mapping[str, object]) -> _Recipe:
    """A recipe from settings by name; what is None is as if it were not given.

    Args:
        kind: `Recipe` or `ScoreRecipe`, whose fields are the names.
        settings: a later one takes the place of an earlier one. Lists may be given as one text, `layers` also with
            commas between; `models` as a mapping from names to networks or to where they are.

    Raises:
        RecipeError: a name is unknown, or a value has the wrong type.
    """
    values: dict[str, Any] = {}
    for some in settings:
        values |= _read(kind, some)
    return kind(**values)


def _read(kind: type[object], settings: Mapping[str, object]) -> dict[str, Any]:
    """Checked values by the names of fields."""
    known = [field.name for field in fields(kind)]  # pyright: ignore[reportArgumentType]  of dataclasses only
    values: dict[str, Any] = {}
    for given, value in settings.items():
        name = given if given in known else _OTHER_NAMES.get(given, given)
        if name not in known:
            near = difflib.get_close_matches(given, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise RecipeError(f"there is no setting {given!r}; {hint}")
        if value is None:
            continue
        if name in values:
            raise RecipeError(
                f"{name} is given twice, once as {next(s for s, p in _OTHER_NAMES.items() if p == name)}; give it once"
            )
        try:
            values[name] = _READERS[name](value)
        except _WrongTypeError as error:
            raise RecipeError(f"{given} takes {error}, not {value!r}") from error
    return values


def chosen_recipe(kind: type[_Recipe], recipe: _Recipe | None, settings: Mapping[str, object]) -> _Recipe:
    """The recipe that was given, or one from the settings.

    Raises:
        RecipeError: both were given, or a setting makes no sense.
    """
    if recipe is None:
        return recipe_of(kind, settings)
    if settings:
        raise RecipeError(f"give a recipe or settings, not both: {', '.join(settings)}")
    return recipe


def read_recipe_file(kind: type[object], path: Path) -> dict[str, Any]:
    """The settings of a TOML file, checked, by name.

    Raises:
        RecipeError: there is no such file, it is not TOML, or a setting is unknown or of the wrong type.
    """
    try:
        settings = tomllib.loads(path.expanduser().read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"the recipe {path} cannot be read: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"the recipe {path} is not UTF-8 text (byte {error.start})") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"the recipe {path} is not TOML: {error}; `cli recipe` prints one as an example") from error
    try:
        return _read(kind, settings)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _WrongTypeError("a text")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str | Path):
        return (str(value),)
    if not isinstance(value, Sequence) or not all(isinstance(text, str | Path) for text in value):
        raise _WrongTypeError("a text or a list of texts")
    return tuple(str(text) for text in value)


def _names(value: object) -> tuple[str, ...]:
    """Texts, or one with commas between."""
    texts = value.split(",") if isinstance(value, str) else _texts(value)
    return tuple(text.strip() for text in texts if text.strip())


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise _WrongTypeError("true or false")
    return value


def _whole(least: int) -> Callable[[object], int]:
    """A reader of whole numbers that are not below `least`, nor more than the warehouse holds."""

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise _WrongTypeError(f"a whole number of {least} or more")
        if value > _LARGEST_WHOLE:
            raise _WrongTypeError(f"a whole number of {_LARGEST_WHOLE} or less")
        return value

    return read


def _path(value: object) -> Path:
    if not isinstance(value, str | Path):
        raise _WrongTypeError("the path of a file or folder")
    return Path(value).expanduser()


def _numbers(value: object) -> dict[str, int | float]:
    is_number = isinstance(value, Mapping) and all(
        isinstance(number, int | float) and not isinstance(number, bool) for number in value.values()
    )
    if not is_number:
        raise _WrongTypeError("a table of names and numbers, such as { top_k = 50 }")
    return dict(value)  # pyright: ignore[reportReturnType, reportCallIssue, reportUnknownVariableType, reportArgumentType]


def _paths(value: object) -> dict[str, Path]:
    if not isinstance(value, Mapping):
        raise _WrongTypeError('a table of models and files, such as { resnet18-imagenet = "mine.safetensors" }')
    return {str(name): _path(path) for name, path in value.items()}


def _directions(value: object) -> tuple[tuple[str, str], ...]:
    """Pairs of a layer and a file, from a table or a list of pairs."""
    pairs = value.items() if isinstance(value, Mapping) else value
    try:
        return tuple((str(layer), text) for layer, files in pairs for text in _texts(files))  # pyright: ignore[reportGeneralTypeIssues]
    except (TypeError, ValueError, _WrongTypeError) as error:
        raise _WrongTypeError('a table of layers and files, such as { layer4 = "features.safetensors" }') from error


def _models(value: object) -> tuple[str | Model, ...]:
    """Names, networks, or a mapping from names to networks or to where they are."""
    from neuronlake.ingest.networks.models import Model, model_from_module  # noqa: PLC0415  torch takes seconds to import

    def named(name: str, found: object) -> str | Model:
        if isinstance(found, str | Path):
            return f"{name}={found}"
        if isinstance(found, Model):
            return found
        # as a factory returns them: a module, or (module, transform, class names)
        parts = found if isinstance(found, tuple) else (found,)
        return model_from_module(name, *parts)  # pyright: ignore[reportArgumentType]

    if isinstance(value, Mapping):
        return tuple(named(str(name), found) for name, found in value.items())
    items = value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(item, str | Path | Model) for item in items):
        raise _WrongTypeError("names of models, or a mapping from names to modules")
    return tuple(item if isinstance(item, Model) else str(item) for item in items)


_READERS: Mapping[str, Callable[[object], object]] = {
    "models": _models,
    "layers": _names,
    "probes": _texts,
    "probe": _text,
    "concepts": _texts,
    "encoder": _text,
    "prompts": _texts,
    "method": _text,
    "parameters": _numbers,
    "pooling": _text,
    "directions": _directions,
    "precision": _text,
    "device": _text,
    "batch_size": _whole(1),
    "weights": _paths,
    "random_weights": _flag,
    "trust_code": _flag,
    "keep_concepts": _whole(2),
    "null_draws": _whole(1),
    "seed": _whole(0),
    "chunk_images": _whole(1),
    "engine": _text,
    "address": _text,
    "workers": _whole(1),
    "spool": _path,
    "limit": _whole(1),
    "max_failures": _whole(0),
}
