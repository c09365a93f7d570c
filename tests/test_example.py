"""The example warehouse answers, and its schema and views are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import neuronlake
from neuronlake.sql import catalog
from neuronlake.sql.files.current_views import views_marker

EXAMPLE = Path(__file__).parent.parent / "warehouse.duckdb.example"
MENDING = "rebuild it with `make example`"


def test_it_is_small_enough_to_be_committed() -> None:
    assert EXAMPLE.stat().st_size <= 15_000_000


def test_its_schema_and_views_are_those_of_the_code() -> None:
    with neuronlake.open(EXAMPLE, write=False) as warehouse:
        assert warehouse.scalar("select max(version) from store.migrations") == catalog.migrations()[-1][0], MENDING
        marker = warehouse.scalar("select comment from duckdb_tables() where table_name = 'migrations'")
        assert marker == views_marker(), MENDING


def test_it_holds_what_the_demo_promises() -> None:
    with neuronlake.open(EXAMPLE, write=False) as warehouse:
        layers = warehouse.query("layer_progression").pl()
        assert sorted(set(layers["model"])) == ["efficientnet-lite0-imagenet", "efficientnet-lite1-imagenet"]
        assert layers.height == 6
        row = warehouse.query("provenance").pl().row(0, named=True)
        assert row["images"] >= 250
        assert row["concepts"] >= 2000
        assert row["encoder"] == "conse"
        assert warehouse.query("most_repeated_concept").pl().height == 2


def test_every_named_query_without_needs_answers_from_it() -> None:
    with neuronlake.open(EXAMPLE, write=False) as warehouse:
        for name, query in catalog.queries().items():
            if all(parameter.default is not None for parameter in query.parameters):
                warehouse.query(name).fetchall()


def test_its_report_is_written(tmp_path: Path) -> None:
    with neuronlake.open(EXAMPLE, write=False) as warehouse:
        neuronlake.write_report(warehouse, tmp_path / "example.html")
    assert (tmp_path / "example.html").stat().st_size > 1_000_000


def test_it_names_no_folder_of_the_machine_it_was_made_on() -> None:
    with neuronlake.open(EXAMPLE, write=False) as warehouse:
        texts = warehouse.sql(
            "select location from store.probes union all select recipe::varchar from store.runs"
        ).fetchall()
    paths = re.findall(r'(?:^|")(/[^"]*)', "\n".join(text for (text,) in texts), re.MULTILINE)
    assert all(path.startswith("/tmp/neuronlake-example/") for path in paths)  # noqa: S108
