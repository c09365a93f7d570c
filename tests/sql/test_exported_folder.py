"""A warehouse as a folder of Parquet files: read back it answers everything, and nothing in it can be changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
import small_masks

import neuronlake
from neuronlake import NeuronlakeError
from neuronlake.sql import catalog
from neuronlake.sql.files.folders import HELD_BY_VIEWS
from neuronlake.sql.files.parquet import computed_views, write_parquet, written_views
from neuronlake.sql.opening import open_warehouse
from neuronlake.sql.verify import verify
from neuronlake.sql.warehouse import Warehouse

EXAMPLE = Path(__file__).parent.parent.parent / "warehouse.duckdb.example"
NEEDED = {"model": "alpha", "layer": "late", "unit": "0", "concept": "dog", "image": "one.png", "pattern": "(.)"}
NEEDED_OF_EXAMPLE = {
    "model": "efficientnet-lite0-imagenet",
    "layer": "_blocks.10",
    "unit": "3",
    "concept": "dotted",
    "image": "dotted-01",
    "pattern": r"^(\w+)-",
}
READ_ONLY = "is an exported folder, which is read-only; change the warehouse that it was made of, and export it again"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small warehouse that has labels by words and by masks, closed."""
    path = tmp_path_factory.mktemp("masks") / "w.duckdb"
    small_masks.build(path).close()
    return path


@pytest.fixture(scope="module")
def exported(file: Path) -> Path:
    """The folder that it is exported to. Tests copy it to change it."""
    folder = file.with_name("shared")
    write(file, folder)
    return folder


@pytest.fixture
def copied(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "shared"))


