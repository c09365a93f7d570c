"""neuronlake: a warehouse for neuron dissection.

The public Python API, imported on first use so that ``import neuronlake`` stays light.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuronlake.ingest.estimate import estimate
    from neuronlake.ingest.judging.evaluate import evaluate
    from neuronlake.ingest.networks.models import model_from_module
    from neuronlake.ingest.networks.preprocessing import Preprocessing
    from neuronlake.ingest.recipe import Recipe
    from neuronlake.ingest.run import ingest
    from neuronlake.ingest.score import ScoreRecipe, score
    from neuronlake.reports.figures import altair_charts as charts
    from neuronlake.reports.page import write_report
    from neuronlake.sql.warehouse import Warehouse

__version__ = "0.1.0"

__all__ = [
    "NeuronlakeError",
    "Preprocessing",
    "Recipe",
    "ScoreRecipe",
    "Warehouse",
    "__version__",
    "charts",
    "estimate",
    "evaluate",
    "ingest",
    "model_from_module",
    "open",
    "score",
    "write_report",
]

_HOMES = {
    "Preprocessing": ("neuronlake.ingest.networks.preprocessing", "Preprocessing"),
    "Recipe": ("neuronlake.ingest.recipe", "Recipe"),
    "ScoreRecipe": ("neuronlake.ingest.score", "ScoreRecipe"),
    "Warehouse": ("neuronlake.sql.warehouse", "Warehouse"),
    "charts": ("neuronlake.reports.figures", "altair_charts"),
    "estimate": ("neuronlake.ingest.estimate", "estimate"),
    "evaluate": ("neuronlake.ingest.judging.evaluate", "evaluate"),
    "ingest": ("neuronlake.ingest", ""),
    "model_from_module": ("neuronlake.ingest.networks.models", "model_from_module"),
    "score": ("neuronlake.ingest.score", "score"),
    "write_report": ("neuronlake.reports.page", "write_report"),
}


class NeuronlakeError(Exception):
    """Something the user can mend: its message says what is wrong and what to do next."""


def open(path: str | Path, *, write: bool = True, memory_limit: str | None = None) -> Warehouse:  # noqa: A001
    """Open a warehouse; one that is not there yet is made.

    Args:
        path: the DuckDB file.
        write: open for changes too, as only one process can at a time; where False, several can read.
        memory_limit: DuckDB's memory, such as ``4GB``; half of the machine's where None.

    Raises:
        NeuronlakeError: the file is no warehouse, is newer than this version, or is held by another process.
    """
    from neuronlake.sql.opening import open_warehouse  # noqa: PLC0415  DuckDB is not needed for --version

    return open_warehouse(path, write=write, memory_limit=memory_limit)


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'neuronlake' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    imported = importlib.import_module(module)
    return getattr(imported, attribute) if attribute else imported


def __dir__() -> list[str]:
    """The public names, for tab completion."""
    return __all__
