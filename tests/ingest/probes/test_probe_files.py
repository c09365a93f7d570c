"""Lists, tables and tars of images: each image keeps its name, its label and its bytes; nothing is unpacked."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from probe_files import png, write_tar

from neuronlake.ingest.machines.chunks import ChunkImage, FailedImage, PreparedImage
from neuronlake.ingest.machines.feeding.ahead import prepare_ahead
from neuronlake.ingest.networks.preprocessing import Preprocessing
from neuronlake.ingest.probes import parquet
from neuronlake.ingest.probes.locations import Location, ProbeError
from neuronlake.ingest.probes.probe import Probe, load_probe
from neuronlake.ingest.probes.sources import Turns

RED, BLUE, LIME = png("red"), png("blue"), png("lime")


def rows(probe: Probe) -> list[tuple[str, str | None, bytes]]:
    """Path, label and bytes of each image, after checking that the hash is that of the bytes."""
    for image in probe.images:
        assert image.sha256 == hashlib.sha256(image.source.read()).hexdigest()
    return [(image.path, image.label, image.source.read()) for image in probe.images]


def complaint(location: Path | str) -> str:
    """The one line that says why a probe is refused."""
    with pytest.raises(ProbeError) as error:
        load_probe(location)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_csv_list_names_files_beside_it_or_anywhere(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "red, dark.png").write_bytes(RED)
    (tmp_path / "lists" / "blue.png").write_bytes(BLUE)
    absolute = str(tmp_path / "red, dark.png")
    (tmp_path / "lists" / "some.csv").write_text(f'label,path,more\nsky,blue.png,1\n,"{absolute}",2\n')
    probe = load_probe(tmp_path / "lists" / "some.csv")
    assert probe.name == "some"
    assert rows(probe) == [("blue.png", "sky", BLUE), (absolute, None, RED)]


def test_a_parquet_list_is_read_as_a_csv_list_is(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(RED)
    pl.DataFrame({"path": ["a.png"], "label": [3]}).write_parquet(tmp_path / "list.parquet")
    assert rows(load_probe(tmp_path / "list.parquet")) == [("a.png", "3", RED)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("file,label\na.png,x\n", "has no column path; it has file, label"),
        ("path\na.png\na.png\n", "lists a.png twice, the second time in row 2"),
        ("path,label\na.png,x\n,y\n", "has no path in row 2"),
        ("path\na.png,x,y\n", "cannot be read as csv"),
        ("", "cannot be read as csv"),
        ("path,label\n", "holds no images"),
    ],
)
def test_lists_that_are_none_are_refused(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "a.png").write_bytes(RED)
    (tmp_path / "list.csv").write_text(content)
    assert reason in complaint(tmp_path / "list.csv")


def test_images_in_a_parquet_file_are_bytes_with_row_numbers(tmp_path: Path) -> None:
    table = pa.table({"image": [RED, BLUE, LIME], "label": ["x", None, "y"]})
    pq.write_table(table, tmp_path / "held.parquet", row_group_size=2)
    probe = load_probe(tmp_path / "held.parquet")
    assert rows(probe) == [("row-0", "x", RED), ("row-1", None, BLUE), ("row-2", "y", LIME)]


def test_images_of_hugging_face_have_names_and_class_names(tmp_path: Path) -> None:
    images = [{"bytes": RED, "path": "r.png"}, {"bytes": BLUE, "path": "b.png"}, {"bytes": LIME, "path": "l.png"}]
    features = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    table = pa.table({"image": images, "label": [1, 0, -1]})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    for number in range(2):
        (tmp_path / "data").mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / "data" / f"train-{number}.parquet")
    assert rows(load_probe(tmp_path / "data" / "train-0.parquet")) == [
        ("r.png", "dog", RED),
        ("b.png", "cat", BLUE),
        ("l.png", None, LIME),
    ]
    assert [image.path for image in load_probe(tmp_path).images][2:4] == [
        "data/train-0.parquet/l.png",
        "data/train-1.parquet/r.png",
    ]


def test_parquet_files_without_images_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    pl.DataFrame({"picture": [1], "label": ["x"]}).write_parquet(path)
    assert "has no column image or path; it has picture, label" in complaint(path)
    pl.DataFrame({"image": [1]}).write_parquet(path)
    assert "holds int64 in its column image" in complaint(path)
    path.write_bytes(path.read_bytes()[:-20])
    assert "cannot be read as Parquet" in complaint(path)


def test_large_row_groups_are_streamed_in_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size, count = 2**20, 48
    contents = [RED + np.random.default_rng(row).bytes(size) for row in range(count)]
    path = tmp_path / "large.parquet"
    schema = pa.schema({"image": pa.struct({"bytes": pa.binary()}), "label": pa.string()})
    rows_written = [{"image": {"bytes": content}, "label": str(row)} for row, content in enumerate(contents)]
    # small pages: one is read whole, and by default may hold 1,024 rows
    pq.write_table(pa.Table.from_pylist(rows_written, schema), path, use_dictionary=False, write_batch_size=4)
    assert pq.ParquetFile(path).num_row_groups == 1
    monkeypatch.setattr(parquet, "_LARGEST_KEPT_GROUP", 10 * size)
    monkeypatch.setattr(parquet, "_KEPT_BYTES", 12 * size)
    before = pa.total_allocated_bytes()
    used: list[int] = []
    probe = load_probe(path, progress=lambda _done, _total: used.append(pa.total_allocated_bytes() - before))
    assert [image.sha256 for image in probe.images] == [hashlib.sha256(content).hexdigest() for content in contents]
    assert [image.label for image in probe.images] == [str(row) for row in range(count)]
    assert max(used) < 24 * size
    for row in (40, 3, 47, 0):
        assert probe.images[row].source.read() == contents[row]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda image: image.source.read(), probe.images)) == contents


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are opened from now on: a Parquet file once for each row group that is read."""
    files: list[str] = []
    really = Location.opened

    @contextmanager
    def counted(location: Location) -> Generator[IO[bytes]]:
        files.append(location.name)
        time.sleep(0.001)  # so that other threads are here before the group is read
        with really(location) as file:
            yield file

    monkeypatch.setattr(Location, "opened", counted)
    return files


