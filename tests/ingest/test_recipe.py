"""Recipes: a file, keywords and options say the same, and a run's own recipe repeats it."""

from __future__ import annotations

import dataclasses
import json
import pickle
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from torch import nn

import neuronlake
from neuronlake.ingest.estimate import estimate
from neuronlake.ingest.history import as_json, recipe_text
from neuronlake.ingest.networks.models import Model
from neuronlake.ingest.recipe import Recipe, RecipeError, ScoreRecipe, read_recipe_file, recipe_of

FULL = """
models = ["resnet18-imagenet", "mine=net.py:make"]
layers = ["layer3", "fc"]
probe = "photos"
concepts = ["broden", "words.txt"]
prompts = ["a photo of a {}", "{}"]
batch_size = 8
spool = "shared"
[parameters]
top_k = 5
a = 2.5
[weights]
resnet18-imagenet = "mine.safetensors"
[directions]
layer4 = ["a.npz", "b.npz"]
fc = "c.npz"
"""


def test_a_file_holds_every_kind_of_setting(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(FULL)
    assert recipe_of(Recipe, read_recipe_file(Recipe, tmp_path / "recipe.toml")) == Recipe(
        models=("resnet18-imagenet", "mine=net.py:make"),
        layers=("layer3", "fc"),
        probes=("photos",),
        concepts=("broden", "words.txt"),
        prompts=("a photo of a {}", "{}"),
        batch_size=8,
        spool=Path("shared"),
        parameters={"top_k": 5, "a": 2.5},
        weights={"resnet18-imagenet": Path("mine.safetensors")},
        directions=(("layer4", "a.npz"), ("layer4", "b.npz"), ("fc", "c.npz")),
    )


def test_a_recipe_travels_to_workers_and_is_checked_again_where_it_is_changed() -> None:
    recipe = Recipe(models=("mine=net.py:make",), weights={"mine": Path("mine.pt")}, parameters={"top_k": 5})
    assert pickle.loads(pickle.dumps(recipe)) == recipe  # noqa: S301  our own
    assert dataclasses.replace(recipe, seed=3).parameters == {"top_k": 5}
    with pytest.raises(RecipeError, match="there is no precision 'int8'; choose float32 or bfloat16 or float16"):
        dataclasses.replace(recipe, precision="int8")  # pyright: ignore[reportArgumentType]


def test_a_recipe_made_directly_is_checked_as_settings_are() -> None:
    assert Recipe(layers="layer3, fc", probes=Path("photos"), seed=None) == Recipe(  # pyright: ignore
        layers=("layer3", "fc"), probes=("photos",)
    )
    with pytest.raises(RecipeError, match=r"there is no setting 'metod'; did you mean method\?"):
        Recipe(metod="wpmi")  # pyright: ignore[reportCallIssue]
    with pytest.raises(RecipeError, match="parameters takes a table of names and values"):
        ScoreRecipe(parameters={"top_k": True})


def test_a_run_leaves_its_settings_as_json(tmp_path: Path) -> None:
    recipe = Recipe(models=("a",), directions=(("fc", "c.npz"),), weights={"a": tmp_path}, spool=tmp_path, limit=3)
    kept = json.loads(as_json(recipe))
    assert list(kept)[:3] == ["models", "layers", "probes"]
    assert list(kept)[-2:] == ["mask_labels", "mask_categories"]
    assert (kept["models"], kept["directions"], kept["limit"]) == (["a"], [["fc", "c.npz"]], 3)
    assert (kept["weights"], kept["spool"], kept["max_failures"]) == ({"a": str(tmp_path)}, str(tmp_path), None)


def test_later_settings_take_the_place_of_earlier_ones_under_either_name() -> None:
    recipe = recipe_of(Recipe, {"probe": "a", "layers": "fc", "seed": 3}, {"probes": ["b", "c"], "seed": None})
    assert recipe == Recipe(probes=("b", "c"), layers=("fc",), seed=3)


def test_layers_may_stand_in_one_text_with_commas() -> None:
    assert recipe_of(Recipe, {"layers": "layer3, layer4,"}).layers == ("layer3", "layer4")


def test_models_may_be_modules_by_name() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1))
    mine, other = recipe_of(Recipe, {"models": {"mine": network, "other": "net.py:make"}}).models
    assert isinstance(mine, Model)
    assert (mine.name, mine.module) == ("mine", network)
    assert other == "other=net.py:make"
    assert recipe_of(Recipe, {"model": "resnet18-imagenet"}).models == ("resnet18-imagenet",)


