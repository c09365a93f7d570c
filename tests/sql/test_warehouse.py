"""Opening, migrating and changing a warehouse; what is refused keeps every byte."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest
import small_warehouse

from neuronlake import NeuronlakeError
from neuronlake.sql import catalog
from neuronlake.sql.files.connecting import BLOCK_BYTES
from neuronlake.sql.opening import _HEADER_BYTES, _last_block, open_warehouse
from neuronlake.sql.warehouse import QueryError

NEWEST = catalog.migrations()[-1][0]
SECOND_MIGRATION = "alter table store.models add column note varchar; update store.models set note = 'old'"
# A query that would run for days.
ENDLESS = "select sum(a.range * b.range) from range(10000000) a, range(10000000) b"


@pytest.fixture
def path(small_file: Path, tmp_path: Path) -> Path:
    """A small warehouse, closed."""
    file = tmp_path / "w.duckdb"
    file.write_bytes(small_file.read_bytes())
    return file


@pytest.fixture
def two_versions(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """From now on this neuronlake has a second migration."""
    both = [*catalog.migrations(), (NEWEST + 1, SECOND_MIGRATION)]
    monkeypatch.setattr(catalog, "migrations", lambda: both)
    return both


def refusal(path: Path, *, write: bool) -> str:
    """The one line with which opening is refused, which leaves the folder as it was, to the byte."""
    before = contents(path.parent)
    with pytest.raises(NeuronlakeError) as refused:
        open_warehouse(path, write=write)
    assert contents(path.parent) == before
    message = str(refused.value)
    assert "\n" not in message
    return message


def contents(folder: Path) -> dict[str, bytes]:
    if not folder.is_dir():
        return {}
    return {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.is_file()}


def child(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Another Python process, to which Ctrl-C means what it means in a terminal."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# --- opening


def test_a_missing_file_is_named_with_the_way_to_make_one(tmp_path: Path) -> None:
    assert "there is no warehouse at" in refusal(tmp_path / "none.duckdb", write=False)
    assert "cli ingest" in refusal(tmp_path / "none.duckdb", write=False)


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("name", [":memory:", ":memory:scratch"])
def test_a_warehouse_in_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, write: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NeuronlakeError, match=f"^{name} is no file, and a warehouse is one; name a file"):
        open_warehouse(name, write=write)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("name", ["store.duckdb", "Store.db", ".store.duckdb", "store", "store.v1.duckdb"])
def test_a_name_that_duckdb_takes_for_the_schema_is_refused(path: Path, name: str, there: bool, write: bool) -> None:
    other = path.with_name(name)
    if there:
        path.rename(other)
    assert refusal(other, write=write).endswith("; rename the file or name another with --warehouse")


@pytest.mark.parametrize("name", ["stores.duckdb", "my-store.duckdb", "v1.store", "main.duckdb", "temp.duckdb"])
def test_other_names_will_do(tmp_path: Path, name: str) -> None:
    small_warehouse.build(tmp_path / name).close()
    with open_warehouse(tmp_path / name) as warehouse:
        assert warehouse.scalar("select count(*) from unit_labels")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert "does not exist; make it" in refusal(tmp_path / "none" / "w.duckdb", write=True)


@pytest.mark.parametrize("write", [False, True])
def test_a_file_of_another_kind_is_left_alone(tmp_path: Path, write: bool) -> None:
    (tmp_path / "notes.txt").write_text("remember the milk\n" * 1000)
    assert "notes.txt is not a DuckDB file" in refusal(tmp_path / "notes.txt", write=write)


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("share", [0.001, 0.05, 0.5, 0.9])
def test_a_truncated_file_is_called_damaged(path: Path, share: float, write: bool) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    message = refusal(path, write=write)
    assert "is damaged or cut short" in message or "is not a DuckDB file" in message


def test_a_file_whose_free_blocks_were_cut_off_is_whole(tmp_path: Path) -> None:
    """DuckDB counts them on. Until something was cut within what is in use, the file opens."""
    path = tmp_path / "w.duckdb"
    open_warehouse(path, write=True).close()
    is_shorter_than_its_blocks: list[bool] = []
    for number in range(6):
        with open_warehouse(path, write=True) as warehouse:
            for statement in (
                f"insert into store.concepts values ({number}, 'concept {number}')",
                f"insert into store.concept_sets values ({number}, 'set {number}', '{number}', 1, 1, 1)",
                "update store.concept_sets set concepts = 5",
            ):
                warehouse.execute(statement)
        with duckdb.connect(str(path), read_only=True) as connection:
            sizes = connection.sql("select block_size * total_blocks from pragma_database_size()").fetchall()
        is_shorter_than_its_blocks.append(path.stat().st_size < sizes[0][0])
        with open_warehouse(path) as warehouse:
            assert warehouse.scalar("select count(*) from store.concepts") == number + 1
            end_of_used = _HEADER_BYTES + (_last_block(warehouse) + 1) * BLOCK_BYTES
        if is_shorter_than_its_blocks[-1]:
            cut = tmp_path / "cut.duckdb"
            cut.write_bytes(path.read_bytes()[: end_of_used - 100])
            assert "is damaged or cut short" in refusal(cut, write=False)
    assert any(is_shorter_than_its_blocks)


def test_damage_within_a_table_is_one_line_when_it_is_met(tmp_path: Path) -> None:
    """DuckDB reads a table's blocks only when they are asked for."""
    path = tmp_path / "w.duckdb"
    with open_warehouse(path, write=True) as warehouse:
        warehouse.execute("insert into store.similarities select 1, 1, 1, random() from range(300000)")
    damaged = bytearray(path.read_bytes())
    fifth = len(damaged) // 5
    damaged[fifth : 2 * fifth] = bytes(fifth)
    path.write_bytes(damaged)
    with pytest.raises(NeuronlakeError, match="checksum"), open_warehouse(path) as warehouse:
        warehouse.sql("select sum(similarity) from store.similarities").fetchall()


