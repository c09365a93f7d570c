"""Label files of CLIP-Dissect and other methods become scorings like any other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import small_warehouse
import torch
from torch import nn

import neuronlake
from neuronlake.ingest.concepts import same_names
from neuronlake.ingest.concepts.concept_sets import load_concepts
from neuronlake.ingest.importers import label_files
from neuronlake.ingest.importers.labels import ImportedFileError, ImportOptions, describe, import_labels
from neuronlake.sql.opening import open_warehouse
from neuronlake.sql.store import scorings
from neuronlake.sql.store.concepts import register_concepts
from neuronlake.sql.store.encoders import insert_concept_embeddings, register_encoder
from neuronlake.sql.store.names import Entry, NameTakenError
from neuronlake.sql.verify import verify
from neuronlake.sql.warehouse import Warehouse
from tiny import write_image

LABELS = """layer,unit,description,similarity
layer3,0,dotted,0.25
layer3,1,dotted,0.2
layer3,2,"palm tree, tall",0.1
layer4,0,kitchen,0.5
"""
ARGS = {
    "clip_model": "ViT-B/16",
    "target_model": "resnet18_places365",
    "target_layers": ["layer3", "layer4"],
    "d_probe": "broden",
    "concept_set": "data/20k.txt",
    "similarity_fn": "soft_wpmi",
}


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    with open_warehouse(tmp_path / "w.duckdb", write=True) as opened:
        yield opened


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder of CLIP-Dissect."""
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "descriptions.csv").write_text(LABELS)
    (folder / "args.txt").write_text(json.dumps(ARGS))
    return folder


def test_a_results_folder_becomes_scorings_with_their_settings(warehouse: Warehouse, results: Path) -> None:
    imported = import_labels(warehouse, results)
    assert [(each.model, each.layers, each.units, each.is_new) for each in imported] == [
        ("resnet18-places365", 2, 4, True)
    ]
    settings = ("soft_wpmi", "ViT-B-16/openai (imported)", "20k (imported)", "broden (imported)")
    assert warehouse.sql(
        "select model, layer, unit, concept, category, round(similarity::double, 3), runner_up, q_value, method,"
        " encoder, concept_set, probe from unit_labels order by position, unit"
    ).fetchall() == [
        ("resnet18-places365", layer, unit, concept, category, similarity, None, None, *settings)
        for layer, unit, concept, category, similarity in [
            ("layer3", 0, "dotted", "texture", 0.25),
            ("layer3", 1, "dotted", "texture", 0.2),
            ("layer3", 2, "palm tree, tall", "none", 0.1),
            ("layer4", 0, "kitchen", "scene", 0.5),
        ]
    ]
    assert warehouse.query("most_repeated_concept").fetchall() == [("resnet18-places365", "dotted", 2, 2)]
    assert [str(fault) for fault in verify(warehouse)] == []


def test_the_origin_is_recorded(warehouse: Warehouse, results: Path) -> None:
    import_labels(warehouse, results, command="cli import results")
    assert warehouse.sql("select command, status, recipe->>'imported' from runs").fetchall() == [
        ("cli import results", "finished", str(results / "descriptions.csv"))
    ]


def test_the_same_file_twice_is_imported_once(warehouse: Warehouse, results: Path) -> None:
    import_labels(warehouse, results)
    before = warehouse.sql("select * from store.scorings").fetchall()
    assert [each.is_new for each in import_labels(warehouse, results)] == [False]
    assert warehouse.sql("select * from store.scorings").fetchall() == before


def test_other_labels_under_the_same_settings_must_be_told_apart(warehouse: Warehouse, results: Path) -> None:
    import_labels(warehouse, results)
    (results / "descriptions.csv").write_text(LABELS.replace("kitchen", "lobby"))
    with pytest.raises(ImportedFileError, match="layer4 of resnet18-places365 has other labels under the same"):
        import_labels(warehouse, results)
    import_labels(warehouse, results, ImportOptions(concepts="20k, second try"))
    agreement = warehouse.query("label_agreement").pl().select("layer", "units", "same").rows()
    assert agreement == [("layer3", 3, 3), ("layer4", 1, 0)]


