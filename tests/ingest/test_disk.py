"""A full disk ends a command with one line; what was there is whole, and with space given the rest is done."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tiny import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="needs tmpfs and namespaces")]

# Imports what takes seconds once, and then forks a process for each command. For each size: a disk with so many bytes
# free (or a limit on the size of files), with the files of a folder if one is given; there the command and `verify`,
# then space for all, and both again.
LAUNCHER = """
import json, os, resource, shutil, signal, subprocess, sys
from pathlib import Path
import open_clip
import neuronlake.ingest.run
from neuronlake.cli import main

kind, scratch, sizes, arguments = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]), json.loads(sys.argv[4])
begun = Path(sys.argv[5]) if len(sys.argv) > 5 else None


def cli(*arguments, limit=None):
    child = os.fork()
    if child == 0:
        output = os.open(scratch / "output.txt", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if limit:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        sys.argv = ["cli", *arguments]
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
        except BaseException:
            import traceback
            traceback.print_exc()
            status = 70
        sys.stderr.flush()
        os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {"status": status, "lines": (scratch / "output.txt").read_text().splitlines()}


for size in sizes:
    disk = scratch / f"disk{size}"
    disk.mkdir()
    if kind == "disk":
        first = "1g" if begun else size
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={first}", "tmpfs", str(disk)], check=True)
    if begun:
        shutil.copytree(begun, disk, dirs_exist_ok=True)
    if begun and kind == "disk":
        used = os.statvfs(disk)
        size += (used.f_blocks - used.f_bfree) * used.f_frsize
        subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)
    os.chdir(disk)
    to = ("--warehouse", str(disk / "w.duckdb"))
    full = cli(*arguments, *to, limit=size if kind == "limit" else None)
    left = {str(file.relative_to(disk)): file.read_bytes() == b"old" for file in disk.rglob("*") if file.is_file()}
    checked = cli("verify", *to)
    if kind == "disk":
        subprocess.run(["mount", "-o", "remount,size=1g", str(disk)], check=True)
    again = cli(*arguments, *to)
    whole = cli("verify", *to)
    used = (disk / "w.duckdb").stat().st_size
    print(json.dumps({"full": full, "left": left, "checked": checked, "again": again, "whole": whole, "size": used}))
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    lines: list[str]


@dataclass(frozen=True)
class Story:
    """What came of an ingest that ran out of space.

    Attributes:
        full: the ingest.
        left: names of the files that it left, with whether it is an old one.
        checked: `cli verify` of them.
        again: the same ingest with space enough.
        whole: `cli verify` of that.
        size: the file's, at the end.
    """

    full: Ended
    left: dict[str, bool]
    checked: Ended
    again: Ended
    whole: Ended
    size: int


_COMMANDS = {"full", "checked", "again", "whole"}


def stories(
    kind: str, scratch: Path, sizes: list[int], arguments: list[str], *wrapper: str, begun: Path | None = None
) -> list[Story]:
    """Run the launcher."""
    scratch.mkdir(exist_ok=True)
    given = [kind, str(scratch), json.dumps(sizes), json.dumps(arguments), *([str(begun)] if begun else [])]
    command = [*wrapper, sys.executable, "-c", LAUNCHER, *given]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return [
        Story(**{name: Ended(**part) if name in _COMMANDS else part for name, part in each.items()}) for each in told
    ]


