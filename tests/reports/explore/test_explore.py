"""What the app's cells call, and how it is served: without a browser."""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

import neuronlake
from neuronlake.reports.explore import asking, choosing, images, serving, units
from neuronlake.sql.settings import SettingError
from neuronlake.sql.warehouse import Warehouse

NO_TAGS = pl.DataFrame({"model": ["alpha"], "layer": ["late"], "unit": [2], "tag": ["odd"]})


@pytest.fixture(scope="module")
def file(small_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of its own, since a served warehouse stays open until its process ends."""
    return Path(shutil.copy(small_file, tmp_path_factory.mktemp("explored") / "small.duckdb"))


@pytest.fixture
def warehouse(file: Path) -> Iterator[Warehouse]:
    opened = choosing.opened_warehouse(str(file))
    yield opened
    opened.close()


@contextmanager
def served(*arguments: str, folder: Path) -> Iterator[str]:
    """The address of `cli explore`, a process of its own."""
    command = [sys.executable, "-m", "neuronlake.cli", "explore", "--no-browser", *arguments]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield process.stdout.readline().strip()
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def test_the_app_first_shows_the_surest_unit_of_the_layer_that_is_understood_best(warehouse: Warehouse) -> None:
    assert choosing.first_choice(warehouse, {}) == choosing.Choice(5, ("alpha", "late"), ("alpha", "late", 0))


def test_an_address_chooses_setting_layer_and_unit(warehouse: Warehouse) -> None:
    asked = {"setting": "1", "model": "beta", "layer": "early", "unit": "2"}
    assert choosing.first_choice(warehouse, asked) == choosing.Choice(1, ("beta", "early"), ("beta", "early", 2))
    for no_unit in ("-3", "99999999999"):
        unknown = {"model": "no", "layer": "early", "unit": no_unit}
        assert choosing.first_choice(warehouse, unknown) == choosing.first_choice(warehouse, {})
    with pytest.raises(SettingError, match="has no setting 9"):
        choosing.first_choice(warehouse, {"setting": "9"})


def test_the_page_of_a_unit_leads_to_its_images_and_to_units_near_it(warehouse: Warehouse) -> None:
    page = choosing.unit_page(warehouse, ("alpha", "late", 0), 1)
    assert "<h2>Top images</h2>" in page.html
    assert page.images == {"1: a/one.png": "a/one.png", **dict(list(page.images.items())[1:])}
    assert next(iter(page.nearest.values())) == ("beta", "head", 0)


def test_what_one_page_has_read_the_next_one_is_given(warehouse: Warehouse, file: Path) -> None:
    asked = (("alpha", "late", 1), 1)
    page = choosing.unit_page(warehouse, *asked)
    another = choosing.opened_warehouse(str(file))
    assert choosing.unit_page(another, *asked) is page
    assert choosing.unit_page(another, ("alpha", "late", 2), 1) is not page
    another.close()


def test_a_layer_that_the_setting_does_not_have_gives_way_to_what_it_first_shows(warehouse: Warehouse) -> None:
    page = choosing.unit_page(warehouse, ("beta", "early", 0), 5)
    assert "alpha · late · unit 0" in page.html
    # nor is one offered
    assert {unit[:2] for unit in page.nearest.values()} <= {("alpha", "late"), ("beta", "head")}


def test_a_unit_that_a_layer_does_not_have_is_said_to_be_missing(warehouse: Warehouse) -> None:
    page = choosing.unit_page(warehouse, ("alpha", "late", 99), 1)
    assert page.html == "<p>late of alpha has units 0 to 3, not 99</p>"
    assert not page.images


def test_an_image_leads_to_the_units_that_it_excites(warehouse: Warehouse) -> None:
    found = images.find_images(warehouse, "one", 1)
    assert found["image"].to_list() == ["a/one.png"]
    assert found["picture"][0].startswith("data:image/webp;base64,")
    excited = images.excited_units(warehouse, "a/one.png", 1)
    # of its four units the first image excites these as nothing else does
    best = excited.filter(pl.col("excitement") == 1).select("model", "layer", "unit").rows()
    assert set(best) == {("alpha", "early", 1), ("alpha", "late", 0), ("beta", "head", 0)}
    assert "a/one.png" in images.image_part(warehouse, "a/one.png", 1)


def test_of_two_probes_with_an_image_of_one_path_that_of_the_setting_is_shown(small_file: Path, tmp_path: Path) -> None:
    """A probe that was made before holds the path too, with other contents, and here one that the path ends."""
    file = Path(shutil.copy(small_file, tmp_path / "two.duckdb"))
    with neuronlake.open(file, write=True) as opened:
        opened.execute("insert into store.probes values (0, 'older', 'older', '/older', 1, 2, false)")
        opened.execute("insert into store.images values (0, 0, 'b/four.png', null, 'other', null, null)")
        opened.execute("insert into store.thumbnails values (0, 1, 1, 'OLDER'::blob)")
        opened.execute("insert into store.activations values (2, 3, 0, -1)")
        opened.execute("insert into store.units values (2, 0, 3, 'live', 0, 1, 0)")
        opened.execute("update store.images set path = 'ab/four.png' where image_id = 1")
        own = opened.scalar("select webp from store.thumbnails where image_id = 4")
        best = images.excited_units(opened, "b/four.png", 1)
        shown = images.image_part(opened, "b/four.png", 1)
    assert best.filter(model="alpha", layer="late", unit=3).select("excitement", "concept").rows() == [(1, "mystery")]
    assert f"base64,{base64.b64encode(own).decode()}" in shown


def test_sql_is_answered_with_tags_at_hand(warehouse: Warehouse) -> None:
    question = "select concept, tag from unit_labels join unit_tags using (model, layer, unit) where setting = 5;"
    assert asking.ask(warehouse, NO_TAGS, question).rows.rows() == [("cat", "odd")]


@pytest.mark.parametrize("end", [";", "; -- so", ";\n/* a; b */ ;\n--", " -- 'so'"])
def test_how_a_question_ends_is_no_matter(warehouse: Warehouse, end: str) -> None:
    assert asking.ask(warehouse, NO_TAGS, f"select 'é;--' as text{end}").rows.rows() == [("é;--",)]


@pytest.mark.parametrize("question", ["set schema = 'store'", "create temp view unit_labels as select 1 as a"])
def test_what_a_question_sets_is_nothing_to_the_page_and_to_the_next(warehouse: Warehouse, question: str) -> None:
    before = asking.ask(warehouse, NO_TAGS, "unit_labels").rows
    assert asking.ask(warehouse, NO_TAGS, question).error == ""
    assert asking.ask(warehouse, NO_TAGS, "unit_labels").rows.equals(before)
    assert "<h2>Top images</h2>" in choosing.unit_page(warehouse, ("alpha", "late", 0), 1).html


def test_a_view_and_a_named_query_are_questions_too(warehouse: Warehouse) -> None:
    assert asking.ask(warehouse, NO_TAGS, "layer_summary").rows.height == 6
    assert asking.ask(warehouse, NO_TAGS, "most_repeated_concept").note.startswith("setting 5")


@pytest.mark.parametrize(
    ("question", "error"),
    [
        ("select nothing from nowhere", "nowhere"),
        ("delete from store.labels", "read-only"),
        ("copy (select 1) to 'x.csv'", "disabled"),
        ("select * from read_csv('/etc/hosts')", "disabled"),
        ("no_such_query", "no_such_query"),
    ],
)
def test_what_cannot_be_answered_or_would_write_is_said_in_one_line(
    warehouse: Warehouse, question: str, error: str
) -> None:
    answer = asking.ask(warehouse, NO_TAGS, question)
    assert error in answer.error
    assert "\n" not in answer.error
    assert answer.rows.is_empty()


def test_no_more_rows_are_loaded_than_a_reader_can_see(warehouse: Warehouse) -> None:
    answer = asking.ask(warehouse, NO_TAGS, "select * from range(1_000_000_000)")
    assert answer.rows.height == asking.MOST_ROWS
    assert answer.note == "the first 10,000 rows"


def test_units_that_the_same_images_excite_lie_side_by_side_on_the_map() -> None:
    """Two groups of ten: each nearer to its own than to the other."""
    import numpy as np

    generator = np.random.default_rng(0)
    centres = np.repeat(np.eye(8)[:2], 10, axis=0)
    places = units._laid_out(centres + 0.01 * generator.normal(size=(20, 8)))
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
    assert distances[:10, :10].max() < distances[:10, 10:].min()


def test_without_enough_units_or_embeddings_there_is_no_map(warehouse: Warehouse) -> None:
    found = units.units_of_layer(warehouse, 1, "alpha", "early")
    assert units.with_map(warehouse, found, 1, "alpha", "early")["x"].null_count() == found.height


def test_a_row_that_names_a_unit_leads_to_it() -> None:
    assert units.named_in(pl.DataFrame({"unit": [3], "layer": ["fc"], "model": ["m"]})) == ("m", "fc", 3)
    assert units.named_in(pl.DataFrame({"unit": [3]})) is None
    assert units.named_in(pl.DataFrame({"unit": [None], "layer": ["fc"], "model": ["m"]})) is None
    assert units.named_in(pl.DataFrame({"unit": ["all"], "layer": ["fc"], "model": ["m"]})) is None
    assert units.named_in(pl.DataFrame({"unit": [], "layer": [], "model": []})) is None


def test_the_notebook_as_a_file_of_ones_own_reads_the_same_warehouse(small_file: Path, tmp_path: Path) -> None:
    """Run as a script, all of its cells."""
    notebook = tmp_path / "explore.py"
    notebook.write_text(serving.own_notebook(small_file))
    environment = {name: value for name, value in os.environ.items() if name != "NEURONLAKE_WAREHOUSE"}
    done = subprocess.run(
        [sys.executable, str(notebook)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "cli explore" not in notebook.read_text()


@pytest.mark.parametrize(
    ("notebook", "warehouse", "error"),
    [
        (".", "small.duckdb", ". is no Python file; name one that ends in .py with --notebook"),
        ("notes.txt", "small.duckdb", "notes.txt is no Python file"),
        ("no/explore.py", "small.duckdb", "the folder no does not exist; make it or name another with --notebook"),
        ("explore.py", "missing.duckdb", "there is no warehouse at missing.duckdb"),
    ],
)
def test_a_notebook_that_could_not_be_edited_is_not_made(
    small_file: Path, tmp_path: Path, notebook: str, warehouse: str, error: str
) -> None:
    shutil.copy(small_file, tmp_path / "small.duckdb")
    command = ["explore", "--edit", "--notebook", notebook, "--warehouse", warehouse]
    done = subprocess.run(
        [sys.executable, "-m", "neuronlake.cli", *command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert error in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["small.duckdb"]


def test_the_app_answers_this_machine_alone_and_only_with_its_token(small_file: Path, tmp_path: Path) -> None:
    with served("--warehouse", str(small_file), folder=tmp_path) as address:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?access_token=[\w-]{20,}", address)
        with urllib.request.urlopen(address) as page:  # noqa: S310
            assert b"marimo" in page.read()
        bare = address.split("?")[0]
        with urllib.request.urlopen(bare) as page:  # noqa: S310
            assert b"log" in page.read().lower()
            assert "/auth/login" in page.url


def test_an_app_stays_open_to_its_browser_where_that_opens_another(small_file: Path, tmp_path: Path) -> None:
    """A browser gives its cookies to all ports of a machine."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    served_here = ("--warehouse", str(small_file))
    with served(*served_here, folder=tmp_path) as one, served(*served_here, folder=tmp_path) as other:
        for address in (one, other):
            browser.open(address).close()
        for address in (one, other):
            with browser.open(address.split("?")[0]) as page:
                assert "/auth/login" not in page.url


def test_the_warehouse_stays_free_for_other_readers(small_file: Path, tmp_path: Path) -> None:
    with served("--warehouse", str(small_file), folder=tmp_path), neuronlake.open(small_file, write=False) as other:
        assert other.scalar("select count(*) from runs") == 2


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--warehouse", "missing.duckdb"], "there is no warehouse at missing.duckdb"),
        (["--warehouse", "{file}", "--setting", "9"], "has no setting 9"),
        (["--warehouse", "{file}", "--port", "{taken}"], "is taken; name a free one with --port"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(
    small_file: Path, tmp_path: Path, arguments: list[str], error: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        given = [text.format(file=small_file, taken=taken.getsockname()[1]) for text in arguments]
        command = [sys.executable, "-m", "neuronlake.cli", "explore", "--no-browser", *given]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert error in done.stderr
    assert done.stderr.count("\n") == 1
