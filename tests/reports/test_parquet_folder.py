"""`cli export --format parquet`: a folder that explains itself, there whole or not at all, and over nothing."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import polars as pl
import pytest

import neuronlake
from neuronlake import NeuronlakeError
from neuronlake.sql.opening import open_warehouse

CLI = Path(sys.executable).parent / "cli"


@pytest.fixture
def path(small_file: Path, tmp_path: Path) -> Path:
    """A small warehouse, closed."""
    return Path(shutil.copy(small_file, tmp_path / "w.duckdb"))


@pytest.fixture(scope="module")
def exported(small_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "shared"
    folder.mkdir()  # an empty one will do
    done = cli("export", "--format", "parquet", "--output", folder, "--setting", "1", "--warehouse", small_file)
    assert done.returncode == 0
    assert re.fullmatch(rf"wrote {folder} \([\d.]+ MB\)\n", done.stderr)
    return folder


def cli(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([CLI, *arguments], capture_output=True, text=True, check=False, timeout=120)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def blocks(readme: str) -> list[str]:
    """The README's pieces of code."""
    found = re.findall(r"(?:^    .+\n|^\n(?=    ))+", readme, re.MULTILINE)
    return ["\n".join(line[4:] for line in block.strip("\n").splitlines()) for block in found]


def test_the_folder_has_views_tables_a_report_and_a_readme(exported: Path) -> None:
    assert sorted(file.name for file in exported.iterdir()) == ["README.md", "report.html", "tables", "views"]
    assert [file.name for file in exported.parent.iterdir()] == ["shared"]


def test_the_readme_says_of_which_networks_and_settings_it_is(exported: Path) -> None:
    text = (exported / "README.md").read_text()
    assert "| alpha | early | 3 | photos | 5 |" in text
    assert "- setting 5: cos_similarity, concepts few, encoder tiny, images photos, mean pooling" in text
    assert "`preferred_classes`: One row per live unit and label of images" in text


def test_the_readme_lists_each_file_with_its_rows(exported: Path) -> None:
    listed = re.findall(r"^\| `(.+)` \| (\d+) \| (.+) \|$", (exported / "README.md").read_text(), re.MULTILINE)
    files = {str(file.relative_to(exported)) for file in exported.rglob("*.parquet")}
    assert {name for name, _, _ in listed} == files
    for name, rows, what in listed:
        assert pl.scan_parquet(exported / name).select(pl.len()).collect().item() == int(rows)
        assert what.endswith(".")
    of = {name: what for name, _, what in listed}
    assert of["views/unit_labels.parquet"].startswith("One row per unit of a scoring: the concept it stands for")
    assert of["tables/labels.parquet"] == "Table `store.labels`."


