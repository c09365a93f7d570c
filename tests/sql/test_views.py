"""The views and named queries on the small warehouse; every answer is worked out by hand.

`small_warehouse.py` has the labels in words. A test that needs more than a count says how it comes about.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import small_warehouse

from neuronlake import NeuronlakeError
from neuronlake.sql import catalog
from neuronlake.sql.warehouse import Warehouse


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    folder: Path = tmp_path_factory.mktemp("small")
    with small_warehouse.build(folder / "small.duckdb") as built:
        yield built


def rounded(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Floats to five digits, for the warehouse stores single precision."""
    return [tuple(round(value, 5) if isinstance(value, float) else value for value in row) for row in rows]


def select(warehouse: Warehouse, query: str) -> list[tuple[Any, ...]]:
    return rounded(warehouse.sql(query).fetchall())


def ask(warehouse: Warehouse, name: str, columns: str, **parameters: str) -> list[tuple[Any, ...]]:
    """Some columns of the answer to a named query, in its own order."""
    frame = warehouse.query(name, **parameters).pl().select(columns.split(", "))
    return rounded(frame.rows())


# --- views


CONTRACT = {
    "unit_labels": "scoring, model, layer, unit, concept, category, similarity, runner_up, margin, p_value, q_value, "
    "method, encoder, concept_set, probe",
    "concept_frequency": "scoring, model, layer, concept, category, units, share, rank",
    "term_frequency": "scoring, model, layer, concept, category, units, first, negative, share, rank, mean_weight, "
    "mean_share, held, method, encoder, concept_set, probe",
    "model_concepts": "model, concept, category, units, layers, rank, method, encoder, concept_set, probe",
    "shared_concepts": "concept, category, models, model_names, units, method, encoder, concept_set, probe",
    "model_overlap": "model_a, model_b, layer, shared, only_a, only_b, jaccard, method, encoder, concept_set, probe",
    "layer_summary": "scoring, model, layer, position, units, labelled, dead, concepts, top_concept, top_units, "
    "mean_similarity, significant",
    "category_by_layer": "scoring, model, layer, category, units, share",
    "top_images": "model, layer, unit, rank, probe, image, label, activation",
    "activations": "model, layer, unit, probe, image, activation",
    "similarities": "scoring, model, layer, unit, concept, similarity",
    "image_concepts": "probe, image, concept, cosine, encoder",
    "runs": "run, started, finished, status, command, device, versions, images, failed_images, extract_seconds, "
    "load_seconds, score_seconds",
}


@pytest.mark.parametrize("view", CONTRACT)
def test_the_contract_columns_are_there(warehouse: Warehouse, view: str) -> None:
    assert warehouse.sql(f"select {CONTRACT[view]} from {view}").fetchall()


@pytest.mark.parametrize("view", [view.name for view in catalog.views()])
def test_every_documented_column_exists(warehouse: Warehouse, view: str) -> None:
    documented = next(each.column_comments for each in catalog.views() if each.name == view)
    assert set(documented) <= set(warehouse.sql(f"select * from {view} limit 0").columns)


def test_scorings_of_layers_under_the_same_settings_share_a_setting(warehouse: Warehouse) -> None:
    assert select(
        warehouse,
        "select scoring, setting, model, layer, method, encoder, concept_set, units, images, concepts"
        " from scorings order by scoring",
    ) == [
        (1, 1, "alpha", "early", "soft_wpmi", "tiny", "words", 3, 4, 6),
        (2, 1, "alpha", "late", "soft_wpmi", "tiny", "words", 4, 4, 6),
        (3, 1, "beta", "early", "soft_wpmi", "tiny", "words", 3, 4, 6),
        (4, 1, "beta", "head", "soft_wpmi", "tiny", "words", 3, 4, 6),
        (5, 5, "alpha", "late", "cos_similarity", "tiny", "few", 4, 4, 2),
        (6, 5, "beta", "head", "cos_similarity", "tiny", "few", 3, 4, 2),
    ]


def test_settings_that_differ_in_a_parameter_alone_are_different(tmp_path: Path) -> None:
    """The method's display rounds its parameters; identity must not."""
    with small_warehouse.build(tmp_path / "w.duckdb") as changed:
        changed.execute("""update store.scorings set parameters = '{"lam": 0.60000001}' where scoring_id = 6""")
        assert select(changed, "select scoring, setting from scorings where scoring > 4 order by 1") == [(5, 5), (6, 6)]


def test_unit_labels_has_a_row_for_every_unit_of_a_scoring(warehouse: Warehouse) -> None:
    assert select(
        warehouse,
        "select layer, unit, concept, category, similarity, runner_up, margin, q_value, is_significant, status"
        " from unit_labels where scoring in (1, 2) order by scoring, unit",
    ) == [
        ("early", 0, "dotted", "texture", 0.9, "dots", 0.1, 0.003, True, "live"),
        ("early", 1, "dotted", "texture", 0.7, "cat", 0.2, 0.03, True, "live"),
        ("early", 2, None, None, None, None, None, None, None, "dead"),
        ("late", 0, "dog", "object", 0.6, "cat", 0.2, 0.01, True, "live"),
        ("late", 1, "dog", "object", 0.5, "sky", 0.0, 0.2, False, "live"),
        ("late", 2, "cat", "object", 0.8, "dog", 0.7, 0.01, True, "live"),
        ("late", 3, "mystery", "none", 0.4, "cat", 0.1, 0.5, False, "live"),
    ]