def test_clip_dissect_calls_models_by_shorter_names(warehouse: Warehouse, results: Path, tmp_path: Path) -> None:
    """resnet18_places is of Places365, also where the images' name follows; ImageNet goes without saying."""
    for target, layer in (("resnet18_places", "a"), ("resnet50", "b")):
        (results / "descriptions.csv").write_text(f"layer,unit,description\n{layer},0,dog\n")
        (results / "args.txt").write_text(json.dumps({**ARGS, "target_model": target, "target_layers": [layer]}))
        import_labels(warehouse, results)
    (tmp_path / "resnet18_places_imagenet_broden.csv").write_text("layer,unit,description\nc,0,dog\n")
    import_labels(warehouse, tmp_path / "resnet18_places_imagenet_broden.csv")
    assert warehouse.sql("select model, layer from unit_labels order by layer").fetchall() == [
        ("resnet18-places365", "a"),
        ("resnet50-imagenet", "b"),
        ("resnet18-places365", "c"),
    ]


def test_args_of_other_layers_are_not_about_a_file(warehouse: Warehouse, results: Path) -> None:
    (results / "args.txt").write_text(json.dumps({**ARGS, "target_layers": ["layer2"]}))
    with pytest.raises(ImportedFileError, match="does not say which model it is about; add --model NAME"):
        import_labels(warehouse, results)
    import_labels(warehouse, results, ImportOptions(model="resnet18-places365"))
    assert warehouse.sql("select distinct method, encoder from unit_labels").fetchall() == [
        ("unknown", "unknown (imported)")
    ]


def test_labels_of_another_method_have_other_columns_and_numbers(warehouse: Warehouse, tmp_path: Path) -> None:
    """NetDissect counts units from 1; without similarities the labels stand alone."""
    file = tmp_path / "alexnet_places365.csv"
    file.write_text("neuron,concept\n1,sky\n3,sea\n")
    options = ImportOptions(method="netdissect", columns={"unit": "neuron", "description": "concept"}, first_unit=1)
    import_labels(warehouse, file, options)
    assert warehouse.sql(
        "select model, layer, unit, concept, similarity from unit_labels order by unit"
    ).fetchall() == [
        ("alexnet-places365", "unknown", 0, "sky", None),
        ("alexnet-places365", "unknown", 1, None, None),
        ("alexnet-places365", "unknown", 2, "sea", None),
    ]
    assert verify(warehouse) == []


def test_imported_labels_are_compared_with_those_computed_here(tmp_path: Path) -> None:
    """alpha's late layer is labelled dog dog cat mystery in setting 1, and cat cat cat dog in setting 5."""
    file = tmp_path / "milan.csv"
    file.write_text("layer,unit,description\nlate,0,dog\nlate,1,sky\nlate,2,cat\nlate,3,dog\n")
    with small_warehouse.build(tmp_path / "w.duckdb") as warehouse:
        import_labels(warehouse, file, ImportOptions(model="alpha", method="milan"))
        compared = (
            warehouse.query("label_agreement", setting="7").pl().select("setting_a", "setting_b", "units", "same")
        )
        assert compared.rows() == [(1, 7, 4, 2), (5, 7, 4, 2)]
        assert [str(fault) for fault in verify(warehouse)] == []


