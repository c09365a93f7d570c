"""The page of a unit over the report: what it tells of a whole layer at once, and how it opens, moves and closes."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from browsing import eventually
from PIL import Image
from playwright.sync_api import Page

import neuronlake
from neuronlake.reports import gallery
from neuronlake.reports.answers import answers_of
from neuronlake.reports.units.details import with_intervals
from neuronlake.reports.units.in_report import units_in_report
from neuronlake.sql.warehouse import Warehouse

EARLY, LATE, BETA_EARLY, HEAD = 1, 2, 3, 4
CARD = "#gallery article:nth-of-type({}) h4 a"
IS_OPEN = "document.querySelector('#unit-page').open"
IS_CLOSED = "!document.querySelector('#unit-page').open"


@pytest.fixture
def warehouse(small_file: Path) -> Iterator[Warehouse]:
    with neuronlake.open(small_file, write=False) as opened:
        yield opened


def step(warehouse: Warehouse, name: str, layer_id: int, columns: str, **values: int) -> list[tuple[Any, ...]]:
    """What a step says of a layer of the small warehouse, whose images are 1 to 5."""
    numbers = {"layer_id": layer_id, "probe_id": 1, "first_image_id": 1, "last_image_id": 5}
    return warehouse.step(name, **numbers, **values).pl().select(columns.split(", ")).rows()


def bands(warehouse: Warehouse, layer_id: int, top: int = 1) -> list[tuple[Any, ...]]:
    """Four images a band, under the first setting, which has all layers."""
    columns = "unit, first_rank, last_rank, highest, lowest, image_ids, activations"
    return step(warehouse, "unit_bands", layer_id, columns, all_images=4, top=top, images=4, setting=1)


def asked(warehouse: Warehouse, query: str, columns: str, **values: str) -> list[tuple[Any, ...]]:
    return warehouse.query(query, **values).pl().select(columns.split(", ")).rows()


def test_histograms_are_of_live_units_from_their_lowest_to_their_highest_activation(warehouse: Warehouse) -> None:
    """1 2 3 3 and 4 3 2 1; the third unit is dead, as the second of beta's head is not finite."""
    counted = step(warehouse, "unit_histograms", EARLY, "unit, lowest, highest, images", bars=2)
    assert counted == [(0, 1, 3, [1, 3]), (1, 1, 4, [2, 2])]
    assert step(warehouse, "unit_histograms", EARLY, "images", bars=4) == [([1, 0, 1, 2],), ([1, 1, 1, 1],)]
    assert step(warehouse, "unit_histograms", HEAD, "unit, images", bars=2) == [(0, [3, 1]), (2, [2, 2])]


def test_labels_that_a_unit_prefers_have_their_mean_and_its_error(warehouse: Warehouse) -> None:
    """Images 1 and 2 are of label a, 3 and 4 of b: unit 0 has means of 1.5 and 3, unit 1 of 3.5 and 1.5."""
    columns = "unit, label, images, mean_activation, standard_error"
    assert step(warehouse, "unit_preferences", EARLY, columns, top=8) == [
        (0, "b", 2, 3, 0),
        (0, "a", 2, 1.5, pytest.approx(0.5)),
        (1, "a", 2, 3.5, pytest.approx(0.5)),
        (1, "b", 2, 1.5, pytest.approx(0.5)),
    ]
    assert step(warehouse, "unit_preferences", EARLY, "unit, label", top=1) == [(0, "b"), (1, "a")]


def test_bands_reach_as_many_times_further_down_the_ranks_and_empty_ones_are_left_out(warehouse: Warehouse) -> None:
    """Of four images below the first: none to rank 1.4, one to rank 2, none to 2.8, two to rank 4."""
    assert bands(warehouse, EARLY) == [
        # 3 3 2 1, of images 3 4 2 1
        (0, 2, 2, 3, 3, [4], [3]),
        (0, 3, 4, 2, 1, [2, 1], [2, 1]),
        (1, 2, 2, 3, 3, [2], [3]),
        (1, 3, 4, 2, 1, [3, 4], [2, 1]),
    ]
    assert bands(warehouse, EARLY, top=4) == []


