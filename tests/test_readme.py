"""The README tells what is there: its commands run against the example warehouse."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLI = Path(sys.executable).parent / "cli"


def commands() -> list[str]:
    """The `cli ...` lines of the README's blocks, joined where they go on, without their comments."""
    text = re.sub(r"\\\n\s+", "", README)
    lines = re.findall(r"^    (?:\.venv/bin/)?(cli .+)$", text, re.MULTILINE)
    return [re.sub(r"\s+# .*$", "", line) for line in lines]


def test_the_readme_has_the_commands() -> None:
    assert len(commands()) > 10


# the app runs until it is ended, and has tests of its own
OTHERS = r"cli (ingest|import|find|explore)"


@pytest.mark.parametrize("command", [line for line in commands() if not re.match(OTHERS, line)])
def test_a_command_of_the_readme_runs(command: str, tmp_path: Path) -> None:
    # the README's reader stands in a folder with a warehouse
    for name in ("warehouse.duckdb", "warehouse.duckdb.example"):
        shutil.copy(ROOT / "warehouse.duckdb.example", tmp_path / name)
    path = f"{CLI.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=tmp_path,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_readme_finds_espresso(tmp_path: Path) -> None:
    shutil.copy(ROOT / "warehouse.duckdb.example", tmp_path / "warehouse.duckdb")
    (command,) = [line for line in commands() if line.startswith("cli find")]
    done = subprocess.run(
        [str(CLI), *shlex.split(command)[1:]], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    # unit 967 of the classifiers is ImageNet's class espresso
    found = [row.split(",")[:3] for row in done.stdout.splitlines()[1:5]]
    assert ["efficientnet-lite0-imagenet", "_fc", "967"] in found
    assert ["efficientnet-lite1-imagenet", "_fc", "967"] in found


def test_the_models_options_of_the_readme_exist() -> None:
    help_text = subprocess.run([str(CLI), "ingest", "--help"], capture_output=True, text=True, check=True).stdout
    for option in re.findall(r"`(--[a-z-]+)", README.split("## Ask it")[0]):
        assert option in help_text
