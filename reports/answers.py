"""What a warehouse says about the one setting of a report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import polars as pl

from neuronlake.reports.drawing.colors import category_colors
from neuronlake.reports.drawing.verdicts import BETTER_THAN_CHANCE, HOLDS, Verdict
from neuronlake.sql import catalog
from neuronlake.sql.settings import Setting, chosen_setting
from neuronlake.sql.warehouse import Warehouse


@dataclass(frozen=True)
class Answers:
    """The views and named queries of a warehouse under one setting.

    Attributes:
        warehouse: to ask.
        setting: the one that is shown.
        all_labels: whether queries that can count all labels do, and not only those that hold.
    """

    warehouse: Warehouse
    setting: Setting
    all_labels: bool = False

    def ask(self, query: str, **parameters: str) -> pl.DataFrame:
        """The answer to a named query; of a view, its rows of the setting."""
        return self.warehouse.query(query, **self._given(query), **parameters).pl()

    def spelled_out(self, query: str, **parameters: str) -> str:
        """The SQL that `ask` runs, for a reader to copy."""
        return catalog.named_query(query).spelled_out({**self._given(query), **parameters})

    def _given(self, query: str) -> dict[str, str]:
        """The parameters that are the same for all queries of the report."""
        setting = {"setting": str(self.setting.number)}
        return setting | ({"all_labels": "true"} if self.all_labels and counts_labels(query) else {})

    @property
    def of_all_labels(self) -> Answers:
        """The same with all labels counted."""
        return replace(self, all_labels=True)

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

    @property
    def is_judged(self) -> bool:
        """Whether it is known of any label how well it predicts its unit on images that did not choose it."""
        return self.layers["mean_held_out_correlation"].count() > 0

    @property
    def verdict(self) -> Verdict | None:
        """Which labels are counted; None where all are, or nothing tells them apart."""
        if self.all_labels or self.layers["held"].count() == 0:
            return None
        return HOLDS if self.layers["mean_confidence"].count() > 0 else BETTER_THAN_CHANCE

    @cached_property
    def category_colors(self) -> dict[str, str]:
        """Of Broden's categories, and of all others that a label has."""
        return category_colors(self.ask("category_mix")["category"])


def counts_labels(query: str) -> bool:
    """Whether a query counts labels that hold, and all if it is told to."""
    return any(parameter.name == "all_labels" for parameter in catalog.named_query(query).parameters)


def answers_of(warehouse: Warehouse, setting: int | str | None) -> Answers:
    """The answers under a setting, given by its number or its method; the newest where None.

    Raises:
        SettingError: the warehouse holds no scoring, or none of that setting.
    """
    return Answers(warehouse, chosen_setting(warehouse, setting))
