"""A labeler is one file and one line in a registry: this one goes all the way, and no other file knows of it."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

import neuronlake
from neuronlake.cli import main
from neuronlake.ingest.labelers.base import LayerData, LayerLabels, Need, one_concept_each
from neuronlake.ingest.labelers.registry import METHODS, Method
from neuronlake.ingest.labelers.settings import Scoring
from neuronlake.ingest.recipe import Recipe
from neuronlake.sql.verify import verify


class MostFrequentImageLabel:
    """The label is the most frequent image label among a unit's top five images."""

    needs = frozenset({Need.IMAGE_LABELS})

    def __init__(self, scoring: Scoring) -> None: ...

    def label(self, layer: LayerData) -> LayerLabels:
        assert layer.shared.image_labels is not None
        top = layer.activations.topk(5, dim=0).indices  # (5, units)
        votes = torch.nn.functional.one_hot(layer.shared.image_labels + 1)[..., 1:]  # none for an image without
        share, best = votes[top].float().mean(dim=0).max(dim=1)
        return one_concept_each(best, share)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "top_labels", Method("image_labels", MostFrequentImageLabel))


def most_frequent(labels: list[str]) -> str:
    return max(sorted(set(labels)), key=labels.count)


def test_a_run_with_it_loads_no_encoder_and_stores_its_labels(tiny_recipe: Recipe, tmp_path: Path) -> None:
    recipe = replace(tiny_recipe, method="top_labels", parameters={}, encoder="there/is-none", concepts=())
    with neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse:
        assert neuronlake.ingest(warehouse, recipe).scored_layers == 2
        assert neuronlake.ingest(warehouse, recipe).did_nothing
        rows = warehouse.sql(
            "select unit_labels.unit, any_value(concept), any_value(explanation), any_value(similarity),"
            " list(top_images.label order by rank) from unit_labels join top_images using (model, layer, unit)"
            " where layer = 'fc' and rank <= 5 group by all order by all"
        ).fetchall()
        assert len(rows) == 1000
        for _, concept, explanation, share, labels in rows:
            assert concept == explanation == most_frequent(labels)
            assert share == pytest.approx(labels.count(concept) / 5)
        assert warehouse.sql("select distinct method, encoder, concept_set from unit_labels").fetchall() == [
            ("top_labels", None, f"labels of {warehouse.scalar('select name from store.probes')}")
        ]
        assert warehouse.scalar("select sum(units) from concept_frequency where layer = 'fc'") == 1000
        assert warehouse.scalar("select count(*) from store.image_embeddings") == 0
        assert verify(warehouse) == []
        page = tmp_path / "report.html"
        neuronlake.write_report(warehouse, page)
        assert "top_labels" in page.read_text()


def test_it_scores_again_what_clip_dissect_was_run_over(tiny_warehouse: Path, tmp_path: Path) -> None:
    with neuronlake.open(shutil.copy(tiny_warehouse, tmp_path / "w.duckdb"), write=True) as warehouse:
        assert neuronlake.score(warehouse, method="top_labels").scored_layers == 2
        assert neuronlake.score(warehouse, method="top_labels").scored_layers == 0
        assert warehouse.scalar("select method from scorings join newest_setting using (setting)") == "top_labels"
        assert verify(warehouse) == []


@pytest.mark.slow
@pytest.mark.cluster
def test_it_labels_on_a_cluster(tiny_warehouse: Path, tmp_path: Path) -> None:
    ray_cloudpickle = pytest.importorskip("ray").cloudpickle
    # this file is on no worker's path, as a user's package would be
    ray_cloudpickle.register_pickle_by_value(sys.modules[__name__])
    for engine in ("local", "ray"):
        with neuronlake.open(shutil.copy(tiny_warehouse, tmp_path / f"{engine}.duckdb"), write=True) as warehouse:
            assert neuronlake.score(warehouse, method="top_labels", engine=engine).scored_layers == 2
            labels = warehouse.sql("from unit_labels where method = 'top_labels' order by all")
            labels.pl().write_parquet(tmp_path / f"{engine}.parquet")
    # with another number of threads sums end in other digits
    assert_frame_equal(*(pl.read_parquet(tmp_path / f"{engine}.parquet") for engine in ("local", "ray")))


def test_the_command_line_asks_for_no_concepts_and_evaluate_says_why_it_cannot(
    image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def cli(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["cli", *arguments, "--warehouse", str(tmp_path / "w.duckdb")])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().err

    network = ("--model", "resnet18-imagenet", "--random-weights", "--layers", "fc")
    assert cli("ingest", *network, "--probe", str(image_folder), "--method", "top_labels")[0] == 0
    status, said = cli("evaluate", "resnet18-imagenet", "fc")
    assert status == 1
    assert "the labels of resnet18-imagenet fc are of top_labels, which scores no other concepts" in said