def test_words_of_imported_labels_are_near_others_by_an_encoder_that_knows_both(tmp_path: Path) -> None:
    """One of a setting's own encoders, be there others that know more words; else the one that knows most.

    alpha's late layer is dog dog cat mystery in setting 1, and the encoder of that is tiny, which knows no zebra.
    """
    with small_warehouse.build(tmp_path / "w.duckdb") as warehouse:
        for method, labels in (("milan", "dog sky cat zebra"), ("human", "cat sky cat zebra")):
            lines = [f"late,{unit},{label}" for unit, label in enumerate(labels.split())]
            (tmp_path / "labels.csv").write_text("\n".join(["layer,unit,description", *lines]))
            import_labels(warehouse, tmp_path / "labels.csv", ImportOptions(model="alpha", method=method))
        others = {"cat": [0.0, 1.0], "dog": [1.0, 0.0], "mystery": [0.0, 1.0], "sky": [0.6, 0.8], "zebra": [0.0, 1.0]}
        register_encoder(warehouse, Entry("encoders", "other", "other", "other", str), "by hand", "named", "float32", 2)
        numbers = register_concepts(warehouse, list(others))
        embeddings = np.array(list(others.values()), dtype=np.float32)
        encoder_id = warehouse.scalar("select encoder_id from store.encoders where name = 'other'")
        insert_concept_embeddings(warehouse, encoder_id, ["{}"], numbers, embeddings)

        asked = "setting_a, setting_b, round(mean_cosine, 5), cosine_units, cosine_encoder"
        nearness = warehouse.query("label_agreement").select(asked).filter("setting_a <> 5 and setting_b <> 5")
        assert nearness.fetchall() == [
            (1, 7, 0.66667, 3, "tiny"),  # dog and dog, dog and sky, cat and cat: (1 + 0 + 1) / 3
            (1, 8, 0.33333, 3, "tiny"),  # dog and cat, dog and sky, cat and cat: (0 + 0 + 1) / 3
            (7, 8, 0.75, 4, "other"),  # dog and cat 0, and three times the same
        ]
        # an encoder that was given the words in a prompt knows something else
        warehouse.execute("update store.concept_embeddings set prompts = ['a {}']")
        unknown = "select distinct mean_cosine, cosine_units, cosine_encoder from label_agreements"
        warehouse.query("label_agreement").create_view("label_agreements")
        assert warehouse.sql(unknown).fetchall() == [(None, None, None)]


@pytest.fixture
def net(tmp_path: Path) -> dict[str, object]:
    """What `neuronlake.ingest` takes for a small network, without its name."""
    for number in range(4):
        write_image(tmp_path / "photos" / f"{number}.png", number)
    (tmp_path / "towers.py").write_text(TOWERS)
    (tmp_path / "words.txt").write_text("dog\nsky\n")
    return {
        "layers": "0",
        "probe": str(tmp_path / "photos"),
        "concepts": str(tmp_path / "words.txt"),
        "encoder": f"{tmp_path}/towers.py:make",
        "parameters": {"top_k": 2},
    }


TOWERS = """
import torch
from torch import nn
from neuronlake import Preprocessing

class Towers(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.colours, self.letters = nn.Linear(3, 4), nn.Embedding(256, 4)

    def encode_image(self, pixels):
        return self.colours(pixels.mean(dim=(2, 3)))

    def encode_text(self, tokens):
        return self.letters(tokens).mean(dim=1)

def make():
    small = Preprocessing(16, 16, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    return Towers(), small, lambda texts: torch.tensor([list(text.encode()[:9].ljust(9)) for text in texts])
"""


def small_network(seed: int = 0) -> tuple[nn.Module, neuronlake.Preprocessing]:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 3))
    return network, neuronlake.Preprocessing(16, 16, (0.5,) * 3, (0.5,) * 3)


def test_a_network_that_only_labels_were_imported_for_is_not_the_computed_one(
    warehouse: Warehouse, tmp_path: Path, net: dict[str, object]
) -> None:
    """Of its weights nothing is known; imported again under the computed one's name, the labels stand beside it."""
    file = tmp_path / "milan.csv"
    file.write_text("layer,unit,description\n0,0,dog\n")
    import_labels(warehouse, file, ImportOptions(model="mine", method="milan"))
    taken = r"taken .* by an imported network, of whose weights nothing is known; .*: models=\{.mine-2.: \.\.\.\}"
    with pytest.raises(NameTakenError, match=taken):
        neuronlake.ingest(warehouse, models={"mine": small_network()}, **net)
    neuronlake.ingest(warehouse, models={"mine-2": small_network()}, **net)
    import_labels(warehouse, file, ImportOptions(model="mine-2", method="milan"))
    assert warehouse.sql("select model, method, count(*) from scorings group by all order by all").fetchall() == [
        ("mine", "milan", 1),
        ("mine-2", "milan", 1),
        ("mine-2", "soft_wpmi(top_k=2)", 1),
    ]
    assert not import_labels(warehouse, file, ImportOptions(model="mine", method="milan"))[0].is_new
    assert [str(fault) for fault in verify(warehouse)] == []