@pytest.mark.parametrize("largest_kept_group", [2**20, 0], ids=["kept", "streamed"])
def test_each_row_group_is_read_once_however_many_threads_hash_and_decode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: list[str], largest_kept_group: int
) -> None:
    monkeypatch.setattr(parquet, "_LARGEST_KEPT_GROUP", largest_kept_group)
    groups, rows_each = 30, 5
    contents = [RED + bytes([row]) * 5_000 for row in range(groups * rows_each)]
    pq.write_table(pa.table({"image": contents}), tmp_path / "many.parquet", row_group_size=rows_each)
    probe = load_probe(tmp_path / "many.parquet")
    # its footer, each group, and the first one again for a look at whether its images can be decoded
    assert len(opened) == 1 + groups + 1
    opened.clear()
    wanted = ((ChunkImage(number, image), frozenset[Preprocessing]()) for number, image in enumerate(probe.images))
    prepared = list(prepare_ahead(wanted, workers=12, ahead=40))
    assert [image.image_id for image in prepared if isinstance(image, PreparedImage)] == list(range(len(contents)))
    assert len(opened) <= groups


def test_rows_are_read_in_the_order_in_which_they_were_handed_out(tmp_path: Path, opened: list[str]) -> None:
    pq.write_table(pa.table({"image": [RED, BLUE, LIME] * 8}), tmp_path / "many.parquet", row_group_size=3)
    turns = Turns()
    images = [turns.hand_out(image.source) for image in load_probe(tmp_path / "many.parquet").images]
    opened.clear()
    with ThreadPoolExecutor(len(images)) as pool:
        # the last one asks first
        found = [pool.submit(image.read) for image in reversed(images)]
        assert [future.result() for future in reversed(found)] == [RED, BLUE, LIME] * 8
    assert len(opened) <= 8