@pytest.mark.parametrize("write", [False, True])
def test_a_duckdb_file_of_someone_else_is_left_alone(tmp_path: Path, write: bool) -> None:
    with duckdb.connect(str(tmp_path / "sales.duckdb")) as connection:
        connection.execute("create table sales (amount integer)")
    assert "is a DuckDB file but no neuronlake warehouse" in refusal(tmp_path / "sales.duckdb", write=write)


@pytest.mark.parametrize("write", [False, True])
def test_a_newer_schema_asks_for_an_update(path: Path, write: bool) -> None:
    with open_warehouse(path, write=True) as warehouse:
        warehouse.execute("insert into store.migrations values (99, now())")
    message = refusal(path, write=write)
    assert "has schema version 99" in message
    assert message.endswith("update neuronlake")


def test_a_newer_schema_keeps_what_a_killed_writer_left_in_its_log(path: Path) -> None:
    """Refusing must not even write the log back into the file."""
    killed = child(
        "import os, sys; from neuronlake.sql.opening import open_warehouse\n"
        "warehouse = open_warehouse(sys.argv[1], write=True)\n"
        "warehouse.execute('insert into store.migrations values (99, now())')\n"
        "os.kill(os.getpid(), 9)",
        str(path),
    )
    killed.communicate(timeout=60)
    assert path.with_name("w.duckdb.wal").exists()
    assert "has schema version 99" in refusal(path, write=True)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs user ids")