def write(file: Path, folder: Path) -> None:
    folder.mkdir()
    with open_warehouse(file) as warehouse:
        write_parquet(warehouse, folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def answers(warehouse: Warehouse, needed: dict[str, str]) -> dict[str, list[object]]:
    """Columns, types and rows of every table, view and named query."""
    tables = warehouse.sql("select table_name from information_schema.tables where table_schema = 'store'").fetchall()
    names = [*(view.name for view in catalog.views()), *(f"store.{table}" for (table,) in tables)]
    found = {name: warehouse.sql(f"from {name}") for name in names}
    for query in catalog.queries().values():
        given = {each.name: needed[each.name] for each in query.parameters if each.default is None}
        found[f"query {query.name}"] = warehouse.query(query.name, **given)
    return {
        name: [rows.columns, list(map(str, rows.types)), sorted(map(shown, rows.fetchall()))]
        for name, rows in found.items()
    }


def shown(row: tuple[object, ...]) -> str:
    """A row as text; sums of rounded numbers depend on their order in the last of their digits."""
    return repr([float(f"{round(value, 9) + 0.0:.9g}") if isinstance(value, float) else value for value in row])


def differing(file: Path, folder: Path, needed: dict[str, str]) -> list[str]:
    """The tables, views and queries that a folder answers otherwise than the warehouse that it was made of."""
    with open_warehouse(file) as warehouse, open_warehouse(folder, allow_files=False) as read_back:
        expected, found = answers(warehouse, needed), answers(read_back, needed)
    assert len(expected) > len(catalog.views()) + len(catalog.queries()) + 30
    assert sum(bool(rows[2]) for rows in expected.values()) > 70  # not all of nothing
    assert expected.keys() == found.keys()
    return [name for name in expected if expected[name] != found[name]]


def test_read_back_every_table_view_and_named_query_has_the_same_rows(file: Path, exported: Path) -> None:
    assert differing(file, exported, NEEDED) == []


@pytest.mark.slow
def test_so_has_the_example_of_two_networks(tmp_path: Path) -> None:
    file = Path(shutil.copy(EXAMPLE, tmp_path / "w.duckdb"))
    open_warehouse(file, write=True).close()  # brought up to date where it is older
    write(file, tmp_path / "shared")
    assert differing(file, tmp_path / "shared", NEEDED_OF_EXAMPLE) == []


def test_it_is_whole_and_draws_the_same_charts(file: Path, exported: Path) -> None:
    with open_warehouse(file) as warehouse, open_warehouse(exported, allow_files=False) as read_back:
        assert verify(read_back) == []
        charts = neuronlake.charts(read_back)
        assert list(charts) == list(neuronlake.charts(warehouse))
        assert charts["learnt-0"].to_json() == neuronlake.charts(warehouse)["learnt-0"].to_json()


def test_each_large_table_is_stored_once(exported: Path) -> None:
    assert set(HELD_BY_VIEWS) == {"activations", "similarities"}
    assert not {table.stem for table in (exported / "tables").iterdir()} & set(HELD_BY_VIEWS)
    described = duckdb.execute(f"describe from '{exported}/views/activations.parquet'").fetchall()
    columns = [column for column, *_ in described]
    assert columns == [
        *("model", "layer", "unit", "probe", "image", "activation", "label", "pooling", "image_id", "layer_id")
    ]


def test_views_that_need_every_activation_are_no_files_and_still_answer(exported: Path) -> None:
    assert {view.name for view in computed_views()} == {"activation_ranks", "image_concepts", "preferred_classes"}
    assert {file.stem for file in (exported / "views").iterdir()} == {view.name for view in written_views()}
    with open_warehouse(exported, allow_files=False) as read_back:
        # four images that could be read, six concepts that the encoder has embedded
        assert read_back.scalar("select count(*) from image_concepts") == 4 * 6


def test_a_unit_is_found_by_reading_few_groups_of_rows(tmp_path: Path) -> None:
    """40 units of 10,000 images: rows of a unit stand together, whatever order they were loaded in."""
    file = tmp_path / "w.duckdb"
    with small_masks.build(file) as warehouse:
        warehouse.execute("delete from store.activations")
        warehouse.execute(
            "insert into store.activations select 2, range % 40, 1 + range // 40 % 4, random() from range(400000)"
        )
    write(file, tmp_path / "shared")
    activations = f"'{tmp_path}/shared/views/activations.parquet'"
    with duckdb.connect() as connection:
        query = f"from {activations} where model = 'alpha' and layer = 'late' and unit = 7"
        assert len(connection.sql(query).fetchall()) == 10_000
        (plan,) = connection.execute(f"explain analyze {query}").fetchall()
        assert "Row Groups Scanned: 1 / 4" in plan[1]


def test_who_has_the_folder_alone_reads_views_with_names(exported: Path) -> None:
    rows = duckdb.execute(
        f"select unit, concept from '{exported}/views/unit_labels.parquet' "
        "where setting = 1 and model = 'alpha' and layer = 'late' order by unit"
    ).fetchall()
    assert rows == [(0, "dog"), (1, "dog"), (2, "cat"), (3, "mystery")]


@pytest.mark.parametrize("name", ["elsewhere", "it's [1] *", "été"])
def test_a_moved_folder_opens_and_by_a_relative_path(
    copied: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    copied.rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with neuronlake.open(name) as read_back:
        monkeypatch.chdir("/")
        assert read_back.scalar("select count(*) from activations") == 4 * (3 + 4 + 3 + 3)


def test_an_open_folder_leaves_no_file_in_the_system_s_folder(exported: Path, tmp_path: Path) -> None:
    import tempfile

    tempfile.tempdir = str(tmp_path)
    try:
        with open_warehouse(exported, memory_limit="100MB") as read_back:
            # what exceeds the memory goes there, and is gone at the end
            rows = read_back.sql("select range, hash(range)::varchar as a from range(3000000) order by a")
            assert rows.limit(1, offset=2_000_000).fetchall()
        assert list(tmp_path.iterdir()) == []
    finally:
        tempfile.tempdir = None


# --- nothing can be changed


def test_the_folder_opens_without_being_asked_to_and_never_for_changes(exported: Path) -> None:
    neuronlake.open(exported).close()
    with pytest.raises(NeuronlakeError, match=READ_ONLY):
        neuronlake.open(exported, write=True)


@pytest.mark.parametrize(
    "statement",
    [
        "insert into store.images select * from store.images",
        "update store.images set path = 'x'",
        "delete from store.activations",
        "drop view unit_labels",
        "create table mine as select 1 as a",
        "create or replace view unit_labels as select 1 as a",
        "alter view unit_labels rename to mine",
    ],
)
def test_no_statement_changes_it(copied: Path, statement: str) -> None:
    before = contents(copied)
    with open_warehouse(copied) as read_back, pytest.raises(NeuronlakeError, match=READ_ONLY):
        read_back.execute(statement)
    assert contents(copied) == before


@pytest.mark.parametrize(
    "query",
    [
        "from read_text('{folder}/../secret.txt')",
        "from read_text('{folder}/README.md')",
        "from read_parquet('{folder}/tables/*.parquet', union_by_name = true)",
        "from glob('{folder}/../*')",
        "copy (select 1) to '{folder}/../mine.csv'",
        "copy (select 1) to '{folder}/views/mine.parquet'",
        "copy (select 1) to '{folder}/views/scorings.parquet'",
        "attach '{folder}/mine.duckdb' as mine",
        "set enable_external_access = true",
        "set allowed_directories = ['/']",
        "reset allowed_paths",
        "set lock_configuration = false",
    ],
)
def test_without_files_only_the_folder_s_own_are_read(copied: Path, query: str) -> None:
    (copied.parent / "secret.txt").write_text("secret")
    (copied / "README.md").write_text("about this folder")
    before = contents(copied.parent)
    with open_warehouse(copied, allow_files=False) as read_back:
        with pytest.raises(NeuronlakeError, match=r"configuration|configured|locked"):
            read_back.sql(query.format(folder=copied)).fetchall()
        assert read_back.scalar("select count(*) from unit_labels")
    assert contents(copied.parent) == before


# --- what is no whole folder of ours


def refusal(folder: Path) -> str:
    with pytest.raises(NeuronlakeError) as refused:
        open_warehouse(folder)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_folder_of_something_else_is_named_as_that(tmp_path: Path) -> None:
    (tmp_path / "photos" / "tables").mkdir(parents=True)
    assert "photos is a folder, neither a DuckDB file nor what `cli export --format parquet` makes of one" in refusal(
        tmp_path / "photos"
    )


def missing(file: Path) -> None:
    file.unlink()


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-10])


def of_something_else(file: Path) -> None:
    duckdb.execute(f"copy (select 1 as a) to '{file}'")


@pytest.mark.parametrize("damage", [missing, cut_short, of_something_else])
@pytest.mark.parametrize("name", ["tables/labels", "views/activations", "tables/thumbnails"])
def test_a_damaged_folder_is_said_to_be_so(copied: Path, name: str, damage: Callable[[Path], None]) -> None:
    damage(copied / f"{name}.parquet")
    message = refusal(copied)
    assert f"{copied} is damaged: " in message
    assert message.endswith("; export it again from its warehouse")


@pytest.mark.parametrize(
    ("version", "step"), [(3, "export it again from its warehouse"), (99, "update neuronlake"), (None, "export it")]
)
def test_a_folder_of_another_version_says_what_to_do(copied: Path, version: int | None, step: str) -> None:
    migrations = copied / "tables" / "migrations.parquet"
    duckdb.execute(f"copy (select {version or 'null'}::integer as version) to '{migrations}'")
    message = refusal(copied)
    assert f"has schema version {version} and this neuronlake reads version" in message
    assert step in message
