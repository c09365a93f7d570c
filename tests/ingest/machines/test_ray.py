"""A Ray cluster extracts and scores what one process does, whoever is killed on the way."""

from __future__ import annotations

import dataclasses
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest
import torch
from polars.testing import assert_frame_equal

import neuronlake
from neuronlake import NeuronlakeError
from neuronlake.ingest.machines.base import choose_machine
from neuronlake.ingest.machines.feeding.batches import BatchLimit
from neuronlake.ingest.machines.loaded import DeviceMemoryError
from neuronlake.ingest.machines.shards import shard_folder
from neuronlake.ingest.machines.spool import leftovers, own_folder
from neuronlake.ingest.plan import make_plan
from neuronlake.ingest.recipe import Recipe, ScoreRecipe
from neuronlake.ingest.run import pending_chunks
from neuronlake.ingest.storing import register
from neuronlake.sql.verify import verify
from neuronlake.sql.warehouse import Warehouse
from neuronlake.sql.words import no_progress
from tiny import CONCEPTS, write_image

ray: Any = pytest.importorskip("ray")
cluster_utils: Any = pytest.importorskip("ray.cluster_utils")

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

IMAGES = 60
TABLES = (
    "activations",
    "image_embeddings",
    "thumbnails",
    "failed_images",
    "top_images",
    "units",
    "labels",
    "similarities",
)


def contents(warehouse: Warehouse) -> dict[str, list[tuple[object, ...]]]:
    """All rows of the tables that hold results, in one order."""
    return {table: warehouse.sql(f"select * from store.{table} order by all").fetchall() for table in TABLES}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Two nodes on this machine."""
    threads = torch.get_num_threads()
    cluster = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": threads, "include_dashboard": False}
    )
    cluster.add_node(num_cpus=threads)
    yield cluster.address
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, tiny_clip_folder: Path) -> Recipe:
    """Fifteen chunks, one file that is no image."""
    folder = tmp_path_factory.mktemp("cluster")
    for number in range(IMAGES - 1):
        write_image(folder / "probe" / f"{number:03}.png", number)
    (folder / "probe" / "broken.png").write_text("no image")
    (folder / "words.txt").write_text("\n".join(CONCEPTS))
    return Recipe(
        models=("resnet18-imagenet",),
        layers=("layer3", "fc"),
        probes=(str(folder / "probe"),),
        concepts=(str(folder / "words.txt"),),
        encoder=f"local-dir:{tiny_clip_folder}",
        parameters={"top_k": 5},
        random_weights=True,
        null_draws=50,
        batch_size=4,
        chunk_images=4,
    )


@pytest.fixture(scope="module")
def made_here(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The warehouse that one process makes."""
    path = tmp_path_factory.mktemp("local") / "w.duckdb"
    with neuronlake.open(path, write=True) as warehouse:
        neuronlake.ingest(warehouse, recipe)
    return path


@pytest.fixture(scope="module")
def local(made_here: Path) -> dict[str, list[tuple[object, ...]]]:
    """What one process gives."""
    with neuronlake.open(made_here) as warehouse:
        return contents(warehouse)


def on_cluster(recipe: Recipe, address: str) -> Recipe:
    """The same work for the cluster's two workers, each with as many threads as one process has here."""
    return dataclasses.replace(recipe, engine="ray", address=address, workers=2)