def test_without_q_values_nothing_is_said_of_significance(tmp_path: Path) -> None:
    with small_warehouse.build(tmp_path / "small.duckdb") as built:
        built.execute("update store.labels set p_value = null, q_value = null where scoring_id = 1")
        for view in ("concept_frequency", "layer_summary"):
            answer = (
                "select distinct scoring, significant is null, held is null"
                f" from {view} where scoring in (1, 2) order by 1"
            )
            assert select(built, answer) == [(1, True, True), (2, False, False)]
        answer = "select distinct is_significant from unit_labels where scoring = 1"
        assert select(built, answer) == [(None,)]


def test_a_category_is_that_of_the_scorings_own_concept_set(warehouse: Warehouse) -> None:
    """dog is an object in the set words, and in no category in the set few."""
    assert select(
        warehouse,
        "select scoring, unit, category from unit_labels where concept = 'dog' and layer = 'head' order by all",
    ) == [(4, 0, "object"), (6, 0, "none"), (6, 2, "none")]


def test_a_concept_keeps_the_sets_that_it_was_joined_from(tmp_path: Path) -> None:
    with small_warehouse.build(tmp_path / "small.duckdb") as built:
        built.execute(
            "update store.concept_set_concepts set sets = ['words', 'animals']"
            " where concept_set_id = 1 and position = 1"
        )
        answer = "select concept_set, position, concept, category, sets from concepts where concept in ('dog', 'cat')"
        assert select(built, f"{answer} order by all") == [
            ("few", 0, "dog", "none", ["few"]),
            ("few", 1, "cat", "object", ["few"]),
            ("words", 0, "dog", "object", ["words"]),
            ("words", 1, "cat", "object", ["words", "animals"]),
        ]


def test_a_unit_that_is_not_finite_has_no_label(warehouse: Warehouse) -> None:
    assert select(
        warehouse, "select scoring, unit, concept, category, status from unit_labels where status = 'not finite'"
    ) == [(4, 1, None, None, "not finite"), (6, 1, None, None, "not finite")]


def test_concept_frequency_shares_are_of_all_units_and_ties_share_a_rank(warehouse: Warehouse) -> None:
    assert select(
        warehouse,
        "select scoring, concept, category, units, share, rank, mean_similarity, significant, held"
        " from concept_frequency order by scoring, rank, concept",
    ) == [
        (1, "dotted", "texture", 2, 0.66667, 1, 0.8, 2, 2),
        (2, "dog", "object", 2, 0.5, 1, 0.55, 1, 1),
        (2, "cat", "object", 1, 0.25, 2, 0.8, 1, 1),
        (2, "mystery", "none", 1, 0.25, 2, 0.4, 0, 0),
        (3, "cat", "object", 2, 0.66667, 1, 0.5, 1, 1),
        (3, "dots", "texture", 1, 0.33333, 2, 0.9, 1, 1),
        (4, "cat", "object", 1, 0.33333, 1, 0.5, 1, 1),
        (4, "dog", "object", 1, 0.33333, 1, 0.7, 1, 1),
        (5, "cat", "object", 3, 0.75, 1, 0.5, 3, 2),  # judged: confidence decides, not q
        (5, "dog", "none", 1, 0.25, 2, 0.2, 1, 1),
        (6, "dog", "none", 2, 0.66667, 1, 0.275, 2, 1),
    ]


def test_model_concepts_counts_over_layers_within_a_setting(warehouse: Warehouse) -> None:
    assert select(
        warehouse,
        "select setting, model, concept, units, layers, rank, significant, held from model_concepts"
        " order by setting, model, rank, concept",
    ) == [
        (1, "alpha", "dog", 2, 1, 1, 1, 1),
        (1, "alpha", "dotted", 2, 1, 1, 2, 2),
        (1, "alpha", "cat", 1, 1, 3, 1, 1),
        (1, "alpha", "mystery", 1, 1, 3, 0, 0),
        (1, "beta", "cat", 3, 2, 1, 2, 2),  # two units of early and one of head
        (1, "beta", "dog", 1, 1, 2, 1, 1),
        (1, "beta", "dots", 1, 1, 2, 1, 1),
        (5, "alpha", "cat", 3, 1, 1, 3, 2),
        (5, "alpha", "dog", 1, 1, 2, 1, 1),
        (5, "beta", "dog", 2, 1, 1, 2, 1),
    ]


def test_shared_concepts_never_adds_up_settings(warehouse: Warehouse) -> None:
    """alpha learned cat under both settings and beta under the first alone; dog is shared under each of the two."""
    assert select(
        warehouse,
        "select setting, concept, category, models, model_names, units, fewest, method, held, held_models"
        " from shared_concepts order by setting, concept",
    ) == [
        (1, "cat", "object", 2, "alpha, beta", 4, 1, "soft_wpmi", 3, 2),
        (1, "dog", "object", 2, "alpha, beta", 3, 1, "soft_wpmi", 2, 2),
        (5, "dog", "none", 2, "alpha, beta", 3, 1, "cos_similarity", 2, 2),
    ]


def test_layer_overlap_compares_each_pair_of_layers_of_two_models_once(warehouse: Warehouse) -> None:
    assert select(
        warehouse,
        "select setting, model_a, layer_a, model_b, layer_b, shared, only_a, only_b, jaccard from layer_overlap"
        " order by setting, position_a, position_b",
    ) == [
        (1, "alpha", "early", "beta", "early", 0, 1, 2, 0.0),
        (1, "alpha", "early", "beta", "head", 0, 1, 2, 0.0),
        (1, "alpha", "late", "beta", "early", 1, 2, 1, 0.25),  # cat of dog, cat, mystery, dots
        (1, "alpha", "late", "beta", "head", 2, 1, 0, 0.66667),
        (5, "alpha", "late", "beta", "head", 1, 1, 0, 0.5),
    ]


