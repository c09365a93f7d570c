"""The report, opened in a real browser: every chart drawn, the gallery answers, nothing leaks in or out."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import small_masks
import small_sums
from browsing import eventually
from PIL import Image
from playwright.sync_api import Browser, Page

import neuronlake
from neuronlake import NeuronlakeError
from neuronlake.ingest.importers.label_files import ImportOptions
from neuronlake.ingest.importers.labels import import_labels
from neuronlake.ingest.networks import models
from neuronlake.ingest.recipe import Recipe
from neuronlake.reports import gallery
from neuronlake.reports.answers import answers_of
from neuronlake.reports.units.card import read_unit
from neuronlake.reports.units.page import write_unit_page
from neuronlake.reports.units.predictions import read_simulation
from tiny import ROOT, write_image

NASTY = [
    '</script><script>document.title="taken"</script>',
    '<img src=x onerror="document.title=1">',
    'it\'s "quoted" & <b>bold</b>',
    "🦓 zebra",
    "חתול",
    "line\u2028separator",
    "{{ 7 * 7 }}",
    "$setting",
]


def is_drawn(page: Page, place: int, which: str = ".plot") -> bool:
    """Whether the canvas of a chart, of those that are shown, holds more than one colour."""
    return page.evaluate(
        """([place, which]) => {
            const shown = [...document.querySelectorAll(which)].filter((plot) => !plot.closest("[hidden]"));
            const canvas = shown[place].querySelector("canvas");
            const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            const colours = new Set();
            for (let i = 0; i < data.length; i += 4) colours.add(data.slice(i, i + 4).join());
            return colours.size > 3;
        }""",
        [place, which],
    )


@pytest.fixture(scope="module")
def two_models(tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "two.duckdb"
    recipe = dataclasses.replace(
        tiny_recipe, models=("resnet18-imagenet", "resnet18-places365"), concepts=("broden",), layers=("layer1", "fc")
    )
    with neuronlake.open(path, write=True) as warehouse:
        neuronlake.ingest(warehouse, recipe)
    return path


def report(warehouse: Path, page: Path) -> Path:
    with neuronlake.open(warehouse, write=False) as opened:
        neuronlake.write_report(opened, page)
    return page


pytestmark = pytest.mark.slow


def test_every_chart_is_drawn_with_no_message_and_no_request(two_models: Path, tmp_path: Path, open_page) -> None:
    opened = open_page(report(two_models, tmp_path / "page.html"))
    plots = opened.page.locator(".plot:visible").count()
    # none of these labels holds, so what the models share is drawn for all labels alone, behind the switch
    assert plots >= 9
    assert all(is_drawn(opened.page, place) for place in range(plots))
    opened.page.select_option("#counted", "all")
    counting = "[data-labels=all] .plot"
    eventually(opened.page, f"[...document.querySelectorAll('{counting}')].every((plot) => plot.firstChild)")
    plots = opened.page.locator(counting).count()
    assert plots >= 5
    assert all(is_drawn(opened.page, place, counting) for place in range(plots))
    assert opened.messages == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [(tmp_path / "page.html").as_uri()]


def test_screenshots_of_each_section_are_left_to_look_at(two_models: Path, tmp_path: Path, open_page) -> None:
    folder = ROOT / "screenshots"
    folder.mkdir(exist_ok=True)
    for scheme in ("light", "dark"):
        page: Page = open_page(report(two_models, tmp_path / "page.html"), color_scheme=scheme).page
        for section in ("learnt", "layers", "fidelity", "models", "method"):
            picture = folder / f"{section}-{scheme}.png"
            page.locator(f"#{section}").screenshot(path=picture)
            assert picture.stat().st_size > 10_000
        page.evaluate("document.getElementById('units').scrollIntoView()")
        page.screenshot(path=folder / f"units-{scheme}.png")


def test_the_gallery_answers_to_search_filters_and_sorting(two_models: Path, tmp_path: Path, open_page) -> None:
    page: Page = open_page(report(two_models, tmp_path / "page.html")).page
    # 64 units in each layer1; 1000 and 365 classes
    assert page.text_content("#count") == "1,493 of 1,493 units"
    page.select_option("#layer", "layer1")
    assert page.text_content("#count") == "128 of 1,493 units"
    page.select_option("#model", "resnet18-places365")
    assert page.text_content("#count") == "64 of 1,493 units"
    concept = page.locator(".unit h4 bdi").first.text_content() or ""
    page.fill("#search", concept)
    found = page.locator(".unit h4 bdi").all_text_contents()
    assert found
    assert all(concept in text for text in found)
    page.fill("#search", "no such concept")
    assert page.is_visible("#no-units")
    page.click("text=Clear")
    eventually(page, "document.querySelector('#count').textContent.startsWith('1,493')")
    page.select_option("#sort", "margin")
    margins = page.evaluate("JSON.parse(document.getElementById('unit-data').textContent).margin")
    first = page.locator(".unit .scores").first.text_content() or ""
    assert f"(−{max(margins)})" in first


def test_more_units_come_as_the_reader_scrolls(two_models: Path, tmp_path: Path, open_page) -> None:
    page: Page = open_page(report(two_models, tmp_path / "page.html")).page
    before = page.locator(".unit").count()
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    eventually(page, f"document.querySelectorAll('.unit').length > {before}")
    assert before < 200


def test_a_click_on_a_bar_shows_its_units(two_models: Path, tmp_path: Path, open_page) -> None:
    page: Page = open_page(report(two_models, tmp_path / "page.html")).page
    page.locator(".plot canvas").first.scroll_into_view_if_needed()
    box = page.locator(".plot canvas").first.bounding_box()
    assert box
    # some bar of the 20 is long enough to lie in the middle of the chart
    for place in range(20):
        page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + 60 + 19 * place)
        if page.input_value("#search"):
            break
    eventually(page, "document.querySelector('#search').value !== ''")
    concept = page.input_value("#search").strip('"')
    assert set(page.locator(".unit h4 bdi").all_text_contents()) == {concept}


def test_pictures_are_shown_with_the_place_where_the_unit_fired(two_models: Path, tmp_path: Path, open_page) -> None:
    page: Page = open_page(report(two_models, tmp_path / "page.html")).page
    page.select_option("#layer", "layer1")
    page.wait_for_selector(".unit .ring")
    card = page.locator(".unit").first
    assert card.locator("img:not(.crop)").count() == 5
    assert card.locator(".ring").count() == 5
    # layer1 sees 43 of 256 pixels of the shorter side, so what it saw is shown beside
    assert card.locator("img.crop").count() == 5
    widths = page.evaluate("[...document.querySelectorAll('.unit img.crop')].slice(0, 5).map((i) => i.offsetWidth)")
    frame = page.evaluate("document.querySelector('.unit .picture').offsetWidth")
    assert all(width > 4 * frame for width in widths)
    assert page.evaluate("document.querySelector('.unit img').naturalWidth") > 0
    page.select_option("#layer", "fc")
    eventually(page, "document.querySelectorAll('.unit .ring').length === 0")


@pytest.fixture(scope="module")
def small_page(small_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small warehouse's judged setting: of alpha's three cat two hold and its dog, of beta's two dog one."""
    return report(small_file, tmp_path_factory.mktemp("small") / "page.html")