def test_labels_of_a_computed_networks_other_layers_wait_for_them(
    warehouse: Warehouse, tmp_path: Path, net: dict[str, object]
) -> None:
    """The layer that is computed later is the one that the labels are of."""
    neuronlake.ingest(warehouse, models={"mine": small_network()}, **net)
    file = tmp_path / "milan.csv"
    file.write_text("layer,unit,description\n0,0,dog\n2,1,sky\n")
    import_labels(warehouse, file, ImportOptions(model="mine", method="milan"))
    neuronlake.ingest(warehouse, models={"mine": small_network()}, **{**net, "layers": "2"})
    assert warehouse.sql("select name, units, position from store.layers order by 1").fetchall() == [
        ("0", 3, 0),
        ("2", 2, 2),
    ]
    assert warehouse.sql(
        "select method, layer, unit, concept is not null from unit_labels where layer = '2' order by all"
    ).fetchall()[0] == ("milan", "2", 0, False)
    # both ways of scoring know the layer by the same fingerprint
    assert neuronlake.ingest(warehouse, models={"mine": small_network()}, **{**net, "layers": "0,2"}).did_nothing
    assert neuronlake.score(warehouse, parameters={"top_k": 2}).scored_layers == 0
    assert not import_labels(warehouse, file, ImportOptions(model="mine", method="milan"))[0].is_new
    assert [str(fault) for fault in verify(warehouse)] == []


def test_labels_of_more_units_than_a_layer_has_are_of_another_network(
    warehouse: Warehouse, tmp_path: Path, net: dict[str, object]
) -> None:
    neuronlake.ingest(warehouse, models={"mine": small_network()}, **net)
    file = tmp_path / "milan.csv"
    file.write_text("layer,unit,description\n2,8,sky\n")
    import_labels(warehouse, file, ImportOptions(model="mine", method="milan"))
    with pytest.raises(NameTakenError, match="labels of 9 units were imported for 2 of mine, which has 2"):
        neuronlake.ingest(warehouse, models={"mine": small_network()}, **{**net, "layers": "2"})


# --- NetDissect


NETDISSECT = """unit,category,label,score,object-label,object-truth,object-activation,object-intersect,object-iou
1,scene,ice_cream_parlor-s,0.25,food,110,80,10,0.0556
2,object,house,0.125,house,100,80,20,0.125
4,color,green-c,0.0625,,24924928,157384,134762,0.005401813
"""


@pytest.fixture
def netdissect(tmp_path: Path) -> Path:
    """A result file of NetDissect, as far as its columns of one category."""
    file = tmp_path / "netdissect_layer4.csv"
    file.write_text(NETDISSECT)
    return file


def test_a_result_file_of_netdissect_is_known_by_its_header(warehouse: Warehouse, netdissect: Path) -> None:
    """Units count from 1, labels become words of the built-in set broden, and categories are the file's."""
    import_labels(warehouse, netdissect, ImportOptions(model="resnet50-imagenet", layer="layer4"))
    settings = ("netdissect", "none (imported)", "broden (imported)", "broden (imported)")
    assert warehouse.sql(
        "select layer, unit, concept, category, similarity, method, encoder, concept_set, probe from unit_labels"
        " order by unit"
    ).fetchall() == [
        ("layer4", 0, "ice cream parlor", "scene", 0.25, *settings),
        ("layer4", 1, "house", "object", 0.125, *settings),
        ("layer4", 2, None, None, None, *settings),
        ("layer4", 3, "green-c", "color", 0.0625, *settings),
    ]
    broden = load_concepts(("broden",)).texts
    assert {"ice cream parlor", "house", "green-c"} <= set(broden)
    assert [str(fault) for fault in verify(warehouse)] == []


