"""The charts of what training changed; `small_comparison.py` has it in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import small_comparison

import neuronlake
from neuronlake.reports.pictures import write_charts
from neuronlake.reports.sections.changes import CHANGES
from neuronlake.sql.warehouse import Warehouse


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with small_comparison.build(tmp_path_factory.mktemp("compared") / "w.duckdb") as built:
        yield built


@pytest.fixture(scope="module")
def drawn(warehouse: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The charts of setting 1 as SVG, by name."""
    files = write_charts(warehouse, tmp_path_factory.mktemp("svg"), "svg", setting=1)
    return {file.stem: file.read_text(encoding="utf-8") for file in files}


def bars(picture: str) -> list[tuple[dict[str, str], str, float, float]]:
    """What each bar says, its colour, where it begins, and its length in pixels."""
    marks = re.findall(
        r'<path aria-label="([^"]*)" role="graphics-symbol" aria-roledescription="bar" ([^>]*)>', picture
    )
    found: list[tuple[dict[str, str], str, float, float]] = []
    for label, shape in marks:
        start, length, colour = re.search(r'd="M([\d.-]+),[\d.-]+h([\d.]+)v.*fill="(#\w+)"', shape).groups()  # pyright: ignore
        found.append((dict(fact.split(": ", 1) for fact in label.split("; ")), colour, float(start), float(length)))
    return found


def texts(picture: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", picture)


def test_a_layer_is_a_bar_of_shares(drawn: dict[str, str]) -> None:
    """Of three units two changed and one appeared; the middle one of the two correlates with 0.03."""
    changed, appeared = sorted(bars(drawn["changes-0"]), key=lambda bar: bar[2])
    assert [(facts["change"], colour) for facts, colour, *_ in (changed, appeared)] == [
        ("changed", CHANGES["changed"]),
        ("appeared", CHANGES["appeared"]),
    ]
    assert changed[3] == pytest.approx(2 * appeared[3], abs=0.01)
    assert appeared[2] == pytest.approx(changed[2] + changed[3], abs=0.01)
    written = texts(drawn["changes-0"])
    assert {"early", "0.03", "changed", "appeared"} <= {*written}
    assert "before: alpha" in drawn["changes-0"] and "after: beta" in drawn["changes-0"]
    # the key has what there is
    assert not {"died", "moved", "same"} & {*written}


def test_concepts_that_came_stand_right_and_those_that_went_left(drawn: dict[str, str]) -> None:
    found = {(facts["concept"], facts["which"]): (start, length) for facts, _, start, length in bars(drawn["flow-0"])}
    assert sorted(found) == [("cat", "gained"), ("dots", "gained"), ("dotted", "lost")]
    middle, one = found["cat", "gained"]
    assert found["dots", "gained"] == (middle, one)
    assert found["dotted", "lost"] == pytest.approx((middle - 2 * one, 2 * one), abs=0.01)


def test_the_page_has_the_section_with_labels_that_hold_and_with_all(warehouse: Warehouse, tmp_path: Path) -> None:
    neuronlake.write_report(warehouse, tmp_path / "page.html", setting=1)
    page = (tmp_path / "page.html").read_text()
    assert '<a href="#changes">' in page
    for key in ("changes-0", "flow-0", "flow-all-0"):
        assert f'data-spec="{key}"' in page


def test_a_setting_of_layers_that_were_not_compared_has_no_such_section(warehouse: Warehouse, tmp_path: Path) -> None:
    neuronlake.write_report(warehouse, tmp_path / "page.html", setting=5)
    assert "What training changed" not in (tmp_path / "page.html").read_text()
    assert not any(name.startswith(("changes", "flow")) for name in neuronlake.charts(warehouse, setting=5))
