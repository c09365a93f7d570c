"""The report: one HTML file that opens with no network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import altair as alt
import jinja2
import polars as pl
import vl_convert

import neuronlake
from neuronlake import NeuronlakeError
from neuronlake.reports import charts
from neuronlake.reports.files import check_output, make_folder, write_output
from neuronlake.sql import catalog, hints
from neuronlake.sql.settings import Setting, chosen_setting
from neuronlake.sql.warehouse import Warehouse

IMAGES_PER_UNIT = 5
_CONCEPTS_PER_CHART = 20
_PAPER_WIDTH = 420
_HEADLINE_CONCEPTS = 5


class ReportError(NeuronlakeError):
    """A chart of the report cannot be drawn."""


@dataclass(frozen=True)
class Figure:
    """A chart on the page, the SQL behind it, and the frame it draws."""

    key: str
    section: str
    chart: Any
    sql: str
    frame: pl.DataFrame

    @property
    def spec(self) -> dict[str, Any]:
        """The Vega-Lite specification."""
        return self.chart.to_dict()


@dataclass(frozen=True)
class Answers:
    """What the warehouse says about one setting.

    Attributes:
        setting: that is reported.
        layers: one row a layer, of the query layer_progression.
        parameters: of every query here.
    """

    warehouse: Warehouse
    setting: Setting
    layers: pl.DataFrame
    parameters: dict[str, str]

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
        return charts.category_colors(self.ask("category_mix")[0]["category"])

    def ask(self, name: str, **parameters: str) -> tuple[pl.DataFrame, str]:
        """A named query's answer, and its SQL spelled out."""
        given = {**self.parameters, **parameters}
        return self.warehouse.query(name, **given).pl(), catalog.named_query(name).spelled_out(given)


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
    is_empty = setting is None and warehouse.scalar("select count(*) from scorings") == 0
    page = _render_empty(warehouse) if is_empty else _render(_ask_setting(warehouse, setting))
    write_output(path, page.encode())


def write_charts(warehouse: Warehouse, folder: Path, file_format: str, setting: int | str | None = None) -> list[Path]:
    """Write each chart of the report to a file of its own, or the numbers it draws.

    Args:
        warehouse: to read.
        folder: made if it is not there.
        file_format: ``svg``, ``png`` (at twice the size) or ``csv``.
        setting: number of the setting, or its method; the newest where None.

    Returns:
        The files, in the order of the page.

    Raises:
        SettingError: the warehouse holds no scoring, or none of that setting.
        OutputError: a file cannot be written there.
        ReportError: a chart cannot be drawn.
    """
    answers = _ask_setting(warehouse, setting)
    make_folder(folder)
    written: list[Path] = []
    for figure in _figures(answers):
        path = folder / f"{figure.key}.{file_format}"
        if file_format == "csv":
            content = figure.frame.write_csv().encode()
        elif file_format == "svg":
            content = _picture(figure).encode()
        else:
            content = vl_convert.svg_to_png(_picture(figure), scale=2)
        write_output(path, content)
        written.append(path)
    return written


def _picture(figure: Figure) -> str:
    """A chart as SVG for a paper."""
    spec = figure.spec | {"width": _PAPER_WIDTH, "background": "white"}
    failure = "it has no marks"
    try:
        picture = vl_convert.vegalite_to_svg(spec, vl_version=_vega_lite_version())
    except ValueError as error:
        picture, failure = "", " ".join(str(error).splitlines()[:2])
    # some errors are only logged, by the part of the converter that is not Python, and leave a chart without marks
    if 'role="graphics-symbol"' not in picture:
        raise ReportError(f"the chart {figure.key} cannot be drawn: {failure}; --format csv writes its numbers")
    return picture


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
    figures = _figures(_ask_setting(warehouse, setting))
    return {figure.key: figure.chart.properties(width=_PAPER_WIDTH) for figure in figures}