ONE_NAME = """unit,category,label,score,object-label,object-truth,object-activation,object-intersect,object-iou
1,scene,house-s,0.25,food,110,80,10,0.0556
2,object,house,0.125,house,100,80,20,0.125
3,scene,kitchen-s,0.0625,food,110,80,10,0.0556
"""
OF_LAYER4 = ImportOptions(model="resnet50-imagenet", layer="layer4")


def told_apart(warehouse: Warehouse) -> list[tuple[str, str]]:
    """The concepts and categories of the units, in their order."""
    return warehouse.sql("select concept, category from unit_labels order by layer, unit").fetchall()


def test_a_scene_and_an_object_of_one_name_are_two_concepts(warehouse: Warehouse, netdissect: Path) -> None:
    """The built-in set broden has a house that is an object and a kitchen that is a scene: they keep the name."""
    netdissect.write_text(ONE_NAME + "4,object,kitchen,0.03,house,100,80,20,0.125\n5,scene,house-s,0.02,,1,1,1,0.1\n")
    import_labels(warehouse, netdissect, OF_LAYER4)
    assert told_apart(warehouse) == [
        ("house (scene)", "scene"),
        ("house", "object"),
        ("kitchen", "scene"),
        ("kitchen (object)", "object"),
        ("house (scene)", "scene"),
    ]
    detectors = "select count(*), count(distinct concept) from unit_labels where similarity > 0.04"
    assert warehouse.sql(detectors).fetchall() == [(3, 3)]
    assert [str(fault) for fault in verify(warehouse)] == []


def test_they_are_two_in_files_that_hold_one_of_them_each(warehouse: Warehouse, netdissect: Path) -> None:
    header, scene, thing, *_ = ONE_NAME.splitlines()
    for layer, line in (("layer3", scene), ("layer4", thing)):
        netdissect.write_text(f"{header}\n{line.replace('2,object', '1,object')}\n")
        import_labels(warehouse, netdissect, ImportOptions(model="resnet50-imagenet", layer=layer))
    assert told_apart(warehouse) == [("house (scene)", "scene"), ("house", "object")]


# of ONE_NAME as layer4 of resnet50-imagenet, in an empty warehouse
FINGERPRINT_OF_0_1 = "07d5a892b602fd3058bc9607859c28a1096cd8642ee3016145882aa39c0d848f"


