"""The app in a real browser: what is chosen is what is shown, against what SQL says."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

import neuronlake
from neuronlake.reports.explore.tags import read_tags

EXAMPLE = Path(__file__).parents[3] / "warehouse.duckdb.example"
LAYER = "efficientnet-lite0-imagenet · _fc"
SELECTED = re.compile(r"[1-9][\d,]* units selected")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = Path(shutil.copy(EXAMPLE, tmp_path_factory.mktemp("app") / "example.duckdb"))
    neuronlake.open(path, write=True).close()
    return path


@pytest.fixture(scope="module")
def address(file: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "neuronlake.cli", "explore", "--no-browser", "--warehouse", str(file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    yield process.stdout.readline().strip()
    process.send_signal(signal.SIGINT)
    try:
        said = process.communicate(timeout=30)[1]
    finally:
        process.kill()
        process.communicate()
    assert said.strip() == "Ctrl-C ends it"


@pytest.fixture
def page(browser: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The app as it is first shown; at the end nothing was complained of, and nothing asked of other machines."""
    scheme = getattr(request, "param", "light")
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    faults: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda made: asked.append(made.url))
    page.goto(address)
    expect(page.locator(".neuronlake h1")).to_be_visible(timeout=60_000)
    expect(page.locator("canvas")).to_be_visible(timeout=60_000)
    yield page
    assert faults == []
    assert [url for url in asked if not re.match(r"http://127\.0\.0\.1:|data:|blob:", url)] == []
    context.close()


def sql(file: Path, query: str) -> list[tuple[object, ...]]:
    with neuronlake.open(file, write=False) as warehouse:
        return warehouse.sql(query).fetchall()


def shown_unit(page: Page) -> str:
    return page.locator(".neuronlake header .note").first.inner_text()


