"""`cli simulate`, run as a user runs it: on labels of a run, on imported ones, and where nothing is predicted."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import neuronlake

CLI = Path(sys.executable).parent / "cli"
COLUMNS = ["image", "label", "activation", "predicted", "difference", "outcome", "outcome_rank", "image_id"]


def cli(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command with no terminal, no network and no browser."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "COLUMNS": "120", "NO_COLOR": "1", "PATH": ""}
    command = [str(CLI), *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)


def simulate(warehouse: Path, unit: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return cli("simulate", "alpha", "late", unit, *arguments, "-w", warehouse)


def test_it_shows_the_label_and_where_that_is_most_wrong(small_file: Path) -> None:
    done = simulate(small_file, "0")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:2] == ["alpha · late · unit 0", "cat"]
    false_alarms, misses = done.stdout.split("misses: ")
    assert "a/two.png" in false_alarms
    assert "a/one.png" in misses


@pytest.mark.parametrize(("top", "false_alarms", "misses"), [(2, 2, 2), (9, 4, 3)])
def test_top_says_how_many_of_each(small_file: Path, tmp_path: Path, top: int, false_alarms: int, misses: int) -> None:
    """Sixty more images: three are as much a cat as image 2 and leave the unit cold, three others excite it."""
    path = Path(shutil.copy(small_file, tmp_path / "w.duckdb"))
    numbers = range(100, 160)
    with neuronlake.open(path, write=True) as warehouse:
        images = pl.DataFrame({"image_id": numbers, "path": [f"{number}.png" for number in numbers]})
        warehouse.insert("images", images, probe_id=1)
        vectors = [[0.0, 1.0, 0.0]] * 3 + [[0.0, 0.0, 1.0]] * 57
        warehouse.insert("image_embeddings", pl.DataFrame({"image_id": numbers, "embedding": vectors}), encoder_id=1)
        activations = [0.0] * 3 + [5.0] * 3 + [0.5] * 54
        shown = pl.DataFrame({"image_id": numbers, "activation": activations})
        warehouse.insert("activations", shown, layer_id=2, unit=0)
    first, second = simulate(path, "0", "--top", str(top)).stdout.split("misses: ")
    assert (first.count(".png"), second.count(".png")) == (false_alarms, misses)


@pytest.mark.parametrize("setting", ["1", "soft_wpmi"])
def test_it_takes_a_setting(small_file: Path, setting: str) -> None:
    """Under which unit 0 is a dog, which is in image 1 and a little in image 4."""
    lines = simulate(small_file, "0", "--setting", setting).stdout.splitlines()
    assert lines[1:4] == ["dog", "top 5 %: 1 hit, 0 false alarms, 0 misses", lines[3]]
    assert lines[3].startswith("setting 1: soft_wpmi, ")


def test_a_format_has_all_images_on_standard_output_alone(small_file: Path) -> None:
    done = simulate(small_file, "0", "--format", "csv")
    rows = pl.read_csv(io.StringIO(done.stdout))
    assert rows.columns == COLUMNS
    assert rows["image"].to_list() == ["a/one.png", "a/two.png", "b/three.png", "b/four.png"]
    assert done.stderr.startswith("setting 5: cos_similarity, ")
    as_json = json.loads(simulate(small_file, "0", "--format", "json", "--top", "1").stdout)
    assert [row["outcome"] for row in as_json] == ["miss", "false alarm", None, None]
    assert len(simulate(small_file, "0", "--format", "table").stdout.splitlines()) == 5
    assert simulate(small_file, "0", "--format", "xml").stderr.startswith("error: there is no format 'xml'; choose ")


def test_it_opens_a_page(small_file: Path) -> None:
    done = simulate(small_file, "0", "--open")
    page = Path(done.stdout.splitlines()[-1])
    assert page.name == "simulation.html"
    assert "What the label predicts" in page.read_text()
    shutil.rmtree(page.parent)
    both = simulate(small_file, "0", "--open", "--format", "csv")
    assert (both.returncode, both.stdout) == (1, "")
    assert both.stderr == "error: choose --open or --format: a page, or all images for another program\n"


def test_the_page_of_a_unit_has_it_too(small_file: Path) -> None:
    page = Path(cli("unit", "alpha", "late", "0", "--open", "-w", small_file).stdout.splitlines()[-1])
    assert "What the label predicts" in page.read_text()
    shutil.rmtree(page.parent)


@pytest.mark.parametrize(
    ("where", "complaint"),
    [
        (("alpha", "early", "2", "--setting", "1"), "unit 2 of early of alpha has no label; choose another unit, or"),
        (("alpha", "late", "7"), "late of alpha has units 0 to 3, not 7"),
        (("alpha", "lat", "0"), "did you mean late"),
    ],
)
def test_where_nothing_is_predicted_one_line_says_why(small_file: Path, where: tuple[str, ...], complaint: str) -> None:
    done = cli("simulate", *where, "-w", small_file)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")
    assert complaint in done.stderr


def test_imported_labels_are_simulated_once_there_are_images(tiny_warehouse: Path, tmp_path: Path) -> None:
    path = shutil.copy(tiny_warehouse, tmp_path / "w.duckdb")
    model = "resnet18-imagenet"
    (tmp_path / "theirs.csv").write_text("layer,unit,description\nfc,0,striped\nconv9,0,cat\n")
    done = cli("import", tmp_path / "theirs.csv", "--model", model, "--method", "theirs", "-w", path)
    assert done.returncode == 0, done.stderr
    shown = cli("simulate", model, "fc", "0", "-w", path)
    assert shown.stdout.splitlines()[1] == "striped"
    assert "over all 20 images" in shown.stdout
    without = cli("simulate", model, "conv9", "0", "-w", path)
    assert without.returncode == 1
    assert without.stderr.startswith(f"error: conv9 of {model} has no activations here; `cli ingest --warehouse ")
