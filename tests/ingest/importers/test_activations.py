"""CLIP-Dissect's saved_activations become tables that can be scored and asked like those of `cli ingest`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from neuronlake.ingest.importers.activations import import_activations
from neuronlake.ingest.importers.labels import ImportedFileError, ImportOptions, import_labels
from neuronlake.ingest.labelers import similarity
from neuronlake.ingest.labelers.similarity import Cosines
from neuronlake.ingest.networks.models import model_from_module
from neuronlake.ingest.probes.probe import load_probe
from neuronlake.sql.opening import open_warehouse
from neuronlake.sql.store.features import activations as stored_activations
from neuronlake.sql.store.features import concept_features, image_features, live_units
from neuronlake.sql.store.layers import register_model
from neuronlake.sql.store.names import Entry, NameTakenError
from neuronlake.sql.verify import verify
from neuronlake.sql.warehouse import Warehouse
from tiny import write_image

IMAGES = 6
WORDS = ["dog", "striped", "a red  thing", "Dog"]
ACTIVATIONS = torch.tensor(
    [
        # unit 0 likes image 4, unit 1 likes image 0, unit 2 is dead
        [0.1, 0.9, 2.0],
        [0.2, 0.1, 2.0],
        [0.3, 0.2, 2.0],
        [0.4, 0.3, 2.0],
        [0.9, 0.4, 2.0],
        [0.5, 0.5, 2.0],
    ]
)


def features(rows: int, seed: int) -> Tensor:
    """Half precision and of any length, as CLIP on a GPU gives them."""
    return (5 * torch.randn(rows, 4, generator=torch.Generator().manual_seed(seed))).half()


IMAGE_FEATURES = features(IMAGES, 1)
TEXT_FEATURES = features(len(WORDS), 2)


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    with open_warehouse(tmp_path / "w.duckdb", write=True) as opened:
        yield opened


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """What CLIP-Dissect leaves after a run."""
    folder = tmp_path / "saved_activations"
    folder.mkdir()
    torch.save(ACTIVATIONS, folder / "broden_resnet18_places_layer4.pt")
    torch.save(ACTIVATIONS[:, :2] + 1, folder / "broden_resnet18_places_layer3_max.pt")
    torch.save(IMAGE_FEATURES, folder / "broden_ViT-B16.pt")
    torch.save(TEXT_FEATURES, folder / "words_ViT-B16.pt")
    return folder


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """The concepts, as CLIP-Dissect read them: with an empty line that it passed over."""
    file = tmp_path / "words.txt"
    file.write_text("dog\nstriped\n\na red  thing\nDog")
    return file


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Six images in the two subfolders that ImageFolder wants."""
    folder = tmp_path / "pictures"
    for number in range(IMAGES):
        write_image(folder / ("cats" if number < 2 else "dogs") / f"{number}.png", number)
    return folder


def counts(warehouse: Warehouse) -> dict[str, int]:
    names = ("models", "layers", "probes", "images", "encoders", "activations", "image_embeddings", "runs")
    return {name: warehouse.scalar(f"select count(*) from store.{name}") for name in names}


def faults(warehouse: Warehouse) -> list[str]:
    return [str(fault) for fault in verify(warehouse)]


def test_activations_become_rows_with_the_names_that_the_files_have(warehouse: Warehouse, saved: Path) -> None:
    imported = import_activations(warehouse, saved)
    assert list(imported.lines()) == [
        "broden_resnet18_places_layer3_max.pt: 6 x 2",
        "broden_resnet18_places_layer4.pt: 6 x 3",
        "broden_ViT-B16.pt: 6 x 4",
        "note: words_ViT-B16.pt is left out; --concepts names the file with the concepts it is about",
    ]
    assert warehouse.sql("select name, source from store.models").fetchall() == [("resnet18-places365", "imported")]
    assert warehouse.sql("select name, units, pooling from store.layers order by position").fetchall() == [
        ("layer3:max", 2, "max"),
        ("layer4", 3, "mean"),
    ]
    assert warehouse.sql("select name, images from store.probes").fetchall() == [("broden (saved activations)", IMAGES)]
    assert warehouse.sql("select name, dimensions from store.encoders").fetchall() == [
        ("ViT-B-16/openai (saved activations)", 4)
    ]
    found = warehouse.sql(
        "select image, activation from activations where layer = 'layer4' and unit = 0 order by image_id"
    ).fetchall()
    assert [name for name, _ in found] == [f"image {number}" for number in range(IMAGES)]
    assert [value for _, value in found] == ACTIVATIONS[:, 0].tolist()
    assert faults(warehouse) == []


