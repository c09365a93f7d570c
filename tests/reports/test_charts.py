"""The charts as a paper prints them: what a reader who has nothing but the picture can tell from it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl
import pytest
import small_warehouse
import vl_convert

import neuronlake
from neuronlake.ingest.importers.label_files import ImportOptions
from neuronlake.ingest.importers.labels import import_labels
from neuronlake.reports import charts, figures
from neuronlake.reports.drawing.colors import CATEGORY_COLORS, category_colors
from neuronlake.reports.drawing.verdicts import HOLDS, Verdict
from neuronlake.reports.figures import Kind
from neuronlake.reports.pictures import ReportError, write_charts
from neuronlake.reports.sections import fidelity
from neuronlake.sql.warehouse import Warehouse


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    return small_warehouse.build(tmp_path_factory.mktemp("charts") / "small.duckdb")


@pytest.fixture(scope="module")
def drawn(warehouse: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The charts of setting 1 as SVG, by name."""
    files = write_charts(warehouse, tmp_path_factory.mktemp("svg"), "svg", setting=1)
    return {file.stem: file.read_text(encoding="utf-8") for file in files}


def svg(chart: Any) -> str:
    return vl_convert.vegalite_to_svg(chart.to_dict() | {"width": 420}, vl_version="6.1")


def texts(picture: str) -> list[str]:
    """What is written in a picture; the lines of one text with a space between them."""
    found = re.findall(r"<text[^>]*>(.*?)</text>", picture, re.DOTALL)
    return [re.sub(r"<[^>]*>", " ", text).replace("&lt;", "<").replace("  ", " ").strip() for text in found]


def bars(picture: str) -> list[tuple[str, int, float]]:
    """Concept, units and length in pixels of each bar, the part in full colour apart."""
    shape = r'aria-label="units[^:"]*: (\d+); concept: ([^;]*);[^"]*" role="graphics-symbol" aria-roledescription="bar"'
    marks = re.findall(shape + r' d="M0,[\d.]+h([\d.]+)v', picture)
    return [(concept, int(units), float(length)) for units, concept, length in marks]


def frame(rows: list[tuple[str, str, int, int | None]]) -> pl.DataFrame:
    """Rows of model, concept, units and held, over all layers."""
    columns = {"model": pl.String, "concept": pl.String, "units": pl.Int64, "held": pl.Int64}
    return pl.DataFrame(rows, columns, orient="row").with_columns(
        layer=pl.lit(charts.ALL_LAYERS), category=pl.lit("object"), counted=pl.coalesce("held", "units")
    )


def learnt(concepts: pl.DataFrame, model: str, verdict: Verdict | None = HOLDS) -> str:
    """The bars of a model's concepts as SVG."""
    return svg(charts.learnt_concepts(concepts, model, CATEGORY_COLORS, verdict))


def test_a_key_tells_full_colour_from_pale(drawn: dict[str, str]) -> None:
    for name in ("learnt-0", "learnt-1", "own-0", "own-1"):
        assert {"label better than chance", "yes, q < 0.05", "no"} <= set(texts(drawn[name])), name


def test_the_key_of_judged_labels_is_of_their_confidence(warehouse: Warehouse, tmp_path: Path) -> None:
    """Of alpha's three cat two hold, of beta's two dog one."""
    write_charts(warehouse, tmp_path, "svg", setting=5)
    for name, number in (("learnt-0", "2 of 3"), ("learnt-1", "1 of 2"), ("own-0", "2 of 3")):
        written = texts((tmp_path / f"{name}.svg").read_text(encoding="utf-8"))
        assert {"label that holds", "yes, confidence at least 0.5", "no", number} <= set(written), name
        assert not any("chance" in text for text in written)


def test_where_all_labels_count_there_is_no_such_key() -> None:
    for held in (None, 1):
        picture = learnt(frame([("a", "cat", 3, held)]), "a", None)
        assert not any(word in text for text in texts(picture) for word in ("chance", "hold", "yes", "of 3"))
        assert bars(picture) == [("cat", 3, bars(picture)[0][2])]
        assert "null" not in picture


def test_shared_concepts_are_drawn_by_the_labels_that_count() -> None:
    rows = [("dog", 1, "alpha", 1, 4), ("dog", 1, "beta", 2, 9)]
    counts = pl.DataFrame(rows, ["concept", "place", "model", "counted", "units"], orient="row")
    picture = svg(charts.shared_concepts(counts, ["alpha", "beta"], HOLDS))
    assert "units with labels that hold (confidence at least 0.5)" in texts(picture)
    assert {"2", "1"} <= set(texts(picture)) and not {"4", "9"} & set(texts(picture))


def points(picture: str) -> int:
    """How many units a chart shows."""
    return len(re.findall('aria-roledescription="circle"', picture))


def of_units(rows: list[tuple[str, int, float, float, bool | None]], judged: int) -> pl.DataFrame:
    """Units of the model a: layer, number, held-out correlation, ceiling and whether the label holds."""
    columns = ["layer", "unit", "held_out_correlation", "ceiling", "holds"]
    given = pl.DataFrame(rows, columns, orient="row").with_columns(
        model=pl.lit("a"), concept=pl.lit("cat"), confidence=pl.lit(0.5), judged=pl.lit(judged)
    )
    return given.with_columns(pl.col("holds").cast(pl.Boolean))