def test_images_that_excite_a_unit_equally_are_in_the_lowest_of_their_bands(warehouse: Warehouse) -> None:
    """2 1 1 1: the second rank is no other than the last."""
    assert [band for band in bands(warehouse, BETA_EARLY) if band[0] == 2] == [
        (2, 2, 2, 1, 1, None, None),
        (2, 3, 4, 1, 1, [1, 2, 4], [1, 1, 1]),
    ]


def test_bands_show_images_that_the_report_has_a_picture_of(small_file: Path, tmp_path: Path) -> None:
    """Image 4 is without one; image 2 is the top image of alpha's late unit 1 alone."""
    path = Path(shutil.copy(small_file, tmp_path / "w.duckdb"))
    with neuronlake.open(path, write=True) as changed:
        changed.execute("delete from store.thumbnails where image_id = 4")
        assert [band[5] for band in bands(changed, EARLY)] == [None, [2, 1], [2], [3]]
        changed.execute("delete from store.top_images where layer_id = 2 and unit = 1")
        changed.execute("delete from store.top_images where image_id = 2 and rank = 1")
        assert [band[5] for band in bands(changed, EARLY)] == [None, [1], None, [3]]


def test_the_best_concepts_of_a_layer_are_by_score_and_then_by_name(warehouse: Warehouse) -> None:
    """Dog and sky tie for the second unit."""
    asking = {"model": "alpha", "layer": "late", "setting": "1"}
    best = asked(warehouse, "concepts_for_layer", "unit, concept, similarity", top="2", **asking)
    assert [(unit, concept, round(score, 4)) for unit, concept, score in best[:4]] == [
        (0, "dog", 0.6),
        (0, "cat", 0.4),
        (1, "dog", 0.5),
        (1, "sky", 0.5),
    ]
    assert [row[1] for row in asked(warehouse, "concepts_for_layer", "unit, concept", top="1", **asking)] == [
        "dog",
        "dog",
        "cat",
        "mystery",
    ]


def test_near_units_share_top_images_on_which_both_fire_above_their_mean(warehouse: Warehouse) -> None:
    """Alpha's first early unit fires on images 3 and 4, its late ones on one image each."""
    near = asked(
        warehouse,
        "units_near_layer",
        "unit, near_model, near_layer, near_unit, shared_images",
        model="alpha",
        layer="early",
        probe="photos",
    )
    assert [row[1:] for row in near if row[0] == 0] == [
        ("beta", "early", 0, 2),
        ("beta", "early", 1, 2),
        ("alpha", "late", 2, 1),
        ("alpha", "late", 3, 1),
        ("beta", "early", 2, 1),
        ("beta", "head", 2, 1),
    ]
    assert {row[0] for row in near} == {0, 1}  # the third is dead


def test_the_labels_of_a_layer_are_those_of_all_settings_the_best_prediction_first(warehouse: Warehouse) -> None:
    said = asked(warehouse, "labels_of_layer", "unit, setting, explanation, holds", model="alpha", layer="late")
    assert said[:4] == [(0, 5, "cat", True), (0, 1, "dog", True), (1, 5, "cat", False), (1, 1, "dog", False)]


def test_a_report_has_of_its_units_what_is_known_and_no_more(warehouse: Warehouse) -> None:
    """The newest setting has alpha's late and beta's head, whose second unit is not finite."""
    answers = answers_of(warehouse, None)
    units = gallery.units(answers)
    found = units_in_report(answers, units, images=5)
    words = found["words"]
    assert found["settings"] == {1: ["soft_wpmi", "words"]}
    assert found["histograms"][0] == [0, 1, [3, *[0] * 38, 1]]
    assert [(words[label], *rest) for label, *rest in found["preferred"][0]] == [("a", 2, 0.5, 6.4), ("b", 2, 0, 0)]
    assert [(words[concept], score) for concept, score in found["concepts"][0]] == [("cat", 0.3), ("dog", 0.2)]
    assert [(setting, words[label], *rest) for setting, label, *rest in found["others"][0]] == [
        (1, "dog", None, None, None, True, None)
    ]
    # alpha's early layer is not in this report, beta's head 0 is
    assert found["near"][0] == [["alpha · early · unit 1", 1], [4, 1]]
    assert (units["layer"][4], units["unit"][4]) == ("head", 0)
    assert found["bands"] == [None] * 7  # four images are all at the top
    parts = ("histograms", "preferred", "near", "concepts")
    assert [found[part][5] for part in parts] == [None] * 4
    assert found["others"][5] == [[1, None, None, None, None, None, None]]