def text_of(page: Page, place: str) -> str:
    """What a reader sees of a place."""
    return page.inner_text(place).replace("\u00a0", " ")


def test_labels_that_hold_are_counted_until_the_reader_asks_for_all(small_page: Path, open_page) -> None:
    opened = open_page(small_page)
    page: Page = opened.page
    assert "alpha: cat (2), dog (1)" in text_of(page, "header")
    assert "beta: dog (1)" in text_of(page, "header")
    assert "counting labels that hold (confidence at least 0.5)" in text_of(page, "header")
    assert "4\nlabels that hold, of 6" in text_of(page, "header")
    drawn = ["learnt-0", "learnt-1", "shared", "overlap-0", "own-0"]
    shown = (
        "[...document.querySelectorAll('[data-labels] .plot')].filter((plot) => plot.offsetWidth && plot.querySelector"
    )
    shown += "('canvas')).map((plot) => plot.dataset.spec)"
    assert page.evaluate(shown) == drawn

    page.locator("#learnt .counted").select_option("all")
    everything = [key.replace("-", "-all-") if "-" in key else f"{key}-all" for key in drawn]
    eventually(page, f"JSON.stringify({shown}) === {json.dumps(json.dumps(everything, separators=(',', ':')))!s}")
    assert "alpha: cat (3), dog (1)" in text_of(page, "header")
    assert "beta: dog (2)" in text_of(page, "header")
    assert "counting all labels" in text_of(page, "header")
    # one choice for the whole page, which the address has
    assert page.evaluate("[...document.querySelectorAll('.counted')].map((choice) => choice.value)") == ["all"] * 3
    assert page.evaluate("location.hash") == "#learnt?count=all"
    other = open_page(small_page, address="#learnt?count=all")
    assert other.page.evaluate(shown) == everything
    assert "beta: dog (2)" in text_of(other.page, "header")
    assert opened.messages == other.messages == []


