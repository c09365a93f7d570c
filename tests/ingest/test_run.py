"""From images to labels: right numbers, each thing once, nothing lost."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import torchvision
from PIL import Image

import neuronlake
from neuronlake.ingest import run
from neuronlake.ingest.encoders.loading import load_encoder
from neuronlake.ingest.networks.models import load_model
from neuronlake.ingest.recipe import Recipe
from neuronlake.ingest.storing import load_chunk
from neuronlake.sql.store.names import NameTakenError
from neuronlake.sql.warehouse import Warehouse
from tiny import CONCEPTS, write_image

TABLES = ("activations", "image_embeddings", "top_images", "units", "labels", "similarities", "scorings", "chunks")


def contents(warehouse: Warehouse) -> dict[str, list[tuple[object, ...]]]:
    """All rows of the tables that hold results, in one order."""
    found: dict[str, list[tuple[object, ...]]] = {}
    for table in TABLES:
        # which run did the work may differ, what was done may not
        kept = "* exclude (run_id)" if table in ("scorings", "chunks") else "*"
        found[table] = warehouse.sql(f"select {kept} from store.{table} order by all").fetchall()
    return found


def independent_activations(folder: Path) -> tuple[list[str], torch.Tensor, torch.Tensor]:
    """layer3 and fc of the plain torchvision model, by a hook of our own."""
    network = torchvision.models.resnet18(weights=None)
    network.load_state_dict(load_model("resnet18-imagenet", random_weights=True).module.state_dict())
    network.eval()
    transform = torchvision.models.ResNet18_Weights.DEFAULT.transforms()
    kept: list[torch.Tensor] = []
    network.layer3.register_forward_hook(lambda _module, _inputs, output: kept.append(output.mean(dim=(2, 3))))
    paths = sorted(folder.rglob("*.png"))
    with torch.inference_mode():
        logits = torch.cat([network(transform(Image.open(path).convert("RGB"))[None]) for path in paths])
    return [path.relative_to(folder).as_posix() for path in paths], torch.cat(kept), logits


def test_stored_activations_equal_an_independent_hook(tiny_warehouse: Path, image_folder: Path) -> None:
    paths, layer3, fc = independent_activations(image_folder)
    with neuronlake.open(tiny_warehouse, write=False) as warehouse:
        for layer, expected in (("layer3", layer3), ("fc", fc)):
            frame = warehouse.sql("select image, unit, activation from activations where layer = $l", l=layer).pl()
            stored = frame.pivot(on="unit", index="image", values="activation").sort("image")
            assert stored["image"].to_list() == paths
            columns = [str(unit) for unit in range(expected.shape[1])]
            np.testing.assert_allclose(stored.select(columns).to_numpy(), expected.numpy(), rtol=0, atol=1e-4)


def test_stored_embeddings_have_length_one_and_equal_the_encoders(
    tiny_warehouse: Path, tiny_recipe: Recipe, image_folder: Path
) -> None:
    encoder = load_encoder(tiny_recipe.encoder)
    paths = sorted(image_folder.rglob("*.png"))
    batch = torch.stack([encoder.preprocessing.pixels(Image.open(path).convert("RGB")) for path in paths])
    with torch.inference_mode():
        expected = encoder.encode_images(encoder.preprocessing.normalise(batch))
    with neuronlake.open(tiny_warehouse, write=False) as warehouse:
        rows = warehouse.sql("select embedding from store.image_embeddings order by image_id").fetchall()
    np.testing.assert_allclose(np.array([row[0] for row in rows]), expected.numpy(), rtol=0, atol=1e-5)


def test_labels_follow_the_published_formula(tiny_warehouse: Path, tiny_recipe: Recipe, image_folder: Path) -> None:
    _, _, fc = independent_activations(image_folder)
    encoder = load_encoder(tiny_recipe.encoder)
    paths = sorted(image_folder.rglob("*.png"))
    batch = torch.stack([encoder.preprocessing.pixels(Image.open(path).convert("RGB")) for path in paths])
    with torch.inference_mode():
        images = encoder.encode_images(encoder.preprocessing.normalise(batch)).double()
    texts = encoder.encode_texts(CONCEPTS).double()
    probability = (10 * images @ texts.T).softmax(dim=1)
    k = 5
    p = 0.998 - torch.arange(k).double() / k * (0.998 - 0.97)
    top = fc.topk(k, dim=0).indices  # (k, units)
    evidence = (1 + p[:, None, None] * (probability[top] - 1) + 1e-7).log().sum(dim=0)  # (units, concepts)
    expected = evidence - (evidence.logsumexp(dim=0) - np.log(evidence.shape[0]))
    with neuronlake.open(tiny_warehouse, write=False) as warehouse:
        frame = warehouse.sql("select unit, concept, similarity from similarities where layer = 'fc'").pl()
        labels = warehouse.sql("select concept from unit_labels where layer = 'fc' order by unit").fetchall()
    stored = frame.pivot(on="concept", index="unit", values="similarity").sort("unit").select(CONCEPTS)
    np.testing.assert_allclose(stored.to_numpy(), expected.numpy(), rtol=0, atol=1e-4)
    assert [row[0] for row in labels] == [CONCEPTS[i] for i in expected.argmax(dim=1).tolist()]


def test_top_images_are_the_highest_activations(tiny_warehouse: Path) -> None:
    with neuronlake.open(tiny_warehouse, write=False) as warehouse:
        top = warehouse.sql(
            "select layer, unit, list(activation order by rank) as best from top_images group by all order by all"
        ).pl()
        everything = warehouse.sql(
            "select layer, unit, list(activation order by activation desc)[:20] as best"
            " from activations group by all order by all"
        ).pl()
    assert top.equals(everything)


def test_only_layers_with_maps_have_peaks_and_they_lie_in_the_image(tiny_warehouse: Path) -> None:
    with neuronlake.open(tiny_warehouse, write=False) as warehouse:
        counts = warehouse.sql(
            "select layer, count(peak_x), count(peak_y) filter (peak_y between 0 and 1) from top_images"
            " group by layer order by layer"
        ).fetchall()
    assert counts == [("fc", 0, 0), ("layer3", 256 * 20, 256 * 20)]


def test_the_same_run_again_does_nothing(tiny_warehouse: Path, tiny_recipe: Recipe, tmp_path: Path) -> None:
    copy = shutil.copy(tiny_warehouse, tmp_path / "copy.duckdb")
    with neuronlake.open(copy, write=True) as warehouse:
        before = contents(warehouse)
        summary = neuronlake.ingest(warehouse, tiny_recipe)
        assert summary.did_nothing
        assert contents(warehouse) == before
        assert warehouse.scalar("select count(*) from runs") == 1


def test_processes_that_decode_give_the_same_rows(tiny_warehouse: Path, tiny_recipe: Recipe, tmp_path: Path) -> None:
    with neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse:
        neuronlake.ingest(warehouse, dataclasses.replace(tiny_recipe, decoders=2))
        found = contents(warehouse)
    with neuronlake.open(tiny_warehouse, write=False) as warehouse:
        assert found == contents(warehouse)


def test_another_layer_is_added_without_touching_the_encoder(
    tiny_warehouse: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    copy = shutil.copy(tiny_warehouse, tmp_path / "copy.duckdb")
    with neuronlake.open(copy, write=True) as warehouse:
        neuronlake.ingest(warehouse, dataclasses.replace(tiny_recipe, layers=("layer3", "layer4")))
        assert warehouse.scalar("select count(*) from store.image_embeddings") == 20
        rows = warehouse.sql("select layer, count(*) from activations group by layer order by layer").fetchall()
        assert rows == [("fc", 20 * 1000), ("layer3", 20 * 256), ("layer4", 20 * 512)]
        assert warehouse.scalar("select count(distinct setting) from scorings") == 1


def test_changed_images_are_a_new_probe_with_a_name_of_its_own_and_never_stale_activations(
    tiny_recipe: Recipe, image_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    shutil.copytree(image_folder, folder)
    recipe = dataclasses.replace(tiny_recipe, probes=(str(folder),))
    with neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse:
        neuronlake.ingest(warehouse, recipe)
        write_image(folder / "even" / "00.png", seed=999)
        with pytest.raises(
            NameTakenError, match=r"'images' is taken .* by other images or labels; .* --probe images-2="
        ):
            neuronlake.ingest(warehouse, recipe)
        neuronlake.ingest(warehouse, dataclasses.replace(recipe, probes=(f"changed={folder}",)))
        changed = warehouse.sql(
            "select probe, activation from activations where layer = 'fc' and unit = 0 and image = 'even/00.png'"
            " order by probe"
        ).fetchall()
        assert [row[0] for row in changed] == ["changed", "images"]
        assert changed[0][1] != changed[1][1]
        assert warehouse.scalar("select count(distinct setting) from scorings") == 2


def test_files_that_are_no_images_are_recorded_and_never_fatal(
    tiny_recipe: Recipe, image_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    shutil.copytree(image_folder, folder)
    (folder / "broken.jpg").write_bytes((folder / "odd" / "01.png").read_bytes()[:200])
    (folder / "words.png").write_text("these are words")
    with neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse:
        summary = neuronlake.ingest(warehouse, dataclasses.replace(tiny_recipe, probes=(str(folder),)))
        assert (summary.images, summary.failed_images) == (22, 2)
        assert any("2 of 22 files could not be read" in note for note in summary.notes)
        failed = warehouse.sql("select image, reason from failed_images order by image").fetchall()
        assert [row[0] for row in failed] == ["broken.jpg", "words.png"]
        assert all(row[1] for row in failed)
        assert warehouse.scalar("select count(*) from activations where layer = 'fc' and unit = 0") == 20
        assert neuronlake.ingest(warehouse, dataclasses.replace(tiny_recipe, probes=(str(folder),))).did_nothing


def test_a_run_that_fails_between_chunks_goes_on_where_it_stopped(
    tiny_warehouse: Path, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[int] = []

    def load_two_chunks(*arguments: object, **options: object) -> None:
        if len(loaded) == 2:
            raise OSError("the disk has gone")
        loaded.append(1)
        load_chunk(*arguments, **options)  # pyright: ignore[reportArgumentType]

    with neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse:
        monkeypatch.setattr(run, "load_chunk", load_two_chunks)
        with pytest.raises(OSError, match="disk has gone"):
            neuronlake.ingest(warehouse, tiny_recipe)
        monkeypatch.undo()
        assert warehouse.scalar("select count(*) from store.image_embeddings") == 16
        assert warehouse.scalar("select status from runs") == "failed"

        summary = neuronlake.ingest(warehouse, tiny_recipe)

        assert summary.extracted_images == 4
        resumed = contents(warehouse)
    with neuronlake.open(tiny_warehouse, write=False) as whole:
        assert resumed == contents(whole)


def test_a_wrong_layer_is_refused_before_any_image_is_read(tiny_recipe: Recipe, tmp_path: Path) -> None:
    recipe = dataclasses.replace(tiny_recipe, layers=("layer9",), probes=(str(tmp_path / "empty"),))
    (tmp_path / "empty").mkdir()
    with (
        neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse,
        pytest.raises(neuronlake.NeuronlakeError, match="no layer 'layer9'"),
    ):
        neuronlake.ingest(warehouse, recipe)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"method": "soft_wpim"}, "no method 'soft_wpim'; did you mean soft_wpmi"),
        ({"parameters": {"top": 5}}, "soft_wpmi has no parameter 'top'; it has top_k, a, lam, p_start, p_end"),
        ({"parameters": {"top_k": 0}}, "top_k must be a whole number above 0"),
        ({"prompts": ("a photo",)}, "has no place for the concept"),
        ({"pooling": "median"}, "no pooling 'median'"),
        ({"device": "cuda:99"}, "device 'cuda:99' cannot be used"),
        ({"device": "quantum"}, "device 'quantum' cannot be used"),
        ({"weights": {"other": Path("x")}}, "--weights names 'other'"),
        ({"layers": ()}, "at least one"),
        ({"probes": ()}, "at least one --probe"),
        ({"limit": 0}, "--limit must be 1 or more"),
        ({"max_failures": -1}, "--max-failures must be 0 or more"),
        ({"workers": 0}, "--workers must be 1 or more"),
        ({"keep_concepts": 1}, "--keep-concepts must be at least 2"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    tiny_recipe: Recipe, tmp_path: Path, change: dict[str, object], complaint: str
) -> None:
    with neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse:
        with pytest.raises(neuronlake.NeuronlakeError) as error:
            neuronlake.ingest(warehouse, dataclasses.replace(tiny_recipe, **change))  # pyright: ignore[reportArgumentType]
        assert warehouse.scalar("select count(*) from store.runs") == 0
    assert complaint in str(error.value)


def test_prompts_methods_and_parameters_are_scorings_of_their_own(
    tiny_warehouse: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    copy = shutil.copy(tiny_warehouse, tmp_path / "copy.duckdb")
    with neuronlake.open(copy, write=True) as warehouse:
        neuronlake.ingest(warehouse, dataclasses.replace(tiny_recipe, prompts=("a photo of a {}",)))
        neuronlake.ingest(warehouse, dataclasses.replace(tiny_recipe, method="cos_similarity", parameters={}))
        settings = warehouse.sql("select distinct setting, method, encoder from scorings order by setting").fetchall()
        encoder = tiny_recipe.encoder
        assert [row[1:] for row in settings] == [
            ("soft_wpmi(top_k=5)", encoder),
            ("soft_wpmi(top_k=5)", f'{encoder} "a photo of a {{}}"'),
            ("cos_similarity", encoder),
        ]
        units = warehouse.sql("select setting, sum(units) from concept_frequency where layer = 'fc' group by setting")
        assert {row[1] for row in units.fetchall()} == {1000}


def test_keep_concepts_stores_the_best_of_each_unit(tiny_recipe: Recipe, tiny_warehouse: Path, tmp_path: Path) -> None:
    with neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse:
        neuronlake.ingest(warehouse, dataclasses.replace(tiny_recipe, keep_concepts=3))
        kept = warehouse.sql("select layer, unit, concept, similarity from similarities order by all").pl()
        labels = warehouse.sql("select layer, unit, concept, p_value from unit_labels order by all").pl()
    with neuronlake.open(tiny_warehouse, write=False) as whole:
        best = whole.sql(
            "select layer, unit, concept, similarity from similarities"
            " qualify row_number() over (partition by layer, unit order by similarity desc) <= 3 order by all"
        ).pl()
        all_labels = whole.sql("select layer, unit, concept, p_value from unit_labels order by all").pl()
    assert kept.equals(best)
    assert labels.equals(all_labels)


def test_two_models_under_one_name_must_be_named(tiny_recipe: Recipe, tmp_path: Path) -> None:
    torch.manual_seed(11)
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "other.pth")
    other = dataclasses.replace(
        tiny_recipe, random_weights=False, weights={"resnet18-imagenet": tmp_path / "other.pth"}, layers=("fc",)
    )
    with neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse:
        neuronlake.ingest(warehouse, dataclasses.replace(tiny_recipe, layers=("fc",)))
        with pytest.raises(NameTakenError, match=r"'resnet18-imagenet' is taken .* by another network"):
            neuronlake.ingest(warehouse, other)
        weights = {"other": tmp_path / "other.pth"}
        neuronlake.ingest(warehouse, dataclasses.replace(other, models=("other=resnet18-imagenet",), weights=weights))
        rows = warehouse.sql("select model, is_random, units from scorings order by scoring").fetchall()
        assert rows == [("resnet18-imagenet", True, 1000), ("other", False, 1000)]
        overlap = warehouse.sql("select model_a, model_b, layer from model_overlap").fetchall()
        assert overlap == [("other", "resnet18-imagenet", "fc")]


def test_max_pooling_is_a_layer_of_its_own(tiny_warehouse: Path, tiny_recipe: Recipe, tmp_path: Path) -> None:
    copy = shutil.copy(tiny_warehouse, tmp_path / "copy.duckdb")
    with neuronlake.open(copy, write=True) as warehouse:
        neuronlake.ingest(warehouse, dataclasses.replace(tiny_recipe, layers=("layer3",), pooling="max"))
        rows = warehouse.sql("select layer, avg(activation) from activations group by layer order by layer").pl()
        assert rows["layer"].to_list() == ["fc", "layer3", "layer3:max"]
        mean = rows.filter(pl.col("layer") == "layer3").row(0)[1]
        assert rows.filter(pl.col("layer") == "layer3:max").row(0)[1] > mean


def random_resnet18_file(path: Path, change: Callable[[torch.nn.Linear], None]) -> Path:
    """A checkpoint whose last layer was changed by hand."""
    torch.manual_seed(12)
    network = torchvision.models.resnet18()
    with torch.no_grad():
        change(network.fc)
    torch.save(network.state_dict(), path)
    return path


def ingest_file(recipe: Recipe, file: Path, warehouse: Warehouse) -> None:
    """The last layer of a ResNet-18 from a file."""
    weights = {"resnet18-imagenet": file}
    neuronlake.ingest(warehouse, dataclasses.replace(recipe, layers=("fc",), random_weights=False, weights=weights))


@pytest.mark.parametrize(("dead", "labelled"), [(7, 993), (1000, 0)])
def test_units_that_never_change_are_dead_and_have_no_label(
    tiny_recipe: Recipe, tmp_path: Path, dead: int, labelled: int
) -> None:
    file = random_resnet18_file(tmp_path / "dead.pth", lambda fc: fc.weight[:dead].zero_())
    with neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse:
        ingest_file(tiny_recipe, file, warehouse)
        assert warehouse.sql("select labelled, dead from layer_summary").fetchall() == [(labelled, dead)]
        rows = warehouse.sql(
            "select unit, concept, is_significant from unit_labels where status = 'dead' order by unit"
        )
        assert rows.fetchall() == [(unit, None, None) for unit in range(dead)]
        assert warehouse.scalar("select count(*) from similarities") == labelled * len(CONCEPTS)


def test_values_that_are_not_finite_are_counted_and_never_stored_as_nan(tiny_recipe: Recipe, tmp_path: Path) -> None:
    def spoil(fc: torch.nn.Linear) -> None:
        fc.bias[3] = torch.nan
        fc.bias[5] = torch.inf

    file = random_resnet18_file(tmp_path / "nan.pth", spoil)
    with neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse:
        ingest_file(tiny_recipe, file, warehouse)
        odd = warehouse.sql(
            "select unit, concept from unit_labels where status = 'not finite' order by unit"
        ).fetchall()
        assert odd == [(3, None), (5, None)]
        assert warehouse.scalar("select sum(not_finite) from store.units") == 2 * 20
        assert warehouse.scalar("select count(*) from activations where activation is null") == 2 * 20
        assert warehouse.scalar("select count(*) from activations where not isfinite(activation)") == 0
        assert warehouse.scalar("select count(*) from unit_labels where concept is not null") == 998
        assert warehouse.scalar("select count(*) from similarities where not isfinite(similarity)") == 0
