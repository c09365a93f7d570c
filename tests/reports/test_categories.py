"""Categories that a concept file makes up go through to charts and pages, each with a colour of its own."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

import neuronlake
from neuronlake.ingest.recipe import Recipe
from neuronlake.reports.drawing.colors import CATEGORY_COLORS, OWN_CATEGORY_COLORS, category_colors
from neuronlake.reports.page import write_report
from neuronlake.reports.pictures import write_charts
from neuronlake.sql import catalog
from neuronlake.sql.categories import CATEGORIES, NO_CATEGORY
from tiny import ROOT

WORDS = """concept,category
cat,animal
dog,animal
red,color
striped,texture
sky,Weather
wheel,part of a "car" & more
forest,scene
kitchen,
"""
OWN = {"animal", "Weather", 'part of a "car" & more'}


@pytest.fixture(scope="module")
def warehouse_file(tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse whose concepts have categories of their own."""
    folder = tmp_path_factory.mktemp("categories")
    (folder / "words.csv").write_text(WORDS)
    with neuronlake.open(folder / "w.duckdb", write=True) as warehouse:
        neuronlake.ingest(warehouse, dataclasses.replace(tiny_recipe, concepts=(str(folder / "words.csv"),)))
    return folder / "w.duckdb"


def test_a_report_gives_own_categories_a_colour_that_is_the_same_in_all_its_charts(
    warehouse_file: Path, tmp_path: Path
) -> None:
    with neuronlake.open(warehouse_file, write=False) as warehouse:
        write_report(warehouse, tmp_path / "page.html")
        charts = {name: chart.to_dict() for name, chart in neuronlake.charts(warehouse).items()}
        assert write_charts(warehouse, tmp_path / "charts", "svg")
        labelled = {row[0] for row in warehouse.sql("select distinct category from unit_labels").fetchall()}
    assert labelled & OWN
    scales = [
        dict(zip(scale["domain"], scale["range"], strict=True))
        for chart in charts.values()
        for scale in _category_scales(chart)
    ]
    assert len(scales) > 1
    for scale in scales:
        assert labelled <= {*scale} | {*CATEGORY_COLORS}
        assert {name: scale[name] for name in scale} == {name: scales[0][name] for name in scale}
        assert len({*scale.values()}) == len(scale)
    page = (tmp_path / "page.html").read_text()
    (colors,) = re.findall(r'id="category-colors">(.*?)</script>', page)
    assert labelled <= {*json.loads(colors)}
    options = re.findall(r"<option>(.*?)</option>", page)
    assert "animal" in options


def _category_scales(chart: object) -> list[dict[str, list[str]]]:
    """The scales of colours by category anywhere in a specification."""
    if isinstance(chart, list):
        return [scale for part in chart for scale in _category_scales(part)]
    if not isinstance(chart, dict):
        return []
    mine = [chart["color"]["scale"]] if chart.get("color", {}) and _is_by_category(chart) else []
    return mine + [scale for part in chart.values() for scale in _category_scales(part)]


def _is_by_category(encoding: dict[str, object]) -> bool:
    color = encoding.get("color")
    return isinstance(color, dict) and color.get("field") == "category"


def test_own_categories_are_counted_apart_from_brodens(warehouse_file: Path) -> None:
    with neuronlake.open(warehouse_file, write=False) as warehouse:
        shares = warehouse.query("layer_progression").pl()
        own = warehouse.sql(
            "select layer, sum(share) from category_by_layer where category not in"
            " ('color', 'texture', 'material', 'part', 'object', 'scene', 'none') group by layer"
        ).fetchall()
    for layer, share in own:
        assert shares.filter(layer=layer)["own"].item() == pytest.approx(share)
    parts = shares.select("color", "texture", "material", "part", "object", "scene", "own", "none")
    assert parts.sum_horizontal().to_list() == pytest.approx([1.0, 1.0])


def test_brodens_categories_keep_their_colours_and_own_ones_follow_in_alphabetical_order() -> None:
    colors = category_colors(["plant", "object", "none", "animal"])
    assert {name: colors[name] for name in CATEGORY_COLORS} == CATEGORY_COLORS
    assert list(colors) == ["color", "texture", "material", "part", "object", "scene", "animal", "plant", "none"]
    assert (colors["animal"], colors["plant"]) == OWN_CATEGORY_COLORS[:2]
    assert category_colors([]) == CATEGORY_COLORS


def test_a_hundred_categories_have_a_hundred_colours() -> None:
    colors = category_colors([f"kind {number:03}" for number in range(100)])
    assert len({*colors.values()}) == len(colors) == 107
    assert all(re.fullmatch("#[0-9a-f]{6}", color) for color in colors.values())


def test_categories_are_listed_once() -> None:
    files = [file for folder in ("commands", "ingest", "sql", "reports") for file in (ROOT / folder).rglob("*.py")]
    listing = [file.relative_to(ROOT).as_posix() for file in files if re.search("[\"']material[\"']", file.read_text())]
    assert listing == ["sql/categories.py"]


def test_the_shares_by_layer_have_a_column_for_each_of_brodens_categories(warehouse_file: Path) -> None:
    with neuronlake.open(warehouse_file, write=False) as warehouse:
        columns = warehouse.query("layer_progression").columns
    assert tuple(columns[-8:]) == (*CATEGORIES[:-1], "own", NO_CATEGORY)
    named = re.search(r"category not in \((.*?)\)", catalog.named_query("layer_progression").body)
    assert named and named[1] == ", ".join(f"'{category}'" for category in CATEGORIES)
