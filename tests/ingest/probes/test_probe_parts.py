"""Several probes together, and samples of large ones."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from probe_files import png, write_tar

import neuronlake
from neuronlake.ingest.probes.probe import load_probe
from neuronlake.ingest.probes.sources import FileBytes
from neuronlake.ingest.recipe import Recipe
from neuronlake.sql import verify
from tiny import write_image


def test_images_of_several_probes_keep_the_name_of_theirs(tmp_path: Path) -> None:
    (tmp_path / "photos" / "cats").mkdir(parents=True)
    (tmp_path / "photos" / "cats" / "a.png").write_bytes(png("red"))
    write_tar(tmp_path / "drawings.tar", [("cats/a.png", png("blue"))])
    probe = load_probe(tmp_path / "photos", tmp_path / "drawings.tar")
    assert probe.name == "photos + drawings"
    assert probe.location == f"{tmp_path / 'photos'} + {tmp_path / 'drawings.tar'}"
    assert [(image.path, image.label, image.part) for image in probe.images] == [
        ("photos/cats/a.png", "cats", "photos"),
        ("drawings/cats/a.png", "cats", "drawings"),
    ]


def test_one_probe_alone_has_no_parts(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(png())
    (alone,) = load_probe(tmp_path / "images").images
    assert (alone.path, alone.part) == ("a.png", None)


def test_a_sample_is_the_same_for_a_seed_and_keeps_the_order(tmp_path: Path) -> None:
    names = [f"{number:02}.png" for number in range(50)]
    for name in names:
        (tmp_path / name).write_bytes(png())

    def sample(limit: int, seed: int) -> list[str]:
        return [image.path for image in load_probe(tmp_path, limit=limit, seed=seed).images]

    assert sample(10, 0) == sample(10, 0) == sorted(sample(10, 0))
    assert sample(10, 0) != sample(10, 1)
    assert len(set(sample(10, 0))) == 10
    assert sample(50, 0) == sample(99, 0) == names
    assert load_probe(tmp_path, limit=10).name == f"{tmp_path.name}:10"
    assert load_probe(tmp_path, limit=50).name == tmp_path.name


def test_only_the_images_of_a_sample_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        (tmp_path / f"{number:02}.png").write_bytes(png())
    opened: set[str] = set()
    read = FileBytes.read

    def counted(source: FileBytes) -> bytes:
        opened.add(source.location.name)
        return read(source)

    monkeypatch.setattr(FileBytes, "read", counted)
    probe = load_probe(tmp_path, limit=3)
    assert opened == {image.path for image in probe.images}


def test_the_warehouse_shows_the_part_of_each_image(tmp_path: Path, tiny_recipe: Recipe) -> None:
    for number in range(6):
        write_image(tmp_path / "one" / f"{number}.png", number)
        write_image(tmp_path / "two" / f"{number}.png", 10 + number)
    (tmp_path / "two" / "0.png").write_bytes(b"no image")
    folders = (str(tmp_path / "one"), str(tmp_path / "two"))
    recipe = dataclasses.replace(tiny_recipe, probes=folders, layers=("fc",), limit=9, seed=3)
    with neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse:
        assert neuronlake.ingest(warehouse, recipe).images == 9
        rows = warehouse.sql("select distinct probe, part, image from top_images where unit = 0 order by image")
        assert {(probe, part, image.split("/")[0]) for probe, part, image in rows.fetchall()} == {
            ("one + two:9", "one", "one"),
            ("one + two:9", "two", "two"),
        }
        assert warehouse.sql("select image, part from failed_images").fetchall() == [("two/0.png", "two")]
        assert verify.verify(warehouse) == []
        assert neuronlake.ingest(warehouse, recipe).did_nothing
        neuronlake.ingest(warehouse, dataclasses.replace(recipe, probes=folders[:1], limit=None))
        parts = warehouse.sql("select distinct part from top_images where probe = 'one'").fetchall()
        assert parts == [(None,)]
