"""A run with `compile`: the same rows, one line for what could not be compiled, and nothing left behind."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import tomli_w
from polars.testing import assert_frame_equal

import neuronlake
from neuronlake.ingest.estimate import estimate
from neuronlake.ingest.recipe import Recipe
from tiny import TWO_TOWERS

NETS = """
import torch
from torch import nn
from neuronlake import Preprocessing

SEEN = Preprocessing(16, 16, (0.5,) * 3, (0.5,) * 3)

def straight():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()), SEEN

class Judges(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x) if x.sum() > 0 else self.conv(-x)

def judging():
    return Judges(), SEEN
"""


@pytest.fixture(scope="module")
def recipe(image_folder: Path, concept_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """One network that can be compiled and one that cannot; chunks of 8, 8 and 4 images in batches of 5."""
    folder = tmp_path_factory.mktemp("nets")
    (folder / "nets.py").write_text(NETS)
    (folder / "towers.py").write_text(TWO_TOWERS)
    return Recipe(
        models=(f"straight={folder}/nets.py:straight", f"judging={folder}/nets.py:judging"),
        layers=("**",),
        probes=(str(image_folder),),
        concepts=(str(concept_file),),
        encoder=f"{folder}/towers.py:make",
        parameters={"top_k": 5},
        null_draws=20,
        batch_size=5,
        chunk_images=8,
        compile=True,
        device="cpu",
    )


ACTIVATIONS = "from activations select model, layer, unit, image, activation order by all"
NOTE = "judging could not be compiled and ran as it is (Unsupported: Data-dependent branching)"


def test_a_compiled_run_gives_the_rows_of_a_plain_one_which_then_has_nothing_to_do(
    recipe: Recipe, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plain = dataclasses.replace(recipe, compile=False)
    with neuronlake.open(tmp_path / "compiled.duckdb", write=True) as warehouse:
        summary = neuronlake.ingest(warehouse, recipe)
        assert [note for note in summary.notes if "compiled" in note] == [NOTE]
        assert neuronlake.ingest(warehouse, plain).did_nothing
        compiled = warehouse.sql(ACTIVATIONS).pl()
    with neuronlake.open(tmp_path / "plain.duckdb", write=True) as warehouse:
        assert not any("compiled" in note for note in neuronlake.ingest(warehouse, plain).notes)
        assert_frame_equal(compiled, warehouse.sql(ACTIVATIONS).pl(), abs_tol=1e-5)
    assert compiled.height == 20 * 4 * 4
    assert capfd.readouterr() == ("", "")


def test_a_dry_run_says_what_could_not_be_compiled(recipe: Recipe) -> None:
    judging = dataclasses.replace(recipe, models=recipe.models[1:])
    assert NOTE in estimate(judging).notes


@pytest.mark.slow
@pytest.mark.cluster
def test_a_cluster_compiles_as_one_process_does(recipe: Recipe, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with neuronlake.open(tmp_path / "plain.duckdb", write=True) as warehouse:
        neuronlake.ingest(warehouse, dataclasses.replace(recipe, compile=False))
        plain = warehouse.sql(ACTIVATIONS).pl()
    with neuronlake.open(tmp_path / "cluster.duckdb", write=True) as warehouse:
        summary = neuronlake.ingest(warehouse, dataclasses.replace(recipe, engine="ray", workers=1))
        assert NOTE in summary.notes
        assert_frame_equal(warehouse.sql(ACTIVATIONS).pl(), plain, abs_tol=1e-5)


def marked(mark: str) -> list[str]:
    """The commands of all processes with a mark in their environment."""
    found: list[str] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it has ended meanwhile, or is another user's
            if process.environ().get("NEURONLAKE_TEST") == mark:
                found.append(" ".join(process.cmdline()))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("is_killed", [False, True])
def test_no_process_that_compiles_outlives_the_run(recipe: Recipe, tmp_path: Path, *, is_killed: bool) -> None:
    settings = {
        name: list(value) if isinstance(value, tuple) else value
        for name in ("models", "layers", "probes", "concepts", "encoder", "parameters", "batch_size", "compile")
        for value in [getattr(recipe, name)]
    }
    (tmp_path / "recipe.toml").write_text(tomli_w.dumps(settings))
    mark = str(tmp_path)
    environment = os.environ | {"NEURONLAKE_TEST": mark, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "neuronlake.cli", "ingest", "recipe.toml", "-w", "w.duckdb"]
    running = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    if is_killed:
        while not any("compile_worker" in each or "cc1plus" in each for each in marked(mark)):
            assert running.poll() is None
            time.sleep(0.05)
        running.kill()
    said = running.communicate()[1]
    assert running.returncode == (-9 if is_killed else 0), said
    until = time.monotonic() + 60
    while marked(mark) and time.monotonic() < until:
        time.sleep(0.2)
    assert marked(mark) == []
    if not is_killed:
        assert [
            line for line in said.splitlines() if not re.match(r"\d\d:\d\d:\d\d |next: |\d+ images extracted", line)
        ] == [f"note: {NOTE}"]
