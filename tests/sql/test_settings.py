"""Which setting is shown: that of the scoring made last, or the one that was asked for; and every answer says which."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest
import small_warehouse

import neuronlake
from neuronlake import NeuronlakeError
from neuronlake.ingest.find import FindError, find_units
from neuronlake.ingest.importers.label_files import ImportOptions
from neuronlake.ingest.importers.labels import import_labels
from neuronlake.ingest.recipe import Recipe
from neuronlake.reports.exports.descriptions import export_descriptions
from neuronlake.reports.pictures import write_charts
from neuronlake.reports.units.card import UnitError, read_unit
from neuronlake.sql import catalog
from neuronlake.sql.settings import chosen_setting, setting_note, views_by_setting
from neuronlake.sql.warehouse import Warehouse

CLI = Path(sys.executable).parent / "cli"
FIRST = "setting 1: soft_wpmi, concepts words, encoder tiny, images photos, mean pooling"
SECOND = "setting 5: cos_similarity, concepts few, encoder tiny, images photos, mean pooling"


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    """Settings 1 (soft_wpmi) and 5 (cos_similarity), which is the newest."""
    with small_warehouse.build(tmp_path / "w.duckdb") as built:
        yield built


def score_another_layer_under_the_first_setting(warehouse: Warehouse) -> None:
    """As an ingest of one more layer does after a `cli score` with another method."""
    warehouse.execute(
        "insert into store.layers values (5, 2, 'tail', 'layer 5', 12, 1, 'mean', null, 'float32', false)"
    )
    warehouse.execute(
        "insert into store.scorings select * replace (7 as scoring_id, 'scoring 7' as fingerprint, 5 as layer_id,"
        " 1 as units, 2 as run_id) from store.scorings where scoring_id = 1"
    )
    warehouse.execute(
        "insert into store.labels (scoring_id, unit, similarity, runner_up_id, runner_up_similarity, p_value, q_value)"
        " values (7, 0, 0.5, 1, 0.25, 0.005, 0.01)"
    )
    warehouse.execute("insert into store.label_terms values (7, 0, 0, 5, 1, null)")


def another_setting_of(warehouse: Warehouse, method: str) -> None:
    """Scoring 7, of alpha's late layer."""
    warehouse.execute(
        "insert into store.scorings select * replace (7 as scoring_id, 'scoring 7' as fingerprint, $method as method)"
        " from store.scorings where scoring_id = 5",
        method=method,
    )


# --- the newest


def test_the_newest_setting_is_that_of_the_scoring_made_last(warehouse: Warehouse, tmp_path: Path) -> None:
    assert chosen_setting(warehouse).number == 5
    score_another_layer_under_the_first_setting(warehouse)
    assert chosen_setting(warehouse).number == 1
    assert warehouse.sql("from newest_setting").fetchall() == [(1,)]
    assert [row[0] for row in warehouse.query("settings").fetchall()] == [1, 5]
    card = read_unit(warehouse, "beta", "tail", 0)
    assert (card.label["concept"], card.setting.number) == ("sky", 1)
    (_, beta) = export_descriptions(warehouse, tmp_path / "descriptions")
    assert "tail,0,sky,0.5" in beta.read_text()
    write_charts(warehouse, tmp_path / "charts", "csv")
    assert "tail" in pl.read_csv(tmp_path / "charts" / "layers-concepts.csv")["layer"].to_list()


