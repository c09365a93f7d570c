"""Free text is scored against the units as a concept of the set would be."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

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
        warehouse.execute("update store.encoders set source = 'imported'")
        with pytest.raises(EncoderError, match="were imported without the network that made them"):
            find_units(warehouse, "cat")
