"""Files that SQL writes: a warehouse is not one of them, however it is named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from neuronlake.reports.files import OutputError, check_copy
from neuronlake.sql.copies import written_paths
from neuronlake.sql.failures import QueryError


@pytest.fixture
def folder(small_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where we are: a warehouse, a DuckDB file of someone else in a folder below, and a link to the warehouse."""
    shutil.copy(small_file, tmp_path / "s.duckdb")
    (tmp_path / "link.csv").symlink_to("s.duckdb")
    (tmp_path / "below").mkdir()
    with duckdb.connect(str(tmp_path / "below" / "sales.db")) as connection:
        connection.execute("create table sales (amount integer)")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "neuronlake.cli", "sql", *arguments, "--allow-files", "-w", "s.duckdb"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["copy (select 1) to 's.duckdb'"], "s.duckdb is a DuckDB file, which nothing is written over; name another"),
        (["copy (select 1) to $out", "out=s.duckdb"], "s.duckdb is a DuckDB file"),
        (["copy (select 1) to ('s.' || 'duckdb')"], "which file this would write is not known before it runs"),
        (["copy (select 1) to 's.duckdb'", "--write"], "s.duckdb is a DuckDB file"),
        (
            ["copy (select 1 as a, 2 as b) to 'below' (format csv, partition_by (a), overwrite)"],
            "below holds the DuckDB file sales.db; name another folder",
        ),
    ],
)
def test_sql_writes_nothing_over_a_warehouse(folder: Path, arguments: list[str], complaint: str) -> None:
    before = contents(folder)
    done = ask(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {complaint}")
    assert contents(folder) == before


def test_sql_writes_other_files_where_that_is_allowed(folder: Path) -> None:
    (folder / "out.csv").write_text("old")
    done = ask("export database 'all'; copy (select 1 as one) to 'out.csv'; copy (select $two) to '2.csv'", "two=2")
    assert done.returncode == 0, done.stderr
    assert (folder / "out.csv").read_text() == "one\n1\n"
    assert (folder / "2.csv").is_file()
    assert (folder / "all" / "schema.sql").is_file()


@pytest.mark.parametrize(
    "target",
    [
        "s.duckdb",
        "link.csv",
        "s.duckdb.wal",
        "~/s.duckdb",
        "file:{here}/s.duckdb",
        "file://{here}/s.duckdb",
        "file://localhost{here}/s.duckdb",
        ".",
        "below",
        "below/sales.db",
    ],
)
def test_a_warehouse_is_known_under_each_name(folder: Path, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    monkeypatch.setenv("HOME", str(folder))
    with pytest.raises(OutputError, match="DuckDB file"):
        check_copy(target.format(here=folder))


@pytest.mark.parametrize("target", ["new.csv", "new", "empty", "~/new.csv", "s3://bucket/s.duckdb", "/dev/stdout", ""])
def test_other_places_are_for_sql_to_write(folder: Path, target: str) -> None:
    (folder / "empty").mkdir()
    os.chdir(folder / "empty")
    check_copy(target)


@pytest.mark.parametrize(
    ("statement", "paths"),
    [
        ("copy t to 'x.csv' (format csv)", ["x.csv"]),
        ("COPY(select 'a to b')TO'it''s'csv header", ["it's"]),
        ("copy t /* to 'a' /* b */ */ to -- 'c'\n 'x'", ["x"]),
        ("copy t to $$x.csv$$", ["x.csv"]),
        ("copy t to $a$x$$.csv$a$", ["x$$.csv"]),
        ('copy t to "x.csv"', ["x.csv"]),
        ('copy t to a.b."c d" with (header)', ["a.b.c d"]),
        ("copy\N{NO-BREAK SPACE}t to 'ü'; copy (select 'ü') to 'x'", ["ü", "x"]),
        ("copy (select e'it\\'s to ''y') to 'x'", ["x"]),
        ("explain analyze copy t to 'x'", ["x"]),
        ("prepare p as copy t to 'x'", ["x"]),
        ("with a as (copy t to 'x') select 1", ["x"]),
        ("copy t to $name", ["given.csv"]),
        ("export database 'x'", ["x"]),
        ("export database w to 'x' (format parquet)", ["x"]),
        ("copy t from 'x.csv'", []),
        ("select copy, 'to', interval (3) year from t", []),
        ("alter table copy rename to x", ["x"]),  # no file, but to look for one does no harm
        ("unit_labels", []),
        ("copy to to to", []),
    ],
)
def test_what_a_statement_writes_is_known_before_it_runs(statement: str, paths: list[str]) -> None:
    assert written_paths(statement, {"name": "given.csv"}) == paths


@pytest.mark.parametrize(
    "target", ["(getvariable('x'))", "('a' || 'b')", "?", "$1", "$other", "e'x'", "'s.'\n'duckdb'"]
)
def test_a_name_that_is_computed_is_refused(target: str) -> None:
    with pytest.raises(QueryError, match="in single quotes after TO"):
        written_paths(f"copy t to {target}", {})
