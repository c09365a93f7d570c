"""An ingest that looks at masks goes on where it was killed: in either pass, between them, or before its labels."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from killed import Launcher, faults, tables
from PIL import Image

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX processes")]

IMAGES = 18
CHUNK = 4
MOMENTS = [
    ("Seeking thresholds", 1),
    ("Seeking thresholds", CHUNK + 1),  # the first chunk is there
    ("Seeking thresholds", IMAGES),  # all is seen, the last chunk is not there
    ("Comparing with masks", 1),  # the thresholds are there
    ("Comparing with masks", 2 * CHUNK + 1),
    ("Comparing with masks", IMAGES),
    ("Scoring layers", 0),
    ("Scoring layers", 1),
]

# As in test_resume.py; a line is a warehouse, a stage and a number of images, at which the process kills itself.
LAUNCHER = """
import os, signal, sys
import torch
import neuronlake, neuronlake.ingest.run
from neuronlake.ingest.recipe import Recipe
from neuronlake.sql.opening import open_warehouse
from pathlib import Path

folder = Path(sys.argv[1])
recipe = Recipe(
    models=(f"{folder / 'net.py'}:make",),
    layers=("0", "2"),
    probes=(str(folder / "probe"),),
    masks=str(folder / "masks"),
    mask_labels=folder / "classes.csv",
    method="network_dissection",
    parameters={"quantile": 0.02},
    batch_size=1,
    chunk_images=4,
)
print("ready", flush=True)
for line in sys.stdin:
    path, end, at = line.strip().split("|")
    child = os.fork()
    if child == 0:
        try:
            def tell(stage, done, total):
                if (stage, str(done)) == (end, at):
                    os.kill(os.getpid(), signal.SIGKILL)

            with open_warehouse(path, write=True) as warehouse:
                neuronlake.ingest(warehouse, recipe, tell)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


NETWORK = """
import torch
from torch import nn
from neuronlake import Preprocessing

def make():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 6, 5, 2), nn.ReLU(), nn.Conv2d(6, 9, 3, 2), nn.ReLU())
    return layers, Preprocessing(36, 32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)), ["a"]
"""


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    folder = tmp_path_factory.mktemp("inputs")
    draws = np.random.default_rng(0)
    for name in ("probe", "masks"):
        (folder / name).mkdir()
    for number in range(IMAGES):
        coarse = draws.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((64, 48)).save(folder / "probe" / f"{number:03}.png")
        mask = draws.integers(0, 3, (3, 4), dtype=np.uint8)
        Image.fromarray(mask).resize((64, 48), Image.Resampling.NEAREST).save(folder / "masks" / f"{number:03}.png")
    (folder / "net.py").write_text(NETWORK)
    (folder / "classes.csv").write_text("value,concept,category\n0,sky,object\n1,wood,material\n2,,\n")
    started = Launcher(folder, LAUNCHER)
    yield started
    started.process.communicate(timeout=60)


def run(launcher: Launcher, path: Path, stage: str = "", at: int = 0) -> int:
    """An ingest that is killed at a moment; its exit status."""
    launcher.start(f"{path}|{stage}|{at}")
    return launcher.end()


@pytest.fixture(scope="module")
def untouched(launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("untouched") / "untouched.duckdb"
    assert run(launcher, path) == 0
    assert faults(path) == []
    return path


def test_thresholds_leave_no_values_and_units_have_pixels_in_regions(untouched: Path) -> None:
    found = tables(untouched)
    assert len(found["thresholds"]) == 6 + 9
    assert len(found["dissected_chunks"]) == 2 * 2 * -(-IMAGES // CHUNK)
    assert len(found["active_regions"]) > IMAGES
    assert len(found["regions"]) > IMAGES
    assert found["tails"] == []


@pytest.mark.parametrize(("stage", "at"), MOMENTS)
def test_a_run_killed_once_ends_as_if_it_had_never_been(
    launcher: Launcher, untouched: Path, tmp_path: Path, stage: str, at: int
) -> None:
    path = tmp_path / "killed.duckdb"
    assert run(launcher, path, stage, at) == -signal.SIGKILL
    assert faults(path) == []
    assert run(launcher, path) == 0
    assert faults(path) == []
    assert tables(path) == tables(untouched)


def test_so_does_a_run_killed_at_all_these_moments(launcher: Launcher, untouched: Path, tmp_path: Path) -> None:
    path = tmp_path / "killed.duckdb"
    for stage, at in MOMENTS:
        run(launcher, path, stage, at)  # what is done already is not seen again, so some moments never come
        assert faults(path) == []
    assert run(launcher, path) == 0
    assert tables(path) == tables(untouched)
