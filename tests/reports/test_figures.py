"""The table of figures: what it asks is there to ask, and the page shows all of it."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import altair as alt
import polars as pl
import pytest
import small_warehouse

import neuronlake
from neuronlake.reports import figures
from neuronlake.reports.answers import answers_of
from neuronlake.reports.figures import FIGURES, Drawn, Kind
from neuronlake.reports.page import page_template
from neuronlake.sql import catalog
from neuronlake.sql.warehouse import Warehouse
from tiny import ROOT


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with small_warehouse.build(tmp_path_factory.mktemp("figures") / "small.duckdb") as built:
        yield built


def bars(_answers: object, counts: pl.DataFrame) -> Iterator[Drawn]:
    yield "", alt.Chart(counts).mark_bar().encode(y="model:N", x="units:Q"), counts


REPEATED = Kind("repeated", ("most_repeated_concept",), bars)


def test_a_figure_that_the_page_has_no_place_for_is_an_error(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "FIGURES", (*FIGURES, REPEATED))
    with pytest.raises(AssertionError, match=r"page\.html has no place for the figures repeated"):
        neuronlake.write_report(warehouse, tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


def test_a_figure_beside_another_needs_no_place_of_its_own(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "FIGURES", (*FIGURES, dataclasses.replace(REPEATED, beside="learnt")))
    neuronlake.write_report(warehouse, tmp_path / "page.html")
    drawn = re.findall(r'data-spec="([^"]*)"', (tmp_path / "page.html").read_text())
    assert drawn[:6] == ["learnt-0", "learnt-1", "learnt-all-0", "learnt-all-1", "repeated", "repeated-all"]


@pytest.mark.parametrize("lost", [kind.name for kind in FIGURES])
def test_a_figure_that_only_the_page_knows_is_an_error(lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "FIGURES", tuple(kind for kind in FIGURES if kind.name != lost))
    with pytest.raises(AssertionError, match=rf"page\.html places the figures {lost}, which figures\.py does not have"):
        page_template()


def test_a_row_of_the_table_is_a_chart_with_the_sql_behind_it(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most repeated by setting 5 is cat in three units of alpha and dog in two of beta; one of each does not hold."""
    monkeypatch.setattr(figures, "FIGURES", (REPEATED,))
    chart = neuronlake.charts(warehouse, setting=5)["repeated"].to_dict()
    (rows,) = chart["datasets"].values()
    assert [(row["model"], row["counted"], row["units"]) for row in rows] == [("alpha", 2, 3), ("beta", 1, 2)]
    (figure,) = figures.figures(answers_of(warehouse, 5))
    assert warehouse.sql(figure.sql).pl().equals(figure.frame)


def test_a_figure_may_ask_a_view_which_answers_with_its_rows_of_the_setting(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "FIGURES", (Kind("learnt", ("model_concepts",), bars),))
    (figure,) = figures.figures(answers_of(warehouse, 5))
    assert sorted(figure.frame.select("model", "concept", "units").rows()) == [
        ("alpha", "cat", 3),
        ("alpha", "dog", 1),
        ("beta", "dog", 2),
    ]
    assert warehouse.sql(figure.sql).pl().equals(figure.frame)


def test_one_model_is_compared_with_none(tmp_path: Path) -> None:
    with small_warehouse.build(tmp_path / "w.duckdb") as warehouse:
        both = figures.placed_figures(answers_of(warehouse, 5))
        # of these labels no pixels are known, and nothing was compared
        assert [name for name, drawn in both.items() if not drawn] == ["detectors", "changes", "flow"]
        warehouse.execute("delete from store.labels where scoring_id = 6")
        warehouse.execute("delete from store.scorings where scoring_id = 6")
        alone = figures.placed_figures(answers_of(warehouse, 5))
    missing = [name for name, drawn in alone.items() if not drawn]
    assert missing == ["detectors", "shared", "overlap", "own", "changes", "flow"]


def test_the_page_has_each_figure_that_counts_labels_for_those_that_hold_and_for_all(warehouse: Warehouse) -> None:
    placed = figures.placed_figures(answers_of(warehouse, 5))
    labels = {figure.key: figure.labels for drawn in placed.values() for figure in drawn}
    assert {key for key in labels if labels[key] == "held"} == {
        *("learnt-0", "learnt-1", "shared", "overlap-0", "own-0"),
    }
    assert {key for key in labels if labels[key] == "all"} == {
        *("learnt-all-0", "learnt-all-1", "shared-all", "overlap-all-0", "own-all-0"),
    }
    assert {key.partition("-")[0] for key in labels if labels[key] is None} == {"layers", "mix", "fidelity"}
    assert set(neuronlake.charts(warehouse, setting=5)) == {key for key in labels if labels[key] != "all"}


def test_where_nothing_tells_labels_apart_the_page_counts_all(tmp_path: Path) -> None:
    with small_warehouse.build(tmp_path / "w.duckdb") as warehouse:
        warehouse.execute("delete from store.fidelities")
        warehouse.execute("update store.labels set p_value = null, q_value = null")
        placed = figures.placed_figures(answers_of(warehouse, 5))
    assert {figure.labels for drawn in placed.values() for figure in drawn} == {None}
    assert [name for name, drawn in placed.items() if not drawn] == ["detectors", "fidelity", "changes", "flow"]


def test_the_sql_of_each_figure_gives_its_rows_for_all_labels_too(warehouse: Warehouse) -> None:
    """What counts all labels differs from what counts those that hold: alpha's cat is 3 units, of which 2 hold."""
    drawn = {figure.key: figure for figure in figures.placed_figures(answers_of(warehouse, 5))["shared"]}
    for figure in drawn.values():
        assert warehouse.sql(figure.sql).pl().equals(figure.frame)
    assert [drawn[key].frame["counted"].to_list() for key in ("shared", "shared-all")] == [[1, 1], [1, 2]]


def test_every_question_of_a_report_is_a_view_or_a_named_query() -> None:
    for kind in FIGURES:
        assert all(catalog.named_query(query) for query in kind.queries), kind.name
    for file in (ROOT / "reports").rglob("*.py"):
        calls = [node.func for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
        called = {call.attr for call in calls if isinstance(call, ast.Attribute)}
        assert not called & {"sql", "scalar", "execute"}, file.name