def test_a_judged_unit_is_a_point_below_or_above_the_diagonal(warehouse: Warehouse, tmp_path: Path) -> None:
    write_charts(warehouse, tmp_path, "svg", setting=5)
    pictures = [(tmp_path / f"fidelity-{model}.svg").read_text(encoding="utf-8") for model in (0, 1)]
    assert [points(picture) for picture in pictures] == [4, 2]
    assert all("held-out correlation" in texts(picture) and "ceiling" in texts(picture) for picture in pictures)
    first = re.search(r'aria-label="ceiling: 0.6; held-out correlation: 0.5;[^"]*"', pictures[0])
    assert first and "concept: cat" in first[0] and "unit: 0" in first[0]


def test_points_tell_by_their_colour_whether_the_label_holds() -> None:
    rows = [("fc", 0, 0.5, 0.6, True), ("fc", 1, 0.1, 0.6, False), ("fc", 2, 0.2, 0.6, None)]
    picture = svg(fidelity.held_out_and_ceiling(of_units(rows, 3), "a", HOLDS))
    assert {"label that holds", "yes, confidence at least 0.5", "no", "not known"} <= set(texts(picture))
    plain = svg(fidelity.held_out_and_ceiling(of_units([(*row[:4], None) for row in rows], 3), "a", None))
    assert not {"yes, confidence at least 0.5", "not known"} & set(texts(plain))
    assert points(plain) == points(picture) == 3


def test_a_chart_of_some_of_the_units_says_so_and_one_of_all_does_not() -> None:
    rows = [("fc", unit, 0.1, 0.2, True) for unit in range(3)]
    some = texts(svg(fidelity.held_out_and_ceiling(of_units(rows, 4000), "a", HOLDS)))
    assert "3 of 4,000 units, as many of each layer" in some
    assert not any("units" in text for text in texts(svg(fidelity.held_out_and_ceiling(of_units(rows, 3), "a", HOLDS))))


def test_a_chart_of_points_is_small_with_long_names_and_digits_too() -> None:
    rows = [("layer4.2.conv3", unit, unit / 3000, unit / 1201, True) for unit in range(1200)]
    shark = "great white shark, man-eater, man-eating shark, Carcharodon carcharias"
    units = of_units(rows, 9000).with_columns(
        pl.col("held_out_correlation", "ceiling").cast(pl.Float32), concept=pl.lit(shark)
    )
    assert len(json.dumps(fidelity.held_out_and_ceiling(units, "a", HOLDS).to_dict())) < 300_000


def test_the_key_has_only_the_categories_that_occur(drawn: dict[str, str]) -> None:
    # alpha: dog, cat, dotted and mystery; beta: dog, cat and dots
    for name, expected in (
        ("learnt-0", {"texture", "object", "none"}),
        ("learnt-1", {"texture", "object"}),
        ("mix-0", {"texture", "object", "none"}),
        ("own-0", {"texture"}),
    ):
        assert set(texts(drawn[name])) & CATEGORY_COLORS.keys() == expected, name


def test_panels_side_by_side_draw_a_unit_at_the_same_length(drawn: dict[str, str]) -> None:
    rows = [("a", "cat", 40, 1), ("a", "dog", 3, 1), ("b", "a much longer name of a concept", 7, 2)]
    pictures = [learnt(frame(rows), model) for model in ("a", "b")]
    for side_by_side in (pictures, [drawn["learnt-0"], drawn["learnt-1"]], [drawn["own-0"], drawn["own-1"]]):
        lengths = {round(length / units, 1) for picture in side_by_side for _, units, length in bars(picture) if length}
        assert len(lengths) == 1


def test_heat_maps_side_by_side_share_their_colours(tmp_path: Path) -> None:
    labels = {"a": ["cat", "dog"], "b": ["cat", "sky"], "c": ["cat", "dog"]}
    with neuronlake.open(tmp_path / "three.duckdb", write=True) as warehouse:
        for model, concepts in labels.items():
            rows = [f"fc,{unit},{concept},0.5" for unit, concept in enumerate(concepts)]
            (tmp_path / f"{model}.csv").write_text("\n".join(["layer,unit,description,similarity", *rows]))
            given = ImportOptions(model, "soft_wpmi", "ViT-B-16/openai", "words", "photographs")
            import_labels(warehouse, tmp_path / f"{model}.csv", given)
        drawn = {name: chart.to_dict() for name, chart in neuronlake.charts(warehouse).items()}
    scales = [drawn[f"overlap-{place}"]["layer"][0]["encoding"]["color"]["scale"]["domain"] for place in range(3)]
    assert scales == [[0, 1.0]] * 3


