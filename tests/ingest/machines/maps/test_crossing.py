"""Active pixels in the regions of masks: maps enlarged as Pillow enlarges them, and counted pixel by pixel."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from mask_files import grey, saved
from PIL import Image
from torch import nn

from neuronlake.ingest.layers.choosing import choose_layers
from neuronlake.ingest.machines.chunks import ChunkImage, FailedImage, PreparedImage
from neuronlake.ingest.machines.feeding.preparing import ChangedImageError
from neuronlake.ingest.machines.loaded import LoadedNetworks
from neuronlake.ingest.machines.maps import crossing
from neuronlake.ingest.machines.maps.crossing import CrossedChunk, CrossMasks, prepare_with_masks
from neuronlake.ingest.networks.models import Model, model_from_module
from neuronlake.ingest.networks.preprocessing import Preprocessing
from neuronlake.ingest.probes.locations import Location
from neuronlake.ingest.probes.masks.base import NOTHING, ImageMasks, LabelImage, digest
from neuronlake.ingest.probes.masks.label_images import TableReader
from neuronlake.ingest.probes.sources import FileBytes, ProbeImage, Source

VALUES = (*range(5), 255)
READER = TableReader("classes.csv", VALUES, (*range(5), NOTHING))
SQUARE = Preprocessing(32, 32, (0.5,) * 3, (0.25,) * 3)
# of a 48 x 32 image the middle two thirds; of a 32 x 64 one the middle half of its middle
CROPPED = Preprocessing(48, 32, (0.5,) * 3, (0.25,) * 3)
NONE = pl.DataFrame(schema={"unit": pl.Int32, "image_id": pl.Int32})

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Held(Source):
    """The bytes of a file."""

    content: bytes

    def read(self) -> bytes:
        return self.content


@dataclass(frozen=True)
class Example:
    """An image beside its label images, (height, width) each, 255 for nothing; and what is told of it as a whole."""

    picture: Image.Image
    labels: Sequence[np.ndarray] = ()
    whole: tuple[int, ...] = ()

    def as_listed(self, number: int) -> ChunkImage:
        files = tuple(LabelImage(f"{number}.png", Held(grey(each.tolist())), READER) for each in self.labels)
        masks = ImageMasks(files, self.whole, digest([places_of(each) for each in self.labels], self.whole))
        return ChunkImage(number, listed(f"{number}.png", self.picture, masks))


def listed(path: str, picture: Image.Image, masks: ImageMasks) -> ProbeImage:
    content = saved(picture)
    return ProbeImage(path, None, Held(content), hashlib.sha256(content).hexdigest(), masks=masks)


def places_of(values: np.ndarray) -> np.ndarray:
    return np.where(values == 255, np.int32(NOTHING), values.astype(np.int32))


def picture(random: np.random.Generator, width: int = 32, height: int = 32) -> Image.Image:
    coarse = random.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def labels(random: np.random.Generator, width: int, height: int) -> np.ndarray:
    coarse = random.choice(VALUES, (3, 4)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.NEAREST))


def network(preprocessing: Preprocessing = SQUARE) -> Model:
    """Maps of 32 x 32, of 8 x 6 and of 1 x 1, and six units that have none."""
    torch.manual_seed(3)
    module = nn.Sequential(
        nn.Conv2d(3, 5, 1), nn.AdaptiveAvgPool2d((8, 6)), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 6)
    )
    return model_from_module("net", module, preprocessing)


def crossed(
    model: Model, names: list[str], examples: list[ChunkImage], look: CrossMasks, batch: int | None = None
) -> CrossedChunk:
    """What the images of a chunk give."""
    planned = tuple(choose_layers(model, names))
    networks = LoadedNetworks(planned, None, lambda: (planned, None))
    prepared = [prepare_with_masks(each, networks.preprocessings) for each in examples]
    readable = [each for each in prepared if isinstance(each, PreparedImage)]
    assert len(readable) == len(prepared)
    device = torch.device("cpu")
    with networks.on(device):
        reader = look.reader(networks, device)
        for start in range(0, len(readable), batch or len(readable)):
            reader.run(readable[start : start + (batch or len(readable))])
        return reader.finish()


def maps_by_hand(model: Model, layer: int, image: Image.Image) -> np.ndarray:
    """(units, height, width) float32."""
    with torch.no_grad():
        pixels = model.preprocessing.normalise(model.preprocessing.pixels(image)[None])
        found = model.module[: layer + 1](pixels)[0]  # pyright: ignore[reportIndexIssue]
    return found.reshape(len(found), *(found.shape[1:] or (1, 1))).numpy()


def enlarged_by_hand(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Maps brought to (height, width) as Pillow does it."""
    size = (shape[1], shape[0])
    return np.array([np.asarray(Image.fromarray(each).resize(size, Image.Resampling.BILINEAR)) for each in values])


