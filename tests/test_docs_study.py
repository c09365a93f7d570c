"""docs/study.md does what it says: its commands run, on the example and on small files in place of the large ones."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import neuronlake
from neuronlake.cli import main

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
EXAMPLE = "warehouse.duckdb.example"
# a command in a block of its own, and the table that stands below it
SHOWN = re.compile(r"^    (cli sql [^\n]*(?:\n     [^\n]*)*)\n\n(\|.*?\|)\n(?!\|)", re.MULTILINE | re.DOTALL)
OF_LABELS, OF_ONES_OWN = PAGE.split("    unset NEURONLAKE_WAREHOUSE\n")
Run = Callable[..., str]

# (layer, description) of the units of both networks, as CLIP-Dissect writes them
IMAGENET = [("layer2", "red"), ("layer3", "dotted"), ("layer3", "checker"), ("layer4", "sheep"), ("layer4", "bedrooms")]
PLACES365 = [
    ("layer2", "hoodia"),
    ("layer3", "dotted"),
    ("layer3", "spiral"),
    ("layer4", "bathroom"),
    ("layer4", "closet"),
]
ARGS = {
    "clip_model": "ViT-B/16",
    "target_layers": ["layer2", "layer3", "layer4"],
    "d_probe": "broden",
    "concept_set": "data/20k.txt",
    "similarity_fn": "soft_wpmi",
}


def commands(text: str) -> list[str]:
    """The `cli` commands of the blocks of a text, joined where they go on, without their comments."""
    lines = re.sub(r"\\\n\s+", "", text)
    return [
        shlex.join(shlex.split(each, comments=True))
        for each in re.findall(r"^    (cli [^\n\"]*(?:\"[^\"]*\")?[^\n]*)", lines, re.MULTILINE)
    ]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in this process, in an empty folder; see that it succeeds, and give what it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NEURONLAKE_WAREHOUSE", raising=False)

    def run(command: str, *options: str) -> str:
        monkeypatch.setattr(sys, "argv", [*shlex.split(command), *options])
        try:
            main()
        except SystemExit as stopped:
            said = capsys.readouterr()
            assert not stopped.code, f"{command}: {said.err}"
            return said.out
        return capsys.readouterr().out

    return run


def descriptions(labels: list[tuple[str, str]]) -> str:
    """A description file of these labels, whose units count from 0 in each layer."""
    units = {layer: iter(range(len(labels))) for layer, _ in labels}
    rows = [f"{layer},{next(units[layer])},{words},0.25" for layer, words in labels]
    return "\n".join(["layer,unit,description,similarity", *rows]) + "\n"


def write_what_others_published(here: Path) -> dict[str, Path]:
    """Small files where the page's repositories have large ones; the description file of each network."""
    files = {}
    for model, target, folder, labels in (
        ("resnet18-imagenet", "resnet18", "resnet18_25_07_21_02_50", IMAGENET),
        ("resnet18-places365", "resnet18_places365", "resnet18_places365_25_07_21_01_25", PLACES365),
    ):
        results = here / "TML25_A4_12" / "Task-1" / "results" / folder
        results.mkdir(parents=True)
        (results / "args.txt").write_text(json.dumps(ARGS | {"target_model": target}))
        files[model] = results / "descriptions.csv"
        files[model].write_text(descriptions(labels))
    linear = here / "Linear-Explanations" / "results"
    (linear / "ours" / "LE_siglip").mkdir(parents=True)
    (linear / "baselines" / "CLIP_Dissect").mkdir(parents=True)
    for layer, first, second in (("layer3", "dotted", "mesh"), ("layer4", "bathroom", "sheep")):
        (linear / "ours" / "LE_siglip" / f"resnet18_places365_{layer}.csv").write_text(
            "layer,unit,val correlation,weight0,concept0,weight1,concept1,bias,sim correlation\n"
            f"{layer},0,0.4,2.5,dots,1.5,paper,0.3,0.5\n{layer},1,0.4,2.5,tiles,0,0,0.3,0.25\n"
        )
        (linear / "baselines" / "CLIP_Dissect" / f"resnet18_places365_{layer}.csv").write_text(
            f"unit,description,sim correlation\n0,{first},0.125\n1,{second},-0.25\n"
        )
    dissected = here / "CLIP-dissect" / "data" / "NetDissect_results"
    dissected.mkdir(parents=True)
    (dissected / "resnet18_places365_fc.csv").write_text(
        "unit,category,label,score,scene-label,scene-truth,scene-activation,scene-intersect,scene-iou\n"
        "1,scene,bakery-shop-s,0.1,bakery-shop-s,60,50,10,0.1\n"
    )
    return files


def test_its_imports_and_questions_run_as_they_stand(cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = write_what_others_published(tmp_path)
    monkeypatch.setenv("NEURONLAKE_WAREHOUSE", "labels.duckdb")
    typed = [
        each
        for each in commands(OF_LABELS)
        if not each.startswith(("cli ingest", "cli report")) and EXAMPLE not in each
    ]
    assert len(typed) > 15
    answers = {
        command: cli(command, *(("--format", "csv") if command.startswith("cli sql") else ())) for command in typed
    }

    def answer(words: str) -> list[str]:
        (found,) = [said for command, said in answers.items() if words in command]
        return found.splitlines()[1:]

    # textures, rooms, animals
    assert answer("as animals") == [
        "resnet18-imagenet,layer3,2,0,0",
        "resnet18-imagenet,layer4,0,1,1",
        "resnet18-places365,layer3,2,0,0",
        "resnet18-places365,layer4,0,2,0",
    ]
    # units, their mean correlation, how many of them have 0.1 or more
    assert answer("as from_01") == [
        "layer3,dotted,1,0.13,1",
        "layer3,mesh,1,-0.25,0",
        "layer4,bathroom,1,0.13,1",
        "layer4,sheep,1,-0.25,0",
    ]
    assert answer("setting=netdissect")[0].startswith("resnet18-places365,fc,")
    shared = [row.split(",")[:2] for row in answer("from model_overlap")]
    assert shared == [["layer2", "0"], ["layer3", "1"], ["layer4", "0"]]
    # "byte for byte"
    for model, file in published.items():
        assert (tmp_path / "descriptions" / f"{model}.csv").read_bytes() == file.read_bytes()


def test_every_table_of_the_example_is_what_its_command_prints(cli: Run, tmp_path: Path) -> None:
    shutil.copy(ROOT / EXAMPLE, tmp_path)
    with neuronlake.open(tmp_path / EXAMPLE, write=True):
        pass  # brought up to date where the committed one is not yet
    shown = [(command, table) for command, table in SHOWN.findall(PAGE) if EXAMPLE in command]
    assert len(shown) == PAGE.count(f"cli sql -w {EXAMPLE}") == 4
    for command, table in shown:
        assert cli(command, "--format", "md").strip() == table, f"write into docs/study.md what this prints: {command}"


def test_what_needs_the_weights_is_spelled_as_the_commands_have_it(cli: Run) -> None:
    own = [each for each in commands(OF_ONES_OWN) if EXAMPLE not in each]
    assert [each.split()[1] for each in own] == ["ingest", "import", "import", "score", "score", "sql", "sql", "report"]
    for command in own:
        _, name, *rest = command.split()
        told = cli(f"cli {name} --help")
        assert all(word in told for word in rest if word.startswith("--"))
    assert (ROOT / own[0].split()[2]).is_file()
