"""Probes: folders of images, and what is wrong with those that are none."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

import neuronlake
from neuronlake.ingest.probes.locations import ProbeError
from neuronlake.ingest.probes.probe import load_probe
from neuronlake.ingest.recipe import Recipe
from neuronlake.sql import verify
from tiny import write_image


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def test_images_are_found_at_any_depth_with_their_folder_as_label(tmp_path: Path) -> None:
    for name in ("b/deep/two.JPG", "a/one.png", "three.webp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "a" / ".hidden.png").write_bytes(b"")
    (tmp_path / "a" / "readme.md").write_text("words")
    probe = load_probe(tmp_path)
    assert [(image.path, image.label) for image in probe.images] == [
        ("a/one.png", "a"),
        ("b/deep/two.JPG", "deep"),
        ("three.webp", None),
    ]


def test_names_that_are_no_text_are_spelt_out(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/a\xff.png", "wb") as file:  # noqa: PTH123  a path of bytes
        Image.new("RGB", (8, 8)).save(file)
    assert [image.path for image in load_probe(tmp_path).images] == ["a\\xff.png"]


def test_the_fingerprint_follows_paths_and_contents(tmp_path: Path) -> None:
    file = saved(tmp_path / "one.png", Image.new("RGB", (8, 8), "red"))
    before = load_probe(tmp_path).fingerprint
    file.touch()
    assert load_probe(tmp_path).fingerprint == before
    Image.new("RGB", (8, 8), "blue").save(file)
    changed = load_probe(tmp_path).fingerprint
    file.rename(tmp_path / "other.png")
    assert len({before, changed, load_probe(tmp_path).fingerprint}) == 3


def test_labels_that_do_not_follow_from_the_path_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    saved(tmp_path / "cats" / "one.png", Image.new("RGB", (8, 8), "red"))
    prints = {}
    for label in ("cats", "dogs", "tigers", ""):
        (tmp_path / "list.csv").write_text(f"path,label\ncats/one.png,{label}\n")
        prints[label] = load_probe(tmp_path / "list.csv").fingerprint
    assert len(set(prints.values())) == 4
    assert prints["cats"] == load_probe(tmp_path).fingerprint


def test_fingerprints_of_folders_are_those_of_existing_warehouses(tmp_path: Path) -> None:
    expected = hashlib.sha256()
    for name in ("cats/one.png", "two.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        content = saved(tmp_path / "photos" / name, Image.new("RGB", (8, 8))).read_bytes()
        expected.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    assert load_probe(tmp_path / "photos").fingerprint == expected.hexdigest()
    shutil.copytree(tmp_path / "photos", tmp_path / "more")
    both = load_probe(tmp_path / "photos", tmp_path / "more")
    plain = "".join(f"{image.path}\0{image.sha256}\n" for image in both.images)
    assert both.fingerprint == hashlib.sha256(plain.encode()).hexdigest()


def test_the_same_images_with_other_labels_are_stored_beside_the_first(tmp_path: Path, tiny_recipe: Recipe) -> None:
    for number in range(4):
        write_image(tmp_path / f"a/{number}.png", number)
    with neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse:
        for label in ("x", "y"):
            lines = [f"a/{number}.png,{label}" for number in range(4)]
            (tmp_path / "list.csv").write_text("\n".join(["path,label", *lines]))
            recipe = dataclasses.replace(tiny_recipe, probes=(f"{label}={tmp_path / 'list.csv'}",), layers=("fc",))
            assert not neuronlake.ingest(warehouse, recipe).did_nothing
            assert neuronlake.ingest(warehouse, recipe).did_nothing
        assert warehouse.sql("select label, count(*) from store.images group by label order by label").fetchall() == [
            ("x", 4),
            ("y", 4),
        ]
        assert verify.verify(warehouse) == []
        warehouse.execute("update store.images set label = 'z' where image_id = 1")
        assert [fault.check for fault in verify.verify(warehouse)] == ["probes_whole"]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("words")
    with pytest.raises(ProbeError, match="holds no images"):
        load_probe(tmp_path)
    with pytest.raises(ProbeError, match=r"there is no .*nowhere; --probe takes a folder"):
        load_probe(tmp_path / "nowhere")
