"""The figures of a report: which question each asks, and which chart draws the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import polars as pl

from neuronlake.reports import charts
from neuronlake.reports.answers import Answers, answers_of
from neuronlake.sql.warehouse import Warehouse

# of a picture that stands alone
PAPER_WIDTH = 420
MEASURES = (  # of a layer: column, title, title of the axis, format of its numbers
    ("concepts", "Distinct concepts", "distinct concepts", "d"),
    ("significant_share", "Better than chance", "share of labels with q < 0.05", "%"),
    ("mean_similarity", "Similarity of the labels", "mean similarity (no unit)", ".2f"),
)

# what tells a chart from the others of its kind, the chart, and the rows it draws
Drawn = tuple[str, Any, pl.DataFrame]


@dataclass(frozen=True)
class Figure:
    """A chart on the page, the SQL behind it, and the rows it draws."""

    key: str
    chart: Any
    sql: str
    frame: pl.DataFrame

    @property
    def spec(self) -> dict[str, Any]:
        """The Vega-Lite specification."""
        return self.chart.to_dict()


@dataclass(frozen=True)
class Kind:
    """Figures that answer one question.

    Attributes:
        name: the beginning of their keys.
        queries: the named queries or views that are asked.
        draw: draws their answers.
        parameters: of each query, beside the setting.
        compares_models: whether it is asked only where there are several.
        beside: the kind after whose figures the template has them; else their name is that of a place of their own.
    """

    name: str
    queries: tuple[str, ...]
    draw: Callable[..., Iterator[Drawn]]
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    compares_models: bool = False
    beside: str | None = None

    @property
    def place(self) -> str:
        """Its place in the template."""
        return self.beside or self.name

    def figures(self, answers: Answers) -> Iterator[Figure]:
        """Those that there is anything to draw of."""
        if self.compares_models and len(answers.models) < 2:
            return
        frames = [answers.ask(query, **self.parameters) for query in self.queries]
        sql = ";\n\n".join(answers.spelled_out(query, **self.parameters) for query in self.queries)
        for which, chart, rows in self.draw(answers, *frames):
            yield Figure(f"{self.name}-{which}" if which else self.name, chart, sql, rows)


def _of_each_model(chart: Callable[..., Any]) -> Callable[[Answers, pl.DataFrame], Iterator[Drawn]]:
    """Draws a chart a model that has any rows, each knowing all rows, so that panels share their scales."""

    def draw(answers: Answers, rows: pl.DataFrame) -> Iterator[Drawn]:
        for place, model in enumerate(answers.models):
            mine = rows.filter(pl.col("model") == model)
            if not mine.is_empty():
                yield str(place), chart(rows, model, answers.category_colors), mine

    return draw


def _learnt(answers: Answers, over_all: pl.DataFrame, by_layer: pl.DataFrame) -> Iterator[Drawn]:
    """The most learnt concepts of each model, over all layers and for each."""
    columns = ["model", "layer", "concept", "category", "counted", "units", "significant"]
    both = pl.concat([over_all.with_columns(layer=pl.lit(charts.ALL_LAYERS)).select(columns), by_layer.select(columns)])
    for which, chart, mine in _of_each_model(charts.learnt_concepts)(answers, both):
        yield which, chart, mine.drop("model")


def _measures(_answers: Answers, layers: pl.DataFrame) -> Iterator[Drawn]:
    """A chart a measure, of those that are known: imported labels have no q-values."""
    for measure, *titles in MEASURES:
        if layers[measure].count() > 0:
            yield measure, charts.layer_measure(layers, measure, *titles), layers


def _shared(answers: Answers, counts: pl.DataFrame) -> Iterator[Drawn]:
    """One chart of all models."""
    if not counts.is_empty():
        yield "", charts.shared_concepts(counts, answers.models), counts


def _of_each_pair(_answers: Answers, layers: pl.DataFrame) -> Iterator[Drawn]:
    """A chart a pair of models."""
    for place, (models, pair) in enumerate(layers.group_by("model_a", "model_b", maintain_order=True)):
        yield str(place), charts.layer_similarity(layers, *map(str, models)), pair


# in the order of the page
FIGURES = (
    Kind("learnt", ("most_learnt_concepts", "most_frequent_concepts"), _learnt, {"top": "20"}),
    Kind("layers", ("layer_progression",), _measures),
    Kind("mix", ("category_mix",), _of_each_model(charts.category_mix)),
    Kind("shared", ("shared_concept_counts",), _shared, compares_models=True),
    Kind("overlap", ("layer_similarity",), _of_each_pair, compares_models=True),
    Kind("own", ("unique_concepts",), _of_each_model(charts.own_concepts), compares_models=True),
)


def figures(answers: Answers) -> dict[str, list[Figure]]:
    """All figures by their place in the template, in the order of the page; at some there may be none."""
    placed: dict[str, list[Figure]] = {kind.place: [] for kind in FIGURES}
    for kind in FIGURES:
        placed[kind.place] += kind.figures(answers)
    return placed


def altair_charts(warehouse: Warehouse, setting: int | str | None = None) -> dict[str, Any]:
    """The charts of the report as Altair objects, for a notebook or to change.

    Args:
        warehouse: to read.
        setting: number of the setting, or its method; the newest where None.

    Returns:
        Each chart by its name, in the order of the page.

    Raises:
        SettingError: the warehouse holds no scoring, or none of that setting.
    """
    drawn = chain.from_iterable(figures(answers_of(warehouse, setting)).values())
    return {figure.key: figure.chart.properties(width=PAPER_WIDTH) for figure in drawn}
