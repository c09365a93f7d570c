"""The record that every run leaves in the warehouse: what was asked, with what, and how it ended."""

from __future__ import annotations

import platform
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata

import torch

import neuronlake
from neuronlake.sql.store import runs
from neuronlake.sql.warehouse import Warehouse

_VERSIONED = ("torch", "torchvision", "open-clip-torch", "duckdb", "numpy", "polars", "pyarrow")


def no_progress(_stage: str, _done: int, _total: int) -> None:
    """Report to nobody."""


@dataclass
class Timing:
    """Seconds of each stage; loading runs beside extraction."""

    extract: float = 0.0
    load: float = 0.0
    score: float = 0.0


@contextmanager
def recorded_run(
    warehouse: Warehouse, command: str, device: torch.device, recipe: str
) -> Generator[tuple[int, Timing]]:
    """A row in `runs` that says how it ended; a run that was killed is called interrupted by the next one.

    Within the block DuckDB keeps few pages, since tensors need the memory.
    """
    versions = {"neuronlake": neuronlake.__version__, "python": platform.python_version()}
    versions |= {name: metadata.version(name) for name in _VERSIONED}
    run_id = runs.start_run(warehouse, command, device_name(device), versions, recipe)
    timing = Timing()
    status = "failed"
    try:
        with warehouse.few_pages():
            yield run_id, timing
        status = "finished"
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    finally:
        runs.finish_run(
            warehouse,
            run_id,
            status,
            extract_seconds=timing.extract,
            load_seconds=timing.load,
            score_seconds=timing.score,
        )


def device_name(device: torch.device) -> str:
    """The device as a reader knows it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"
