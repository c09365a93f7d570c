"""JPEGs decoded by torchvision: the same on any device, each image in one way, and none ends the run.

What nvJPEG decodes waits, encoded, for the networks' device. Here that is the CPU, so that all of it is seen but nvJPEG
itself.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg

from neuronlake.ingest.machines.chunks import ChunkImage, FailedImage, PreparedImage
from neuronlake.ingest.machines.feeding import jpegs
from neuronlake.ingest.machines.feeding.ahead import prepare_ahead
from neuronlake.ingest.machines.feeding.in_processes import prepare_in_processes
from neuronlake.ingest.machines.feeding.jpegs import DecoderError, decoded_on, require_decoder
from neuronlake.ingest.machines.feeding.preparing import prepare, prepare_pixels
from neuronlake.ingest.machines.loaded import DeviceMemoryError
from neuronlake.ingest.machines.maps.crossing import prepare_with_masks
from neuronlake.ingest.networks.preprocessing import CustomTransform, Preparation, Preprocessing, decoded_by
from neuronlake.ingest.probes.probe import load_probe
from tiny import smooth_picture

SMALL = Preprocessing(20, 16, (0.5,) * 3, (0.5,) * 3)
LARGE = Preprocessing(32, 32, (0.5,) * 3, (0.5,) * 3, interpolation="bicubic", resize_mode="longest")
CPU = torch.device("cpu")

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")

Result = PreparedImage | FailedImage


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Plain JPEGs 0 to 6, and what is none: a PNG, one on its side, a grey one, and a damaged one."""
    place = tmp_path / "pictures"
    place.mkdir()
    for number in range(7):
        smooth_picture(number).save(place / f"{number}.jpg")
    smooth_picture(7).save(place / "7.png")
    on_its_side = Image.Exif()
    on_its_side[0x0112] = 6
    smooth_picture(8).save(place / "8.jpg", exif=on_its_side)
    smooth_picture(9).convert("L").save(place / "9.jpg")
    whole = io.BytesIO()
    smooth_picture(10).save(whole, "JPEG")
    (place / "damaged.jpg").write_bytes(whole.getvalue()[:-200])
    return place


def wanted(folder: Path, *preparations: Preparation) -> list[tuple[ChunkImage, frozenset[Preparation]]]:
    return [(ChunkImage(place, each), frozenset(preparations)) for place, each in enumerate(load_probe(folder).images)]


def prepared(folder: Path, *preparations: Preparation) -> list[Result]:
    return [prepare(*each) for each in wanted(folder, *preparations)]


def of_tensor(file: Path) -> Any:
    return decode_jpeg(torch.from_numpy(np.fromfile(file, np.uint8)), ImageReadMode.RGB)


def same(one: Result, other: Result) -> bool:
    """Whether two are alike, whatever decoder their pixels are kept for."""
    if isinstance(one, FailedImage) or isinstance(other, FailedImage):
        return one == other
    pixels = [{decoded_by(each, "pillow"): of for each, of in image.pixels.items()} for image in (one, other)]
    facts = [(image.image_id, image.width, image.height, image.thumbnail, image.jpeg) for image in (one, other)]
    return (
        facts[0] == facts[1]
        and pixels[0].keys() == pixels[1].keys()
        and all(torch.equal(of, pixels[1][each]) for each, of in pixels[0].items())
    )


def test_plain_jpegs_are_torchvisions_and_all_others_stay_pillows(folder: Path) -> None:
    by_torchvision = decoded_by(SMALL, "torchvision")
    found, pillows = prepared(folder, by_torchvision), prepared(folder, SMALL)
    for number, (image, of_pillow) in enumerate(zip(found[:10], pillows[:10], strict=True)):
        assert isinstance(image, PreparedImage)
        assert isinstance(of_pillow, PreparedImage)
        assert (image.image_id, image.width, image.height) == (number, of_pillow.width, of_pillow.height)
        expected = (
            SMALL.pixels_of_tensor(of_tensor(folder / f"{number}.jpg")) if number < 7 else of_pillow.pixels[SMALL]
        )
        assert torch.equal(image.pixels[by_torchvision], expected)
        assert image.thumbnail
        shown = [np.asarray(Image.open(io.BytesIO(each.thumbnail or b"")), np.int16) for each in (image, of_pillow)]
        assert shown[0].shape == shown[1].shape
        assert np.abs(shown[0] - shown[1]).mean() < 4
    # whether one can be read is Pillow's word
    assert found[10] == pillows[10]
    assert isinstance(found[10], FailedImage)
    assert found[10].reason.startswith("image file is truncated")


def test_a_transform_of_the_users_gets_pillows_pictures_beside_torchvisions_tensors(folder: Path) -> None:
    def dots(image: Image.Image) -> torch.Tensor:
        return torch.tensor(image.resize((4, 4)).tobytes()[0]).expand(3, 4, 4)

    own, by_torchvision = CustomTransform.around(dots), decoded_by(SMALL, "torchvision")
    assert decoded_by(own, "torchvision") is own
    (both, *_), (alone, *_) = prepared(folder, own, by_torchvision), prepared(folder, own)
    assert isinstance(both, PreparedImage)
    assert isinstance(alone, PreparedImage)
    assert torch.equal(both.pixels[own], alone.pixels[own])
    assert torch.equal(both.pixels[by_torchvision], SMALL.pixels_of_tensor(of_tensor(folder / "0.jpg")))


