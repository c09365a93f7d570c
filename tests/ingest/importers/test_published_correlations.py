"""Correlations that came with labels are beside each other, and beside nothing that was measured here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from neuronlake.ingest.importers.labels import (
    ImportedFile,
    ImportedFileError,
    ImportOptions,
    describe,
    import_labels,
)
from neuronlake.sql.opening import open_warehouse
from neuronlake.sql.store.names import Entry
from neuronlake.sql.store.probes import register_named_probe
from neuronlake.sql.store.scorings import Judgement, insert_judgement
from neuronlake.sql.verify import verify
from neuronlake.sql.warehouse import Warehouse

HEADER = "unit,description,sim correlation\n"
# for each labeler its labels of five units, and how well each predicts its unit
NETDISSECT = HEADER + "0,reception,0.25\n1,shop window,0.5\n2,water,0.125\n3,grass,-0.125\n4,bed,0.0\n"
MILAN = HEADER + "0,Furniture,0.5\n1,Shelves,0.25\n2,The ground,\n3,Grass,-0.25\n4,A bed,nan\n"
CLIP_DISSECT = HEADER + "0,kitchen,0.375\n1,shops,0.25\n2,pizza,0.25\n3,lawn,-0.5\n4,hotel,0.125\n"
FILES = {"netdissect": NETDISSECT, "milan": MILAN, "clip_dissect": CLIP_DISSECT}


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    with open_warehouse(tmp_path / "w.duckdb", write=True) as opened:
        yield opened


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "layer4.csv"
    path.write_text(NETDISSECT)
    return path


def take(warehouse: Warehouse, file: Path, column: str | None = "sim correlation", method: str = "m") -> ImportedFile:
    """Import a file of labels of layer4, with its correlations where their column is named."""
    columns = {} if column is None else {"correlation": column}
    (imported,) = import_labels(warehouse, file, ImportOptions("net", method, layer="layer4", columns=columns))
    return imported


def correlations(warehouse: Warehouse) -> list[tuple[int, float | None, float | None]]:
    return warehouse.sql("select unit, correlation, held_out_correlation from unit_labels order by unit").fetchall()


def test_they_are_of_all_images_and_of_none_that_chose_the_label(warehouse: Warehouse, file: Path) -> None:
    """What is blank or no finite number is not known, and that is not 0; so are the other measures."""
    file.write_text(HEADER + "0,reception,0.25\n1,shop,\n2,water,NaN\n3,grass,-inf\n4,,0.5\n6,bed,-0.5\n")
    take(warehouse, file)
    known = {0: 0.25, 6: -0.5}
    assert correlations(warehouse) == [(unit, known.get(unit), known.get(unit)) for unit in range(7)]
    assert warehouse.sql("select distinct ceiling, stability, confidence, holds from unit_labels").fetchall() == [
        (None, None, None, None)
    ]
    judged = (
        "select distinct judged_probe, judged_encoder, judged_images, kept_together, held_out_low, cosine from fidelity"
    )
    assert warehouse.sql(judged).fetchall() == [(None,) * 6]
    assert [str(fault) for fault in verify(warehouse)] == []


def test_labelers_are_compared_by_them(warehouse: Warehouse, file: Path) -> None:
    """netdissect: 0.75 over 5; milan: 0.5 over 3; clip_dissect: 0.5 over 5. No label of unit 3 predicts it."""
    for method, text in FILES.items():
        file.write_text(text)
        take(warehouse, file, method=method)
    compared = "method, labels, mean_held_out_correlation, wins, unexplained"
    answer = warehouse.query("compare_labelers").select(compared).fetchall()
    assert [tuple(round(each, 4) if isinstance(each, float) else each for each in row) for row in answer] == [
        ("milan", 3, 0.1667, 1, 1),
        ("netdissect", 5, 0.15, 1, 1),
        ("clip_dissect", 5, 0.1, 2, 1),
    ]
    assert warehouse.sql(
        "select unit, method, concept, held_out_correlation, judged_probe from best_labels order by unit"
    ).fetchall() == [
        (0, "milan", "Furniture", 0.5, None),
        (1, "netdissect", "shop window", 0.5, None),
        (2, "clip_dissect", "pizza", 0.25, None),
        (3, None, None, None, None),
        (4, "clip_dissect", "hotel", 0.125, None),
    ]
    # (0.5 + 0.5 + 0.25 + 0.125) / 4
    assert warehouse.scalar("select avg(held_out_correlation) from best_labels") == 0.34375


def test_they_are_not_read_unless_their_column_is_named(warehouse: Warehouse, file: Path) -> None:
    """A column of that name may be of images that chose the label."""
    file.write_text(NETDISSECT.replace("sim correlation", "correlation"))
    assert take(warehouse, file, column=None).correlations == 0
    assert warehouse.scalar("select count(*) from fidelity") == 0
    assert take(warehouse, file, column="correlation").correlations == 5


def test_labels_that_are_there_are_given_theirs_later(warehouse: Warehouse, file: Path) -> None:
    take(warehouse, file, column=None)
    later = take(warehouse, file)
    assert list(describe([later])) == [f"{file}: its labels are there already; 5 new correlations"]
    assert not later.is_new
    assert correlations(warehouse)[1] == (1, 0.5, 0.5)
    # that run is recorded, and the labels stay those of the first
    assert warehouse.sql("select run, (select count(*) from runs) from scorings").fetchall() == [(1, 2)]


def test_the_same_twice_is_nothing_to_do(warehouse: Warehouse, file: Path) -> None:
    file.write_text(MILAN)
    assert list(describe([take(warehouse, file)])) == [f"{file}: 5 labels of 1 layers of net; 3 new correlations"]
    for column in ("sim correlation", None):
        again = take(warehouse, file, column)
        assert list(describe([again])) == [f"{file}: nothing to do, its labels are there already"]
    assert correlations(warehouse)[0] == (0, 0.5, 0.5)
    assert warehouse.scalar("select count(*) from runs") == 1


def test_others_take_their_place(warehouse: Warehouse, file: Path) -> None:
    """The wrong column may have been named at first."""
    file.write_text("unit,description,sim,val\n0,reception,0.25,0.75\n1,shop,0.5,0.875\n")
    take(warehouse, file, "val")
    assert take(warehouse, file, "sim").correlations == 2
    assert correlations(warehouse) == [(0, 0.25, 0.25), (1, 0.5, 0.5)]


def test_they_do_not_take_the_place_of_what_was_measured_here(warehouse: Warehouse, file: Path) -> None:
    take(warehouse, file)
    probe_id = register_named_probe(warehouse, Entry("probes", "photos", "photos", "photos", str))
    measured = pl.DataFrame({"unit": range(5), "correlation": [0.75] * 5, "held_out_correlation": [0.625] * 5})
    insert_judgement(warehouse, Judgement(1, probe_id, images=100), measured)
    judged = "the labels of layer4 were judged by the images of photos since; import them under another --method"
    with pytest.raises(ImportedFileError, match=judged):
        take(warehouse, file)
    assert take(warehouse, file, column=None).is_new is False
    assert correlations(warehouse)[0] == (0, 0.75, 0.625)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("high", "line 7: the sim correlation is 'high', not a number"),
        ("41.7", "line 7: the sim correlation is '41.7', not a correlation from -1 to 1"),
        ("-1.1", "line 7: the sim correlation is '-1.1', not a correlation from -1 to 1"),
    ],
)
def test_a_malformed_one_is_refused_with_its_line(warehouse: Warehouse, file: Path, value: str, reason: str) -> None:
    file.write_text(f"{NETDISSECT}5,sky,{value}\n")
    with pytest.raises(ImportedFileError) as refused:
        take(warehouse, file)
    assert reason in str(refused.value)
    assert warehouse.scalar("select count(*) from store.models") == 0


def test_a_column_that_is_named_has_to_be_there(warehouse: Warehouse, file: Path) -> None:
    with pytest.raises(ImportedFileError, match="has no column 'corr' but unit, description, sim correlation; say"):
        take(warehouse, file, "corr")


def test_a_result_file_of_netdissect_may_have_them_too(warehouse: Warehouse, file: Path) -> None:
    file.write_text("unit,category,label,score,r\n1,scene,kitchen-s,0.25,0.5\n2,color,green-c,0.1,0.25\n")
    take(warehouse, file, "r")
    assert warehouse.sql("select unit, concept, similarity, correlation from unit_labels order by unit").fetchall() == [
        (0, "kitchen", 0.25, 0.5),
        (1, "green-c", pytest.approx(0.1), 0.25),
    ]
