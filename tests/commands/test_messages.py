"""What is said to the user is true, about the warehouse at hand, and says what to do next."""

from __future__ import annotations

import dataclasses
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

import neuronlake
from neuronlake import NeuronlakeError
from neuronlake.cli import main
from neuronlake.commands.terminal import resumable
from neuronlake.ingest.importers.labels import ImportOptions, import_labels
from neuronlake.ingest.recipe import Recipe
from neuronlake.sql import hints
from neuronlake.sql.opening import open_warehouse
from tiny import write_image

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def here(small_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a small warehouse ``my lake.duckdb``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NEURONLAKE_WAREHOUSE", raising=False)
    (tmp_path / "my lake.duckdb").write_bytes(small_file.read_bytes())
    return tmp_path


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process: its exit status, and what it says on both streams."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cli", *arguments])
        status = 0
        try:
            main()
        except SystemExit as stopped:
            status = int(stopped.code or 0)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


LAKE = ("-w", "my lake.duckdb")


# --- commands to type next


def test_a_hint_names_the_warehouse_that_the_command_would_not_take_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NEURONLAKE_WAREHOUSE", raising=False)
    assert hints.command("cli status", Path("warehouse.duckdb")) == "cli status"
    assert hints.command("cli status", tmp_path / "warehouse.duckdb") == "cli status"
    assert hints.command("cli status", Path("my lake.duckdb")) == "cli status --warehouse 'my lake.duckdb'"
    monkeypatch.setenv("NEURONLAKE_WAREHOUSE", "~/other.duckdb")
    assert hints.command("cli status", tmp_path / "other.duckdb") == "cli status"
    assert hints.command("cli status", Path("warehouse.duckdb")) == "cli status --warehouse warehouse.duckdb"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("status", "-w", "no such.duckdb"), "cli ingest --warehouse 'no such.duckdb'"),
        (("score", "-w", "no such.duckdb"), "cli ingest --warehouse 'no such.duckdb'"),
        (("score", "--probe", "none", *LAKE), "cli status --warehouse 'my lake.duckdb'"),
        (("evaluate", "alpha", "none", *LAKE), "cli status --warehouse 'my lake.duckdb'"),
    ],
)
def test_an_error_hints_at_a_command_on_the_warehouse_of_the_run(
    here: Path, cli: Run, arguments: tuple[str, ...], hint: str
) -> None:
    status, _, said = cli(*arguments)
    assert status == 1
    assert f"`{hint}`" in said


def test_a_run_says_how_many_images_it_read_and_how_many_it_could_not(
    tiny_recipe: Recipe, tmp_path: Path, cli: Run
) -> None:
    for number in range(7):
        write_image(tmp_path / "photos" / f"{number}.png", number)
    for number in range(3):
        (tmp_path / "photos" / f"words-{number}.png").write_text("these are words")
    given = (
        *("ingest", "--model", "resnet18-imagenet", "--random-weights", "--layers", "fc"),
        *("--probe", str(tmp_path / "photos"), "--concepts", tiny_recipe.concepts[0]),
        *("--encoder", tiny_recipe.encoder, "--parameter", "top_k=5", "-w", str(tmp_path / "my lake.duckdb")),
    )
    status, _, said = cli(*given)
    assert status == 0
    assert said.startswith("7 images extracted, 3 could not be read, 1 of 1 layers scored in ")
    lake = shlex.quote(str(tmp_path / "my lake.duckdb"))
    assert f"note: 3 of 10 files could not be read: cli sql failed_images --warehouse {lake}\n" in said
    assert said.endswith(f"next: cli report --warehouse {lake}\n")
    assert "nothing to do: " in cli(*given)[2]


# --- Ctrl-C


def interrupted_at(stage: str, at_least: int, path: Path, recipe: Recipe) -> None:
    """An ingest that Ctrl-C ends when it says that so much of a stage is done."""

    def progress(now: str, done: int, _total: int) -> None:
        if now == stage and done >= at_least:
            raise KeyboardInterrupt

    with pytest.raises(typer.Exit) as ended, resumable(path), open_warehouse(path, write=True) as warehouse:
        neuronlake.ingest(warehouse, recipe, progress)
    assert ended.value.exit_code == 130


