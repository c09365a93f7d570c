"""One unit in a terminal and as a page: its label, and how far to believe it as far as that is known."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import small_masks
import small_sums

import neuronlake
from neuronlake.reports.tables import print_unit
from neuronlake.reports.units.card import read_unit
from neuronlake.reports.units.page import write_unit_page


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
        write_unit_page(warehouse, card, tmp_path / "unit.html")
    print_unit(card)
    shown = capsys.readouterr().out
    assert " ".join(shown.split()).count(expected) == 1
    assert "q 0.01: better than chance" in shown
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
        write_unit_page(warehouse, card, tmp_path / "unit.html")
    print_unit(card)
    assert "cat + 0.25 dog" in capsys.readouterr().out.splitlines()
    assert "<bdi>cat + 0.25 dog</bdi>" in (tmp_path / "unit.html").read_text()


@pytest.fixture(scope="module")
def sums_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sums") / "sums.duckdb"
    small_sums.build(path).close()
    return path


def table_after(shown: str, title: str) -> list[list[str]]:
    """The cells of a table in what was printed."""
    lines = shown[shown.index(title) :].splitlines()[1:]
    return [line.split() for line in lines[: lines.index("")]]


def test_a_sum_says_what_each_concept_adds_and_that_the_unit_is_polysemantic(
    sums_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with neuronlake.open(sums_file, write=False) as warehouse:
        print_unit(read_unit(warehouse, "alpha", "late", 0))
    shown = capsys.readouterr().out
    assert table_after(shown, "the sum") == [
        ["concept", "weight", "share"],
        ["dog", "2", "0.5"],
        ["sky", "1.5", "0.4"],
        ["cat", "-0.5", "0.1"],
    ]
    said = " ".join(shown.split())
    assert 'polysemantic: "dog" and "sky" each carry a third or more of what the label explains' in said
    assert "monosemanticity 0.25" in said
    # held out, and never the 0.75 of the images that chose it
    assert "held-out correlation 0.50" in said
    assert "0.75" not in said


def test_shares_that_are_not_known_are_left_out(sums_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with neuronlake.open(sums_file, write=False) as warehouse:
        card = read_unit(warehouse, "beta", "head", 2)
    print_unit(card)
    assert table_after(capsys.readouterr().out, "the sum") == [
        ["concept", "weight"],
        ["mystery", "0.2"],
        ["dog", "0.1"],
    ]
    assert card.meanings == ""


def test_a_sum_of_one_concept_looks_as_other_labels_do(
    sums_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with neuronlake.open(sums_file, write=False) as warehouse:
        card = read_unit(warehouse, "alpha", "late", 1)
        write_unit_page(warehouse, card, tmp_path / "unit.html")
    print_unit(card)
    shown = capsys.readouterr().out
    assert shown.splitlines()[1] == "dog (object)"
    assert "the sum" not in shown
    assert 'class="sum"' not in (tmp_path / "unit.html").read_text()


def test_the_page_of_a_sum_has_a_bar_for_each_concept(sums_file: Path, tmp_path: Path) -> None:
    with neuronlake.open(sums_file, write=False) as warehouse:
        write_unit_page(warehouse, read_unit(warehouse, "alpha", "late", 0), tmp_path / "unit.html")
        write_unit_page(warehouse, read_unit(warehouse, "beta", "head", 0), tmp_path / "up.html")
    page = (tmp_path / "unit.html").read_text()
    assert '<div class="sum" style="--low: -0.5; --high: 2.0">' in page
    sky = '<bdi title="sky">sky</bdi><span class="bar" style="--weight: 1.5"></span> <span>1.5</span><span>40 %</span>'
    assert sky in " ".join(page.split())
    assert '<bdi title="cat">cat</bdi><span class="bar down" style="--weight: -0.5"></span>' in page
    assert "The unit goes down with a concept whose bar is to the left." in page
    assert "goes down" not in (tmp_path / "up.html").read_text()


def test_a_label_by_masks_says_its_overlap_and_from_which_threshold_the_unit_is_active(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_masks.build(tmp_path / "w.duckdb") as warehouse:
        print_unit(read_unit(warehouse, "alpha", "late", 2))
        shown = capsys.readouterr().out
        assert "\nkitchen (scene)\nIoU 0.25" in shown
        assert "IoU 0.25: 50 of 200 pixels, active above 0.5" in shown
        print_unit(read_unit(warehouse, "beta", "head", 0))
        shown = capsys.readouterr().out
        assert "(dog or cat) and not dotted\ncounted as dog (object)\nIoU 0.3: 30 of 100 pixels" in shown
        # of a formula no concept carries a part
        assert "the sum" not in shown
        # of other labels nothing of the kind is known
        assert read_unit(warehouse, "alpha", "late", 2, setting=1).overlap == ""
        warehouse.execute("update store.labels set threshold = null where scoring_id = 9")
        assert read_unit(warehouse, "alpha", "late", 2).overlap == "IoU 0.25: 50 of 200 pixels"
