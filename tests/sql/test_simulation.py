"""What a label predicts of each image: by hand, by numpy for every shape of signal, and as the judge has it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import small_masks

import neuronlake
from neuronlake.ingest.importers.label_files import ImportOptions
from neuronlake.ingest.importers.labels import import_labels
from neuronlake.sql.opening import open_warehouse
from neuronlake.sql.store.scorings import Judgement, insert_judgement
from neuronlake.sql.warehouse import Warehouse


@pytest.fixture
def warehouse(small_file: Path, tmp_path: Path) -> Iterator[Warehouse]:
    """Scoring 5 labels the units of alpha late cat, cat, cat and dog; unit n fires on image n + 1 alone."""
    with open_warehouse(Path(shutil.copy(small_file, tmp_path / "w.duckdb")), write=True) as opened:
        yield opened


def simulated(
    warehouse: Warehouse, unit: int, model: str = "alpha", layer: str = "late", setting: int = 5
) -> pl.DataFrame:
    return warehouse.query("simulation", model=model, layer=layer, unit=str(unit), setting=str(setting)).pl()


def predictions(warehouse: Warehouse, unit: int = 0, **names: str) -> list[float]:
    """Of the images in their order."""
    return simulated(warehouse, unit, **names).sort("image_id")["predicted"].to_list()


# --- labels without a scale of their own


def test_a_label_that_is_right_predicts_the_unit_on_the_least_squares_line(warehouse: Warehouse) -> None:
    """The cosines of cat are 0 1 0 0, the activations too."""
    found = simulated(warehouse, 1)
    assert found.sort("image_id").select("image", "label", "activation", "predicted", "difference").rows() == [
        ("a/one.png", "a", 0, pytest.approx(0), pytest.approx(0)),
        ("a/two.png", "a", 1, pytest.approx(1), pytest.approx(0)),
        ("b/three.png", "b", 0, pytest.approx(0), pytest.approx(0)),
        ("b/four.png", "b", 0, pytest.approx(0), pytest.approx(0)),
    ]
    assert found.sort("image_id")["outcome"].to_list() == [None, "hit", None, None]
    assert found["outcome_rank"].null_count() == 4


def test_a_label_that_is_wrong_is_wrong_and_not_turned_round(warehouse: Warehouse) -> None:
    """Activations 1 0 0 0 on the cosines 0 1 0 0: means 1/4, slope -1/3; upwards, 1/4 + (1 - 1/4) / 3 is 1/2."""
    found = simulated(warehouse, 0)
    assert found.select("image_id", "predicted", "difference", "outcome", "outcome_rank").rows() == [
        (1, pytest.approx(1 / 6), pytest.approx(5 / 6), "miss", 1),
        (2, pytest.approx(1 / 2), pytest.approx(-1 / 2), "false alarm", 1),
        (3, pytest.approx(1 / 6), pytest.approx(-1 / 6), None, None),
        (4, pytest.approx(1 / 6), pytest.approx(-1 / 6), None, None),
    ]


def test_a_label_that_says_the_same_of_all_images_predicts_the_mean(warehouse: Warehouse) -> None:
    warehouse.execute("update store.concept_embeddings set embedding = [0, 0, 0] where concept_id = 2")
    found = simulated(warehouse, 0)
    assert found["predicted"].to_list() == pytest.approx([0.25] * 4)
    assert found.filter(image_id=1)["outcome"].to_list() == ["miss"]
    assert found["outcome"].null_count() == 3


def test_the_correlation_is_the_one_that_is_stored(tiny_warehouse: Path) -> None:
    with neuronlake.open(tiny_warehouse, write=False) as warehouse:
        judged = warehouse.sql(
            "select model, layer, unit, correlation from fidelity where correlation is not null and unit < 12"
        ).fetchall()
        signs = {correlation > 0 for *_, correlation in judged}
        assert (len(judged), signs) == (24, {True, False})
        setting = warehouse.scalar("select setting from newest_setting")
        for model, layer, unit, correlation in judged:
            found = simulated(warehouse, unit, model, layer, setting)
            assert found.height == 20
            assert found.select(pl.corr("activation", "predicted")).item() == pytest.approx(correlation, abs=1e-4)


def test_imported_labels_predict_by_the_images_that_judged_them(tiny_warehouse: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs.csv").write_text("unit,description\n0,cat\n1,dog\n2,striped\n")
    (tmp_path / "sums.csv").write_text("unit,weight0,concept0,weight1,concept1,bias\n0,2.5,cat,-1.5,sky,9\n")
    with neuronlake.open(shutil.copy(tiny_warehouse, tmp_path / "w.duckdb"), write=True) as warehouse:
        model = warehouse.scalar("select name from store.models")
        for name in ("theirs", "sums"):
            import_labels(warehouse, tmp_path / f"{name}.csv", ImportOptions(model=model, method=name, layer="fc"))
        rows = warehouse.sql(
            "select setting, unit, correlation from unit_labels where method in ('theirs', 'sums') order by all"
        ).fetchall()
        assert len(rows) == 4
        for setting, unit, correlation in rows:
            found = simulated(warehouse, unit, model, "fc", setting)
            assert found.select(pl.corr("activation", "predicted")).item() == pytest.approx(correlation, abs=1e-4)
            assert found["predicted"].mean() == pytest.approx(found["activation"].mean(), abs=1e-5)


@pytest.mark.parametrize(
    ("method", "signal"),
    [("linear", "squared"), ("linear", "labels"), ("correlation", "cubed")],
)
def test_sums_predict_as_the_judge_has_it(tiny_warehouse: Path, tmp_path: Path, method: str, signal: str) -> None:
    with neuronlake.open(shutil.copy(tiny_warehouse, tmp_path / "w.duckdb"), write=True) as warehouse:
        neuronlake.score(warehouse, method=method, parameters={"signal": signal}, layers="layer3", null_draws=20)
        judged = warehouse.sql(
            "select setting, model, unit, correlation from fidelity join newest_setting using (setting)"
            " where correlation is not null order by unit limit 12"
        ).fetchall()
        assert len(judged) == 12
        for setting, model, unit, correlation in judged:
            found = simulated(warehouse, unit, model, "layer3", setting)
            assert found.select(pl.corr("activation", "predicted")).item() == pytest.approx(correlation, abs=1e-4)
            # by least squares, so that they are right in the mean
            assert found["difference"].mean() == pytest.approx(0, abs=1e-4 * found["activation"].std())  # pyright: ignore


# --- sums, with an intercept and a shape of their signals


EMBEDDINGS = np.random.default_rng(7).normal(size=(40, 8)).astype(np.float32)
EMBEDDINGS[:, 7] = 0  # so that a concept in this direction is in all images alike
EMBEDDINGS /= np.linalg.norm(EMBEDDINGS, axis=1, keepdims=True)
CONCEPTS = np.random.default_rng(8).normal(size=(3, 8)).astype(np.float32)
CONCEPTS[2] = np.eye(8)[7]
CONCEPTS /= np.linalg.norm(CONCEPTS, axis=1, keepdims=True)
WEIGHTS, INTERCEPT = np.array([2.0, -0.75, 3.0]), 0.5
ACTIVATIONS = np.random.default_rng(9).normal(size=40).astype(np.float32)


@pytest.fixture
def sums(warehouse: Warehouse) -> Warehouse:
    """Forty more images, and a layer of one unit with a label of three concepts, setting 9."""
    numbers = range(100, 140)
    warehouse.execute("insert into store.encoders values (2, 'wide', 'wide', 8, 'by hand', 'named', 'wide', 'float32')")
    warehouse.execute("insert into store.probes values (2, 'more', 'more', '/more', 40, 40, false)")
    warehouse.execute("insert into store.layers values (9, 1, 'sum', 'sum', 10, 1, 'mean', null, 'float32', false)")
    paths = {"path": [f"{number}.png" for number in numbers], "label": ["dog" if n % 4 == 0 else "x" for n in numbers]}
    warehouse.insert("images", pl.DataFrame({"image_id": numbers, **paths}), probe_id=2)
    images = pl.DataFrame({"image_id": numbers, "embedding": EMBEDDINGS.tolist()})
    warehouse.insert("image_embeddings", images, encoder_id=2)
    concepts = pl.DataFrame({"concept_id": [1, 2, 3], "embedding": CONCEPTS.tolist()})
    warehouse.insert("concept_embeddings", concepts, encoder_id=2, prompts=["a {}"])
    activations = pl.DataFrame({"image_id": numbers, "activation": ACTIVATIONS})
    warehouse.insert("activations", activations, layer_id=9, unit=0)
    warehouse.execute("insert into store.units values (9, 2, 0, 'live', 0, 1, 0)")
    warehouse.execute(
        "insert into store.scorings values (9, 'sum', 2, 9, 2, 2, 1, 'linear', 'linear', '{}', '', ['a {}'], 40, 1,"
        " 0, 0, 0)"
    )
    warehouse.execute("insert into store.labels (scoring_id, unit, intercept) values (9, 0, $at)", at=INTERCEPT)
    terms = pl.DataFrame({"position": [0, 1, 2], "concept_id": [1, 2, 3], "weight": WEIGHTS})
    warehouse.insert("label_terms", terms, scoring_id=9, unit=0)
    return warehouse


def with_shape(warehouse: Warehouse, shape: str) -> list[float]:
    """What the label predicts where its signals have that shape."""
    parameters = json.dumps({"concepts": 3, "signal": shape})
    warehouse.execute("update store.scorings set parameters = $json where scoring_id = 9", json=parameters)
    return predictions(warehouse, layer="sum", setting=9)  # pyright: ignore[reportArgumentType]


def standardized(values: np.ndarray) -> np.ndarray:
    deviation = values.std(axis=0)
    return (values - values.mean(axis=0)) / np.where(deviation > 1e-5, deviation, np.inf)


COSINES = EMBEDDINGS.astype(np.float64) @ CONCEPTS.T
SIGNALS = {
    "cosine": standardized(COSINES),
    "cubed": standardized(standardized(COSINES) ** 3),
    "squared": standardized(standardized(COSINES).clip(0) ** 2),
    "sigmoid_clip": 1 / (1 + np.exp(-58 * (COSINES - 0.25))),
    "sigmoid_siglip": 1 / (1 + np.exp(-60 * (COSINES - 0.09))),
    "sigmoid_so400m": 1 / (1 + np.exp(-58 * (COSINES - 0.13))),
}


@pytest.mark.parametrize("shape", SIGNALS)
def test_a_sum_predicts_its_intercept_and_weighted_signals(sums: Warehouse, shape: str) -> None:
    expected = INTERCEPT + SIGNALS[shape] @ WEIGHTS
    np.testing.assert_allclose(with_shape(sums, shape), expected, atol=2e-5)
    found = simulated(sums, 0, layer="sum", setting=9)
    np.testing.assert_allclose(found["difference"].abs(), np.sort(abs(ACTIVATIONS - expected))[::-1], atol=2e-5)


def test_signals_without_an_intercept_are_put_on_the_line(sums: Warehouse) -> None:
    sums.execute("update store.labels set intercept = null where scoring_id = 9")
    signal = SIGNALS["squared"] @ WEIGHTS
    slope, _ = np.polyfit(signal, ACTIVATIONS, 1)
    expected = ACTIVATIONS.mean() + abs(slope) * (signal - signal.mean())
    np.testing.assert_allclose(with_shape(sums, "squared"), expected, atol=2e-5)


def test_where_no_embedding_is_looked_at_the_signal_is_the_images_own_label(sums: Warehouse) -> None:
    sums.execute("update store.scorings set encoder_id = null, prompts = null where scoring_id = 9")
    expected = [INTERCEPT + (WEIGHTS[0] if number % 4 == 0 else 0) for number in range(100, 140)]
    assert with_shape(sums, "labels") == pytest.approx(expected)
    # of a labeler without that parameter, too
    sums.execute("update store.scorings set parameters = '{}' where scoring_id = 9")
    found = simulated(sums, 0, layer="sum", setting=9)
    has_label = np.arange(100, 140) % 4 == 0
    slope = abs(ACTIVATIONS[has_label].mean() - ACTIVATIONS[~has_label].mean())
    expected = ACTIVATIONS.mean() + slope * (has_label - has_label.mean())
    np.testing.assert_allclose(found.sort("image_id")["predicted"], expected, atol=2e-5)


def test_hits_false_alarms_and_misses_are_counted_among_5_percent_of_the_images(sums: Warehouse) -> None:
    """Of 40 images, two. Images 100 and 101 are what the label has highest, 101 and 102 what the unit has."""
    activations = [0.0, 5.0, 6.0, *[1.0] * 37]
    for image_id, activation in zip(range(100, 140), activations, strict=True):
        sums.execute("update store.activations set activation = $a where image_id = $i", a=activation, i=image_id)
        cosine = {100: 0.9, 101: 0.8}.get(image_id, 0.1 - image_id / 10_000)
        vector = [cosine, float(np.sqrt(1 - cosine**2)), *[0.0] * 6]
        sums.execute(
            f"update store.image_embeddings set embedding = {vector}::float[] where image_id = $i",
            i=image_id,
        )
    sums.execute(f"update store.concept_embeddings set embedding = {[1.0, *[0.0] * 7]}::float[] where encoder_id = 2")
    with_shape(sums, "cosine")
    found = simulated(sums, 0, layer="sum", setting=9).drop_nulls("outcome").sort("image_id")
    assert found.select("image_id", "outcome").rows() == [(100, "false alarm"), (101, "hit"), (102, "miss")]


# --- where nothing is predicted


def test_units_that_are_not_live_are_not_predicted(warehouse: Warehouse) -> None:
    """Unit 2 of alpha early is dead, unit 1 of beta head not finite."""
    assert simulated(warehouse, 2, layer="early", setting=1).is_empty()
    assert simulated(warehouse, 1, "beta", "head").is_empty()
    # as an imported label has a unit that is dead over the images here
    warehouse.execute("insert into store.label_terms values (1, 2, 0, 1, 1, null)")
    assert simulated(warehouse, 2, layer="early", setting=1).is_empty()


@pytest.mark.parametrize(
    "lost",
    [
        "delete from store.image_embeddings",
        "delete from store.concept_embeddings where concept_id = 2",
        "delete from store.label_terms",
        "delete from store.activations",
        "update store.scorings set images = 0; delete from store.judgements",
    ],
)
def test_without_embeddings_activations_or_a_label_there_are_no_rows(warehouse: Warehouse, lost: str) -> None:
    assert simulated(warehouse, 0).height == 4
    for statement in lost.split("; "):
        warehouse.execute(statement)
    assert simulated(warehouse, 0).is_empty()


def test_a_sum_of_which_one_concept_is_not_known_predicts_nothing(sums: Warehouse) -> None:
    sums.execute("delete from store.concept_embeddings where encoder_id = 2 and concept_id = 3")
    assert with_shape(sums, "cosine") == []


def test_images_that_could_not_be_read_are_not_predicted(warehouse: Warehouse) -> None:
    assert "broken.png" not in simulated(warehouse, 0)["image"].to_list()


def test_figures_that_came_with_labels_say_by_no_images_what_these_predict(warehouse: Warehouse) -> None:
    warehouse.execute("update store.scorings set images = 0 where scoring_id = 5")
    assert simulated(warehouse, 0).height == 4  # its judgement names probe and encoder
    insert_judgement(warehouse, Judgement(5), pl.DataFrame({"unit": [0], "correlation": [0.5]}))
    assert simulated(warehouse, 0).is_empty()


@pytest.fixture
def masks(tmp_path: Path) -> Iterator[Warehouse]:
    """Labels by masks, setting 9."""
    with small_masks.build(tmp_path / "masks.duckdb") as built:
        yield built


@pytest.mark.parametrize(
    ("terms", "shares"),
    [
        # of image 1 dog is 60 and 10 of 100 pixels, dotted the 10; image 2 is a cat, 3 dotted and a kitchen, 4 kitchens
        ([(None, 1)], [0.7, 0, 0, 0]),
        ([(None, 1), ("or", 2)], [0.7, 1, 0, 0]),
        ([(None, 1), ("and", 3)], [0.1, 0, 0, 0]),
        ([(None, 1), ("or", 2), ("and not", 3)], [0.6, 1, 0, 0]),
        ([(None, 7), ("or", 8), ("and not", 3)], [0, 0, 0, 1]),
        ([(None, 3), ("and", 8), ("or", 7)], [0, 0, 1, 0.5]),
    ],
)
def test_a_label_by_masks_predicts_by_the_share_of_the_image_that_shows_it(
    masks: Warehouse, terms: list[tuple[str | None, int]], shares: list[float]
) -> None:
    """Put on the activations' line, upwards, as the cosines of a concept are."""
    masks.execute("delete from store.label_terms where scoring_id = 9 and unit = 0")
    for position, (operator, concept) in enumerate(terms):
        row = {"position": position, "concept": concept, "operator": operator}
        masks.execute("insert into store.label_terms values (9, 0, $position, $concept, 1, $operator)", **row)
    activations = [1, 0, 0, 0]
    slope, _ = np.polyfit(shares, activations, 1)
    expected = np.mean(activations) + abs(slope) * (np.array(shares) - np.mean(shares))
    np.testing.assert_allclose(predictions(masks, unit=0, layer="late", setting=9), expected, atol=1e-5)  # pyright: ignore[reportArgumentType]