def test_an_interrupted_run_says_what_is_kept(
    tiny_recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "w.duckdb"
    go_on = "; run the same command again to go on\n"
    for stage, at_least, kept in (
        ("Reading probe", 1, "nothing was loaded yet"),
        ("Extracting images", 1, "nothing was loaded yet"),
        ("Extracting images", 17, "kept 16 images of this run"),  # two chunks
        ("Scoring layers", 1, "kept 4 images and 1 scored layer of this run"),
    ):
        interrupted_at(stage, at_least, path, tiny_recipe)
        assert capsys.readouterr().err == f"interrupted: {kept}{go_on}", stage
    with open_warehouse(path, write=True) as warehouse:
        assert neuronlake.ingest(warehouse, tiny_recipe).scored_layers == 1


# --- one unit


def test_the_path_of_a_units_page_comes_before_whatever_the_opener_says(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opener = here / "bin" / ("open" if sys.platform == "darwin" else "xdg-open")
    opener.parent.mkdir()
    opener.write_text('#!/bin/sh\necho "no browser"; echo "no browser" >&2; echo "$1" > opened.txt\n')
    opener.chmod(0o755)
    for path in (f"{opener.parent}{os.pathsep}{os.environ['PATH']}", str(here / "empty")):
        done = subprocess.run(
            [str(Path(sys.executable).parent / "cli"), "unit", "alpha", "late", "0", "--open", *LAKE],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PATH": path, "TMPDIR": str(here)},
        )
        assert done.stderr == ""
        assert "no browser" not in done.stdout
        page = Path(done.stdout.splitlines()[-1])
        assert page.is_file()
        deadline = time.monotonic() + 30
        while path != str(here / "empty") and not (here / "opened.txt").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (here / "opened.txt").exists()


@pytest.mark.parametrize(
    ("similarity", "q_value", "expected"),
    [
        ("0.5", "0.01", "similarity 0.5, q 0.01: better than chance"),
        ("0.5", "null", "similarity 0.5"),
        ("null", "null", ""),
    ],
)
def test_a_unit_shows_what_is_known_of_its_label_and_no_dangling_comma(
    here: Path, cli: Run, monkeypatch: pytest.MonkeyPatch, similarity: str, q_value: str, expected: str
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("tempfile.tempdir", str(here))
    with open_warehouse(here / "my lake.duckdb", write=True) as warehouse:
        warehouse.execute(f"update store.labels set similarity = {similarity}, q_value = {q_value}")
    status, shown, said = cli("unit", "alpha", "late", "0", "--open", "--setting", "1", *LAKE)
    assert (status, said) == (0, "")
    assert shown.splitlines()[1] == "dog (object)" + (f", {expected}" if expected else "")
    page = Path(shown.splitlines()[-1]).read_text()
    lead = page.partition('<p class="lead">')[2].partition("</p>")[0]
    assert lead == expected[:1].upper() + expected[1:]


def test_an_imported_unit_without_a_label_is_not_called_live(
    here: Path, cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "milan.csv").write_text("layer,unit,description\nlayer4,0,red dots\nlayer4,1,\n")
    with neuronlake.open(here / "new.duckdb") as warehouse:
        import_labels(warehouse, here / "milan.csv", ImportOptions(model="m", method="milan"))
    unknown = "unknown (imported)"
    setting = f"setting 1: milan, concepts {unknown}, encoder {unknown}, images {unknown}, mean pooling\n"
    assert cli("unit", "m", "layer4", "0", "-w", "new.duckdb")[1] == f"m · layer4 · unit 0\nred dots\n{setting}"
    assert cli("unit", "m", "layer4", "1", "-w", "new.duckdb")[1] == f"m · layer4 · unit 1\nno label\n{setting}"


# --- SQL


def test_a_query_that_is_the_path_of_a_file_is_read_from_it(here: Path, cli: Run) -> None:
    (here / "q7.sql").write_text("select $a || '!' as said")
    (here / "my query.txt").write_text("select 1 as one")
    (here / "layer_summary").write_text("a file of a view's name")
    assert cli("sql", "q7.sql", "a=x", *LAKE) == (0, "said\nx!\n", "")
    assert cli("sql", "my query.txt", *LAKE) == (0, "one\n1\n", "")
    assert cli("sql", "layer_summary", *LAKE)[0] == 0
    assert cli("sql", "q8.sql", *LAKE) == (
        1,
        "",
        "error: there is no file q8.sql; give the query itself, or a file with -f\n",
    )
    long_query = "select 1 as one where " + " or ".join(["true"] * 2_000)
    assert cli("sql", long_query, *LAKE) == (0, "one\n1\n", "")


def test_tables_and_views_of_the_file_are_asked_by_their_names(here: Path, cli: Run) -> None:
    for statement in (
        "create table poly as select 3 as sides",
        "create view more as from poly",
        "create schema mine",
        "create table mine.own as select 4 as sides",
        'create table "two words" as select 5 as sides',
        "create table settings as select 'a query has this name' as sides",
    ):
        assert cli("sql", statement, "--write", *LAKE)[0] == 0
    for name, sides in (("poly", 3), ("Poly", 3), ("more", 3), ("mine.own", 4), ("two words", 5)):
        assert cli("sql", name, *LAKE) == (0, f"sides\n{sides}\n", ""), name
    assert cli("sql", "settings", *LAKE)[1].startswith("setting,method,")
    assert "poly is a table or view and takes no parameters" in cli("sql", "poly", "top=3", *LAKE)[2]
    assert "no query or view is named 'polly'" in cli("sql", "polly", *LAKE)[2]


@pytest.mark.parametrize(
    "query", ["copy (select 1) to 'out.csv'", "from read_csv('secret.csv')", "attach 'other.duckdb'", "load httpfs"]
)
def test_a_query_that_needs_other_files_is_told_of_the_option(here: Path, cli: Run, query: str) -> None:
    status, _, said = cli("sql", query, *LAKE)
    assert status == 1
    assert said.endswith("; --allow-files lets a query read and write other files\n")


# --- the file


def test_a_flipped_byte_is_called_damage_with_the_next_step(here: Path, cli: Run) -> None:
    lake = here / "my lake.duckdb"
    with open_warehouse(lake, write=True) as warehouse:
        warehouse.execute("insert into store.similarities select 1, 1, 1, random() from range(300000)")
        warehouse.execute("checkpoint")
        blocks = "select max(block_id) from pragma_storage_info('store.similarities') where column_name = 'similarity'"
        block, size = warehouse.scalar(blocks), warehouse.scalar("select block_size from pragma_database_size()")
    content = bytearray(lake.read_bytes())
    content[3 * 4096 + block * size + size // 2] ^= 0xFF  # three headers come first
    lake.write_bytes(content)
    status, _, said = cli("sql", "select sum(similarity) from store.similarities", *LAKE)
    assert status == 1
    assert said == (
        "error: my lake.duckdb is damaged: the checksum of a block is not that of its bytes; put a copy in its place "
        "and check it with `cli verify --warehouse 'my lake.duckdb'`, or delete it and make it again\n"
    )


def test_the_process_that_holds_the_file_is_named_with_the_way_to_free_it(here: Path) -> None:
    lake = here / "my lake.duckdb"
    code = "import sys, neuronlake\nwh = neuronlake.open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(lake)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdin
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(NeuronlakeError) as refused:
            open_warehouse(lake)
        holder.stdin.close()
    command = f"{Path(sys.executable).name} -c import sys, neuronlake wh = neuronlake.open"
    assert f"is in use by process {holder.pid} ({command}" in str(refused.value)
    assert "if that is a notebook, close the connection there (wh.close()), if `cli explore`, end it" in str(
        refused.value
    )


# --- the home folder


def test_a_path_may_begin_with_the_home_folder_wherever_the_shell_leaves_it(
    here: Path, cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = here / "home"
    home.mkdir()
    (here / "my lake.duckdb").rename(home / "w.duckdb")
    (home / "q.sql").write_text("select 1 as one")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NEURONLAKE_WAREHOUSE", "~/w.duckdb")
    status, shown, _ = cli("status")
    assert (status, shown.partition(":")[0]) == (0, str(home / "w.duckdb"))
    assert cli("sql", "--file=~/q.sql")[1] == "one\n1\n"
    assert cli("sql", "~/q.sql")[1] == "one\n1\n"
    assert cli("report", "--output=~/page.html")[0] == 0
    assert cli("export", "--output=~/out")[0] == 0
    assert "holds no layer with activations for probe none" in cli("score", "--probe", "none")[2]
    assert sorted(path.name for path in home.iterdir()) == ["out", "page.html", "q.sql", "w.duckdb"]
    assert sorted(path.name for path in here.iterdir()) == ["home"]


def test_the_settings_of_a_run_may_begin_with_the_home_folder(
    tiny_recipe: Recipe, tiny_clip_folder: Path, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neuronlake.ingest.encoders.loading import load_encoder
    from neuronlake.ingest.estimate import estimate
    from neuronlake.ingest.networks.weights import cache_folder
    from neuronlake.ingest.recipe import read_recipe_file, recipe_of

    for name, there in (("clip", tiny_clip_folder), ("photos", image_folder)):
        (tmp_path / name).symlink_to(there)
    (tmp_path / "words.txt").write_text("cat\ndog\n")
    (tmp_path / "net.py").write_text(
        "import torch\n\ndef make():\n    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3))\n"
    )
    (tmp_path / "recipe.toml").write_text(
        'models = ["mine=~/net.py:make"]\nlayers = [""]\nprobes = ["~/photos"]\nconcepts = ["~/words.txt"]\n'
        'encoder = "local-dir:~/clip"\nweights = { mine = "~/mine.pt" }\nspool = "~/spool"\n'
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NEURONLAKE_CACHE", "~/cache")
    monkeypatch.chdir(tmp_path / "photos")
    recipe = recipe_of(Recipe, read_recipe_file(Recipe, Path("~/recipe.toml")))
    assert (recipe.spool, recipe.weights) == (tmp_path / "spool", {"mine": tmp_path / "mine.pt"})
    assert cache_folder() == tmp_path / "cache"
    # under the same name wherever it is asked for
    assert load_encoder(recipe.encoder).name == f"local-dir:{tmp_path / 'clip'}"
    found = estimate(
        dataclasses.replace(
            tiny_recipe,
            probes=recipe.probes,
            concepts=recipe.concepts,
            models=recipe.models,
            layers=("**",),
            random_weights=False,
        )
    )
    assert (found.images, found.concepts) == (20, 2)
