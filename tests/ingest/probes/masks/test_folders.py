"""Masks in a folder beside a folder of images, with a table of what their values mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from mask_files import ade20k, grey, palette, saved
from PIL import Image

from neuronlake.ingest.probes.locations import ProbeError
from neuronlake.ingest.probes.masks.base import NOTHING, stacked
from neuronlake.ingest.probes.probe import Probe, load_probe

TABLE = "value,concept,category\n0,sky,object\n1,striped,texture\n2,clouds,object\n255,,\n"


def photo(width: int = 4, height: int = 2, shade: int = 0, **options: object) -> bytes:
    return saved(Image.new("RGB", (width, height), (shade, 0, 0)), "JPEG", **options)


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with two images, their masks and what these mean."""
    monkeypatch.chdir(tmp_path)
    write(Path("photos"), {"a.jpg": photo(), "deep/b.jpg": photo(shade=9)})
    write(Path("masks"), {"a.png": grey([[0, 0, 1, 1], [0, 255, 1, 1]]), "deep/b.png": palette([[2] * 4] * 2)})
    Path("classes.csv").write_text(TABLE)


def masked(
    probe: str = "photos", masks: str | None = "masks", labels: str | None = "classes.csv", **more: object
) -> Probe:
    return load_probe(probe, masks=masks, mask_labels=labels and Path(labels), with_masks=True, **more)


def refused(load: Callable[..., Probe] = masked, *given: object, **named: object) -> str:
    with pytest.raises(ProbeError) as error:
        load(*given, **named)
    return str(error.value)


def pixels(probe: Probe) -> list[list[list[int]]]:
    """Of each image its only label image."""
    assert all(image.masks for image in probe.images)
    return [stacked(image.masks)[0].tolist() for image in probe.images if image.masks]


def concepts(probe: Probe) -> list[tuple[str, str]]:
    assert probe.masks
    return [(each.text, each.category) for each in probe.masks.concepts]


def test_each_image_has_the_mask_of_its_name_and_each_value_its_concept() -> None:
    probe = masked()
    assert concepts(probe) == [("sky", "object"), ("striped", "texture"), ("clouds", "object")]
    assert pixels(probe) == [[[0, 0, 1, 1], [0, NOTHING, 1, 1]], [[2] * 4] * 2]
    assert probe.masks.part.name == "masks of photos"
    assert probe.masks.part.spec == "masks"
    assert all(image.masks.whole == () for image in probe.images)


def test_masks_are_not_read_unless_they_are_asked_for() -> None:
    write(Path("masks"), {"a.png": b"words"})
    probe = load_probe("photos", masks="masks", mask_labels=Path("classes.csv"))
    assert probe.masks is None
    assert [image.masks for image in probe.images] == [None, None]
    assert masked(masks=None, labels=None).masks is None


def test_masks_leave_the_probe_the_one_that_it_was() -> None:
    assert masked().fingerprint == load_probe("photos").fingerprint


def test_their_fingerprint_follows_what_they_say_and_not_how_it_is_written() -> None:
    before = masked().masks.fingerprint
    write(Path("masks"), {"a.png": palette([[0, 0, 1, 1], [0, 255, 1, 1]])})
    assert masked().masks.fingerprint == before
    write(Path("masks"), {"a.png": grey([[0, 0, 1, 1], [0, 0, 1, 1]])})
    other = masked().masks.fingerprint
    Path("classes.csv").write_text(TABLE.replace("sky", "heaven"))
    assert len({before, other, masked().masks.fingerprint}) == 3


def test_the_user_names_masks() -> None:
    assert masked(masks="mine=masks").masks.part.name == "mine"
    assert masked(limit=1).masks.part.name == "masks of photos:1"


def test_a_mask_may_be_called_seg_and_may_be_ade20ks() -> None:
    Path("masks/a.png").unlink()
    write(Path("masks"), {"a_seg.png": ade20k([[256, 256, 1, 1], [0, 0, 0, 0]])})
    Path("classes.csv").write_text(f"{TABLE}256,wall,object\n")
    assert pixels(masked())[0] == [[3, 3, 1, 1], [0, 0, 0, 0]]


def test_masks_may_lie_among_the_images_as_seg_and_are_no_images_there() -> None:
    write(Path("both"), {"a.jpg": photo(), "a_seg.png": grey([[0] * 4] * 2), "a_parts_1.png": grey([[9] * 4] * 2)})
    probe = masked("both", "both/")
    assert [image.path for image in probe.images] == ["a.jpg"]
    assert pixels(probe) == [[[0] * 4] * 2]


def test_masks_in_a_folder_among_the_images_are_no_images() -> None:
    write(Path("photos/masks"), {"a.png": grey([[0] * 4] * 2), "deep/b.png": grey([[1] * 4] * 2)})
    assert [image.path for image in masked(masks="photos/masks").images] == ["a.jpg", "deep/b.jpg"]


def test_several_values_may_stand_for_one_concept() -> None:
    Path("classes.csv").write_text("value,concept\n0,sky\n2, Sky \n1,tree\n255,\n")
    probe = masked()
    assert concepts(probe) == [("sky", "none"), ("tree", "none")]
    assert pixels(probe)[1] == [[0] * 4] * 2