def test_each_unit_has_its_state_and_its_top_images(warehouse: Warehouse, saved: Path) -> None:
    import_activations(warehouse, saved)
    assert warehouse.sql(
        "select unit, status from store.units join store.layers using (layer_id) where name = 'layer4' order by unit"
    ).fetchall() == [(0, "live"), (1, "live"), (2, "dead")]
    assert warehouse.sql(
        "select unit, image, peak_x from top_images where layer = 'layer4' and rank = 1 order by unit"
    ).fetchall() == [(0, "image 4", None), (1, "image 0", None), (2, "image 0", None)]


def test_a_unit_that_differs_in_the_sixth_digit_is_dead_and_no_fault(warehouse: Warehouse, tmp_path: Path) -> None:
    torch.save(torch.tensor([[1.0], [1.000001]]), tmp_path / "broden_resnet50_layer1.pt")
    import_activations(warehouse, tmp_path)
    assert warehouse.sql("select status from store.units").fetchall() == [("dead",)]
    assert faults(warehouse) == []


def test_layers_score_as_they_did_from_the_files(warehouse: Warehouse, saved: Path, words: Path) -> None:
    import_activations(warehouse, saved, ImportOptions(concepts=str(words)))
    image_ids, images = image_features(warehouse, encoder_id=1, probe_id=1)
    texts = concept_features(warehouse, encoder_id=1, prompts=["{}"], concept_set_id=1)
    layer_id, units = warehouse.sql("select layer_id, units from store.layers where name = 'layer4'").fetchall()[0]
    activations = torch.from_numpy(stored_activations(warehouse, layer_id, range(units), image_ids))
    assert torch.equal(activations, ACTIVATIONS)
    live = live_units(warehouse, layer_id, probe_id=1)
    assert live == [0, 1]
    for method in similarity.METHODS.values():
        options = {"top_k": 3} if "top_k" in similarity.default_parameters(method.__name__) else {}
        # the fourth line is the first word again, which the warehouse keeps once
        expected = method(
            Cosines(normalize(IMAGE_FEATURES.float()), normalize(TEXT_FEATURES[:3].float())),
            ACTIVATIONS[:, :2],
            **options,
        )
        cosines = Cosines(torch.from_numpy(images), torch.from_numpy(texts))
        assert torch.allclose(method(cosines, activations[:, live], **options), expected, atol=1e-5)


def test_concepts_are_those_of_the_file_that_cli_ingest_would_read(
    warehouse: Warehouse, saved: Path, words: Path
) -> None:
    import_activations(warehouse, saved, ImportOptions(concepts=str(words)))
    assert warehouse.sql("select name, concepts, dropped_duplicates from store.concept_sets").fetchall() == [
        ("words.txt", 3, 1)
    ]
    assert warehouse.sql(
        "select concept, embedding from store.concept_embeddings join store.concepts using (concept_id)"
        " where concept = 'a red thing'"
    ).fetchall() == [("a red thing", pytest.approx(normalize(TEXT_FEATURES.float())[2].tolist()))]
    cosine = float(normalize(IMAGE_FEATURES.float())[4] @ normalize(TEXT_FEATURES.float())[1])
    assert warehouse.scalar(
        "select cosine from image_concepts where image = 'image 4' and concept = 'striped'"
    ) == pytest.approx(cosine)
    assert faults(warehouse) == []