@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_what_waits_for_a_gpu_gets_there_what_torchvision_makes_of_it(folder: Path, at_once: int) -> None:
    waiting = prepared(folder, decoded_by(SMALL, "nvjpeg"), decoded_by(LARGE, "nvjpeg"))
    assert [bool(image.jpeg) for image in waiting if isinstance(image, PreparedImage)] == [True] * 7 + [False] * 3
    found = list(decoded_on((image for image in waiting), CPU, at_once))
    expected = prepared(folder, decoded_by(SMALL, "torchvision"), decoded_by(LARGE, "torchvision"))
    assert len(found) == 11
    assert all(map(same, found, expected))


def test_large_images_are_decoded_fewer_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jpegs, "_PIXELS_AT_ONCE", 2 * 48 * 40)
    counts: list[int] = []
    decode = jpegs.decode_together

    def counted(contents: list[bytes], device: torch.device) -> list[torch.Tensor]:
        counts.append(len(contents))
        return decode(contents, device)

    monkeypatch.setattr(jpegs, "decode_together", counted)
    assert len(list(decoded_on((image for image in prepared(folder, decoded_by(SMALL, "nvjpeg"))), CPU, 100))) == 11
    assert counts == [2, 2, 2, 1]


def test_processes_give_what_threads_give(folder: Path) -> None:
    some = wanted(folder, decoded_by(SMALL, "nvjpeg"), decoded_by(LARGE, "nvjpeg"))
    by_threads = decoded_on(prepare_ahead(some, workers=2, ahead=8), CPU, 4)
    by_processes = decoded_on(prepare_in_processes(some, 1, 8, prepare), CPU, 4)
    assert all(map(same, by_processes, by_threads))


def test_all_passes_over_images_see_the_same_pixels(folder: Path) -> None:
    for decoder in ("torchvision", "nvjpeg"):
        preparation = decoded_by(SMALL, decoder)
        for image, wants in wanted(folder, preparation):
            passes = [_finished(look(image, wants)) for look in (prepare, prepare_pixels, prepare_with_masks)]
            if isinstance(passes[0], FailedImage):
                assert passes[0] == passes[1] == passes[2]
                continue
            pixels = [each.pixels[preparation] for each in passes if isinstance(each, PreparedImage)]
            assert len(pixels) == 3
            assert torch.equal(pixels[0], pixels[1])
            assert torch.equal(pixels[0], pixels[2])


def _finished(image: Result) -> Result:
    return next(decoded_on((each for each in [image]), CPU, 1))


def _refusing(monkeypatch: pytest.MonkeyPatch, bad: bytes, error: RuntimeError) -> None:
    """Decode all of a list or nothing, as torchvision does on a GPU."""
    decode = jpegs.decode_together

    def all_or_nothing(contents: list[bytes], device: torch.device) -> list[torch.Tensor]:
        if bad in contents:
            raise error
        return decode(contents, device)

    monkeypatch.setattr(jpegs, "decode_together", all_or_nothing)


def test_one_that_is_refused_is_pillows_and_its_neighbours_do_not_notice(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preparation = decoded_by(SMALL, "nvjpeg")
    waiting = prepared(folder, preparation)
    expected = list(decoded_on((image for image in waiting), CPU, 100))
    reason = RuntimeError("Error while decoding JPEG images: Failed to decode batch: 4")
    _refusing(monkeypatch, (folder / "2.jpg").read_bytes(), reason)
    found = list(decoded_on((image for image in waiting), CPU, 100))
    assert all(same(one, other) for one, other in zip(found, expected, strict=True) if one.image_id != 2)
    assert isinstance(found[2], PreparedImage)
    assert torch.equal(found[2].pixels[preparation], SMALL.pixels(Image.open(folder / "2.jpg")))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        # nvJPEG's own word for it
        RuntimeError("Error while decoding JPEG images: Failed to decode batch: 5"),
    ],
)
def test_too_little_memory_is_never_a_reason_for_other_pixels(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: RuntimeError
) -> None:
    waiting = prepared(folder, decoded_by(SMALL, "nvjpeg"))
    _refusing(monkeypatch, (folder / "2.jpg").read_bytes(), error)
    with pytest.raises(DeviceMemoryError, match="too little memory to decode a single image; free some"):
        list(decoded_on((image for image in waiting), CPU, 100))


def test_a_decoder_that_is_not_here_is_refused_with_what_to_do_next() -> None:
    require_decoder("pillow", CPU)
    require_decoder("torchvision", CPU)
    with pytest.raises(DecoderError, match=r"nvjpeg decodes on a CUDA device, .* on cpu here; use --device cuda where"):
        require_decoder("nvjpeg", CPU)


def test_a_torchvision_that_cannot_decode_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise ImportError("cannot import name 'decode_jpeg'")

    monkeypatch.setattr(jpegs, "decode_together", gone)
    require_decoder.cache_clear()
    with pytest.raises(DecoderError, match=r"cannot decode JPEGs .* \(cannot import name 'decode_jpeg'\); install one"):
        require_decoder("torchvision", CPU)
