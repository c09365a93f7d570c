"""Whatever a user asks in SQL is answered: also with what Polars, Python or JSON has no words for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import small_warehouse

from neuronlake.sql.answers import answer_frame
from neuronlake.sql.opening import open_warehouse

FORMATS = ("table", "csv", "json", "md", "parquet")
ODD = """
select
    started - started + interval '2 minutes' as took,
    union_value(num := 2) as either,
    [interval '1 day'] as days,
    date 'infinity' as never,
    timestamp '200000-01-01' as far,
    [date '0044-03-15 (BC)'] as ides,
    {'at': timestamp '-infinity'} as before,
    170141183460469231731687303715884105727::bignum as big,
    bit '101' as bits,
    'x'::variant as any_kind,
    timetz '10:00:00+01' as at_noon,
    started
from runs
limit 1
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("answers") / "small.duckdb"
    small_warehouse.build(path).close()
    return path


def cli(*arguments: str | Path, closed: bool = False) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "neuronlake.cli", *map(str, arguments)]
    if closed:
        command = ["sh", "-c", '"$@" >&-', "sh", *command]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, errors="replace")


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_type_of_duckdb_is_printed_in_every_format(small: Path, file_format: str) -> None:
    done = cli("sql", ODD, "-w", small, "--format", file_format)
    assert (done.returncode, done.stderr) == (0, "")
    for value in ("00:02:00", "infinity", "200000-01-01 00:00:00"):
        assert value in done.stdout


def test_only_what_a_frame_cannot_hold_becomes_text(small: Path) -> None:
    with open_warehouse(small) as warehouse:
        frame = answer_frame(warehouse.sql(ODD))
        kept = 'select 1 as n, [started] as l, date \'2020-01-01\' as d, started as "a ""b""" from runs'
        assert answer_frame(warehouse.sql(kept)).equals(warehouse.sql(kept).pl())
        assert answer_frame(warehouse.sql("select date 'infinity' as d where false")).is_empty()
    assert {name for name, kind in frame.schema.items() if kind != pl.String} == {"started"}
    assert frame.drop("started").row(0) == (
        *("00:02:00", "2", "[1 day]", "infinity", "200000-01-01 00:00:00", "['0044-03-15 (BC)']"),
        *("{'at': -infinity}", "170141183460469231731687303715884105727", "101", "x", "10:00:00+01"),
    )


def test_json_has_a_value_for_all_that_a_list_holds(small: Path) -> None:
    query = (
        "select [1.5, 2.5] as decimals, list(started) as times, [blob 'a'] as blobs, "
        "['nan'::double, 1] as numbers, {'a': ['inf'::double]} as parts from runs"
    )
    done = cli("sql", query, "-w", small, "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = json.loads(done.stdout, parse_constant=pytest.fail)
    assert row["decimals"] == ["1.5", "2.5"]
    assert all(time.startswith("20") for time in row["times"])
    assert row["numbers"] == [None, 1.0]
    assert row["parts"] == {"a": [None]}


@pytest.mark.parametrize("command", [("sql", "select 1"), ("status",)])
def test_a_closed_output_is_an_error_of_one_line(small: Path, command: tuple[str, ...]) -> None:
    done = cli(*command, "-w", small, closed=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: standard output is closed")
    assert done.stderr.count("\n") == 1


def test_a_statement_that_changed_something_says_so_and_prints_nothing(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    small_warehouse.build(path).close()
    for statement, said in (
        ("create table mine(a integer)", "done"),
        ("insert into mine values (1), (2)", "done: 2 rows"),
        ("update mine set a = 3 where a = 1", "done: 1 row"),
        ("alter table mine add column b integer", "done"),
    ):
        done = cli("sql", "--write", statement, "-w", path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", f"{said}\n")
    for query, printed in (
        ('select count(*) as "Count" from mine', "Count\n2\n"),
        ("insert into mine values (4, 5) returning a", "a\n4\n"),
    ):
        done = cli("sql", "--write", query, "-w", path)
        assert (done.returncode, done.stdout, done.stderr) == (0, printed, "")