def test_another_layer_after_other_scores_is_what_is_shown(
    tiny_warehouse: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    with neuronlake.open(shutil.copy(tiny_warehouse, tmp_path / "copy.duckdb")) as warehouse:
        neuronlake.score(warehouse, method="cos_similarity", layers="fc")
        assert chosen_setting(warehouse).method == "cos_similarity"
        neuronlake.ingest(warehouse, dataclasses.replace(tiny_recipe, layers=("layer4",)))
        assert read_unit(warehouse, "resnet18-imagenet", "layer4", 0).setting.method == "soft_wpmi(top_k=5)"
        assert warehouse.query("layer_progression").pl()["layer"].to_list() == ["layer3", "layer4", "fc"]
        # what is there already is not scored again, so nothing is newer
        assert neuronlake.score(warehouse, method="cos_similarity", layers="fc").scored_layers == 0
        assert chosen_setting(warehouse).method == "soft_wpmi(top_k=5)"


def test_every_named_query_shows_the_newest_setting_where_none_is_given(warehouse: Warehouse) -> None:
    score_another_layer_under_the_first_setting(warehouse)
    asked = {"model": "alpha", "layer": "late", "unit": "0", "concept": "%", "image": "two.png"}
    of_one_setting = [query for query in catalog.queries().values() if "newest_setting" in query.body]
    assert len(of_one_setting) > 15
    for query in of_one_setting:
        given = {each.name: asked[each.name] for each in query.parameters if each.default is None}
        newest = warehouse.query(query.name, **given).fetchall()
        assert newest == warehouse.query(query.name, setting="1", **given).fetchall(), query.name


def test_a_warehouse_without_scorings_has_no_newest_setting(tmp_path: Path) -> None:
    with neuronlake.open(tmp_path / "w.duckdb") as warehouse:
        assert warehouse.sql("from newest_setting").fetchall() == [(None,)]
        assert warehouse.query("most_learnt_concepts").fetchall() == []
        with pytest.raises(NeuronlakeError, match=r"holds no scoring yet; run `cli ingest --warehouse .*` first"):
            warehouse.query("most_learnt_concepts", setting="1")


def test_a_file_with_the_views_of_an_older_version_is_read_with_ours(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    small_warehouse.build(path).close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("drop view newest_setting")
        connection.execute("create or replace view scorings as select * from store.scorings")
        connection.execute("comment on table store.migrations is 'older views'")
    before = path.read_bytes()
    with neuronlake.open(path, write=False) as warehouse:
        assert warehouse.query("most_repeated_concept").fetchall() == [("alpha", "cat", 3, 2), ("beta", "dog", 2, 1)]
    assert path.read_bytes() == before
    with neuronlake.open(path) as warehouse:
        assert warehouse.sql("select setting from newest_setting").fetchall() == [(5,)]


# --- the one that was asked for


@pytest.mark.parametrize("chosen", [1, "1", "soft_wpmi"])
def test_a_setting_is_chosen_by_its_number_or_its_method(
    warehouse: Warehouse, tmp_path: Path, chosen: int | str
) -> None:
    assert str(chosen_setting(warehouse, chosen)) == FIRST
    assert read_unit(warehouse, "alpha", "late", 0, chosen).label["concept"] == "dog"
    assert warehouse.query("most_repeated_concept", setting=str(chosen)).fetchall()[1] == ("beta", "cat", 3, 2)
    assert len(export_descriptions(warehouse, tmp_path, chosen)) == 2
    assert "overlap-0" in neuronlake.charts(warehouse, chosen)
    neuronlake.write_report(warehouse, tmp_path / "page.html", chosen)
    assert "Setting <b>1</b>" in (tmp_path / "page.html").read_text()


def test_a_method_that_several_settings_have_is_answered_with_their_numbers(warehouse: Warehouse) -> None:
    another_setting_of(warehouse, "cos_similarity")
    warehouse.execute("update store.scorings set prompts = ['a {}'] where scoring_id = 7")
    with pytest.raises(
        NeuronlakeError, match=r"has 2 settings of the method cos_similarity; give a number: .*7: .*5: "
    ):
        chosen_setting(warehouse, "cos_similarity")


def test_a_method_is_named_with_or_without_its_parameters(warehouse: Warehouse) -> None:
    another_setting_of(warehouse, "soft_wpmi(top_k=50)")
    assert chosen_setting(warehouse, "soft_wpmi(top_k=50)").number == 7
    assert chosen_setting(warehouse, "soft_wpmi").number == 1  # the one that is called just so
    warehouse.execute("update store.scorings set method = 'wpmi(top_k=9)' where scoring_id <= 4")
    assert chosen_setting(warehouse, "wpmi").number == 1


@pytest.mark.parametrize("chosen", [9, "9", "wpmi", "soft"])
def test_a_setting_that_is_not_there_is_answered_with_those_that_are(warehouse: Warehouse, chosen: int | str) -> None:
    with pytest.raises(
        NeuronlakeError, match=rf"has no setting {chosen}; it has 5 \(cos_similarity\), 1 \(soft_wpmi\)"
    ):
        read_unit(warehouse, "alpha", "late", 0, chosen)


def test_what_another_setting_has_is_said_to_be_there(warehouse: Warehouse) -> None:
    for layer, complaint in (
        ("early", "no layer 'early' under setting 5 (cos_similarity); it is under 1 (soft_wpmi): choose one with "),
        ("lat", "no layer 'lat' under setting 5 (cos_similarity); did you mean late? it has late"),
    ):
        with pytest.raises(UnitError, match=re.escape(complaint)):
            read_unit(warehouse, "alpha", layer, 0)
    warehouse.execute("delete from store.labels where scoring_id = 6")
    warehouse.execute("delete from store.scorings where scoring_id = 6")
    with pytest.raises(UnitError, match=re.escape("no model 'beta' under setting 5 (cos_similarity); it is under 1 (")):
        read_unit(warehouse, "beta", "head", 0)
    with pytest.raises(UnitError, match=r"no model 'gamma' under setting 5 .*; it has alpha"):
        read_unit(warehouse, "gamma", "head", 0)


def test_a_search_without_activations_says_under_which_setting(warehouse: Warehouse) -> None:
    warehouse.execute("delete from store.units")
    with pytest.raises(FindError, match=r"no activations to search under setting 5 \(cos_similarity\); choose another"):
        find_units(warehouse, "cat")


# --- every answer says which


def note_on(warehouse: Warehouse, query: str, **parameters: str) -> str | None:
    answer = warehouse.ask(query, parameters)
    assert answer is not None
    return setting_note(warehouse, query, parameters, answer.pl())


def test_a_named_query_says_under_which_setting_it_counts(warehouse: Warehouse) -> None:
    assert note_on(warehouse, "most_learnt_concepts") == SECOND
    assert note_on(warehouse, "most_learnt_concepts", setting="soft_wpmi") == FIRST
    assert note_on(warehouse, "units_for_concept", concept="nothing") == SECOND
    assert note_on(warehouse, "label_agreement", setting="1") is None  # which says it in each row
    assert note_on(warehouse, "settings") is None


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("concept_frequency", "note: these rows are of settings 1 and 5; `where setting = 5` picks one, `cli sql"),
        ("select * from model_concepts where rank = 1", "note: these rows are of settings 1 and 5;"),
        ("select concept, sum(units) from model_concepts group by 1", "note: this may put settings 1 and 5 together;"),
    ],
)
def test_rows_of_several_settings_come_with_a_note(warehouse: Warehouse, query: str, said: str) -> None:
    assert (note_on(warehouse, query) or "").startswith(said)


