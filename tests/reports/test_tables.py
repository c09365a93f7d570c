"""Tables in a terminal keep what differs readable."""

from __future__ import annotations

import polars as pl
import pytest

from neuronlake.reports.tables import print_frame


def shown(frame: pl.DataFrame, capsys: pytest.CaptureFixture[str]) -> tuple[list[str], str]:
    """The lines of a table of at most 200 characters, and the notes on standard error."""
    print_frame(frame, "table", 10)
    captured = capsys.readouterr()
    return captured.out.splitlines(), " ".join(captured.err.split())


def test_a_table_that_fits_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    lines, notes = shown(pl.DataFrame({"unit": [1, 2], "encoder": ["conse", "conse"]}), capsys)
    assert [line.split() for line in lines] == [["unit", "encoder"], ["1", "conse"], ["2", "conse"]]
    assert notes == ""


def test_a_wide_table_says_once_what_all_rows_share(capsys: pytest.CaptureFixture[str]) -> None:
    wide = {f"shared_{place}": ["the same in all rows"] * 2 for place in range(9)}
    lines, notes = shown(pl.DataFrame({"unit": [1, 2], **wide, "concept": ["cat", "dog"]}), capsys)
    assert lines[0].startswith("in all rows shown: shared_0 the same in all rows, shared_1 ")
    assert [line.split() for line in lines[-3:]] == [["unit", "concept"], ["1", "cat"], ["2", "dog"]]
    assert notes == ""


def test_what_still_has_no_room_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    texts = {f"text_{place}": [f"{letter * 60}{place}" for letter in "ab"] for place in range(6)}
    lines, notes = shown(pl.DataFrame({"unit": [1, 2], **texts}), capsys)
    assert lines[0].split() == ["unit", "text_0", "text_1", "text_2", "text_3"]
    assert "a" * 30 in lines[1]
    assert notes == "too wide for text_4, text_5; --format csv has them"
