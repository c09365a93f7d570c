"""Images that vanish, change or stop being readable while a probe is looked at: no layer is ever of other images."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import neuronlake
from neuronlake import NeuronlakeError
from neuronlake.ingest.recipe import Recipe
from neuronlake.sql.verify import verify
from neuronlake.sql.warehouse import Warehouse
from tiny import write_image

RESULTS = ("activations", "image_embeddings", "failed_images", "top_images", "units")


@pytest.fixture
def recipe(tiny_recipe: Recipe, image_folder: Path, tmp_path: Path) -> Recipe:
    """The small run over a probe of its own, which a test may spoil."""
    shutil.copytree(image_folder, tmp_path / "probe")
    return dataclasses.replace(tiny_recipe, probes=(str(tmp_path / "probe"),))


def contents(warehouse: Warehouse) -> dict[str, list[tuple[object, ...]]]:
    """All rows of results, in one order, and every label as a reader sees it."""
    rows = {table: warehouse.sql(f"select * from store.{table} order by all").fetchall() for table in RESULTS}
    # how many threads add up a sum may change its last digits
    labels = (
        "select layer, unit, concept, round(similarity, 4) from unit_labels where method = 'soft_wpmi(top_k=5)'"
        " order by all"
    )
    return rows | {"labels": warehouse.sql(labels).fetchall()}


def untouched(recipe: Recipe, path: Path) -> dict[str, list[tuple[object, ...]]]:
    """What a run gives that nothing happened to."""
    with neuronlake.open(path) as warehouse:
        neuronlake.ingest(warehouse, recipe)
        return contents(warehouse)


def embedded_late(change: Callable[[], object]) -> Callable[[str, int, int], None]:
    """Progress that does something once, at the end of embedding concepts."""
    made: list[bool] = []

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "Embedding concepts" and done == total and not made:
            made.append(True)
            change()

    return progress


def test_an_image_that_vanishes_stops_the_run_which_goes_on_once_it_is_back(recipe: Recipe, tmp_path: Path) -> None:
    expected = untouched(recipe, tmp_path / "expected.duckdb")
    image, away = tmp_path / "probe" / "odd" / "09.png", tmp_path / "away.png"
    with neuronlake.open(tmp_path / "w.duckdb") as warehouse:
        with pytest.raises(NeuronlakeError, match=r"odd/09\.png could be read when the probe was listed and cannot"):
            neuronlake.ingest(warehouse, recipe, embedded_late(lambda: image.rename(away)))
        assert warehouse.scalar("select count(*) from store.failed_images") == 0
        assert warehouse.scalar("select status from runs") == "failed"
        assert verify(warehouse) == []
        away.rename(image)
        summary = neuronlake.ingest(warehouse, recipe)
        assert summary.scored_layers == 2
        assert contents(warehouse) == expected
        assert verify(warehouse) == []


def test_an_image_that_is_replaced_after_it_was_listed_is_never_looked_at(recipe: Recipe, tmp_path: Path) -> None:
    image = tmp_path / "probe" / "odd" / "09.png"
    with neuronlake.open(tmp_path / "w.duckdb") as warehouse:
        with pytest.raises(NeuronlakeError, match=r"odd/09\.png was changed after the probe was listed"):
            neuronlake.ingest(warehouse, recipe, embedded_late(lambda: write_image(image, seed=77)))
        assert verify(warehouse) == []
        assert warehouse.scalar("select count(*) from store.scorings") == 0


def test_a_probe_whose_image_could_not_be_read_when_it_was_listed_stays_without_it(
    recipe: Recipe, tmp_path: Path
) -> None:
    probe, listed = tmp_path / "probe", tmp_path / "list.csv"
    listed.write_text(
        "\n".join(["path", *(f"probe/{path.relative_to(probe)}" for path in sorted(probe.rglob("*.png")))])
    )
    image, away = probe / "odd" / "09.png", tmp_path / "away.png"
    image.rename(away)
    with neuronlake.open(tmp_path / "w.duckdb") as warehouse:
        from_list = dataclasses.replace(recipe, probes=(str(listed),))
        summary = neuronlake.ingest(warehouse, from_list, embedded_late(lambda: away.rename(image)))
        assert summary.failed_images == 1
        reason = warehouse.scalar("select reason from failed_images where image = 'probe/odd/09.png'")
        assert reason == "could not be read when the probe was listed"
        assert warehouse.scalar("select count(distinct image_id) from store.activations") == 19
        assert verify(warehouse) == []


LARGE, LIMIT = (300, 240), 60_000


def test_what_one_run_could_not_decode_stays_out_of_all_layers(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "probe" / "odd" / "09.png", 9, LARGE)
    with neuronlake.open(tmp_path / "w.duckdb") as warehouse:
        with monkeypatch.context() as limited:
            limited.setattr(Image, "MAX_IMAGE_PIXELS", LIMIT)
            assert neuronlake.ingest(warehouse, dataclasses.replace(recipe, layers=("layer3",))).failed_images == 1
        assert neuronlake.ingest(warehouse, recipe).failed_images == 1
        for layer_id in (1, 2):
            images = "select count(distinct image_id) from store.activations where layer_id = $layer_id"
            assert warehouse.scalar(images, layer_id=layer_id) == 19
        assert warehouse.scalar("select count(*) from store.image_embeddings") == 19
        assert warehouse.sql("select distinct images from scorings").fetchall() == [(19,)]
        assert verify(warehouse) == []


def test_what_an_earlier_run_decoded_and_this_one_cannot_stops_it(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "probe" / "odd" / "09.png", 9, LARGE)
    with neuronlake.open(tmp_path / "w.duckdb") as warehouse:
        neuronlake.ingest(warehouse, dataclasses.replace(recipe, layers=("layer3",)))
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", LIMIT)
        with pytest.raises(
            NeuronlakeError, match=r"odd/09\.png was decoded by an earlier run and cannot be decoded now"
        ):
            neuronlake.ingest(warehouse, recipe)
        assert verify(warehouse) == []


def lose_from_layer(warehouse: Warehouse, layer: str, path: str) -> None:
    """What version 0.1 left when an image could not be read while a later layer was extracted."""
    image_id = warehouse.scalar("select image_id from store.images where path = $path", path=path)
    layer_id = warehouse.scalar("select layer_id from store.layers where name = $layer", layer=layer)
    for table in ("activations", "top_images"):
        warehouse.execute(f"delete from store.{table} where layer_id = {layer_id} and image_id = {image_id}")
    lose_from_chunk(warehouse, image_id, f"layer_id = {layer_id}")


def lose_embedding(warehouse: Warehouse, path: str) -> None:
    """The same while embeddings were made."""
    image_id = warehouse.scalar("select image_id from store.images where path = $path", path=path)
    warehouse.execute(f"delete from store.image_embeddings where image_id = {image_id}")
    lose_from_chunk(warehouse, image_id, "encoder_id is not null")


def lose_from_chunk(warehouse: Warehouse, image_id: int, of_what: str) -> None:
    chunk = f"({image_id} - (select min(image_id) from store.images)) // 8"
    warehouse.execute(f"update store.chunks set images = images - 1 where {of_what} and chunk = {chunk}")
    warehouse.execute(f"insert into store.failed_images values ({image_id}, 'host is down')")


@pytest.mark.parametrize("lost", ["layer", "embedding", "both"])
def test_a_layer_or_embeddings_that_lack_an_image_are_refused_and_then_made_anew(
    tiny_recipe: Recipe, tiny_warehouse: Path, tmp_path: Path, lost: str
) -> None:
    with neuronlake.open(tiny_warehouse, write=False) as warehouse:
        expected = contents(warehouse)
    with neuronlake.open(shutil.copy(tiny_warehouse, tmp_path / "w.duckdb")) as warehouse:
        if lost in ("layer", "both"):
            lose_from_layer(warehouse, "fc", "odd/09.png")
        if lost in ("embedding", "both"):
            lose_embedding(warehouse, "even/12.png")
        assert "chunks_even" in [fault.check for fault in verify(warehouse)]
        with pytest.raises(NeuronlakeError, match="has activations of other images than those that the encoder has"):
            neuronlake.score(warehouse, method="wpmi")
        summary = neuronlake.ingest(warehouse, tiny_recipe)
        said = " ".join(summary.notes)
        assert ("fc of resnet18-imagenet lacked 1 of the images" in said) == (lost != "embedding")
        assert ("the embeddings of the probe lacked 1 of the images" in said) == (lost != "layer")
        assert contents(warehouse) == expected
        assert verify(warehouse) == []
        assert neuronlake.ingest(warehouse, tiny_recipe).did_nothing