def test_units_of_judged_labels_come_by_confidence_and_say_how_far_to_believe_them(small_page: Path, open_page) -> None:
    page: Page = open_page(small_page).page
    assert page.input_value("#sort") == "confidence"
    cards = page.locator(".unit").all_inner_texts()
    confidences = [re.search(r"confidence ([\d.]+)", card) for card in cards]
    assert [found[1] for found in confidences if found] == ["0.90", "0.75", "0.63", "0.50", "0.30", "0.25"]
    assert "confidence 0.90 · held-out 0.50 of 0.60 · stable 5 of 5" in cards[0]
    assert "confidence 0.30 · held-out 0.10 of 0.40 · stable 1 of 5" in cards[4]
    assert ["does not hold" in card for card in cards] == [False] * 4 + [True] * 2 + [False]
    assert not any("chance" in card for card in cards)
    page.check("text=labels that hold only")
    assert page.text_content("#count") == "4 of 7 units"
    assert page.evaluate("location.hash") == "#units?held=yes"
    page.select_option("#sort", "held_out_correlation")
    assert "held-out 0.50" in page.locator(".unit .fidelity").first.inner_text()


def test_how_far_to_believe_it_has_a_point_a_unit_in_the_chosen_layer(
    two_models: Path, tmp_path: Path, open_page
) -> None:
    opened = open_page(report(two_models, tmp_path / "page.html"))
    page: Page = opened.page
    said = text_of(page, "#fidelity")
    for word in ("Held-out correlation", "ceiling", "Stability", "Confidence", "pseudo-units"):
        assert word in said
    page.select_option("#layer-of-fidelity", "layer1")
    assert page.evaluate("location.hash") == "#fidelity?points=layer1"
    specs = page.evaluate("JSON.parse(document.getElementById('specs').textContent)")
    for name, units in (("fidelity-0", 64 + 1000), ("fidelity-1", 64 + 365)):
        points = max(specs[name]["datasets"].values(), key=len)
        assert len(points) == units
        assert len(json.dumps(specs[name])) < 300_000