def test_concepts_of_other_lines_than_the_features_are_refused(
    warehouse: Warehouse, saved: Path, words: Path, tmp_path: Path
) -> None:
    words.write_text("dog\nstriped\n")
    with pytest.raises(ImportedFileError, match=r"is about 4 concepts and .*words\.txt holds 2"):
        import_activations(warehouse, saved, ImportOptions(concepts=str(words)))
    other = words.rename(tmp_path / "20k.txt")
    with pytest.raises(ImportedFileError, match=r"named for 20k\.txt; the concept sets with features are: words"):
        import_activations(warehouse, saved, ImportOptions(concepts=str(other)))
    assert set(counts(warehouse).values()) == {0}


def test_a_second_import_does_nothing(warehouse: Warehouse, saved: Path, words: Path) -> None:
    import_activations(warehouse, saved, ImportOptions(concepts=str(words)))
    before = counts(warehouse)
    again = import_activations(warehouse, saved, ImportOptions(concepts=str(words)))
    assert list(again.lines()) == [f"{saved}: nothing to do, all of it is there already"]
    assert counts(warehouse) == before


def test_a_file_more_is_imported_alone(warehouse: Warehouse, saved: Path, words: Path) -> None:
    """CLIP-Dissect adds to the folder with each run."""
    import_activations(warehouse, saved)
    torch.save(ACTIVATIONS * 2, saved / "broden_resnet18_places_fc.pt")
    again = import_activations(warehouse, saved, ImportOptions(concepts=str(words)))
    assert again.loaded == ("broden_resnet18_places_fc.pt: 6 x 3", "words_ViT-B16.pt: 4 x 4")
    assert warehouse.sql("select distinct model, probe from activations").fetchall() == [
        ("resnet18-places365", "broden (saved activations)")
    ]
    assert warehouse.sql("select name from store.layers order by position").fetchall() == [
        ("layer3:max",),
        ("layer4",),
        ("fc",),
    ]
    assert faults(warehouse) == []


def test_other_contents_under_the_same_name_are_refused_with_the_name_to_give(
    warehouse: Warehouse, saved: Path
) -> None:
    """The trap of stale files: nothing of the one import is ever scored with the other's images or encoder."""
    import_activations(warehouse, saved)
    before = counts(warehouse)
    torch.save(ACTIVATIONS.flip(0), saved / "broden_resnet18_places_layer4.pt")
    with pytest.raises(ImportedFileError) as refused:
        import_activations(warehouse, saved)
    assert str(refused.value) == (
        f"{saved}/broden_resnet18_places_layer4.pt is not what {warehouse.path} holds as layer4 of resnet18-places365, "
        "6 images of broden; give it a name of its own: if it is of another network, --model resnet18-places365-2; "
        "if it is of other images, --probe broden-2=broden"
    )
    assert counts(warehouse) == before
    import_activations(warehouse, saved, ImportOptions(model="resnet18-places365-2"))
    import_activations(warehouse, saved, ImportOptions(model="third", probe="broden-2=broden"))
    assert warehouse.sql("select distinct model, probe from activations order by model").fetchall() == [
        ("resnet18-places365", "broden (saved activations)"),
        ("resnet18-places365-2", "broden (saved activations)"),
        ("third", "broden-2 (saved activations)"),
    ]
    assert names(warehouse, "encoders") == ["ViT-B-16/openai (saved activations)"]
    before = counts(warehouse)
    torch.save(ACTIVATIONS, saved / "broden_resnet18_places_layer4.pt")
    assert not import_activations(warehouse, saved).is_new
    assert counts(warehouse) == before
    assert faults(warehouse) == []


def test_other_features_under_the_same_name_are_refused_with_the_name_to_give(
    warehouse: Warehouse, saved: Path, words: Path
) -> None:
    import_activations(warehouse, saved, ImportOptions(concepts=str(words)))
    torch.save(features(len(WORDS), 7), saved / "words_ViT-B16.pt")
    with pytest.raises(
        ImportedFileError, match=r"another image-text model, --encoder ViT-B-16-openai-2=ViT-B-16/openai$"
    ):
        import_activations(warehouse, saved, ImportOptions(concepts=str(words)))
    given = ImportOptions(concepts=f"list={words}", encoder="mine=ViT-B-16/openai")
    imported = import_activations(warehouse, saved, given)
    assert "note: list is in the warehouse as 'words.txt'; it keeps that name" in list(imported.lines())
    assert names(warehouse, "encoders") == ["ViT-B-16/openai (saved activations)", "mine (saved activations)"]
    assert faults(warehouse) == []


