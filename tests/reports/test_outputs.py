"""Files that users get: none takes the place of a warehouse, and a failure leaves what was there before."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

import neuronlake
from neuronlake import NeuronlakeError
from neuronlake.ingest.importers.labels import ImportOptions, import_labels
from neuronlake.reports.exports.descriptions import export_descriptions
from neuronlake.reports.files import OutputError, write_output
from neuronlake.reports.pictures import write_charts
from neuronlake.reports.units.card import read_unit
from neuronlake.reports.units.page import write_unit_page
from neuronlake.sql.opening import open_warehouse
from neuronlake.sql.warehouse import Warehouse

Writer = Callable[[Warehouse, Path], list[Path]]


@pytest.fixture
def path(small_file: Path, tmp_path: Path) -> Path:
    """A small warehouse, closed."""
    return Path(shutil.copy(small_file, tmp_path / "w.duckdb"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def cli(*arguments: str | Path, limit: int | None = None, umask: int = 0o022) -> subprocess.CompletedProcess[str]:
    """Run the command; where there is a limit, no file can grow larger, as on a full disk."""
    script = (
        "import os, resource, signal, sys\n"
        "from neuronlake.cli import main\n"
        f"os.umask({umask})\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit or -1}, -1))\n"
        "main()"
    )
    command = [sys.executable, "-c", script, *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


# --- never over a warehouse


def hard_link(name: Path, target: Path) -> None:
    name.hardlink_to(target)


def symbolic_link(name: Path, target: Path) -> None:
    name.symlink_to(target)


def other_warehouse(name: Path, target: Path) -> None:
    shutil.copy(target, name)


def of_someone_else(name: Path, _target: Path) -> None:
    with duckdb.connect(str(name)) as connection:
        connection.execute("create table sales (amount integer)")


@pytest.mark.parametrize("make", [hard_link, symbolic_link, other_warehouse, of_someone_else])
def test_a_report_never_takes_the_place_of_a_warehouse(path: Path, make: Callable[[Path, Path], None]) -> None:
    page = path.with_name("page.html")
    make(page, path)
    before = contents(path.parent)
    for output in (path, page):
        done = cli("report", "--output", output, "--warehouse", path)
        assert done.returncode == 1
        assert done.stderr == (
            f"error: {output} is a DuckDB file, which nothing is written over; name another with --output\n"
        )
    assert contents(path.parent) == before


@pytest.mark.parametrize("name", ["w.duckdb.wal", "w.duckdb.WAL", "w.duckdb.wal.checkpoint", "link.html"])
def test_a_report_never_takes_the_place_of_a_log(path: Path, name: str) -> None:
    """Neither of one that is there nor of one that will be."""
    output = path.with_name(name)
    if name == "link.html":
        output.symlink_to("w.duckdb.wal")
    before = contents(path.parent)
    done = cli("report", "--output", output, "--warehouse", path)
    assert done.returncode == 1
    assert done.stderr == f"error: {output} belongs to the DuckDB file w.duckdb; name another file with --output\n"
    assert contents(path.parent) == before


def test_a_file_that_only_ends_like_a_log_is_written(tmp_path: Path) -> None:
    write_output(tmp_path / "great.wal", b"old")
    write_output(tmp_path / "great.wal", b"new")
    assert contents(tmp_path) == {"great.wal": b"new"}


def page(opened: Warehouse, folder: Path) -> list[Path]:
    neuronlake.write_report(opened, folder / "page.html")
    return [folder / "page.html"]


def unit_page(opened: Warehouse, folder: Path) -> list[Path]:
    write_unit_page(opened, read_unit(opened, "alpha", "late", 0), folder / "unit.html")
    return [folder / "unit.html"]


def numbers_of_charts(opened: Warehouse, folder: Path) -> list[Path]:
    return write_charts(opened, folder, "csv")


@pytest.mark.parametrize("write", [page, unit_page, numbers_of_charts, export_descriptions])
def test_no_output_takes_the_place_of_a_warehouse(path: Path, tmp_path: Path, write: Writer) -> None:
    (tmp_path / "out").mkdir()
    with open_warehouse(path) as opened:
        first = write(opened, tmp_path / "out")[0]
    shutil.copy(path, first)
    with open_warehouse(path) as opened, pytest.raises(OutputError, match="is a DuckDB file"):
        write(opened, tmp_path / "out")
    assert first.read_bytes() == path.read_bytes()
    assert not list((tmp_path / "out").glob(".*"))


def test_a_warehouse_that_is_open_here_stays_locked_when_it_is_refused_as_an_output(path: Path) -> None:
    """Closing any descriptor of a file ends the locks that the process has on it."""
    other = Path(shutil.copy(path, path.with_name("other.duckdb")))
    with neuronlake.open(path) as opened, neuronlake.open(other):
        for output in (path, other):
            with pytest.raises(NeuronlakeError, match="is a DuckDB file"):
                neuronlake.write_report(opened, output)
            code = "import sys, duckdb; duckdb.connect(sys.argv[1])"
            second = subprocess.run([sys.executable, "-c", code, output], capture_output=True, text=True, check=False)
            assert f"PID {os.getpid()}" in second.stderr


# --- never over one another


def test_models_whose_names_make_one_file_name_get_a_file_each(tmp_path: Path) -> None:
    """Also where disks do not tell case; a number never takes the name of another model's file."""
    expected = {
        "My_Net": "My_Net.csv",
        "my net": "my_net-3.csv",
        "my/net": "my_net-4.csv",
        "my_net": "my_net-5.csv",
        "my_net-2": "my_net-2.csv",
        "resnet18-imagenet": "resnet18-imagenet.csv",
    }
    with open_warehouse(tmp_path / "w.duckdb", write=True) as warehouse:
        for number, model in enumerate(expected):
            labels = tmp_path / f"{number}.csv"
            labels.write_text(f"layer,unit,description\nfc,0,concept {number}\n")
            import_labels(warehouse, labels, ImportOptions(model=model))
        written = export_descriptions(warehouse, tmp_path / "out")
    assert [file.name for file in written] == list(expected.values())
    for number, file in enumerate(written):
        assert f"concept {number}" in file.read_text()