def between_values(values: np.ndarray, share: float) -> float:
    """A threshold that about a share of values is above, and none is near to."""
    ordered = np.unique(values.astype(np.float64))
    place = int((1 - share) * (len(ordered) - 1))
    low = max(0, place - 20)
    widest = low + int(np.diff(ordered[low : place + 20]).argmax())
    return float(ordered[widest : widest + 2].mean())


def counts_by_hand(
    examples: list[Example], enlarged: list[np.ndarray], thresholds: np.ndarray, seen: list[tuple[slice, slice]]
) -> tuple[Counter[tuple[int, tuple[int, ...]]], Counter[tuple[int, int, tuple[int, ...]]]]:
    """Pixels by image and concepts; and of those that are active by unit, image and concepts."""
    regions: Counter[tuple[int, tuple[int, ...]]] = Counter()
    active: Counter[tuple[int, int, tuple[int, ...]]] = Counter()
    for number, (example, values, part) in enumerate(zip(examples, enlarged, seen, strict=True)):
        stack = [each[part] for each in example.labels]
        for y, x in np.ndindex(values.shape[1:]):
            shown = [int(each[y, x]) for each in stack if each[y, x] != 255]
            concepts = tuple(sorted([*shown, *example.whole]))
            regions[number, concepts] += 1
            for unit in np.flatnonzero(values[:, y, x].astype(np.float64) > thresholds):
                active[int(unit), number, concepts] += 1
    return regions, active


def same_counts(
    found: CrossedChunk,
    key: Key,
    expected: tuple[Counter[tuple[int, tuple[int, ...]]], Counter[tuple[int, int, tuple[int, ...]]]],
) -> None:
    regions, active = found.regions[key[0]], found.active[key]
    concepts = {(image, number): tuple(shown) for image, number, shown, _ in regions.iter_rows()}
    assert {(image, tuple(shown)): pixels for image, _, shown, pixels in regions.iter_rows()} == expected[0]
    assert len(regions) == len(expected[0])
    assert {
        (unit, image, concepts[image, number]): pixels for unit, image, number, pixels in active.iter_rows()
    } == expected[1]
    assert len(active) == len(expected[1])


ALL = (slice(None), slice(None))


def check(
    model: Model,
    layer: int,
    examples: list[Example],
    seen: list[tuple[slice, slice]],
    *,
    share: float = 0.2,
    batch: int | None = None,
) -> None:
    """Compare a layer's counts with those by hand."""
    shapes = [
        each.labels[0][part].shape if each.labels else (112, 112) for each, part in zip(examples, seen, strict=True)
    ]
    enlarged = [
        enlarged_by_hand(maps_by_hand(model, layer, each.picture), shape)
        for each, shape in zip(examples, shapes, strict=True)
    ]
    of_units = [np.concatenate([each[unit].ravel() for each in enlarged]) for unit in range(len(enlarged[0]))]
    thresholds = np.array([between_values(each, share) for each in of_units])
    key = ("net", str(layer))
    listed = [each.as_listed(number) for number, each in enumerate(examples)]
    found = crossed(model, [str(layer)], listed, CrossMasks({key: thresholds}, {key: NONE}), batch)
    expected = counts_by_hand(examples, enlarged, thresholds, seen)
    assert expected[1]
    same_counts(found, key, expected)


def examples_of_several_sizes() -> list[Example]:
    """Images whose masks have four sizes, two label images, or none; one is told of as a whole."""
    random = np.random.default_rng(0)
    sizes = [(12, 10), (40, 36), (12, 10), (20, 16)]
    some = [Example(picture(random), [labels(random, *size)]) for size in sizes]
    two = Example(picture(random), [labels(random, 12, 10), labels(random, 12, 10)], (4, 4))
    return [*some, two, Example(picture(random), (), (2,)), Example(picture(random))]