def test_a_network_of_that_name_that_was_computed_here_is_not_the_imported_one(
    warehouse: Warehouse, saved: Path
) -> None:
    model = model_from_module("resnet18-places365", torch.nn.Conv2d(3, 2, 3))
    entry = Entry("models", model.name, model.fingerprint, model.name, str)
    model_id = register_model(warehouse, entry, "mine", "memory", is_random=False)
    warehouse.execute(
        "insert into store.layers values (1, $id, 'layer4', 'computed', 0, 3, 'mean', null, 'float32', false)",
        id=model_id,
    )
    warehouse.execute("insert into store.chunks values (9, 0, 1, null, 9, 6)")
    with pytest.raises(
        NameTakenError, match=r"by another network; give this one its own: --model resnet18-places365-2$"
    ):
        import_activations(warehouse, saved)
    assert names(warehouse, "probes") == []
    import_activations(warehouse, saved, ImportOptions(model="resnet18-places365-2"))
    assert names(warehouse, "models") == ["resnet18-places365", "resnet18-places365-2"]


def test_labels_and_activations_of_one_run_of_clip_dissect_go_together(
    warehouse: Warehouse, saved: Path, words: Path, tmp_path: Path
) -> None:
    """Each names probe, encoder and concepts, of which the labels know no more than that."""
    labels = tmp_path / "descriptions.csv"
    labels.write_text("layer,unit,description,similarity\nlayer4,0,dog,0.5\n")
    given = ImportOptions("resnet18-places365", "soft_wpmi", "ViT-B-16/openai", "words.txt", "broden")
    import_labels(warehouse, labels, given)
    import_activations(warehouse, saved, ImportOptions(concepts=str(words)))
    assert not import_labels(warehouse, labels, given)[0].is_new
    assert names(warehouse, "models") == ["resnet18-places365"]
    assert names(warehouse, "probes") == ["broden (imported)", "broden (saved activations)"]
    assert names(warehouse, "encoders") == ["ViT-B-16/openai (imported)", "ViT-B-16/openai (saved activations)"]
    assert names(warehouse, "concept_sets") == ["words.txt (imported)", "words.txt"]
    assert faults(warehouse) == []


def names(warehouse: Warehouse, table: str) -> list[str]:
    """What a table calls its rows, in the order in which they came."""
    key = f"{table.removesuffix('s')}_id"
    return [name for (name,) in warehouse.sql(f"select name from store.{table} order by {key}").fetchall()]


def test_a_layer_over_two_probes_is_one_layer(warehouse: Warehouse, saved: Path) -> None:
    torch.save(ACTIVATIONS[:4], saved / "imagenet_val_resnet18_places_layer4.pt")
    import_activations(warehouse, saved)
    assert warehouse.sql(
        "select probe, count(*) from activations where layer = 'layer4' group by all order by all"
    ).fetchall() == [("broden (saved activations)", 18), ("imagenet_val (saved activations)", 12)]
    assert counts(warehouse)["layers"] == 2
    assert faults(warehouse) == []


def test_the_folder_of_images_gives_their_names_and_pictures(warehouse: Warehouse, saved: Path, pictures: Path) -> None:
    import_activations(warehouse, saved, ImportOptions(probe_folder=pictures))
    assert warehouse.sql(
        "select image, label from top_images where layer = 'layer4' and rank = 1 order by unit"
    ).fetchall() == [("dogs/4.png", "dogs"), ("cats/0.png", "cats"), ("cats/0.png", "cats")]
    assert warehouse.scalar("select count(*) from store.thumbnails") == IMAGES
    assert warehouse.scalar("select name from store.probes") == "broden"
    # so what `cli ingest` finds of the same folder belongs to the same probe
    assert warehouse.scalar("select fingerprint from store.probes") == load_probe(pictures).fingerprint
    assert faults(warehouse) == []