# --- whole or as it was


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
@pytest.mark.parametrize(
    "command",
    [
        ("export", "--output", "out"),
        ("report", "--format", "csv", "--output", "out"),
        pytest.param(("report", "--format", "svg", "--output", "out"), marks=pytest.mark.slow),
        pytest.param(("report", "--format", "png", "--output", "out"), marks=pytest.mark.slow),
        pytest.param(("report", "--output", "out/page.html"), marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_on_a_full_disk_the_old_file_stays(
    path: Path, tmp_path: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    arguments = (*command, "--warehouse", path)
    assert cli(*arguments).returncode == 0
    before = contents(tmp_path)
    done = cli(*arguments, limit=20)
    assert done.returncode == 1
    assert done.stderr.startswith("error: out/")
    assert done.stderr.endswith(" cannot be written: file too large; free some space and run it again\n")
    assert done.stderr.count("\n") == 1
    assert contents(tmp_path) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
@pytest.mark.parametrize("kind", ["parquet", "csv", "json", "md", "table"])
def test_an_answer_that_finds_no_room_is_one_line(path: Path, kind: str) -> None:
    script = "import sys; from neuronlake.cli import main; main()"
    command = [sys.executable, "-c", script, "sql", "select 1 as one", "--format", kind, "--warehouse", str(path)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert done.stderr.startswith("error: what this command makes cannot be written: No space left on device")
    assert done.stderr.count("\n") == 1


def test_a_page_that_cannot_be_drawn_leaves_the_old_one(path: Path, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("old")
    with open_warehouse(path) as opened, pytest.raises(NeuronlakeError, match="has no setting 9"):
        neuronlake.write_report(opened, tmp_path / "page.html", setting=9)
    assert (tmp_path / "page.html").read_text() == "old"


def test_a_link_stays_a_link_to_what_is_new(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "real.html").write_text("old")
    (tmp_path / "page.html").symlink_to("site/real.html")
    (tmp_path / "next.html").symlink_to("site/next.html")
    for name in ("page.html", "next.html"):
        write_output(tmp_path / name, b"new")
        assert (tmp_path / name).is_symlink()
    assert contents(tmp_path / "site") == {"real.html": b"new", "next.html": b"new"}


def test_permissions_stay_and_new_files_have_those_of_any_other(path: Path, tmp_path: Path) -> None:
    old, new = tmp_path / "alpha.csv", tmp_path / "beta.csv"
    old.touch()
    old.chmod(0o640)
    assert cli("export", "--output", tmp_path, "--warehouse", path, umask=0o002).returncode == 0
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    assert stat.S_IMODE(new.stat().st_mode) == 0o664


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX devices")
def test_a_page_can_go_into_a_pipe() -> None:
    script = (
        "from pathlib import Path; from neuronlake.reports.files import write_output\n"
        "for name in ('stdout', 'null'): write_output(Path('/dev') / name, b'new')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "new"
    assert Path("/dev/null").is_char_device()


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX devices")
@pytest.mark.parametrize("reader", ["head -c 15", "cat"])
def test_a_page_goes_to_a_reader_that_may_leave_early(path: Path, reader: str) -> None:
    command = f"{sys.executable} -m neuronlake.cli report -o /dev/stdout -w {path}"
    done = subprocess.run(["sh", "-c", f"{command} | {reader}"], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.startswith("<!doctype html>")
    assert done.stdout.rstrip().endswith("</html>" if reader == "cat" else ">")


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        ("folder", "folder is a folder; name a file"),
        ("none/page.html", "none does not exist; make it or name another"),
        ("w.duckdb/page.html", "the folder .*w.duckdb does not exist"),
        ("x" * 300, "cannot be written: file name too long; name another place"),
    ],
)
def test_a_page_without_a_place_is_one_line(path: Path, tmp_path: Path, output: str, complaint: str) -> None:
    (tmp_path / "folder").mkdir()
    with open_warehouse(path) as opened, pytest.raises(OutputError, match=complaint):
        neuronlake.write_report(opened, tmp_path / output)


def test_a_folder_for_files_must_not_be_a_file(path: Path) -> None:
    before = contents(path.parent)
    for arguments in (("export",), ("report", "--format", "svg")):
        done = cli(*arguments, "--output", path, "--warehouse", path)
        assert done.returncode == 1
        assert done.stderr == f"error: {path} is a file; name a folder with --output\n"
    assert contents(path.parent) == before
