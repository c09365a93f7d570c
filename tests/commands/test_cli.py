"""The command line, run as a user runs it: exit status, output, one-line errors."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

CLI = Path(sys.executable).parent / "cli"
COMMANDS = (
    "ingest",
    "demo",
    "sql",
    "views",
    "status",
    "report",
    "unit",
    "simulate",
    "find",
    "export",
    "verify",
    "import",
)


def cli(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command with no terminal and no network."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "COLUMNS": "120", "NO_COLOR": "1"}
    environment.pop("NEURONLAKE_WAREHOUSE", None)
    command = [str(CLI), *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment, timeout=120)


def ask(warehouse: Path, query: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return cli("sql", query, *arguments, "--warehouse", warehouse)


def test_help_lists_every_command() -> None:
    done = cli("--help")
    assert done.returncode == 0
    assert all(command in done.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    done = cli(command, "--help")
    assert done.returncode == 0
    assert "Usage:" in done.stdout


def test_version() -> None:
    from neuronlake import __version__

    assert cli("--version").stdout == f"neuronlake {__version__}\n"


def test_ingest_runs_again_as_a_no_op_and_reports(
    tmp_path: Path, image_folder: Path, tiny_clip_folder: Path, concept_file: Path
) -> None:
    arguments = [
        *("ingest", "--model", "resnet18-imagenet", "--layers", "layer4,fc", "--probe", image_folder),
        *("--concepts", concept_file, "--concepts", "places365", "--encoder", f"local-dir:{tiny_clip_folder}"),
        *("--random-weights", "--parameter", "top_k=4", "--warehouse", "my.duckdb"),
    ]
    first = cli(*arguments, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert first.stdout == ""
    assert "20 images extracted, 2 of 2 layers scored" in first.stderr
    assert "next: cli report --warehouse my.duckdb" in first.stderr
    again = cli(*arguments, cwd=tmp_path)
    assert again.returncode == 0
    assert "nothing to do: my.duckdb holds all of it" in again.stderr
    runs = json.loads(ask(tmp_path / "my.duckdb", "select command, status from runs", "--format", "json").stdout)
    assert [run["status"] for run in runs] == ["finished"]
    assert "--parameter top_k=4" in runs[0]["command"]
    assert "resnet18-imagenet" in cli("status", "-w", "my.duckdb", cwd=tmp_path).stdout


def test_sql_takes_text_names_views_and_files(tiny_warehouse: Path, tmp_path: Path) -> None:
    by_text = ask(tiny_warehouse, "select count(*) as n from unit_labels")
    assert by_text.stdout == "n\n1256\n"
    by_view = pl.read_csv(io.StringIO(ask(tiny_warehouse, "layer_summary").stdout))
    assert sorted(by_view["layer"].to_list()) == ["fc", "layer3"]
    by_name = pl.read_csv(io.StringIO(ask(tiny_warehouse, "most_frequent_concepts", "top=1").stdout))
    assert by_name.height == 2
    bound = ask(tiny_warehouse, "select $a || '!' as said", "a=it's")
    assert bound.stdout == "said\nit's!\n"
    (tmp_path / "query.sql").write_text("select 1 as one")
    from_file = cli("sql", "-f", tmp_path / "query.sql", "-w", tiny_warehouse)
    assert from_file.stdout == "one\n1\n"


def test_every_format_holds_the_same_rows(tiny_warehouse: Path) -> None:
    query = "select layer, units from layer_summary order by layer"
    rows = [{"layer": "fc", "units": 1000}, {"layer": "layer3", "units": 256}]
    assert json.loads(ask(tiny_warehouse, query, "--format", "json").stdout) == rows
    assert pl.read_csv(io.StringIO(ask(tiny_warehouse, query, "--format", "csv").stdout)).to_dicts() == rows
    assert ask(tiny_warehouse, query, "--format", "md").stdout == (
        "| layer | units |\n| --- | ---: |\n| fc | 1000 |\n| layer3 | 256 |\n"
    )
    assert "layer3    256" in ask(tiny_warehouse, query, "--format", "table").stdout
    command = [str(CLI), "sql", query, "--format", "parquet", "-w", str(tiny_warehouse)]
    parquet = subprocess.run(command, capture_output=True, check=True).stdout
    assert pl.read_parquet(io.BytesIO(parquet)).to_dicts() == rows


def test_views_lists_all_and_shows_one() -> None:
    listed = cli("views")
    assert "unit_labels" in listed.stdout
    assert "most_repeated_concept" in listed.stdout
    shown = cli("views", "units_for_concept")
    assert "concept (text): the concept, a word of it, or a pattern" in shown.stdout
    assert "from unit_terms" in shown.stdout


def test_unit_shows_what_the_views_say(tiny_warehouse: Path) -> None:
    query = "select concept, runner_up from unit_labels where layer = 'fc' and unit = 7"
    (row,) = json.loads(ask(tiny_warehouse, query, "--format", "json").stdout)
    shown = cli("unit", "resnet18-imagenet", "fc", "7", "-w", tiny_warehouse).stdout
    lines = shown.splitlines()
    assert lines[0] == "resnet18-imagenet · fc · unit 7"
    assert lines[1].startswith(f"{row['concept']}, similarity")
    assert "best concepts" in shown
    assert row["runner_up"] in shown
    assert shown.count(".png") == 10


def test_charts_are_written_for_papers(tiny_warehouse: Path, tmp_path: Path) -> None:
    for file_format, beginning in (("svg", b"<svg"), ("png", b"\x89PNG"), ("csv", b"layer,concept,")):
        done = cli("report", "--format", file_format, "-o", tmp_path / file_format, "-w", tiny_warehouse)
        files = [Path(line) for line in done.stdout.splitlines()]
        assert files == [tmp_path / file_format / f"{path.stem}.{file_format}" for path in files]
        assert len(files) == 6
        assert files[0].read_bytes().startswith(beginning)


def test_export_has_clip_dissects_columns(tiny_warehouse: Path, tmp_path: Path) -> None:
    done = cli("export", "--output", tmp_path / "out", "--warehouse", tiny_warehouse)
    assert done.stdout.strip() == str(tmp_path / "out" / "resnet18-imagenet.csv")
    frame = pl.read_csv(done.stdout.strip())
    assert frame.columns == ["layer", "unit", "description", "similarity"]
    assert frame["layer"].unique(maintain_order=True).to_list() == ["layer3", "fc"]
    assert frame.filter(pl.col("layer") == "fc")["unit"].to_list() == list(range(1000))


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (["sql", "select 1", "-w", "nowhere.duckdb"], 1, "there is no warehouse at nowhere.duckdb"),
        (["sql", "selct 1", "-w", "tiny.duckdb"], 1, 'syntax error at or near "selct"'),
        (["sql", "unit_labls", "-w", "tiny.duckdb"], 1, "did you mean unit_labels"),
        (["sql", "units_for_concept", "-w", "tiny.duckdb"], 1, "needs concept"),
        (["sql", "units_for_concept", "cat", "-w", "tiny.duckdb"], 1, "is written KEY=VALUE, not 'cat'"),
        (["sql", "settings", "top=3", "-w", "tiny.duckdb"], 1, "has no parameter 'top'"),
        (["sql", "select 1", "--format", "xml", "-w", "tiny.duckdb"], 1, "there is no format 'xml'"),
        (["sql", "-w", "tiny.duckdb"], 1, "give a query, or a file with -f"),
        (["sql", "delete from store.labels", "-w", "tiny.duckdb"], 1, "read-only"),
        (["sql", "select * from read_csv('secret.csv')", "-w", "tiny.duckdb"], 1, "disabled by configuration"),
        (["report", "--setting", "99", "-w", "tiny.duckdb"], 1, "has no setting 99; it has 1"),
        (["report", "-o", "no/folder/page.html", "-w", "tiny.duckdb"], 1, "does not exist"),
        (["report", "--format", "pdf", "-w", "tiny.duckdb"], 1, "there is no format 'pdf'"),
        (["unit", "resnet18", "fc", "1", "-w", "tiny.duckdb"], 1, "no model 'resnet18'"),
        (["unit", "resnet18-imagenet", "f", "1", "-w", "tiny.duckdb"], 1, "no layer 'f'"),
        (["unit", "resnet18-imagenet", "fc", "1000", "-w", "tiny.duckdb"], 1, "units 0 to 999, not 1000"),
        (["views", "nothing"], 1, "no query or view is named 'nothing'"),
        (["ingest", "--model", "resnet18-imagenet"], 2, "Missing option"),
        (["nothing"], 2, "No such command"),
    ],
)
def test_an_error_is_one_line_with_its_exit_status(
    tiny_warehouse: Path, tmp_path: Path, arguments: list[str], status: int, complaint: str
) -> None:
    shutil.copy(tiny_warehouse, tmp_path / "tiny.duckdb")
    (tmp_path / "secret.csv").write_text("a\n1\n")
    before = (tmp_path / "tiny.duckdb").read_bytes()
    done = cli(*arguments, cwd=tmp_path)
    assert done.returncode == status
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    if status == 1:
        assert done.stderr.startswith("error: ")
    assert done.stdout == ""
    assert (tmp_path / "tiny.duckdb").read_bytes() == before


def test_a_run_that_cannot_begin_leaves_no_file(tmp_path: Path) -> None:
    arguments = ["--layers", "fc", "--probe", tmp_path, "--concepts", "imagenet", "--warehouse", "new.duckdb"]
    done = cli("ingest", "--model", "resnet81-imagenet", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert "did you mean" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = cli("status", "-w", tmp_path / "nowhere.duckdb", "--debug")
    assert done.returncode != 0
    assert "Traceback" in done.stderr


def test_a_reader_that_leaves_early_is_no_error(tiny_warehouse: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{CLI} sql activations -w {tiny_warehouse} | head -1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("model,layer,unit")
    assert done.stderr == ""


def test_writing_needs_to_be_asked_for(tiny_warehouse: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(tiny_warehouse, tmp_path / "copy.duckdb"))
    done = cli("sql", "create table mine as select 1 as a", "--write", "-w", copy)
    assert done.returncode == 0, done.stderr
    assert ask(copy, "select a from mine").stdout == "a\n1\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("report", "-o", "."), "error: . is a folder; name a file with --output"),
        (("report", "--format", "csv", "-o", "file"), "error: file is a file; name a folder with --output"),
        (("export", "-o", "file"), "error: file is a file; name a folder with --output"),
        (("sql", "-f", "latin.sql"), "error: latin.sql is not UTF-8 text; convert it, for example with iconv"),
        (("sql", "-f", "none.sql"), "error: there is no file none.sql; give the query itself, or a file with -f"),
    ],
)
def test_a_file_of_the_wrong_kind_is_one_line(
    arguments: tuple[str, ...], message: str, tiny_warehouse: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "latin.sql").write_bytes(b"select '\xe9'")
    done = cli(*arguments, "-w", tiny_warehouse, cwd=tmp_path)
    assert (done.returncode, done.stderr.strip()) == (1, message)
