"""The house keeps its order: who imports whom, what is loaded when, and what is shipped."""

from __future__ import annotations

import ast
import graphlib
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
# where a library may be imported: a part, or a folder or file in one
HEAVY = {
    "torch": ("ingest",),
    "duckdb": ("sql",),
    "altair": ("reports",),
    "typer": ("cli.py", "commands"),
    "ray": ("ingest/machines",),
    "loky": ("ingest/machines/feeding",),
    "open_clip": ("ingest/encoders",),
    "timm": ("ingest/networks",),
    "fsspec": ("ingest/probes",),
    "pydantic": ("ingest/recipe.py",),
    "scipy": ("ingest/labelers", "ingest/judging", "ingest/comparing", "reports/units"),
    "marimo": ("reports/explore",),
    "sklearn": ("reports/explore",),
}
MAY_IMPORT = {
    "cli.py": {"commands"},
    "commands": {"commands", "ingest", "sql", "reports"},
    "ingest": {"ingest", "sql"},
    "sql": {"sql"},
    "reports": {"reports", "sql"},
}
# the folders of ingest from the ground up, each with those that it stands on
STANDS_ON = {
    "concepts": set(),
    "probes": {"concepts"},
    "networks": {"concepts"},
    "layers": {"networks"},
    "encoders": {"networks", "concepts"},
    "labelers": {"encoders", "networks"},
    "machines": {"labelers", "encoders", "layers", "networks", "probes"},
    "judging": {"labelers", "encoders", "networks", "concepts"},
    "demo": {"networks"},
    "comparing": set(),
    "importers": {"judging", "machines", "layers", "networks", "probes", "concepts"},
}
# the files beside them that some use
USES = {"importers": {"storing"}, "demo": {"recipe"}, "comparing": {"history"}}
# what every folder of ingest may use of the files beside them
GROUND = {"names", "devices"}
MOST_ROOMS = 14  # with the __init__.py
MOST_LINES = 400
TABLES = "layers|models|units|labels|label_terms|activations|scorings|images|concepts|probes|runs|chunks|encoders"


def modules() -> list[Path]:
    return [ROOT / "cli.py", *(file for part in PARTS for file in (ROOT / part).rglob("*.py"))]


def module_name(file: Path) -> str:
    parts = ("neuronlake", *file.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(file: Path, *, when_run: bool = False) -> set[str]:
    """The names that a file imports; where `when_run`, without those for types alone."""
    tree = ast.parse(file.read_text())
    for_types = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING" and when_run
        for node in ast.walk(block)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(ROOT)))
def test_each_part_imports_only_what_it_may(file: Path) -> None:
    place = file.relative_to(ROOT).as_posix()
    ours = {name.split(".")[1] for name in imported(file) if name.startswith("neuronlake.")}
    assert ours & {*PARTS, "cli"} <= MAY_IMPORT[place.split("/")[0]]
    for library in {name.split(".")[0] for name in imported(file)} & HEAVY.keys():
        assert place.startswith(HEAVY[library]), f"{place} imports {library}"


@pytest.mark.parametrize("folder", STANDS_ON)
def test_each_folder_of_ingest_stands_on_those_below_it(folder: str) -> None:
    for file in (ROOT / "ingest" / folder).rglob("*.py"):
        ours = {name.split(".")[2] for name in imported(file, when_run=True) if name.startswith("neuronlake.ingest.")}
        assert ours <= {folder} | STANDS_ON[folder] | GROUND | USES.get(folder, set()), file.name


def test_every_folder_of_ingest_has_its_place() -> None:
    assert {file.parent.name for file in (ROOT / "ingest").glob("*/__init__.py")} == set(STANDS_ON)


def test_no_files_import_each_other_in_a_circle() -> None:
    files = {module_name(file): file for file in modules()}
    graph = {
        name: {found for target in imported(file, when_run=True) if (found := _module(target, files)) and found != name}
        for name, file in files.items()
    }
    graphlib.TopologicalSorter(graph).prepare()  # names the circle where there is one


def _module(name: str, files: dict[str, Path]) -> str | None:
    """The module that an imported name is or is in."""
    return next((each for each in (name, name.rpartition(".")[0]) if each in files), None)


def test_tables_are_named_in_sql_alone() -> None:
    named = re.compile(rf"(?<!sql\.)\bstore\.({TABLES})\b")
    for part in ("commands", "ingest", "reports"):
        for file in (ROOT / part).rglob("*.py"):
            assert not named.search(file.read_text()), file.name


def test_the_command_line_answers_without_loading_torch() -> None:
    code = "import sys, neuronlake.cli; sys.exit('torch' in sys.modules or 'altair' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_functions_modules_and_folders_stay_small() -> None:
    for file in modules():
        text = file.read_text()
        assert text.count("\n") <= MOST_LINES, file.name
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and file.parent.name != "commands":
                assert (node.end_lineno or 0) - node.lineno < 60, f"{file.name}: {node.name}"
    for folder in {file.parent for file in modules()}:
        assert len(list(folder.glob("*.py"))) <= MOST_ROOMS, folder.name


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