def test_a_folder_that_cannot_be_written_is_said_to_be_so() -> None:
    """Root may write everywhere, so root becomes nobody for the test."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(65534)
        try:
            message = refusal(Path(folder) / "w.duckdb", write=True)
        finally:
            if is_root:
                os.seteuid(0)
            Path(folder).chmod(0o755)
    assert "permission denied" in message


@pytest.mark.parametrize("write", [False, True])
def test_a_second_process_is_told_which_one_holds_the_file(path: Path, write: bool) -> None:
    holder = child(
        "import sys; from neuronlake.sql.opening import open_warehouse\n"
        "warehouse = open_warehouse(sys.argv[1], write=True); print('open', flush=True); sys.stdin.read()",
        str(path),
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        assert f"is in use by process {holder.pid}" in refusal(path, write=write)
    finally:
        holder.communicate(timeout=60)


def test_a_file_that_is_open_in_this_process_is_said_to_be_so(path: Path) -> None:
    with open_warehouse(path, write=True):
        assert "is open in this process already" in refusal(path, write=False)


def test_several_readers_share_a_file(path: Path) -> None:
    with open_warehouse(path):
        reader = child(
            "import sys; from neuronlake.sql.opening import open_warehouse\n"
            "print(open_warehouse(sys.argv[1]).scalar('select count(*) from scorings'))",
            str(path),
        )
        assert reader.communicate(timeout=60) == ("6\n", "")


def test_reading_changes_no_byte(path: Path) -> None:
    before = contents(path.parent)
    with open_warehouse(path) as warehouse:
        assert warehouse.scalar("select count(*) from unit_labels") == 20
    assert contents(path.parent) == before


def test_an_empty_file_becomes_a_warehouse(tmp_path: Path) -> None:
    """As `mktemp` makes one."""
    (tmp_path / "w.duckdb").touch()
    open_warehouse(tmp_path / "w.duckdb", write=True).close()
    with open_warehouse(tmp_path / "w.duckdb") as warehouse:
        assert warehouse.scalar("select count(*) from scorings") == 0


def test_a_warehouse_that_cannot_be_made_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "migrations", lambda: [(1, "create schema store; select no_such_function()")])
    with pytest.raises(NeuronlakeError):
        open_warehouse(tmp_path / "w.duckdb", write=True)
    assert contents(tmp_path) == {}


# --- migrations


def test_an_older_file_is_migrated_after_a_copy(path: Path, two_versions: list[tuple[int, str]]) -> None:
    before = path.read_bytes()
    with open_warehouse(path, write=True) as warehouse:
        assert warehouse.sql("select distinct note from store.models").fetchall() == [("old",)]
        assert warehouse.sql("select version from store.migrations order by 1").fetchall()[-2:] == [
            (NEWEST,),
            (NEWEST + 1,),
        ]
        assert warehouse.scalar("select count(*) from unit_labels") == 20
    assert path.with_name(f"w.v{NEWEST}.duckdb").read_bytes() == before


def test_a_copy_that_is_there_already_stays(path: Path, two_versions: list[tuple[int, str]]) -> None:
    before = path.read_bytes()
    path.with_name(f"w.v{NEWEST}.duckdb").write_text("an older copy")
    open_warehouse(path, write=True).close()
    assert path.with_name(f"w.v{NEWEST}.duckdb").read_text() == "an older copy"
    assert path.with_name(f"w.v{NEWEST}-2.duckdb").read_bytes() == before


def test_the_copy_holds_what_a_killed_writer_committed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = child(
        "import os, sys; from neuronlake.sql.opening import open_warehouse\n"
        "warehouse = open_warehouse(sys.argv[1], write=True)\n"
        "warehouse.execute(\"insert into store.concepts values (7, 'late')\")\n"
        "os.kill(os.getpid(), 9)",
        str(path),
    )
    killed.communicate(timeout=60)
    both = [*catalog.migrations(), (NEWEST + 1, SECOND_MIGRATION)]
    with monkeypatch.context() as newer:
        newer.setattr(catalog, "migrations", lambda: both)
        open_warehouse(path, write=True).close()
    with open_warehouse(path.with_name(f"w.v{NEWEST}.duckdb")) as copy:
        assert copy.scalar("select concept from store.concepts where concept_id = 7") == "late"


def test_a_migrated_file_stays_locked_against_others(path: Path, two_versions: list[tuple[int, str]]) -> None:
    """Copying an open file would end its lock, for closing any of its handles does."""
    with open_warehouse(path, write=True):
        other = child("import sys, duckdb; duckdb.connect(sys.argv[1])", str(path))
        assert f"PID {os.getpid()}" in other.communicate(timeout=60)[1]


def test_an_older_file_is_not_migrated_by_a_reader(path: Path, two_versions: list[tuple[int, str]]) -> None:
    message = refusal(path, write=False)
    assert f"has schema version {NEWEST} and this neuronlake reads version {NEWEST + 1}" in message
    assert "cli sql --write" in message


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
def test_without_space_for_the_copy_nothing_is_migrated_or_lost(
    path: Path, two_versions: list[tuple[int, str]]
) -> None:
    import resource

    path.with_name(f"w.v{NEWEST}.duckdb").write_text("an older copy")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        message = refusal(path, write=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert f"w.v{NEWEST}.duckdb cannot be written: a limit on the size of files is reached" in message


def test_a_migration_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = [*catalog.migrations(), (NEWEST + 1, "drop table store.thumbnails; select no_such_function()")]
    with monkeypatch.context() as newer:
        newer.setattr(catalog, "migrations", lambda: broken)
        with pytest.raises(NeuronlakeError, match="no_such_function"):
            open_warehouse(path, write=True)
    with open_warehouse(path) as warehouse:
        assert warehouse.scalar("select count(*) from store.thumbnails") == 4


# --- changing


def test_a_transaction_that_fails_leaves_no_row(path: Path) -> None:
    def fail_halfway() -> None:
        with warehouse.transaction():
            warehouse.execute("delete from store.labels")
            warehouse.insert("concepts", pl.DataFrame({"concept_id": [7], "concept": ["late"]}))
            raise KeyboardInterrupt

    with open_warehouse(path, write=True) as warehouse:
        with pytest.raises(KeyboardInterrupt):
            fail_halfway()
        assert warehouse.scalar("select count(*) from store.labels") == 20
        assert warehouse.scalar("select max(concept_id) from store.concepts") == 6
        with warehouse.transaction():
            warehouse.execute("delete from store.labels")
    with open_warehouse(path) as reopened:
        assert reopened.scalar("select count(*) from store.labels") == 0


def test_a_transaction_within_another_is_part_of_it(path: Path) -> None:
    with open_warehouse(path, write=True) as warehouse:
        with pytest.raises(KeyboardInterrupt), warehouse.transaction():
            with warehouse.transaction():
                warehouse.execute("delete from store.labels")
            raise KeyboardInterrupt
        assert warehouse.scalar("select count(*) from store.labels") == 20


def test_the_file_describes_itself(path: Path) -> None:
    """With nothing but DuckDB: every view and every documented column has its comment."""
    with duckdb.connect(str(path), read_only=True) as connection:
        views = connection.sql("select view_name, comment from duckdb_views() where not internal").fetchall()
        columns = connection.sql(
            "select table_name, column_name, comment from duckdb_columns() where comment is not null"
        ).fetchall()
    assert dict(views) == {view.name: view.comment for view in catalog.views()}
    assert all(comment for _, comment in views)
    documented = {
        (view.name, column, text) for view in catalog.views() for column, text in view.column_comments.items()
    }
    assert documented <= set(columns)


def test_views_are_written_anew_only_when_they_changed(path: Path) -> None:
    open_warehouse(path, write=True).close()
    before = path.read_bytes()
    open_warehouse(path, write=True).close()
    assert path.read_bytes() == before


CHANGES_OF_VIEWS = {
    "drop": "drop view unit_labels",
    "replace": "create or replace view unit_labels as select 'mine' as concept",
    "rename": "alter view unit_labels rename to old_labels",
    "table": "drop view unit_labels; create table unit_labels as select 'mine' as concept",
}


def stored_views(path: Path) -> dict[str, str]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return dict(connection.sql("select view_name, sql from duckdb_views() where not internal").fetchall())


@pytest.mark.parametrize("change", CHANGES_OF_VIEWS)
def test_a_view_that_a_user_removed_or_replaced_answers_as_before(path: Path, change: str) -> None:
    """For a reader and for a writer; the user's own views and tables stay."""
    question = "select model, layer, unit, concept from unit_labels order by all"
    before = stored_views(path)
    with open_warehouse(path, write=True) as warehouse:
        answer = warehouse.sql(question).fetchall()
        warehouse.execute("create view mine as select concept from unit_labels")
        warehouse.execute(CHANGES_OF_VIEWS[change])
    changed = path.read_bytes()
    with open_warehouse(path) as warehouse:
        assert warehouse.sql(question).fetchall() == answer
        assert len(warehouse.query("unit_cards").fetchall()) > 0
    assert path.read_bytes() == changed
    with open_warehouse(path, write=True) as warehouse:
        assert warehouse.sql(question).fetchall() == answer
        assert len(warehouse.sql("from mine").fetchall()) == len(answer)
    after = stored_views(path)
    assert after.pop("mine")
    if change == "table":
        with duckdb.connect(str(path), read_only=True) as connection:
            assert connection.sql("from unit_labels").fetchall() == [("mine",)]
        return
    assert after.pop("old_labels", None) is None or change == "rename"
    assert after == before


