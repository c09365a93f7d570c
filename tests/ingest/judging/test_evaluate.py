"""Stored labels measured against known names, and labels made anew on half of the probe: what is kept and said."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

import neuronlake
from neuronlake import NeuronlakeError
from neuronlake.ingest.importers.label_files import ImportOptions
from neuronlake.ingest.importers.labels import import_labels
from neuronlake.ingest.judging.evaluate import evaluate_layer
from neuronlake.sql.store.scorings import Judgement, insert_judgement
from neuronlake.sql.warehouse import Warehouse
from tiny import CONCEPTS

MODEL = "resnet18-imagenet"
OF_LABELS = ["top_1", "top_5", "mean_rank", "median_rank", "cosine", "auc_similarity", "auc_margin", "auc_minus_p"]
OF_FIDELITY = ["auc_confidence", "auc_correlation", "auc_held_out_correlation", "auc_stability", "calibration_error"]


@pytest.fixture
def warehouse(tiny_warehouse: Path, tmp_path: Path) -> Iterator[Warehouse]:
    """The small warehouse, open to be changed."""
    with neuronlake.open(shutil.copy(tiny_warehouse, tmp_path / "copy.duckdb"), write=True) as opened:
        yield opened


def test_measures_are_kept_and_made_anew_not_twice(warehouse: Warehouse, tmp_path: Path) -> None:
    truth = tmp_path / "names.txt"
    truth.write_text("\n".join(CONCEPTS * 125))
    first = neuronlake.evaluate(warehouse, MODEL, "fc", truth=str(truth))
    again = neuronlake.evaluate(warehouse, MODEL, "fc", truth=str(truth))
    neuronlake.evaluate(warehouse, MODEL, "fc")
    assert first.equals(again)
    assert first["measure"].to_list() == [*OF_LABELS, *OF_FIDELITY]
    kept = warehouse.sql("select truth, count(*) as measures, min(units) as units from evaluations group by all").pl()
    assert sorted(kept.rows(), key=str) == [(str(truth), 13, 1000), (None, 6, 1000)]


def test_truths_of_one_name_in_two_folders_do_not_take_each_others_place(warehouse: Warehouse, tmp_path: Path) -> None:
    warehouse.execute("insert into store.evaluations values (2, 'truth.csv', 'top_1', 0.5, 0.4, 0.6, 9)")
    labels = warehouse.sql("select unit, concept as name from unit_labels where layer = 'fc'").pl()
    for folder, names in (("right", labels), ("wrong", labels.with_columns(name=pl.lit(CONCEPTS[0])))):
        (tmp_path / folder).mkdir()
        names.write_csv(tmp_path / folder / "truth.csv")
        neuronlake.evaluate(warehouse, MODEL, "fc", truth=str(tmp_path / folder / "truth.csv"))
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
    found = neuronlake.evaluate(warehouse, MODEL, "fc", truth=str(truth))
    expected = (half["name"] == half["concept"]).mean()
    assert found.filter(measure="top_1")["value"].item() == expected


def names_file(path: Path, names: dict[int, str]) -> str:
    """A truth with a name for some of the units."""
    pl.DataFrame({"unit": list(names), "name": list(names.values())}).write_csv(path)
    return str(path)


def label_images(warehouse: Warehouse, **labels: str | None) -> None:
    """Give the images labelled even and odd other labels."""
    for label, other in labels.items():
        warehouse.execute("update store.images set label = $other where label = $label", label=label, other=other)


def set_label(warehouse: Warehouse, scoring: int, unit: int, concept: str | None) -> None:
    """Change a stored label."""
    warehouse.execute(
        "delete from store.label_terms where scoring_id = $scoring and unit = $unit", scoring=scoring, unit=unit
    )
    warehouse.execute(
        "insert into store.label_terms select $scoring, $unit, 0, concept_id, 1, null from store.concepts"
        " where concept = $concept",
        scoring=scoring,
        unit=unit,
        concept=concept,
    )


def values(measures: pl.DataFrame, *names: str) -> list[tuple[float, int]]:
    """Value and units of some measures of one setting."""
    by_name = {row["measure"]: (row["value"], row["units"]) for row in measures.iter_rows(named=True)}
    return [by_name[name] for name in names]


def test_only_units_whose_class_has_images_are_counted_and_both_numbers_are_said(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    """Of five names one is no concept of the set; of the other four two are labels of images, one of them right."""
    truth = names_file(tmp_path / "names.csv", {0: "cat", 1: "Dog", 2: "sky", 3: "wheel", 4: "espresso"})
    label_images(warehouse, even="cat", odd="dog")
    scoring = warehouse.scalar("select scoring from scorings where layer = 'fc'")
    for unit, concept in enumerate(["cat", "cat", "sky", "wheel"]):
        set_label(warehouse, scoring, unit, concept)
    found = evaluate_layer(warehouse, MODEL, "fc", truth=truth)
    assert values(found.measures, "with_images", "top_1") == [(0.5, 4), (0.5, 2)]
    probe = warehouse.scalar("select name from store.probes")
    assert found.notes == (
        f"setting 1 (soft_wpmi(top_k=5)): counted are 2 of 4 units with a known name, those that {probe} shows; "
        "1 more names are not in words.txt",
    )


def test_where_no_image_is_labelled_with_a_name_all_are_counted_and_that_is_said(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    found = evaluate_layer(warehouse, MODEL, "fc", truth=names_file(tmp_path / "names.csv", {0: "cat", 1: "dog"}))
    assert values(found.measures, "top_1")[0][1] == 2
    assert "with_images" not in found.measures["measure"].to_list()
    (note,) = found.notes
    assert "all 2 units with a known name are counted, with images of it or without: no image of" in note


def test_names_without_any_image_leave_nothing_to_count(warehouse: Warehouse, tmp_path: Path) -> None:
    label_images(warehouse, even="espresso")
    truth = names_file(tmp_path / "names.csv", {0: "cat", 1: "espresso"})
    with pytest.raises(NeuronlakeError, match="no unit whose true name is in the concept set has images of its class"):
        neuronlake.evaluate(warehouse, MODEL, "fc", truth=truth)
    with pytest.raises(NeuronlakeError, match="no unit's true name is in the concept set"):
        neuronlake.evaluate(warehouse, MODEL, "fc", truth=names_file(tmp_path / "other.csv", {1: "espresso"}))


def test_the_images_own_labels_are_a_truth(warehouse: Warehouse) -> None:
    label_images(warehouse, even="cat", odd="dog")
    warehouse.execute(
        "update store.activations set activation = 10 + images.image_id from store.images"
        " join store.layers on name = 'fc' where images.image_id = activations.image_id"
        " and layers.layer_id = activations.layer_id"
        " and ((unit = 3 and label = 'cat') or (unit = 8 and label = 'dog'))"
    )
    scoring = warehouse.scalar("select scoring from scorings where layer = 'fc'")
    set_label(warehouse, scoring, 3, "cat")
    set_label(warehouse, scoring, 8, "kitchen")
    found = evaluate_layer(warehouse, MODEL, "fc", truth="probe")
    assert values(found.measures, "top_1") == [(0.5, 2)]
    probe = warehouse.scalar("select name from store.probes")
    assert f"2 units clearly prefer one label of {probe}, which is their name" in found.notes[0]
    assert warehouse.sql("select distinct truth from evaluations").fetchall() == [("probe",)]


def test_ranks_are_the_same_from_stored_scores_and_made_anew(warehouse: Warehouse, tmp_path: Path) -> None:
    """With the two best concepts of each unit stored, the place of a name is not in what is stored."""
    neuronlake.score(warehouse, layers="fc", keep_concepts=2, parameters={"top_k": 5}, null_draws=50)
    truth = tmp_path / "names.txt"
    truth.write_text("\n".join(CONCEPTS * 125))
    found = neuronlake.evaluate(warehouse, MODEL, "fc", truth=str(truth))
    whole, best = (found.filter(setting=setting) for setting in found["setting"].unique().sort())
    ranks = ("top_5", "mean_rank", "median_rank")
    assert values(whole, *ranks) == values(best, *ranks)
    assert values(whole, "mean_rank")[0][0] > 2


@pytest.fixture
def imported(warehouse: Warehouse, tmp_path: Path) -> Warehouse:
    """With labels of another tool beside those of clip_dissect: units 0 to 3, the last without."""
    file = tmp_path / "milan.csv"
    file.write_text("layer,unit,description\nfc,0,cat\nfc,1,a dog\nfc,2,sky\nfc,3,\n")
    import_labels(warehouse, file, ImportOptions(MODEL, "milan"))
    return warehouse


def test_imported_labels_are_compared_by_their_texts(imported: Warehouse, tmp_path: Path) -> None:
    """Two of four are right; that the tool never said wheel is no reason to leave that unit out."""
    for table in ("judgements", "fidelities"):
        imported.execute(f"delete from store.{table} where scoring_id <> 1 and scoring_id <> 2")
    truth = names_file(tmp_path / "names.csv", {0: "cat", 1: "dog", 2: "sky", 3: "wheel"})
    found = evaluate_layer(imported, MODEL, "fc", truth=truth, setting="milan")
    assert [row[:3] for row in found.measures.select("measure", "value", "units").rows()] == [("top_1", 0.5, 4)]
    assert found.reliability.is_empty()
    (note,) = found.notes
    assert note.endswith("with images of it or without: by which images these labels were made is not known")


def test_the_confidence_of_imported_labels_is_measured_once_they_are_judged(
    imported: Warehouse, tmp_path: Path
) -> None:
    """By the images of the probe they are judged by, two of their classes have images; the others do not count."""
    label_images(imported, even="cat", odd="dog")
    scoring = imported.scalar("select scoring from scorings where method = 'milan'")
    probe, encoder = imported.sql("select probe_id, encoder_id from store.scorings where images > 0").fetchall()[0]
    judged = pl.DataFrame({"unit": [0, 1, 2], "confidence": [0.9, 0.3, 0.5], "held_out_correlation": [0.1, 0.2, 0.3]})
    insert_judgement(imported, Judgement(scoring, probe, encoder, 20), judged)
    truth = names_file(tmp_path / "names.csv", {0: "cat", 1: "dog", 2: "sky", 3: "wheel"})
    found = evaluate_layer(imported, MODEL, "fc", truth=truth, setting="milan")
    assert values(found.measures, "with_images", "top_1") == [(0.5, 4), (0.5, 2)]
    assert values(found.measures, "auc_confidence", "auc_held_out_correlation") == [(1, 2), (0, 2)]
    # the right one at 0.9, the wrong one at 0.3
    (error,) = values(found.measures, "calibration_error")
    assert error == (pytest.approx(0.2, abs=1e-6), 2)
    bins = found.reliability.filter(pl.col("units") > 0)
    assert bins.select("setting", "method", "start", "right").rows() == [
        (scoring, "milan", pytest.approx(0.3), 0),
        (scoring, "milan", pytest.approx(0.9), 1),
    ]
    # "a dog" was embedded so that its label could be judged; cat is cat
    ((cosine, units),) = values(found.measures, "cosine")
    assert units == 2
    assert 0 < cosine < 1


def test_a_setting_that_cannot_be_measured_does_not_keep_the_others_from_it(
    imported: Warehouse, tmp_path: Path
) -> None:
    truth = names_file(tmp_path / "names.csv", {1: "a dog"})
    found = evaluate_layer(imported, MODEL, "fc", truth=truth)
    assert found.measures["method"].unique().to_list() == ["milan"]
    assert found.notes[1].startswith("setting 1 (soft_wpmi(top_k=5)) was not measured: no unit's true name is in")


def test_imported_labels_cannot_be_made_anew_on_half_of_the_images(imported: Warehouse) -> None:
    with pytest.raises(NeuronlakeError, match="were imported without activations to evaluate them by; give true names"):
        neuronlake.evaluate(imported, MODEL, "fc", setting="milan")
    # beside others they are passed over
    assert set(neuronlake.evaluate(imported, MODEL, "fc")["setting"]) == {1}


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