def table(page: Page) -> list[list[str]]:
    """The first page of the table that is shown, without the column of check boxes."""
    rows = page.get_by_role("tabpanel").locator("tbody tr")
    return [row.locator("td").all_inner_texts()[1:] for row in rows.all()]


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Over the chart, from one place to another, both as shares of its width and height."""
    box = page.locator("canvas").bounding_box()
    assert box
    (x, y), (to_x, to_y) = ((box["x"] + box["width"] * a, box["y"] + box["height"] * b) for a, b in (start, end))
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move((x + to_x) / 2, (y + to_y) / 2, steps=5)
    page.mouse.move(to_x, to_y, steps=5)
    page.mouse.up()


def selected(page: Page) -> tuple[int, list[list[str]]]:
    """How many units are selected, and the first page of the table; once the chart has told of the end of the drag."""
    panel = page.get_by_role("tabpanel")
    expect(panel.get_by_text(SELECTED)).to_be_visible()
    seen: list[list[str]] = []
    while (rows := table(page)) != seen:
        seen = rows
        page.wait_for_timeout(1_000)
    (count,) = re.findall(r"([\d,]+) units selected", panel.inner_text())
    return int(count.replace(",", "")), rows


def test_the_first_view_is_the_surest_unit_with_the_images_that_excite_it(page: Page, file: Path) -> None:
    ((unit, concept),) = sql(
        file,
        "select unit, concept from unit_labels join newest_setting using (setting)"
        " where model || ' · ' || layer = 'efficientnet-lite0-imagenet · _fc' order by confidence desc limit 1",
    )
    assert shown_unit(page) == f"{LAYER} · unit {unit}"
    assert page.locator(".neuronlake h1").inner_text() == concept
    images = sql(
        file,
        "select image from top_images where model = 'efficientnet-lite0-imagenet' and layer = '_fc'"
        f" and unit = {unit} and rank <= 10 order by rank",
    )
    captions = page.locator(".neuronlake .tiles").first.locator("figcaption bdi").all_inner_texts()
    assert [(text,) for text in captions] == images
    assert page.evaluate("[...document.querySelectorAll('.neuronlake img')].every((image) => image.naturalWidth > 0)")


@pytest.mark.parametrize("page", ["light", "dark"], indirect=True)
def test_a_selection_fills_the_table_and_a_row_of_it_the_page(page: Page, file: Path) -> None:
    panel = page.get_by_role("tabpanel")
    expect(panel.get_by_text("all are listed")).to_be_visible()
    drag(page, (0.05, 0.1), (0.5, 0.5))
    count, rows = selected(page)
    assert 0 < count < 1000
    assert len(rows) == min(8, count)
    concepts = dict(sql(file, "select unit, explanation from unit_labels join newest_setting using (setting)"
                              " where model = 'efficientnet-lite0-imagenet' and layer = '_fc'"))  # fmt: skip
    assert all(concepts[int(unit)] == explanation for unit, _, explanation, *_ in rows)
    before = shown_unit(page)
    row = next(place for place, (unit, *_) in enumerate(rows) if not before.endswith(f" {unit}"))
    panel.locator("tbody tr").nth(row).get_by_role("checkbox").click()
    expect(page.locator(".neuronlake header .note").first).to_have_text(f"{LAYER} · unit {rows[row][0]}")
    assert page.locator(".neuronlake h1").inner_text() == rows[row][2]


def test_selected_units_are_tagged_beside_the_warehouse(page: Page, file: Path) -> None:
    panel = page.get_by_role("tabpanel")
    drag(page, (0.05, 0.1), (0.3, 0.5))
    count, _ = selected(page)
    tag = panel.get_by_placeholder("a word for them")
    tag.fill("sure and rare")
    tag.press("Enter")
    give = panel.get_by_role("button", name=re.compile(r"Give it to the [\d,]+ selected units?"))
    expect(give).to_be_enabled()
    give.click()
    expect(panel.locator("tbody").get_by_text("sure and rare").first).to_be_visible()
    tagged = read_tags(file)
    assert tagged["tag"].unique().to_list() == ["sure and rare"]
    assert tagged.height == count


def test_a_ticked_unit_alone_is_tagged(page: Page, file: Path) -> None:
    panel = page.get_by_role("tabpanel")
    expect(panel.get_by_role("button", name="Tick units, or drag over points, to tag them")).to_be_disabled()
    unit = table(page)[2][0]
    panel.locator("tbody tr").nth(2).get_by_role("checkbox").click()
    expect(page.locator(".neuronlake header .note").first).to_have_text(f"{LAYER} · unit {unit}")
    tag = panel.get_by_placeholder("a word for them")
    tag.fill("this one")
    tag.press("Enter")
    panel.get_by_role("button", name="Give it to the 1 ticked unit").click()
    expect(panel.locator("tbody").get_by_text("this one")).to_have_count(1)
    assert read_tags(file).filter(tag="this one")["unit"].to_list() == [int(unit)]


def test_another_layer_brings_its_surest_unit(page: Page, file: Path) -> None:
    page.get_by_label("Layer").select_option(label="efficientnet-lite1-imagenet · _blocks.10")
    ((unit,),) = sql(
        file,
        "select unit from unit_labels join newest_setting using (setting) where model = 'efficientnet-lite1-imagenet'"
        " and layer = '_blocks.10' order by confidence desc nulls last, similarity desc limit 1",
    )
    shown = f"efficientnet-lite1-imagenet · _blocks.10 · unit {unit}"
    expect(page.locator(".neuronlake header .note").first).to_have_text(shown)


def test_one_of_a_units_images_shows_what_else_it_excites(page: Page) -> None:
    choice = page.get_by_label("See what else one of its images excites")
    name = choice.locator("option").all_inner_texts()[1]
    choice.select_option(label=name)
    figure = page.locator("figure.chosen-image figcaption").filter(visible=True)
    expect(figure).to_have_text(name.split(": ")[1])


def test_units_lie_on_a_map_by_what_excites_them(page: Page) -> None:
    scatter = page.locator("canvas").element_handle()
    page.get_by_text("what excites them").click()
    panel = page.get_by_role("tabpanel")
    scatter.wait_for_element_state("hidden", timeout=60_000)
    expect(page.locator("canvas")).to_be_visible(timeout=60_000)
    expect(panel.get_by_text("all are listed")).to_be_visible()
    drag(page, (0.1, 0.1), (0.9, 0.9))
    expect(panel.get_by_text(SELECTED)).to_be_visible()


def test_an_image_leads_to_the_units_that_it_excites_and_on_to_their_page(page: Page, file: Path) -> None:
    page.get_by_role("tab", name="Images").click()
    panel = page.get_by_role("tabpanel")
    panel.get_by_placeholder("a part of a path or label").fill("chelsea/1x1")
    expect(panel.locator("tbody tr")).to_have_count(1)
    panel.get_by_role("checkbox").last.click()
    path = "photographs/chelsea/1x1-row1-column1.png"
    expect(panel.locator("figure.chosen-image figcaption")).to_have_text(path)
    with neuronlake.open(file, write=False) as warehouse:
        best = warehouse.query("image_profile", image=path, top="10").pl()
    units = panel.locator("marimo-table").last.locator("tbody tr")
    expect(units).to_have_count(10)
    shown = [row.locator("td").all_inner_texts()[1:4] for row in units.all()]
    assert [tuple(row) for row in shown] == best.select("model", "layer", best["unit"].cast(str)).rows()
    units.nth(3).get_by_role("checkbox").click()
    model, layer, unit = shown[3]
    expect(page.locator(".neuronlake header .note").first).to_have_text(f"{model} · {layer} · unit {unit}")


def test_a_question_in_sql_shows_its_rows_and_a_wrong_one_what_is_wrong(page: Page, file: Path) -> None:
    page.get_by_role("tab", name="SQL").click()
    panel = page.get_by_role("tabpanel")
    editor = panel.locator(".cm-content")
    editor.click()
    page.keyboard.press("Control+a")
    page.keyboard.type("select model, layer, unit, concept from unit_labels where holds order by all limit 3")
    panel.get_by_role("button", name="Ask").click()
    expect(panel.locator("tbody tr")).to_have_count(3)
    expected = "select model, layer, unit::varchar, concept from unit_labels where holds"
    assert [tuple(row) for row in table(page)] == sql(file, f"{expected} order by model, layer, unit, concept limit 3")
    editor.click()
    page.keyboard.press("Control+a")
    page.keyboard.type("select nothing from unit_labels")
    panel.get_by_role("button", name="Ask").click()
    expect(panel.get_by_text(re.compile("Binder Error.*nothing"))).to_be_visible()


def test_a_near_unit_is_a_choice_away(page: Page) -> None:
    before = shown_unit(page)
    choice = page.get_by_label("Go to a near unit")
    name = choice.locator("option").all_inner_texts()[1]
    choice.select_option(label=name)
    expect(page.locator(".neuronlake header .note").first).to_have_text(name.split(":")[0])
    assert shown_unit(page) != before
