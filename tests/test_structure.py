"""The house keeps its order: who imports whom, what is loaded when, and what is shipped."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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
    return [ROOT / "cli.py", *(file for part in PARTS for file in (ROOT / part).rglob("*.py"))]


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
    for first in ("import neuronlake.ingest.networks.models", "import neuronlake"):
        code = (
            f"{first}; import neuronlake as nl; nl.Recipe; assert callable(nl.ingest); assert callable(nl.open);"
            "import neuronlake.ingest.devices; assert nl.ingest.__module__ == 'neuronlake'"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_notebook_shows_the_parameters_of_the_call() -> None:
    from neuronlake.ingest import run

    assert list(inspect.signature(neuronlake.ingest).parameters)[:2] == ["warehouse", "recipe"]
    assert inspect.signature(neuronlake.ingest) == inspect.signature(run.ingest)


def copy_of_the_checkout(target: Path) -> Path:
    """The files that are tracked, so that what a tool writes beside them stays out of the checkout."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes((ROOT / name).read_bytes())
    return target


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_data_file(tmp_path: Path) -> None:
    source = copy_of_the_checkout(tmp_path / "source")
    # every folder with an __init__.py, whether pyproject.toml lists it or not
    shipped = [file for package in source.glob("*/__init__.py") for file in package.parent.rglob("*") if file.is_file()]
    expected = {f"neuronlake/{file.relative_to(source).as_posix()}" for file in shipped}
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if not name.split("/")[0].endswith(".dist-info")}
    assert held == expected | {"neuronlake/__init__.py", "neuronlake/cli.py", "neuronlake/py.typed"}


def imports_of(source: Path) -> subprocess.CompletedProcess[str]:
    """What deptry says of a checkout's imports."""
    command = [sys.executable, "-m", "deptry", "--no-ansi", "."]
    return subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)


def test_the_package_imports_what_a_plain_install_brings_and_nothing_else(tmp_path: Path) -> None:
    source = copy_of_the_checkout(tmp_path)
    assert imports_of(source).returncode == 0
    (source / "sql" / "new.py").write_text("import ray\nimport regex\nimport duckdb\n")
    complaints = [line for line in imports_of(source).stderr.splitlines() if line.startswith("sql/")]
    assert "DEP004 'ray' imported but declared as a dev dependency" in complaints[0]
    assert "DEP003 'regex' imported but it is a transitive dependency" in complaints[1]
    assert len(complaints) == 2


def test_a_line_that_imports_from_an_extra_names_the_extra_that_brings_it() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    brought = {extra: {canonicalize_name(Requirement(each).name) for each in extras[extra]} for extra in extras}
    marked = re.compile(r"^\s*(?:import|from) (\w+).*# deptry: ignore\[DEP004\]  of the extra `(\w+)`$", re.MULTILINE)
    asked = re.compile(r"""_package\(f?"([\w{}]+)", \w+, extra="(\w+)"\)""")
    texts = [file.read_text() for file in modules()]
    named = [pair for text in texts for pair in (*marked.findall(text), *asked.findall(text))]
    assert len(named) == sum(text.count("deptry: ignore") + text.count(", extra=") for text in texts) > 5
    owners = metadata.packages_distributions()
    for module, extra in named:
        distributions = {canonicalize_name(name) for name in owners[module.replace("{digit}", "0")]}
        assert distributions & brought[extra], f"{module} is not brought by {extra}"