def namespace() -> list[str]:
    """A command that gives what it runs its own mounts, which end with it.

    Skips where the machine allows no such thing.
    """
    wrapper = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    trial = [*wrapper, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    if not shutil.which("unshare") or subprocess.run(trial, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets no test mount a small disk")
    return wrapper


@pytest.fixture(scope="module")
def arguments(image_folder: Path, tiny_clip_folder: Path, concept_file: Path) -> list[str]:
    """A small ingest."""
    return [
        *("ingest", "--model", "resnet18-imagenet", "--layers", "layer3,fc", "--probe", str(image_folder)),
        *("--concepts", str(concept_file), "--encoder", f"local-dir:{tiny_clip_folder}"),
        *("--random-weights", "--parameter", "top_k=4"),
    ]


@pytest.fixture(scope="module")
def sizes(arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    """Too little to make the file, to load a chunk, and to score, by what the whole file takes."""
    (whole,) = stories("limit", tmp_path_factory.mktemp("whole"), [2**30], arguments)
    assert whole.full.status == 0, whole.full.lines
    return [whole.size * percent // 100 // 4096 * 4096 for percent in (4, 25, 60)]


def check_lines(full: Ended, reason: str) -> None:
    """One line says that it failed and why, the last."""
    *progress, last = full.lines
    assert full.status == 1, full.lines
    assert last.startswith("error: ")
    assert last.count("cannot be written") == 1
    assert reason in last
    assert not [line for line in progress if "error" in line.lower() or "Traceback" in line]


def check(story: Story, reason: str) -> None:
    """One line that says what is full and what to do; nothing broken; the same command ends the work."""
    check_lines(story.full, reason)
    assert story.full.lines[-1].endswith("and run the same command again")
    assert set(story.left) <= {"w.duckdb", "w.duckdb.wal"}
    if "w.duckdb" in story.left:
        assert story.checked.lines[-1].endswith("is whole")
    else:
        assert "there is no warehouse at" in story.checked.lines[-1]
    assert story.again.status == 0, story.again.lines
    # what was scored before the disk was full is there
    assert any(re.search("[12] of 2 layers scored", line) for line in story.again.lines)
    assert story.whole.status == 0, story.whole.lines


def test_an_ingest_survives_a_full_disk(arguments: list[str], sizes: list[int], tmp_path: Path) -> None:
    smallest, *others = stories("disk", tmp_path / "disks", sizes, arguments, *namespace())
    for story in (smallest, *others):
        check(story, "the disk is full; what was committed is kept: free some space")
    assert smallest.left == {}
    assert all("w.duckdb" in story.left for story in others)


def test_an_ingest_survives_a_limit_on_the_size_of_files(
    arguments: list[str], sizes: list[int], tmp_path: Path
) -> None:
    for story in stories("limit", tmp_path / "limits", sizes, arguments):
        check(story, "a limit on the size of files is reached")


@pytest.fixture(scope="module")
def begun(arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a warehouse, older outputs of it, and labels to import."""
    scratch, folder = tmp_path_factory.mktemp("scratch"), tmp_path_factory.mktemp("begun")
    (story,) = stories("limit", scratch, [2**30], arguments)
    assert story.whole.status == 0, story.full.lines
    shutil.copy(scratch / f"disk{2**30}" / "w.duckdb", folder)
    (folder / "page.html").write_text("old")
    (folder / "out").mkdir()
    (folder / "out" / "resnet18-imagenet.csv").write_text("old")
    labels = [f"late,{unit},concept {unit}\n" for unit in range(20_000)]
    (folder / "labels.csv").write_text("layer,unit,description\n" + "".join(labels))
    (folder / "more.txt").write_text("\n".join(f"word {number}" for number in range(300)))
    return folder


COMMANDS = {
    "score": ["score", "--concepts", "more.txt", "--parameter", "top_k=4"],
    "import": ["import", "labels.csv", "--model", "other"],
    "report": ["report", "--output", "page.html"],
    "export": ["export", "--output", "out"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_survives_a_full_disk(begun: Path, tmp_path: Path, name: str) -> None:
    (story,) = stories("disk", tmp_path / "disks", [8192], COMMANDS[name], *namespace(), begun=begun)
    check_lines(story.full, "the disk is full" if name in {"score", "import"} else "no space left on device")
    before = {str(file.relative_to(begun)): file.read_bytes() == b"old" for file in begun.rglob("*") if file.is_file()}
    assert {name: is_old for name, is_old in story.left.items() if name != "w.duckdb.wal"} == before
    assert story.checked.lines[-1].endswith("is whole")
    assert story.again.status == 0, story.again.lines
    assert story.whole.status == 0, story.whole.lines


def test_a_report_on_a_full_disk_is_one_line(tmp_path: Path) -> None:
    example = ROOT / "warehouse.duckdb.example"
    script = (
        "import resource, signal, sys\n"
        "from neuronlake.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "main()"
    )
    command = [sys.executable, "-c", script, "report", "-w", str(example), "-o", str(tmp_path / "page.html")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert done.stderr == (
        f"error: {tmp_path}/page.html cannot be written: file too large; free some space and run it again\n"
    )
    assert list(tmp_path.iterdir()) == []
