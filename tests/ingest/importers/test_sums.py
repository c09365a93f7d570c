"""Files of Linear Explanations: labels that are sums of concepts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from neuronlake.ingest.importers import label_files, labels
from neuronlake.ingest.importers.labels import ImportedFile, ImportedFileError, ImportOptions, import_labels
from neuronlake.sql.opening import open_warehouse
from neuronlake.sql.verify import verify
from neuronlake.sql.warehouse import Warehouse

CLI = Path(sys.executable).parent / "cli"
HEADER = "layer,unit,val correlation,weight0,concept0,weight1,concept1,weight2,concept2,bias,sim correlation\n"
# unit 3 has kitchen twice, and unit 4 no concept
SUMS = (
    HEADER
    + """layer4,0,0.4375,2.75,reception,1.5,cuisine,0.25,counter,0.3,0.5
layer4,1,0.5,1.5,"general store, indoor",-0.5,sky,0.0,0,0.4,0.25
layer4,2,0.25,0.125,lagoon,0,0,0.0,0,0.5,0.125
layer4,3,0.375,1.0,kitchen,1.0,bar,0.5,kitchen,0.1,
layer4,4,0.0,0.0,0,0.0,0,0.0,0,0.6,nan
"""
)


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    with open_warehouse(tmp_path / "w.duckdb", write=True) as opened:
        yield opened


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "layer4.csv"
    path.write_text(SUMS)
    return path


def take(warehouse: Warehouse, file: Path, **columns: str) -> ImportedFile:
    (imported,) = import_labels(warehouse, file, ImportOptions("net", "le_siglip", columns=columns))
    return imported


def test_each_concept_of_a_sum_is_a_term_in_the_files_order(warehouse: Warehouse, file: Path) -> None:
    """What fills a shorter sum up, 0 with weight 0, is none. A concept that comes twice is one."""
    take(warehouse, file)
    assert warehouse.sql(
        "select unit, position, concept, weight, operator from unit_terms order by unit, position"
    ).fetchall() == [
        (0, 0, "reception", 2.75, None),
        (0, 1, "cuisine", 1.5, None),
        (0, 2, "counter", 0.25, None),
        (1, 0, "general store, indoor", 1.5, None),
        (1, 1, "sky", -0.5, None),
        (2, 0, "lagoon", 0.125, None),
        (3, 0, "kitchen", 1.5, None),
        (3, 1, "bar", 1.0, None),
    ]
    assert [str(fault) for fault in verify(warehouse)] == []


def test_the_first_concept_is_counted_and_the_explanation_is_all_of_them(warehouse: Warehouse, file: Path) -> None:
    take(warehouse, file)
    assert warehouse.sql(
        "select layer, unit, concept, category, similarity, explanation from unit_labels order by unit"
    ).fetchall() == [
        ("layer4", 0, "reception", "scene", None, "2.8 reception + 1.5 cuisine + 0.25 counter"),
        ("layer4", 1, "general store, indoor", "none", None, "1.5 general store, indoor - 0.5 sky"),
        ("layer4", 2, "lagoon", "none", None, "lagoon"),
        ("layer4", 3, "kitchen", "scene", None, "1.5 kitchen + 1 bar"),
        ("layer4", 4, None, None, None, None),
    ]


def test_the_bias_is_the_intercept(warehouse: Warehouse, file: Path) -> None:
    take(warehouse, file)
    found = warehouse.sql("select round(intercept, 3) from unit_labels order by unit").fetchall()
    assert found == [(pytest.approx(value, abs=1e-6) if value else None,) for value in (0.3, 0.4, 0.5, 0.1, None)]


def test_of_a_folder_with_a_file_that_cannot_be_imported_nothing_is(warehouse: Warehouse, file: Path) -> None:
    (file.parent / "layer5.csv").write_text(HEADER + "layer5,0,0.4,2.8,sky,much,sea,0,0,0.3,0.5\n")
    with pytest.raises(ImportedFileError, match=r"layer5\.csv line 2: the weight1 is 'much', not a number"):
        import_labels(warehouse, file.parent, ImportOptions("net", "le_siglip"))
    assert warehouse.scalar("select count(*) from scorings") == 0
    assert warehouse.scalar("select count(*) from runs") == 0


def test_another_bias_makes_other_labels(warehouse: Warehouse, file: Path) -> None:
    assert take(warehouse, file).is_new
    assert not take(warehouse, file).is_new
    file.write_text(SUMS.replace("0.25,counter,0.3,", "0.25,counter,0.75,"))
    with pytest.raises(ImportedFileError, match="has other labels under the same settings already"):
        take(warehouse, file)


def test_a_file_that_came_in_before_its_bias_was_read_takes_it_once(
    warehouse: Warehouse, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = label_files.read_label_file

    def without_bias(path: Path, options: ImportOptions) -> label_files.LabelFile:
        found = read(path, options)
        return replace(found, rows=tuple(replace(row, intercept=None) for row in found.rows))

    with monkeypatch.context() as patched:
        patched.setattr(labels, "read_label_file", without_bias)
        take(warehouse, file)
    assert warehouse.scalar("select count(intercept) from unit_labels") == 0
    assert take(warehouse, file).is_mended
    assert warehouse.scalar("select count(intercept) from unit_labels") == 4
    assert not take(warehouse, file).is_mended


def test_a_score_and_a_correlation_are_read_from_the_columns_that_the_user_names(
    warehouse: Warehouse, file: Path
) -> None:
    """A sum's score is that of none of its concepts, so there is no unit-by-concept matrix."""
    take(warehouse, file, similarity="val correlation", correlation="sim correlation")
    assert warehouse.sql("select similarity, held_out_correlation from unit_labels order by unit").fetchall() == [
        (0.4375, 0.5),
        (0.5, 0.25),
        (0.25, 0.125),
        (0.375, None),
        (None, None),
    ]
    assert warehouse.scalar("select count(*) from similarities") == 0
    assert [str(fault) for fault in verify(warehouse)] == []