def test_what_the_readme_tells_to_type_works(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    polars, sql, ours, command = blocks((exported / "README.md").read_text())
    monkeypatch.chdir(exported)
    names: dict[str, pl.DataFrame] = {}
    exec(polars, names)  # noqa: S102  our own text
    assert (names["labels"].height, names["unit"].columns[-1]) == (20, "layer_id")
    # the units of the newest setting
    assert len(duckdb.execute(sql).fetchall()) == 7
    monkeypatch.chdir(exported.parent)
    exec(ours, {})  # noqa: S102
    monkeypatch.setenv("PATH", f"{CLI.parent}:{os.environ['PATH']}")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1 + 6


def test_the_report_is_of_the_chosen_setting(exported: Path) -> None:
    text = (exported / "report.html").read_text()
    # the page of each unit has what other settings say of it, after this
    shown = text.split('id="detail-data"')[0]
    assert "soft_wpmi" in shown
    assert "cos_similarity" not in shown


def test_every_reading_command_takes_the_folder(exported: Path, tmp_path: Path) -> None:
    for arguments in (
        ("status",),
        ("verify",),
        ("unit", "alpha", "late", "0"),
        ("sql", "most_frequent_concepts"),
        ("report", "--output", tmp_path / "page.html"),
        ("export", "--output", tmp_path / "descriptions"),
        ("export", "--format", "parquet", "--output", tmp_path / "again"),
    ):
        done = cli(*arguments, "--warehouse", exported)
        assert done.returncode == 0, done.stderr
    for part in ("views", "tables"):
        assert contents(tmp_path / "again" / part).keys() == contents(exported / part).keys()


@pytest.mark.parametrize(
    "arguments",
    [
        ("sql", "--write", "select 1"),
        ("score", "--method", "wpmi"),
        ("evaluate", "alpha", "late"),
        ("import", "labels.csv"),
    ],
)
def test_no_writing_command_takes_it(exported: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    before = contents(exported)
    done = cli(*arguments, "--warehouse", exported)
    assert done.returncode == 1
    assert done.stderr == (
        f"error: {exported} is an exported folder, which is read-only; "
        "change the warehouse that it was made of, and export it again\n"
    )
    assert contents(exported) == before


@pytest.mark.parametrize("options", [(), ("--allow-files",)])
@pytest.mark.parametrize("file", ["views/scorings.parquet", "views/mine.parquet"])
def test_sql_copies_nothing_into_it(exported: Path, file: str, options: tuple[str, ...]) -> None:
    """Not even over a file that it may read, which DuckDB would let it."""
    before = contents(exported)
    query = f"copy (select 1 as a) to '{exported}/{file}' (use_tmp_file false)"
    done = cli("sql", query, *options, "--warehouse", exported)
    assert done.returncode == 1
    assert "which is read-only; name another place" in done.stderr
    assert contents(exported) == before


def test_from_a_notebook_sql_asks_on_after_an_export(path: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    with neuronlake.open(path) as warehouse:
        before = warehouse.sql("select name, value from duckdb_settings() order by name").fetchall()
        folder = neuronlake.export_folder(
            warehouse, tmp_path / "shared", 5, lambda stage, done, total: seen.append((stage, done, total))
        )
        assert warehouse.sql("select name, value from duckdb_settings() order by name").fetchall() == before
        warehouse.execute("insert into store.concepts values (9, 'new')")
    assert folder == tmp_path / "shared"
    assert ("Writing activations", 100, 100) in seen


def test_a_warehouse_without_labels_is_exported_too(tmp_path: Path) -> None:
    with neuronlake.open(tmp_path / "w.duckdb") as warehouse:
        neuronlake.export_folder(warehouse, tmp_path / "shared")
    assert "Nothing was labelled yet." in (tmp_path / "shared" / "README.md").read_text()
    with neuronlake.open(tmp_path / "shared") as read_back:
        assert read_back.scalar("select count(*) from unit_labels") == 0


# --- whole or not at all, and over nothing


def refusal(path: Path, folder: Path, setting: str | None = None) -> str:
    """The one line with which an export is refused; nothing is changed."""
    before = contents(path.parent)
    with open_warehouse(path) as warehouse, pytest.raises(NeuronlakeError) as refused:
        neuronlake.export_folder(warehouse, folder, setting)
    assert contents(path.parent) == before
    assert not list(path.parent.glob(".*"))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_folder_that_holds_something_is_left_alone(path: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.png").write_text("a picture")
    message = refusal(path, tmp_path / "photos")
    assert message.endswith(
        "photos is not empty, and nothing is written over; remove it first or name another with --output"
    )


def test_an_earlier_export_is_left_alone_too(path: Path, exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "shared")
    assert "is not empty" in refusal(path, tmp_path / "shared")


def test_other_places_are_named(path: Path, tmp_path: Path) -> None:
    assert "w.duckdb is a file; name a folder" in refusal(path, path)
    assert "does not exist; make it" in refusal(path, tmp_path / "none" / "shared")


def test_the_folder_that_one_is_in_keeps_its_place(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in (".", "../here"):
        assert refusal(path, Path(name)).startswith(f"{name} is the folder that you are in; name another")
    with open_warehouse(path) as warehouse:
        assert neuronlake.export_folder(warehouse, "shared") == Path("shared")


def test_a_table_that_a_user_added_is_written_whatever_its_name(path: Path, tmp_path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("""create table store.\"my 'own' table\" as select 7 as number""")
    with open_warehouse(path) as warehouse:
        folder = neuronlake.export_folder(warehouse, tmp_path / "shared")
    assert pl.read_parquet(folder / "tables" / "my 'own' table.parquet")["number"].to_list() == [7]
    with open_warehouse(folder) as read_back:
        assert read_back.scalar("select count(*) from runs") == 2


def test_an_unknown_setting_or_a_broken_warehouse_leaves_no_folder(path: Path, tmp_path: Path) -> None:
    assert "has no setting 7" in refusal(path, tmp_path / "shared", "7")
    with open_warehouse(path, write=True) as warehouse:
        warehouse.execute("insert into store.activations values (1, 0, 99, 1)")
    assert "is not whole; `cli verify` says what it lacks" in refusal(path, tmp_path / "shared")


@pytest.mark.parametrize("signals", [signal.SIGKILL, signal.SIGINT])
def test_an_export_that_is_stopped_leaves_no_half_folder_and_can_be_repeated(
    path: Path, tmp_path: Path, signals: signal.Signals
) -> None:
    command = [CLI, "export", "--format", "parquet", "--output", tmp_path / "shared", "--warehouse", path]
    running = subprocess.Popen(command, stderr=subprocess.PIPE)
    half = tmp_path / ".shared.neuronlake-new"
    while not (half / "views" / "activations.parquet").exists():
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(signals)
    running.communicate(timeout=60)
    assert running.returncode == (130 if signals == signal.SIGINT else -signal.SIGKILL)
    assert not (tmp_path / "shared").exists()
    assert half.exists() == (signals == signal.SIGKILL)
    subprocess.run(command, check=True, capture_output=True)
    assert not list(tmp_path.glob(".*"))
    with neuronlake.open(tmp_path / "shared") as read_back:
        assert read_back.scalar("select count(*) from unit_labels") == 20