def test_a_module_comes_with_its_transform_as_a_factory_gives_it() -> None:
    wanted = neuronlake.Preprocessing(8, 8, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    (model,) = recipe_of(Recipe, {"models": {"mine": (nn.Conv2d(3, 2, 1), wanted, ["a", "b"])}}).models
    assert isinstance(model, Model)
    assert (model.preprocessing, model.class_names) == (wanted, ("a", "b"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer": "fc"}, "there is no setting 'layer'; did you mean layers?"),
        ({"metod": "wpmi"}, "there is no setting 'metod'; did you mean method?"),
        ({"zzz": 1}, "there is no setting 'zzz'; there are models, layers"),
        ({"layers": 3}, "layers takes a text or a list of texts, not 3"),
        ({"probes": ["a", 1]}, "probes takes a text or a list of texts, not ['a', 1]"),
        ({"encoder": ["conse"]}, "encoder takes a text, not ['conse']"),
        ({"batch_size": 0}, "batch_size takes a whole number of 1 or more, not 0"),
        ({"batch_size": True}, "batch_size takes a whole number of 1 or more, not True"),
        ({"limit": 2.5}, "limit takes a whole number of 1 or more, not 2.5"),
        ({"random_weights": "yes"}, "random_weights takes true or false, not 'yes'"),
        ({"parameters": {"top_k": [5]}}, "parameters takes a table of names and values, such as { top_k = 50 }"),
        ({"weights": "a.pt"}, "weights takes a table of models and files"),
        ({"directions": {"layer4": 7}}, "directions takes a table of layers and files"),
        ({"directions": 7}, "directions takes a table of layers and files"),
        ({"models": 7}, "models takes names of models, or a mapping from names to modules, not 7"),
        ({"spool": 7}, "spool takes the path of a file or folder, not 7"),
        ({"probe": "a", "probes": "b"}, "probes is given twice, once as probe; give it once"),
    ],
)
def test_what_makes_no_sense_is_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(message)):
        recipe_of(Recipe, settings)