def test_layers_are_compared_by_labels_that_hold_too(tmp_path: Path) -> None:
    """late: dog - cat -, against early: dots cat -, and head: dog - cat."""
    columns = "layer_a, layer_b, held_shared, held_only_a, held_only_b, held_jaccard"
    answer = f"select {columns} from layer_overlap where setting = 1 order by position_a, position_b"
    with small_warehouse.build(tmp_path / "small.duckdb") as warehouse:
        assert select(warehouse, answer) == [
            ("early", "early", 0, 1, 2, 0.0),
            ("early", "head", 0, 1, 2, 0.0),
            ("late", "early", 1, 1, 1, 0.33333),
            ("late", "head", 2, 0, 0, 1.0),
        ]
        same_name = "select layer, held_shared, held_only_a, held_only_b, held_jaccard from model_overlap"
        assert select(warehouse, same_name) == [("early", 0, 1, 2, 0.0)]
        assert ask(warehouse, "layer_similarity", "layer_b, shared, only_a, jaccard", setting="1")[2:] == [
            ("early", 1, 1, 0.33333),
            ("head", 2, 0, 1.0),
        ]
        assert ask(warehouse, "layer_similarity", "layer_b, shared, only_a, jaccard", setting="1", all_labels="true")[
            2:
        ] == [("early", 1, 2, 0.25), ("head", 2, 1, 0.66667)]
        # where nothing is known of one layer, all labels are compared
        warehouse.execute("update store.labels set q_value = null where scoring_id = 2")
        assert select(warehouse, answer)[2:] == [("late", "early", *4 * [None]), ("late", "head", *4 * [None])]
        assert ask(warehouse, "layer_similarity", "layer_b, shared, only_a, jaccard", setting="1")[2:] == [
            ("early", 1, 2, 0.25),
            ("head", 2, 1, 0.66667),
        ]


def test_model_overlap_compares_layers_of_the_same_name(warehouse: Warehouse) -> None:
    assert select(
        warehouse, "select model_a, model_b, layer, shared, only_a, only_b, jaccard, setting from model_overlap"
    ) == [("alpha", "beta", "early", 0, 1, 2, 0.0, 1)]


def test_layer_summary_has_one_line_a_scoring(warehouse: Warehouse) -> None:
    assert select(
        warehouse,
        "select scoring, model, layer, position, units, labelled, dead, concepts, top_concept, top_units,"
        " mean_similarity, significant from layer_summary order by scoring",
    ) == [
        (1, "alpha", "early", 1, 3, 2, 1, 1, "dotted", 2, 0.8, 2),
        (2, "alpha", "late", 5, 4, 4, 0, 3, "dog", 2, 0.575, 2),
        (3, "beta", "early", 1, 3, 3, 0, 2, "cat", 2, 0.63333, 2),
        (4, "beta", "head", 9, 3, 2, 1, 2, "cat", 1, 0.6, 2),  # cat and dog tie: alphabetical order
        (5, "alpha", "late", 5, 4, 4, 0, 2, "cat", 3, 0.425, 4),
        (6, "beta", "head", 9, 3, 2, 1, 1, "dog", 2, 0.275, 2),
    ]


def test_category_by_layer_leaves_out_units_without_a_label(warehouse: Warehouse) -> None:
    assert select(
        warehouse, "select scoring, layer, category, units, share from category_by_layer order by scoring, category"
    ) == [
        (1, "early", "texture", 2, 1.0),
        (2, "late", "none", 1, 0.25),
        (2, "late", "object", 3, 0.75),
        (3, "early", "object", 2, 0.66667),
        (3, "early", "texture", 1, 0.33333),
        (4, "head", "object", 2, 1.0),
        (5, "late", "none", 1, 0.25),
        (5, "late", "object", 3, 0.75),
        (6, "head", "none", 2, 1.0),
    ]


def test_top_images_of_equal_activation_stand_in_the_order_of_the_probe(warehouse: Warehouse) -> None:
    assert select(
        warehouse,
        "select rank, image, label, activation, peak_x, peak_y, probe from top_images"
        " where model = 'alpha' and layer = 'early' and unit = 0 order by rank",
    ) == [
        (1, "b/three.png", "b", 3.0, 0.25, 0.75, "photos"),
        (2, "b/four.png", "b", 3.0, 0.25, 0.75, "photos"),
        (3, "a/two.png", "a", 2.0, 0.25, 0.75, "photos"),
        (4, "a/one.png", "a", 1.0, 0.25, 0.75, "photos"),
    ]


def test_activations_keep_what_was_not_finite_as_null(warehouse: Warehouse) -> None:
    assert select(warehouse, "select count(*), count(activation) from activations") == [(13 * 4, 13 * 4 - 1)]
    assert select(
        warehouse,
        "select image, activation, label, pooling from activations"
        " where model = 'beta' and layer = 'head' and unit = 1 order by image_id",
    ) == [
        ("a/one.png", 1.0, "a", "mean"),
        ("a/two.png", None, "a", "mean"),
        ("b/three.png", 2.0, "b", "mean"),
        ("b/four.png", 3.0, "b", "mean"),
    ]


