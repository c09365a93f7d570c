"""Runs: what was asked, with what, and how it ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from neuronlake.sql.warehouse import Warehouse, utc_now


def start_run(warehouse: Warehouse, command: str, device: str, versions: Mapping[str, str], recipe: str) -> int:
    """The number of a run that begins; those that were killed are called interrupted."""
    warehouse.execute("update store.runs set status = 'interrupted' where status = 'running'")
    return _insert_run(warehouse, "running", command, device, versions, recipe)


def finish_run(
    warehouse: Warehouse,
    run_id: int,
    status: str,
    *,
    extract_seconds: float,
    load_seconds: float,
    score_seconds: float,
) -> None:
    """Record how a run ended: finished, failed or interrupted."""
    warehouse.run_step(
        "finish_run",
        run_id=run_id,
        status=status,
        finished_at=utc_now(),
        extract_seconds=extract_seconds,
        load_seconds=load_seconds,
        score_seconds=score_seconds,
    )


def record_import(warehouse: Warehouse, command: str, version: str, recipe: Mapping[str, Any]) -> int:
    """The number of a finished run that says where imported rows come from."""
    return _insert_run(warehouse, "finished", command, "none", {"neuronlake": version}, json.dumps(recipe))


def _insert_run(
    warehouse: Warehouse, status: str, command: str, device: str, versions: Mapping[str, str], recipe: str
) -> int:
    """Write a run's row; its number."""
    run_id = warehouse.next_id("runs", "run_id")
    now = utc_now()
    warehouse.run_step(
        "insert_run",
        run_id=run_id,
        command=command,
        status=status,
        started_at=now,
        finished_at=None if status == "running" else now,
        device=device,
        versions=json.dumps(dict(versions)),
        recipe=recipe,
    )
    return run_id


def count_images(warehouse: Warehouse, run_id: int, images: int, failed: int) -> None:
    """Add to the images that a run has looked at, and to those among them that it could not read."""
    update = "update store.runs set images = images + $n, failed_images = failed_images + $f where run_id = $id"
    warehouse.execute(update, n=images, f=failed, id=run_id)


def recipes(warehouse: Warehouse) -> list[dict[str, Any]]:
    """The recipes of all runs, each once."""
    rows = warehouse.sql("select distinct recipe from store.runs order by recipe").fetchall()
    return [json.loads(text) for (text,) in rows]


def made_at(warehouse: Warehouse) -> str:
    """When the warehouse was made, in ISO format."""
    return warehouse.scalar("select min(applied_at) from store.migrations").isoformat()
