"""The chart of detectors, as a paper prints it and on the page; `small_masks.py` has them in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import small_masks

import neuronlake
from neuronlake.reports.drawing.colors import CATEGORY_COLORS
from neuronlake.reports.pictures import write_charts
from neuronlake.sql.warehouse import Warehouse


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """With a second unit of beta head that is a detector of kitchen."""
    with small_masks.build(tmp_path_factory.mktemp("masks") / "masks.duckdb") as built:
        built.execute("update store.label_terms set concept_id = 7 where scoring_id = 10 and unit = 0 and position = 0")
        yield built


@pytest.fixture(scope="module")
def drawn(warehouse: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The charts of setting 9 as SVG, by name."""
    files = write_charts(warehouse, tmp_path_factory.mktemp("svg"), "svg", setting=9)
    return {file.stem: file.read_text(encoding="utf-8") for file in files}


def bars(picture: str) -> list[tuple[str, str, str, int, float]]:
    """Which bar, category, colour, count and length in pixels of each part of a bar that has any."""
    marks = re.findall(
        r'<path aria-label="([^"]*)" role="graphics-symbol" aria-roledescription="bar" ([^>]*)>', picture
    )
    found: list[tuple[str, str, str, int, float]] = []
    for label, shape in marks:
        facts = dict(fact.split(": ", 1) for fact in label.split("; "))
        length, colour = re.search(r'd="M[\d.,-]+h([\d.]+)v.*fill="(#\w+)"', shape).groups()  # pyright: ignore
        if float(length):
            which = facts["bar"]
            found.append((which, facts["category"], colour, int(facts["detectors"]), float(length)))
    return found


def test_a_layer_has_a_bar_of_unique_detectors_and_one_of_all(drawn: dict[str, str]) -> None:
    """Alpha late detects a dog and a kitchen, beta head twice a kitchen; the texture that is no detector has no bar."""
    alpha, beta = (bars(drawn[f"detectors-{place}"]) for place in (0, 1))
    by_color = {"object": CATEGORY_COLORS["object"], "scene": CATEGORY_COLORS["scene"]}
    assert sorted((which, category) for which, category, *_ in alpha) == [
        *(("all detectors", "object"), ("all detectors", "scene")),
        *(("unique detectors", "object"), ("unique detectors", "scene")),
    ]
    assert all(colour == by_color[category] for _, category, colour, *_ in (*alpha, *beta))
    (one,) = [length for which, *_, length in beta if which == "unique detectors"]
    (two,) = [length for which, *_, length in beta if which == "all detectors"]
    assert two == pytest.approx(2 * one)
    # panels that stand side by side draw a detector at the same length
    assert {round(length / one, 2) for *_, length in alpha} == {1}


def test_the_key_tells_the_two_bars_apart_and_has_the_categories_that_are_drawn(drawn: dict[str, str]) -> None:
    written = re.findall(r"<text[^>]*>([^<]*)</text>", drawn["detectors-0"])
    assert {"unique detectors", "all detectors", "object", "scene"} <= {*written}
    assert "texture" not in written
    # how many each bar is of
    assert written.count("2") >= 2


def test_the_page_says_above_which_share_a_unit_is_a_detector(warehouse: Warehouse, tmp_path: Path) -> None:
    neuronlake.write_report(warehouse, tmp_path / "page.html", setting=9)
    page = (tmp_path / "page.html").read_text()
    assert '<a href="#detectors">' in page and 'data-spec="detectors-0"' in page
    assert "overlap by more than 4 % of their union" in " ".join(page.split())
    assert "A unit is active where its map" in page


def test_a_setting_without_detectors_has_no_such_section(warehouse: Warehouse, tmp_path: Path) -> None:
    neuronlake.write_report(warehouse, tmp_path / "page.html", setting=1)
    assert "detectors" not in (tmp_path / "page.html").read_text().split("<main>")[1].split("<script")[0]
    assert not any(name.startswith("detectors") for name in neuronlake.charts(warehouse, setting=1))


def test_labels_none_of_which_is_a_detector_have_no_such_section(tmp_path: Path) -> None:
    with small_masks.build(tmp_path / "w.duckdb") as built:
        built.execute("update store.scorings set parameters = '{\"iou\": 0.9}' where scoring_id > 8")
        assert not any(name.startswith("detectors") for name in neuronlake.charts(built, setting=9))
