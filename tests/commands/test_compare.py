"""`cli compare`, as it is typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def path(small_file: Path, tmp_path: Path) -> Path:
    file = tmp_path / "w.duckdb"
    file.write_bytes(small_file.read_bytes())
    return file


def compare(path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "neuronlake.cli", "compare", *words, "--device", "cpu", "--warehouse", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_counts_by_layer_says_which_concepts_came_and_what_to_ask(path: Path) -> None:
    done = compare(path, "alpha", "beta", "--format", "table")
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("alpha"))
    # three units, none of the same label, one that changed, one that nothing is close to, one dead
    assert row.split()[:13] == ["alpha", "beta", "early", "early", "1", "3", "0", "1", "0", "0", "0", "1", "1"]
    assert "concepts gained and lost most, counting labels that hold" in done.stdout
    assert "dotted" in done.stdout.split("gained and lost most")[1]
    assert "1 of 1 layers compared" in done.stderr
    assert f"cli sql most_changed_units model_a=alpha model_b=beta setting=1 --warehouse {path}" in done.stderr
    again = compare(path, "alpha", "beta")
    assert "nothing to compare" in again.stderr
    # for another program the counts alone
    assert again.stdout.splitlines()[0].startswith(
        "model_a,model_b,layer,layer_b,position,units,same,changed,moved,died"
    )
    assert len(again.stdout.splitlines()) == 2


def test_layers_that_share_no_setting_are_compared_and_told_how_to_be_labelled(path: Path) -> None:
    sql = [sys.executable, "-m", "neuronlake.cli", "sql", "--write", "-w", str(path)]
    for delete in ("scorings where scoring_id in (1, 2)", "labels where scoring_id in (1, 2)"):
        subprocess.run([*sql, f"delete from store.{delete}"], check=True, capture_output=True)
    done = compare(path, "alpha", "beta", "--layers", "early")
    assert done.returncode == 0, done.stderr
    assert "no setting labels both" in done.stderr
    assert "cli score --model alpha --model beta" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("alpah", "beta"), "error: {path} holds no activations of 'alpah'; did you mean alpha?"),
        (
            ("alpha", "beta", "--layers", "late"),
            "error: beta has no activations of 'late'; there are those of early, head",
        ),
        (("alpha", "beta", "--probe", "x"), "error: no layer of alpha and beta has seen a probe 'x'"),
    ],
)
def test_a_mistake_is_one_line(path: Path, words: tuple[str, ...], said: str) -> None:
    done = compare(path, *words)
    assert done.returncode == 1
    assert done.stderr.startswith(said.format(path=path))
    assert done.stderr.count("\n") == 1


def test_a_warehouse_is_not_made_for_it(tmp_path: Path) -> None:
    done = compare(tmp_path / "none.duckdb", "a", "b")
    assert done.returncode == 1
    assert "there is no warehouse at" in done.stderr
    assert not (tmp_path / "none.duckdb").exists()