def import_as_0_1(warehouse: Warehouse, file: Path) -> None:
    """Import a file as version 0.1 did, for which scenes and objects of one name were one concept."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(same_names, "told_apart", lambda name, _category: name)
        import_labels(warehouse, file, OF_LAYER4)


def test_labels_that_version_0_1_took_for_one_are_mended_by_the_same_file(
    warehouse: Warehouse, netdissect: Path
) -> None:
    netdissect.write_text(ONE_NAME)
    import_as_0_1(warehouse, netdissect)
    assert told_apart(warehouse) == [("house", "scene"), ("house", "scene"), ("kitchen", "scene")]
    assert warehouse.sql("select scoring_id, fingerprint from store.scorings").fetchall() == [(1, FINGERPRINT_OF_0_1)]
    scorings.replace_evaluations(
        warehouse,
        1,
        "broden",
        pl.DataFrame({"measure": ["accuracy"], "value": [0.5], "low": [0.0], "high": [1.0], "units": [3]}),
    )

    (mended,) = import_labels(warehouse, netdissect, OF_LAYER4)
    assert (mended.is_new, mended.is_mended) == (False, True)
    assert list(describe([mended])) == [
        f"{netdissect}: its labels are mended: before, scenes and objects of one name were one concept, and no bias "
        "was read"
    ]
    assert told_apart(warehouse) == [("house (scene)", "scene"), ("house", "object"), ("kitchen", "scene")]
    # under the same number; what was measured of the labels that it had is gone, and the run that mended it is named
    assert warehouse.sql("select scoring, run, (select count(*) from evaluations) from scorings").fetchall() == [
        (1, 2, 0)
    ]
    assert [str(fault) for fault in verify(warehouse)] == []
    (again,) = import_labels(warehouse, netdissect, OF_LAYER4)
    assert (again.is_new, again.is_mended) == (False, False)


def test_another_file_does_not_mend_labels(warehouse: Warehouse, netdissect: Path) -> None:
    """Version 0.1 would have read both alike."""
    netdissect.write_text(ONE_NAME)
    import_as_0_1(warehouse, netdissect)
    netdissect.write_text(ONE_NAME.replace("2,object,house,", "2,scene,house-s,"))
    with pytest.raises(ImportedFileError, match="layer4 of resnet50-imagenet has other labels under the same settings"):
        import_labels(warehouse, netdissect, OF_LAYER4)
    assert told_apart(warehouse) == [("house", "scene"), ("house", "scene"), ("kitchen", "scene")]


def test_labels_without_such_names_are_those_of_version_0_1(warehouse: Warehouse, netdissect: Path) -> None:
    import_as_0_1(warehouse, netdissect)
    (again,) = import_labels(warehouse, netdissect, OF_LAYER4)
    assert (again.is_new, again.is_mended) == (False, False)


def test_a_result_file_over_other_classes_brings_its_own_categories(warehouse: Warehouse, netdissect: Path) -> None:
    netdissect.write_text(NETDISSECT + "5,Verb,run,0.1,sky,1,1,1,0.1\n")
    import_labels(warehouse, netdissect, ImportOptions(model="resnet50-imagenet", layer="layer4"))
    assert warehouse.scalar("select category from unit_labels where concept = 'run'") == "Verb"


OF_PIXELS = """unit,category,label,score,object-label,object-truth,object-activation,object-intersect,object-iou,\
scene-label,scene-truth,scene-activation,scene-intersect,scene-iou,texture-label,texture-truth,texture-activation,\
texture-intersect,texture-iou
1,scene,kitchen-s,0.25,oven,60,50,10,0.1,kitchen-s,300,200,100,0.25,,24924928,40,40,0.0001
2,object,kitchen,0.125,kitchen,100,80,20,0.125,house-s,300,200,0,0,dotted,100,50,10,0.0714
4,,,,oven,60,50,10,0.1,,1,1,1,1,,,,,
"""


@pytest.fixture
def pixels(tmp_path: Path) -> Path:
    """A whole result file of NetDissect, of three categories."""
    file = tmp_path / "netdissect_layer4.csv"
    file.write_text(OF_PIXELS)
    return file


def test_the_pixels_of_every_categorys_best_label_are_read(warehouse: Warehouse, pixels: Path) -> None:
    """Their union is truth and activation without the intersection: of oven 60 + 50 - 10.

    A blank label is none, whatever its pixels are, and one that the unit never meets is none that it has in common.
    """
    import_labels(warehouse, pixels, OF_LAYER4)
    columns = "unit, category, concept, intersection_pixels, union_pixels, iou"
    assert warehouse.sql(f"select {columns} from category_labels order by unit, category").fetchall() == [
        (0, "object", "oven", 10, 100, 0.1),
        (0, "scene", "kitchen", 100, 400, 0.25),
        (1, "object", "kitchen (object)", 20, 160, 0.125),
        (1, "texture", "dotted", 10, 140, pytest.approx(1 / 14)),
        (3, "object", "oven", 10, 100, 0.1),
    ]
    of_labels = "select unit, concept, intersection_pixels, union_pixels, threshold from unit_labels order by unit"
    assert warehouse.sql(of_labels).fetchall() == [
        (0, "kitchen", 100, 400, None),
        (1, "kitchen (object)", 20, 160, None),
        (2, None, None, None, None),
        (3, None, None, None, None),
    ]
    assert verify(warehouse) == []


def test_detectors_are_counted_from_the_pixels_of_a_file(warehouse: Warehouse, pixels: Path) -> None:
    pixels.write_text(OF_PIXELS + "5,object,oven,0.0323,oven,60,100,5,0.0323,,1,1,1,1,,1,1,1,1\n")
    import_labels(warehouse, pixels, OF_LAYER4)
    assert warehouse.query("unique_detectors").pl().select("units", "detectors", "unique_detectors").rows() == [
        (5, 2, 2)
    ]
    summary = "select category, units, detectors, unique_detectors from detector_summary order by category"
    assert warehouse.sql(summary).fetchall() == [("object", 2, 1, 1), ("scene", 1, 1, 1)]


def test_labels_that_came_without_their_pixels_get_them_from_the_same_file(warehouse: Warehouse, pixels: Path) -> None:
    """Older versions read no pixels: nothing else changes, and once they are there nothing is to do."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(label_files, "_categories", lambda _found: ())
        import_labels(warehouse, pixels, OF_LAYER4)
    labels = "select unit, concept, category, similarity from unit_labels order by unit"
    before = warehouse.sql(labels).fetchall(), warehouse.sql("select * from store.scorings").fetchall()
    assert warehouse.scalar("select count(union_pixels) from unit_labels") == 0

    (again,) = import_labels(warehouse, pixels, OF_LAYER4)
    assert (again.is_new, again.is_mended, again.has_new_pixels) == (False, False, True)
    assert list(describe([again])) == [f"{pixels}: its labels are there already; the pixels behind them are new"]
    assert (warehouse.sql(labels).fetchall(), warehouse.sql("select * from store.scorings").fetchall()) == before
    assert warehouse.sql("select unit from detectors order by unit").fetchall() == [(0,), (1,)]
    assert warehouse.scalar("select count(*) from category_labels") == 5
    assert verify(warehouse) == []

    (once_more,) = import_labels(warehouse, pixels, OF_LAYER4)
    assert not once_more.has_new_pixels
    assert list(describe([once_more])) == [f"{pixels}: nothing to do, its labels are there already"]