def test_the_order_of_images_is_that_of_image_folder(warehouse: Warehouse, saved: Path, tmp_path: Path) -> None:
    """ImageFolder lists a folder's own files before those of its subfolders, and passes over what is in no folder."""
    folder = tmp_path / "odd"
    names = ["a/z.png", "a/deep/b.png", "b/1.png", "b/2.png", "b/3.png", "b/4.png"]
    for seed, name in enumerate([*names, "stray.png"]):
        write_image(folder / name, seed)
    import_activations(warehouse, saved, ImportOptions(probe_folder=folder))
    assert [path for (path,) in warehouse.sql("select path from store.images order by image_id").fetchall()] == names


def test_a_folder_with_another_number_of_images_is_refused(warehouse: Warehouse, saved: Path, pictures: Path) -> None:
    write_image(pictures / "dogs" / "late.png", 9)
    with pytest.raises(ImportedFileError, match="holds 7 images and the activations of broden are of 6"):
        import_activations(warehouse, saved, ImportOptions(probe_folder=pictures))
    assert set(counts(warehouse).values()) == {0}


def test_images_that_cannot_be_read_here_are_left_out(warehouse: Warehouse, saved: Path, pictures: Path) -> None:
    (pictures / "dogs" / "4.png").write_text("no image")
    imported = import_activations(warehouse, saved, ImportOptions(probe_folder=pictures))
    assert list(imported.lines())[-1] == (
        f"note: 1 images could not be read and are left out: cli sql failed_images --warehouse {warehouse.path}"
    )
    assert warehouse.scalar("select count(*) from activations where layer = 'layer4' and unit = 0") == 5
    assert warehouse.sql(
        "select image from top_images where layer = 'layer4' and unit = 0 and rank = 1"
    ).fetchall() == [("dogs/5.png",)]
    assert faults(warehouse) == []


def test_many_images_are_loaded_in_chunks(warehouse: Warehouse, tmp_path: Path) -> None:
    """1100 images are 17 chunks of 64 and one of 12; the best image of unit 0 lies in one of the last."""
    values = torch.from_numpy(np.random.default_rng(0).random((1100, 2), dtype=np.float32))
    values[1050, 0] = 7
    values[3, 1] = torch.nan
    torch.save(values, tmp_path / "broden_resnet50_layer1.pt")
    import_activations(warehouse, tmp_path / "broden_resnet50_layer1.pt")
    assert warehouse.sql("select chunk, images from store.chunks order by 1").fetchall() == [
        *((chunk, 64) for chunk in range(17)),
        (17, 12),
    ]
    assert warehouse.sql("select image, activation from top_images where unit = 0 and rank = 1").fetchall() == [
        ("image 1050", 7.0)
    ]
    assert warehouse.sql("select unit, status from store.units order by 1").fetchall() == [
        (0, "live"),
        (1, "not finite"),
    ]
    assert faults(warehouse) == []


@pytest.mark.parametrize("labels_first", [True, False])
def test_imported_labels_are_of_the_same_model_and_layers(
    warehouse: Warehouse, saved: Path, tmp_path: Path, labels_first: bool
) -> None:
    labels = tmp_path / "resnet18_places365.csv"
    labels.write_text("layer,unit,description,similarity\nlayer4,0,dog,0.5\nlayer4,1,striped,0.25\n")
    if labels_first:
        import_labels(warehouse, labels)
    import_activations(warehouse, saved)
    if not labels_first:
        import_labels(warehouse, labels)
    assert warehouse.sql(
        "select unit_labels.unit, concept, image from unit_labels join top_images using (model, layer, unit)"
        " where rank = 1 order by all"
    ).fetchall() == [(0, "dog", "image 4"), (1, "striped", "image 0")]
    assert warehouse.sql("select name, units from store.layers order by position").fetchall() == [
        ("layer3:max", 2),
        ("layer4", 3),
    ]
    assert faults(warehouse) == []