def test_similarities_hold_all_concepts_of_the_set_for_live_units(warehouse: Warehouse) -> None:
    assert select(warehouse, "select scoring, count(*) from similarities group by all order by all") == [
        (1, 2 * 6),
        (2, 4 * 6),
        (3, 3 * 6),
        (4, 2 * 6),
        (5, 4 * 2),
        (6, 2 * 2),
    ]
    assert select(
        warehouse,
        "select model, layer, concept, similarity from similarities where scoring = 6 and unit = 2 order by concept",
    ) == [("beta", "head", "cat", 0.2), ("beta", "head", "dog", 0.25)]


def test_image_concepts_are_cosines(warehouse: Warehouse) -> None:
    assert select(
        warehouse,
        "select image, cosine, encoder, prompt from image_concepts where concept = 'dots' order by image_id",
    ) == [
        ("a/one.png", 0.28, "tiny", "{}"),
        ("a/two.png", 0.0, "tiny", "{}"),
        ("b/three.png", 0.96, "tiny", "{}"),
        ("b/four.png", 0.936, "tiny", "{}"),  # 0.6 x 0.28 + 0.8 x 0.96
    ]


def test_failed_images_have_their_reason(warehouse: Warehouse) -> None:
    assert select(warehouse, "select * from failed_images") == [
        ("photos", "broken.png", "not an image that can be read", None)
    ]


def test_runs_say_what_was_done(warehouse: Warehouse) -> None:
    assert select(
        warehouse,
        "select run, status, command, images, failed_images, extract_seconds, load_seconds, score_seconds from runs",
    ) == [(1, "finished", "cli ingest", 5, 1, 3.0, 2.0, 1.0), (2, "finished", "cli ingest", 0, 0, 3.0, 2.0, 1.0)]


# --- named queries


def test_every_named_query_answers_with_its_defaults(warehouse: Warehouse) -> None:
    needed = {"model": "alpha", "layer": "late", "unit": "0", "concept": "dog", "image": "one.png", "pattern": "(.)"}
    # of labels by masks and sums there are none here, nothing was compared, and no image is below the top ten
    without = {"near_synonyms", "duplicate_units", "polysemantic_units", "outlines_of_unit", "unique_detectors"}
    without |= {"changes_by_layer", "concepts_gained_and_lost", "most_changed_units", "images_in_bands"}
    for query in catalog.queries().values():
        given = {each.name: needed[each.name] for each in query.parameters if each.default is None}
        rows = warehouse.query(query.name, **given).fetchall()
        assert rows or query.name in without, query.name


def test_contents_says_how_far_each_layer_is_loaded(warehouse: Warehouse) -> None:
    assert ask(warehouse, "contents", "model, layer, units, images_loaded, images, is_complete, scorings") == [
        ("alpha", "early", 3, 4, 5, True, 1),
        ("alpha", "late", 4, 4, 5, True, 2),
        ("beta", "early", 3, 4, 5, True, 1),
        ("beta", "head", 3, 4, 5, True, 2),
    ]


def test_settings_lists_the_newest_first(warehouse: Warehouse) -> None:
    assert ask(warehouse, "settings", "setting, method, concept_set, models, layers") == [
        (5, "cos_similarity", "few", 2, 2),
        (1, "soft_wpmi", "words", 2, 4),
    ]


def test_recent_runs_lists_the_newest_first(warehouse: Warehouse) -> None:
    assert ask(warehouse, "recent_runs", "run, status", top="1") == [(2, "finished")]


def test_most_frequent_concepts_of_each_layer_break_ties_by_name(warehouse: Warehouse) -> None:
    assert ask(
        warehouse, "most_frequent_concepts", "model, layer, concept, units, share, rank", setting="1", top="1"
    ) == [
        ("alpha", "early", "dotted", 2, 0.66667, 1),
        ("alpha", "late", "dog", 2, 0.5, 1),
        ("beta", "early", "cat", 2, 0.66667, 1),
        ("beta", "head", "dog", 1, 0.33333, 1),  # as many as cat, with a higher mean similarity
    ]


def test_queries_take_the_newest_setting_where_none_is_given(warehouse: Warehouse) -> None:
    assert ask(warehouse, "most_learnt_concepts", "model, concept, units, rank") == [
        ("alpha", "cat", 3, 1),
        ("alpha", "dog", 1, 2),
        ("beta", "dog", 2, 1),
    ]


def test_most_repeated_concept_counts_labels_that_hold_and_names_all_that_tie(warehouse: Warehouse) -> None:
    columns = "model, concepts, counted, units"
    assert ask(warehouse, "most_repeated_concept", columns, setting="1") == [
        ("alpha", "dotted", 2, 2),
        ("beta", "cat", 2, 3),
    ]
    assert ask(warehouse, "most_repeated_concept", columns, setting="1", all_labels="true") == [
        ("alpha", "dog, dotted", 2, 2),
        ("beta", "cat", 3, 3),
    ]


def test_most_repeated_concept_names_five_and_counts_the_rest(tmp_path: Path) -> None:
    with small_warehouse.build(tmp_path / "small.duckdb") as warehouse:
        warehouse.execute("insert into store.labels (scoring_id, unit) values (5, 4), (5, 5)")
        warehouse.execute("delete from store.fidelities")
        warehouse.execute("delete from store.label_terms where scoring_id in (5, 6)")
        warehouse.execute(
            "insert into store.label_terms select scoring_id, unit, 0, unit + 1, 1, null from store.labels"
            " where scoring_id in (5, 6)"
        )
        assert ask(warehouse, "most_repeated_concept", "model, concepts, units") == [
            ("alpha", "cat, dog, dots, dotted, mystery and 1 more", 1),
            ("beta", "cat, dog, dotted", 1),
        ]