def test_the_file_is_in_the_storage_version_of_duckdb_1_5(path: Path) -> None:
    with duckdb.connect(str(path), read_only=True) as connection:
        tags = connection.sql("select tags['storage_version'] from duckdb_databases() where path is not null")
        assert tags.fetchall() == [("v1.5.0+",)]


# --- what users type


def statements(path: Path) -> Iterator[str]:
    yield "insert into store.concepts values (7, 'late')"
    yield "create table mine as select 1"
    yield "drop view unit_labels"
    yield f"copy store.labels to '{path.parent}/labels.csv'"
    yield f"attach '{path.parent}/other.duckdb'"


def test_reading_sql_cannot_write(path: Path) -> None:
    before = contents(path.parent)
    for statement in statements(path):
        with pytest.raises(QueryError), open_warehouse(path, allow_files=False) as warehouse:
            warehouse.ask(statement, {})
    assert contents(path.parent) == before


def test_no_other_file_is_read_unless_that_is_allowed(path: Path) -> None:
    secret = path.parent / "secret.csv"
    secret.write_text("name\nAda\n")
    query = f"select name from read_csv('{secret}')"
    for wanted in (query, f"select * from '{secret}'", "set enable_external_access = true"):
        with pytest.raises(QueryError), open_warehouse(path, allow_files=False) as warehouse:
            warehouse.ask(wanted, {})
    with open_warehouse(path, allow_files=True) as warehouse:
        assert warehouse.sql(query).fetchall() == [("Ada",)]