def _ask_setting(warehouse: Warehouse, setting: int | str | None) -> Answers:
    """The setting to report, and what its layers are."""
    chosen = chosen_setting(warehouse, setting)
    parameters = {"setting": str(chosen.number)}
    return Answers(warehouse, chosen, warehouse.query("layer_progression", **parameters).pl(), parameters)


def _render(answers: Answers) -> str:
    """The page as text."""
    figures = list(_figures(answers))
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(_resource("template.html"))
    vega = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=_vega_lite_version())
    scripts = [vega, _resource("page.js")]
    return template.render(
        title=" and ".join(answers.models),
        setting=answers.setting,
        totals=_totals(answers),
        headlines=_headlines(answers),
        knows_chance=answers.knows_chance,
        layers=answers.layers.to_dicts(),
        models=answers.models,
        sections=sorted({figure.section for figure in figures}),
        figures=figures,
        all_layers=charts.ALL_LAYERS,
        specs={figure.key: figure.spec for figure in figures},
        units=_units(answers),
        images=_images(answers),
        category_colors=answers.category_colors,
        run=answers.warehouse.query("recent_runs", top="1").pl().to_dicts(),
        provenance=answers.warehouse.query("provenance", **answers.parameters).pl().to_dicts(),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=neuronlake.__version__,
        warehouse=answers.warehouse.path.name,
        style=_resource("page.css"),
        scripts=scripts,
        script_hashes=[_content_hash(script) for script in scripts],
    )


def _render_empty(warehouse: Warehouse) -> str:
    """The page of a warehouse that holds no scoring."""
    template = jinja2.Environment(autoescape=True).from_string(_resource("empty.html"))
    return template.render(
        warehouse=warehouse.path.name,
        contents=warehouse.query("contents").pl().to_dicts(),
        ingest=hints.command("cli ingest", warehouse.path),
        style=_resource("page.css"),
    )


def _resource(name: str) -> str:
    """A file beside this module."""
    return (resources.files("neuronlake.reports") / name).read_text(encoding="utf-8")


def _vega_lite_version() -> str:
    """The version of Vega-Lite that Altair writes, as vl-convert spells it: 6.1."""
    return ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])