def test_judged_labels_are_counted_by_their_confidence_and_others_by_q(tmp_path: Path) -> None:
    """By q alone all labels of setting 5 would hold. Without either, they are all counted."""
    columns = "model, concept, counted, units, significant, held, rank"
    with small_warehouse.build(tmp_path / "small.duckdb") as warehouse:
        assert ask(warehouse, "most_learnt_concepts", columns) == [
            ("alpha", "cat", 2, 3, 3, 2, 1),
            ("alpha", "dog", 1, 1, 1, 1, 2),
            ("beta", "dog", 1, 2, 2, 1, 1),
        ]
        everything = ask(warehouse, "most_learnt_concepts", columns, all_labels="true")
        assert [row[2:4] for row in everything] == [(3, 3), (1, 1), (2, 2)]
        warehouse.execute("update store.fidelities set confidence = null")
        by_q = ask(warehouse, "most_learnt_concepts", columns)
        assert [row[2:6] for row in by_q] == [(3, 3, 3, 3), (1, 1, 1, 1), (2, 2, 2, 2)]
        warehouse.execute("update store.labels set q_value = null")
        assert [row[2:6] for row in ask(warehouse, "most_learnt_concepts", columns)] == [
            (3, 3, None, None),
            (1, 1, None, None),
            (2, 2, None, None),
        ]


def test_most_learnt_concepts_counts_labels_better_than_chance_where_none_was_judged(tmp_path: Path) -> None:
    """Of alpha's two dog and two dotted, one and two are better than chance."""
    with small_warehouse.build(tmp_path / "small.duckdb") as warehouse:
        columns = "concept, counted, units, rank"
        assert ask(warehouse, "most_learnt_concepts", columns, setting="1")[:4] == [
            ("dotted", 2, 2, 1),
            ("dog", 1, 2, 2),
            ("cat", 1, 1, 2),
            ("mystery", 0, 1, 4),
        ]
        assert ask(warehouse, "most_frequent_concepts", f"layer, {columns}", setting="1")[1:4] == [
            ("late", "dog", 1, 2, 1),
            ("late", "cat", 1, 1, 1),
            ("late", "mystery", 0, 1, 3),
        ]
        warehouse.execute("update store.labels set q_value = null")
        assert ask(warehouse, "most_learnt_concepts", columns, setting="1", top="2")[:2] == [
            ("dog", 2, 2, 1),
            ("dotted", 2, 2, 1),
        ]


def test_shared_concept_counts_puts_what_both_know_well_first(warehouse: Warehouse) -> None:
    columns = "place, concept, model, counted, units"
    assert ask(warehouse, "shared_concept_counts", columns, setting="1") == [
        (1, "cat", "alpha", 1, 1),
        (1, "cat", "beta", 2, 3),
        (2, "dog", "alpha", 1, 2),
        (2, "dog", "beta", 1, 1),
    ]
    everything = ask(warehouse, "shared_concept_counts", columns, setting="1", all_labels="true")
    assert [row[3] for row in everything] == [1, 3, 2, 1]
    assert len(ask(warehouse, "shared_concept_counts", columns, setting="1", top="1")) == 2


def test_a_concept_that_holds_in_one_model_alone_is_not_shared(tmp_path: Path) -> None:
    """Both have units labelled dog; that of beta no longer holds."""
    with small_warehouse.build(tmp_path / "small.duckdb") as warehouse:
        warehouse.execute("update store.labels set q_value = 0.5 where scoring_id = 4")
        assert {row[0] for row in ask(warehouse, "shared_concept_counts", "concept", setting="1")} == {"cat"}
        everything = ask(warehouse, "shared_concept_counts", "concept", setting="1", all_labels="true")
        assert {row[0] for row in everything} == {"cat", "dog"}
        answer = "select concept, models, held, held_models from shared_concepts where setting = 1 order by concept"
        assert select(warehouse, answer) == [("cat", 2, 2, 2), ("dog", 2, 1, 1)]


def test_unique_concepts_are_those_of_one_model_in_the_layers_that_both_have(warehouse: Warehouse) -> None:
    """Both have a layer early: dotted dotted, and dots cat cat. That alpha has a cat elsewhere counts no more."""
    columns = "model, concept, category, counted, units, significant, held, compared_layers, is_same_layers"
    assert ask(warehouse, "unique_concepts", columns, setting="1") == [
        ("alpha", "dotted", "texture", 2, 2, 2, 2, "early", True),
        ("beta", "cat", "object", 1, 2, 1, 1, "early", True),
        ("beta", "dots", "texture", 1, 1, 1, 1, "early", True),
    ]


def test_a_concept_that_holds_in_one_model_alone_is_its_own(tmp_path: Path) -> None:
    """Setting 5: both models have dog, of which alpha's holds no more; no label cat of beta is asked for."""
    with small_warehouse.build(tmp_path / "small.duckdb") as warehouse:
        warehouse.execute("update store.fidelities set confidence = 0.4 where scoring_id = 5 and unit = 3")
        assert ask(warehouse, "unique_concepts", "model, concept, counted, units") == [
            ("alpha", "cat", 2, 3),
            ("beta", "dog", 1, 2),
        ]
        assert ask(warehouse, "unique_concepts", "model, concept, counted", all_labels="true") == [("alpha", "cat", 3)]