def test_long_names_are_cut_and_stay_two() -> None:
    shark = "great white shark, man-eater, man-eating shark, Carcharodon carcharias"
    names = [shark, f"{shark} and another"]
    picture = learnt(frame([("a" * 200, name, 3, 3) for name in names]), "a" * 200)
    assert {concept for concept, _, _ in bars(picture)} == set(names)
    assert sum(text.startswith("great white shark") for text in texts(picture)) == 2
    assert all(len(text) < 60 for text in texts(picture))
    assert min(length for _, _, length in bars(picture)) > 150


def test_labels_of_one_model_alone_say_in_which_layers_models_were_compared(
    warehouse: Warehouse, drawn: dict[str, str], tmp_path: Path
) -> None:
    assert "labels better than chance, in no other model; in the layers that all have: early" in " ".join(
        texts(drawn["own-0"])
    )
    write_charts(warehouse, tmp_path, "svg", setting=5)
    other = " ".join(texts((tmp_path / "own-0.svg").read_text(encoding="utf-8")))
    assert "labels that hold, in no other model; compared over different layers, here: late" in other


JAVASCRIPT = ["constructor", "toString", "__proto__", "hasOwnProperty", "valueOf", "cat"]


@pytest.mark.parametrize("word", JAVASCRIPT)
def test_words_of_javascript_are_drawn_like_all_others(word: str) -> None:
    layers, models = [word, "late"], [word, "other"]
    colors = category_colors([word])
    concepts = frame([(word, word, 4, 2), (word, "dog", 2, 1)]).with_columns(category=pl.lit(word))
    only = concepts.with_columns(compared_layers=pl.lit(word), is_same_layers=True)
    measured = pl.DataFrame(
        [(model, layer, layers.index(layer), 3, 9) for model in models for layer in layers], orient="row"
    )
    measured.columns = ["model", "layer", "position", "concepts", "units"]
    mixed = [(word, layer, layers.index(layer), name, 2, 0.5) for layer in layers for name in (word, "object")]
    mix = pl.DataFrame(mixed, ["model", "layer", "position", "category", "units", "share"], orient="row")
    shared = [
        (concept, place, model, 3, 3) for place, concept in enumerate(["dog", word]) for model in (*models, "third")
    ]
    counts = pl.DataFrame(shared, ["concept", "place", "model", "counted", "units"], orient="row")
    pairs = pl.DataFrame(
        [(word, a, layers.index(a), "other", b, layers.index(b), 1, 0.5) for a in layers for b in layers], orient="row"
    )
    pairs.columns = ["model_a", "layer_a", "position_a", "model_b", "layer_b", "position_b", "shared", "jaccard"]
    for chart, marks in (
        (charts.learnt_concepts(concepts, word, colors, HOLDS), 4),
        (charts.own_concepts(only, word, colors, HOLDS), 4),
        (charts.layer_measure(measured, "concepts", "Concepts", "concepts", "d"), 4),
        (charts.category_mix(mix, word, colors), 4),
        (charts.shared_concepts(counts.filter(pl.col("model") != "third"), models, HOLDS), 4),
        (charts.shared_concepts(counts, [*models, "third"], HOLDS), 6),
        (charts.layer_similarity(pairs, word, "other", HOLDS), 4),
    ):
        picture = svg(chart)
        assert len(re.findall(r'aria-roledescription="(?:bar|rect mark)" d="M[^"]*h[1-9]', picture)) == marks
        assert word in "".join(texts(picture)).replace("\u2060", "")


def test_the_numbers_of_a_layer_with_a_word_of_javascript_for_its_name_have_their_own_scale() -> None:
    everywhere = frame([("a", "cat", 40, 10), ("a", "dog", 20, 10)])
    there = frame([("a", "cat", 4, 1), ("a", "dog", 2, 1)]).with_columns(layer=pl.lit("__proto__"))
    chart = charts.learnt_concepts(pl.concat([everywhere, there]), "a", CATEGORY_COLORS, HOLDS).to_dict()
    (layer,) = chart["params"]
    (marked,) = {row["layer"] for rows in chart["datasets"].values() for row in rows} - {charts.ALL_LAYERS}
    picture = vl_convert.vegalite_to_svg(chart | {"width": 420, "params": [layer | {"value": marked}]}, "6.1")
    assert {(concept, units) for concept, units, _ in bars(picture)} == {("cat", 4), ("dog", 2)}
    assert max(length for _, _, length in bars(picture)) > 150


def test_a_chart_that_cannot_be_drawn_is_an_error_and_no_empty_picture(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = alt.Chart(pl.DataFrame({"concept": ["constructor"], "units": [1]})).mark_bar()
    unheard = bars.encode(x="units:Q", y="concept:N")
    refused = bars.encode(x="units:Q").properties(title="constructor")
    for broken in (unheard, refused):
        drawn = Kind("shared", (), lambda _, broken=broken: [("", broken, pl.DataFrame())])
        monkeypatch.setattr(figures, "FIGURES", (drawn,))
        for file_format in ("svg", "png"):
            with pytest.raises(
                ReportError, match=r"chart shared cannot be drawn: [^\n]*; --format csv writes its numbers"
            ):
                write_charts(warehouse, tmp_path, file_format, setting=1)
