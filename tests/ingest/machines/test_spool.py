"""Chunks on their way from a cluster: nothing of the user's is deleted, and nothing of another warehouse's loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from neuronlake.ingest.machines import spool
from neuronlake.sql.opening import open_warehouse
from neuronlake.sql.warehouse import Warehouse

SHARD = "000002-0123456789abcdef"


def make_shard(folder: Path, name: str = SHARD) -> Path:
    """What a worker leaves, as far as it matters here."""
    (folder / name).mkdir(parents=True)
    (folder / name / "images.parquet").write_bytes(b"x" * 1000)
    return folder / name


def record_run(warehouse: Warehouse, chosen: Path) -> None:
    """A run whose recipe named a spool, and which was killed."""
    warehouse.execute(
        "insert into store.runs (run_id, command, status, started_at, device, versions, recipe)"
        " values (1, 'cli ingest', 'running', '2026-01-01', 'cpu', '{}', $recipe)",
        recipe=json.dumps({"spool": str(chosen)}),
    )


def test_two_warehouses_never_share_a_folder(tmp_path: Path) -> None:
    with open_warehouse(tmp_path / "a.duckdb", write=True) as one:
        first = spool.own_folder(one, tmp_path / "shared")
    (tmp_path / "a.duckdb").rename(tmp_path / "b.duckdb")
    with open_warehouse(tmp_path / "b.duckdb", write=True) as moved:
        second = spool.own_folder(moved, tmp_path / "shared")
    with open_warehouse(tmp_path / "a.duckdb", write=True) as another:
        third = spool.own_folder(another, tmp_path / "shared")
    assert len({first, second, third}) == 3
    assert {folder.parent for folder in (first, second, third)} == {tmp_path / "shared"}


def test_leftovers_are_found_in_the_spool_of_any_run_and_beside_the_warehouse(tmp_path: Path) -> None:
    with open_warehouse(tmp_path / "w.duckdb", write=True) as warehouse:
        record_run(warehouse, tmp_path / "shared")
        assert spool.leftovers(warehouse) == []
        first = make_shard(spool.own_folder(warehouse, tmp_path / "shared"))
        second = make_shard(spool.own_folder(warehouse, None), f"{SHARD}.{'f' * 32}.part")
        make_shard(tmp_path / "shared" / "neuronlake-of-another")
        found = spool.leftovers(warehouse)
    assert {(leftover.folder, leftover.size) for leftover in found} == {(first, 1000), (second, 1000)}
    assert second.parent.parent == tmp_path / "w.duckdb.chunks"


def test_leftovers_are_removed_on_request_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "thesis.tex").write_text("mine")
    with open_warehouse(tmp_path / "w.duckdb", write=True) as warehouse:
        record_run(warehouse, tmp_path / "shared")
        own = spool.own_folder(warehouse, tmp_path / "shared")
        make_shard(own)
        (own / "notes.txt").write_text("mine too")
        make_shard(spool.own_folder(warehouse, None))
    status = [sys.executable, "-m", "neuronlake.cli", "status", "--warehouse", str(tmp_path / "w.duckdb")]
    before = subprocess.run(status, check=True, capture_output=True, text=True).stdout
    assert "2 chunks of killed runs" in before
    assert str(own) in before
    after = subprocess.run([*status, "--remove-leftovers"], check=True, capture_output=True, text=True).stdout
    assert "killed runs" not in after
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == [f"shared/{own.name}/notes.txt", "shared/thesis.tex", "w.duckdb"]
    assert not (tmp_path / "w.duckdb.chunks").exists()


@pytest.mark.parametrize("others", [True, False])
def test_an_emptied_folder_goes_and_a_spool_with_anything_in_it_stays(tmp_path: Path, others: bool) -> None:
    with open_warehouse(tmp_path / "w.duckdb", write=True) as warehouse:
        own = spool.own_folder(warehouse, None)
        own.mkdir(parents=True)
        if others:
            (own.parent / "mine.txt").write_text("mine")
        spool.close_folder(warehouse, own)
    assert not own.exists()
    assert own.parent.exists() == others
