"""A warehouse that another process holds: who it is is said, and `--wait` waits until it ends."""

from __future__ import annotations

import inspect
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

import neuronlake
from neuronlake.commands import compare, demo, dissect, files, label

CLI = Path(sys.executable).parent / "cli"
HOLD = (
    "import sys, neuronlake\n"
    "warehouse = neuronlake.open(sys.argv[1], write=sys.argv[2] == 'write')\n"
    "print('open', flush=True)\n"
    "input()"
)


@pytest.fixture
def path(small_file: Path, tmp_path: Path) -> Path:
    """A small warehouse, closed."""
    return Path(shutil.copy(small_file, tmp_path / "w.duckdb"))


@contextmanager
def holder(path: Path, how: str) -> Generator[subprocess.Popen[str]]:
    """Another process that holds a file open, as a notebook does, until it gets a line or the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, path, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process
    finally:
        if process.poll() is None:
            process.communicate("\n", timeout=60)


def started(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen([CLI, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("how", ["read", "write"])
def test_who_writes_waits_until_the_file_is_free(path: Path, how: str) -> None:
    with holder(path, how) as other:
        waiting = started("sql", "--write", "--wait", "insert into store.concepts values (9, 'new')", "-w", path)
        assert waiting.stderr is not None
        said = waiting.stderr.readline()
        assert said.startswith(f"waiting: {path} is in use by process {other.pid} (")
        assert "-c import sys, neuronlake" in said
        time.sleep(1.5)
        assert waiting.poll() is None
        other.communicate("\n", timeout=60)
        _, rest = waiting.communicate(timeout=60)
    assert (waiting.returncode, rest) == (0, "done: 1 row\n")
    with neuronlake.open(path, write=False) as warehouse:
        assert warehouse.scalar("select concept from store.concepts where concept_id = 9") == "new"


def test_python_waits_too(path: Path) -> None:
    code = "import sys, neuronlake\nneuronlake.open(sys.argv[1], wait=True).close()\nprint('done')"
    with holder(path, "read") as other:
        waiting = subprocess.Popen(
            [sys.executable, "-c", code, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert waiting.stderr is not None
        assert f"is in use by process {other.pid} (" in waiting.stderr.readline()
        other.communicate("\n", timeout=60)
        assert waiting.communicate(timeout=60) == ("done\n", "")


def test_one_process_after_another_is_named(path: Path) -> None:
    with holder(path, "read") as first:
        waiting = started("sql", "--write", "--wait", "select 1", "-w", path)
        assert waiting.stderr is not None
        assert f"process {first.pid} (" in waiting.stderr.readline()
        with holder(path, "read") as second:
            first.communicate("\n", timeout=60)
            assert f"process {second.pid} (" in waiting.stderr.readline()
    waiting.communicate(timeout=60)
    assert waiting.returncode == 0


@pytest.mark.parametrize(
    "command",
    [
        ("ingest", "--model", "resnet18-imagenet", "--layers", "fc", "--probe", "photos", "--concepts", "broden"),
        ("sql", "--write", "select 1"),
    ],
)
def test_ctrl_c_ends_the_wait(path: Path, command: tuple[str, ...]) -> None:
    before = path.read_bytes()
    with holder(path, "read"):
        waiting = started(*command, "--wait", "--warehouse", path)
        assert waiting.stderr is not None
        assert waiting.stderr.readline().startswith("waiting: ")
        waiting.send_signal(signal.SIGINT)
        waiting.communicate(timeout=60)
        # `cli sql` ends by the signal itself, of which a shell makes 130 too
        assert waiting.returncode in (130, -signal.SIGINT)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "command",
    [
        ("ingest", "--model", "resnet18-imagenet", "--layers", "fc", "--probe", "photos", "--concepts", "broden"),
        ("score", "--method", "wpmi"),
        ("compare", "alpha", "beta"),
        ("evaluate", "alpha", "late"),
        ("import", "labels.csv"),
        ("sql", "--write", "select 1"),
    ],
    ids=lambda command: command[0],
)
def test_a_notebook_that_reads_is_named_to_who_wants_to_write(path: Path, command: tuple[str, ...]) -> None:
    with holder(path, "read") as notebook:
        done = subprocess.run(
            [CLI, *command, "--warehouse", path], capture_output=True, text=True, check=False, timeout=120
        )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {path} is in use by process {notebook.pid} (python")
    assert "if that is a notebook, close the connection there (wh.close())" in line
    assert "else wait until it ends, as --wait does for a command that writes" in line


@pytest.mark.parametrize(
    "command", [dissect.ingest, label.score, label.evaluate, compare.compare, files.import_labels, demo.demo]
)
def test_every_command_that_writes_can_wait(command: Callable[..., None]) -> None:
    assert inspect.signature(command).parameters["wait"].default is False