def test_held_out_and_ceiling_has_a_row_for_each_judged_unit(warehouse: Warehouse) -> None:
    columns = "model, layer, unit, concept, held_out_correlation, ceiling, confidence, holds, judged"
    assert ask(warehouse, "held_out_and_ceiling", columns) == [
        ("alpha", "late", 0, "cat", 0.5, 0.6, 0.9, True, 4),
        ("alpha", "late", 1, "cat", 0.1, 0.4, 0.3, False, 4),
        ("alpha", "late", 2, "cat", 0.4, 0.5, 0.5, True, 4),
        ("alpha", "late", 3, "dog", 0.2, 0.3, 0.75, True, 4),
        ("beta", "head", 0, "dog", 0.0, 0.2, 0.25, False, 2),
        ("beta", "head", 2, "dog", 0.3, 0.4, 0.625, True, 2),
    ]
    assert ask(warehouse, "held_out_and_ceiling", columns, setting="1") == []


def test_of_too_many_judged_units_the_small_layers_stay_whole(tmp_path: Path) -> None:
    """Layers of 2 and of 100 judged units, 12 of them asked for: 2 of the one, 10 of the other, always the same."""
    with small_warehouse.build(tmp_path / "small.duckdb") as warehouse:
        warehouse.execute("update store.layers set model_id = 1 where layer_id = 4")
        for table in ("labels", "fidelities"):
            warehouse.execute(f"delete from store.{table} where scoring_id = 5")
        warehouse.execute("insert into store.labels (scoring_id, unit) select 5, range from range(100)")
        warehouse.execute(
            "insert into store.fidelities (scoring_id, unit, held_out_correlation, ceiling)"
            " select 5, range, 0.1, 0.2 from range(100)"
        )
        drawn = ask(warehouse, "held_out_and_ceiling", "layer, unit, judged", setting="5", top="12")
        assert [row[0] for row in drawn].count("head") == 2
        assert len(drawn) == 12
        assert {row[2] for row in drawn} == {102}
        assert ask(warehouse, "held_out_and_ceiling", "layer, unit, judged", setting="5", top="12") == drawn
        late = [unit for layer, unit, _ in drawn if layer == "late"]
        assert max(late) - min(late) > 50  # from all over the layer


def test_unique_concepts_of_models_without_a_layer_in_common_say_so(warehouse: Warehouse) -> None:
    columns = "model, concept, units, compared_layers, is_same_layers"
    assert ask(warehouse, "unique_concepts", columns, setting="5") == [("alpha", "cat", 3, "late", False)]


def test_units_for_concept_finds_words_in_either_case(warehouse: Warehouse) -> None:
    assert ask(warehouse, "units_for_concept", "model, layer, unit, concept", concept="DOTTED", setting="1") == [
        ("alpha", "early", 0, "dotted"),
        ("alpha", "early", 1, "dotted"),
    ]
    assert ask(warehouse, "units_for_concept", "concept", concept="dot", setting="1") == []


def test_units_for_concept_puts_the_most_likely_first_in_each_layer(warehouse: Warehouse) -> None:
    """By similarity alone unit 2, of 0.9, would come first."""
    columns = "model, layer, unit, similarity, held_out_correlation, confidence, holds"
    assert ask(warehouse, "units_for_concept", columns, concept="cat") == [
        ("alpha", "late", 0, 0.3, 0.5, 0.9, True),
        ("alpha", "late", 2, 0.9, 0.4, 0.5, True),
        ("alpha", "late", 1, 0.3, 0.1, 0.3, False),
    ]


@pytest.mark.parametrize("word", ["ärger", "C++", "dot", "Ärger (c++)-dot"])
def test_units_for_concept_finds_a_word_among_others(tmp_path: Path, word: str) -> None:
    with small_warehouse.build(tmp_path / "small.duckdb") as warehouse:
        warehouse.execute("update store.concepts set concept = 'Ärger (c++)-dot' where concept = 'dots'")
        assert ask(warehouse, "units_for_concept", "model, concept", concept=word, setting="1") == [
            ("beta", "Ärger (c++)-dot")
        ]
        assert ask(warehouse, "units_for_concept", "concept", concept="rger", setting="1") == []


def test_units_for_concept_finds_parts_of_words_that_are_asked_for(warehouse: Warehouse) -> None:
    assert ask(warehouse, "units_for_concept", "model, layer, unit, concept", concept="%DOT%", setting="1") == [
        ("alpha", "early", 0, "dotted"),
        ("alpha", "early", 1, "dotted"),
        ("beta", "early", 0, "dots"),
    ]


def test_units_for_concept_takes_no_other_character_for_a_wildcard(tmp_path: Path) -> None:
    with small_warehouse.build(tmp_path / "small.duckdb") as warehouse:
        for asked in ("d_g", "d_%", r"d\%", "_at"):
            assert ask(warehouse, "units_for_concept", "concept", concept=asked, setting="1") == [], asked
        for text in ("d_ts", r"d\ts"):
            warehouse.execute("update store.concepts set concept = $text where concept_id = 4", text=text)
            for asked in (text, text[:2] + "%", "%" + text[1:]):
                assert ask(warehouse, "units_for_concept", "concept", concept=asked, setting="1") == [(text,)], asked


def test_concepts_for_unit_breaks_ties_by_name(warehouse: Warehouse) -> None:
    given = {"model": "alpha", "layer": "late", "unit": "1"}
    assert ask(warehouse, "concepts_for_unit", "concept, similarity, method", setting="1", top="3", **given) == [
        ("dog", 0.5, "soft_wpmi"),
        ("sky", 0.5, "soft_wpmi"),
        ("mystery", 0.3, "soft_wpmi"),
    ]
    assert ask(warehouse, "concepts_for_unit", "concept, similarity, method", **given) == [
        ("cat", 0.3, "cos_similarity"),
        ("dog", 0.1, "cos_similarity"),
    ]