def test_a_click_on_a_point_shows_its_unit(small_page: Path, open_page) -> None:
    """beta has two judged units: 0, lower left, and 2, further up and to the right."""
    page: Page = open_page(small_page).page
    canvas = page.locator(".plot[data-spec='fidelity-1'] canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    found: set[str] = set()
    for x in range(50, int(box["width"]), 5):
        for y in range(60, int(box["height"]) - 30, 5):
            page.mouse.move(box["x"] + x, box["y"] + y)
            tooltip = page.locator("#vg-tooltip-element.visible")
            if tooltip.count():
                found.add(re.sub(r"\s+", " ", tooltip.inner_text()))
                place = (x, y)
    assert any("unit 2" in text and "ceiling 0.40" in text for text in found), found
    page.mouse.click(box["x"] + place[0], box["y"] + place[1])
    eventually(page, "document.querySelector('#search').value === '2'")
    assert page.locator(".unit .where").all_inner_texts() == ["beta · head · unit 2"]


def test_sums_are_bars_that_start_at_nought_and_every_concept_of_them_is_found(tmp_path: Path, open_page) -> None:
    small_sums.build(tmp_path / "w.duckdb").close()
    opened = open_page(report(tmp_path / "w.duckdb", tmp_path / "page.html"))
    page: Page = opened.page
    assert "by linear: a sum of a few concepts is the unit's label" in text_of(page, "#method")
    page.fill("#search", "sky")
    assert page.text_content("#count") == "1 of 7 units"
    card = page.locator(".unit")
    assert "polysemantic" in card.inner_text()
    assert card.locator(".sum bdi").all_text_contents() == ["dog", "sky", "cat"]
    assert card.locator(".sum span:not(.bar)").all_text_contents() == ["2", "50 %", "1.5", "40 %", "-0.5", "10 %"]
    # where each begins and ends, as a share of the room for the 2.5 from -0.5 to 2
    ends = page.evaluate(
        """[...document.querySelectorAll(".unit .bar")].map((bar) => {
            const room = bar.getBoundingClientRect().width, drawn = getComputedStyle(bar, "::before");
            return [parseFloat(drawn.left) / room, (parseFloat(drawn.left) + parseFloat(drawn.width)) / room];
        })"""
    )
    assert [pytest.approx(each, abs=0.01) for each in ends] == [[0.2, 1.0], [0.2, 0.8], [0.0, 0.2]]
    page.fill("#search", "cat")
    assert page.text_content("#count") == "2 of 7 units"
    # as a click on the bar of a count does, which counts the first concept
    page.fill("#search", '"cat"')
    assert page.text_content("#count") == "1 of 7 units"
    page.fill("#search", '"dog"')
    assert page.locator(".unit", has_text="goes down with it").locator(".where").all_inner_texts() == [
        "alpha · late · unit 3"
    ]
    assert opened.messages == []


def test_published_correlations_alone_say_what_they_are_and_no_more(
    small_file: Path, tmp_path: Path, open_page
) -> None:
    path = Path(shutil.copy(small_file, tmp_path / "w.duckdb"))
    with neuronlake.open(path, write=True) as warehouse:
        warehouse.execute("update store.fidelities set ceiling = null, stability = null, confidence = null")
        warehouse.execute("update store.labels set p_value = null, q_value = null")
    opened = open_page(report(path, tmp_path / "page.html"))
    said = text_of(opened.page, "#fidelity")
    assert "Held-out correlation is how well a label predicts its unit on images that did not choose it.\n" in said
    assert not any(word in said for word in ("Stability", "Confidence", "pseudo-units", "fifth"))
    assert "The ceiling of these units is not known" in said
    assert opened.page.locator("#sort option").all_inner_texts()[0] == "held-out correlation"
    assert "held-out 0.50" in opened.page.locator(".unit .fidelity").first.inner_text()
    assert opened.page.locator(".counted, #held").count() == 0
    assert "judges them" not in text_of(opened.page, "header")
    assert opened.messages == []


def test_labels_that_were_not_judged_are_shown_by_q_and_the_page_says_what_judges_them(
    small_file: Path, tmp_path: Path, open_page
) -> None:
    with neuronlake.open(small_file, write=False) as opened:
        neuronlake.write_report(opened, tmp_path / "page.html", setting=1)
    page: Page = open_page(tmp_path / "page.html").page
    assert "cli score --fidelity judges them" in text_of(page, "header")
    assert "counting labels better than chance (q < 0.05)" in text_of(page, "header")
    assert page.locator("#fidelity").count() == 0
    assert page.input_value("#sort") == "similarity"
    assert page.locator("#sort option").all_inner_texts() == ["similarity", "margin", "number"]
    cards = page.locator(".unit").all_inner_texts()
    assert not any("confidence" in card or "hold" in card for card in cards)
    # dog of q 0.2, cat of 0.06 and mystery of 0.5
    assert sum("not better than chance" in card for card in cards) == 3
    page.check("text=better than chance only")
    assert page.text_content("#count") == "8 of 13 units"


def test_each_chart_shows_sql_that_answers(two_models: Path, tmp_path: Path, open_page) -> None:
    page: Page = open_page(report(two_models, tmp_path / "page.html")).page
    queries = page.locator(".sql pre").all_text_contents()
    assert len(queries) == page.locator(".plot").count()
    with neuronlake.open(two_models, write=False) as warehouse:
        for text in queries:
            for query in text.split(";\n"):
                assert "$" not in query
                assert warehouse.sql(query).fetchall()


def test_dark_mode_has_dark_paper_and_light_ink(two_models: Path, tmp_path: Path, open_page) -> None:
    page: Page = open_page(report(two_models, tmp_path / "page.html"), color_scheme="dark").page
    paper, ink = (
        [int(value) for value in re.findall(r"\d+", page.evaluate(f"getComputedStyle(document.body).{name}"))]
        for name in ("backgroundColor", "color")
    )
    assert max(paper[:3]) < 60
    assert min(ink[:3]) > 200
    assert is_drawn(page, 0)


def test_on_a_phone_nothing_is_wider_than_the_screen(two_models: Path, tmp_path: Path, open_page) -> None:
    page: Page = open_page(report(two_models, tmp_path / "page.html")).page
    page.set_viewport_size({"width": 390, "height": 800})
    page.reload()
    page.wait_for_selector("html[data-charts=drawn]")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_hostile_names_are_shown_as_text(tiny_recipe: Recipe, tmp_path: Path, open_page) -> None:
    nasty = dataclasses.replace(models.load_model("resnet18-imagenet", random_weights=True), name=NASTY[0])
    concepts = tmp_path / "nasty.txt"
    concepts.write_text("\n".join(NASTY), encoding="utf-8")
    for number in range(12):
        write_image(tmp_path / "images" / f'{number} <img src=x onerror="document.title=2">🦓 {"א" * 3}.png', number)
    path = tmp_path / "nasty.duckdb"
    recipe = dataclasses.replace(
        tiny_recipe,
        models=(nasty, "resnet18-places365"),
        concepts=(str(concepts),),
        probes=(str(tmp_path / "images"),),
        layers=("layer1",),
    )
    with neuronlake.open(path, write=True) as warehouse:
        neuronlake.ingest(warehouse, recipe)
    opened = open_page(report(path, tmp_path / "page.html"))
    page: Page = opened.page
    assert page.title() == f"What did {NASTY[0]} and resnet18-places365 learn?"
    assert opened.messages == []
    shown = set(page.locator(".unit h4 bdi").all_text_contents())
    # a line separator counts as space in a concept
    assert shown <= {name.replace("\u2028", " ") for name in NASTY}
    assert page.locator("img:not(.picture img)").count() == 0
    assert NASTY[0] in (page.text_content("h1") or "")
    page.select_option("#model", NASTY[0])
    assert page.text_content("#count") == "64 of 128 units"


def test_one_model_alone_has_no_comparison(tiny_warehouse: Path, tmp_path: Path, open_page) -> None:
    opened = open_page(report(tiny_warehouse, tmp_path / "page.html"))
    assert opened.page.locator("#models").count() == 0
    assert opened.messages == []


def test_labels_without_images_and_without_significance_still_make_a_page(
    tiny_warehouse: Path, tmp_path: Path, open_page
) -> None:
    path = Path(shutil.copy(tiny_warehouse, tmp_path / "bare.duckdb"))
    with neuronlake.open(path, write=True) as warehouse:
        warehouse.execute("delete from store.top_images")
        warehouse.execute("delete from store.thumbnails")
        warehouse.execute("update store.labels set p_value = null, q_value = null")
        warehouse.execute("delete from store.fidelities")
    opened = open_page(report(path, tmp_path / "page.html"))
    assert "holds no images" in (opened.page.text_content("#units") or "")
    assert "· q" not in (opened.page.locator(".unit .scores").first.text_content() or "")
    assert opened.messages == []


def test_dead_units_say_so(tiny_warehouse: Path, tmp_path: Path, open_page) -> None:
    path = Path(shutil.copy(tiny_warehouse, tmp_path / "dead.duckdb"))
    with neuronlake.open(path, write=True) as warehouse:
        warehouse.execute("delete from store.label_terms")
        warehouse.execute("update store.labels set similarity = null, q_value = null")
        warehouse.execute("delete from store.fidelities")
        warehouse.execute("update store.units set status = 'dead'")
    opened = open_page(report(path, tmp_path / "page.html"))
    assert opened.page.locator(".unit h4").first.text_content() == "no label: dead"
    assert "no unit has a label" in (opened.page.text_content(".lead") or "")
    assert opened.messages == []


def test_a_unit_has_a_page_of_its_own(two_models: Path, tmp_path: Path, browser: Browser) -> None:
    unit = ("resnet18-places365", "layer1", 3)
    with neuronlake.open(two_models, write=False) as warehouse:
        card = read_unit(warehouse, *unit)
        simulation = read_simulation(warehouse, *unit, card.setting.number, 7)
        write_unit_page(warehouse, card, tmp_path / "unit.html", simulation)
    page = browser.new_page()
    page.goto((tmp_path / "unit.html").as_uri())
    assert page.text_content("h1") == card.label["concept"]
    below = page.locator(".tiles.small img").count()
    assert below > 0
    assert page.locator("figure img").count() == 10 + below + len(simulation.pictures)
    assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
    # the scatter has the colour of the text, and room on a telephone
    dots = "#predicted .mark-symbol.role-mark path"
    assert page.locator(dots).count() == 20 + len(simulation.pictures)
    assert page.evaluate("getComputedStyle(document.querySelector('.scatter .role-axis-label text')).fill") == (
        page.evaluate("getComputedStyle(document.body).color")
    )
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.close()


def test_a_warehouse_without_scorings_says_what_is_missing(
    tiny_warehouse: Path, tmp_path: Path, browser: Browser
) -> None:
    with neuronlake.open(tmp_path / "empty.duckdb", write=True) as warehouse:
        neuronlake.write_report(warehouse, tmp_path / "empty.html")
        with pytest.raises(NeuronlakeError, match="holds no scoring yet"):
            neuronlake.write_report(warehouse, tmp_path / "other.html", setting=7)
    half = Path(shutil.copy(tiny_warehouse, tmp_path / "half.duckdb"))
    with neuronlake.open(half, write=True) as warehouse:
        warehouse.execute("delete from store.scorings")
        neuronlake.write_report(warehouse, tmp_path / "half.html")
    page = browser.new_page()
    page.goto((tmp_path / "empty.html").as_uri())
    assert "empty.duckdb holds no scoring" in (page.text_content("header") or "")
    page.goto((tmp_path / "half.html").as_uri())
    assert "layer3" in (page.text_content("table") or "")
    assert "it goes on where it stopped" in (page.text_content("header") or "")
    page.close()


def test_imported_labels_make_a_page_that_says_what_they_lack(tmp_path: Path, open_page) -> None:
    (tmp_path / "descriptions.csv").write_text(
        "layer,unit,description,similarity\nlayer4,0,cat,0.5\nlayer4,1,cat,0.25\nlayer4,2,<b>dog</b>,0.125\n"
    )
    path = tmp_path / "imported.duckdb"
    command = [
        str(Path(sys.executable).parent / "cli"),
        "import",
        "descriptions.csv",
        "--model",
        "mine",
        "-w",
        str(path),
    ]
    settings = ["--method", "soft_wpmi", "--encoder", "ViT-B-16/openai", "--concepts", "20k", "--probe", "broden"]
    subprocess.run([*command, *settings], cwd=tmp_path, check=True, capture_output=True)
    opened = open_page(report(path, tmp_path / "page.html"))
    assert opened.page.text_content("#count") == "3 of 3 units"
    assert "cat (2)" in (opened.page.text_content(".lead") or "").replace("\u00a0", " ")
    assert "holds no images" in (opened.page.text_content("#units") or "")
    assert not any("chance" in opened.page.inner_text(place) for place in ("header", "#learnt", "#units"))
    assert opened.messages == []


SHARKS = [f"great white shark, man-eater, man-eating shark, Carcharodon carcharias, {end}" for end in ("A", "B" * 300)]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of imported labels: of one layer that both models have, and of one that only the second has."""
    folder = tmp_path_factory.mktemp("labelled")
    labels = ["cat", "Cat 77", "black-cat", "cathedral", "concatenation", *SHARKS, "sky", "sky", "sky", "sky", "sky"]
    rows = [f'fc,{unit},"{label}",0.5' for unit, label in enumerate(labels)]
    for model, lines in (("first", rows), ("second & co", [*rows, 'conv,0,"dog",0.5', 'conv,1,"dog",0.5'])):
        (folder / "labels.csv").write_text("\n".join(["layer,unit,description,similarity", *lines]) + "\n")
        command = [str(Path(sys.executable).parent / "cli"), "import", "labels.csv", "--model", model, "-w", "a.duckdb"]
        settings = ["--method", "soft_wpmi", "--encoder", "ViT-B-16/openai", "--concepts", "20k", "--probe", "broden"]
        subprocess.run([*command, *settings], cwd=folder, check=True, capture_output=True)
    return report(folder / "a.duckdb", folder / "page.html")


def found(page: Page) -> set[str]:
    """The labels on the cards of the gallery."""
    return set(page.locator(".unit h4 bdi").all_text_contents())


def test_the_text_field_takes_whole_words_and_the_number_of_a_unit(labelled: Path, open_page) -> None:
    page: Page = open_page(labelled).page
    page.fill("#search", "CAT")
    assert found(page) == {"cat", "Cat 77", "black-cat"}
    page.fill("#search", "white shark")
    assert found(page) == set(SHARKS)
    page.fill("#search", "1")
    numbers = ["first · fc · unit 1", "second & co · conv · unit 1", "second & co · fc · unit 1"]
    assert sorted(page.locator(".unit .where").all_text_contents()) == numbers
    page.fill("#search", "7")
    assert page.text_content("#count") == "2 of 26 units"
    page.fill("#search", "77")
    assert found(page) == {"Cat 77"}
    page.fill("#search", '"cat"')
    assert found(page) == {"cat"}
    page.fill("#search", "cat (")
    assert page.is_visible("#no-units")


def test_the_address_holds_the_filters_and_opens_the_same_view(labelled: Path, open_page) -> None:
    page: Page = open_page(labelled).page
    page.select_option("#model", "second & co")
    page.select_option("#sort", "unit")
    page.fill("#search", "cat")
    page.select_option("#layer-of-charts", "conv")
    page.select_option("#layer", "fc")
    state = "text=cat&model=second+%26+co&layer=fc&sort=unit&charts=conv"
    assert page.evaluate("location.hash") == f"#units?{state}"
    cards = page.locator(".unit .where").all_text_contents()
    assert [card.rpartition(" ")[2] for card in cards] == ["0", "1", "2"]

    other = open_page(labelled, address=f"#units?{state}")
    assert other.page.locator(".unit .where").all_text_contents() == cards
    assert other.page.input_value("#layer-of-charts") == "conv"
    assert other.page.evaluate("document.getElementById('units').getBoundingClientRect().top < innerHeight")
    assert other.messages == []

    other.page.click("nav a[href='#learnt']")
    eventually(other.page, f"location.hash === '#learnt?{state}'")
    assert other.page.locator(".unit .where").all_text_contents() == cards
    other.page.evaluate("location.hash = '#units?text=cathedral&model=nobody&held=yes'")
    eventually(other.page, "document.querySelector('#count').textContent === '2 of 26 units'")
    other.page.click("text=Clear")
    eventually(other.page, "location.hash === '#units'")
    assert other.page.text_content("#count") == "26 of 26 units"


def test_a_name_that_is_cut_is_shown_whole_where_the_pointer_is(labelled: Path, open_page) -> None:
    page: Page = open_page(labelled).page
    page.select_option("#layer-of-charts", "fc")
    canvas = page.locator(".plot[data-spec='learnt-0'] canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    seen: dict[str, set[str]] = {"label": set(), "bar": set()}
    for part, x in (("label", 60), ("bar", 200)):
        for y in range(34, 250, 6):
            page.mouse.move(box["x"] + x, box["y"] + y)
            tooltip = page.locator("#vg-tooltip-element.visible")
            if tooltip.count():
                seen[part].add(tooltip.inner_text())
                assert page.evaluate("document.querySelector('#vg-tooltip-element').offsetWidth") < 500
    for shark in SHARKS:
        assert shark in seen["label"]
        assert any(shark in text for text in seen["bar"])
    assert not page.evaluate("[...document.querySelectorAll('td.value')].some((e) => e.scrollWidth > e.clientWidth)")


def test_the_specifications_are_vega_lite(two_models: Path, tmp_path: Path) -> None:
    text = report(two_models, tmp_path / "page.html").read_text(encoding="utf-8")
    found = re.search(r'id="specs">(.*?)</script>', text, re.DOTALL)
    assert found
    for spec in json.loads(found[1]).values():
        assert spec["$schema"].startswith("https://vega.github.io/schema/vega-lite/v6")
        assert spec["title"]


def imported(folder: Path, layer: str, concepts: list[str]) -> Path:
    """A warehouse of imported labels of two models, the first of the name of their layer."""
    path = folder / "imported.duckdb"
    with neuronlake.open(path, write=True) as warehouse:
        for model in (layer, "other"):
            rows = [f"{layer},{unit},{concept},0.5" for unit, concept in enumerate(concepts)]
            (folder / "labels.csv").write_text("\n".join(["layer,unit,description,similarity", *rows]))
            given = ImportOptions(model, "soft_wpmi", "ViT-B-16/openai", "words", "photographs")
            import_labels(warehouse, folder / "labels.csv", given)
    return path


@pytest.mark.parametrize("word", ["constructor", "__proto__"])
def test_words_of_javascript_are_names_like_all_others(word: str, tmp_path: Path, open_page) -> None:
    path = imported(tmp_path, word, [word, word, "cat"])
    with neuronlake.open(path, write=True) as warehouse:
        warehouse.execute("update store.concept_set_concepts set category = $word", word=word)
    opened = open_page(report(path, tmp_path / "page.html"))
    page: Page = opened.page
    page.select_option("#layer-of-charts", word)
    eventually(page, "document.querySelectorAll('.plot canvas').length === document.querySelectorAll('.plot').length")
    assert all(is_drawn(page, place) for place in range(page.locator(".plot:visible").count()))
    assert opened.messages == []
    page.locator(".plot canvas").first.scroll_into_view_if_needed()
    box = page.locator(".plot canvas").first.bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + 45)
    eventually(page, "document.querySelector('#search').value !== ''")
    assert page.input_value("#search") == f'"{word}"'
    assert page.input_value("#layer") == page.input_value("#model") == word
    assert page.text_content("#count") == "2 of 6 units"
    dots = page.evaluate("[...document.querySelectorAll('.chip')].map((chip) => chip.style.getPropertyValue('--dot'))")
    assert all(re.fullmatch("#[0-9a-f]{6}", dot) for dot in dots)


def test_a_chart_that_cannot_be_drawn_says_so_and_stops_no_other(tmp_path: Path, open_page) -> None:
    page = report(imported(tmp_path, "fc", ["cat", "dog", "dog"]), tmp_path / "page.html")
    text = page.read_text(encoding="utf-8")
    # the first chart fails while it is drawn, the second is refused
    for chart, of in (("learnt-0", r'"concept":"cat"'), ("learnt-1", r'"text":"other"')):
        start = text.index(f'"{chart}":{{')
        broken = text[start:].replace(of, re.sub('"[a-z]+"$', '"constructor"', of), 1)
        text = text[:start] + broken
    page.write_text(text, encoding="utf-8")
    opened = open_page(page)
    said = opened.page.locator(".plot").all_text_contents()
    assert [text.startswith("This chart cannot be drawn: ") for text in said] == [True, True] + [False] * (
        len(said) - 2
    )
    assert len(opened.messages) == 2
    assert opened.page.locator(".plot canvas").count() == len(said) - 2 >= 3


@pytest.fixture(scope="module")
def outlined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels by masks, with a picture of 40 x 20 whose left upper quarter unit 0 of alpha late is active in."""
    folder = tmp_path_factory.mktemp("outlined")
    wide = io.BytesIO()
    Image.new("RGB", (40, 20), "gray").save(wide, "webp")
    with small_masks.build(folder / "w.duckdb") as warehouse:
        warehouse.execute("update store.thumbnails set width = 40, height = 20, webp = $webp", webp=wide.getvalue())
        warehouse.execute("update store.layers set receptive_field = 0.5 where layer_id = 2")
        neuronlake.write_report(warehouse, folder / "page.html", setting=9)
        write_unit_page(warehouse, read_unit(warehouse, "alpha", "late", 0, setting=9), folder / "unit.html")
    return folder


# from the left and the top of a frame to the end of what is drawn in it, as shares of the frame's sides
PLACE_IN_FRAME = """(shape) => {
    const frame = shape.closest(".picture").getBoundingClientRect(), drawn = shape.getBoundingClientRect();
    return [drawn.left - frame.left, drawn.top - frame.top, drawn.right - frame.left, drawn.bottom - frame.top]
        .map((side) => Math.round(100 * side / frame.width) / 100);
}"""


@pytest.mark.slow
def test_cards_outline_where_a_unit_is_active(outlined: Path, open_page: Any) -> None:
    """A wide picture has half of its square free, a quarter above it and a quarter below.

    The crop is a square of half the shorter side, 10 pixels, around the maximum at a quarter of the width and three
    quarters of the height: from 5 to 15 and from 10 to 20 pixels. The outline, to 20 and to 10, is beside it.
    """
    opened = open_page(outlined / "page.html", "#units?model=alpha&layer=late&sort=unit")
    page: Page = opened.page
    first = page.locator(".unit").first
    first.locator(".outline path").first.wait_for(state="attached")
    whole, cropped = (first.locator(".pictures").nth(row).locator(".picture").first for row in (0, 1))
    assert whole.locator(".outline path").evaluate(PLACE_IN_FRAME) == [0, 0.25, 0.5, 0.5]
    assert cropped.locator(".outline path").evaluate(PLACE_IN_FRAME) == [-0.5, -1, 1.5, 0]
    # the ring is where there is no outline
    assert whole.locator(".ring").count() == 0
    eventually(page, "document.querySelectorAll('.unit:first-child .ring').length === 3")
    assert "Outlined on an image is where the unit is above its threshold." in page.inner_text("#units")
    assert opened.messages == []


@pytest.mark.slow
def test_the_page_of_a_unit_outlines_where_it_is_active(outlined: Path, browser: Browser) -> None:
    page = browser.new_page()
    page.goto((outlined / "unit.html").as_uri())
    assert page.locator(".outline path").count() == 1
    assert page.locator(".outline path").evaluate(PLACE_IN_FRAME) == [0, 0.25, 0.5, 0.5]
    assert "IoU 0.2: 20 of 100 pixels, active above 0.5, category object" in page.inner_text("header")
    page.close()


def test_a_page_has_the_outlines_of_the_images_that_it_shows(tmp_path: Path) -> None:
    """Of unit 0 the outline is on its first image; of others on none of the five shown."""
    with small_masks.build(tmp_path / "w.duckdb") as warehouse:
        cards = gallery.units(answers_of(warehouse, 9))
        assert cards["outlines"][:2] == [["M0 0H50V50H0Z", None, None, None], ["M10 10H20V20H10Z", None, None, None]]
        assert cards["outlines"][2:4] == [None, None]
        # any setting of the layer has them
        late = warehouse.query("unit_cards", setting="1").pl().filter(layer="late", model="alpha")
        assert late["outlines"].to_list()[0] == ["M0 0H50V50H0Z", None, None, None]
        warehouse.execute("update store.outlines set image_id = 4 where unit = 0")
        assert warehouse.query("unit_cards", setting="9", images="1").pl()["outlines"].to_list()[0] is None
