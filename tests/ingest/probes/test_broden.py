"""Broden: its index says which files are images, and its labels what they show."""

from __future__ import annotations

from pathlib import Path

import pytest
from probe_files import png

from neuronlake.ingest.probes.locations import ProbeError
from neuronlake.ingest.probes.probe import load_probe

INDEX = """\
image,split,ih,iw,sh,sw,color,object,part,material,scene,texture
ade20k/a.jpg,train,8,6,4,3,ade20k/a_color.png,ade20k/a_object.png;ade20k/a_object_2.png,,,7,
dtd/b.jpg,val,8,6,4,3,dtd/b_color.png,,,,,3;7
opensurfaces/c.jpg,val,8,6,4,3,opensurfaces/c_color.png,,,opensurfaces/c_material.png,,
"""
LABELS = """\
number,name,category,frequency,coverage,syns
3,dotted,texture(40),1,1.0,
7,kitchen-s,scene(20),1,1.0,
"""


@pytest.fixture
def broden(tmp_path: Path) -> Path:
    """Three images, each with segmentation maps beside it."""
    folder = tmp_path / "broden1_224"
    for name in ("ade20k/a", "dtd/b", "opensurfaces/c"):
        (folder / "images" / name).parent.mkdir(parents=True)
        for suffix in (".jpg", "_color.png", "_object.png", "_material.png"):
            (folder / "images" / f"{name}{suffix}").write_bytes(png())
    (folder / "index.csv").write_text(INDEX)
    (folder / "label.csv").write_text(LABELS)
    return folder


def test_its_images_are_those_of_the_index_with_scene_or_texture_as_label(broden: Path) -> None:
    probe = load_probe(broden)
    assert probe.name == "broden1_224"
    assert [(image.path, image.label) for image in probe.images] == [
        ("ade20k/a.jpg", "kitchen-s"),
        ("dtd/b.jpg", "dotted"),
        ("opensurfaces/c.jpg", None),
    ]
    assert all(image.sha256 for image in probe.images)


def test_files_without_their_columns_are_refused(broden: Path) -> None:
    (broden / "label.csv").write_text("number,title\n3,dotted\n")
    with pytest.raises(ProbeError, match=r"label\.csv has no column name"):
        load_probe(broden)
    (broden / "label.csv").unlink()
    with pytest.raises(ProbeError, match=r"label\.csv cannot be read: there is no such file"):
        load_probe(broden)


def test_a_folder_with_an_index_of_another_kind_is_an_ordinary_folder(broden: Path) -> None:
    (broden / "index.csv").write_text("picture\nade20k/a.jpg\n")
    assert len(load_probe(broden).images) == 12
    assert len(load_probe(broden / "images").images) == 12
