"""The recipes that come with the project are read, mean what they say, and run."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import open_clip
import pytest

import neuronlake
from neuronlake.cli import main
from neuronlake.ingest.concepts.concept_sets import load_concepts
from neuronlake.ingest.labelers.registry import resolve_scoring
from neuronlake.ingest.networks.known_by_name import blueprint, known_models
from neuronlake.ingest.recipe import DEFAULT_ENCODER, Recipe, read_recipe_file, recipe_of
from tiny import CONCEPTS, write_image

RECIPE = Path(__file__).parent.parent / "recipes" / "resnet18.toml"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process, at home in an empty folder: its exit status, and what it says on both streams."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NEURONLAKE_WAREHOUSE", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cli", *arguments])
        status = 0
        try:
            main()
        except SystemExit as stopped:
            status = int(stopped.code or 0)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def the_recipe() -> Recipe:
    """The study's recipe, as `cli ingest` reads it."""
    return recipe_of(Recipe, read_recipe_file(Recipe, RECIPE))


def test_it_is_the_study() -> None:
    assert the_recipe() == Recipe(
        models=("resnet18-imagenet", "resnet18-places365"),
        layers=("layer3", "layer4", "fc"),
        probes=("broden=~/data/broden1_224",),
        encoder="ViT-B-16/openai",
        concepts=("common:20000",),
        method="soft_wpmi",
        pooling="mean",
    )


def test_every_setting_says_what_it_is() -> None:
    lines = RECIPE.read_text(encoding="utf-8").splitlines()
    settings = [line for line in lines if line and not line.startswith("#")]
    assert len(settings) == len(tomllib.loads(RECIPE.read_text(encoding="utf-8")))
    assert all("    # " in line for line in settings)


def test_all_that_it_names_is_known_with_nothing_downloaded() -> None:
    recipe = the_recipe()
    assert set(recipe.models) <= set(known_models())
    for model, classes in (("resnet18-imagenet", 1000), ("resnet18-places365", 365)):
        modules = dict(blueprint(model).build().named_modules())
        assert set(recipe.layers) <= set(modules)
        assert modules["fc"].out_features == classes
    assert recipe.encoder == DEFAULT_ENCODER
    architecture, _, pretrained = recipe.encoder.partition("/")
    assert pretrained in open_clip.list_pretrained_tags_by_model(architecture)
    assert len(load_concepts(recipe.concepts).concepts) == 20_000
    parameters = resolve_scoring(recipe.method, recipe.parameters).parameters
    assert (parameters["top_k"], parameters["a"], parameters["lam"]) == (100, 10, 1)


def test_without_broden_one_line_says_what_is_missing_and_what_a_probe_is(cli: Run, tmp_path: Path) -> None:
    status, _, said = cli("ingest", str(RECIPE))
    assert status == 1
    assert said.splitlines() == [
        f"error: there is no {tmp_path / 'data' / 'broden1_224'}; --probe takes a folder of images, "
        "a csv or Parquet list, a Parquet file with images, or tar files"
    ]
    assert not (tmp_path / "warehouse.duckdb").exists()


@pytest.mark.parametrize("probe", ["~/photos", "photos"])
def test_a_probe_of_ones_own_takes_brodens_place(probe: str, cli: Run, tmp_path: Path, tiny_clip_folder: Path) -> None:
    """All of the study but its size: both networks with random weights, all layers, a small CLIP, eight words."""
    for number in range(6):
        write_image(tmp_path / "photos" / f"{number}.png", number)
    Path("words.txt").write_text("\n".join(CONCEPTS))
    small = ("--random-weights", "--limit", "5", "--parameter", "top_k=3", "--concepts", "words.txt")
    status, _, said = cli("ingest", str(RECIPE), "--probe", probe, "--encoder", f"local-dir:{tiny_clip_folder}", *small)
    assert status == 0, said
    with neuronlake.open("warehouse.duckdb", write=False) as warehouse:
        counted = warehouse.sql("select model, layer, units from layer_summary order by all").fetchall()
        (probed,) = warehouse.sql("select distinct probe from scorings").fetchall()
    assert counted == [
        ("resnet18-imagenet", "fc", 1000),
        ("resnet18-imagenet", "layer3", 256),
        ("resnet18-imagenet", "layer4", 512),
        ("resnet18-places365", "fc", 365),
        ("resnet18-places365", "layer3", 256),
        ("resnet18-places365", "layer4", 512),
    ]
    assert probed == ("photos:5",)
    # the run's own recipe says where the images were, for a reader who stands elsewhere
    _, printed, _ = cli("recipe")
    assert tomllib.loads(printed)["probes"] == [str(tmp_path / "photos")]