def workers(doing: str = "_Worker") -> list[psutil.Process]:
    """Processes in which Ray runs that class or function of ours."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter(["cmdline"]):
        if any(argument.startswith(f"ray::{doing}") for argument in process.info["cmdline"] or []):
            found.append(process)
    return found


def test_two_nodes_give_what_one_process_gives_though_a_worker_is_killed(
    recipe: Recipe, address: str, local: dict[str, list[tuple[object, ...]]], tmp_path: Path
) -> None:
    killed: list[int] = []

    def kill_one(stage: str, done: int, _total: int) -> None:
        if stage == "Extracting images" and 8 <= done < IMAGES and not killed and (found := workers()):
            killed.append(found[0].pid)
            found[0].kill()

    with neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse:
        summary = neuronlake.ingest(warehouse, on_cluster(recipe, address), kill_one)
        assert (summary.extracted_images, summary.unreadable_images) == (IMAGES - 1, 1)
        assert contents(warehouse) == local
        assert verify(warehouse) == []
        assert neuronlake.ingest(warehouse, recipe).did_nothing
    assert killed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w.duckdb"]


def test_a_probe_that_grew_sends_new_images_alone_to_the_workers(
    recipe: Recipe, address: str, made_here: Path, tmp_path: Path
) -> None:
    shutil.copytree(recipe.probes[0], tmp_path / "probe")
    write_image(tmp_path / "probe" / "010-new.png", 1000)  # in a chunk with old ones
    write_image(tmp_path / "probe" / "zz-new.png", 1001)  # the first chunk has old ones alone
    grown = dataclasses.replace(recipe, probes=(f"grown={tmp_path / 'probe'}",))
    given: list[list[pl.DataFrame]] = []
    for work in (grown, on_cluster(grown, address)):
        path = Path(shutil.copy(made_here, tmp_path / f"{work.engine}.duckdb"))
        with neuronlake.open(path, write=True) as warehouse:
            summary = neuronlake.ingest(warehouse, work)
            assert (summary.extracted_images, summary.unreadable_images) == (2, 1)
            assert summary.reused_images == IMAGES - 1
            assert verify(warehouse) == []
            given.append([warehouse.sql(f"select * from store.{table} order by all").pl() for table in TABLES])
    for here, there in zip(*given, strict=True):
        assert_frame_equal(there, here, rel_tol=0, abs_tol=1e-5)  # batches of one image: sums by another path


DRIVER = """
import pickle, sys
import neuronlake
recipe = pickle.loads(bytes.fromhex(sys.argv[2]))
def tell(stage, done, total):
    print(stage, done, flush=True)
with neuronlake.open(sys.argv[1], write=True) as warehouse:
    neuronlake.ingest(warehouse, recipe, tell)
"""


def test_a_killed_driver_goes_on(
    recipe: Recipe, address: str, local: dict[str, list[tuple[object, ...]]], tmp_path: Path
) -> None:
    import pickle

    arguments = [str(tmp_path / "w.duckdb"), pickle.dumps(on_cluster(recipe, address)).hex()]
    with subprocess.Popen([sys.executable, "-c", DRIVER, *arguments], stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout
        for line in driver.stdout:
            if line.startswith("Extracting images") and int(line.split()[-1]) >= 12:
                driver.send_signal(signal.SIGKILL)
                break
    assert driver.returncode == -signal.SIGKILL
    with neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse:
        summary = neuronlake.ingest(warehouse, on_cluster(recipe, address))
        assert 0 < summary.extracted_images < IMAGES
        assert contents(warehouse) == local
        assert verify(warehouse) == []


def leave_a_chunk(warehouse: Warehouse, recipe: Recipe, spool: Path) -> tuple[Path, Path]:
    """What a run leaves that is killed when its first chunk is there: its folder, and that of a chunk not begun."""
    plan = make_plan(recipe, no_progress)
    registered = register(warehouse, plan)
    chunks = pending_chunks(warehouse, plan, registered)
    machine = choose_machine(
        warehouse, "ray", recipe.device, address=recipe.address, workers=recipe.workers, spool=spool
    )
    running = machine.extract(plan.networks, chunks, BatchLimit(recipe.batch_size or 1), lambda _count: None)
    first, _ = next(running)
    running.close()
    folder = own_folder(warehouse, spool)
    left, last = (shard_folder(folder, chunk, plan.networks.fingerprints) for chunk in (first, chunks[-1]))
    return left, last


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_spool_that_holds_the_users_files_keeps_them_all(
    recipe: Recipe, address: str, local: dict[str, list[tuple[object, ...]]], tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(recipe.probes[0], mine / "probe")
    (mine / "thesis.tex").write_text("mine")
    before = files_in(mine)
    here = dataclasses.replace(on_cluster(recipe, address), probes=(str(mine / "probe"),), spool=mine / "probe")
    with neuronlake.open(tmp_path / "w.duckdb") as warehouse:
        neuronlake.ingest(warehouse, here)
        assert contents(warehouse) == local
        assert neuronlake.ingest(warehouse, dataclasses.replace(here, spool=mine)).did_nothing
    assert files_in(mine) == before
    assert [path.name for path in (mine / "probe").iterdir() if path.is_dir()] == []


def test_a_chunk_that_a_killed_run_left_is_taken_in_by_its_own_warehouse_alone(
    recipe: Recipe, address: str, local: dict[str, list[tuple[object, ...]]], image_folder: Path, tmp_path: Path
) -> None:
    there = dataclasses.replace(on_cluster(recipe, address), spool=tmp_path / "shared")
    with neuronlake.open(tmp_path / "killed.duckdb") as killed:
        left, _ = leave_a_chunk(killed, there, tmp_path / "shared")
        assert left.is_dir()
        before = files_in(tmp_path / "shared")
        # the same probe, but its images have other numbers here
        with neuronlake.open(tmp_path / "other.duckdb") as other:
            neuronlake.ingest(other, dataclasses.replace(recipe, probes=(str(image_folder),)))
            neuronlake.ingest(other, there)
            by_name = "select image, layer, unit, activation from activations where probe = 'probe' order by all"
            found = other.sql(by_name).fetchall()
            assert verify(other) == []
        assert before.items() <= files_in(tmp_path / "shared").items()
        neuronlake.ingest(killed, there)
        assert contents(killed) == local
        assert killed.sql(by_name).fetchall() == found
        assert leftovers(killed) == []


def test_a_chunk_under_the_name_of_another_is_refused(recipe: Recipe, address: str, tmp_path: Path) -> None:
    there = dataclasses.replace(on_cluster(recipe, address), spool=tmp_path / "shared")
    with neuronlake.open(tmp_path / "w.duckdb") as warehouse:
        left, last = leave_a_chunk(warehouse, there, tmp_path / "shared")
        left.rename(last)
        with pytest.raises(NeuronlakeError, match="holds a chunk of other images or layers; remove that folder"):
            neuronlake.ingest(warehouse, there)
        assert verify(warehouse) == []


HUNGRY = """
import os
import torch
from torch import nn