def test_sums_are_the_same_if_all_their_terms_are(warehouse: Warehouse, file: Path) -> None:
    take(warehouse, file)
    assert not take(warehouse, file).is_new
    file.write_text(SUMS.replace("0.25,counter", "0.125,counter"))
    with pytest.raises(ImportedFileError, match="layer4 of net has other labels under the same settings already"):
        take(warehouse, file)


def test_a_description_that_is_named_is_a_label_of_one_concept(warehouse: Warehouse, file: Path) -> None:
    take(warehouse, file, description="concept1")
    assert warehouse.sql("select concept, explanation from unit_labels where unit = 0").fetchall() == [
        ("cuisine", "cuisine")
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (HEADER + "layer4,0,0.4,2.8,sky,much,sea,0,0,0.3,0.5\n", "line 2: the weight1 is 'much', not a number"),
        (HEADER + "layer4,0,0.4,inf,sky,0,0,0,0,0.3,0.5\n", "line 2: the weight0 is 'inf', not a number"),
        (HEADER + "layer4,0,0.4,2.8,sky,,sea,0,0,0.3,0.5\n", "line 2: the weight1 of 'sea' is blank, not a number"),
        (HEADER + "layer4,0,0.4,2.8,sky,1.5, ,0,0,0.3,0.5\n", "line 2: the concept1 with weight 1.5 is blank"),
        ("unit,weight0,concept0,concept1\n0,1,sky,sea\n", "has no column 'weight1' beside its other half; add it"),
    ],
)
def test_a_malformed_sum_is_refused_with_its_line(warehouse: Warehouse, file: Path, text: str, reason: str) -> None:
    file.write_text(text)
    with pytest.raises(ImportedFileError) as refused:
        take(warehouse, file)
    assert reason in str(refused.value)


def test_the_command_imports_a_folder_of_them_with_their_correlations(tmp_path: Path) -> None:
    folder = tmp_path / "LE_siglip"
    folder.mkdir()
    for layer in ("layer3", "layer4"):
        (folder / f"{layer}.csv").write_text(SUMS.replace("layer4", layer))
    done = subprocess.run(
        [CLI, "import", folder, "--model", "net", "--column", "correlation=sim correlation", "-w", tmp_path / "w"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr.splitlines()) == (
        0,
        [f"{folder}/{layer}.csv: 5 labels of 1 layers of net; 3 new correlations" for layer in ("layer3", "layer4")],
    )
