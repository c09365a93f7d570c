"""Network Dissection of a folder of pictures with masks: what a look at every pixel finds, however it is cut up."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from mask_files import grey
from PIL import Image
from torch import Tensor, nn

import neuronlake
from neuronlake import NeuronlakeError
from neuronlake.ingest import dissecting
from neuronlake.sql.verify import verify
from neuronlake.sql.warehouse import Warehouse

IMAGES = 12
# layers with maps of 32 x 32, of 16 x 16, and of units that have none
LAYERS = ("1", "4", "8")
CLASSES = "value,concept,category\n0,,\n1,disc,object\n2,box,object\n3,striped,texture\n4,unicorn,object\n"
CONCEPTS = {"disc": "object", "box": "object", "striped": "texture", "unicorn": "object"}
QUANTILE = 0.05
# of the pictures that can be read the pixels, and what their masks say
Pictures = list[tuple[np.ndarray, np.ndarray]]
Drawn = tuple[Path, Pictures]
# all that follows from the two passes, and from the labels
TABLES = (
    *("thresholds", "regions", "active_regions", "outlines"),
    *("labels", "label_terms", "similarities", "intersections", "fidelities"),
)


def as_numbers(image: Image.Image) -> Tensor:
    """32 x 32 pixels of 0 to 255: with whole weights maps are whole numbers, and sums are exact in any order."""
    small = np.array(image.resize((32, 32), Image.Resampling.NEAREST))
    return torch.from_numpy(small).permute(2, 0, 1).float()


def network() -> nn.Sequential:
    """Three layers of whole weights."""
    module = nn.Sequential(
        *(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4)),
    )
    generator = torch.Generator().manual_seed(2)
    for weight in module.parameters():
        whole = torch.randint(-1, 2, weight.shape, generator=generator)
        weight.requires_grad_(False).copy_(whole)
    return module


def draw(folder: Path, number: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture of 64 x 64 with a disc, a box or a striped part, and its values, of 64 x 64 or of 32 x 32."""
    random = np.random.default_rng(number)
    pixels = random.integers(40, 120, (64, 64, 3), dtype=np.uint8)
    values = np.zeros((64, 64), np.uint8)
    y, x = np.mgrid[:64, :64]
    middle, size = random.integers(15, 50, 2), int(random.integers(8, 20))
    if number % 3 != 1:
        disc = np.hypot(x - middle[0], y - middle[1]) < size
        pixels[disc], values[disc] = (230, 60, 20), 1
    if number % 3 != 2:
        box = (abs(x - middle[1]) < size) & (abs(y - middle[0]) < size / 2)
        pixels[box], values[box] = (10, 80, 250), 2
    if number % 4 == 0:
        part = (x > 40) & (y > 30)
        pixels[part & (x % 4 < 2)], pixels[part & (x % 4 >= 2)], values[part] = 0, 255, 3
    if number % 2:
        values = values[::2, ::2]
    (folder / "photos").mkdir(exist_ok=True, parents=True)
    (folder / "masks").mkdir(exist_ok=True)
    Image.fromarray(pixels).save(folder / "photos" / f"{number:02}.png")
    (folder / "masks" / f"{number:02}.png").write_bytes(grey(values.tolist()))
    return pixels, values


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """A folder of pictures, the last of which are damaged, with masks; and the pixels and values of the others."""
    folder = tmp_path_factory.mktemp("drawn")
    found = [draw(folder, number) for number in range(IMAGES)]
    for name in ("z1", "z2", "z3"):
        (folder / "photos" / f"{name}.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
        (folder / "masks" / f"{name}.png").write_bytes(grey([[1, 2], [0, 3]]))
    (folder / "classes.csv").write_text(CLASSES)
    return folder, found


@pytest.fixture
def work(drawn: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of these, to work in."""
    shutil.copytree(drawn[0], tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


pytestmark = pytest.mark.usefixtures("work")


def dissected(warehouse: Warehouse, **changes: Any) -> Any:
    """Ingest the pictures with their masks; `parameters` are added to the quantile."""
    settings = {
        "models": {"net": (network(), as_numbers)},
        "layers": LAYERS,
        "probes": "photos",
        "masks": "masks",
        "mask_labels": Path("classes.csv"),
        "method": "network_dissection",
        "device": "cpu",
    }
    parameters = {"quantile": QUANTILE, **changes.pop("parameters", {})}
    return neuronlake.ingest(warehouse, **{**settings, "parameters": parameters, **changes})


@pytest.fixture(scope="session")
def whole(drawn: Drawn, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, pl.DataFrame]]:
    """A warehouse of one run over one chunk, and its rows."""
    path = tmp_path_factory.mktemp("whole") / "w.duckdb"
    with pytest.MonkeyPatch.context() as patch, neuronlake.open(path, write=True) as warehouse:
        patch.chdir(drawn[0])
        dissected(warehouse)
        return path, rows(warehouse)


@pytest.fixture
def copy(whole: tuple[Path, dict[str, pl.DataFrame]], tmp_path: Path) -> Path:
    """The warehouse of one run, to be changed."""
    return Path(shutil.copy(whole[0], tmp_path / "copy.duckdb"))


@pytest.fixture
def expected(whole: tuple[Path, dict[str, pl.DataFrame]]) -> dict[str, pl.DataFrame]:
    """Its rows."""
    return whole[1]


def rows(warehouse: Warehouse) -> dict[str, pl.DataFrame]:
    return {name: warehouse.sql(f"select * from store.{name} order by all").pl() for name in TABLES}


def same_rows(found: dict[str, pl.DataFrame], expected: dict[str, pl.DataFrame]) -> None:
    for name, table in expected.items():
        assert not table.is_empty(), name
        assert found[name].equals(table), name


def maps_by_hand(layer: str, pictures: list[np.ndarray]) -> np.ndarray:
    """(images, units, height, width) float32."""
    with torch.no_grad():
        inputs = torch.stack([as_numbers(Image.fromarray(pixels)) for pixels in pictures])
        found = network()[: int(layer) + 1](inputs).numpy()
    assert np.abs(found).max() * found[0, 0].size < 2**24
    return found.reshape(*found.shape[:2], *(found.shape[2:] or (1, 1)))


def enlarged_by_hand(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(Image.fromarray(values).resize(shape[::-1], Image.Resampling.BILINEAR))


def by_hand(layer: str, pictures: Pictures, quantile: float = QUANTILE) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds (units,), and intersection and union of each unit and concept, by every pixel of every image."""
    maps = maps_by_hand(layer, [pixels for pixels, _ in pictures])
    units = maps.shape[1]
    thresholds = np.quantile(maps.transpose(1, 0, 2, 3).reshape(units, -1).astype(np.float64), 1 - quantile, axis=1)
    intersection, active = np.zeros((2, units, len(CONCEPTS)), np.int64)
    extent = np.zeros(len(CONCEPTS), np.int64)
    for (_, values), of_units in zip(pictures, maps, strict=True):
        masks = [values == value for value in range(1, len(CONCEPTS) + 1)]
        shown = {category for mask, category in zip(masks, CONCEPTS.values(), strict=True) if mask.any()}
        for unit, one in enumerate(of_units):
            is_active = enlarged_by_hand(one, values.shape).astype(np.float64) > thresholds[unit]
            for place, (mask, category) in enumerate(zip(masks, CONCEPTS.values(), strict=True)):
                intersection[unit, place] += (mask & is_active).sum()
                active[unit, place] += is_active.sum() * (category in shown)
        extent += [mask.sum() for mask in masks]
    return thresholds, intersection, active + extent - intersection


def test_what_is_stored_is_what_a_look_at_every_pixel_finds(drawn: Drawn, copy: Path) -> None:
    with neuronlake.open(copy) as warehouse:
        assert verify(warehouse) == []
        for number, layer in enumerate(LAYERS, start=1):
            thresholds, intersection, union = by_hand(layer, drawn[1])
            assert intersection.any()
            stored = "select threshold from store.thresholds where dissection_id = $id order by unit"
            found = warehouse.sql(stored, id=number).fetchnumpy()["threshold"]
            np.testing.assert_allclose(found, thresholds, rtol=1e-12)
            pairs = warehouse.sql(
                "select unit, concept, intersection_pixels, union_pixels, scorings.scoring_id"
                " from store.intersections inner join store.scorings using (scoring_id)"
                " inner join store.concepts using (concept_id) where layer_id = $id",
                id=number,
            ).fetchall()
            places = list(CONCEPTS)
            is_live = "select unit from store.labels inner join store.scorings using (scoring_id) where layer_id = $id"
            live = {row[0] for row in warehouse.sql(is_live, id=number).fetchall()}
            expected = {
                (unit, places[place], intersection[unit, place], union[unit, place])
                for unit, place in np.argwhere(intersection > 0).tolist()
                if unit in live
            }
            assert {row[:4] for row in pairs} == expected
            assert len(pairs) == len(expected)
            labels = warehouse.sql(
                "select unit, concept, similarity, threshold, intersection_pixels, union_pixels"
                " from unit_labels where layer = $layer order by unit",
                layer=layer,
            ).fetchall()
            assert labels
            iou = intersection / np.maximum(union, 1)
            for unit, concept, similarity, threshold, met, either in labels:
                assert threshold == pytest.approx(thresholds[unit])
                if iou[unit].max() == 0:
                    assert (concept, similarity) == (None, None)
                    continue
                place = places.index(concept)
                assert similarity == pytest.approx(iou[unit].max(), rel=1e-6)
                assert (met, either) == (intersection[unit, place], union[unit, place])
                assert met / either == pytest.approx(similarity, rel=1e-6)


def test_on_any_device_the_same_is_found(expected: dict[str, pl.DataFrame], device: torch.device) -> None:
    with neuronlake.open("device.duckdb", write=True) as warehouse:
        dissected(warehouse, device=str(device))
        found = rows(warehouse)
    if device.type == "cpu":
        same_rows(found, expected)
    # a GPU's convolutions may round where whole weights leave nothing to round, and then a pixel in a thousand is other
    thresholds = (tables["thresholds"]["threshold"].to_numpy() for tables in (found, expected))
    np.testing.assert_allclose(*thresholds, rtol=1e-4)
    met = [tables["intersections"]["intersection_pixels"].sum() for tables in (found, expected)]
    assert met[0] == pytest.approx(met[1], rel=1e-3)
    terms = (tables["label_terms"].select("scoring_id", "unit", "concept_id") for tables in (found, expected))
    assert next(terms).equals(next(terms))


def test_outlines_are_kept_of_the_units_top_images_where_they_are_active(copy: Path) -> None:
    with neuronlake.open(copy) as warehouse:
        outlined = warehouse.sql(
            "select unit, image_id from store.outlines where dissection_id = 1 order by all"
        ).fetchall()
        expected = warehouse.sql(
            "select distinct unit, image_id"
            " from store.top_images inner join store.active_regions using (unit, image_id)"
            " where rank <= 5 and layer_id = 1 and dissection_id = 1 order by all"
        ).fetchall()
        assert outlined == expected
        assert outlined
        paths = [row[0] for row in warehouse.sql("select outline from store.outlines").fetchall()]
        assert all(re.fullmatch(r"(M\d+ \d+(L\d+ \d+)+Z)+|", path) for path in paths)


def test_a_second_run_does_nothing(copy: Path, expected: dict[str, pl.DataFrame]) -> None:
    with neuronlake.open(copy, write=True) as warehouse:
        summary = dissected(warehouse)
        assert summary.did_nothing
        assert (summary.images, summary.failed_images, summary.layers) == (IMAGES + 3, 3, 3)
        assert warehouse.scalar("select count(*) from store.runs") == 1
        same_rows(rows(warehouse), expected)


def test_labels_that_are_judged_again_are_judged_beside_their_masks(copy: Path) -> None:
    with neuronlake.open(copy, write=True) as warehouse:
        before = warehouse.sql("from store.fidelities order by all").fetchall()
        for table in ("fidelities", "judgements"):
            warehouse.execute(f"delete from store.{table}")
        assert neuronlake.score(warehouse, fidelity=True).scored_layers == 3
        assert warehouse.sql("from store.fidelities order by all").fetchall() == before


def test_other_masks_need_another_name_and_are_another_set_of_concepts(
    drawn: Drawn, copy: Path, expected: dict[str, pl.DataFrame]
) -> None:
    with neuronlake.open(copy, write=True) as warehouse:
        inverted = [(pixels, np.where(values == 1, 2, 1).astype(np.uint8)) for pixels, values in drawn[1]]
        shutil.copytree("masks", "inverted")
        for number, (_, values) in enumerate(inverted):
            Path("inverted", f"{number:02}.png").write_bytes(grey(values.tolist()))
        with pytest.raises(NeuronlakeError) as error:
            dissected(warehouse, masks="inverted")
        assert str(error.value) == (
            f"the name 'masks of photos' is taken in {copy} by other concepts; give this one its own: "
            "--masks masks-of-photos-2=inverted"
        )
        same_rows(rows(warehouse), expected)
        summary = dissected(warehouse, masks="other=inverted")
        assert (summary.scored_layers, summary.extracted_images) == (3, 0)
        assert warehouse.sql("select name from store.concept_sets order by concept_set_id").fetchall() == [
            ("masks of photos",),
            ("other",),
        ]
        assert warehouse.scalar("select count(*) from store.dissections") == 6
        after = rows(warehouse)
        for name, table in expected.items():
            assert table.join(after[name], on=table.columns, how="anti", nulls_equal=True).is_empty(), name
        _, intersection, _ = by_hand("1", inverted)
        total = warehouse.scalar(
            "select sum(intersection_pixels) from store.intersections inner join store.scorings using (scoring_id)"
            " inner join store.concept_sets using (concept_set_id) where name = 'other' and layer_id = 1"
        )
        assert total == intersection.sum()
        assert verify(warehouse) == []


def test_other_parameters_go_by_the_passes_that_were_made(copy: Path, tmp_path: Path) -> None:
    """No image and no mask is read: they are gone."""
    changes = [{"definition": "lite"}, {"length": 3}]
    fresh = []
    with neuronlake.open("fresh.duckdb", write=True) as warehouse:
        for number, parameters in enumerate(changes):
            dissected(warehouse, parameters=parameters)
            fresh.append(labels(warehouse, first=3 * number + 1))
        assert warehouse.scalar("select count(*) from store.dissections") == 3
    with neuronlake.open(copy, write=True) as warehouse:
        passes = warehouse.sql("select * from store.dissected_chunks").fetchall()
        usual = labels(warehouse, first=1)
        for name in ("photos", "masks"):
            Path(name).rename(tmp_path / f"moved-{name}")
        for number, parameters in enumerate(changes, start=1):
            summary = neuronlake.score(
                warehouse, method="network_dissection", parameters={"quantile": QUANTILE, **parameters}, device="cpu"
            )
            assert summary.scored_layers == 3
            found = labels(warehouse, first=3 * number + 1)
            assert len(found) == len(usual) == 15
            assert found == fresh[number - 1]
            assert found != usual
        assert warehouse.sql("select * from store.dissected_chunks").fetchall() == passes
        assert verify(warehouse) == []


def labels(warehouse: Warehouse, first: int) -> list[tuple[Any, ...]]:
    """What the scorings of a number and of the two after it say of each unit."""
    return warehouse.sql(
        "select layer, unit, concept, similarity, threshold, intersection_pixels, union_pixels, held_out_correlation"
        " from unit_labels where scoring between $first and $first + 2 order by all",
        first=first,
    ).fetchall()


def test_another_quantile_is_another_dissection_of_the_same_regions(
    drawn: Drawn, copy: Path, expected: dict[str, pl.DataFrame]
) -> None:
    with neuronlake.open(copy, write=True) as warehouse:
        dissected(warehouse, parameters={"quantile": 0.3})
        assert rows(warehouse)["regions"].equals(expected["regions"])
        assert warehouse.sql("select quantile from store.dissections order by dissection_id").fetchall() == [
            *[(QUANTILE,)] * 3,
            *[(0.3,)] * 3,
        ]
        found = warehouse.sql("select threshold from store.thresholds where dissection_id = 5 order by unit")
        np.testing.assert_allclose(found.fetchnumpy()["threshold"], by_hand("4", drawn[1], 0.3)[0], rtol=1e-12)
        assert verify(warehouse) == []


@pytest.fixture
def drops(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The layers of which lower values were dropped, as often as they were."""
    seen: list[int] = []
    drop = dissecting._drop_lower  # pyright: ignore[reportPrivateUsage]

    def recorded(passes: Any, layer: Any, places: int) -> np.ndarray:
        seen.append(layer.layer_id)
        return drop(passes, layer, places)

    monkeypatch.setattr(dissecting, "_drop_lower", recorded)
    return seen


@pytest.mark.parametrize("stored_times", [3, 0], ids=["values dropped now and then", "values dropped always"])
def test_many_small_chunks_give_the_rows_of_one(
    stored_times: int, drops: list[int], expected: dict[str, pl.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values that are below all that count are dropped on the way; the last chunk has damaged pictures alone."""
    monkeypatch.setattr(dissecting, "_STORED_TIMES", stored_times)
    monkeypatch.setattr(dissecting, "_VALUES_AT_ONCE", 1000)
    with neuronlake.open("w.duckdb", write=True) as warehouse:
        dissected(warehouse, chunk_images=2, batch_size=1)
        assert {1, 2} <= {*drops}
        same_rows(rows(warehouse), expected)
        assert warehouse.scalar("select count(*) from store.tails") == 0
        assert verify(warehouse) == []


def stop_at(stage: str, images: int) -> Callable[[str, int, int], None]:
    """Progress that is interrupted once a stage has done so many images."""

    def progress(name: str, done: int, _total: int) -> None:
        if name == stage and done >= images:
            raise KeyboardInterrupt

    return progress


def test_what_is_interrupted_goes_on_chunk_by_chunk(drops: list[int], expected: dict[str, pl.DataFrame]) -> None:
    with neuronlake.open("w.duckdb", write=True) as warehouse:
        for stage, images in [("Seeking thresholds", 5), ("Comparing with masks", 7), ("Comparing with masks", 3)]:
            with pytest.raises(KeyboardInterrupt):
                dissected(warehouse, chunk_images=2, progress=stop_at(stage, images))
            assert verify(warehouse) == []
        # what an earlier run had found bounds what this one looks for
        assert {1, 2, 3} <= {*drops}
        done = "select count(*) from store.dissected_chunks where pass = 'regions'"
        assert 0 < warehouse.scalar(done) < 3 * 8
        dissected(warehouse, chunk_images=2)
        same_rows(rows(warehouse), expected)
        assert verify(warehouse) == []


def test_masks_that_change_between_the_passes_are_told_and_nothing_of_their_chunk_is_written(
    expected: dict[str, pl.DataFrame],
) -> None:
    mask = Path("masks", "05.png")
    as_it_was = mask.read_bytes()

    def change(stage: str, done: int, total: int) -> None:
        if stage == "Seeking thresholds" and done == total:
            mask.write_bytes(grey([[1] * 32] * 32))

    with neuronlake.open("w.duckdb", write=True) as warehouse:
        with pytest.raises(NeuronlakeError) as error:
            dissected(warehouse, chunk_images=4, progress=change)
        assert str(error.value) == (
            "the masks of 05.png were changed after the probe was listed; leave them as they are while they are read, "
            "and run the same command again to go on"
        )
        assert {row[0] for row in warehouse.sql("select chunk from store.region_chunks").fetchall()} <= {0}
        for table in ("regions", "active_regions", "outlines"):
            assert warehouse.sql(f"select image_id from store.{table} where image_id > 4").fetchall() == []
        assert warehouse.scalar("select count(*) from store.labels") == 0
        assert verify(warehouse) == []
        mask.write_bytes(as_it_was)
        dissected(warehouse, chunk_images=4)
        same_rows(rows(warehouse), expected)
        assert verify(warehouse) == []


def test_layers_that_come_later_see_the_same_regions(expected: dict[str, pl.DataFrame]) -> None:
    with neuronlake.open("w.duckdb", write=True) as warehouse:
        dissected(warehouse, layers=LAYERS[:1])
        assert dissected(warehouse).scored_layers == 2
        same_rows(rows(warehouse), expected)
        assert verify(warehouse) == []


def test_a_folder_of_images_without_masks_is_dissected_by_its_labels() -> None:
    """Four images of the twelve are of one label; a unit counts as active on the whole image, whatever its label."""
    for number in range(IMAGES):
        folder = Path("sorted", ["disc", "box", "striped"][number // 4])
        folder.mkdir(exist_ok=True, parents=True)
        shutil.copy(Path("photos", f"{number:02}.png"), folder)
    with neuronlake.open("w.duckdb", write=True) as warehouse:
        changes = {"masks": None, "mask_labels": None, "parameters": {"quantile": 0.25}}
        dissected(warehouse, probes="sorted", layers="8", **changes)
        assert warehouse.scalar("select count(*) from store.dissections") == 0
        table = warehouse.sql("select image_id, label, unit, activation from activations").pl()
        found = warehouse.sql("select unit, concept, similarity, threshold from unit_labels order by unit").fetchall()
        assert found
        for unit, concept, similarity, threshold in found:
            of_unit = table.filter(unit=unit)
            values, names = of_unit["activation"].to_numpy().astype(np.float64), of_unit["label"].to_numpy()
            assert threshold == pytest.approx(np.quantile(values, 0.75))
            active = values > np.quantile(values, 0.75)
            iou = {name: (active & (names == name)).sum() / (active | (names == name)).sum() for name in CONCEPTS}
            assert similarity == pytest.approx(max(iou.values()))
            assert iou[concept] == pytest.approx(similarity)
        assert verify(warehouse) == []


def test_score_says_where_labels_of_images_count_because_masks_were_looked_at_otherwise() -> None:
    for folder in ("photos", "masks"):
        for path in list(Path(folder).iterdir()):
            inside = Path(folder, "odd" if int(path.stem[-1]) % 2 else "even")
            inside.mkdir(exist_ok=True)
            path.rename(inside / path.name)
    with neuronlake.open("w.duckdb", write=True) as warehouse:
        dissected(warehouse, layers="4")
        changes: dict[str, Any] = {"method": "network_dissection", "device": "cpu"}
        assert neuronlake.score(warehouse, parameters={"quantile": QUANTILE, "length": 2}, **changes).notes == ()
        assert neuronlake.score(warehouse, parameters={"quantile": 0.3}, **changes).notes == (
            "the images' own labels counted, not their masks: these were looked at with --parameter quantile=0.05",
        )
