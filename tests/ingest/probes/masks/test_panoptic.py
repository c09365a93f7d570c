"""COCO panoptic: a folder of label images, and a json file of what their segments are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mask_files import colors, saved
from PIL import Image

from neuronlake.ingest.probes.locations import ProbeError
from neuronlake.ingest.probes.masks.base import NOTHING, stacked
from neuronlake.ingest.probes.probe import Probe, load_probe

SAID = {
    "categories": [
        {"id": 1, "name": "person", "supercategory": "person", "isthing": 1},
        {"id": 184, "name": "tree-merged", "supercategory": "plant", "isthing": 0},
    ],
    "annotations": [
        {
            "image_id": 139,
            "file_name": "000139.png",
            "segments_info": [{"id": 70_000, "category_id": 1}, {"id": 300, "category_id": 184}],
        },
        # the same id as above is another segment here
        {"image_id": 285, "file_name": "000285.png", "segments_info": [{"id": 300, "category_id": 1}]},
    ],
}


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two images, their label images and the json file."""
    monkeypatch.chdir(tmp_path)
    for name, values in (("000139", [[70_000, 300], [0, 0]]), ("000285", [[300, 0], [300, 300]])):
        for folder, suffix, content in (
            ("val", "jpg", saved(Image.new("RGB", (2, 2)), "JPEG")),
            ("panoptic", "png", colors(values)),
        ):
            Path(folder).mkdir(exist_ok=True)
            (Path(folder) / f"{name}.{suffix}").write_bytes(content)
    Path("panoptic.json").write_text(json.dumps(SAID))


def loaded() -> Probe:
    return load_probe("val", masks="panoptic", mask_labels=Path("panoptic.json"), with_masks=True)


def test_the_segments_of_each_image_are_things_and_stuff() -> None:
    probe = loaded()
    assert probe.masks
    assert [(each.text, each.category) for each in probe.masks.concepts] == [
        ("person", "object"),
        ("tree-merged", "object"),
    ]
    found = [stacked(image.masks)[0].tolist() for image in probe.images if image.masks]
    assert found == [[[0, 1], [NOTHING, NOTHING]], [[0, NOTHING], [0, 0]]]


def test_an_image_without_annotation_and_a_segment_without_category_are_refused() -> None:
    Path("panoptic/000285.png").write_bytes(colors([[70_000, 0], [0, 0]]))
    with pytest.raises(ProbeError) as error:
        loaded()
    assert str(error.value) == (
        "panoptic/000285.png has the segment 70000, which panoptic.json does not list; get the two from one place"
    )
    Path("val/new.jpg").write_bytes(saved(Image.new("RGB", (2, 2)), "JPEG"))
    with pytest.raises(ProbeError) as error:
        loaded()
    assert (
        str(error.value) == "panoptic.json lists no annotation for new.jpg; leave the image out, or get the file again"
    )
    Path("val/new.jpg").unlink()
    Path("panoptic/000285.png").unlink()
    with pytest.raises(ProbeError) as error:
        loaded()
    assert str(error.value) == "panoptic/000285.png cannot be read: there is no such file"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("words", "Expecting value: line 1 column 1 (char 0)"),
        (json.dumps({"images": []}), "it lacks 'categories'"),
        (json.dumps({**SAID, "categories": SAID["categories"][:1]}), "it lacks 184"),
        (json.dumps({**SAID, "annotations": [{"bbox": [], "category_id": 1}]}), "it lacks 'file_name'"),
        ("[]", "list indices must be integers or slices, not str"),
    ],
)
def test_a_json_file_of_another_kind_is_refused(said: str, reason: str) -> None:
    Path("panoptic.json").write_text(said)
    with pytest.raises(ProbeError) as error:
        loaded()
    assert str(error.value) == f"panoptic.json is no COCO panoptic json: {reason}; give panoptic_*.json"
