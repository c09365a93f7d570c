"""Free text is scored against the units as a concept of the set would be."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

import neuronlake
from neuronlake import NeuronlakeError
from neuronlake.ingest.encoders.protocol import EncoderError
from neuronlake.ingest.find import find_units
from neuronlake.ingest.recipe import Recipe


def test_a_text_scores_as_a_concept_of_the_set_does(tiny_warehouse: Path, tiny_recipe: Recipe, tmp_path: Path) -> None:
    copy = shutil.copy(tiny_warehouse, tmp_path / "copy.duckdb")
    with neuronlake.open(copy, write=True) as warehouse:
        # the cosine of one concept does not depend on the others, so that what was stored can be compared with
        neuronlake.ingest(warehouse, dataclasses.replace(tiny_recipe, method="cos_similarity", parameters={}))
        setting = warehouse.scalar("select max(setting) from scorings")
        found = find_units(warehouse, "cat", top=7, images=3)
        stored = warehouse.sql(
            "select layer, unit, similarity from similarities join scorings using (scoring, model, layer)"
            " where setting = $setting and concept = 'cat' order by similarity desc limit 7",
            setting=setting,
        ).pl()
    assert found["unit"].to_list() == stored["unit"].to_list()
    assert found["similarity"].to_list() == pytest.approx(stored["similarity"].to_list(), abs=1e-6)
    assert set(found["layer"]) <= {"layer3", "fc"}
    best = found.row(0, named=True)
    assert best["rank"] >= 1
    assert [path.endswith(".png") for path in best["images"]] == [True] * 3


def test_the_label_of_a_unit_ranks_first_for_its_own_text(tiny_warehouse: Path) -> None:
    with neuronlake.open(tiny_warehouse, write=False) as warehouse:
        concept = warehouse.sql("select concept from concept_frequency order by units desc limit 1").fetchall()[0][0]
        found = find_units(warehouse, concept, top=3)
    assert set(found["label"]) == {concept}
    # the text stands beside the same concept of the set, which may come out ahead by a rounding
    assert set(found["rank"]) <= {1, 2}


def test_no_pictures_are_read_to_name_the_images(tiny_warehouse: Path, tmp_path: Path) -> None:
    copy = shutil.copy(tiny_warehouse, tmp_path / "copy.duckdb")
    with neuronlake.open(copy, write=True) as warehouse:
        before = find_units(warehouse, "cat", top=3, images=2)
        warehouse.execute("drop table store.thumbnails")
        assert find_units(warehouse, "cat", top=3, images=2).equals(before)


def test_without_activations_there_is_nothing_to_search(tmp_path: Path) -> None:
    with (
        neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse,
        pytest.raises(NeuronlakeError, match=r"holds no scoring yet; run `cli ingest --warehouse .*` first"),
    ):
        find_units(warehouse, "cat")


def test_an_encoder_with_other_weights_is_refused(tiny_recipe: Recipe, tiny_clip_folder: Path, tmp_path: Path) -> None:
    import torch

    folder = tmp_path / "clip"
    shutil.copytree(tiny_clip_folder, folder)
    with neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse:
        neuronlake.ingest(warehouse, dataclasses.replace(tiny_recipe, encoder=f"local-dir:{folder}", layers=("fc",)))
        weights = torch.load(folder / "open_clip_pytorch_model.bin", weights_only=True)
        weights["logit_scale"] += 1
        torch.save(weights, folder / "open_clip_pytorch_model.bin")
        with pytest.raises(EncoderError, match="are not those that made this file's embeddings"):
            find_units(warehouse, "cat")


def test_imported_embeddings_have_no_encoder_to_ask(tiny_warehouse: Path, tmp_path: Path) -> None:
    copy = shutil.copy(tiny_warehouse, tmp_path / "copy.duckdb")
    with neuronlake.open(copy, write=True) as warehouse:
        warehouse.execute("update store.encoders set source_kind = 'imported'")
        with pytest.raises(EncoderError, match="were imported without the network that made them"):
            find_units(warehouse, "cat")


@pytest.fixture(scope="module")
def sums(tiny_warehouse: Path, tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny warehouse with sums of concepts as its newest labels."""
    copy = Path(shutil.copy(tiny_warehouse, tmp_path_factory.mktemp("sums") / "sums.duckdb"))
    with neuronlake.open(copy, write=True) as warehouse:
        neuronlake.ingest(warehouse, dataclasses.replace(tiny_recipe, method="linear", parameters={}))
    return copy


def test_where_labels_are_sums_a_text_scores_by_how_well_its_own_signal_predicts_the_unit(sums: Path) -> None:
    """What is above the mean of the cosines, squared, as `linear` has it unless it is told another signal."""
    with neuronlake.open(sums, write=False) as warehouse:
        found = find_units(warehouse, "cat", top=5).row(0, named=True)
        pairs = warehouse.sql(
            "select activation, cosine from activations inner join image_concepts using (probe, image)"
            " where concept = 'cat' and model = $model and layer = $layer and unit = $unit",
            **{name: found[name] for name in ("model", "layer", "unit")},
        ).pl()
        label = warehouse.sql(
            "select explanation from unit_labels join newest_setting using (setting)"
            " where layer = $layer and unit = $unit",
            layer=found["layer"],
            unit=found["unit"],
        ).fetchall()
    signal = np.maximum(pairs["cosine"] - pairs["cosine"].mean(), 0) ** 2
    assert found["similarity"] == pytest.approx(np.corrcoef(pairs["activation"], signal)[0, 1], abs=1e-4)
    assert [(found["label"],)] == label


def test_a_text_that_tells_no_images_apart_is_refused(sums: Path, tmp_path: Path) -> None:
    copy = shutil.copy(sums, tmp_path / "copy.duckdb")
    with neuronlake.open(copy, write=True) as warehouse:
        warehouse.execute(
            "update store.image_embeddings set embedding = (select min(embedding) from store.image_embeddings)"
        )
        with pytest.raises(NeuronlakeError, match="in no image or in all alike, so that no unit goes with it"):
            find_units(warehouse, "cat")


@pytest.mark.parametrize("change", ["method = 'milan', labeler = 'imported'", "encoder_id = null, prompts = null"])
def test_what_scores_no_text_says_how_to_look_for_a_word(sums: Path, tmp_path: Path, change: str) -> None:
    copy = shutil.copy(sums, tmp_path / "copy.duckdb")
    with neuronlake.open(copy, write=True) as warehouse:
        setting = warehouse.scalar("select setting from newest_setting")
        warehouse.execute(f"update store.scorings set {change} where method = 'linear'")
        with pytest.raises(NeuronlakeError) as refused:
            find_units(warehouse, "a cat")
    assert f"of setting {setting}" in str(refused.value)
    assert f"`cli sql units_for_concept 'concept=a cat' setting={setting} --warehouse {copy}`" in str(refused.value)
