"""One setting, one place: options of a command, keys of a TOML file and keywords of Python say the same."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import tomli_w

import neuronlake
from neuronlake import Recipe, ScoreRecipe
from neuronlake.cli import app
from neuronlake.commands import dissect, label
from neuronlake.ingest import run, score
from neuronlake.ingest.recipe import OTHER_NAMES, RecipeError, read_recipe_file, recipe_of

Kind = type[Recipe] | type[ScoreRecipe]

NAMES = {kind: {field.name for field in fields(kind)} for kind in (Recipe, ScoreRecipe)}
# what each setting is as options of the command, and as a value of a TOML file or a keyword
LABELS: dict[str, tuple[str, Any]] = {
    "concepts": ("--concepts broden --concepts words.txt", ["broden", "words.txt"]),
    "prompts": ("--prompt 'a {}' --prompt {}", ["a {}", "{}"]),
    "method": ("--method wpmi", "wpmi"),
    "parameters": ("--parameter top_k=50 --parameter a=2.5", {"top_k": 50, "a": 2.5}),
    "trust_code": ("--trust-code", True),
    "keep_concepts": ("--keep-concepts 7", 7),
    "keep_together": ("--keep-together label", "label"),
    "device": ("--device cuda:1", "cuda:1"),
    "engine": ("--engine ray", "ray"),
    "address": ("--address 10.0.0.1:6379", "10.0.0.1:6379"),
    "workers": ("--workers 3", 3),
    "layers": ("--layers layer3,fc", ["layer3", "fc"]),
    "encoder": ("--encoder conse", "conse"),
}
INGEST = LABELS | {
    "models": ("--model resnet18-imagenet --model mine=net.py:make", ["resnet18-imagenet", "mine=net.py:make"]),
    "probes": ("--probe photos --probe shards.tar", ["photos", "shards.tar"]),
    "masks": ("--masks mine=masks", "mine=masks"),
    "mask_labels": ("--mask-labels classes.csv", "classes.csv"),
    "mask_categories": ("--mask-categories object,part", ["object", "part"]),
    "pooling": ("--pooling max", "max"),
    "directions": (
        "--directions layer4=a.npz --directions layer4=b.npz --directions fc=c.npz",
        {"layer4": ["a.npz", "b.npz"], "fc": "c.npz"},
    ),
    "precision": ("--precision bfloat16", "bfloat16"),
    "decoder": ("--decoder torchvision", "torchvision"),
    "compile": ("--compile", True),
    "decoders": ("--decoders 0", 0),
    "batch_size": ("--batch-size 8", 8),
    "weights": ("--weights mine=mine.pt", {"mine": "mine.pt"}),
    "random_weights": ("--random-weights", True),
    "seed": ("--seed 5", 5),
    "spool": ("--spool shared", "shared"),
    "limit": ("--limit 100", 100),
    "max_failures": ("--max-failures 0", 0),
}
SCORE = LABELS | {
    "models": ("--model mine", ["mine"]),
    "probe": ("--probe photos", "photos"),
    "fidelity": ("--fidelity", True),
}
NO_OPTION = {
    Recipe: {
        "null_draws": "p-values of one warehouse are to be comparable; fewer are for tests",
        "chunk_images": "follows from the size of the probe; others are for tests and benchmarks",
    },
    ScoreRecipe: {
        "null_draws": "p-values of one warehouse are to be comparable",
        "seed": "p-values of one warehouse are to be comparable",
    },
}
NEEDED = ("--model resnet18-imagenet", "--layers fc", "--probe photos", "--concepts broden")


class CalledError(Exception):
    """The command has called its function, with this recipe."""


@pytest.fixture(autouse=True)
def called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The functions behind the commands, which take seconds and need what the recipe names, only show the recipe."""

    def show(_warehouse: object, recipe: object, *_others: object) -> None:
        raise CalledError(recipe)

    monkeypatch.setattr(run, "ingest", show)
    monkeypatch.setattr(score, "score", show)
    monkeypatch.chdir(tmp_path)
    neuronlake.open("warehouse.duckdb").close()


def typed(command: str, *options: str) -> Any:
    """The recipe that a command makes of what is typed; what it needs is added where it is not given."""
    missing = [each for each in NEEDED if not any(each.split()[0] in given for given in options)]
    with pytest.raises(CalledError) as called:
        app([command, *shlex.split(" ".join([*options, *(missing if command == "ingest" else [])]))])
    return called.value.args[0]


@pytest.mark.parametrize(("kind", "table"), [(Recipe, INGEST), (ScoreRecipe, SCORE)])
def test_every_setting_has_an_option_or_a_reason_to_have_none(kind: Kind, table: dict[str, Any]) -> None:
    assert NAMES[kind] == {*table, *NO_OPTION[kind]}
    assert not {*table} & {*NO_OPTION[kind]}


@pytest.mark.parametrize(
    ("command", "kind", "name", "options", "value"),
    [
        *(("ingest", Recipe, name, *ways) for name, ways in INGEST.items()),
        *(("score", ScoreRecipe, name, *ways) for name, ways in SCORE.items()),
    ],
)
def test_a_setting_is_the_same_as_an_option_a_key_and_a_keyword(
    command: str, kind: Kind, name: str, options: str, value: Any, tmp_path: Path
) -> None:
    (tmp_path / "recipe.toml").write_text(tomli_w.dumps({name: value}))
    from_file = recipe_of(kind, read_recipe_file(kind, tmp_path / "recipe.toml"))
    found = getattr(kind(**{name: value}), name)
    assert found == getattr(from_file, name) == getattr(typed(command, options), name)
    assert found != getattr(kind(), name)


def test_what_is_not_typed_is_as_the_recipe_has_it() -> None:
    needed = Recipe(models=("resnet18-imagenet",), layers=("fc",), probes=("photos",), concepts=("broden",))
    assert typed("ingest") == needed
    assert typed("score") == ScoreRecipe()


@pytest.mark.parametrize(("command", "kind"), [(dissect.ingest, Recipe), (label.score, ScoreRecipe)])
def test_the_help_shows_the_recipes_defaults_and_limits(command: Callable[..., None], kind: Kind) -> None:
    for parameter, hint in get_type_hints(command, include_extras=True).items():
        option: Any = hint.__metadata__[0] if hasattr(hint, "__metadata__") else None
        name = parameter if parameter in NAMES[kind] else OTHER_NAMES.get(parameter)
        if name not in NAMES[kind]:
            continue
        default = getattr(kind(), name)
        if isinstance(option.show_default, str):
            assert option.show_default == (",".join(default) if isinstance(default, tuple) else str(default))
        if option.min is not None and name != "keep_concepts":  # whose limit is the labelers'
            assert getattr(kind(**{name: option.min}), name) == option.min
            with pytest.raises(RecipeError):
                kind(**{name: option.min - 1})
