"""Broden's masks: label images and whole labels of its index, each label in the category that it covers most in."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mask_files import colors, saved
from PIL import Image

from neuronlake.ingest.probes.locations import ProbeError
from neuronlake.ingest.probes.masks.base import NOTHING, ImageMasks, stacked
from neuronlake.ingest.probes.probe import Probe, load_probe

INDEX = """\
image,split,ih,iw,sh,sw,color,object,material,part,scene,texture
one/a.png,train,4,4,2,2,one/a_color.png,one/a_object.png;one/a_more.png;300,,,5;6,
one/b.png,val,4,4,2,2,,,one/b_material.png,,,
one/c.png,val,4,4,2,2,,,,,,
"""
LABELS = """\
number,name,category,frequency,coverage,syns
1,green-c,color(1),1,1.0,
2,road,object(7);material(9),9,1.0,
3,hair,object(1);part(1),1,1.0,
4,skin,part(3);material(3),1,1.0,
5,kitchen-s,scene(1),1,1.0,
6,car_interior-s,scene(1),1,1.0,
300,kitchen,object(1),1,1.0,
7,dotted,texture(1),1,1.0,
"""
COVERAGES = {
    "object": "code,number,name,frequency,coverage\n1,2,road,7,0.5\n2,3,hair,1,0.25\n3,300,kitchen,1,1\n",
    "material": "code,number,name,frequency,coverage\n1,2,road,9,5e-01\n",
    "part": "code,number,name,frequency,coverage\n1,3,hair,1,0.125\n",
}


@pytest.fixture
def broden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Three images, of which one has nothing at all; masks are half as large."""
    monkeypatch.chdir(tmp_path)
    images = tmp_path / "broden" / "images" / "one"
    images.mkdir(parents=True)
    for name in "abc":
        (images / f"{name}.png").write_bytes(saved(Image.new("RGB", (4, 4))))
    for name, values in (
        ("a_color", [[1, 1], [0, 1]]),
        ("a_object", [[2, 0], [3, 2]]),
        ("a_more", [[0, 0], [0, 300]]),
        ("b_material", [[2, 4], [4, 0]]),
    ):
        (images / f"{name}.png").write_bytes(colors(values))
    (tmp_path / "broden" / "index.csv").write_text(INDEX)
    (tmp_path / "broden" / "label.csv").write_text(LABELS)
    for category, said in COVERAGES.items():
        (tmp_path / "broden" / f"c_{category}.csv").write_text(said)
    return "broden"


def masked(*probes: str, **more: object) -> Probe:
    return load_probe(*probes, with_masks=True, **more)


def said(probe: Probe) -> dict[str, str]:
    assert probe.masks
    return {each.text: each.category for each in probe.masks.concepts}


def names(probe: Probe) -> list[tuple[list[list[list[str]]], list[str]]]:
    """Of each image what its label images show, and the whole of it."""
    assert probe.masks
    texts = {NOTHING: ""} | {place: each.text for place, each in enumerate(probe.masks.concepts)}
    return [
        (
            [[[texts[place] for place in row] for row in each.tolist()] for each in stacked(image.masks)],
            [texts[place] for place in image.masks.whole],
        )
        for image in probe.images
        if image.masks
    ]


def test_an_image_shows_what_its_label_images_and_whole_labels_tell(broden: str) -> None:
    probe = masked(broden)
    assert names(probe) == [
        (
            [
                [["green-c", "green-c"], ["", "green-c"]],
                [["road", ""], ["hair", "road"]],
                [["", ""], ["", "kitchen (object)"]],
            ],
            ["kitchen", "car interior (scene)", "kitchen (object)"],
        ),
        ([[["road", "skin"], ["skin", ""]]], []),
        ([], []),
    ]
    assert (probe.masks.part.name, probe.masks.part.spec) == ("masks of broden", "broden")
    assert probe.fingerprint == load_probe(broden).fingerprint


def test_a_label_is_counted_where_it_covers_most_and_among_equals_in_the_last(broden: str) -> None:
    assert said(masked(broden)) == {
        "green-c": "color",
        # covers 0.5 in both
        "road": "material",
        "hair": "object",
        # no file of a category tells of it, but label.csv: 3 images in each
        "skin": "part",
        "kitchen": "scene",
        "car interior (scene)": "scene",
        "kitchen (object)": "object",
        "dotted": "texture",
    }


def test_only_chosen_categories_are_read_and_counted_in(broden: str) -> None:
    probe = masked(broden, mask_categories=("part", "object"))
    assert said(probe) == {"road": "object", "hair": "object", "skin": "part", "kitchen (object)": "object"}
    assert names(probe)[1:] == [([], []), ([], [])]
    assert probe.masks.fingerprint != masked(broden).masks.fingerprint
    with pytest.raises(ProbeError) as error:
        masked(broden, mask_categories=("parts",))
    assert str(error.value) == "broden/index.csv has no category 'parts'; did you mean part?"


def test_beside_broden_other_probes_have_no_masks(broden: str) -> None:
    Path("photos").mkdir()
    Path("photos/z.png").write_bytes(saved(Image.new("RGB", (4, 4))))
    probe = masked("photos", broden)
    first, second, *_ = (image.masks for image in probe.images)
    assert first == ImageMasks(sha256=first.sha256)
    assert len(second.label_images) == 3
    assert probe.masks.part.name == "masks of photos + broden"
    shutil.copytree(broden, "other")
    with pytest.raises(ProbeError) as error:
        masked(broden, "other")
    assert str(error.value) == (
        "two of the probes are Broden's folders, each with labels of its own; ingest them apart"
    )


def test_its_masks_can_be_named_but_not_replaced(broden: str) -> None:
    assert masked(broden, masks=f"mine={broden}").masks.part.name == "mine"
    Path("masks").mkdir()
    with pytest.raises(ProbeError) as error:
        masked(broden, masks="masks")
    assert str(error.value) == "broden has masks of its own, as Broden does; leave out --masks and --mask-labels"


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("index.csv", ";300", ";301", "one/a.png has the label 301, which broden/label.csv does not list; get Br"),
        ("label.csv", "4,skin", "8,skin", "broden/images/one/b_material.png has the label 4, which broden/label.csv d"),
        ("index.csv", "b_material", "gone", "broden/images/one/gone.png cannot be read: there is no such file"),
        ("label.csv", "4,skin", "four,skin", "broden/label.csv has a label whose number is 'four'; get Broden's"),
        ("label.csv", "4,skin", "3,skin", "broden/label.csv lists the label 3 twice; get Broden's files again"),
        ("label.csv", "category", "kind", "broden/label.csv has no column category; get Broden's files again"),
        ("c_part.csv", "0.125", "wide", "broden/c_part.csv has a coverage of 'wide', not a number; get Broden's"),
        ("c_part.csv", "coverage", "area", "broden/c_part.csv has no column coverage; get Broden's files again"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(
    broden: str, file: str, old: str, new: str, message: str
) -> None:
    path = Path(broden) / file
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ProbeError) as error:
        masked(broden)
    assert str(error.value).startswith(message)