class Hungry(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)

    def forward(self, images):
        if images.any() and not images.requires_grad:  # as they are in dry runs
            with open(f"LOG/{os.getpid()}.txt", "a") as log:
                print(len(images), file=log)
            if len(images) > MOST:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return self.stem(images)

def make():
    torch.manual_seed(4)
    return Hungry()
"""


def hungry(recipe: Recipe, folder: Path, most: int) -> Recipe:
    """The same images for a network that runs out of memory on more than so many, and writes down how many it gets."""
    folder.mkdir()
    (folder / "net.py").write_text(HUNGRY.replace("LOG", str(folder)).replace("MOST", str(most)))
    return dataclasses.replace(recipe, models=(f"hungry={folder}/net.py:make",), layers=("stem",), random_weights=False)


def test_workers_that_run_out_of_memory_halve_their_batches_once_and_say_so(
    recipe: Recipe, address: str, tmp_path: Path
) -> None:
    here = hungry(recipe, tmp_path / "net", most=3)
    with neuronlake.open(tmp_path / "ray.duckdb") as warehouse:
        notes = neuronlake.ingest(warehouse, on_cluster(here, address)).notes
        found = contents(warehouse)
        assert verify(warehouse) == []
    batches = [log.read_text().split() for log in (tmp_path / "net").glob("*.txt")]
    (said,) = [note for note in notes if "ran out of memory" in note]
    assert re.fullmatch(
        r"cpu, \d+ threads ran out of memory on batches of 4, so they were made of 2; --batch-size 2 starts with that",
        said,
    )
    # each worker tries four once, and never again in the chunks after that
    assert 1 <= len(batches) <= 2
    assert all(each[0] == "4" and "4" not in each[1:] and set(each[1:]) <= {"1", "2"} for each in batches)
    assert sum(int(count) for each in batches for count in each[1:]) == IMAGES - 1
    with neuronlake.open(tmp_path / "local.duckdb") as warehouse:
        neuronlake.ingest(warehouse, here)
        assert contents(warehouse) == found


def test_a_worker_with_too_little_memory_for_one_image_says_so(recipe: Recipe, address: str, tmp_path: Path) -> None:
    there = on_cluster(hungry(recipe, tmp_path / "net", most=0), address)
    with (
        neuronlake.open(tmp_path / "w.duckdb") as warehouse,
        pytest.raises(DeviceMemoryError, match="runs out of memory on a single image"),
    ):
        neuronlake.ingest(warehouse, there)


def scored_again(
    made_here: Path, path: Path, recipe: ScoreRecipe
) -> tuple[list[tuple[object, ...]], torch.Tensor, torch.Tensor]:
    """All labels of a new setting, their similarity, p and q, and the unit-by-concept matrix."""
    with neuronlake.open(shutil.copy(made_here, path), write=True) as warehouse:
        assert neuronlake.score(warehouse, recipe).scored_layers == 2
        assert verify(warehouse) == []
        labels = warehouse.sql("select * from unit_labels where setting = 3 order by scoring, unit").pl()
        matrix = warehouse.sql(
            "select similarity from store.similarities where scoring_id >= 3 order by scoring_id, unit, concept_id"
        ).pl()
    names = labels.select("scoring", "layer", "unit", "concept", "runner_up", "status").rows()
    numbers = labels.select("similarity", "p_value", "q_value").to_torch()
    return names, numbers, matrix.to_torch()


def test_workers_score_as_one_process_does_though_one_is_killed(made_here: Path, address: str, tmp_path: Path) -> None:
    # so many pseudo-units that a layer takes seconds
    here = ScoreRecipe(method="rank_reorder", null_draws=6_000)
    killed: list[int] = []
    is_scored = threading.Event()

    def kill_one() -> None:
        while not killed and not is_scored.wait(0.1):
            for process in workers("_label")[:1]:
                killed.append(process.pid)
                process.kill()

    killer = threading.Thread(target=kill_one)
    killer.start()
    there = dataclasses.replace(here, engine="ray", address=address, workers=2)
    try:
        names, numbers, matrix = scored_again(made_here, tmp_path / "ray.duckdb", there)
    finally:
        is_scored.set()
        killer.join()
    assert killed
    names_here, numbers_here, matrix_here = scored_again(made_here, tmp_path / "local.duckdb", here)
    assert names == names_here
    # how many threads add up a sum may change its last digits
    torch.testing.assert_close(numbers, numbers_here, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(matrix, matrix_here, rtol=1e-5, atol=1e-5)


def test_more_workers_than_the_cluster_has_room_for_are_refused(
    recipe: Recipe, made_here: Path, address: str, tmp_path: Path
) -> None:
    many = dataclasses.replace(on_cluster(recipe, address), workers=99)
    with neuronlake.open(tmp_path / "w.duckdb") as warehouse, pytest.raises(NeuronlakeError, match="not for 99"):
        neuronlake.ingest(warehouse, many)
    with (
        neuronlake.open(shutil.copy(made_here, tmp_path / "copy.duckdb")) as warehouse,
        pytest.raises(NeuronlakeError, match="not for 99"),
    ):
        neuronlake.score(warehouse, ScoreRecipe(method="wpmi", engine="ray", address=address, workers=99))


def test_no_cluster_at_the_address_is_one_line(recipe: Recipe, tmp_path: Path) -> None:
    with (
        neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse,
        pytest.raises(NeuronlakeError, match=r"there is no Ray cluster at 127\.0\.0\.1:1"),
    ):
        neuronlake.ingest(warehouse, on_cluster(recipe, "127.0.0.1:1"))


def test_scoring_alone_says_so_too(made_here: Path, tmp_path: Path) -> None:
    with (
        neuronlake.open(shutil.copy(made_here, tmp_path / "w.duckdb"), write=True) as warehouse,
        pytest.raises(NeuronlakeError, match=r"there is no Ray cluster at 127\.0\.0\.1:1"),
    ):
        neuronlake.score(warehouse, ScoreRecipe(method="wpmi", engine="ray", address="127.0.0.1:1"))
