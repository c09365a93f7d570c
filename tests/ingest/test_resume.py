"""A command that is killed at any moment goes on where it stopped, and ends as if it had never been killed."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killed import Launcher, faults, tables
from PIL import Image

from neuronlake.sql.opening import open_warehouse

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX processes")]

KILLS = 30
KILLS_OF_A_COMMAND = 5
SEED = 7
IMAGES = 60
CONCEPTS = ["stripes", "dots", "a red thing", "sky", "grass", "dog", "cat", "wheel"]

# Imports what takes seconds once. Then forks a process for each line of its input, says its number, and what
# became of it: the children are processes of their own, which SIGKILL ends like any other.
LAUNCHER = """
import os, sys
import open_clip, torch, transformers.utils.logging
import neuronlake, neuronlake.ingest.run
from neuronlake.ingest.recipe import Recipe
from neuronlake.sql.opening import open_warehouse
from pathlib import Path

folder = Path(sys.argv[1])
recipe = Recipe(
    models=("resnet18-imagenet",),
    layers=("layer3", "fc"),
    probes=(str(folder / "probe"),),
    concepts=(str(folder / "concepts.txt"),),
    encoder=f"local-dir:{folder / 'clip'}",
    parameters={"top_k": 5},
    random_weights=True,
    null_draws=50,
    chunk_images=4,
)
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        try:
            def tell(stage, done, total, marker=Path(line.strip() + ".working")):
                if stage in ("Extracting images", "Scoring layers"):
                    marker.touch()

            with open_warehouse(line.strip(), write=True) as warehouse:
                neuronlake.ingest(warehouse, recipe, tell)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

# The same for `cli` commands, a list of arguments each.
CLI_LAUNCHER = """
import json, os, sys
import neuronlake.ingest.find, neuronlake.ingest.importers.labels, neuronlake.ingest.score, neuronlake.reports.page
from neuronlake.cli import main

print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)
        sys.argv = ["cli", *json.loads(line)]
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
        except BaseException:
            import traceback
            traceback.print_exc()
            status = 70
        os._exit(status)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a probe, concepts and a small CLIP model with random weights."""
    folder = tmp_path_factory.mktemp("inputs")
    make_probe(folder / "probe")
    (folder / "concepts.txt").write_text("\n".join(CONCEPTS))
    make_clip(folder / "clip")
    return folder


def make_probe(folder: Path) -> None:
    """Noise in many colours, and one file that is no image."""
    generator = np.random.default_rng(SEED)
    folder.mkdir()
    for number in range(IMAGES - 1):
        coarse = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((64, 48)).save(folder / f"{number:03}.png")
    (folder / "broken.png").write_text("no image")


