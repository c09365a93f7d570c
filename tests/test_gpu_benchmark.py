"""benchmarks/gpu.py runs from end to end where there is no GPU, so that it does where there is one for an hour."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tiny import ROOT


@pytest.mark.slow
def test_everything_that_a_cpu_can_do_is_done_and_ends_with_tables(tmp_path: Path) -> None:
    table = tmp_path / "gpu.md"
    options = ["--device", "cpu", "--small", "--no-suite", "--output", str(table)]
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    text = table.read_text()
    assert text.count("\n| --- ") == 4
    stages = [line.split(" | ")[0].lstrip("| ") for line in text.splitlines() if line.startswith("| ")]
    assert [stage for stage in stages if stage.startswith(("forward", "cli ingest"))] == [
        *("forward passes alone, float32", "cli ingest, float32"),
        *("forward passes alone, bfloat16", "cli ingest, bfloat16"),
    ]
    assert "device cpu" in text
    assert "these figures say nothing" in text


def test_options_of_ingest_say_beside_which_limit_they_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from gpu_measures import Variant, variant

    options = "--compile --precision bfloat16 --decoder nvjpeg"
    assert variant(options) == Variant(options, "bfloat16", tuple(options.split()), "nvjpeg")
    assert variant("--decoders 0") == Variant("--decoders 0", options=("--decoders", "0"))
