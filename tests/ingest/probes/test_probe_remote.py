"""Probes at remote addresses are those of the same files here; fsspec's memory stands for a service."""

from __future__ import annotations

import importlib.util
import uuid
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from probe_files import png, write_tar

from neuronlake.ingest.probes.locations import Location, ProbeError
from neuronlake.ingest.probes.probe import load_probe


@pytest.fixture
def address(tmp_path: Path) -> str:
    """A remote folder with what also lies in `tmp_path`."""
    for name, colour in (("images/b/two.png", "blue"), ("images/a/one.png", "red"), ("images/.hidden.png", "red")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(png(colour))
    (tmp_path / "list.csv").write_text("path,label\nimages/a/one.png,x\nimages/../images/b/two.png,y\n")
    write_tar(tmp_path / "shard-0.tar", [("a/one.png", png("red")), ("a/two.png", png("lime"))])
    write_tar(tmp_path / "shard-1.tar", [("a/one.png", png("blue"))])
    pq.write_table(pa.table({"image": [png("red"), png("blue")]}), tmp_path / "held.parquet")
    address = f"memory://{uuid.uuid4().hex}"
    fsspec.filesystem("memory").put(f"{tmp_path}/", address, recursive=True)
    return address


@pytest.mark.parametrize("name", ["images", "list.csv", "shard-0.tar", "shard-{0..1}.tar", "held.parquet"])
def test_a_remote_probe_is_the_same_as_a_local_one(tmp_path: Path, address: str, name: str) -> None:
    here, there = load_probe(tmp_path / name), load_probe(f"{address}/{name}")
    assert [(image.path, image.label, image.sha256) for image in there.images] == [
        (image.path, image.label, image.sha256) for image in here.images
    ]
    assert all(image.sha256 for image in there.images)
    assert [image.source.read() for image in there.images] == [image.source.read() for image in here.images]
    assert (there.name, there.location) == (here.name, f"{address}/{name}")


def test_a_folder_of_remote_shards_is_found(address: str) -> None:
    system = fsspec.filesystem("memory")
    system.rm(f"{address}/images", recursive=True)
    assert [image.path for image in load_probe(address).images] == [
        "shard-0.tar/a/one.png",
        "shard-0.tar/a/two.png",
        "shard-1.tar/a/one.png",
    ]


def test_a_list_here_may_name_files_elsewhere(tmp_path: Path, address: str) -> None:
    (tmp_path / "far.csv").write_text(f"path\n{address}/images/a/one.png\n{address}/gone.png\n")
    there, gone = load_probe(tmp_path / "far.csv").images
    assert there.source.read() == png("red")
    assert gone.sha256 == ""
    with pytest.raises(ProbeError, match=r"^there is no such file$"):
        gone.source.read()


def test_names_and_folders_of_addresses() -> None:
    far = Location.of("https://host/some/list.csv?version=2")
    assert (far.name, str(far.folder)) == ("list.csv", "https://host/some")
    assert str(far.folder.join("../a b.png")) == "https://host/a b.png"
    assert str(far.folder.join("s3://bucket/x.png")) == "s3://bucket/x.png"
    assert Location.of("s3://bucket/folder/").name == "folder"


def test_what_is_not_there_is_refused(address: str) -> None:
    for name in ("nowhere", "nowhere.tar", "nowhere.csv"):
        with pytest.raises(ProbeError, match=f"there is no {address}/{name}; --probe takes a folder"):
            load_probe(f"{address}/{name}")
    with pytest.raises(ProbeError, match="cannot be reached: Protocol not known: nosuch"):
        load_probe("nosuch://bucket/folder")


@pytest.mark.parametrize(("scheme", "package"), [("s3", "s3fs"), ("gs", "gcsfs"), ("https", "aiohttp")])
def test_a_missing_package_is_named_with_what_installs_it(scheme: str, package: str) -> None:
    if importlib.util.find_spec(package):
        pytest.skip(f"{package} is installed")
    with pytest.raises(ProbeError, match=r"install it with: pip install 'neuronlake\[remote\]'"):
        load_probe(f"{scheme}://bucket/folder")
