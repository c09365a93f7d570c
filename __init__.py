"""neuronlake: a warehouse for neuron dissection.

The public Python API, imported on first use so that ``import neuronlake`` stays light.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuronlake.sql.words import Progress, no_progress

if TYPE_CHECKING:
    from neuronlake.ingest.comparing.compare import compare
    from neuronlake.ingest.estimate import estimate
    from neuronlake.ingest.judging.evaluate import evaluate
    from neuronlake.ingest.networks.models import model_from_module
    from neuronlake.ingest.networks.preprocessing import Preprocessing
    from neuronlake.ingest.recipe import Recipe, ScoreRecipe
    from neuronlake.ingest.run import Summary, ingest
    from neuronlake.ingest.score import score
    from neuronlake.reports.exports.parquet_folder import export_folder
    from neuronlake.reports.figures import altair_charts as charts
    from neuronlake.reports.page import write_report
    from neuronlake.sql.files.snapshot import snapshot
    from neuronlake.sql.warehouse import Warehouse

__version__ = "0.1.0"

# Loaded before the function of its name is defined: what is imported from the package later leaves the name to it.
importlib.import_module("neuronlake.ingest")

__all__ = [
    "NeuronlakeError",
    "Preprocessing",
    "Recipe",
    "ScoreRecipe",
    "Warehouse",
    "__version__",
    "charts",
    "compare",
    "estimate",
    "evaluate",
    "export_folder",
    "ingest",
    "model_from_module",
    "open",
    "score",
    "snapshot",
    "write_report",
]

_HOMES = {
    "Preprocessing": ("neuronlake.ingest.networks.preprocessing", "Preprocessing"),
    "Recipe": ("neuronlake.ingest.recipe", "Recipe"),
    "ScoreRecipe": ("neuronlake.ingest.recipe", "ScoreRecipe"),
    "Warehouse": ("neuronlake.sql.warehouse", "Warehouse"),
    "charts": ("neuronlake.reports.figures", "altair_charts"),
    "compare": ("neuronlake.ingest.comparing.compare", "compare"),
    "estimate": ("neuronlake.ingest.estimate", "estimate"),
    "evaluate": ("neuronlake.ingest.judging.evaluate", "evaluate"),
    "export_folder": ("neuronlake.reports.exports.parquet_folder", "export_folder"),
    "model_from_module": ("neuronlake.ingest.networks.models", "model_from_module"),
    "score": ("neuronlake.ingest.score", "score"),
    "snapshot": ("neuronlake.sql.files.snapshot", "snapshot"),
    "write_report": ("neuronlake.reports.page", "write_report"),
}


class NeuronlakeError(Exception):
    """Something the user can mend: its message says what is wrong and what to do next."""


def open(  # noqa: A001
    path: str | Path, *, write: bool | None = None, memory_limit: str | None = None, wait: bool = False
) -> Warehouse:
    """Open a warehouse; one that is not there yet is made.

    Args:
        path: the DuckDB file, or a folder that one was exported to.
        write: open for changes too, as only one process can at a time; where False, several can read. Where None, a
            file is open for changes, and a folder only to read.
        memory_limit: DuckDB's memory, such as ``4GB``; half of the machine's where None.
        wait: where another process holds the file, say so on standard error and wait until it ends.

    Raises:
        NeuronlakeError: the file is no warehouse, is newer than this version, or is held by another process.
    """
    from neuronlake.sql.opening import open_warehouse  # noqa: PLC0415  DuckDB is not needed for --version

    if write is None:
        write = not Path(path).expanduser().is_dir()
    return open_warehouse(path, write=write, memory_limit=memory_limit, wait=wait)


def ingest(
    warehouse: Warehouse,
    recipe: Recipe | None = None,
    progress: Progress = no_progress,
    command: str = "neuronlake.ingest()",
    **settings: object,
) -> Summary:
    """Dissect models into a warehouse that is open for writing.

    Work that the warehouse holds already is not done again, so the same recipe after an interruption goes on
    where it stopped, and after success does nothing.

    Args:
        warehouse: see `neuronlake.open`.
        recipe: what to do; or its settings by name, as in ``ingest(warehouse, models={"mine": network}, layers="fc",
            probe="photos", concepts="broden")``.
        progress: called with a stage, the number done and the total.
        command: stored with the run.
        **settings: of `Recipe`, where none is given.

    Raises:
        NeuronlakeError: something about the recipe or its inputs is wrong; nothing was changed.
    """
    from neuronlake.ingest.run import ingest as run  # noqa: PLC0415  torch takes seconds to import

    return run(warehouse, recipe, progress, command, **settings)


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'neuronlake' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    """The public names, for tab completion."""
    return __all__
