"""The report: one HTML file that opens with no network."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import vl_convert
from jinja2 import Template, nodes

import neuronlake
from neuronlake.reports import charts, figures, gallery
from neuronlake.reports.answers import Answers, answers_of
from neuronlake.reports.drawing.verdicts import Verdict
from neuronlake.reports.files import check_output, write_output
from neuronlake.reports.pictures import vega_lite_version
from neuronlake.reports.templates import ENVIRONMENT, asset
from neuronlake.reports.units.in_report import units_in_report
from neuronlake.sql import hints
from neuronlake.sql.settings import all_settings
from neuronlake.sql.warehouse import Warehouse

_HEADLINE_CONCEPTS = 5
# in the order in which they use each other
_SCRIPTS = ("pictures.js", "unit.js", "page.js")


@dataclass(frozen=True)
class Headline:
    """What each model learned most.

    Attributes:
        labels: which are counted, as `Figure` has it.
        verdict: what they are called; None for all labels.
        of_models: by model, rows of the query most_learnt_concepts.
    """

    labels: str | None
    verdict: Verdict | None
    of_models: dict[str, list[dict[str, Any]]]


def write_report(warehouse: Warehouse, path: str | Path, setting: int | str | None = None) -> None:
    """Write the report of one setting; of a warehouse without any, a page that says what is missing.

    Args:
        warehouse: to read.
        path: the HTML file.
        setting: number of the setting, as in the view scorings, or its method; the newest where None.

    Raises:
        SettingError: the warehouse has no such setting.
        OutputError: the page cannot be written there.
    """
    path = Path(path)
    check_output(path)
    is_empty = setting is None and not all_settings(warehouse)
    page = _empty_page(warehouse) if is_empty else _page(answers_of(warehouse, setting))
    write_output(path, page.encode())


def _page(answers: Answers) -> str:
    """The page as text."""
    drawn = figures.placed_figures(answers)
    vega = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=vega_lite_version())
    scripts = [vega, *(asset(name) for name in _SCRIPTS)]
    provenance = answers.ask("provenance").to_dicts()
    units = gallery.units(answers)
    return page_template().render(
        title=" and ".join(answers.models),
        setting=answers.setting,
        totals=_totals(answers, provenance[0]),
        headlines=_headlines(answers),
        verdict=answers.verdict,
        is_judged=answers.is_judged,
        knows_chance=answers.knows_chance,
        layers=answers.layers.to_dicts(),
        models=answers.models,
        figures=drawn,
        least_iou=drawn["detectors"][0].frame["least_iou"][0] if drawn["detectors"] else None,
        all_layers=charts.ALL_LAYERS,
        specs={figure.key: figure.spec for place in drawn.values() for figure in place},
        units=units,
        has_sums=any(units["terms"]),
        has_outlines=any(units["outlines"]),
        images=gallery.images(answers),
        details=units_in_report(answers, units, gallery.IMAGES_PER_UNIT),
        command_end=_end_of_command(answers),
        category_colors=answers.category_colors,
        provenance=provenance,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=neuronlake.__version__,
        warehouse=answers.warehouse.path.name,
        style=asset("page.css"),
        scripts=scripts,
        script_hashes=[_content_hash(script) for script in scripts],
    )


def page_template() -> Template:
    """The template of the page, which has all places of figures, each as ``figures.PLACE``.

    Raises:
        AssertionError: it lacks a place of figures, or has one for none.
    """
    known = {kind.place for kind in figures.FIGURES}
    read = ENVIRONMENT.parse(asset("page.html")).find_all(nodes.Getattr)
    placed = {each.attr for each in read if isinstance(each.node, nodes.Name) and each.node.name == "figures"}
    if without := sorted(known - placed):
        raise AssertionError(f"page.html has no place for the figures {', '.join(without)}")
    if unknown := sorted(placed - known):
        raise AssertionError(f"page.html places the figures {', '.join(unknown)}, which figures.py does not have")
    return ENVIRONMENT.get_template("page.html")


def _empty_page(warehouse: Warehouse) -> str:
    """The page of a warehouse that holds no scoring."""
    return ENVIRONMENT.get_template("empty.html").render(
        warehouse=warehouse.path.name,
        contents=warehouse.query("contents").pl().to_dicts(),
        ingest=hints.command("cli ingest", warehouse.path),
        style=asset("page.css"),
    )


def _end_of_command(answers: Answers) -> str:
    """What ends a command that shows a unit as the report does; of the warehouse by name, for a page travels."""
    is_newest = answers.setting == all_settings(answers.warehouse)[0]
    setting = "" if is_newest else f" --setting {answers.setting.number}"
    return hints.command(f"--open{setting}", Path(answers.warehouse.path.name))


def _content_hash(script: str) -> str:
    """A script's hash for the page's content security policy, which lets only these scripts run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _totals(answers: Answers, scoring: dict[str, Any]) -> list[tuple[str, str]]:
    """The numbers at the top of the page.

    Args:
        answers: to count.
        scoring: a row of the query provenance.
    """
    layers = answers.layers
    labels = f"{int(layers['labelled'].sum()):,}"
    held = f"{int(layers['held'].sum()):,}"
    return [
        (f"{len(answers.models)}", "models" if len(answers.models) > 1 else "model"),
        (f"{layers.height}", "layers"),
        (f"{int(layers['units'].sum()):,}", "units"),
        (held, f"{answers.verdict.many}, of {labels}") if answers.verdict else (labels, "labels"),
        (f"{int(layers['dead'].sum()):,}", "dead units"),
        (f"{scoring['images']:,}", "images"),
        (f"{scoring['concepts']:,}", "concepts"),
    ]


def _headlines(answers: Answers) -> list[Headline]:
    """That of the labels that count, and where they are not all that of all."""
    if answers.verdict is None:
        return [_headline(answers, None)]
    return [_headline(answers, figures.HELD), _headline(answers.of_all_labels, figures.ALL)]


def _headline(answers: Answers, labels: str | None) -> Headline:
    """For each model, the first concepts of its chart of the most learnt, and by how many units."""
    best = answers.ask("most_learnt_concepts", top=str(_HEADLINE_CONCEPTS))
    learnt = best.filter(pl.col("counted") > 0)
    of_models = {model: learnt.filter(pl.col("model") == model).to_dicts() for model in answers.models}
    return Headline(labels, answers.verdict, of_models)
