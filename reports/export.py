"""Description files, as CLIP-Dissect writes them."""

from __future__ import annotations

import re
from pathlib import Path

from neuronlake.reports.tables import write_description_file
from neuronlake.sql.settings import chosen_setting
from neuronlake.sql.warehouse import Warehouse


def export_descriptions(warehouse: Warehouse, folder: Path, setting: int | str | None = None) -> list[Path]:
    """Write one file per model: layer, unit, description, similarity; a dead unit has neither of the last two.

    Args:
        warehouse: to read.
        folder: made if it is not there.
        setting: number of the setting to export, or its method; the newest where None.

    Returns:
        The files, in alphabetical order of the models.

    Raises:
        SettingError: the warehouse holds no scoring, or none of that setting.
        OutputError: a file cannot be written there.
    """
    chosen = str(chosen_setting(warehouse, setting).number)
    progression = warehouse.query("layer_progression", setting=chosen).pl()
    written: list[Path] = []
    for model in sorted(set(progression["model"].to_list())):
        file_name = re.sub(r"[^\w.#-]", "_", model)
        path = folder / f"{file_name}.csv"
        write_description_file(warehouse.query("descriptions", model=model, setting=chosen).pl(), path)
        written.append(path)
    return written
