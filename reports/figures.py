"""The figures of a report: which question each asks, and which chart draws the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import polars as pl

from neuronlake.reports import charts
from neuronlake.reports.answers import Answers, answers_of, counts_labels
from neuronlake.reports.sections import changes, detectors, fidelity
from neuronlake.sql.warehouse import Warehouse

# of a picture that stands alone
PAPER_WIDTH = 420

# which labels a figure counts
HELD, ALL = "held", "all"
# what tells a chart from the others of its kind, the chart, and the rows it draws
Drawn = tuple[str, Any, pl.DataFrame]


@dataclass(frozen=True)
class Figure:
    """A chart on the page, the SQL behind it, and the rows it draws.

    Attributes:
        key: its name.
        chart: in Altair.
        sql: that gives the rows.
        frame: the rows.
        labels: which it counts, HELD or ALL; None where it counts none, or the page does not let a reader choose.
    """

    key: str
    chart: Any
    sql: str
    frame: pl.DataFrame
    labels: str | None = None

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

    @property
    def counts_labels(self) -> bool:
        """Whether it counts labels that hold, and all if it is told to."""
        return any(map(counts_labels, self.queries))

    def figures(self, answers: Answers) -> Iterator[Figure]:
        """Those that there is anything to draw of."""
        if self.compares_models and len(answers.models) < 2:
            return
        frames = [answers.ask(query, **self.parameters) for query in self.queries]
        sql = ";\n\n".join(answers.spelled_out(query, **self.parameters) for query in self.queries)
        name = f"{self.name}-all" if answers.all_labels else self.name
        for which, chart, rows in self.draw(answers, *frames):
            yield Figure(f"{name}-{which}" if which else name, chart, sql, rows)

    def figures_to_choose(self, answers: Answers) -> Iterator[Figure]:
        """The same, and where that differs those in which all labels count; the page shows the ones or the others."""
        if not (answers.verdict and self.counts_labels):
            yield from self.figures(answers)
            return
        for labels, asked in ((HELD, answers), (ALL, answers.of_all_labels)):
            yield from (replace(figure, labels=labels) for figure in self.figures(asked))


def _of_each_model(answers: Answers, rows: pl.DataFrame, chart: Callable[..., Any], *given: Any) -> Iterator[Drawn]:
    """A chart a model that has any rows, each knowing all rows, so that panels share their scales."""
    for place, model in enumerate(answers.models):
        mine = rows.filter(pl.col("model") == model)
        if not mine.is_empty():
            yield str(place), chart(rows, model, *given), mine


def _learnt(answers: Answers, over_all: pl.DataFrame, by_layer: pl.DataFrame) -> Iterator[Drawn]:
    """The most learnt concepts of each model, over all layers and for each."""
    columns = ["model", "layer", "concept", "category", "counted", "units", "held"]
    both = pl.concat([over_all.with_columns(layer=pl.lit(charts.ALL_LAYERS)).select(columns), by_layer.select(columns)])
    drawn = _of_each_model(answers, both, charts.learnt_concepts, answers.category_colors, answers.verdict)
    for which, chart, mine in drawn:
        yield which, chart, mine.drop("model")


def _fidelity(answers: Answers, units: pl.DataFrame) -> Iterator[Drawn]:
    """A chart a model."""
    yield from _of_each_model(answers, units, fidelity.held_out_and_ceiling, answers.verdict)


def _detectors(answers: Answers, summary: pl.DataFrame) -> Iterator[Drawn]:
    """A chart a model, where there is any detector."""
    if summary["detectors"].sum() > 0:
        yield from _of_each_model(answers, summary, detectors.detectors, answers.category_colors)


def _measures(answers: Answers, layers: pl.DataFrame) -> Iterator[Drawn]:
    """A chart a measure, of those that are known: imported labels may have neither q-values nor confidence."""
    # column, title, title of the axis, format of its numbers
    measures = [("concepts", "Distinct concepts", "distinct concepts", "d")]
    if answers.verdict:
        share = f"share of labels with {answers.verdict.criterion}"
        column = "held_share" if answers.verdict.is_judged else "significant_share"
        measures.append((column, answers.verdict.title, share, "%"))
    if layers["mean_similarity"].count() > 0:
        measures.append(("mean_similarity", "Similarity of the labels", "mean similarity (no unit)", ".3~r"))
    for measure, *titles in measures:
        yield measure, charts.layer_measure(layers, measure, *titles), layers


def _mix(answers: Answers, mix: pl.DataFrame) -> Iterator[Drawn]:
    """A chart a model."""
    yield from _of_each_model(answers, mix, charts.category_mix, answers.category_colors)


def _shared(answers: Answers, counts: pl.DataFrame) -> Iterator[Drawn]:
    """One chart of all models."""
    if not counts.is_empty():
        yield "", charts.shared_concepts(counts, answers.models, answers.verdict), counts


def _of_each_pair(answers: Answers, layers: pl.DataFrame) -> Iterator[Drawn]:
    """A chart a pair of models."""
    # where no layer of the two has a concept there is nothing to compare
    compared = layers.filter(pl.col("jaccard").is_not_null().any().over("model_a", "model_b"))
    for place, (models, pair) in enumerate(compared.group_by("model_a", "model_b", maintain_order=True)):
        model_a, model_b = map(str, models)
        yield str(place), charts.layer_similarity(layers, model_a, model_b, answers.verdict), pair


def _own(answers: Answers, concepts: pl.DataFrame) -> Iterator[Drawn]:
    """A chart a model."""
    yield from _of_each_model(answers, concepts, charts.own_concepts, answers.category_colors, answers.verdict)


def _pairs(rows: pl.DataFrame) -> Iterator[tuple[str, str, str, pl.DataFrame]]:
    """Each pair of compared models with its rows, and a number to tell them apart."""
    for place, (models, mine) in enumerate(rows.group_by("model_a", "model_b", maintain_order=True)):
        model_a, model_b = map(str, models)
        yield str(place), model_a, model_b, mine


def _changes(_answers: Answers, layers: pl.DataFrame) -> Iterator[Drawn]:
    """A chart a pair of models that were compared."""
    for place, model_a, model_b, mine in _pairs(layers):
        yield place, changes.changes_by_layer(mine, model_a, model_b), mine


def _flow(answers: Answers, concepts: pl.DataFrame) -> Iterator[Drawn]:
    """A chart a pair of models that were compared, and have gained or lost any concept."""
    for place, model_a, model_b, mine in _pairs(concepts):
        yield place, changes.gained_and_lost(mine, model_a, model_b, answers.verdict), mine


# in the order of the page
FIGURES = (
    Kind("learnt", ("most_learnt_concepts", "most_frequent_concepts"), _learnt, {"top": "20"}),
    Kind("layers", ("layer_progression",), _measures),
    Kind("mix", ("category_mix",), _mix),
    Kind("detectors", ("detector_summary",), _detectors),
    Kind("fidelity", ("held_out_and_ceiling",), _fidelity),
    Kind("shared", ("shared_concept_counts",), _shared, compares_models=True),
    Kind("overlap", ("layer_similarity",), _of_each_pair, compares_models=True),
    Kind("own", ("unique_concepts",), _own, compares_models=True),
    Kind("changes", ("changes_by_layer",), _changes),
    Kind("flow", ("concepts_gained_and_lost",), _flow),
)


def figures(answers: Answers) -> Iterator[Figure]:
    """All figures, in the order of the page."""
    return chain.from_iterable(kind.figures(answers) for kind in FIGURES)


def placed_figures(answers: Answers) -> dict[str, list[Figure]]:
    """All that the page holds, by their place in the template and in its order; at some there may be none."""
    placed: dict[str, list[Figure]] = {kind.place: [] for kind in FIGURES}
    for kind in FIGURES:
        placed[kind.place] += kind.figures_to_choose(answers)
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
    drawn = figures(answers_of(warehouse, setting))
    return {figure.key: figure.chart.properties(width=PAPER_WIDTH) for figure in drawn}
