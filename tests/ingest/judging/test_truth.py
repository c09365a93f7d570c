"""What units are known to be: sets, files, and the classes of images that they prefer."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import neuronlake
from neuronlake import NeuronlakeError
from neuronlake.ingest.judging.truth import load_truth, preferred_names, truth_key, units_with_images
from neuronlake.sql.warehouse import Warehouse


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


def test_a_set_is_known_by_its_name_and_a_file_by_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert [truth_key(truth) for truth in ("imagenet", "probe", "names.txt")] == [
        "imagenet",
        "probe",
        str(tmp_path / "names.txt"),
    ]


def test_a_class_has_images_by_its_name_or_its_wordnet_id() -> None:
    names = {0: "tench, Tinca tinca", 1: "goldfish, Carassius auratus", 967: "espresso"}
    assert units_with_images(names, ["n01440764", "n02123045", None]) == {0}
    assert units_with_images(names, [" Espresso"]) == {967}  # case and spaces do not count
    assert units_with_images({3: "n07920052"}, ["espresso"]) == {3}
    # names of photographs that are no class say nothing of the classes
    assert units_with_images(names, ["astronaut", "brick", None]) is None


@pytest.fixture
def warehouse(tiny_warehouse: Path, tmp_path: Path) -> Iterator[Warehouse]:
    """The small warehouse, open to be changed: ten images labelled even, ten odd; no unit of fc clearly prefers any."""
    with neuronlake.open(shutil.copy(tiny_warehouse, tmp_path / "copy.duckdb"), write=True) as opened:
        opened.execute(
            "update store.activations set activation = images.image_id % 3 from store.images"
            " where images.image_id = activations.image_id and layer_id = $layer",
            layer=fc(opened),
        )
        yield opened


def fc(warehouse: Warehouse) -> int:
    return warehouse.scalar("select layer_id from store.layers where name = 'fc'")


def fire(warehouse: Warehouse, unit: int, label: str, misses: int = 0) -> None:
    """Let a unit fire for the images with a label alone, and not for the first few of them."""
    warehouse.execute(
        "update store.activations set activation = 10 + images.image_id / 100"
        " from (select image_id, label, row_number() over (partition by label order by image_id) as place"
        " from store.images) as images"
        " where images.image_id = activations.image_id and layer_id = $layer and unit = $unit"
        " and label = $label and place > $misses",
        layer=fc(warehouse),
        unit=unit,
        label=label,
        misses=misses,
    )


def names(warehouse: Warehouse, probe: str | None = None) -> dict[int, str]:
    known = warehouse.scalar("select name from store.probes")
    return preferred_names(warehouse, "resnet18-imagenet", "fc", probe or known)


def test_a_class_is_the_name_of_the_unit_that_prefers_it_most(warehouse: Warehouse) -> None:
    with pytest.raises(NeuronlakeError, match=r"no unit of resnet18-imagenet fc clearly prefers one label of \w+: the"):
        names(warehouse)
    fire(warehouse, 4, "odd")
    fire(warehouse, 7, "odd", misses=1)  # nearly as clearly, but not most
    fire(warehouse, 5, "even", misses=4)  # the clearest for even images, and not clear
    assert names(warehouse) == {4: "odd"}
    fire(warehouse, 9, "even")
    assert names(warehouse) == {4: "odd", 9: "even"}


@pytest.mark.parametrize(("images", "expected"), [(4, {}), (5, {4: "rare"})])
def test_a_class_of_four_images_names_no_unit(warehouse: Warehouse, images: int, expected: dict[int, str]) -> None:
    warehouse.execute(
        "update store.images set label = 'rare' where image_id in"
        " (select image_id from store.images where label = 'odd' order by image_id limit $images)",
        images=images,
    )
    fire(warehouse, 4, "rare")
    fire(warehouse, 9, "even")
    assert names(warehouse) == {9: "even"} | expected


def test_a_probe_without_activations_of_the_layer_gives_no_names(warehouse: Warehouse) -> None:
    with pytest.raises(NeuronlakeError, match="no label of elsewhere has 5 images with activations of"):
        names(warehouse, "elsewhere")
