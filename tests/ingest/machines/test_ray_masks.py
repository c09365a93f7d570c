"""A Ray cluster looks at masks as one process does, though a worker is killed in each pass."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

import neuronlake
from neuronlake.ingest.recipe import Recipe
from neuronlake.sql.verify import verify
from neuronlake.sql.warehouse import Warehouse
from tiny import write_image

ray: Any = pytest.importorskip("ray")
cluster_utils: Any = pytest.importorskip("ray.cluster_utils")

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

IMAGES = 40
TABLES = ("thresholds", "regions", "region_chunks", "active_regions", "outlines", "tails", "labels", "intersections")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """One node with two workers."""
    threads = torch.get_num_threads()
    cluster = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 2 * threads, "include_dashboard": False}
    )
    yield cluster.address
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """Ten chunks, one file that is no image."""
    draws = np.random.default_rng(0)
    (tmp_path / "masks").mkdir()
    for number in range(IMAGES):
        write_image(tmp_path / "probe" / f"{number:03}.png", number)
        mask = Image.fromarray(draws.integers(0, 3, (5, 6), dtype=np.uint8)).resize((48, 40), Image.Resampling.NEAREST)
        mask.save(tmp_path / "masks" / f"{number:03}.png")
    (tmp_path / "probe" / "007.png").write_text("no image")
    (tmp_path / "classes.csv").write_text("value,concept,category\n0,sky,object\n1,wood,material\n2,,\n")
    return Recipe(
        models=("resnet18-imagenet",),
        layers=("layer1", "layer2"),
        probes=(str(tmp_path / "probe"),),
        masks=str(tmp_path / "masks"),
        mask_labels=tmp_path / "classes.csv",
        method="network_dissection",
        random_weights=True,
        batch_size=4,
        chunk_images=4,
    )


def contents(warehouse: Warehouse) -> dict[str, list[tuple[object, ...]]]:
    return {table: warehouse.sql(f"select * from store.{table} order by all").fetchall() for table in TABLES}


def test_workers_look_at_masks_as_one_process_does_though_one_is_killed_in_each_pass(
    recipe: Recipe, address: str, tmp_path: Path
) -> None:
    with neuronlake.open(tmp_path / "here.duckdb", write=True) as warehouse:
        neuronlake.ingest(warehouse, recipe)
        expected = contents(warehouse)
    killed: dict[str, int] = {}

    def kill_one(stage: str, done: int, _total: int) -> None:
        if stage in ("Seeking thresholds", "Comparing with masks") and 4 <= done < IMAGES and stage not in killed:
            for process in psutil.process_iter(["cmdline"]):
                if any(argument.startswith("ray::_Worker") for argument in process.info["cmdline"] or []):
                    killed[stage] = process.pid
                    process.kill()
                    return

    with neuronlake.open(tmp_path / "there.duckdb", write=True) as warehouse:
        on_cluster = dataclasses.replace(recipe, engine="ray", address=address, workers=2)
        summary = neuronlake.ingest(warehouse, on_cluster, kill_one)
        assert (summary.extracted_images, summary.unreadable_images, summary.scored_layers) == (IMAGES - 1, 1, 2)
        assert contents(warehouse) == expected
        assert verify(warehouse) == []
    assert len(killed) == 2