def test_top_images_for_unit_stops_at_top(warehouse: Warehouse) -> None:
    given = {"model": "beta", "layer": "early", "unit": "1", "top": "2"}
    assert ask(warehouse, "top_images_for_unit", "rank, image, activation", **given) == [
        (1, "b/four.png", 4.0),
        (2, "b/three.png", 3.0),
    ]


def test_layer_progression_goes_from_early_to_late(warehouse: Warehouse) -> None:
    assert ask(
        warehouse,
        "layer_progression",
        "model, layer, labelled, dead, significant_share, concepts, texture, object, scene, none",
        setting="1",
    ) == [
        ("alpha", "early", 2, 1, 1.0, 1, 1.0, 0.0, 0.0, 0.0),
        ("alpha", "late", 4, 0, 0.5, 3, 0.0, 0.75, 0.0, 0.25),
        ("beta", "early", 3, 0, 0.66667, 2, 0.33333, 0.66667, 0.0, 0.0),
        ("beta", "head", 2, 1, 1.0, 2, 0.0, 1.0, 0.0, 0.0),
    ]


def test_layer_progression_has_the_means_of_what_was_judged(warehouse: Warehouse) -> None:
    columns = "layer, held, held_share, mean_held_out_correlation, mean_ceiling, mean_confidence"
    assert ask(warehouse, "layer_progression", columns) == [
        ("late", 3, 0.75, 0.3, 0.45, 0.6125),
        ("head", 1, 0.5, 0.15, 0.3, 0.4375),
    ]
    assert ask(warehouse, "layer_progression", columns, setting="1")[1] == ("late", 2, 0.5, None, None, None)


def test_category_mix_is_category_by_layer_of_one_setting(warehouse: Warehouse) -> None:
    assert ask(warehouse, "category_mix", "model, layer, category, units, share", setting="5") == [
        ("alpha", "late", "none", 1, 0.25),
        ("alpha", "late", "object", 3, 0.75),
        ("beta", "head", "none", 2, 1.0),
    ]


def test_layer_similarity_is_layer_overlap_of_one_setting(warehouse: Warehouse) -> None:
    assert ask(warehouse, "layer_similarity", "layer_a, layer_b, shared, jaccard", setting="5") == [
        ("late", "head", 1, 0.5)
    ]


def test_unit_cards_bring_a_units_pictures_along(warehouse: Warehouse) -> None:
    assert ask(
        warehouse, "unit_cards", "model, unit, concept, category, status, image_ids", setting="5", images="2"
    ) == [
        ("alpha", 0, "cat", "object", "live", [1, 2]),
        ("alpha", 1, "cat", "object", "live", [2, 1]),
        ("alpha", 2, "cat", "object", "live", [3, 1]),
        ("alpha", 3, "dog", "none", "live", [4, 1]),
        ("beta", 0, "dog", "none", "live", [1, 2]),
        ("beta", 1, None, None, "not finite", [4, 3]),
        ("beta", 2, "dog", "none", "live", [2, 3]),
    ]


def test_unit_images_names_the_images_of_each_unit_best_first(warehouse: Warehouse) -> None:
    assert ask(warehouse, "unit_images", "model, unit, concept, images", setting="5", images="2") == [
        ("alpha", 0, "cat", ["a/one.png", "a/two.png"]),
        ("alpha", 1, "cat", ["a/two.png", "a/one.png"]),
        ("alpha", 2, "cat", ["b/three.png", "a/one.png"]),
        ("alpha", 3, "dog", ["b/four.png", "a/one.png"]),
        ("beta", 0, "dog", ["a/one.png", "a/two.png"]),
        ("beta", 1, None, ["b/four.png", "b/three.png"]),
        ("beta", 2, "dog", ["a/two.png", "b/three.png"]),
    ]
    assert {str(images) for (images,) in ask(warehouse, "unit_images", "images", images="0")} == {"[]"}


def test_scored_units_lists_the_units_of_each_scoring(warehouse: Warehouse) -> None:
    assert ask(warehouse, "scored_units", "scoring, setting, model, layer, units") == [
        (1, 1, "alpha", "early", [0, 1, 2]),
        (2, 1, "alpha", "late", [0, 1, 2, 3]),
        (3, 1, "beta", "early", [0, 1, 2]),
        (4, 1, "beta", "head", [0, 1, 2]),
        (5, 5, "alpha", "late", [0, 1, 2, 3]),
        (6, 5, "beta", "head", [0, 1, 2]),
    ]


def test_descriptions_are_in_the_order_of_the_layers(warehouse: Warehouse) -> None:
    assert ask(warehouse, "descriptions", "layer, unit, description, similarity", model="beta", setting="1") == [
        ("early", 0, "dots", 0.9),
        ("early", 1, "cat", 0.6),
        ("early", 2, "cat", 0.4),
        ("head", 0, "dog", 0.7),
        ("head", 1, None, None),
        ("head", 2, "cat", 0.5),
    ]


