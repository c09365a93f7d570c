"""Description files, as CLIP-Dissect writes them."""

from __future__ import annotations

import re
from itertools import chain, count
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
    for model, file_name in _file_names(sorted(set(progression["model"].to_list()))).items():
        path = folder / f"{file_name}.csv"
        write_description_file(warehouse.query("descriptions", model=model, setting=chosen).pl(), path)
        written.append(path)
    return written


def _file_names(models: list[str]) -> dict[str, str]:
    """The name of each model's file, without its ending; of models that would share one, the later get a number.

    What differs in case alone is one name on many disks.
    """
    plain = {model: re.sub(r"[^\w.#-]", "_", model) for model in models}
    wanted = {name.casefold() for name in plain.values()}
    names: dict[str, str] = {}
    taken: set[str] = set()
    for model, name in plain.items():
        numbered = (f"{name}-{number}" for number in count(2) if f"{name}-{number}".casefold() not in wanted)
        names[model] = next(each for each in chain([name], numbered) if each.casefold() not in taken)
        taken.add(names[model].casefold())
    return names
