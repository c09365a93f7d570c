"""What `pip install .` brings is enough: no module of an extra can be imported here, and the command line works."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tiny import CONCEPTS

ROOT = Path(__file__).parent.parent
CLI = Path(sys.executable).parent / "cli"
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

NETWORK = ("--model", "resnet18-imagenet", "--random-weights", "--layers", "layer4", "--parameter", "top_k=4")

# sitecustomize.py, which Python runs at its start, also in the processes that the command starts
HIDING = """
import sys
from importlib.machinery import PathFinder

class Plain(PathFinder):
    hidden = frozenset({names!r})

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in cls.hidden else super().find_spec(name, path, target)

sys.meta_path[:] = [Plain if finder is PathFinder else finder for finder in sys.meta_path]
"""


def installed_with(requirements: list[str]) -> set[str]:
    """The distributions that an installer brings for these requirements, each with what it requires itself."""
    brought: set[str] = set()
    asked: set[tuple[str, str]] = set()  # a distribution and one of its extras
    waiting = [Requirement(each) for each in requirements]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        brought.add(name)
        for extra in {"", *requirement.extras}:
            if (name, extra) not in asked:
                asked.add((name, extra))
                own = [Requirement(each) for each in metadata.requires(name) or []]
                waiting += [each for each in own if not each.marker or each.marker.evaluate({"extra": extra})]
    return brought


def hidden_modules() -> list[str]:
    """The modules installed here that a plain install does not bring."""
    plain = installed_with(DECLARED["dependencies"]) | {"neuronlake"}
    owners = metadata.packages_distributions()
    return sorted(name for name, ours in owners.items() if not {canonicalize_name(each) for each in ours} & plain)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process in which no module of an extra can be imported."""
    folder = tmp_path_factory.mktemp("plain")
    (folder / "sitecustomize.py").write_text(HIDING.format(names=hidden_modules()), encoding="utf-8")
    return os.environ | {"PYTHONPATH": str(folder), "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", "COLUMNS": "120"}


@pytest.fixture(scope="module")
def run(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory):
    """Run a command line in that environment, all in one folder, and see that it succeeds."""
    folder = tmp_path_factory.mktemp("work")

    def cli(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [str(CLI), *(str(argument) for argument in arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=folder, env=environment, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done

    cli.folder = folder
    return cli


@pytest.fixture(scope="module")
def warehouse(run, image_folder: Path, concept_file: Path, tiny_clip_folder: Path) -> str:
    """What the README's own command makes, with an encoder of open_clip from files."""
    inputs = ["--probe", image_folder, "--concepts", concept_file, "--encoder", f"local-dir:{tiny_clip_folder}"]
    run("ingest", *NETWORK, *inputs, "--warehouse", "plain.duckdb")
    return "plain.duckdb"


def test_what_only_extras_bring_is_hidden(environment: dict[str, str]) -> None:
    assert {"ray", "sentence_transformers", "skimage", "pytest", "playwright"} <= set(hidden_modules())
    assert not {"torch", "open_clip", "altair", "neuronlake", "numpy", "PIL"} & set(hidden_modules())
    done = subprocess.run(
        [sys.executable, "-c", "import ray"], env=environment, capture_output=True, text=True, check=False
    )
    assert "ModuleNotFoundError: No module named 'ray'" in done.stderr


def test_the_command_line_says_what_it_can_do(run) -> None:
    assert "ingest" in run("--help").stdout


def test_the_readmes_command_fills_a_warehouse_that_answers(run, warehouse: str) -> None:
    answer = run("sql", "select count(*) as units from unit_labels", "--format", "csv", "--warehouse", warehouse)
    assert answer.stdout.split() == ["units", "512"]
    assert "unit 3" in run("unit", "resnet18-imagenet", "layer4", "3", "--warehouse", warehouse).stdout
    run("verify", "--warehouse", warehouse)


@pytest.mark.parametrize("form", ["html", "svg", "png"])
def test_the_report_is_written(run, warehouse: str, form: str) -> None:
    output = Path("report.html" if form == "html" else form)
    run("report", "--format", form, "--output", output, "--warehouse", warehouse)
    written = run.folder / output
    files = [written] if form == "html" else list(written.glob(f"*.{form}"))
    assert files
    assert all(file.stat().st_size > 1000 for file in files)


def test_descriptions_are_exported(run, warehouse: str) -> None:
    run("export", "--output", "descriptions", "--warehouse", warehouse)
    (table,) = (run.folder / "descriptions").glob("*.csv")
    assert len(table.read_text(encoding="utf-8").splitlines()) == 513


def test_an_encoder_whose_tokenizer_lies_beside_it_finds_units(
    run, tiny_clip_folder: Path, image_folder: Path, concept_file: Path, tmp_path: Path
) -> None:
    # SigLIP's and many others' are files that transformers reads
    folder = Path(shutil.copytree(tiny_clip_folder, tmp_path / "with-tokenizer"))
    numbers = {word: number for number, word in enumerate(["[PAD]", "[UNK]", *CONCEPTS])}
    words = {"model": {"type": "WordLevel", "vocab": numbers, "unk_token": "[UNK]"}, "added_tokens": []}
    (folder / "tokenizer.json").write_text(json.dumps(words | {"pre_tokenizer": {"type": "Whitespace"}}))
    known = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(known))
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "any"
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    inputs = ["--probe", image_folder, "--concepts", concept_file, "--encoder", f"local-dir:{folder}"]
    run("ingest", *NETWORK, *inputs, "--warehouse", "tokenizer.duckdb")
    assert "layer4" in run("find", "striped cat", "--top", "3", "--warehouse", "tokenizer.duckdb").stdout
