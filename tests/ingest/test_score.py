"""Stored activations scored again: what an ingest would have given, beside what is there, and no image touched."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import polars as pl
import pytest
import torch
from torch import nn

import neuronlake
from neuronlake import NeuronlakeError
from neuronlake.ingest.encoders import loading
from neuronlake.ingest.encoders.clip import ClipEncoder
from neuronlake.ingest.labelers import significance, similarity
from neuronlake.ingest.recipe import Recipe, ScoreRecipe
from neuronlake.sql.store import scratch
from neuronlake.sql.verify import verify
from neuronlake.sql.warehouse import Warehouse
from tiny import ROOT, write_image

EXAMPLE = ROOT / "warehouse.duckdb.example"
OTHER_CONCEPTS = "zebra\nespresso\nsky\n"


def again(recipe: Recipe, **changes: object) -> ScoreRecipe:
    """The scoring part of a recipe, with changes."""
    plain = ScoreRecipe(parameters=recipe.parameters, null_draws=recipe.null_draws)
    return dataclasses.replace(plain, **changes)


def labels(warehouse: Warehouse, scoring: int) -> list[tuple[object, ...]]:
    """All that a scoring says, its concepts by name."""
    return warehouse.sql(
        "select layer, unit, concept, similarity, runner_up, p_value, q_value from unit_labels"
        " where setting = $scoring order by all",
        scoring=scoring,
    ).fetchall()


@pytest.fixture
def copy(tiny_warehouse: Path, tmp_path: Path) -> Path:
    """The small warehouse, to be changed."""
    return Path(shutil.copy(tiny_warehouse, tmp_path / "copy.duckdb"))


def test_the_settings_of_the_ingest_are_nothing_new(copy: Path, tiny_recipe: Recipe) -> None:
    with neuronlake.open(copy, write=True) as warehouse:
        summary = neuronlake.score(warehouse, again(tiny_recipe))
        assert (summary.layers, summary.scored_layers) == (2, 0)
        assert warehouse.scalar("select count(*) from store.runs") == 1


@pytest.mark.parametrize("method", ["wpmi", "rank_reorder", "cos_similarity", "cos_similarity_cubed"])
def test_another_method_gives_what_an_ingest_would_and_keeps_the_old_labels(
    copy: Path, tiny_recipe: Recipe, tmp_path: Path, method: str
) -> None:
    with neuronlake.open(copy, write=True) as warehouse:
        before = labels(warehouse, 1)
        summary = neuronlake.score(warehouse, again(tiny_recipe, method=method, parameters={}))
        assert summary.scored_layers == 2
        assert labels(warehouse, 1) == before
        scored = labels(warehouse, 3)
        assert verify(warehouse) == []
        assert neuronlake.score(warehouse, again(tiny_recipe, method=method, parameters={})).scored_layers == 0
    with neuronlake.open(tmp_path / "fresh.duckdb", write=True) as warehouse:
        neuronlake.ingest(warehouse, dataclasses.replace(tiny_recipe, method=method, parameters={}))
        assert labels(warehouse, 1) == scored


def test_other_concepts_and_prompts_need_only_the_text_side_of_the_encoder(
    copy: Path, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_encoder: ClipEncoder, _pixels: torch.Tensor) -> torch.Tensor:
        raise AssertionError("an image was looked at")

    monkeypatch.setattr(ClipEncoder, "encode_images", refuse)
    words = tmp_path / "others.txt"
    words.write_text(OTHER_CONCEPTS)
    with neuronlake.open(copy, write=True) as warehouse:
        recipe = again(tiny_recipe, concepts=(str(words),), prompts=("a photo of {}",), layers=("fc",))
        assert neuronlake.score(warehouse, recipe).scored_layers == 1
        found = warehouse.sql("select distinct concept from unit_labels where setting = 3").pl()["concept"]
        assert set(found) <= set(OTHER_CONCEPTS.split())
        rows = warehouse.sql("select layer, concept_set, encoder from scorings where scoring = 3").fetchall()
        assert rows[0][:2] == ("fc", "others.txt")
        assert rows[0][2].endswith('"a photo of {}"')
        assert verify(warehouse) == []


def test_the_encoder_is_not_loaded_where_its_embeddings_are_there(
    copy: Path, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "load_encoder", lambda _name: pytest.fail("the encoder was loaded"))
    with neuronlake.open(copy, write=True) as warehouse:
        assert neuronlake.score(warehouse, again(tiny_recipe, method="wpmi", parameters={})).scored_layers == 2


@pytest.mark.parametrize("method", ["linear", "correlation"])
def test_a_signal_that_no_image_has_labels_no_unit_and_all_of_it_is_whole(copy: Path, method: str) -> None:
    recipe = ScoreRecipe(method=method, parameters={"signal": "sigmoid_clip"}, null_draws=10)
    with neuronlake.open(copy, write=True) as warehouse:
        summary = neuronlake.score(warehouse, recipe)
        assert summary.scored_layers == 2
        assert summary.notes[0].startswith(f"{method} gives no unit a label: none goes with a concept")
        # a small CLIP with random weights has no cosine as high as 0.25
        newest = "select concept, similarity, runner_up from unit_labels where method like $method || '%'"
        assert set(warehouse.sql(newest, method=method).fetchall()) == {(None, None, None)}
        assert verify(warehouse) == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"layers": ("layer5",)}, "holds no layer 'layer5'; did you mean layer3? it holds layer3, fc"),
        ({"models": ("alexnet",)}, "holds no model 'alexnet'; it holds resnet18-imagenet"),
        ({"probe": "nowhere"}, "holds no layer with activations for probe nowhere"),
        ({"method": "soft_pmi"}, "there is no method 'soft_pmi'; did you mean soft_wpmi?"),
        ({"parameters": {"top_k": 0.5}}, "top_k must be a whole number above 0, not 0.5"),
        ({"method": "linear", "parameters": {"signed": 0.5}}, "signed must be a whole number, not 0.5"),
        ({"parameters": {"top_k": "5"}}, "parameter top_k takes a number, not '5'"),
        (
            {"method": "linear", "parameters": {"signal": "cubd"}},
            "parameter signal is not 'cubd'; did you mean cubed?",
        ),
        ({"parameters": {"p_start": 1.5}}, "p_start must be between 0 and 1, not 1.5"),
        ({"parameters": {"a": float("nan")}}, "a must be between"),
        ({"concepts": ("no such file",)}, "there is no concept file no such file"),
        ({"device": "tpu"}, "device 'tpu' cannot be used"),
        ({"engine": "spark"}, "there is no engine 'spark'; choose local or ray"),
        ({"engine": "ray", "workers": 0}, "--workers must be 1 or more, not 0"),
    ],
)
def test_what_cannot_be_scored_is_refused_and_nothing_changes(
    copy: Path, changes: dict[str, object], complaint: str
) -> None:
    with neuronlake.open(copy, write=True) as warehouse:
        with pytest.raises(NeuronlakeError, match=complaint.replace("?", r"\?")):
            neuronlake.score(warehouse, dataclasses.replace(ScoreRecipe(), **changes))
        assert warehouse.scalar("select count(*) from store.runs") == 1
        assert warehouse.scalar("select count(*) from store.scorings") == 2


def test_models_are_found_with_the_newest_probe_and_encoder_that_have_them(
    copy: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """A network over other images is ingested after them; nothing is said of probe or encoder unless it must be."""
    for number in range(6):
        write_image(tmp_path / "newer" / f"{number}.png", number)
    small = neuronlake.Preprocessing(16, 16, (0.5,) * 3, (0.5,) * 3)
    with neuronlake.open(copy) as warehouse:
        neuronlake.ingest(
            warehouse,
            models={"small": (nn.Sequential(nn.Conv2d(3, 4, 3)), small)},
            layers="0",
            probe=str(tmp_path / "newer"),
            concepts=tiny_recipe.concepts,
            encoder=tiny_recipe.encoder,
            parameters={"top_k": 2},
        )
        old, new = warehouse.sql("select name from store.probes order by probe_id").pl()["name"]
        (encoder,) = warehouse.sql("select name from store.encoders").pl()["name"]

        def scored(**settings: object) -> list[tuple[str, str, str]]:
            before = warehouse.scalar("select max(scoring_id) from store.scorings")
            neuronlake.score(warehouse, null_draws=10, parameters={"top_k": 2}, **settings)
            return warehouse.sql(
                "select model, layer, probe from scorings where scoring > $before order by scoring", before=before
            ).fetchall()

        assert scored() == [("small", "0", new)]
        assert scored(models="resnet18-imagenet", layers="fc") == [("resnet18-imagenet", "fc", old)]
        assert scored(layers="layer3") == [("resnet18-imagenet", "layer3", old)]
        stored = f"{copy} holds model 'resnet18-imagenet' with probe {old} and encoder {encoder}"
        with pytest.raises(NeuronlakeError, match=f"^{re.escape(stored)}, not with probe {new}$"):
            neuronlake.score(warehouse, models="resnet18-imagenet", probe=new)
        apart = re.escape(
            f"{copy} holds 'small' with probe {new} and encoder {encoder} and 'resnet18-imagenet' with probe {old} "
            f"and encoder {encoder}, and not all with the same; score them one by one"
        )
        with pytest.raises(NeuronlakeError, match=f"^{apart}$"):
            neuronlake.score(warehouse, models=("small", "resnet18-imagenet"))
        with pytest.raises(NeuronlakeError, match=r"no model 'smal'; did you mean small\? it holds small, resnet18"):
            neuronlake.score(warehouse, models="smal")


def test_concepts_that_cannot_be_embedded_are_not_kept(copy: Path, tmp_path: Path) -> None:
    words = tmp_path / "others.txt"
    words.write_text(OTHER_CONCEPTS)
    counts = (
        "select (select count(*) from concepts), (select count(*) from store.concepts), (select count(*) from runs)"
    )
    with neuronlake.open(copy, write=True) as warehouse:
        warehouse.execute("update store.encoders set source_kind = 'imported'")
        before = warehouse.sql(counts).fetchall()
        with pytest.raises(NeuronlakeError, match="imported without the network that made them"):
            neuronlake.score(warehouse, ScoreRecipe(concepts=(str(words),)))
        assert warehouse.sql(counts).fetchall() == before
        assert warehouse.scalar("select count(*) from store.concept_sets where name = 'others.txt'") == 0


def test_a_warehouse_without_activations_says_so(tmp_path: Path) -> None:
    with (
        neuronlake.open(tmp_path / "empty.duckdb", write=True) as warehouse,
        pytest.raises(NeuronlakeError, match="holds no layer with activations; `cli status --warehouse "),
    ):
        neuronlake.score(warehouse)


def test_a_warehouse_scored_again_and_again_still_opens(tmp_path: Path) -> None:
    # DuckDB then numbers free blocks beyond the end of the file, which is no sign of a file cut short
    path = Path(shutil.copy(EXAMPLE, tmp_path / "example.duckdb"))
    for method in ("soft_wpmi", "wpmi"):
        with neuronlake.open(path, write=True) as warehouse:
            neuronlake.score(warehouse, ScoreRecipe(method=method, keep_concepts=None if method == "soft_wpmi" else 10))
    with neuronlake.open(path, write=False) as warehouse:
        counted = warehouse.sql("select setting, count(*) as layers from scorings group by all order by all").pl()
        assert counted.equals(pl.DataFrame({"setting": [1, 5, 11, 17], "layers": [4, 6, 6, 6]}), null_equal=True)


@pytest.mark.parametrize("method", similarity.METHODS)
def test_a_layer_that_does_not_fit_in_memory_gets_the_same_labels(
    copy: Path, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    second = Path(shutil.copy(copy, tmp_path / "second.duckdb"))
    recipe = again(tiny_recipe, method=method, parameters={}, prompts=("a photo of {}",))
    with neuronlake.open(copy) as warehouse:
        neuronlake.score(warehouse, recipe)
        expected = labels(warehouse, 3)
        assert expected
    monkeypatch.setattr(scratch, "_LARGEST_IN_MEMORY", 0)
    monkeypatch.setattr(significance, "_BATCH_BYTES", 0)
    with neuronlake.open(second) as warehouse:
        neuronlake.score(warehouse, recipe)
        assert labels(warehouse, 3) == expected
    assert sorted(file.name for file in tmp_path.iterdir()) == ["copy.duckdb", "second.duckdb"]
