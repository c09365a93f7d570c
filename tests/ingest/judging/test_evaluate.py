"""Labels measured against known names, and against the half of the probe that did not make them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import torch
from torch.nn.functional import normalize

import neuronlake
from neuronlake import NeuronlakeError
from neuronlake.ingest.judging.evaluate import _Scored, load_truth, measures_of_halves, measures_of_names
from neuronlake.ingest.labelers.registry import resolve_scoring
from neuronlake.ingest.labelers.similarity import Cosines
from neuronlake.sql.warehouse import Warehouse
from tiny import CONCEPTS


def planted(images: int = 600, concepts: int = 30, noise: float = 0.02) -> _Scored:
    """Units that fire where an image is like a concept: unit i for concept i, the last five for nothing."""
    generator = torch.Generator().manual_seed(2)
    features = normalize(torch.randn(images, 16, generator=generator), dim=1)
    texts = normalize(torch.randn(concepts, 16, generator=generator), dim=1)
    activations = features @ texts.T + noise * torch.randn(images, concepts, generator=generator)
    activations[:, -5:] = torch.randn(images, 5, generator=generator)
    return _Scored(
        cosines=Cosines(features, texts),
        activations=activations,
        live=list(range(concepts)),
        concepts=[f"concept {number}" for number in range(concepts)],
        scoring=resolve_scoring(parameters={"top_k": 20}, null_draws=200),
    )


def test_planted_names_are_found_and_confidence_tells_them_from_noise() -> None:
    names = {unit: f"Concept  {unit}" for unit in range(30)}  # case and spaces do not count
    found = {m.measure: m for m in measures_of_names(planted(), names, seed=0)}
    assert found["top_1"].units == 30
    assert 25 / 30 - 0.05 <= found["top_1"].value <= 27 / 30
    assert found["top_1"].low < found["top_1"].value < found["top_1"].high
    assert found["median_rank"].value == 1
    assert found["top_5"].value >= found["top_1"].value
    assert found["auc_similarity"].value > 0.9
    assert found["auc_minus_p"].value > 0.9
    assert 0.5 < found["cosine"].value <= 1


def test_only_units_whose_name_is_a_concept_are_measured() -> None:
    scored = planted()
    found = measures_of_names(scored, {0: "concept 0", 1: "something else", 99: "concept 3"}, seed=0)
    assert {m.units for m in found} == {1}
    with pytest.raises(NeuronlakeError, match="no unit's true name is in the concept set"):
        measures_of_names(scored, {0: "something else"}, seed=0)


def test_labels_are_verified_on_images_that_did_not_make_them() -> None:
    found = {m.measure: m for m in measures_of_halves(planted(), seed=0)}
    assert found["correlation_label"].value > 0.75  # 25 of 30 units are their concept
    assert found["correlation_label"].low > found["correlation_runner_up"].high
    assert found["correlation_label"].low > found["correlation_random"].high
    assert abs(found["correlation_random"].value) < 0.2
    assert found["auprc_label"].low > found["auprc_random"].high


def test_a_layer_of_noise_is_not_verified() -> None:
    scored = planted()
    noise = torch.randn(scored.activations.shape, generator=torch.Generator().manual_seed(9))
    scored = _Scored(scored.cosines, noise, scored.live, scored.concepts, scored.scoring)
    found = {m.measure: m for m in measures_of_halves(scored, seed=0)}
    assert found["correlation_label"].low < 0.02


@pytest.fixture
def warehouse(tiny_warehouse: Path, tmp_path: Path) -> Iterator[Warehouse]:
    """The small warehouse, open to be changed."""
    with neuronlake.open(shutil.copy(tiny_warehouse, tmp_path / "copy.duckdb"), write=True) as opened:
        yield opened


def test_measures_are_kept_and_made_anew_not_twice(warehouse: Warehouse, tmp_path: Path) -> None:
    truth = tmp_path / "names.txt"
    truth.write_text("\n".join(CONCEPTS * 125))
    first = neuronlake.evaluate(warehouse, "resnet18-imagenet", "fc", truth=str(truth))
    again = neuronlake.evaluate(warehouse, "resnet18-imagenet", "fc", truth=str(truth))
    neuronlake.evaluate(warehouse, "resnet18-imagenet", "fc")
    assert first.equals(again)
    assert first.height == 8
    kept = warehouse.sql("select truth, count(*) as measures, min(units) as units from evaluations group by all").pl()
    assert sorted(kept.rows(), key=str) == [(str(truth), 8, 1000), (None, 6, 1000)]


def test_truths_of_one_name_in_two_folders_do_not_take_each_others_place(warehouse: Warehouse, tmp_path: Path) -> None:
    warehouse.execute("insert into store.evaluations values (2, 'truth.csv', 'top_1', 0.5, 0.4, 0.6, 9)")
    labels = warehouse.sql("select unit, concept as name from unit_labels where layer = 'fc'").pl()
    for folder, names in (("right", labels), ("wrong", labels.with_columns(name=pl.lit(CONCEPTS[0])))):
        (tmp_path / folder).mkdir()
        names.write_csv(tmp_path / folder / "truth.csv")
        neuronlake.evaluate(warehouse, "resnet18-imagenet", "fc", truth=str(tmp_path / folder / "truth.csv"))
    kept = warehouse.sql("select truth, value from evaluations where measure = 'top_1' order by truth").fetchall()
    assert [truth for truth, _ in kept] == [
        str(tmp_path / "right" / "truth.csv"),
        str(tmp_path / "wrong" / "truth.csv"),
        "truth.csv",  # of an older version, which knew files by their bare names
    ]
    assert kept[0][1] == 1
    assert kept[1][1] < 1


def test_top_1_agrees_with_the_stored_labels(warehouse: Warehouse, tmp_path: Path) -> None:
    truth = tmp_path / "names.csv"
    labels = warehouse.sql("select unit, concept from unit_labels where layer = 'fc'").pl()
    half = labels.with_columns(name=pl.when(pl.col("unit") % 2 == 0).then("concept").otherwise(pl.lit("cat")))
    half.select("unit", "name").write_csv(truth)
    found = neuronlake.evaluate(warehouse, "resnet18-imagenet", "fc", truth=str(truth))
    expected = (half["name"] == half["concept"]).mean()
    assert found.filter(measure="top_1")["value"].item() == expected


def test_names_come_from_sets_lines_and_tables(tmp_path: Path) -> None:
    assert load_truth("imagenet")[967] == "espresso"
    lines = tmp_path / "names.txt"
    lines.write_text("cat\n\ndog\n")
    assert load_truth(str(lines)) == {0: "cat", 2: "dog"}
    table = tmp_path / "names.csv"
    table.write_text("unit,name\n7,cat\n9,\n")
    assert load_truth(str(table)) == {7: "cat"}


@pytest.mark.parametrize(
    ("text", "suffix", "complaint"),
    [
        (b"unit,label\n1,cat\n", ".csv", "no columns unit and name but unit, label"),
        (b"unit,name\nx,cat\n", ".csv", "line 2: 'x' is no unit's number"),
        (b"caf\xe9\n", ".txt", "is not UTF-8"),
    ],
)
def test_a_bad_truth_is_refused(tmp_path: Path, text: bytes, suffix: str, complaint: str) -> None:
    path = tmp_path / f"truth{suffix}"
    path.write_bytes(text)
    with pytest.raises(NeuronlakeError, match=complaint):
        load_truth(str(path))


@pytest.mark.parametrize(
    ("model", "layer", "options", "complaint"),
    [
        ("resnet18-imagenet", "fd", {}, "no labels of resnet18-imagenet fd; did you mean resnet18-imagenet fc"),
        ("resnet18-imagenet", "fc", {"setting": 9}, "has no setting 9; it has 1"),
        ("resnet18-imagenet", "fc", {"truth": "nowhere.txt"}, "there is no truth 'nowhere.txt'"),
    ],
)
def test_what_cannot_be_evaluated_says_so(
    warehouse: Warehouse, model: str, layer: str, options: dict[str, object], complaint: str
) -> None:
    with pytest.raises(NeuronlakeError, match=complaint):
        neuronlake.evaluate(warehouse, model, layer, **options)  # pyright: ignore[reportArgumentType]
    assert warehouse.scalar("select count(*) from store.evaluations") == 0
