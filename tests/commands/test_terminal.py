"""Progress in a log file."""

from __future__ import annotations

import pytest

from neuronlake.commands import terminal


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: clock[0])
    with terminal.progress_bars() as progress:
        for done in range(0, 5_000, 1_000):
            progress("Extracting images", done, 5_000)
            clock[0] += 20
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == [
        "Extracting images: 2,000 of 5,000",
        "Extracting images: 4,000 of 5,000",
    ]


def test_what_is_done_at_once_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.progress_bars() as progress:
        progress("Scoring layers", 1, 2)
    assert capsys.readouterr().err == ""
