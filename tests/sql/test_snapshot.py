"""A snapshot is the warehouse over again, in a file of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

import neuronlake
from neuronlake import NeuronlakeError
from neuronlake.sql.files.connecting import BLOCK_BYTES
from neuronlake.sql.opening import open_warehouse
from neuronlake.sql.verify import verify


@pytest.fixture
def path(small_file: Path, tmp_path: Path) -> Path:
    """A small warehouse, closed, to which a user has added a table with an index, and a view."""
    file = Path(shutil.copy(small_file, tmp_path / "w.duckdb"))
    with open_warehouse(file, write=True) as warehouse:
        warehouse.execute("create table mine (word varchar primary key, weight double default 1 check (weight > 0))")
        warehouse.execute("insert into mine values ('dog', 2), ('it''s', 3)")
        warehouse.execute("create index by_weight on mine (weight)")
        warehouse.execute("comment on table mine is 'words of mine'")
        warehouse.execute("create view heavy as select unit_labels.* from unit_labels join mine on concept = word")
    return file


def everything(path: Path) -> dict[str, object]:
    """What a file says of itself: tables, constraints, views, comments, indexes, sizes of blocks, and all rows."""
    with duckdb.connect(str(path), read_only=True) as connection:
        asked = {
            "tables": "select schema_name, table_name, comment, sql from duckdb_tables() order by all",
            "columns": "select schema_name, table_name, column_name, comment, data_type, is_nullable, column_default "
            "from duckdb_columns() where not internal order by all",
            "constraints": "select schema_name, table_name, constraint_text from duckdb_constraints() order by all",
            "views": "select schema_name, view_name, comment, sql from duckdb_views() where not internal order by all",
            "indexes": "select table_name, index_name, sql from duckdb_indexes() order by all",
            "blocks": "select block_size from pragma_database_size()",
        }
        found: dict[str, object] = {name: connection.sql(query).fetchall() for name, query in asked.items()}
        for schema, table in connection.sql("select schema_name, table_name from duckdb_tables()").fetchall():
            found[f"{schema}.{table}"] = connection.sql(f"from {schema}.{table}").fetchall()  # in their order too
    return found


def test_it_has_all_rows_keys_checks_comments_views_and_indexes(path: Path, tmp_path: Path) -> None:
    made = neuronlake.snapshot(path, tmp_path / "copy.duckdb")
    before, after = everything(path), everything(tmp_path / "copy.duckdb")
    assert before.keys() == after.keys()
    for name in before:
        assert before[name] == after[name], name
    assert after["indexes"] == [("mine", "by_weight", "CREATE INDEX by_weight ON mine(weight);")]
    assert after["blocks"] == [(BLOCK_BYTES,)]
    assert made.size == (tmp_path / "copy.duckdb").stat().st_size
    assert made.rows == sum(len(rows) for name, rows in after.items() if "." in name and isinstance(rows, list))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["copy.duckdb", "w.duckdb"]


def test_it_opens_in_the_same_versions_of_duckdb(path: Path, tmp_path: Path) -> None:
    neuronlake.snapshot(path, tmp_path / "copy.duckdb")
    with open_warehouse(path) as one, open_warehouse(tmp_path / "copy.duckdb") as other:
        versions = [
            each.scalar("select tags['storage_version'] from duckdb_databases() where not internal")
            for each in (one, other)
        ]
    assert versions[1].startswith("v1.5")
    assert versions[0] == versions[1]


def test_it_is_a_warehouse_that_goes_on(path: Path, tmp_path: Path) -> None:
    neuronlake.snapshot(path, tmp_path / "copy.duckdb")
    with open_warehouse(tmp_path / "copy.duckdb", write=True) as copy:
        assert verify(copy) == []
        copy.execute("insert into store.concepts values (7, 'late')")
        with pytest.raises(NeuronlakeError, match="uplicate key"):
            copy.execute("insert into store.concepts values (7, 'again')")
    with open_warehouse(path) as warehouse:
        assert warehouse.scalar("select count(*) from store.concepts where concept_id = 7") == 0


def test_it_has_no_room_for_what_was_deleted(path: Path, tmp_path: Path) -> None:
    with open_warehouse(path, write=True) as warehouse:
        warehouse.execute("create table waste as select random() as number from range(1000000)")
    with open_warehouse(path, write=True) as warehouse:
        warehouse.execute("drop table waste")
        warehouse.execute("insert into mine values ('last', 1)")
    made = neuronlake.snapshot(path, tmp_path / "copy.duckdb")
    assert made.size < path.stat().st_size / 2


def test_it_holds_what_a_killed_writer_committed(path: Path, tmp_path: Path) -> None:
    code = (
        "import os, sys, neuronlake\n"
        "warehouse = neuronlake.open(sys.argv[1])\n"
        "warehouse.execute(\"insert into store.concepts values (7, 'late')\")\n"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, path], check=False, timeout=60)
    log = path.with_name("w.duckdb.wal")
    assert log.exists()
    before = path.read_bytes(), log.read_bytes()
    neuronlake.snapshot(path, tmp_path / "copy.duckdb")
    assert (path.read_bytes(), log.read_bytes()) == before
    with open_warehouse(tmp_path / "copy.duckdb") as copy:
        assert copy.scalar("select concept from store.concepts where concept_id = 7") == "late"


def test_it_is_made_while_others_read_here_and_elsewhere(path: Path, tmp_path: Path) -> None:
    code = "import sys, neuronlake\nw = neuronlake.open(sys.argv[1], write=False)\nprint('open', flush=True)\ninput()"
    reader = subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "open\n"
        with neuronlake.open(path, write=False) as here:
            neuronlake.snapshot(path, tmp_path / "copy.duckdb")
            assert here.scalar("select count(*) from store.images") == 5
    finally:
        reader.communicate("\n", timeout=60)
    assert everything(path) == everything(tmp_path / "copy.duckdb")


def test_while_another_process_writes_it_says_which(path: Path, tmp_path: Path) -> None:
    code = "import sys, neuronlake\nw = neuronlake.open(sys.argv[1])\nprint('open', flush=True)\ninput()"
    writer = subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        with pytest.raises(NeuronlakeError, match=f"is in use by process {writer.pid} "):
            neuronlake.snapshot(path, tmp_path / "copy.duckdb")
    finally:
        writer.communicate("\n", timeout=60)
    assert [file.name for file in tmp_path.iterdir()] == ["w.duckdb"]


@pytest.mark.parametrize("taken", ["w.duckdb", "notes.txt", "folder", "nowhere.duckdb"])
def test_nothing_is_written_over(path: Path, tmp_path: Path, taken: str) -> None:
    (tmp_path / "notes.txt").write_text("remember the milk")
    (tmp_path / "folder").mkdir()
    (tmp_path / "nowhere.duckdb").symlink_to("missing.duckdb")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
    with pytest.raises(NeuronlakeError, match="is there already, and nothing is written over; name another file"):
        neuronlake.snapshot(path, tmp_path / taken)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()} == before


@pytest.mark.parametrize("name", ["none/copy.duckdb", "store.duckdb"])
def test_a_place_for_none_is_named(path: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(NeuronlakeError, match=r"does not exist; make it|is no name for a warehouse"):
        neuronlake.snapshot(path, tmp_path / name)
    assert [file.name for file in tmp_path.iterdir()] == ["w.duckdb"]
