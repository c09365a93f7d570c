"""The reliability diagram: what a reader can tell from the picture, and the files that it goes into."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path

import polars as pl
import pytest

import neuronlake
from neuronlake import NeuronlakeError
from neuronlake.cli import main
from neuronlake.reports.reliability import write_diagram
from tiny import CONCEPTS


def bins(setting: int, method: str, **units: tuple[int, float]) -> pl.DataFrame:
    """Ten bins, some of them with units and a share of right labels, as ``_8=(10, 0.9)``."""
    rows: list[dict[str, object]] = []
    for place in range(10):
        count, right = units.get(f"_{place}", (0, math.nan))
        rows.append(
            {
                "setting": setting,
                "method": method,
                "start": place / 10,
                "end": (place + 1) / 10,
                "units": count,
                "confidence": place / 10 + 0.05 if count else math.nan,
                "right": right,
                "low": max(0.0, right - 0.1) if count else math.nan,
                "high": min(1.0, right + 0.1) if count else math.nan,
            }
        )
    return pl.DataFrame(rows)


BINS = pl.concat([bins(1, "wpmi", _2=(4, 0.25), _8=(10, 0.9)), bins(5, "</script><b>mine</b>", _9=(3, 1.0))])
MEASURES = pl.DataFrame(
    {
        "setting": [1, 5, 1],
        "method": ["wpmi", "</script><b>mine</b>", "wpmi"],
        "measure": ["calibration_error", "calibration_error", "top_1"],
        "value": [0.0357, 0.05, 0.714],
        "low": [0.02, 0.01, 0.5],
        "high": [0.09, 0.06, None],
    }
)


def draw(path: Path) -> Path:
    write_diagram(path, BINS, MEASURES, ["setting 1 (wpmi): counted are 14 of 20 units"], "net fc against names")
    return path


def texts(picture: str) -> list[str]:
    """What is written in a picture, line by line."""
    return [text.strip() for text in re.findall(r">([^<>]+)<", picture) if text.strip()]


def as_share(text: str) -> float:
    """What the description of a mark says, with or without a per cent sign."""
    return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)


def test_each_setting_says_its_error_and_the_units_behind_each_point(tmp_path: Path) -> None:
    picture = draw(tmp_path / "r.svg").read_text()
    said = texts(picture)
    assert {"net fc against names", "wpmi (setting 1)", "share of right labels", "confidence"} <= set(said)
    assert "calibration error 0.036 (0.020 to 0.090)" in said
    assert "10 of 14 labels are right" in said  # 1 of 4 and 9 of 10
    assert "3 of 3 labels are right" in said
    assert {"4", "10", "3"} <= set(said)
    points = re.findall(
        r'aria-label="confidence: ([^;]*); share of right labels: ([^;]*);[^"]*"[^>]*description="point"', picture
    )
    assert [tuple(map(as_share, point)) for point in points] == [(0.25, 0.25), (0.85, 0.9), (0.95, 1)]


def test_a_page_has_the_picture_the_measures_and_what_was_counted_and_runs_nothing(tmp_path: Path) -> None:
    page = draw(tmp_path / "r.html").read_text()
    assert "Setting 1 (wpmi): counted are 14 of 20 units" in page
    assert "0.0357 [0.02, 0.09]" in page
    assert "<script" not in page
    assert "</script>" not in page
    assert "&lt;b&gt;mine" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_a_picture_is_a_png(tmp_path: Path) -> None:
    assert draw(tmp_path / "r.PNG").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("r.pdf", "r.pdf does not end in .html, .svg or .png"), ("none/r.svg", "does not exist; make it or name another")],
)
def test_what_cannot_be_drawn_is_refused(tmp_path: Path, name: str, complaint: str) -> None:
    with pytest.raises(NeuronlakeError, match=complaint):
        draw(tmp_path / name)


def test_the_command_draws_what_it_measures(
    tiny_warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    warehouse, truth = tmp_path / "w.duckdb", tmp_path / "names.txt"
    warehouse.write_bytes(tiny_warehouse.read_bytes())
    truth.write_text("\n".join(CONCEPTS * 125))

    def cli(*arguments: str) -> tuple[int, str, str]:
        options = ("evaluate", "resnet18-imagenet", "fc", "--warehouse", str(warehouse), "--format", "csv")
        monkeypatch.setattr(sys, "argv", ["cli", *options, *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    status, _, said = cli("--output", str(tmp_path / "r.svg"))
    assert (status, said.strip()) == (1, "error: --output draws labels against true names; name these with --truth")
    status, _, said = cli("--truth", str(truth), "--output", str(tmp_path / "r.pdf"))
    assert status == 1
    assert "does not end in" in said
    status, printed, said = cli("--truth", str(truth), "--output", str(tmp_path / "r.svg"))
    assert status == 0
    assert "calibration_error" in printed
    assert "note: setting 1 (soft_wpmi(top_k=5)): all 1,000 units with a known name are counted" in said
    assert f"wrote {tmp_path / 'r.svg'}" in said
    assert not (tmp_path / "r.pdf").exists()
    right = round(1000 * float(re.findall(r"top_1,([\d.]+)", printed)[0]))
    assert f"{right:,} of 1,000 labels are right" in texts((tmp_path / "r.svg").read_text())

    with neuronlake.open(warehouse, write=True) as opened:
        opened.execute("delete from store.fidelities")
        opened.execute("delete from store.judgements")
    status, _, said = cli("--truth", str(truth), "--output", str(tmp_path / "r.svg"))
    assert status == 1
    assert f"no confidence to draw; `cli score --fidelity --warehouse {warehouse}` adds it" in said
