"""Whole runs on a GPU: what stands in the warehouse afterwards is what a run on the CPU writes."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import torch
from alike import assert_alike
from pretended_devices import pretended
from torch import nn

import neuronlake
from neuronlake.ingest.recipe import Recipe, ScoreRecipe, recipe_of

# views and tables, by what tells their rows apart
WRITTEN = {
    "store.image_embeddings": "image_id",
    "activations": "model, layer, unit, image_id",
    "top_images": "model, layer, unit, rank",
    "unit_labels": "scoring, unit",
    "similarities": "scoring, unit, concept",
    "evaluations": "scoring, measure",
    "unit_matches": "layer, unit, unit_b",
}


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 5, 4, bias=False), nn.BatchNorm2d(6), nn.ReLU(inplace=True)),
        *(nn.Conv2d(6, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4)),
    ).eval()


@pytest.fixture(scope="module")
def settings(tiny_clip_folder: Path, image_folder: Path, concept_file: Path) -> dict[str, object]:
    """Of a run that is small but for the device."""
    return {
        "models": {"before": network(0), "after": network(1)},
        "layers": "2",
        "probes": str(image_folder),
        "concepts": str(concept_file),
        "encoder": f"local-dir:{tiny_clip_folder}",
        "parameters": {"top_k": 5},
        "null_draws": 5,
        "batch_size": 4,
        "chunk_images": 8,
    }


@pytest.fixture(scope="module")
def expected(settings: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    """What a run on the CPU writes."""
    return written(tmp_path_factory.mktemp("cpu"), settings, "cpu")


def written(folder: Path, settings: dict[str, object], device: str) -> dict[str, pl.DataFrame]:
    """What all commands write that compute on a device, one after the other."""
    with neuronlake.open(folder / "run.duckdb", write=True) as warehouse:
        recipe = recipe_of(Recipe, settings, {"device": device})
        neuronlake.estimate(recipe)
        neuronlake.ingest(warehouse, recipe)
        neuronlake.score(warehouse, ScoreRecipe(method="linear", device=device))
        neuronlake.evaluate(warehouse, "before", "2", setting=1, device=device)
        neuronlake.compare(warehouse, "before", "after", device=device)
        return {name: warehouse.sql(f"from {name} order by {keys}").pl() for name, keys in WRITTEN.items()}


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_a_run_writes_what_it_writes_on_the_cpu(
    kind: str, settings: dict[str, object], expected: dict[str, pl.DataFrame], tmp_path: Path
) -> None:
    with pretended(kind):
        found = written(tmp_path, settings, kind)
    assert not any(table.is_empty() for table in expected.values())
    assert_alike(found, expected)
