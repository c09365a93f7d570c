"""A probe that grows or shrinks: only new images are looked at, and the rows are those of a fresh ingest."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from killed import Launcher, faults, tables
from mask_files import grey

import neuronlake
from neuronlake.cli import main
from neuronlake.ingest import run
from neuronlake.ingest.estimate import estimate
from neuronlake.ingest.machines.feeding import preparing
from neuronlake.ingest.recipe import Recipe
from neuronlake.ingest.run import Summary
from neuronlake.ingest.storing import load_chunk
from neuronlake.sql.opening import open_warehouse
from neuronlake.sql.verify import verify
from neuronlake.sql.warehouse import Warehouse
from tiny import CONCEPTS, TWO_TOWERS, write_image

OLD = 400
# a ReLU's maps, whose mean is 0 for many images, so that many images tie; and units without a map
NETWORK = """
import torch
from torch import nn
from neuronlake import Preprocessing

def make():
    torch.manual_seed(3)
    convolution = nn.Conv2d(3, 12, 5, stride=3)
    convolution.bias.data -= 0.8
    network = nn.Sequential(convolution, nn.ReLU(), nn.Flatten(), nn.Linear(12 * 4 * 4, 9))
    return network, Preprocessing(16, 16, (0.5, 0.5, 0.5), (0.3, 0.3, 0.3))
"""
# imports what takes seconds once, and forks an ingest of the pictures for each warehouse that it is given
LAUNCHER = """
import os, sys, traceback
import torch
import neuronlake, neuronlake.ingest.run
from neuronlake.sql.opening import open_warehouse

