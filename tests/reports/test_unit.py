"""One unit in a terminal and as a page: its label, and how far to believe it as far as that is known."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import neuronlake
from neuronlake.reports.tables import print_unit
from neuronlake.reports.unit import read_unit, write_unit_page


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        (0, "confidence 0.90: the label holds, held-out correlation 0.50, ceiling 0.60, stability 1"),
        (1, "confidence 0.30: the label does not hold, held-out correlation 0.10, ceiling 0.40, stability 0.2"),
    ],
)
def test_a_judged_unit_says_how_far_to_believe_its_label(
    small_file: Path, tmp_path: Path, unit: int, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with neuronlake.open(small_file, write=False) as warehouse:
        card = read_unit(warehouse, "alpha", "late", unit)
    print_unit(card)
    shown = capsys.readouterr().out
    assert " ".join(shown.split()).count(expected) == 1
    assert "q 0.01: better than chance" in shown
    write_unit_page(card, tmp_path / "unit.html")
    assert expected[1:] in (tmp_path / "unit.html").read_text()


def test_a_unit_that_was_not_judged_says_nothing_of_it(small_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with neuronlake.open(small_file, write=False) as warehouse:
        card = read_unit(warehouse, "alpha", "late", 0, setting=1)
    assert card.fidelity == ""
    print_unit(card)
    assert not {"confidence", "ceiling", "None"} & set(capsys.readouterr().out.replace(":", " ").split())


def test_of_what_is_known_in_part_only_that_is_said(small_file: Path, tmp_path: Path) -> None:
    """As for figures that came with imported labels."""
    path = Path(shutil.copy(small_file, tmp_path / "w.duckdb"))
    with neuronlake.open(path, write=True) as warehouse:
        warehouse.execute("update store.fidelities set ceiling = null, stability = null, confidence = null")
        assert read_unit(warehouse, "alpha", "late", 0).fidelity == "held-out correlation 0.50"


def test_a_label_of_several_concepts_is_shown_whole(
    small_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(shutil.copy(small_file, tmp_path / "w.duckdb"))
    with neuronlake.open(path, write=True) as warehouse:
        warehouse.execute("insert into store.label_terms values (5, 0, 1, 1, 0.25, null)")
        card = read_unit(warehouse, "alpha", "late", 0)
    print_unit(card)
    assert "cat + 0.25 dog" in capsys.readouterr().out.splitlines()
    write_unit_page(card, tmp_path / "unit.html")
    assert "<bdi>cat + 0.25 dog</bdi>" in (tmp_path / "unit.html").read_text()
