"""Probes: folders of images, and what is wrong with those that are none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from neuronlake.ingest.locations import ProbeError
from neuronlake.ingest.probes import load_probe


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


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("words")
    with pytest.raises(ProbeError, match="holds no images"):
        load_probe(tmp_path)
    with pytest.raises(ProbeError, match=r"there is no .*nowhere; --probe takes a folder"):
        load_probe(tmp_path / "nowhere")
