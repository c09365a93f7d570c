"""Description files, as CLIP-Dissect writes them."""

from __future__ import annotations

import re
from pathlib import Path

from neuronlake import NeuronlakeError
from neuronlake.reports.tables import write_description_file
from neuronlake.sql.warehouse import Warehouse


class ExportError(NeuronlakeError):
    """Description files cannot be written as asked."""


def export_descriptions(warehouse: Warehouse, folder: Path, setting: int | None = None) -> list[Path]:
    """Write one file per model: layer, unit, description, similarity; a dead unit has neither of the last two.

    Args:
        warehouse: to read.
        folder: made if it is not there.
        setting: number of the setting to export; the newest where None.

    Returns:
        The files, in alphabetical order of the models.

    Raises:
        ExportError: the warehouse has no such setting.
        OutputError: a file cannot be written there.
    """
    known = warehouse.query("settings").pl()["setting"].to_list()
    if setting is not None and setting not in known:
        numbers = ", ".join(str(number) for number in known) or "none"
        raise ExportError(f"{warehouse.path} has no setting {setting}; it has {numbers}")
    chosen = "" if setting is None else str(setting)
    progression = warehouse.query("layer_progression", setting=chosen).pl()
    written: list[Path] = []
    for model in sorted(set(progression["model"].to_list())):
        file_name = re.sub(r"[^\w.#-]", "_", model)
        path = folder / f"{file_name}.csv"
        write_description_file(warehouse.query("descriptions", model=model, setting=chosen).pl(), path)
        written.append(path)
    return written