def test_parameters_are_bound_and_never_pasted(path: Path) -> None:
    with open_warehouse(path) as warehouse:
        answer = warehouse.ask("units_for_concept", {"concept": "x' or 'a' = 'a", "setting": "1"})
        assert answer is not None
        assert answer.fetchall() == []


def wrong_queries() -> list[tuple[str, str]]:
    return [
        ("select * fro unit_labels", "syntax error"),
        ("select conept from unit_labels", '"concept"'),
        ("select * from unit_label", "unit_labels"),
        ("select concept::integer from unit_labels", "LINE 1"),
    ]


@pytest.mark.parametrize(("query", "hint"), wrong_queries())
def test_a_wrong_query_is_answered_with_the_place_and_near_names(path: Path, query: str, hint: str) -> None:
    with pytest.raises(QueryError) as refused, open_warehouse(path) as warehouse:
        answer = warehouse.ask(query, {})
        assert answer is not None
        answer.fetchall()
    assert hint in str(refused.value)


def test_a_query_larger_than_memory_spills(path: Path) -> None:
    """Sorting 80 MB of distinct texts with 40 MB of memory."""
    with open_warehouse(path, memory_limit="40MB") as warehouse:
        biggest = warehouse.scalar(
            "select max(place) from (select row_number() over (order by md5(range::varchar)) as place"
            " from range(1000000))"
        )
    assert biggest == 1_000_000


def test_memory_comes_from_the_environment_where_it_is_set(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURONLAKE_MEMORY", "300MiB")
    with open_warehouse(path) as warehouse:
        assert warehouse.scalar("select current_setting('memory_limit')") == "300.0 MiB"


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("write", [[], ["--write"]])
def test_ctrl_c_stops_a_running_query(path: Path, write: list[str]) -> None:
    running = child(
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from neuronlake.cli import main; sys.argv[0] = 'cli'; main()",
        *("sql", ENDLESS, "--warehouse", str(path), *write),
    )
    wait_until(lambda: cpu_seconds(running.pid) > 2)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=20)
    assert running.returncode in {-signal.SIGINT, 128 + signal.SIGINT}  # a shell says 130 for both
    assert "Traceback" not in errors
    with open_warehouse(path, write=True) as warehouse:
        assert warehouse.scalar("select count(*) from unit_labels") == 20


def cpu_seconds(pid: int) -> float:
    import psutil

    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def wait_until(is_so: Callable[[], bool], seconds: float = 60) -> None:
    """Poll until something is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)