@pytest.mark.parametrize(
    ("layer", "what"),
    [(1, "smaller than the masks"), (0, "larger than some masks"), (2, "of one pixel"), (4, "none")],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_counts_are_those_of_every_pixel_of_the_enlarged_map(layer: int, what: str) -> None:
    del what
    examples = examples_of_several_sizes()
    check(network(), layer, examples, [ALL] * len(examples))


@pytest.mark.parametrize("batch", [1, 3])
def test_they_are_the_same_in_batches_of_any_size_and_few_maps_at_once(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crossing, "_AT_ONCE", 200)
    examples = examples_of_several_sizes()
    check(network(), 1, examples, [ALL] * len(examples), batch=batch)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_what_the_network_does_not_see_of_the_masks_does_not_count(layer: int) -> None:
    random = np.random.default_rng(1)
    wide = Example(picture(random, 48, 32), [labels(random, 36, 24)])
    tall = Example(picture(random, 32, 64), [labels(random, 24, 48)])
    # resized to 72 x 48 and to 48 x 96; the middle 32 x 32 of these
    seen = [(slice(4, 20), slice(10, 26)), (slice(16, 32), slice(4, 20))]
    check(network(CROPPED), layer, [wide, tall], seen)


def test_a_pixel_is_active_above_the_threshold_and_not_at_it() -> None:
    """Everywhere 0.5 of red, as 1 x 1 convolutions see it; the next number of 32 bits below it is exceeded."""
    module = nn.Sequential(nn.Conv2d(3, 1, 1, bias=False))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([1.0, 0, 0])[None, :, None, None])  # pyright: ignore
    model = model_from_module("net", module, Preprocessing(8, 8, (0.0,) * 3, (1.0,) * 3))
    value = float(np.float32(51) / np.float32(255))
    example = Example(Image.new("RGB", (8, 8), (51, 0, 0)), [np.full((8, 8), 1, np.uint8)])
    below = float(np.nextafter(np.float32(value), np.float32(0)))
    # one between two numbers of 32 bits counts as the nearest, as in NetDissect-Lite
    nearer_above, nearer_below = 0.1 * below + 0.9 * value, 0.9 * below + 0.1 * value
    for threshold, pixels in [(value, 0), (below, 64), (nearer_above, 0), (nearer_below, 64), (np.inf, 0)]:
        look = CrossMasks({("net", "0"): np.array([threshold])}, {("net", "0"): NONE})
        found = crossed(model, ["0"], [example.as_listed(7)], look)
        assert found.active["net", "0"]["pixels"].sum() == pixels
        assert found.regions["net"].rows() == [(7, 0, [1], 64)]


def test_layers_of_a_model_share_its_regions_and_each_has_its_own_pixels() -> None:
    random = np.random.default_rng(2)
    examples = [Example(picture(random), [labels(random, 12, 10)]).as_listed(number) for number in (5, 9)]
    keys = [("net", "0"), ("net", "1")]
    high, low = np.full(5, 1e9), np.full(5, -1e9)
    found = crossed(network(), ["0", "1"], examples, CrossMasks(dict(zip(keys, (high, low), strict=True)), {}))
    assert found.active[keys[0]].is_empty()
    assert found.regions["net"]["image_id"].unique().to_list() == [5, 9]
    everything = found.active[keys[1]].group_by("unit", "image_id").agg(pl.col("pixels").sum()).sort("unit", "image_id")
    assert everything.rows() == [(unit, image, 120) for unit in range(5) for image in (5, 9)]


def test_outlines_are_of_the_units_and_images_that_are_wanted_in_the_whole_image() -> None:
    random = np.random.default_rng(3)
    examples = [Example(picture(random, 48, 32), [labels(random, 36, 24)]).as_listed(number) for number in (5, 9)]
    key = ("net", "1")
    wanted = pl.DataFrame({"unit": [0, 3, 4], "image_id": [9, 5, 5]}, schema=NONE.schema)
    # the fifth unit is active nowhere
    thresholds = np.array([-1e9, -1e9, -1e9, -1e9, 1e9])
    found = crossed(network(CROPPED), ["1"], examples, CrossMasks({key: thresholds}, {key: wanted})).outlines[key]
    # 32 of 72 pixels in the middle, and of 48
    left, right, top, bottom = 28, 72, 17, 83
    corners = {f"{x} {y}" for x in (left, right) for y in (top, bottom)}
    assert found.select("unit", "image_id").sort("unit").rows() == [(0, 9), (3, 5)]
    for outline in found["outline"]:
        assert outline[0] + outline[-1] == "MZ"
        assert {*outline[1:-1].split("L")} == corners


def test_no_images_give_nothing() -> None:
    found = crossed(network(), ["0"], [], CrossMasks({}, {}), batch=1)
    assert (found.regions, found.active, found.outlines) == ({}, {}, {})


def test_masks_that_say_something_else_than_when_they_were_listed_are_refused(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    path = tmp_path / "a.png"
    path.write_bytes(grey([[1, 2]]))
    masks = ImageMasks(
        (LabelImage(str(path), FileBytes(Location(str(path))), READER),),
        sha256=digest([places_of(np.array([[1, 2]]))], ()),
    )
    image = ChunkImage(1, listed("a.jpg", picture(random), masks))
    assert isinstance(prepare_with_masks(image, frozenset({SQUARE})), PreparedImage)
    for content, complaint in [
        (grey([[1, 3]]), "the masks of a.jpg were changed after the probe was listed; leave them as they are"),
        (grey([[1, 9]]), f"{path} has the value 9, which classes.csv does not list"),
        (b"words", f"{path} is no PNG"),
    ]:
        path.write_bytes(content)
        with pytest.raises(ChangedImageError) as error:
            prepare_with_masks(image, frozenset({SQUARE}))
        assert str(error.value).startswith(complaint)
        assert "run the same command again to go on" in str(error.value)
        assert "\n" not in str(error.value)


def test_an_image_that_cannot_be_decoded_is_told_before_its_masks_are_read() -> None:
    image = ChunkImage(1, ProbeImage("a.jpg", None, Held(b"no image"), masks=ImageMasks()))
    assert isinstance(prepare_with_masks(image, frozenset({SQUARE})), FailedImage)