def test_a_name_that_two_categories_have_is_counted_in_the_labels_own(warehouse: Warehouse, pixels: Path) -> None:
    header, *_ = OF_PIXELS.splitlines()
    pixels.write_text(f"{header}\n1,texture,grid,0.25,grid,60,50,10,0.1,,1,1,1,1,grid,300,200,100,0.25\n")
    import_labels(warehouse, pixels, OF_LAYER4)
    columns = "category, concept, intersection_pixels"
    assert warehouse.sql(f"select {columns} from category_labels").fetchall() == [("texture", "grid", 100)]
    assert verify(warehouse) == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            "5,object,oven,0.2,oven,60,50,10,0.1,,1,1,1,1,,1,1,1,1",
            "line 5: the score is 0.2, but 10 of 100 pixels are 0.1",
        ),
        (
            "5,object,oven,0.1,oven,60,50,10.5,0.1,,1,1,1,1,,1,1,1,1",
            "line 5: the object-intersect is '10.5', not a number of pixels",
        ),
        (
            "5,object,oven,0.1,oven,-60,50,10,0.1,,1,1,1,1,,1,1,1,1",
            "line 5: the object-truth is '-60', not a number of pixels",
        ),
        (
            "5,object,oven,0.1,oven,60,nan,10,0.1,,1,1,1,1,,1,1,1,1",
            "line 5: the object-activation is 'nan', not a number of pixels",
        ),
        (
            "5,object,oven,0.1,oven,60,50,51,0.1,,1,1,1,1,,1,1,1,1",
            "line 5: object-intersect is 51 pixels, more than the 50 of which they are a part",
        ),
    ],
)
def test_pixels_that_cannot_be_are_refused_with_their_line(
    warehouse: Warehouse, pixels: Path, line: str, reason: str
) -> None:
    pixels.write_text(OF_PIXELS + line + "\n")
    with pytest.raises(ImportedFileError) as refused:
        import_labels(warehouse, pixels, OF_LAYER4)
    assert reason in str(refused.value)