def test_label_agreement_compares_units_that_both_settings_label(warehouse: Warehouse) -> None:
    """late: dog dog cat mystery and cat cat cat dog agree on one of four; head: dog cat and dog dog on one of two.

    By chance: late 2/4 x 1/4 (dog) + 1/4 x 3/4 (cat) = 5/16, so kappa is (4/16 - 5/16) / (11/16);
    head 1/2 x 1 (dog) = 1/2, so kappa is 0.
    """
    columns = "setting_a, setting_b, model, layer, units, same, share, kappa, method_a, method_b"
    expected = [
        (1, 5, "alpha", "late", 4, 1, 0.25, -0.09091, "soft_wpmi", "cos_similarity"),
        (1, 5, "beta", "head", 2, 1, 0.5, 0.0, "soft_wpmi", "cos_similarity"),
    ]
    assert ask(warehouse, "label_agreement", columns) == expected
    assert ask(warehouse, "label_agreement", columns, setting="5") == expected
    assert ask(warehouse, "label_agreement", columns, setting="soft_wpmi") == expected
    with pytest.raises(NeuronlakeError, match=r"has no setting 7; it has 5 \(cos_similarity\), 1 \(soft_wpmi\)"):
        ask(warehouse, "label_agreement", columns, setting="7")


def test_label_agreement_says_how_near_the_words_are(warehouse: Warehouse) -> None:
    """late: dog and cat twice 0, cat and cat 1, mystery and dog 0.6; head: dog and dog 1, cat and dog 0."""
    assert ask(warehouse, "label_agreement", "layer, mean_cosine, cosine_units, cosine_encoder") == [
        ("late", 0.4, 4, "tiny"),
        ("head", 0.5, 2, "tiny"),
    ]


def test_similar_units_share_images_for_which_both_fire(warehouse: Warehouse) -> None:
    """beta's early unit 0 is twice alpha's, and both are above their mean for images 3 and 4.

    Its unit 1, 1 2 3 4, is above its mean for the same two; corr([1, 2, 3, 3], [1, 2, 3, 4]) is 0.94388.
    """
    columns = "model_a, layer_a, unit_a, model_b, layer_b, unit_b, shared_images, correlation"
    answer = ask(warehouse, "similar_units", columns)
    assert answer[:2] == [
        ("alpha", "early", 0, "beta", "early", 0, 2, 1.0),
        ("alpha", "early", 0, "beta", "early", 1, 2, 0.94388),
    ]
    assert ("alpha", "late", 0, "beta", "head", 0, 1, 1.0) in answer
    assert not [row for row in answer if row[:3] == ("alpha", "early", 2)]  # dead
    assert not [row for row in answer if row[3:6] == ("beta", "head", 1)]  # not finite
    assert ask(warehouse, "similar_units", columns, model_a="beta", model_b="alpha", top="1") == answer[:1]
    assert ask(warehouse, "similar_units", columns, model_a="alpha", model_b="gamma") == []


def test_duplicate_units_correlate_within_a_layer(tmp_path: Path) -> None:
    """A fourth unit of beta's early layer is made ten times its unit 1."""
    with small_warehouse.build(tmp_path / "w.duckdb") as changed:
        for table, value in (("activations", "10 * activation"), ("top_images", "10 * activation")):
            changed.execute(
                f"insert into store.{table} select * replace (3 as unit, {value} as activation)"
                f" from store.{table} where layer_id = 3 and unit = 1"
            )
        changed.execute(
            "insert into store.units select * replace (3 as unit) from store.units where layer_id = 3 and unit = 1"
        )
        columns = "model, layer, unit_a, unit_b, shared_images, correlation"
        assert ask(changed, "duplicate_units", columns, least="0.99") == [("beta", "early", 1, 3, 2, 1.0)]


def test_image_profile_puts_units_at_their_maximum_first(warehouse: Warehouse) -> None:
    """For image 2 alpha's early unit 1, 3 of 4 3 2 1, stands at (3 - 2.5) / (4 - 2.5)."""
    answer = ask(warehouse, "image_profile", "model, layer, unit, excitement, concept", image="two.png", setting="1")
    assert answer[:3] == [
        ("alpha", "late", 1, 1.0, "dog"),
        ("beta", "head", 2, 1.0, "cat"),
        ("alpha", "early", 1, 0.33333, "dotted"),
    ]
    assert len(answer) == 2 + 4 + 3 + 2  # the live units of the four layers


def test_near_synonyms_show_what_merging_gives(warehouse: Warehouse) -> None:
    """The cosine of dotted and dots is 0.96; alpha has two units of the one, beta one of the other."""
    columns = "model, concept_a, concept_b, cosine, units_a, units_b, units_merged"
    assert ask(warehouse, "near_synonyms", columns, setting="1") == [
        ("alpha", "dots", "dotted", 0.96, 0, 2, 2),
        ("beta", "dots", "dotted", 0.96, 1, 0, 1),
    ]
    assert ask(warehouse, "near_synonyms", columns, setting="1", least="0.97") == []
    merged = ask(warehouse, "near_synonyms", columns, setting="1", least="0.8")
    assert ("alpha", "cat", "mystery", 0.8, 1, 1, 2) in merged


def test_an_unknown_name_gets_near_names(warehouse: Warehouse) -> None:
    with pytest.raises(NeuronlakeError, match="did you mean unit_labels"):
        warehouse.ask("unit_labls", {})


def test_a_missing_parameter_is_named_with_what_it_is(warehouse: Warehouse) -> None:
    with pytest.raises(NeuronlakeError, match=r"needs concept, the concept, .* such as %dot%; add concept=VALUE"):
        warehouse.query("units_for_concept")


def test_an_unknown_parameter_is_answered_with_those_there_are(warehouse: Warehouse) -> None:
    with pytest.raises(NeuronlakeError, match="has no parameter 'tpo'; it takes setting, all_labels, top"):
        warehouse.query("most_frequent_concepts", tpo="3")