# --- in the browser ---------------------------------------------------------------------------------------------------


def report(warehouse: Path, page: Path) -> Path:
    with neuronlake.open(warehouse, write=False) as opened:
        neuronlake.write_report(opened, page)
    return page


@pytest.fixture(scope="module")
def pictured(small_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the small warehouse with pictures that can be seen."""
    folder = tmp_path_factory.mktemp("pictured")
    path = Path(shutil.copy(small_file, folder / "w.duckdb"))
    with neuronlake.open(path, write=True) as changed:
        for image_id, color in ((1, "red"), (2, "green"), (3, "blue"), (4, "gold")):
            picture = io.BytesIO()
            Image.new("RGB", (8, 6), color).save(picture, "webp")
            changed.execute(
                "update store.thumbnails set webp = $webp where image_id = $id", webp=picture.getvalue(), id=image_id
            )
    return report(path, folder / "page.html")


@pytest.fixture(scope="module")
def photographed(tiny_warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a small run, over twenty images."""
    return report(tiny_warehouse, tmp_path_factory.mktemp("photographed") / "page.html")


def section(page: Page, title: str) -> Any:
    return page.locator("#of-unit section").filter(has=page.locator("h3", has_text=re.compile(f"^{title}$")))


def cells(page: Page, title: str) -> list[list[str]]:
    """The texts of a table of the dialog, row by row."""
    return [row.locator("td").all_inner_texts() for row in section(page, title).locator("tbody tr").all()]


@pytest.mark.slow
def test_a_click_on_the_title_of_a_card_opens_its_page_which_says_all_that_the_card_says(
    pictured: Path, open_page: Any
) -> None:
    opened = open_page(pictured)
    page: Page = opened.page
    card = page.locator("#gallery article").first.inner_text().split("\n")
    assert page.evaluate(f"getComputedStyle(document.querySelector('{CARD.format(1)}')).cursor") == "pointer"
    page.click(CARD.format(1))
    assert page.evaluate(IS_OPEN)
    shown = page.inner_text("#unit-page")
    assert [line for line in card if line not in shown] == []
    assert page.inner_text("#unit-where") == "alpha · late · unit 0"
    assert page.locator(".tops img").evaluate_all("all => all.map((img) => img.alt)") == [
        "a/one.png",
        "a/two.png",
        "b/three.png",
        "b/four.png",
    ]
    assert page.locator(".tops .ring").count() == 4
    assert cells(page, "Best concepts") == [["cat", "0.3"], ["dog", "0.2"]]
    assert cells(page, "What other settings say") == [["dog\nsoft_wpmi, words (setting 1)"]]
    assert cells(page, "Near units") == [
        ["alpha · early · unit 1", "1"],
        ["dog\nbeta · head · unit 0", "1"],
    ]
    assert not section(page, "Below the top").count()  # four images are all at the top
    command = page.inner_text("#of-unit code")
    assert command.startswith("cli unit alpha late 0 --open")
    assert "--setting" not in command
    assert opened.messages == []
    assert [url for url in opened.requests if not url.startswith(("file:", "data:"))] == []


@pytest.mark.slow
def test_it_shows_exactly_what_sql_says_of_the_unit(photographed: Path, tiny_warehouse: Path, open_page: Any) -> None:
    """Against the queries of one unit, which count in another way than those of a layer."""
    opened = open_page(photographed, "#units?unit=resnet18-imagenet+fc+7")
    page: Page = opened.page
    unit = {"model": "resnet18-imagenet", "layer": "fc", "unit": "7"}
    with neuronlake.open(tiny_warehouse, write=False) as warehouse:
        answers = {
            name: warehouse.query(name, **unit, **more).pl()
            for name, more in {
                "top_images_for_unit": {"top": "5"},
                "images_in_bands": {"top": "5", "images": "4"},
                "activation_histogram": {},
                "labels_a_unit_prefers": {},
                "concepts_for_unit": {"top": "5"},
            }.items()
        }
    paths = "all => all.map((img) => img.alt)"
    assert page.locator(".tops img").evaluate_all(paths) == answers["top_images_for_unit"]["image"].to_list()
    banded = answers["images_in_bands"].partition_by("band", maintain_order=True)
    shown = page.locator(".band").all()
    assert [band.locator("img").evaluate_all(paths) for band in shown] == [each["image"].to_list() for each in banded]
    ranks = [f"Rank {each['first_rank'][0]} to {each['last_rank'][0]}" for each in banded]
    assert [band.locator("h4").inner_text().split("activation")[0].strip() for band in shown] == ranks
    assert ranks == ["Rank 6 to 7", "Rank 8 to 10", "Rank 11 to 14", "Rank 15 to 20"]
    counts = page.locator(".plotted i").evaluate_all(
        "all => all.map((bar) => Number(/: ([\\d,]+) /.exec(bar.title)[1]))"
    )
    assert counts == answers["activation_histogram"]["images"].to_list()
    assert sum(counts) == 20
    preferred = with_intervals(answers["labels_a_unit_prefers"]).with_columns(
        half=pl.col("high") - pl.col("mean_activation")
    )
    names = [f"{row['label']} ({row['images']})" for row in preferred.to_dicts()]
    assert page.locator(".spans .name").all_inner_texts() == names
    numbers = [[float(part) for part in text.split(" ± ")] for text in page.locator(".spans .number").all_inner_texts()]
    for (mean, half), row in zip(numbers, preferred.to_dicts(), strict=True):
        assert mean == pytest.approx(row["mean_activation"], rel=0.01)
        assert half == pytest.approx(row["half"], rel=0.06)
    best = answers["concepts_for_unit"]
    assert [row[0] for row in cells(page, "Best concepts")] == best["concept"].to_list()
    assert [float(row[1]) for row in cells(page, "Best concepts")] == pytest.approx(
        best["similarity"].to_list(), rel=1e-3
    )
    assert opened.messages == []


@pytest.mark.slow
def test_it_opens_moves_and_closes_by_keyboard_and_gives_the_focus_back(pictured: Path, open_page: Any) -> None:
    page: Page = open_page(pictured).page
    page.focus(CARD.format(2))
    outline = f"getComputedStyle(document.querySelector('{CARD.format(2)}'))"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    assert page.evaluate(f"{outline}.outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert page.evaluate(IS_OPEN)
    second = page.inner_text("#unit-where")
    page.keyboard.press("ArrowLeft")
    first = page.inner_text("#unit-where")
    assert page.is_disabled("#unit-before")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#unit-where") == second != first
    page.keyboard.press("Escape")
    eventually(page, IS_CLOSED)
    assert page.evaluate(f"document.activeElement === document.querySelector('{CARD.format(2)}')")


@pytest.mark.slow
def test_a_click_beside_it_or_on_its_button_closes_it_and_one_within_does_not(pictured: Path, open_page: Any) -> None:
    page: Page = open_page(pictured).page
    page.click(CARD.format(1))
    page.click("#unit-title")
    assert page.evaluate(IS_OPEN)
    page.mouse.click(5, 5)
    eventually(page, IS_CLOSED)
    page.click(CARD.format(1))
    page.click("#unit-close")
    eventually(page, IS_CLOSED)
    # a selection of text that ends beside it
    page.click(CARD.format(1))
    box = page.locator("#unit-title").bounding_box()
    assert box
    page.mouse.move(box["x"] + 4, box["y"] + 4)
    page.mouse.down()
    page.mouse.move(5, 5)
    page.mouse.up()
    assert page.evaluate(IS_OPEN)


@pytest.mark.slow
def test_the_address_keeps_the_unit_beside_the_filters_and_a_link_opens_it(pictured: Path, open_page: Any) -> None:
    opened = open_page(pictured)
    page: Page = opened.page
    page.check("#held")
    page.click(CARD.format(1))
    assert page.evaluate("location.hash") == "#units?held=yes&unit=alpha+late+0"
    page.reload()
    page.wait_for_selector("html[data-charts=drawn]")
    assert page.evaluate(IS_OPEN)
    assert page.inner_text("#unit-where") == "alpha · late · unit 0"
    assert page.is_checked("#held")
    near = section(page, "Near units").locator("a")
    assert near.get_attribute("href") == "#units?unit=beta+head+0"
    near.click()
    assert page.inner_text("#unit-where") == "beta · head · unit 0"
    assert page.evaluate("location.hash") == "#units?held=yes&unit=beta+head+0"
    page.keyboard.press("Escape")
    eventually(page, "location.hash === '#units?held=yes'")
    page.evaluate("location.hash = '#units?unit=alpha+late+3'")
    eventually(page, IS_OPEN)
    assert page.inner_text("#unit-where") == "alpha · late · unit 3"
    page.evaluate("location.hash = '#units?unit=alpha+late+99'")
    eventually(page, IS_CLOSED)  # there is no such unit
    assert opened.messages == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_reads_in_light_and_dark_on_a_screen_and_on_a_phone(
    photographed: Path, tmp_path: Path, open_page: Any, scheme: str
) -> None:
    opened = open_page(photographed, "#units?unit=resnet18-imagenet+layer3+7", color_scheme=scheme)
    page: Page = opened.page
    style = "(name) => getComputedStyle(document.querySelector('#unit-page'))[name]"
    paper, ink = (
        [int(part) for part in re.findall(r"\d+", page.evaluate(style, name))] for name in ("backgroundColor", "color")
    )
    assert (max(paper[:3]) < 60, min(ink[:3]) > 200) == ((scheme == "dark"),) * 2
    page.screenshot(path=tmp_path / f"{scheme}.png")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.querySelector('#unit-page').getBoundingClientRect().width") == 390
    assert page.evaluate("document.querySelector('#of-unit').scrollWidth") <= 390
    assert page.locator("#unit-close").is_visible()
    page.screenshot(path=tmp_path / f"{scheme}-phone.png")
    assert opened.messages == []


@pytest.mark.slow
def test_of_imported_labels_it_shows_nothing_but_labels_and_concepts(tmp_path: Path, open_page: Any) -> None:
    (tmp_path / "labels.csv").write_text(
        "layer,unit,description,similarity\nlayer4,0,cat,0.5\nlayer4,1,<b>dog</b>,0.25\n"
    )
    command = [
        str(Path(sys.executable).parent / "cli"),
        "import",
        "labels.csv",
        "--model",
        "my model",
        "-w",
        "a.duckdb",
    ]
    settings = ["--method", "soft_wpmi", "--encoder", "ViT-B-16/openai", "--concepts", "20k", "--probe", "broden"]
    subprocess.run([*command, *settings], cwd=tmp_path, check=True, capture_output=True)
    opened = open_page(report(tmp_path / "a.duckdb", tmp_path / "page.html"))
    page: Page = opened.page
    page.click(CARD.format(2))
    assert page.inner_text("#unit-title bdi") == "<b>dog</b>"
    assert page.locator("#of-unit h3").all_inner_texts() == ["Best concepts", "More of it"]
    assert cells(page, "Best concepts") == [["<b>dog</b>", "0.25"]]
    assert page.inner_text("#of-unit code").startswith("cli unit 'my model' layer4 1 --open")
    assert json.loads(page.text_content("#detail-data") or "")["histograms"] == [None, None]
    assert opened.messages == []