os.chdir(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        try:
            with open_warehouse(line.strip(), write=True) as warehouse:
                neuronlake.ingest(warehouse, **SETTINGS)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
KILLS = 8
SEED = 7
# what a fresh ingest gives is compared by these: names and not numbers, which depend on what came before
ACTIVATIONS = "select layer, unit, image, label, activation from activations where probe = $probe order by all"
TOP_IMAGES = (
    "select layer, unit, rank, image, label, part, activation, peak_x, peak_y from top_images where probe = $probe"
    " order by all"
)
EMBEDDINGS = (
    "select encoder_id, path, embedding from store.image_embeddings join store.images using (image_id)"
    " join store.probes using (probe_id) where probes.name = $probe order by all"
)
PICTURES = (
    "select path, width, height, webp from store.thumbnails join store.images using (image_id)"
    " join store.probes using (probe_id) where probes.name = $probe order by all"
)
UNITS = (
    "select layers.name as layer, unit, status, not_finite, mean, maximum from store.units"
    " join store.layers using (layer_id) join store.probes using (probe_id) where probes.name = $probe order by all"
)
LABELS = (
    "select layer, unit, concept, runner_up, status, similarity, p_value, q_value, held_out_correlation, ceiling,"
    " stability, confidence from unit_labels where probe = $probe order by all"
)
FAILED = "select image, reason from failed_images where probe = $probe order by all"
OF_OLD = "select * from store.activations where image_id <= $last order by all"
ASKED = (ACTIVATIONS, TOP_IMAGES, EMBEDDINGS, PICTURES, UNITS, LABELS, FAILED)


def picture(folder: Path, name: str, seed: int) -> None:
    """One small picture; those of a label lie in a folder of its name."""
    write_image(folder / f"label{seed % 3}" / f"{name}.png", seed, (24, 20))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 400 pictures, a network, an encoder and concepts, and the warehouse of an ingest of them."""
    folder = tmp_path_factory.mktemp("inputs")
    for number in range(OLD):
        picture(folder / "photos", f"{number:04}", number)
    (folder / "net.py").write_text(NETWORK)
    (folder / "towers.py").write_text(TWO_TOWERS)
    (folder / "words.txt").write_text("\n".join(CONCEPTS))
    with pytest.MonkeyPatch.context() as patch, open_warehouse(folder / "w.duckdb", write=True) as warehouse:
        patch.chdir(folder)
        assert ingest(warehouse, "old=photos").extracted_images == OLD
    return folder


@pytest.fixture
def photos(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The pictures, to be changed, in a folder of their own with the warehouse."""
    shutil.copytree(inputs, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return Path("photos")


def settings(*probes: str, **changes: Any) -> dict[str, Any]:
    """Of an ingest; a probe under the name of grown is the one that is compared."""
    given = {
        "models": ("net=net.py:make",),
        "layers": ("1", "3"),
        "probes": probes,
        "concepts": ("words.txt",),
        "encoder": "towers=towers.py:make",
        "parameters": {"top_k": 5},
        "null_draws": 20,
        "chunk_images": 64,
        "batch_size": 32,
        "device": "cpu",
    }
    return given | changes


def ingest(warehouse: Warehouse, *probes: str, **changes: Any) -> Summary:
    return neuronlake.ingest(warehouse, **settings(*probes, **changes))


def grow(*probes: str, is_resumed: bool = False, **changes: Any) -> Summary:
    """Ingest into the warehouse that has the old pictures; all of it is as in a new warehouse, and whole."""
    probes = probes or ("grown=photos",)
    name = " + ".join(probe.split("=")[0] for probe in probes)
    with open_warehouse("w.duckdb", write=True) as warehouse:
        before = warehouse.sql(OF_OLD, last=OLD).pl()
        summary = ingest(warehouse, *probes, **changes)
        found = [warehouse.sql(query, probe=name).pl() for query in ASKED]
        assert warehouse.sql(OF_OLD, last=OLD).pl().equals(before)
        assert verify(warehouse) == []
        read = warehouse.sql("select images from runs order by run desc limit 1").fetchall()[0][0]
        assert read == summary.extracted_images + summary.unreadable_images
        assert ingest(warehouse, *probes, **changes).did_nothing
    with open_warehouse("fresh.duckdb", write=True) as warehouse:
        fresh = ingest(warehouse, *probes, **changes)
        assert fresh.reused_images == 0
        expected = [warehouse.sql(query, probe=name).pl() for query in ASKED]
    assert is_resumed or summary.extracted_images + summary.reused_images == fresh.extracted_images
    for found_rows, expected_rows in zip(found, expected, strict=True):
        same(found_rows, expected_rows)
    return summary


def same(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Exactly the same rows, but for the last bits of floats: images are the same, batches are not."""
    assert found.height == expected.height
    for name, kind in found.schema.items():
        if kind.is_float():
            left, right = found[name], expected[name]
            assert left.is_null().equals(right.is_null()), name
            np.testing.assert_allclose(left.drop_nulls(), right.drop_nulls(), rtol=1e-5, atol=1e-5, err_msg=name)
        elif kind == pl.List:
            np.testing.assert_allclose(found[name].to_list(), expected[name].to_list(), rtol=0, atol=1e-6)
        else:
            assert found[name].equals(expected[name]), name


def top_images_of_old() -> set[str]:
    """Pictures that are among the top images of some unit that has a map."""
    with open_warehouse("w.duckdb") as warehouse:
        found = warehouse.sql("select distinct image from top_images where layer = '1' and activation > 0").fetchall()
    return {name for (name,) in found}


def test_the_network_has_what_is_to_be_told_apart(inputs: Path) -> None:
    """Units that fire on fewer images than are kept, so that images which tie at 0 are among their top images."""
    with open_warehouse(inputs / "w.duckdb") as warehouse:
        counts = warehouse.sql(
            "select count(*) filter (activation > 0) as fired from activations where layer = '1' group by unit"
        ).pl()["fired"]
        peaks = warehouse.sql(
            "select layer, count(*), count(peak_x) from top_images group by layer order by layer"
        ).fetchall()
    assert sorted(counts)[:2] < [20, 20]
    assert max(counts) > 200
    assert peaks == [("1", 12 * 20, 12 * 20), ("3", 9 * 20, 0)]


@pytest.mark.parametrize("place", ["z-last", "0200-between", "0-first"])
def test_a_probe_that_grew_from_400_to_500_images_decodes_100_and_is_as_a_fresh_ingest(
    photos: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(100):
        picture(photos, f"{place}-{number:03}", 1000 + number)
    decoded: list[object] = []
    decode = preparing.decode

    def counted(content: bytes) -> Any:
        decoded.append(content)
        return decode(content)

    monkeypatch.setattr(preparing, "decode", counted)
    summary = grow()
    assert (summary.images, summary.extracted_images, summary.reused_images) == (500, 100, 400)
    assert len(decoded) == 100 + 500  # and all of them in the new warehouse


def test_of_a_probe_that_lost_images_those_are_looked_at_again_that_moved_up(photos: Path) -> None:
    for name in sorted(top_images_of_old())[:10]:
        (photos / name).unlink()
    summary = grow()
    assert summary.images == 390
    assert 0 < summary.extracted_images < 100


def test_of_a_probe_that_lost_no_top_image_none_is_looked_at(photos: Path) -> None:
    with open_warehouse("w.duckdb") as warehouse:
        never = warehouse.sql(
            "select path from store.images where image_id not in (select image_id from store.top_images) order by path"
        ).fetchall()
    for (name,) in never[:50]:
        (photos / name).unlink()
    assert grow().extracted_images == 0


def test_images_come_and_go(photos: Path) -> None:
    for number in range(100):
        picture(photos, f"{number:04}-new", 1000 + number)
    for name in sorted(top_images_of_old())[::7]:
        (photos / name).unlink()
    summary = grow()
    assert 100 < summary.extracted_images < 250


def test_images_with_new_names_and_labels_are_known_by_their_contents(photos: Path) -> None:
    photos.rename("old-photos")
    for number, file in enumerate(sorted(Path("old-photos").rglob("*.png"))):
        target = photos / f"kind{number % 5}" / f"{OLD - number:04}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    summary = grow()
    # where units tie at 0, the first in the new order count
    assert 0 < summary.extracted_images < 60


def test_the_same_contents_may_be_there_several_times(photos: Path) -> None:
    for name in sorted(top_images_of_old())[:5]:
        for again in ("again", "once-more"):
            shutil.copy(photos / name, photos / f"{Path(name).stem}-{again}.png")
    picture(photos, "new", 2000)
    shutil.copy(photos / f"label{2000 % 3}" / "new.png", photos / "new-again.png")
    summary = grow()
    assert (summary.images, summary.extracted_images) == (OLD + 10 + 2, 2)


def test_two_probes_together_are_reused_of_both(photos: Path) -> None:
    for number in range(70):
        picture(Path("more"), f"{number:04}", 3000 + number)
    with open_warehouse("w.duckdb", write=True) as warehouse:
        ingest(warehouse, "more=more")
    assert grow("old=photos", "more=more").extracted_images == 0


def test_what_could_not_be_read_is_tried_again(photos: Path) -> None:
    (photos / "broken.png").write_text("no image")
    with open_warehouse("w.duckdb", write=True) as warehouse:
        assert ingest(warehouse, "with-broken=photos").unreadable_images == 1
    (photos / "0-broken.png").write_text("none either")
    picture(photos, "new", 2000)
    summary = grow()
    assert (summary.extracted_images, summary.unreadable_images, summary.reused_images) == (1, 2, OLD)


def test_a_chunk_of_reused_and_broken_images_is_whole(photos: Path) -> None:
    (photos / "0-broken.png").write_text("no image")
    summary = grow()
    assert (summary.extracted_images, summary.unreadable_images, summary.reused_images) == (0, 1, OLD)


def test_another_layer_or_encoder_needs_all_images(photos: Path) -> None:
    picture(photos, "new", 2000)
    assert grow(layers=("0", "1")).reused_images == 0
    # the same words and images, other numbers
    picture(photos, "newer", 2001)
    Path("others.py").write_text(TWO_TOWERS.replace("manual_seed(0)", "manual_seed(1)"))
    assert grow("grown2=photos", encoder="others=others.py:make", layers=("3",)).reused_images == 0


def test_embeddings_alone_are_reused_too(photos: Path) -> None:
    for number in range(10):
        picture(photos, f"new-{number}", 2000 + number)
    by_labels = {"method": "network_dissection", "parameters": {}, "concepts": ()}
    with open_warehouse("w.duckdb", write=True) as warehouse:
        summary = ingest(warehouse, "grown=photos", **by_labels)
        assert (summary.extracted_images, summary.reused_images) == (10, OLD)
        assert warehouse.scalar("select count(*) from store.image_embeddings") == OLD
        summary = ingest(warehouse, "grown=photos")
        assert (summary.extracted_images, summary.reused_images) == (10, OLD)
        assert warehouse.scalar("select count(*) from store.image_embeddings") == OLD + OLD + 10
        assert verify(warehouse) == []


def test_masks_are_laid_over_the_maps_of_all_images(photos: Path) -> None:
    (photos / "0-first.png").write_bytes((photos / "label0" / "0000.png").read_bytes())
    Path("masks").mkdir()
    Path("classes.csv").write_text("value,concept,category\n0,,\n1,left,object\n2,right,object\n")
    for file in photos.rglob("*.png"):
        mask = Path("masks") / file.relative_to(photos)
        mask.parent.mkdir(exist_ok=True)
        mask.write_bytes(grey([[1, 1, 0, 2]] * 4))
    masked: dict[str, Any] = {
        "method": "network_dissection",
        "parameters": {"quantile": 0.02},
        "concepts": (),
        "masks": "masks",
        "mask_labels": Path("classes.csv"),
    }
    assert grow(**masked).extracted_images == 0
    counts = []
    for file in ("w.duckdb", "fresh.duckdb"):
        with open_warehouse(file) as warehouse:
            counts.append(
                warehouse.sql(
                    "select unit, concept, intersection_pixels, union_pixels from unit_labels where method"
                    " like 'network_dissection%' and layer = '1' order by all"
                ).fetchall()
            )
    assert counts[0] == counts[1]


def test_a_run_that_fails_between_chunks_goes_on_where_it_stopped(
    photos: Path,
) -> None:
    for number in range(100):
        picture(photos, f"{number:04}-new", 1000 + number)
    (photos / "label0" / "0003.png").unlink()
    loaded: list[int] = []

    def load_three_chunks(*arguments: Any) -> None:
        if len(loaded) == 3:
            raise OSError("the disk has gone")
        loaded.append(1)
        load_chunk(*arguments)

    with (
        pytest.MonkeyPatch.context() as patch,
        open_warehouse("w.duckdb", write=True) as warehouse,
        pytest.raises(OSError, match="disk has gone"),
    ):
        patch.setattr(run, "load_chunk", load_three_chunks)
        ingest(warehouse, "grown=photos")
    with open_warehouse("w.duckdb") as warehouse:
        assert verify(warehouse) == []
        assert warehouse.scalar("select count(*) from store.chunks where probe_id = 2 and layer_id = 1") == 3
    summary = grow(is_resumed=True)
    assert 0 < summary.extracted_images < 100
    assert 0 < summary.reused_images < 300


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX processes")
def test_a_killed_ingest_of_a_grown_probe_resumes_without_loss_or_duplicates(photos: Path) -> None:
    for number in range(100):
        picture(photos, f"{number:04}-new", 1000 + number)
    (photos / "label0" / "0003.png").unlink()
    folder = photos.absolute().parent
    launcher = Launcher(folder, LAUNCHER.replace("SETTINGS", repr(settings("grown=photos", chunk_images=16))))
    untouched = Path(shutil.copy("w.duckdb", "untouched.duckdb"))
    began = time.monotonic()
    launcher.start(untouched)
    assert launcher.end() == 0
    seconds = time.monotonic() - began
    expected = tables(untouched)
    moments = random.Random(SEED)  # noqa: S311
    half_done = 0
    for number in range(KILLS):
        path = Path(shutil.copy("w.duckdb", f"killed-{number}.duckdb"))
        process = launcher.start(path)
        time.sleep(moments.uniform(0.2, 0.8) * seconds)
        with suppress(ProcessLookupError):  # it has finished
            os.kill(process, signal.SIGKILL)
        launcher.end()
        assert faults(path) == []
        with open_warehouse(path) as warehouse:
            half_done += 0 < warehouse.scalar("select count(distinct chunk) from store.chunks where probe_id = 2") < 32
        launcher.start(path)
        assert launcher.end() == 0
        assert faults(path) == []
        assert tables(path) == expected
    assert half_done > 0
    launcher.process.communicate(timeout=60)


def test_the_command_line_says_how_many_are_reused(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(100):
        picture(photos, f"{number:04}-new", 1000 + number)
    command = [
        *("ingest", "--model", "net=net.py:make", "--layers", "1,3", "--probe", "grown=photos"),
        *("--concepts", "words.txt", "--encoder", "towers=towers.py:make", "--parameter", "top_k=5"),
        *("--warehouse", "w.duckdb"),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["cli", *command, "--dry-run"])
        with pytest.raises(SystemExit):
            main()
        assert "\n400 of 500 images are reused, " in capsys.readouterr().out
        patch.setattr("sys.argv", ["cli", *command])
        with pytest.raises(SystemExit):
            main()
        assert "100 images extracted, 400 reused, 2 of 2 layers scored" in capsys.readouterr().err


def test_an_estimate_counts_the_time_of_new_images_alone(photos: Path) -> None:
    picture(photos, "new", 2000)
    recipe = Recipe(**settings("grown=photos"))
    with open_warehouse("w.duckdb") as warehouse:
        found = estimate(recipe, warehouse=warehouse)
    everything = estimate(recipe)
    assert (found.images, found.reused_images, everything.reused_images) == (401, 400, 0)
    assert found.extract_seconds < everything.extract_seconds / 10
    with open_warehouse("new.duckdb", write=True) as warehouse:
        assert estimate(recipe, warehouse=warehouse).reused_images == 0
