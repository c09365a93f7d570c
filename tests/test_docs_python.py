"""docs/python.md does what it says."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from neuronlake.ingest.demo.recipe import make_photographs

PAGE = Path(__file__).parent.parent / "docs" / "python.md"


@pytest.mark.slow
def test_the_page_about_python_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_photographs(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    outcome = doctest.testfile(str(PAGE), module_relative=False, optionflags=flags)
    assert outcome.attempted > 20
    assert outcome.failed == 0
