"""Fidelity with every label in the warehouse: of a run, of labels that were there before, and of another tool's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

import neuronlake
from neuronlake import NeuronlakeError
from neuronlake.ingest.importers.label_files import ImportOptions
from neuronlake.ingest.importers.labels import import_labels
from neuronlake.sql.store import features
from neuronlake.sql.verify import verify
from neuronlake.sql.warehouse import Warehouse

MEASURES = "correlation, held_out_correlation, ceiling, stability, confidence, p_value, q_value"


@pytest.fixture
def warehouse(tiny_warehouse: Path, tmp_path: Path) -> Iterator[Warehouse]:
    """A run over twenty images, two layers."""
    with neuronlake.open(shutil.copy(tiny_warehouse, tmp_path / "w.duckdb"), write=True) as opened:
        yield opened


def forget(warehouse: Warehouse) -> None:
    """As a warehouse of version 0.1 is after its migration."""
    warehouse.execute("delete from store.fidelities")
    warehouse.execute("delete from store.judgements")


def test_every_live_unit_of_a_run_has_its_fidelity(warehouse: Warehouse) -> None:
    labels = warehouse.sql(f"select status, {MEASURES} from unit_labels").pl()
    live = labels.filter(status="live").drop("status")
    assert live.height > 200
    assert live.null_count().row(0) == (0,) * 7
    assert labels.filter(labels["status"] != "live").drop("status").drop_nulls("correlation").is_empty()
    row = warehouse.sql(
        "select distinct judged_images, judged_encoder = encoder, judged_probe = probe, kept_together"
        " from fidelity join scorings using (scoring)"
    ).fetchall()
    assert row == [(20, True, True, "image")]
    assert verify(warehouse) == []


def test_the_stored_correlation_is_that_of_the_stored_activations_and_cosines(warehouse: Warehouse) -> None:
    rows = warehouse.sql(
        "select unit_labels.unit, any_value(unit_labels.correlation) as stored, corr(activation, cosine) as computed"
        " from unit_labels join activations using (model, layer, unit, probe)"
        " join image_concepts using (probe, image, concept) where layer = 'fc' and unit < 30 group by all"
    ).pl()
    assert rows.height == 30
    np.testing.assert_allclose(rows["stored"], rows["computed"], atol=1e-4)


def test_what_is_there_already_is_judged_once_and_as_the_run_did(warehouse: Warehouse) -> None:
    before = warehouse.sql("from fidelity order by all").pl()
    forget(warehouse)
    assert warehouse.sql("select count(correlation), count(confidence) from unit_labels").fetchall() == [(0, 0)]
    assert neuronlake.score(warehouse, fidelity=True).scored_layers == 2
    assert warehouse.sql("from fidelity order by all").pl().equals(before)
    assert neuronlake.score(warehouse, fidelity=True).scored_layers == 0
    assert neuronlake.score(warehouse, fidelity=True, keep_together="label", layers="fc").scored_layers == 1
    assert warehouse.sql("select distinct layer, kept_together from fidelity order by all").fetchall() == [
        ("fc", "label"),
        ("layer3", "image"),
    ]


def test_what_was_judged_before_each_concept_had_a_share_is_judged_once_more(warehouse: Warehouse) -> None:
    query = "select layer, unit, is_polysemantic, monosemanticity from unit_labels order by all"
    before = warehouse.sql(query).pl()
    assert before["monosemanticity"].drop_nulls().len() > 200
    warehouse.execute("update store.fidelities set shares = null, is_polysemantic = null, monosemanticity = null")
    assert neuronlake.score(warehouse, fidelity=True).scored_layers == 2
    assert warehouse.sql(query).pl().equals(before)
    assert neuronlake.score(warehouse, fidelity=True).scored_layers == 0


def test_only_the_models_and_layers_that_were_asked_for_are_judged(warehouse: Warehouse) -> None:
    forget(warehouse)
    with pytest.raises(NeuronlakeError, match="holds no labels of model 'nobody'"):
        neuronlake.score(warehouse, fidelity=True, models="nobody")
    assert neuronlake.score(warehouse, fidelity=True, layers="layer3").scored_layers == 1
    assert warehouse.sql("select distinct layer from fidelity").fetchall() == [("layer3",)]


def test_other_settings_make_no_sense_beside_it(warehouse: Warehouse) -> None:
    with pytest.raises(NeuronlakeError, match="leave out method"):
        neuronlake.score(warehouse, fidelity=True, method="wpmi")


def test_imported_labels_are_judged_by_the_images_here_and_by_nothing_where_their_concept_is_not_known(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    model = warehouse.scalar("select name from store.models")
    ours = warehouse.sql("select unit, concept, correlation from unit_labels where layer = 'fc' and unit < 3").pl()
    lines = [f"fc,{unit},{concept}" for unit, concept, _ in ours.iter_rows()]
    (tmp_path / "theirs.csv").write_text("layer,unit,description\n" + "\n".join(lines) + "\n")
    options = ImportOptions(model=model, method="theirs")
    import_labels(warehouse, tmp_path / "theirs.csv", options)
    rows = warehouse.sql(
        "select unit, correlation, held_out_correlation, ceiling, stability, confidence, p_value from unit_labels"
        " where method = 'theirs' order by unit"
    ).pl()
    # the same words as ours predict as much; nobody here chose them, so all images are held out
    np.testing.assert_allclose(rows["correlation"], ours.sort("unit")["correlation"], atol=1e-6)
    assert rows["correlation"].equals(rows["held_out_correlation"])
    assert rows["ceiling"].null_count() == rows["confidence"].null_count() == 0
    assert rows["stability"].null_count() == rows["p_value"].null_count() == 3
    assert warehouse.sql("select distinct kept_together from fidelity where concept is null").fetchall() == []
    # an encoder that was imported without the network knows no other words
    (kind, place) = warehouse.sql("select source_kind, location from store.encoders where dimensions > 0").fetchall()[0]
    hide = "update store.encoders set source_kind = $kind, location = $place where dimensions > 0"
    warehouse.execute(hide, kind="imported", place=None)
    (tmp_path / "words.csv").write_text(f"layer,unit,description\nfc,0,never heard\nfc,1,{ours['concept'][1]}\n")
    (found,) = import_labels(warehouse, tmp_path / "words.csv", ImportOptions(model=model, method="words"))
    assert "imported labels of 1 concepts have no fidelity" in found.notes[0]
    rows = warehouse.sql("select unit, correlation from unit_labels where method = 'words' order by unit").fetchall()
    assert rows == [(0, None), (1, pytest.approx(ours["correlation"][1]))]
    assert verify(warehouse) == []
    # nothing comes of trying again, until the encoder is back
    assert neuronlake.score(warehouse, fidelity=True).scored_layers == 0
    warehouse.execute(hide, kind=kind, place=place)
    assert neuronlake.score(warehouse, fidelity=True).scored_layers == 1
    assert warehouse.scalar("select count(correlation) from unit_labels where method = 'words'") == 2
    assert neuronlake.score(warehouse, fidelity=True).scored_layers == 0


def import_two(warehouse: Warehouse, folder: Path) -> None:
    """Labels of two units of a layer that was computed here."""
    (folder / "theirs.csv").write_text("layer,unit,description\nfc,0,cat\nfc,1,dog\n")
    model = warehouse.scalar("select name from store.models")
    import_labels(warehouse, folder / "theirs.csv", ImportOptions(model=model, method="theirs"))


def test_imported_labels_are_judged_by_newer_images_once_there_are_some(
    warehouse: Warehouse, tiny_recipe: neuronlake.Recipe, tmp_path: Path
) -> None:
    import_two(warehouse, tmp_path)
    judged = "select distinct judged_images from fidelity join scorings using (scoring) where method = 'theirs'"
    assert warehouse.scalar(judged) == 20
    neuronlake.ingest(warehouse, replace(tiny_recipe, layers=("fc",), limit=15))
    assert neuronlake.score(warehouse, fidelity=True).scored_layers == 1
    assert warehouse.scalar(judged) == 15


def test_a_layer_that_is_made_anew_takes_what_it_said_of_imported_labels_with_it(
    warehouse: Warehouse, tiny_recipe: neuronlake.Recipe, tmp_path: Path
) -> None:
    import_two(warehouse, tmp_path)
    layer_id = warehouse.scalar("select layer_id from store.layers where name = 'fc'")
    warehouse.execute("delete from store.activations where layer_id = $id and image_id = 3", id=layer_id)
    warehouse.execute("update store.chunks set images = images - 1 where layer_id = $id and chunk = 0", id=layer_id)
    summary = neuronlake.ingest(warehouse, tiny_recipe)
    assert any("made anew" in note for note in summary.notes)
    assert warehouse.scalar("select count(*) from fidelity join scorings using (scoring) where method = 'theirs'") == 0
    assert neuronlake.score(warehouse, fidelity=True).scored_layers == 1
    assert verify(warehouse) == []


def test_the_way_in_which_images_are_left_out_stays_unless_it_is_asked_for(warehouse: Warehouse) -> None:
    ways = "select distinct method, kept_together from fidelity join scorings using (scoring) order by all"
    neuronlake.score(warehouse, fidelity=True, keep_together="label")
    assert neuronlake.score(warehouse, fidelity=True).scored_layers == 0
    neuronlake.score(warehouse, method="cos_similarity")
    assert warehouse.sql(ways).fetchall() == [("cos_similarity", "label"), ("soft_wpmi(top_k=5)", "label")]
    assert neuronlake.score(warehouse, fidelity=True, keep_together="image", layers="fc").scored_layers == 2
    by_way = warehouse.query("compare_labelers").pl()
    assert set(by_way.filter(layer="fc")["left_out_by"]) == {"image"}
    assert set(by_way.filter(layer="layer3")["left_out_by"]) == {"label"}


def test_published_figures_stay_when_labels_are_judged(warehouse: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "theirs.csv").write_text("layer,unit,description,r\nconv9,0,cat,0.25\nconv9,1,dog,0.5\n")
    import_labels(
        warehouse, tmp_path / "theirs.csv", ImportOptions(model="m", method="theirs", columns={"correlation": "r"})
    )
    assert neuronlake.score(warehouse, fidelity=True).layers == 0
    rows = warehouse.sql(
        "select unit, held_out_correlation, judged_probe, judged_images from fidelity"
        " where layer = 'conv9' order by unit"
    )
    assert rows.fetchall() == [(0, 0.25, None, None), (1, 0.5, None, None)]


def folds(warehouse: Warehouse, kept_together: str = "image") -> dict[int, int]:
    ids = warehouse.sql("select image_id from store.images order by image_id").fetchnumpy()["image_id"]
    return dict(zip(ids.tolist(), features.image_folds(warehouse, ids, kept_together).tolist(), strict=True))


def test_a_fold_follows_from_an_images_content_alone(warehouse: Warehouse) -> None:
    contents = dict(warehouse.sql("select image_id, sha256 from store.images").fetchall())
    expected = {number: int(sha256(text.encode()).hexdigest()[:8], 16) % 5 for number, text in contents.items()}
    assert folds(warehouse) == expected
    assert len(set(expected.values())) == 5
    some = np.array(sorted(expected)[::3])
    assert features.image_folds(warehouse, some, "image").tolist() == [expected[number] for number in some.tolist()]


def test_images_of_a_group_or_a_label_are_left_out_together(warehouse: Warehouse) -> None:
    labels = dict(warehouse.sql("select image_id, label from store.images").fetchall())
    by_label = folds(warehouse, "label")
    assert len({(labels[number], fold) for number, fold in by_label.items()}) == len(set(labels.values()))
    warehouse.execute("update store.images set image_group = 'film ' || (image_id % 3)")
    by_group = folds(warehouse)
    assert len({(number % 3, fold) for number, fold in by_group.items()}) == 3


def test_a_group_column_of_a_list_of_images_is_kept_and_tells_probes_apart(
    image_folder: Path, tiny_recipe: neuronlake.Recipe, tmp_path: Path
) -> None:
    def listed(name: str, header: str, groups: list[str]) -> str:
        images = sorted(image_folder.rglob("*.png"))
        lines = [
            ",".join([str(image), *([group] if group else [])]) for image, group in zip(images, groups, strict=True)
        ]
        (tmp_path / name).write_text("\n".join([header, *lines]) + "\n")
        return str(tmp_path / name)

    grouped = listed("grouped.csv", "path,group", [f"photo {number // 4}" for number in range(20)])
    plain = listed("plain.csv", "path", [""] * 20)
    with neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse:
        for probe in (plain, grouped):
            neuronlake.ingest(warehouse, replace(tiny_recipe, layers=("layer3",), probes=(probe,)))
        rows = warehouse.sql(
            "select probes.name, count(image_group), count(distinct image_group) from store.images"
            " join store.probes using (probe_id) group by all order by all"
        ).fetchall()
        assert rows == [("grouped", 20, 5), ("plain", 0, 0)]