def test_a_concept_of_two_categories_is_two() -> None:
    Path("classes.csv").write_text("value,concept,category\n0,kitchen,object\n1,kitchen,Scene\n2,door,part\n255,,\n")
    assert concepts(masked()) == [("kitchen (object)", "object"), ("kitchen", "scene"), ("door", "part")]


def test_of_some_categories_other_values_mean_nothing() -> None:
    probe = masked(mask_categories=("texture",))
    assert concepts(probe) == [("striped", "texture")]
    assert pixels(probe)[0] == [[NOTHING, NOTHING, 0, 0], [NOTHING, NOTHING, 0, 0]]
    assert refused(mask_categories=("part",)) == "classes.csv has no category 'part'; there are object, texture"


def test_a_value_that_the_table_does_not_list_is_told_with_the_file() -> None:
    write(Path("masks"), {"a.png": grey([[11] * 4] * 2)})
    said = 'masks/a.png has the value 11, which classes.csv does not list; add a row "11,," if it means nothing'
    assert refused() == said
    write(Path("masks"), {"deep/b.png": b"words"})
    assert refused() == f"{said} (and 1 more)"


def test_a_missing_mask_is_told_before_anything_is_read() -> None:
    Path("masks/a.png").unlink()
    write(Path("masks"), {"deep/b.png": b"words"})
    said = "a.jpg has no mask: there is no masks/a.png or masks/a_seg.png; add it, or leave the image out"
    assert refused() == said
    Path("masks/deep/b.png").unlink()
    assert refused() == f"{said} (and 1 more)"


@pytest.mark.parametrize(("width", "height"), [(224, 112), (112, 56), (101, 51), (101, 50), (448, 224)])
def test_a_mask_may_have_another_size_of_the_same_shape_to_a_pixel(width: int, height: int) -> None:
    write(Path("one"), {"a.jpg": photo(224, 112)})
    write(Path("masks"), {"a.png": grey([[0] * width] * height)})
    assert masked("one").images[0].masks.sha256


@pytest.mark.parametrize(("width", "height"), [(112, 112), (112, 224), (224, 115)])
def test_a_mask_of_another_shape_is_refused(width: int, height: int) -> None:
    write(Path("one"), {"a.jpg": photo(224, 112)})
    write(Path("masks"), {"a.png": grey([[0] * width] * height)})
    assert refused(masked, "one") == (
        f"masks/a.png is {width} x {height} pixels and a.jpg 224 x 112: a mask may be smaller than its image, but not "
        "of another shape; make it anew from that image"
    )


def test_a_mask_has_the_shape_of_the_image_as_it_is_turned() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    write(Path("one"), {"a.jpg": photo(4, 2, exif=turned)})
    write(Path("masks"), {"a.png": grey([[0] * 20] * 40)})
    assert masked("one").images[0].masks.sha256


def test_an_image_that_cannot_be_read_is_no_matter_of_its_mask() -> None:
    write(Path("photos"), {"a.jpg": b"words"})
    assert masked().images[0].masks.sha256


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("concept\nsky\n", "classes.csv has no column value; its first line must be: value,concept,category"),
        ("value\n1\n", "classes.csv has no column concept; its first line must be: value,concept,category"),
        (
            "value,concept\n0,sky\nx,sky\n",
            "classes.csv row 2: the value is 'x', not a whole number from 0 to 65535",
        ),
        ("value,concept\n,sky\n", "classes.csv row 1: the value is None, not a whole number from 0 to 65535"),
        (
            "value,concept\n70000,sky\n",
            "classes.csv row 1: the value is '70000', not a whole number from 0 to 65535",
        ),
        (
            "value,concept\n0,sky\n0,road\n",
            "classes.csv lists the value 0 twice, the second time in row 2; give it one row",
        ),
        ("value,concept\n0,\n", "classes.csv lists no concept; give each value that means something a concept"),
    ],
)
def test_a_table_that_says_nothing_clear_is_refused(table: str, message: str) -> None:
    Path("classes.csv").write_text(table)
    assert refused() == message


def test_what_does_not_belong_together_is_refused() -> None:
    write(Path("more"), {"c.jpg": photo()})
    kinds = "a csv file with the columns value, concept and category, or COCO's panoptic json"
    alone = "--masks lie beside the images of one folder; give it as the only --probe"
    assert refused(load_probe, "photos", "more", masks="masks", with_masks=True) == alone
    Path("list.csv").write_text("path\nphotos/a.jpg\n")
    assert refused(masked, "list.csv") == alone
    assert refused(labels=None) == f"--masks needs to be told what values mean; give --mask-labels: {kinds}"
    assert refused(masks=None) == "--mask-labels is about masks, and there are none; name their folder with --masks"
    assert refused(masks=None, labels=None, mask_categories=("part",)) == (
        "--mask-categories is about masks, and there are none; name their folder with --masks"
    )
    assert refused(masks="nowhere") == (
        "there is no folder nowhere; --masks takes one of PNG files, called as the images are"
    )
    assert refused(labels="nowhere.csv") == f"there is no nowhere.csv; --mask-labels takes {kinds}"
    assert refused(labels="masks/a.png") == f"masks/a.png cannot be read; --mask-labels takes {kinds}"
