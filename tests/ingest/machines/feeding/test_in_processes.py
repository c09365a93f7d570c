"""Processes that decode images: they give what threads give, in the same order; and one may end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image, ImageFile

from neuronlake.ingest.machines.chunks import ChunkImage, FailedImage, PreparedImage
from neuronlake.ingest.machines.feeding.ahead import Decoders, decoders_for, prepare_ahead
from neuronlake.ingest.machines.feeding.in_processes import DecodingError, prepare_in_processes
from neuronlake.ingest.machines.feeding.preparing import ChangedImageError, prepare
from neuronlake.ingest.machines.loaded import LoadedNetworks
from neuronlake.ingest.networks.preprocessing import CustomTransform, Preparation, Preprocessing
from neuronlake.ingest.probes.probe import load_probe

SMALL = Preprocessing(20, 16, (0.5,) * 3, (0.5,) * 3)
LARGE = Preprocessing(32, 32, (0.5,) * 3, (0.5,) * 3, interpolation="bicubic")

Wanted = list[tuple[ChunkImage, frozenset[Preparation]]]


def pictures(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number:02}.png")
    return folder


def wanted(probe: Path, *preprocessings: Preparation) -> Wanted:
    images = load_probe(probe).images
    return [(ChunkImage(7 + place, image), frozenset(preprocessings)) for place, image in enumerate(images)]


def same(one: PreparedImage | FailedImage, other: PreparedImage | FailedImage) -> bool:
    if isinstance(one, FailedImage) or isinstance(other, FailedImage):
        return one == other
    return (
        replace(one, pixels={}) == replace(other, pixels={})
        and one.pixels.keys() == other.pixels.keys()
        and all(torch.equal(one.pixels[each], other.pixels[each]) for each in one.pixels)
    )


def test_processes_give_what_threads_give_in_the_same_order(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pictures", 41)
    (folder / "20.png").write_bytes((folder / "20.png").read_bytes()[:300])
    some = wanted(folder, SMALL, LARGE)
    some = [*some[:25], *((image, frozenset({SMALL})) for image, _ in some[25:])]
    by_threads = list(prepare_ahead(some, workers=2, ahead=8))
    by_processes = list(prepare_in_processes(some, processes=2, ahead=8, prepare=prepare))
    assert [image.image_id for image in by_processes] == list(range(7, 48))
    assert isinstance(by_processes[20], FailedImage)
    assert all(map(same, by_processes, by_threads))


def test_a_changed_image_stops_it_and_the_processes_are_gone(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pictures", 3)
    some = wanted(folder, SMALL)
    (folder / "01.png").write_bytes((folder / "00.png").read_bytes())
    with pytest.raises(ChangedImageError, match=r"01\.png was changed after the probe was listed"):
        list(prepare_in_processes(some, processes=1, ahead=8, prepare=prepare))
    assert not _decoding(psutil.Process())


def test_a_process_that_is_killed_is_told_with_what_to_do_next(tmp_path: Path) -> None:
    some = wanted(pictures(tmp_path / "pictures", 40), SMALL) * 20
    stream = prepare_in_processes(some, processes=2, ahead=16, prepare=prepare)
    next(stream)
    _decoding(psutil.Process())[0].kill()
    with pytest.raises(DecodingError, match=r"has ended, perhaps for lack of memory; .* \(--decoders 0\)"):
        list(stream)


def test_what_a_program_lets_pillow_read_processes_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pictures(tmp_path / "pictures", 2)
    Image.open(folder / "00.png").save(folder / "cut.jpg")
    (folder / "cut.jpg").write_bytes((folder / "cut.jpg").read_bytes()[:-200])
    some = wanted(folder, SMALL)
    (failed,) = [each for each in prepare_in_processes(some, 1, 8, prepare) if isinstance(each, FailedImage)]
    assert "truncated" in failed.reason
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert all(map(same, prepare_in_processes(some, 1, 8, prepare), prepare_ahead(some, workers=1, ahead=8)))
    # of a plug-in only this process knows
    gpu, plain = torch.device("cuda"), _networks(SMALL)
    assert decoders_for(gpu, plain, 50_000, None).are_processes
    Image.register_open("FOREIGN", _foreign)
    assert not decoders_for(gpu, plain, 50_000, None).are_processes
    Image.OPEN.pop("FOREIGN")
    Image.ID.remove("FOREIGN")


def _foreign(_file: object, _name: object) -> ImageFile.ImageFile:
    raise SyntaxError


def test_rows_of_a_parquet_file_are_read_by_one_process(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pictures", 5)
    images = [{"bytes": file.read_bytes(), "path": file.name} for file in sorted(folder.iterdir())]
    pq.write_table(pa.table({"image": images}), tmp_path / "images.parquet")
    some = wanted(tmp_path / "images.parquet", SMALL)
    assert not any(image.image.source.is_apart for image, _ in some)
    by_processes = list(prepare_in_processes(some, processes=2, ahead=8, prepare=prepare))
    assert all(map(same, by_processes, prepare_ahead(some, workers=1, ahead=8)))


def _networks(*preprocessings: Preparation) -> LoadedNetworks:
    class Networks(LoadedNetworks):
        @property
        def preprocessings(self) -> frozenset[Preparation]:
            return frozenset(preprocessings)

    return Networks((), None, lambda: ((), None))


def test_processes_decode_where_many_images_wait_for_a_gpu_and_none_has_a_transform_of_the_users() -> None:
    gpu, processor, plain = torch.device("cuda"), torch.device("cpu"), _networks(SMALL)
    own = _networks(SMALL, CustomTransform.around(lambda image: torch.zeros(3, 8, 8)))
    assert decoders_for(gpu, plain, 50_000, None).are_processes
    assert not decoders_for(processor, plain, 50_000, None).are_processes
    assert not decoders_for(gpu, plain, 100, None).are_processes
    assert not decoders_for(gpu, own, 50_000, None).are_processes
    assert not decoders_for(processor, own, 100, 3).are_processes
    assert not decoders_for(gpu, plain, 50_000, 0).are_processes
    assert decoders_for(processor, plain, 100, 3) == Decoders(3, are_processes=True)


def _decoding(process: psutil.Process) -> list[psutil.Process]:
    """The processes that loky has started for it, its tracker of resources not counted."""
    return [
        each for each in process.children(recursive=True) if any("popen_loky_posix" in part for part in each.cmdline())
    ]


_KILLED = """
import sys, time
import polars
from neuronlake.ingest.machines.chunks import ChunkImage
from neuronlake.ingest.machines.feeding.in_processes import prepare_in_processes
from neuronlake.ingest.machines.feeding.preparing import prepare
from neuronlake.ingest.networks.preprocessing import Preprocessing
from neuronlake.ingest.probes.probe import load_probe

