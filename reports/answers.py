"""What a warehouse says about the one setting of a report."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import polars as pl

from neuronlake.reports.drawing.colors import category_colors
from neuronlake.sql import catalog
from neuronlake.sql.settings import Setting, chosen_setting
from neuronlake.sql.warehouse import Warehouse


@dataclass(frozen=True)
class Answers:
    """The views and named queries of a warehouse under one setting."""

    warehouse: Warehouse
    setting: Setting

    def ask(self, query: str, **parameters: str) -> pl.DataFrame:
        """The answer to a named query; of a view, its rows of the setting."""
        return self.warehouse.query(query, setting=str(self.setting.number), **parameters).pl()

    def spelled_out(self, query: str, **parameters: str) -> str:
        """The SQL that `ask` runs, for a reader to copy."""
        return catalog.named_query(query).spelled_out({"setting": str(self.setting.number), **parameters})

    @cached_property
    def layers(self) -> pl.DataFrame:
        """One row a layer, of the query layer_progression."""
        return self.ask("layer_progression")

    @property
    def models(self) -> list[str]:
        """Names of the models, in alphabetical order."""
        return sorted(set(self.layers["model"].to_list()))

    @property
    def knows_chance(self) -> bool:
        """Whether any label has a q-value; imported labels have none."""
        return self.layers["significant"].count() > 0

    @cached_property
    def category_colors(self) -> dict[str, str]:
        """Of Broden's categories, and of all others that a label has."""
        return category_colors(self.ask("category_mix")["category"])


def answers_of(warehouse: Warehouse, setting: int | str | None) -> Answers:
    """The answers under a setting, given by its number or its method; the newest where None.

    Raises:
        SettingError: the warehouse holds no scoring, or none of that setting.
    """
    return Answers(warehouse, chosen_setting(warehouse, setting))
