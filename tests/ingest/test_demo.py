"""The demo runs from nothing, with no network, and leaves a warehouse and a page."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import neuronlake

CLI = Path(sys.executable).parent / "cli"


def run_demo(folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [str(CLI), "demo"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_demo_makes_a_warehouse_and_a_page_and_says_what_to_do_next(tmp_path: Path) -> None:
    # a proxy that refuses everything stands for a machine without a network
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    environment = os.environ | nowhere | {"NEURONLAKE_CACHE": str(tmp_path / "cache")}
    done = run_demo(tmp_path, environment)
    assert done.returncode == 0, done.stderr
    assert "271 images extracted, 6 of 6 layers scored" in done.stderr
    assert "open demo.html in a browser" in done.stderr
    assert (tmp_path / "demo.html").stat().st_size > 1_000_000
    with neuronlake.open(tmp_path / "demo.duckdb", write=False) as warehouse:
        # unit 282 is ImageNet's tiger cat, and the probe holds a photograph of a cat; the tabby, the tiger cat and
        # the Egyptian cat are neighbours in the encoder's space
        label = warehouse.sql(
            "select concept, holds from unit_labels"
            " where model = 'efficientnet-lite0-imagenet' and layer = '_fc' and unit = 282"
        ).fetchall()
        assert label == [("Egyptian cat", True)]
        assert warehouse.scalar("select count(*) from unit_labels where method like 'soft_wpmi%'") == 2272
    again = run_demo(tmp_path, environment)
    assert again.stderr.count("nothing to do: demo.duckdb holds all of it") == 2
