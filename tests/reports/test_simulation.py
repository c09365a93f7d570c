"""What a label predicts, in a terminal and as a page: the worst images, the scatter, or why there is nothing."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import neuronlake
from neuronlake.reports.tables import print_simulation
from neuronlake.reports.units.card import UnitCard, read_unit
from neuronlake.reports.units.page import write_simulation_page, write_unit_page
from neuronlake.reports.units.predictions import Simulation, correlations, read_simulation
from neuronlake.reports.units.scatter import scatter, scatter_picture
from neuronlake.sql.store.scorings import Judgement, insert_judgement
from neuronlake.sql.warehouse import Warehouse


def read(warehouse: Warehouse, unit: int = 0, top: int = 7) -> tuple[UnitCard, Simulation]:
    """Of alpha late under setting 5: unit 0 fires on image 1, its label cat is in image 2."""
    return read_unit(warehouse, "alpha", "late", unit), read_simulation(warehouse, "alpha", "late", unit, 5, top)


PICTURE = "data:image/webp;base64,UklGRg=="


@pytest.fixture
def unit(small_file: Path) -> tuple[UnitCard, Simulation]:
    with neuronlake.open(small_file, write=False) as warehouse:
        return read(warehouse)


def made(differences: list[float], outcomes: list[str | None]) -> Simulation:
    """Predictions that are 0, 0.1, 0.2 ... less than what the unit does by these differences."""
    images = pl.DataFrame(
        {
            "image": [f"{number}.png" for number in range(len(differences))],
            "label": "x",
            "predicted": [number / 10 for number in range(len(differences))],
            "difference": differences,
            "outcome": outcomes,
            "image_id": range(len(differences)),
        },
        schema_overrides={"outcome": pl.String},
    )
    rank = pl.col("difference").abs().rank("ordinal", descending=True).over("outcome")
    return Simulation(
        images.with_columns(
            activation=pl.col("predicted") + pl.col("difference"),
            outcome_rank=pl.when(pl.col("outcome").is_in(["miss", "false alarm"])).then(rank),
        ).sort(pl.col("difference").abs(), descending=True),
        lack=None,
        top=2,
    )


# --- the images


def test_the_worst_false_alarms_and_misses_are_shown_with_their_pictures(unit: tuple[UnitCard, Simulation]) -> None:
    _, simulation = unit
    assert simulation.lack is None
    assert simulation.images.height == 4
    assert simulation.false_alarms["image"].to_list() == ["a/two.png"]
    assert simulation.misses["image"].to_list() == ["a/one.png"]
    assert {number: picture.source for number, picture in simulation.pictures.items()} == dict.fromkeys((1, 2), PICTURE)


def test_as_many_are_shown_as_are_asked_for_and_the_worst_first() -> None:
    simulation = made([-1, -3, -2, 4, 6, 5, 0, 9], [*["false alarm"] * 3, *["miss"] * 3, None, "hit"])
    assert simulation.false_alarms["image"].to_list() == ["1.png", "2.png"]
    assert simulation.misses["image"].to_list() == ["4.png", "5.png"]
    assert simulation.counts == "1 hit, 3 false alarms, 3 misses"


# --- the scatter

# half the roots of their areas, and their opacity
SIZES = [("2,0", "0.6"), ("4.18", "1")]


def values(spec: dict[str, Any], layer: int) -> list[dict[str, Any]]:
    return spec["datasets"][spec["layer"][layer]["data"]["name"]]


def test_the_scatter_has_a_point_an_image_and_larger_ones_for_those_that_are_shown(
    unit: tuple[UnitCard, Simulation],
) -> None:
    spec = scatter(unit[1]).to_dict()
    assert values(spec, 1) == [
        {"predicted": 0.1667, "activation": 1, "outcome": "miss"},
        {"predicted": 0.5, "activation": 0, "outcome": "false alarm"},
        {"predicted": 0.1667, "activation": 0, "outcome": "other images"},
        {"predicted": 0.1667, "activation": 0, "outcome": "other images"},
    ]
    assert [point["outcome"] for point in values(spec, 2)] == ["false alarm", "miss"]
    drawn = scatter_picture(unit[1])
    # below the key, by their sizes
    assert [len(re.findall(rf'd="M{size}[^>]*opacity="{opacity}"/>', drawn)) for size, opacity in SIZES] == [4, 2]


def test_the_dashed_line_is_where_predictions_are_right_within_both_axes() -> None:
    """Predictions reach from 0 to 0.3, activations from -1 to 2.2."""
    (ends,) = values(scatter(made([-1, 1, 2, 1], [None] * 4)).to_dict(), 0)
    assert ends == {"from": 0, "to": pytest.approx(0.3)}


def test_of_many_images_the_scatter_draws_some_but_all_that_are_shown() -> None:
    differences = [(-1) ** number * number / 100 for number in range(4001)]
    outcomes = ["miss" if number >= 3990 and number % 2 == 0 else None for number in range(4001)]
    simulation = made(differences, outcomes)
    spec = scatter(simulation).to_dict()
    assert spec["title"]["text"] == "one in 3 of 4,001 images"
    assert len(values(spec, 1)) == 1334
    assert [point["activation"] for point in values(spec, 2)] == [pytest.approx(440), pytest.approx(439.8, abs=0.1)]
    assert len(scatter_picture(simulation)) < 400_000


def test_labels_that_predict_the_same_of_all_images_can_be_drawn() -> None:
    simulation = made([1, 2, 3], [None, None, "miss"])
    flat = dataclasses.replace(simulation, images=simulation.images.with_columns(predicted=pl.lit(0.5)))
    assert "NaN" not in scatter_picture(flat)


# --- in words


def test_a_terminal_shows_the_label_its_correlations_and_both_lists(
    unit: tuple[UnitCard, Simulation], capsys: pytest.CaptureFixture[str]
) -> None:
    print_simulation(*unit)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[:4] == [
        "alpha · late · unit 0",
        "cat",
        "correlation 0.60 over all 4 images, held-out 0.50",
        "top 5 %: 0 hits, 1 false alarm, 1 miss",
    ]
    assert lines[5:] == [
        "",
        "false alarms: predicted high, the unit is low",
        "image label predicted activation",
        "a/two.png a 0.5 0",
        "",
        "misses: the unit is high, predicted low",
        "image label predicted activation",
        "a/one.png a 0.1667 1",
    ]


def test_a_list_without_images_is_left_out(small_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with neuronlake.open(small_file, write=False) as warehouse:
        print_simulation(*read(warehouse, unit=1))  # its label is right
    shown = capsys.readouterr().out
    assert "1 hit, 0 false alarms, 0 misses" in shown
    assert "false alarms:" not in shown
    assert "misses:" not in shown


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (
            {"correlation": 0.25, "held_out_correlation": -0.001},
            "correlation 0.25 over all 1,200 images, held-out 0.00",
        ),
        ({"correlation": 0.25, "held_out_correlation": None}, "correlation 0.25 over all 1,200 images"),
        ({"correlation": None, "held_out_correlation": None}, ""),
    ],
)
def test_only_what_was_judged_is_said_of_the_correlation(label: dict[str, float | None], expected: str) -> None:
    assert correlations(label, 1200) == expected


# --- on a page


def test_the_page_of_a_unit_shows_both_rows_of_images_below_the_scatter(
    small_file: Path, unit: tuple[UnitCard, Simulation], tmp_path: Path
) -> None:
    with neuronlake.open(small_file, write=False) as warehouse:
        write_unit_page(warehouse, unit[0], tmp_path / "unit.html", unit[1])
    page = (tmp_path / "unit.html").read_text()
    text = re.sub(r"\s+", " ", re.sub(r"<svg.*?</svg>", "SVG", page, flags=re.DOTALL))
    before, after = text.split('id="predicted"')
    assert "SVG" in after.split("<h3>")[0]
    assert "Correlation 0.60 over all 4 images, held-out 0.50" in before
    alarms, misses = after.split("<h3>Misses</h3>")
    assert "<bdi>a/<wbr>two.png</bdi><br>predicted 0.5<br>activation 0<" in alarms
    assert "<bdi>a/<wbr>one.png</bdi><br>predicted 0.167<br>activation 1<" in misses
    assert "Top images" in before
    assert "Best concepts" in after


def test_the_page_of_what_is_predicted_has_the_label_and_nothing_else_of_the_unit(
    unit: tuple[UnitCard, Simulation], tmp_path: Path
) -> None:
    write_simulation_page(unit[0], tmp_path / "simulation.html", unit[1])
    page = (tmp_path / "simulation.html").read_text()
    assert "<h1><bdi>cat</bdi></h1>" in page
    assert "What the label predicts" in page
    assert "<svg" in page
    assert not {"Top images", "Best concepts"} & set(re.findall(r"<h2>(.*?)</h2>", page))


def test_names_of_images_are_text_and_no_part_of_the_page(small_file: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(small_file, tmp_path / "w.duckdb"))
    with neuronlake.open(path, write=True) as warehouse:
        warehouse.execute("update store.images set path = '<script>' || path")
        write_unit_page(warehouse, *read(warehouse)[:1], tmp_path / "unit.html", read(warehouse)[1])
    page = (tmp_path / "unit.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;a/<wbr>two.png" in page


def test_a_list_without_images_says_so_on_the_page(small_file: Path, tmp_path: Path) -> None:
    with neuronlake.open(small_file, write=False) as warehouse:
        card, simulation = read(warehouse, unit=1)
    write_simulation_page(card, tmp_path / "simulation.html", simulation)
    assert (tmp_path / "simulation.html").read_text().count('<p class="empty">None.</p>') == 2


# --- where nothing is predicted

JUDGE = r"`cli score --fidelity --warehouse \S+`"


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        (["delete from store.label_terms"], "unit 0 of late of alpha has no label; choose another unit, or another"),
        (["delete from store.image_embeddings"], r"photos has no embeddings by tiny; run its `cli ingest .*` again"),
        (["delete from store.concept_embeddings"], rf"tiny has not embedded 'cat'; {JUDGE} does where that can be had"),
        (
            ["update store.scorings set images = 0", "delete from store.judgements"],
            rf"imported labels predict once they are judged: {JUDGE}",
        ),
        (
            ["update store.scorings set images = 0", "delete from store.chunks where layer_id is not null"],
            rf"late of alpha has no activations here; `cli ingest .*` makes them, then {JUDGE}",
        ),
        (
            ["update store.scorings set images = 0", "update store.units set status = 'dead'"],
            "unit 0 of late of alpha is dead over photos; choose another",
        ),
    ],
)
def test_what_is_missing_is_named_with_the_next_step(
    small_file: Path, tmp_path: Path, statements: list[str], reason: str
) -> None:
    path = Path(shutil.copy(small_file, tmp_path / "w.duckdb"))
    with neuronlake.open(path, write=True) as warehouse:
        for statement in statements:
            warehouse.execute(statement)
        card, simulation = read(warehouse)
        if "activations here" in reason:  # what has no activations has no rows to lose them from
            warehouse.execute("delete from store.activations")
            card, simulation = read(warehouse)
        write_unit_page(warehouse, card, tmp_path / "unit.html", simulation)
    assert simulation.images.is_empty()
    assert re.match(reason, simulation.lack or "")
    page = (tmp_path / "unit.html").read_text()
    assert 'id="predicted"' not in page
    # of a unit without a label that is all there is to say
    assert ("What the label predicts" in page) == (card.label["concept"] is not None)


def test_figures_that_came_with_labels_show_no_images(small_file: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(small_file, tmp_path / "w.duckdb"))
    with neuronlake.open(path, write=True) as warehouse:
        warehouse.execute("update store.scorings set images = 0")
        insert_judgement(warehouse, Judgement(5), pl.DataFrame({"unit": [0], "correlation": [0.5]}))
        lack = read(warehouse)[1].lack or ""
    assert lack.startswith("these labels came with their correlation, and no images here judged them; import them")