needs = frozenset({Preprocessing(20, 16, (0.5,) * 3, (0.5,) * 3)})
images = [(ChunkImage(0, image), needs) for image in load_probe(sys.argv[1]).images]
polars.select(polars.lit(1))  # from now on an interrupt ends no wait for a lock

def slow(image, needs):
    time.sleep(600)

stream = prepare_in_processes(images * 50, 2, 64, slow if sys.argv[2] == "slow" else prepare)
next(stream)
print("first", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_the_one_that_started_it_and_no_guard_of_main_is_needed(
    tmp_path: Path, how: signal.Signals
) -> None:
    script = tmp_path / "script.py"
    script.write_text(_KILLED)
    speed = "slow" if how == signal.SIGINT else "fast"
    command = [sys.executable, str(script), str(pictures(tmp_path / "pictures", 20)), speed]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as first:
        assert first.stdout
        assert first.stderr
        if how == signal.SIGINT:  # while they are still starting
            while not (others := _decoding(psutil.Process(first.pid))):
                assert first.poll() is None
                time.sleep(0.1)
        else:
            assert first.stdout.readline() == b"first\n"
            others = _decoding(psutil.Process(first.pid))
        # an interrupt of the keyboard goes to all of them
        (os.killpg if how == signal.SIGINT else os.kill)(first.pid, how)
        first.wait(30)
        gone, alive = psutil.wait_procs(others, timeout=30)
        said = first.stderr.read().decode()
    assert not alive
    assert len(gone) == len(others)
    assert said.count("Traceback") == (how == signal.SIGINT)