def test_a_row_that_is_not_read_after_all_holds_up_no_other(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [RED, BLUE, LIME]}), tmp_path / "some.parquet")
    turns = Turns()
    red, blue, lime = (turns.hand_out(image.source) for image in load_probe(tmp_path / "some.parquet").images)
    turns.take_back(blue)
    with ThreadPoolExecutor(2) as pool:
        last = pool.submit(lime.read)
        assert pool.submit(red.read).result() == RED
        assert last.result(timeout=60) == LIME
    assert red.read() == RED  # once more, at any time


def test_a_row_that_cannot_be_read_holds_up_no_other(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": pa.array([RED, None, LIME], pa.binary())}), tmp_path / "gap.parquet")
    images = load_probe(tmp_path / "gap.parquet", max_failures=1).images
    wanted = ((ChunkImage(number, image), frozenset[Preprocessing]()) for number, image in enumerate(images))
    kinds = [type(image) for image in prepare_ahead(wanted, workers=3, ahead=3)]
    assert kinds == [PreparedImage, FailedImage, PreparedImage]


@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_file_that_is_replaced_between_two_runs_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_streamed: bool
) -> None:
    monkeypatch.setattr(parquet, "_LARGEST_KEPT_GROUP", 0 if is_streamed else 2**20)
    seen: list[list[tuple[str, str | None, bytes]]] = []
    for colours in ([RED, LIME], [BLUE, LIME]):
        pq.write_table(pa.table({"image": colours}), tmp_path / "same.parquet")
        seen.append(rows(load_probe(tmp_path / "same.parquet")))
    assert [[content for _, _, content in each] for each in seen] == [[RED, LIME], [BLUE, LIME]]


def test_rows_of_several_streamed_files_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_LARGEST_KEPT_GROUP", 0)
    for name, images in {"a": [RED, None, BLUE], "b": [LIME]}.items():
        pq.write_table(pa.table({"image": pa.array(images, pa.binary())}), tmp_path / f"{name}.parquet")
    probe = load_probe(tmp_path, max_failures=1)
    assert [image.sha256 for image in probe.images] == [
        *(hashlib.sha256(RED).hexdigest(), "", hashlib.sha256(BLUE).hexdigest()),
        hashlib.sha256(LIME).hexdigest(),
    ]
    with pytest.raises(ProbeError, match="the row holds no bytes"):
        probe.images[1].source.read()


def test_a_tar_is_read_where_it_lies_with_folders_as_labels(tmp_path: Path) -> None:
    members = [
        ("./b/blue.png", BLUE),
        ("a/red.PNG", RED),
        ("lime.png", LIME),
        ("a/._red.PNG", b"x"),
        ("notes.md", b"x"),
    ]
    path = write_tar(tmp_path / "some.tar", members)
    before = sorted(tmp_path.iterdir())
    assert rows(load_probe(path)) == [("a/red.PNG", "a", RED), ("b/blue.png", "b", BLUE), ("lime.png", None, LIME)]
    assert sorted(tmp_path.iterdir()) == before


def test_long_names_of_members_are_read_whole(tmp_path: Path) -> None:
    long = "folder/" * 40 + "ü" * 60 + ".png"
    assert rows(load_probe(write_tar(tmp_path / "long.tar", [(long, RED)]))) == [(long, "folder", RED)]


def test_samples_of_webdataset_have_the_label_of_their_key(tmp_path: Path) -> None:
    shards = {
        "shards-000.tar": [("01.cls", b"7\n"), ("01.png", RED), ("02.png", BLUE), ("02.txt", b"a blue\nsquare")],
        "shards-001.tar": [("01.left.png", RED), ("01.right.png", BLUE), ("01.txt", b"text"), ("01.cls", b"8")],
        "shards-002.tar": [("01.json", b"{}"), ("01.png", LIME)],
    }
    for name, members in shards.items():
        write_tar(tmp_path / name, members)
    expected = [
        ("shards-000.tar/01.png", "7", RED),
        ("shards-000.tar/02.png", "a blue", BLUE),
        ("shards-001.tar/01.left.png", "8", RED),
        ("shards-001.tar/01.right.png", "8", BLUE),
        ("shards-002.tar/01.png", None, LIME),
    ]
    assert rows(load_probe(tmp_path)) == expected
    probe = load_probe(tmp_path / "shards-{000..001}.tar")
    assert rows(probe) == expected[:4]
    assert probe.name == "shards-{000..001}"
    assert "there is no" in complaint(tmp_path / "shards-{002..003}.tar")