def test_the_names_of_result_files_say_model_and_layer(warehouse: Warehouse, tmp_path: Path) -> None:
    for name in ("resnet50_imagenet_layer4", "resnet50_imagenet_layer3", "resnet50-imagenet-fc-result"):
        (tmp_path / f"{name}.csv").write_text(NETDISSECT)
    import_labels(warehouse, tmp_path)
    assert warehouse.sql("select distinct model, layer, position from unit_labels order by position").fetchall() == [
        ("resnet50-imagenet", "layer3", 68),
        ("resnet50-imagenet", "layer4", 120),
        ("resnet50-imagenet", "fc", 149),
    ]
    (tmp_path / "conv5-result.csv").write_text(NETDISSECT)
    import_labels(warehouse, tmp_path / "conv5-result.csv", ImportOptions(model="alexnet-places365"))
    assert warehouse.sql("select distinct layer from unit_labels where model = 'alexnet-places365'").fetchall() == [
        ("conv5",)
    ]


def test_a_result_file_of_an_unknown_layer_asks_for_it(warehouse: Warehouse, netdissect: Path) -> None:
    with pytest.raises(ImportedFileError, match="does not say which layer it is about; add --layer NAME"):
        import_labels(warehouse, netdissect, ImportOptions(model="resnet50-imagenet"))


def test_a_layer_is_named_only_for_a_file_without_such_a_column(warehouse: Warehouse, results: Path) -> None:
    with pytest.raises(ImportedFileError, match="has a column 'layer'; --layer is for files that have none"):
        import_labels(warehouse, results, ImportOptions(layer="layer4"))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0,object,sky,0.1,sky,1,1,1,0.1", "line 5: the unit is '0', not a whole number from 1"),
        ("2,object,sky,1,sky,1,1,1,1", "line 5: unit 2 stands there twice"),
        ("5,object,sky,high,sky,1,1,1,0.1", "line 5: the score is 'high', not a number"),
        ("5,object,sky,0.1,sky,1,1", "line 5: another number of columns than in the first line"),
    ],
)
def test_a_malformed_result_file_is_refused_with_its_line(
    warehouse: Warehouse, netdissect: Path, line: str, reason: str
) -> None:
    netdissect.write_text(NETDISSECT + line + "\n")
    with pytest.raises(ImportedFileError) as refused:
        import_labels(warehouse, netdissect, ImportOptions(model="resnet50-imagenet", layer="layer4"))
    assert reason in str(refused.value)
    assert warehouse.scalar("select count(*) from store.models") == 0


# --- what is refused


def test_a_file_in_another_encoding_is_refused(warehouse: Warehouse, tmp_path: Path) -> None:
    file = tmp_path / "resnet18_imagenet.csv"
    file.write_bytes("layer,unit,description\nlayer4,0,café\n".encode("latin-1"))
    with pytest.raises(ImportedFileError, match=r"is not UTF-8 text \(byte 35\)"):
        import_labels(warehouse, file)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "has no column 'unit' but none; say which it is with --column unit=NAME"),
        ("layer,unit,label\n", "has no column 'description' but layer, unit, label"),
        ("layer,unit,description,similarity\n", "holds no labels"),
        (LABELS + "layer4,one,sky,0.1\n", "line 6: the unit is 'one', not a whole number from 0"),
        (LABELS + "layer4,1,sky,high\n", "line 6: the similarity is 'high', not a number"),
        (LABELS + "layer4,1,sky,nan\n", "line 6: the similarity is 'nan', not a number"),
        (LABELS + "layer4,1\n", "line 6: another number of columns than in the first line"),
        (LABELS + "layer4,0,sky,0.1\n", "line 6: unit 0 stands there twice"),
    ],
)
def test_a_malformed_file_is_refused_with_its_line(
    warehouse: Warehouse, tmp_path: Path, text: str, reason: str
) -> None:
    file = tmp_path / "resnet18_imagenet.csv"
    file.write_text(text)
    with pytest.raises(ImportedFileError) as refused:
        import_labels(warehouse, file)
    assert reason in str(refused.value)
    assert warehouse.scalar("select count(*) from store.models") == 0


def test_a_file_that_is_not_there_is_named(warehouse: Warehouse, tmp_path: Path) -> None:
    with pytest.raises(ImportedFileError, match=r"there is no label file .*none\.csv"):
        import_labels(warehouse, tmp_path / "none.csv")