@pytest.mark.parametrize(
    "query",
    [
        "scorings",
        "select * from model_concepts where model = 'alpha' and setting = 1",
        "select concept, units from model_concepts join newest_setting using (setting)",
        "select method, count(*) from unit_labels group by 1",
        "select * from concept_frequency where concept = 'mystery'",  # which only one has
        "select count(*) from activations",
        "select 1 as setting",
    ],
)
def test_a_query_that_knows_of_settings_or_has_no_part_in_them_is_left_alone(warehouse: Warehouse, query: str) -> None:
    assert note_on(warehouse, query) is None


def test_the_views_with_a_setting_are_known(warehouse: Warehouse) -> None:
    rows = warehouse.sql("select table_name from duckdb_columns() where column_name = 'setting' and not internal")
    assert sorted(views_by_setting()) == sorted({name for (name,) in rows.fetchall()})


def test_the_command_line_names_the_setting_and_keeps_it_out_of_the_rows(tmp_path: Path) -> None:
    small_warehouse.build(tmp_path / "w.duckdb").close()

    def cli(*arguments: str) -> tuple[str, str]:
        environment = os.environ | {"COLUMNS": "200", "NO_COLOR": "1"}
        command = [str(CLI), *arguments, "-w", "w.duckdb"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
        return done.stdout, done.stderr.strip()

    assert cli("sql", "most_repeated_concept", "setting=soft_wpmi") == (
        "model,concepts,units,counted\nalpha,dotted,2,2\nbeta,cat,3,2\n",
        FIRST,
    )
    rows, said = cli("sql", "layer_summary", "--format", "json")
    assert rows.startswith("[")
    assert said.startswith("note: these rows are of settings 1 and 5;")
    assert cli("unit", "alpha", "late", "0", "--setting", "1")[0].splitlines()[2] == FIRST
    assert cli("export", "-o", "out", "--setting", "cos_similarity") == ("out/alpha.csv\nout/beta.csv\n", SECOND)
    refused = "error: w.duckdb has no setting wpmi; it has 5 (cos_similarity), 1 (soft_wpmi)"
    assert cli("report", "--setting", "wpmi") == ("", refused)
    assert cli("find", "cat", "--setting", "wpmi") == ("", refused)


# --- the report


def test_the_headline_of_a_report_counts_the_labels_that_its_chart_counts(warehouse: Warehouse, tmp_path: Path) -> None:
    for number, q_value in enumerate(("q_value", "null")):
        warehouse.execute(f"update store.labels set q_value = {q_value}")
        neuronlake.write_report(warehouse, tmp_path / "page.html", 1)
        page = (tmp_path / "page.html").read_text()
        headline = re.findall(r"<bdi>alpha</bdi></b>:(.*?)</span>", page, re.DOTALL)[0]
        chart = pl.read_csv(write_charts(warehouse, tmp_path / "charts", "csv", 1)[0]).filter(layer="all layers")
        counted = chart.filter(pl.col("counted") > 0).select("concept", "counted").rows()
        assert re.findall(r"<bdi>(\w+)</bdi>&nbsp;\((\d+)\)", headline) == [(name, str(n)) for name, n in counted]
        assert counted[:2] == ([("dotted", 2), ("dog", 1)], [("dog", 2), ("dotted", 2)])[number]
        subtitle = neuronlake.charts(warehouse, 1)["learnt-0"].to_dict()["title"]["subtitle"]
        assert subtitle == [("labels better than chance (q < 0.05), of all", "all labels")[number]]


def test_a_unit_that_only_another_setting_has_is_said_to_be_there(tmp_path: Path) -> None:
    with neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse:
        for method, units in (("soft_wpmi", (0, 1, 2, 3, 6)), ("milan", (0, 1))):
            lines = [f"0,{unit},cat,0.5" for unit in units]
            (tmp_path / "labels.csv").write_text("\n".join(["layer,unit,description,similarity", *lines]))
            given = ImportOptions("a", method, "ViT-B-16/openai", "words", "photographs")
            import_labels(warehouse, tmp_path / "labels.csv", given)
        missing = (
            r"0 of a has no unit 3 under setting 2 \(milan\); it is under 1 \(soft_wpmi\): choose one with --setting"
        )
        with pytest.raises(UnitError, match=missing):
            read_unit(warehouse, "a", "0", 3)
        assert read_unit(warehouse, "a", "0", 3, 1).label["concept"] == "cat"
        with pytest.raises(UnitError, match="0 of a has units 0 to 6, not 7"):
            read_unit(warehouse, "a", "0", 7)