@pytest.mark.parametrize(
    ("json_member", "label"),
    [
        (b'{"label": 7}', "7"),
        (b'{"label": 7, "class_name": "tabby cat"}', "tabby cat"),
        (b'{"width": 3, "caption": "a red square"}', "a red square"),
        (b'{"label": true, "class": "dog"}', "dog"),
        (b'{"label": {"id": 3}}', "animals"),
        (b'["label"]', "animals"),
        (b"no json", "animals"),
        (b"[" * 100_000, "animals"),
    ],
)
def test_a_samples_json_has_its_label(tmp_path: Path, json_member: bytes, label: str) -> None:
    path = write_tar(tmp_path / "some.tar", [("animals/1.json", json_member), ("animals/1.png", RED)])
    assert rows(load_probe(path)) == [("animals/1.png", label, RED)]


def test_what_a_sample_says_as_text_goes_before_its_json(tmp_path: Path) -> None:
    members = [("1.json", b'{"label": "a"}'), ("1.png", RED), ("1.txt", b"b"), ("1.cls", b"c")]
    for count, label in ((2, "a"), (3, "b"), (4, "c")):
        assert rows(load_probe(write_tar(tmp_path / "some.tar", members[:count]))) == [("1.png", label, RED)]


@pytest.mark.parametrize("text", ["s-{0..99999999999}.tar", "{0..9999}-{0..9999}.tar"])
def test_too_many_shards_are_refused_at_once(tmp_path: Path, text: str) -> None:
    assert complaint(f"{tmp_path}/{text}").endswith(
        f"{text} names more than 100,000 files; name fewer, or the folder that they lie in"
    )


@pytest.mark.parametrize("name", ["../out.png", "a/../../out.png", "/etc/out.png", "..\\out.png"])
def test_members_that_lead_out_of_the_tar_are_refused(tmp_path: Path, name: str) -> None:
    path = write_tar(tmp_path / "evil.tar", [("fine.png", RED), (name, BLUE)])
    assert "leads out of it" in complaint(path)


@pytest.mark.parametrize("kept", [100, 700, 1024, 1100, 1024 + 512])
def test_a_truncated_tar_is_refused(tmp_path: Path, kept: int) -> None:
    # each image takes a block of 512 bytes for its header and one for its content
    assert len(RED) <= 512
    path = write_tar(tmp_path / "cut.tar", [("a.png", RED), ("b.png", BLUE)])
    path.write_bytes(path.read_bytes()[:kept])
    assert "cut short" in complaint(path)


def test_rubbish_in_a_tar_is_not_taken_for_its_end(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "bad.tar", [("a.png", RED), ("b.png", BLUE)])
    content = path.read_bytes()
    path.write_bytes(content[:1024] + b"x" * 512 + content[1536:])
    assert "damaged after 1024 bytes" in complaint(path)


def test_files_that_are_no_probes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    assert "is no probe that can be read; --probe takes a folder" in complaint(tmp_path / "a.txt")
    (tmp_path / "a.tar.gz").write_bytes(b"words")
    assert "uncompress it first" in complaint(tmp_path / "a.tar.gz")
    (tmp_path / "b.tar").write_bytes(b"words")
    assert "cannot be read as a tar" in complaint(tmp_path / "b.tar")
    (tmp_path / "folder.tar").mkdir()
    assert "holds no images" in complaint(tmp_path / "folder.tar")
    assert "holds no images" in complaint(write_tar(tmp_path / "c.tar", []))


def test_the_same_images_in_a_folder_and_in_a_tar_are_one_probe(tmp_path: Path) -> None:
    (tmp_path / "folder" / "a").mkdir(parents=True)
    (tmp_path / "folder" / "a" / "red.png").write_bytes(RED)
    path = write_tar(tmp_path / "some.tar", [("a/red.png", RED)])
    assert load_probe(path).fingerprint == load_probe(tmp_path / "folder").fingerprint