def test_a_file_that_cannot_be_read_is_named_with_the_place(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    with pytest.raises(RecipeError, match=r"recipe.toml cannot be read: no such file"):
        read_recipe_file(Recipe, file)
    file.write_text('layers = ["fc"\nmodels = 3')
    with pytest.raises(RecipeError, match=r"recipe.toml is not TOML: .*line 2"):
        read_recipe_file(Recipe, file)
    file.write_bytes(b"layers = '\xe9'")
    with pytest.raises(RecipeError, match=r"is not UTF-8 text \(byte 10\)"):
        read_recipe_file(Recipe, file)
    file.write_text("metod = 'wpmi'")
    with pytest.raises(RecipeError, match=r"recipe.toml: there is no setting 'metod'; did you mean method"):
        read_recipe_file(Recipe, file)


def test_a_recipe_and_settings_together_are_refused(tiny_recipe: Recipe, tmp_path: Path) -> None:
    with (
        neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse,
        pytest.raises(RecipeError, match="give a recipe or settings, not both: seed"),
    ):
        neuronlake.ingest(warehouse, tiny_recipe, seed=3)


def test_a_runs_recipe_repeats_it_from_another_folder(
    tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    (home / "photos").symlink_to(tiny_recipe.probes[0])
    (home / "words.txt").write_bytes(Path(tiny_recipe.concepts[0]).read_bytes())
    recipe = dataclasses.replace(tiny_recipe, probes=("photos",), concepts=("words.txt", "places365"))
    monkeypatch.chdir(home)
    with neuronlake.open("w.duckdb", write=True) as warehouse:
        assert not neuronlake.ingest(warehouse, recipe).did_nothing
        text = recipe_text(warehouse)
    monkeypatch.chdir(elsewhere)
    Path("again.toml").write_text(text)
    again = recipe_of(Recipe, read_recipe_file(Recipe, Path("again.toml")))
    assert again.probes == (str(home / "photos"),)
    assert again.concepts == (str(home / "words.txt"), "places365")
    assert again.parameters == {"top_k": 5, "a": 10.0, "lam": 1.0, "p_start": 0.998, "p_end": 0.97}
    with neuronlake.open(home / "w.duckdb", write=True) as warehouse:
        assert neuronlake.ingest(warehouse, again).did_nothing


def test_paths_in_a_stored_recipe_mean_the_same_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from neuronlake.ingest import history

    monkeypatch.chdir(tmp_path)
    for name in ("net.py", "clip.pt", "features.npz"):
        Path(name).touch()
    assert history._model("mine=net.py:make") == f"mine={tmp_path}/net.py:make"
    assert history._model("timm:vit_tiny_patch16_224") == "timm:vit_tiny_patch16_224"
    assert history._encoder("ViT-B-32/clip.pt") == f"ViT-B-32/{tmp_path}/clip.pt"
    assert history._encoder("ViT-B-32/openai") == "ViT-B-32/openai"
    assert history._encoder("local-dir:clip") == f"local-dir:{tmp_path}/clip"
    assert history._probe("s3://bucket/folder") == "s3://bucket/folder"
    assert history._probe("torchvision:CIFAR10") == f"torchvision:CIFAR10@{tmp_path}/data"
    assert history._probe("shards-{0..3}.tar") == f"{tmp_path}/shards-{{0..3}}.tar"
    assert history._folder("mine=masks") == f"mine={tmp_path}/masks"
    assert history._folder("s3://bucket/masks") == "s3://bucket/masks"
    assert history._spec("features.npz") == f"{tmp_path}/features.npz"


def test_the_recipe_of_a_run_is_asked_for_by_number(tiny_warehouse: Path) -> None:
    with neuronlake.open(tiny_warehouse, write=False) as warehouse:
        text = recipe_text(warehouse, 1)
        assert text.startswith("# Run 1, 20")
        assert tomllib.loads(text)["layers"] == ["layer3", "fc"]
        with pytest.raises(RecipeError, match="has no recipe of run 7; it has those of 1"):
            recipe_text(warehouse, 7)


def test_an_estimate_counts_what_a_run_would_write(tiny_recipe: Recipe, tiny_warehouse: Path) -> None:
    found = estimate(tiny_recipe)
    with neuronlake.open(tiny_warehouse, write=False) as warehouse:
        assert found.activations == warehouse.scalar("select count(*) from store.activations")
        assert found.similarities == warehouse.scalar("select count(*) from store.similarities")
        assert found.chunks == warehouse.scalar("select count(distinct chunk) from store.chunks")
        assert found.images == warehouse.scalar("select count(*) from store.images")
    assert found.layers == (("resnet18-imagenet", "layer3", 256), ("resnet18-imagenet", "fc", 1000))
    # every value and more that is written, and nothing like ten times as much
    assert 3 * found.activations < found.stored_bytes < 100 * found.activations
    assert found.extract_seconds > 0
    assert found.score_seconds > 0


def test_a_whole_number_that_the_warehouse_cannot_hold_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("seed = 99999999999999999999999")
    with pytest.raises(RecipeError, match="seed takes a whole number of 9223372036854775807 or less, not 99999"):
        read_recipe_file(Recipe, tmp_path / "recipe.toml")
    with pytest.raises(RecipeError, match=r"batch_size takes a whole number of .* or less"):
        recipe_of(Recipe, {"batch_size": 2**63})
    assert recipe_of(Recipe, {"models": "resnet18-imagenet", "probes": "images", "seed": 2**63 - 1}).seed == 2**63 - 1


def test_settings_by_their_places_are_given_once_and_no_more_than_there_are() -> None:
    with pytest.raises(RecipeError, match="Recipe takes each setting once: models, layers, "):
        Recipe(*range(40))  # pyright: ignore[reportArgumentType, reportCallIssue]
    with pytest.raises(RecipeError, match="takes each setting once"):
        Recipe((), models=())  # pyright: ignore[reportCallIssue]


def test_whole_numbers_of_numpy_are_taken() -> None:
    assert Recipe(limit=np.int64(10)).limit == 10  # pyright: ignore[reportArgumentType]


def test_the_old_name_of_trust_code_can_be_set_in_a_copy() -> None:
    assert dataclasses.replace(Recipe(models=("a",)), trust_pickle=True).trust_code is True  # pyright: ignore[reportCallIssue]
