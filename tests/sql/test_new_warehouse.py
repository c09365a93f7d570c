"""Making a warehouse: two processes that want the same new file never lose what either has put in."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

import neuronlake
from neuronlake import NeuronlakeError
from neuronlake.sql.opening import open_warehouse

# Makes the file up to the middle, says so, and goes on when told to; then puts a concept in, or fails before it does.
SLOW_MAKER = """
import sys
from neuronlake.sql import catalog
from neuronlake.sql.opening import open_warehouse

migrations = catalog.migrations


def slowly():
    catalog.migrations = migrations
    print("making", flush=True)
    sys.stdin.readline()
    return migrations()


catalog.migrations = slowly
with open_warehouse(sys.argv[1], write=True) as warehouse:
    if sys.argv[2] == "fail":
        raise SystemExit(3)
    warehouse.execute("insert into store.concepts values (1, 'slow')")
"""


@contextmanager
def slow_maker(path: Path, then: str) -> Iterator[subprocess.Popen[str]]:
    """A process in the middle of making the file."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", SLOW_MAKER, str(path), then], text=True, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "making\n"
        yield process
        if process.poll() is None:
            process.kill()


def go_on(process: subprocess.Popen[str]) -> int:
    """Let it end; its exit status."""
    process.communicate("\n", timeout=60)
    return process.returncode


def put(path: Path, concept: str) -> bool:
    """Put a concept into a warehouse that is made if need be; False where that is refused."""
    try:
        with open_warehouse(path, write=True) as warehouse:
            warehouse.execute("insert into store.concepts values (2, $concept)", concept=concept)
    except NeuronlakeError as refused:
        assert "\n" not in str(refused)
        return False
    return True


def concepts(path: Path) -> set[str]:
    with open_warehouse(path) as warehouse:
        return {concept for (concept,) in warehouse.sql("select concept from store.concepts").fetchall()}


@pytest.mark.parametrize("begins_empty", [False, True])
def test_of_two_that_make_one_file_nobody_loses_what_it_put_in(tmp_path: Path, begins_empty: bool) -> None:
    path = tmp_path / "w.duckdb"
    if begins_empty:
        path.touch()
    with slow_maker(path, then="put") as slow:
        succeeded = {"quick"} if put(path, "quick") else set[str]()
        if go_on(slow) == 0:
            succeeded.add("slow")
    assert succeeded
    assert concepts(path) == succeeded
    assert [file.name for file in tmp_path.iterdir()] == ["w.duckdb"]


def test_the_second_is_told_that_the_file_is_being_made(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    (tmp_path / "link.duckdb").symlink_to(path)
    with slow_maker(path, then="put"):
        for name in (path, tmp_path / "link.duckdb"):
            with pytest.raises(NeuronlakeError, match="is being made by another process; wait until it ends, or"):
                open_warehouse(name, write=True)


def test_a_file_that_is_copied_there_meanwhile_stays(tmp_path: Path) -> None:
    path, other = tmp_path / "w.duckdb", tmp_path / "other.duckdb"
    assert put(other, "copied")
    with slow_maker(path, then="fail") as slow:
        path.write_bytes(other.read_bytes())
        assert go_on(slow) == 3
    assert concepts(path) == {"copied"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX signals")
def test_what_a_killed_maker_leaves_is_in_nobodys_way(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    with slow_maker(path, then="put") as slow:
        slow.send_signal(signal.SIGKILL)
        slow.wait(timeout=60)
    assert not path.exists()
    assert put(path, "next")
    assert concepts(path) == {"next"}
    assert [file.name for file in tmp_path.iterdir()] == ["w.duckdb"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX locks")
def test_on_a_disk_without_locks_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(NeuronlakeError, match=r"its disk knows no locks .*; name a file on another disk"):
        open_warehouse(tmp_path / "w.duckdb", write=True)
    assert list(tmp_path.iterdir()) == []


class WorkError(Exception):
    """Of the work for which a warehouse was opened."""


def test_a_new_file_goes_again_where_the_work_fails_at_once(tmp_path: Path) -> None:
    with pytest.raises(WorkError), open_warehouse(tmp_path / "w.duckdb", write=True):
        raise WorkError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "statement",
    ["insert into store.concepts values (1, 'dog')", "create table mine as select 1 as answer"],
)
def test_a_new_file_with_anything_in_it_stays_where_the_work_fails(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "w.duckdb"
    with pytest.raises(WorkError), neuronlake.open(path) as warehouse:
        warehouse.execute(statement)
        raise WorkError
    table = statement.split()[2]
    with duckdb.connect(str(path), read_only=True) as connection:
        assert len(connection.sql(f"from {table}").fetchall()) == 1


def test_another_file_that_got_the_name_meanwhile_stays_where_the_work_fails(tmp_path: Path) -> None:
    path, other = tmp_path / "w.duckdb", tmp_path / "other.duckdb"
    assert put(other, "other")
    with pytest.raises(WorkError), open_warehouse(path, write=True):
        other.rename(path)
        raise WorkError
    assert concepts(path) == {"other"}


def test_closing_a_file_that_was_removed_leaves_the_log_of_the_next_one_alone(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    removed = open_warehouse(path, write=True)
    removed._remove_if_empty()
    assert list(tmp_path.iterdir()) == []
    script = (
        "import os, sys; from neuronlake.sql.opening import open_warehouse\n"
        "warehouse = open_warehouse(sys.argv[1], write=True)\n"
        "warehouse.execute(\"insert into store.concepts values (1, 'logged')\")\n"
        "os._exit(0)"  # closes nothing, so that the row stays in the log
    )
    subprocess.run([sys.executable, "-c", script, path], check=True, timeout=60)
    assert path.with_name("w.duckdb.wal").stat().st_size
    removed.close()
    assert concepts(path) == {"logged"}


def test_an_old_file_stays_where_the_work_fails(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    open_warehouse(path, write=True).close()
    with pytest.raises(WorkError), open_warehouse(path, write=True):
        raise WorkError
    assert concepts(path) == set()


def test_a_link_to_a_file_that_is_not_there_yet_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "w.duckdb"
    link.symlink_to(tmp_path / "disk" / "real.duckdb")
    assert put(link, "dog")
    assert link.is_symlink()
    assert concepts(tmp_path / "disk" / "real.duckdb") == {"dog"}
    assert [file.name for file in (tmp_path / "disk").iterdir()] == ["real.duckdb"]
