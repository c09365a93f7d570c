"""The house keeps its order: who imports whom, what is loaded when, and what is shipped."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import neuronlake

ROOT = Path(__file__).parent.parent
PARTS = ("commands", "ingest", "sql", "reports")
HEAVY = {"torch": {"ingest"}, "duckdb": {"sql"}, "altair": {"reports"}, "typer": {"cli.py", "commands"}}
MAY_IMPORT = {
    "cli.py": {"commands"},
    "commands": {"commands", "ingest", "sql", "reports"},
    "ingest": {"ingest", "sql"},
    "sql": {"sql"},
    "reports": {"reports", "sql"},
}


def modules() -> list[Path]:
    return [ROOT / "cli.py", *(file for part in PARTS for file in (ROOT / part).glob("*.py"))]


def imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(ROOT)))
def test_each_part_imports_only_what_it_may(file: Path) -> None:
    part = file.relative_to(ROOT).parts[0]
    ours = {name.split(".")[1] for name in imported(file) if name.startswith("neuronlake.")}
    assert ours & {*PARTS, "cli"} <= MAY_IMPORT[part]
    libraries = {name.split(".")[0] for name in imported(file)}
    assert all(part in homes for library, homes in HEAVY.items() if library in libraries)


def test_the_command_line_answers_without_loading_torch() -> None:
    code = "import sys, neuronlake.cli; sys.exit('torch' in sys.modules or 'altair' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_functions_and_modules_stay_small() -> None:
    for file in modules():
        text = file.read_text()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and file.parent.name != "commands":
                assert (node.end_lineno or 0) - node.lineno < 60, f"{file.name}: {node.name}"


def test_the_call_works_whichever_was_imported_first() -> None:
    for first in ("import neuronlake.ingest.models", "import neuronlake"):
        code = f"{first}; import neuronlake as nl; assert callable(nl.ingest); assert callable(nl.open); nl.Recipe"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_notebook_shows_the_parameters_of_the_call() -> None:
    assert list(inspect.signature(neuronlake.ingest).parameters)[:2] == ["warehouse", "recipe"]


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_data_file(tmp_path: Path) -> None:
    # a copy, so that building leaves nothing in the checkout
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    source = tmp_path / "source"
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(source)]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if not name.split("/")[0].endswith(".dist-info")}
    shipped = [file for part in PARTS for file in (source / part).rglob("*") if file.is_file()]
    expected = {f"neuronlake/{file.relative_to(source).as_posix()}" for file in shipped}
    assert held == expected | {"neuronlake/__init__.py", "neuronlake/cli.py", "neuronlake/py.typed"}
