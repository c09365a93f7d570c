"""Settings: which one a query or page shows, by number or by its method, and where rows of several are mixed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from neuronlake import NeuronlakeError
from neuronlake.sql import catalog, hints

if TYPE_CHECKING:
    import polars as pl

    from neuronlake.sql.warehouse import Warehouse

# SQL that says one of these words knows that there are settings
_AWARE = re.compile(r"\b((newest_)?settings?|scorings?|method)\b", re.IGNORECASE)
_MOST_NAMED = 5


class SettingError(NeuronlakeError):
    """The warehouse has no such setting, or several that could be meant."""


@dataclass(frozen=True)
class Setting:
    """What scorings share that are counted together."""

    number: int
    method: str
    encoder: str | None
    concept_set: str
    probe: str
    pooling: str

    def __str__(self) -> str:
        encoder = f"encoder {self.encoder}, " if self.encoder else ""
        return (
            f"setting {self.number}: {self.method}, concepts {self.concept_set}, {encoder}images {self.probe}, "
            f"{self.pooling} pooling"
        )

    @property
    def short(self) -> str:
        """Number and method: ``5 (wpmi)``."""
        return f"{self.number} ({self.method})"


def all_settings(warehouse: Warehouse) -> list[Setting]:
    """All settings of a warehouse, the newest first."""
    return settings_of(warehouse.query("settings").pl())


def settings_of(answer: pl.DataFrame) -> list[Setting]:
    """The rows of the query `settings`."""
    columns = ("setting", "method", "encoder", "concept_set", "probe", "pooling")
    return [Setting(*row) for row in answer.select(columns).iter_rows()]


def chosen_setting(warehouse: Warehouse, chosen: int | str | None = None) -> Setting:
    """The setting of that number, or of that method where only one has it; the newest where None.

    A method is named in full, as ``soft_wpmi(top_k=50)``, or without its parameters.

    Raises:
        SettingError: there is none, or several have this method.
    """
    return choose_setting(warehouse.path, all_settings(warehouse), chosen)


def choose_setting(path: Path, known: Sequence[Setting], chosen: int | str | None) -> Setting:
    """As `chosen_setting` has it, of the settings of the file at a path.

    Raises:
        SettingError: there is none, or several have this method.
    """
    if not known:
        raise SettingError(f"{path} holds no scoring yet; run `{hints.command('cli ingest', path)}` first")
    if chosen is None:
        return known[0]
    found = (
        [each for each in known if str(each.number) == str(chosen)]
        or [each for each in known if each.method == chosen]
        or [each for each in known if each.method.split("(")[0] == chosen]
    )
    if len(found) == 1:
        return found[0]
    if found:
        listed = "; ".join(map(str, found))
        raise SettingError(f"{path} has {len(found)} settings of the method {chosen}; give a number: {listed}")
    raise SettingError(f"{path} has no setting {chosen}; it has {', '.join(each.short for each in known)}")


def setting_note(warehouse: Warehouse, query: str, parameters: dict[str, str], answer: pl.DataFrame) -> str | None:
    """What to say of the settings that an answer is of, to who asked for it in SQL or by name.

    Args:
        warehouse: that answered.
        query: SQL, or the name of a view or named query.
        parameters: that were given with it.
        answer: its rows, or the first of them.

    Returns:
        The one setting that a named query counts under; that rows are of several; else None.
    """
    named = catalog.queries().get(query.strip())
    if named is not None:
        has_one = "newest_setting" in named.body and all_settings(warehouse)
        return str(chosen_setting(warehouse, parameters.get("setting") or None)) if has_one else None
    if _AWARE.search(query):
        return None
    if "setting" in answer.columns:
        said, mixed = "these rows are of {}", answer["setting"].drop_nulls().unique().sort().to_list()
    elif any(re.search(rf"\b{name}\b", query) for name in views_by_setting()):
        said, mixed = "this may put {} together", sorted(each.number for each in all_settings(warehouse))
    else:
        return None
    if len(mixed) < 2:
        return None
    newest = warehouse.scalar("select setting from newest_setting")
    newest = newest if newest in mixed else mixed[-1]
    said = said.format(_listed(mixed))
    listing = hints.command("cli sql settings", warehouse.path)
    return f"note: {said}; `where setting = {newest}` picks one, `{listing}` lists them"


def views_by_setting() -> list[str]:
    """Names of the views with a column `setting`."""
    return [view.name for view in catalog.views() if view.has_setting]


def _listed(numbers: Sequence[object]) -> str:
    """``settings 1, 5 and 7``, or only how many where there are more than a line should name."""
    if len(numbers) > _MOST_NAMED:
        return f"{len(numbers)} settings"
    return f"settings {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