def _content_hash(script: str) -> str:
    """A script's hash for the page's content security policy, which lets only these scripts run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _figures(answers: Answers) -> Iterator[Figure]:
    """All charts, in the order of the page."""
    yield from _learnt(answers)
    yield from _by_layer(answers)
    if len(answers.models) > 1:
        yield from _across_models(answers)


def _learnt(answers: Answers) -> Iterator[Figure]:
    """The most learnt concepts of each model, over all layers and for each."""
    top = str(_CONCEPTS_PER_CHART)
    over_all, sql = answers.ask("most_learnt_concepts", top=top)
    by_layer, layer_sql = answers.ask("most_frequent_concepts", top=top)
    columns = ["model", "layer", "concept", "category", "counted", "units", "significant"]
    both = pl.concat([over_all.with_columns(layer=pl.lit(charts.ALL_LAYERS)).select(columns), by_layer.select(columns)])
    for place, model in enumerate(answers.models):
        mine = both.filter(pl.col("model") == model).drop("model")
        if not mine.is_empty():
            chart = charts.learnt_concepts(both, model, answers.category_colors)
            yield Figure(f"learnt-{place}", "learnt", chart, f"{sql};\n\n{layer_sql}", mine)


def _by_layer(answers: Answers) -> Iterator[Figure]:
    """Measures and categories from early to late layers."""
    layers, sql = answers.ask("layer_progression")
    measures = [
        ("concepts", "Distinct concepts", "distinct concepts", "d"),
        ("significant_share", "Better than chance", "share of labels with q < 0.05", "%"),
        ("mean_similarity", "Similarity of the labels", "mean similarity (no unit)", ".2f"),
    ]
    for measure, title, axis_title, form in measures:
        if layers[measure].count() == 0:  # imported labels have no q-values
            continue
        chart = charts.layer_measure(layers, measure, title, axis_title, form)
        yield Figure(f"layers-{measure}", "layers", chart, sql, layers)
    mix, mix_sql = answers.ask("category_mix")
    for place, model in enumerate(answers.models):
        mine = mix.filter(pl.col("model") == model)
        if not mine.is_empty():
            chart = charts.category_mix(mix, model, answers.category_colors)
            yield Figure(f"mix-{place}", "mix", chart, mix_sql, mine)


def _across_models(answers: Answers) -> Iterator[Figure]:
    """What models share, and what each has for itself."""
    shared, sql = answers.ask("shared_concept_counts")
    if not shared.is_empty():
        yield Figure("shared", "shared", charts.shared_concepts(shared, answers.models), sql, shared)
    pairs, pairs_sql = answers.ask("layer_similarity")
    for place, ((model_a, model_b), pair) in enumerate(pairs.group_by("model_a", "model_b", maintain_order=True)):
        chart = charts.layer_similarity(pairs, str(model_a), str(model_b))
        yield Figure(f"overlap-{place}", "shared", chart, pairs_sql, pair)
    own, own_sql = answers.ask("unique_concepts")
    for place, model in enumerate(answers.models):
        mine = own.filter(pl.col("model") == model)
        if not mine.is_empty():
            yield Figure(f"own-{place}", "own", charts.own_concepts(own, model, answers.category_colors), own_sql, mine)


def _totals(answers: Answers) -> list[tuple[str, str]]:
    """The figures at the top of the page."""
    layers = answers.layers
    labels = f"{int(layers['labelled'].sum()):,}"
    better = f"{int(layers['significant'].sum()):,}"
    scoring = answers.warehouse.query("provenance", **answers.parameters).pl().row(0, named=True)
    return [
        (f"{len(answers.models)}", "models" if len(answers.models) > 1 else "model"),
        (f"{layers.height}", "layers"),
        (f"{int(layers['units'].sum()):,}", "units"),
        (better, f"labels better than chance, of {labels}") if answers.knows_chance else (labels, "labels"),
        (f"{int(layers['dead'].sum()):,}", "dead units"),
        (f"{scoring['images']:,}", "images"),
        (f"{scoring['concepts']:,}", "concepts"),
    ]


def _headlines(answers: Answers) -> list[dict[str, Any]]:
    """For each model, the first concepts of its chart of the most learnt, and by how many units."""
    best, _ = answers.ask("most_learnt_concepts", top=str(_HEADLINE_CONCEPTS))
    learnt = best.filter(pl.col("counted") > 0)
    return [
        {"model": model, "concepts": learnt.filter(pl.col("model") == model).to_dicts()} for model in answers.models
    ]


def _units(answers: Answers) -> dict[str, list[Any]]:
    """The gallery's units, by column, which takes half the space of row by row."""
    cards, _ = answers.ask("unit_cards", images=str(IMAGES_PER_UNIT))
    rounded = cards.with_columns(
        pl.col("similarity", "margin", "p_value", "q_value", "receptive_field").round_sig_figs(4),
        pl.col("activations").list.eval(pl.element().round_sig_figs(3)),
        pl.col("peaks_x", "peaks_y").list.eval(pl.element().round(3)),
    )
    # float32 digits beyond those rounded to are noise that JSON would spell out
    return json.loads(json.dumps(rounded.to_dict(as_series=False), default=float), parse_float=_short)


def _short(text: str) -> float:
    """A float with at most five significant digits."""
    return float(f"{float(text):.5g}")


def _images(answers: Answers) -> dict[int, dict[str, Any]]:
    """The pictures of the gallery, each once."""
    pictures, _ = answers.ask("pictures", images=str(IMAGES_PER_UNIT))
    return {
        row["image_id"]: {
            "path": row["image"],
            "webp": "" if row["webp"] is None else base64.b64encode(row["webp"]).decode(),
        }
        for row in pictures.iter_rows(named=True)
    }
