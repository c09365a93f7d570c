"""Data sets of torchvision: each item is an image, and its class its label."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torchvision
from probe_files import png

from neuronlake.ingest.probes.decoding import decode
from neuronlake.ingest.probes.locations import ProbeError
from neuronlake.ingest.probes.probe import load_probe


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """Three digits of 28 x 28 pixels in MNIST's own files."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 3), ("t10k", 1)):
        pixels = np.arange(count * 28 * 28, dtype=np.uint32).astype(np.uint8).tobytes()
        (raw / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, count, 28, 28) + pixels)
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + bytes([7, 0, 2][:count]))
    return tmp_path


def test_items_keep_their_pixels_and_have_the_names_of_their_classes(mnist: Path) -> None:
    probe = load_probe(f"torchvision:MNIST@{mnist}")
    assert probe.name == "MNIST"
    assert [(image.path, image.label) for image in probe.images] == [
        ("item-0", "7 - seven"),
        ("item-1", "0 - zero"),
        ("item-2", "2 - two"),
    ]
    pixels = np.asarray(decode(probe.images[1].source.read()))
    assert (pixels == (np.arange(28 * 28) + 28 * 28).astype(np.uint8).reshape(28, 28, 1)).all()
    assert load_probe(f"torchvision:MNIST@{mnist}").fingerprint == probe.fingerprint


def test_folders_of_classes_are_read_file_by_file(tmp_path: Path) -> None:
    for name in ("cat/a.png", "dog/b.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(png())
    probe = load_probe(f"torchvision:ImageFolder@{tmp_path}")
    assert [(image.path, image.label, image.source.read()) for image in probe.images] == [
        ("cat/a.png", "cat", png()),
        ("dog/b.png", "dog", png()),
    ]
    assert probe.fingerprint == load_probe(tmp_path).fingerprint


def test_data_sets_that_keep_no_list_of_targets_are_asked_for_each_item() -> None:
    dataset = torchvision.datasets.FakeData()
    probe = load_probe("torchvision:FakeData", limit=2, seed=1)
    numbers = [int(image.path.removeprefix("item-")) for image in probe.images]
    assert [image.label for image in probe.images] == [str(int(dataset[number][1])) for number in numbers]


def test_an_item_can_be_sent_to_another_process(mnist: Path) -> None:
    source = load_probe(f"torchvision:MNIST@{mnist}").images[2].source
    assert pickle.loads(pickle.dumps(source)).read() == source.read()  # noqa: S301  our own


def test_what_torchvision_cannot_give_is_refused(tmp_path: Path) -> None:
    for text, reason in {
        "torchvision:CIFAR11": "no data set 'CIFAR11'; did you mean CIFAR10",
        "torchvision:": "no data set ''; its documentation lists them",
        f"torchvision:CIFAR10@{tmp_path}": f"cannot be read from {tmp_path} (Dataset not found or corrupted. You can",
        "torchvision:DatasetFolder": "torchvision:DatasetFolder cannot be read from data",
        "torchvision:wrap_dataset_for_transforms_v2": "no data set",
    }.items():
        with pytest.raises(ProbeError) as error:
            load_probe(text)
        assert reason in str(error.value)
        assert "\n" not in str(error.value)