def make_clip(folder: Path) -> None:
    """A CLIP model as open_clip keeps one in a folder."""
    import open_clip
    import torch

    config: dict[str, Any] = {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
    }
    folder.mkdir()
    torch.manual_seed(SEED)
    model = open_clip.CLIP(**config)
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    preprocessing = {"size": 32, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bicubic"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocessing}))


@pytest.fixture(scope="module")
def launcher(inputs: Path) -> Iterator[Launcher]:
    started = Launcher(inputs, LAUNCHER)
    yield started
    started.process.communicate(timeout=60)


def test_a_killed_ingest_resumes_without_loss_or_duplicates(launcher: Launcher, tmp_path: Path) -> None:
    untouched = tmp_path / "untouched.duckdb"
    began = time.monotonic()
    wait_until_at_work(untouched, launcher.start(untouched))
    start_seconds = time.monotonic() - began
    assert launcher.end() == 0
    work_seconds = time.monotonic() - began - start_seconds
    assert faults(untouched) == []
    expected = tables(untouched)
    assert len(expected["activations"]) == (IMAGES - 1) * (256 + 1000)

    launcher.start(untouched)
    assert launcher.end() == 0
    assert tables(untouched) == expected  # all was there already

    moments = random.Random(SEED)  # noqa: S311
    kills = killed_midway = finished = 0
    while kills < KILLS or not finished:
        path = tmp_path / f"killed-{finished}.duckdb"
        while True:
            process = launcher.start(path)
            if kills < KILLS:
                if moments.random() < 0.2:  # while it starts
                    time.sleep(moments.uniform(0, start_seconds))
                else:  # while it works: told by the run itself, so that the machine's speed does not matter
                    wait_until_at_work(path, process)
                    time.sleep(moments.uniform(0, work_seconds / 2))
                with suppress(ProcessLookupError):  # it has finished
                    os.kill(process, signal.SIGKILL)
            status = launcher.end()
            assert status in {0, -signal.SIGKILL}
            if status == 0:
                break
            kills += 1
            if path.exists():
                assert faults(path) == []
                killed_midway += is_half_done(path)
        assert faults(path) == []
        assert tables(path) == expected
        finished += 1
    assert killed_midway > KILLS / 4, f"{killed_midway} kills found a job half done"


def wait_until_at_work(warehouse: Path, process: int) -> None:
    """Until the ingest has begun with its images or scores, or has ended."""
    marker = Path(f"{warehouse}.working")
    with suppress(ProcessLookupError):
        while not marker.exists():
            os.kill(process, 0)
            time.sleep(0.002)
    marker.unlink(missing_ok=True)


def is_half_done(path: Path) -> bool:
    """Some chunk is loaded, and some layer is not scored."""
    with open_warehouse(path) as warehouse:
        return bool(
            warehouse.scalar("select count(*) from store.chunks")
            and warehouse.scalar("select count(*) from store.scorings") < 2
        )


@pytest.fixture(scope="module")
def cli_launcher(inputs: Path) -> Iterator[Launcher]:
    started = Launcher(inputs, CLI_LAUNCHER)
    yield started
    started.process.communicate(timeout=60)


@pytest.fixture(scope="module")
def begun(launcher: Launcher, inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a warehouse, older outputs of it, and labels to import."""
    folder = tmp_path_factory.mktemp("begun")
    launcher.start(folder / "w.duckdb")
    assert launcher.end() == 0
    (folder / "w.duckdb.working").unlink()
    (folder / "page.html").write_text("old")
    (folder / "out").mkdir()
    (folder / "out" / "resnet18-imagenet.csv").write_text("old")
    labels = [f"{layer},{unit},{CONCEPTS[unit % 8]}\n" for layer in ("early", "late") for unit in range(3000)]
    (folder / "labels.csv").write_text("layer,unit,description\n" + "".join(labels))
    (folder / "more.txt").write_text("\n".join([*CONCEPTS, "sea", "snow", "a door"]))
    return folder


def outputs(folder: Path) -> dict[str, str]:
    """What a command has written for its user; a page says when it was made, so its end stands for it."""
    pages = {file.name: file.read_text()[-20:] for file in folder.glob("*.html")}
    return pages | {file.name: file.read_text() for file in (folder / "out").glob("*.csv")}


@pytest.mark.parametrize(
    "command",
    [
        ("score", "--concepts", "more.txt", "--parameter", "top_k=5"),
        ("import", "labels.csv", "--model", "other"),
        ("report", "--output", "page.html"),
        ("export", "--output", "out"),
    ],
    ids=lambda command: command[0],
)
def test_a_command_that_was_killed_can_be_given_again(
    cli_launcher: Launcher, begun: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    def start(name: str) -> tuple[Path, int]:
        folder = Path(shutil.copytree(begun, tmp_path / name))
        return folder, again(folder)

    def again(folder: Path) -> int:
        paths = [str(folder / part) if (begun / part).exists() else part for part in command]
        return cli_launcher.start(json.dumps([*paths, "--warehouse", str(folder / "w.duckdb")]))

    began = time.monotonic()
    untouched, _ = start("untouched")
    assert cli_launcher.end() == 0
    seconds = time.monotonic() - began
    expected = tables(untouched / "w.duckdb")
    written = outputs(untouched)
    assert (expected, written) != (tables(begun / "w.duckdb"), outputs(begun))

    moments = random.Random(SEED)  # noqa: S311
    killed = 0
    for attempt in range(KILLS_OF_A_COMMAND):
        folder, process = start(f"killed-{attempt}")
        time.sleep(moments.uniform(0, seconds))
        with suppress(ProcessLookupError):  # it has finished
            os.kill(process, signal.SIGKILL)
        killed += cli_launcher.end() != 0
        assert faults(folder / "w.duckdb") == []
        assert all(text in {"old", written[name]} for name, text in outputs(folder).items())
        again(folder)
        assert cli_launcher.end() == 0
        assert tables(folder / "w.duckdb") == expected
        assert outputs(folder) == written
    assert killed > 0


def test_ctrl_c_ends_with_status_130_and_a_line_on_how_to_go_on(inputs: Path, tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    command = [
        *("ingest", "--model", "resnet18-imagenet", "--random-weights", "--layers", "layer3,fc"),
        *("--probe", str(inputs / "probe"), "--concepts", str(inputs / "concepts.txt")),
        *("--encoder", f"local-dir:{inputs / 'clip'}", "--parameter", "top_k=5", "--warehouse", str(path)),
    ]
    running = start_cli(*command)
    log = path.with_name("w.duckdb.wal")
    deadline = time.monotonic() + 60
    while not log.exists() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    running.send_signal(signal.SIGINT)
    output, errors = running.communicate(timeout=60)
    assert running.returncode == 130, errors
    assert output == ""
    assert re.fullmatch(
        r"interrupted: (nothing was loaded yet|kept .* of this run); run the same command again to go on",
        errors.splitlines()[-1],
    )
    assert "Traceback" not in errors
    assert faults(path) == []
    again = start_cli(*command)
    _, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    assert "2 of 2 layers scored" in errors
    assert faults(path) == []


def start_cli(*arguments: str) -> subprocess.Popen[str]:
    """A `cli` process to which Ctrl-C means what it means in a terminal."""
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from neuronlake.cli import main; sys.argv[0] = 'cli'; main()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