def test_options_of_label_files_are_refused(warehouse: Warehouse, saved: Path) -> None:
    with pytest.raises(ImportedFileError, match="--method, --layer, --column and --first-unit are about label files"):
        import_activations(warehouse, saved, ImportOptions(method="milan"))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (
            "broden_resnet18_places_fc.pt",
            torch.zeros(6),
            r"holds a tensor of torch\.float32 \[6\]; it should be floats",
        ),
        ("broden_resnet18_places_fc.pt", {"a": torch.zeros(6, 2)}, "holds no tensor"),
        ("broden_resnet18_places_fc.pt", torch.zeros(6, 2).long(), r"torch\.int64 \[6, 2\]; it should be floats"),
        ("broden_resnet18_places_fc.pt", Path("x"), "holds more than a tensor, so reading it could run its code"),
        ("broden_resnet18_places_fc.pt", torch.zeros(5, 2), r"fc\.pt is about 5 images of broden and .* about 6"),
        ("broden_RN50.pt", torch.zeros(6, 2), "row 0 is zero or not finite"),
        ("broden_mine_fc.pt", torch.zeros(6, 2), "is not named PROBE_MODEL_LAYER.pt with a probe and a model that are"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_and_nothing_is_imported(
    warehouse: Warehouse, saved: Path, name: str, content: object, reason: str
) -> None:
    torch.save(content, saved / name)
    with pytest.raises(ImportedFileError, match=reason):
        import_activations(warehouse, saved)
    assert set(counts(warehouse).values()) == {0}


def test_a_file_that_is_cut_short_is_refused(warehouse: Warehouse, saved: Path) -> None:
    file = saved / "broden_ViT-B16.pt"
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(ImportedFileError, match="is not a readable file of torch"):
        import_activations(warehouse, saved)
    file.write_text("remember the milk")
    with pytest.raises(ImportedFileError, match="is not a readable file of torch"):
        import_activations(warehouse, saved)


def test_a_failure_halfway_leaves_nothing(warehouse: Warehouse, saved: Path) -> None:
    """The second layer's file is exchanged while the first is loaded."""

    def exchange(stage: str, _done: int, _total: int) -> None:
        if stage == "Importing":
            torch.save(ACTIVATIONS + 5, saved / "broden_resnet18_places_layer4.pt")

    with pytest.raises(ImportedFileError, match="has changed since this import began"):
        import_activations(warehouse, saved, progress=exchange)
    assert set(counts(warehouse).values()) == {0}


def test_own_models_and_probes_are_named_as_in_the_files(warehouse: Warehouse, saved: Path) -> None:
    torch.save(ACTIVATIONS, saved / "my_photos_my_net_block_2.out.pt")
    imported = import_activations(warehouse, saved, ImportOptions(probe="my_photos", model="my-net"))
    assert imported.loaded == ("my_photos_my_net_block_2.out.pt: 6 x 3",)
    assert warehouse.sql("select distinct model, layer, probe from activations").fetchall() == [
        ("my-net", "block_2.out", "my_photos (saved activations)")
    ]


def test_a_folder_without_any_known_file_says_what_to_name(warehouse: Warehouse, tmp_path: Path) -> None:
    torch.save(IMAGE_FEATURES, tmp_path / "photos_ViT-B16.pt")
    with pytest.raises(ImportedFileError, match="name the probe, as it stands in the files' names, with --probe"):
        import_activations(warehouse, tmp_path)
    import_activations(warehouse, tmp_path, ImportOptions(probe="photos"))
    assert counts(warehouse)["image_embeddings"] == IMAGES


def test_the_command_line_imports_a_folder(saved: Path, words: Path, pictures: Path, tmp_path: Path) -> None:
    def cli(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "cli"), *map(str, arguments), "--warehouse", "my.duckdb"]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=120)

    arguments = ("import", saved, "--concepts", words, "--probe-folder", pictures)
    first = cli(*arguments)
    assert (first.returncode, first.stdout) == (0, "")
    assert "broden_resnet18_places_layer4.pt: 6 x 3" in first.stderr
    assert cli("verify").stderr.endswith("my.duckdb is whole\n")
    assert "nothing to do" in cli(*arguments).stderr
    wrong = cli("import", saved, "--probe-folder", tmp_path / "none")
    assert wrong.returncode == 1
    assert wrong.stderr.strip().endswith("--probe-folder takes the images behind the activations")
