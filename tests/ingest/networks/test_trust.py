"""Files that hold code: none of it is run unless the user says so, and a warehouse alone never does."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import neuronlake
from neuronlake.cli import main
from neuronlake.ingest.encoders.loading import load_encoder, load_stored_encoder
from neuronlake.ingest.encoders.protocol import EncoderError
from neuronlake.ingest.find import find_units
from neuronlake.ingest.labelers.settings import ScoringError
from neuronlake.ingest.layers.directions import load_directions
from neuronlake.ingest.networks.errors import WeightsError
from neuronlake.ingest.networks.models import load_model
from neuronlake.ingest.networks.weights import SourceKind
from neuronlake.ingest.recipe import Recipe, RecipeError, ScoreRecipe, read_recipe_file, recipe_of
from neuronlake.sql.warehouse import Warehouse
from tiny import TWO_TOWERS

# leaves a file beside it when it is run
TOWERS = "from pathlib import Path\n" + TWO_TOWERS.replace(
    "def make():\n", 'def make():\n    (Path(__file__).parent / "trace").touch()\n'
)


class Writing(nn.Module):
    """A TorchScript program that overwrites a file when it is run."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.path = path

    def forward(self, images: Tensor) -> Tensor:
        torch.save(images, self.path)
        return self.stem(images)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A file of such a program, which would write to `trace` beside it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Writing(str(tmp_path / "trace"))).save(str(tmp_path / "evil.pt"))
    return tmp_path / "evil.pt"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """The exit status of the command line."""
    monkeypatch.setattr(sys, "argv", ["cli", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


READERS: dict[str, Callable[[str], object]] = {
    "--model": load_model,
    "--directions": load_directions,
    "--weights": lambda file: load_model("resnet18-imagenet", Path(file)),
    "--encoder": lambda file: load_encoder(f"ViT-B-16/{file}"),
}


@pytest.mark.parametrize("option", READERS)
def test_a_torchscript_file_is_not_read_unless_it_is_trusted(script: Path, option: str) -> None:
    with pytest.raises(
        WeightsError, match=r"evil.pt is a TorchScript file, which holds code .* --trust-code"
    ) as caught:
        READERS[option](str(script))
    assert "\n" not in str(caught.value)
    assert not (script.parent / "trace").exists()


@pytest.mark.parametrize("option", ["--trust-code", "--trust-pickle"])
def test_listing_the_layers_of_a_torchscript_file_runs_nothing_unasked(
    script: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert run(monkeypatch, "ingest", "--model", script, "--list-layers") == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "--trust-code" in said
    assert not (script.parent / "trace").exists()
    assert run(monkeypatch, "ingest", "--model", script, "--list-layers", option) == 0
    assert (script.parent / "trace").exists()
    assert "stem" in capsys.readouterr().out


def test_the_old_name_of_the_option_means_the_same(tmp_path: Path) -> None:
    (tmp_path / "old.toml").write_text("trust_pickle = true\n")
    assert recipe_of(Recipe, read_recipe_file(Recipe, tmp_path / "old.toml")).trust_code
    assert recipe_of(Recipe, {"trust_pickle": True}) == Recipe(trust_code=True) == Recipe(trust_pickle=True)
    assert dataclasses.replace(Recipe(trust_pickle=True), layers=("fc",)).trust_code
    with pytest.raises(RecipeError, match="trust_code is given twice, once as trust_pickle"):
        recipe_of(Recipe, {"trust_pickle": True, "trust_code": False})


# What a warehouse names


@pytest.fixture
def towers(tmp_path: Path) -> Path:
    """An encoder of one's own, which leaves a file `trace` beside it when it is run."""
    path = tmp_path / "home" / "enc.py"
    path.parent.mkdir()
    path.write_text(TOWERS)
    return path


@pytest.fixture(scope="module")
def original(tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse beside the encoder that it was made with, which was named as that folder knows it."""
    home = tmp_path_factory.mktemp("home")
    (home / "enc.py").write_text(TOWERS)
    recipe = dataclasses.replace(tiny_recipe, encoder="enc.py:make", layers=("fc",), precision="bfloat16")
    with pytest.MonkeyPatch.context() as patch, neuronlake.open(home / "w.duckdb") as warehouse:
        patch.chdir(home)
        neuronlake.ingest(warehouse, recipe)
    return home / "w.duckdb"


@pytest.fixture
def made(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that warehouse, in another folder, where the command is run."""
    monkeypatch.chdir(tmp_path)
    original.with_name("trace").unlink(missing_ok=True)
    return Path(shutil.copy(original, tmp_path))


def other_prompt(warehouse: Warehouse, **settings: object) -> int:
    """Score with a prompt that the warehouse has no embeddings of."""
    return neuronlake.score(
        warehouse, prompts=["a {}"], parameters={"top_k": 5}, null_draws=10, **settings
    ).scored_layers


def test_code_that_a_warehouse_names_is_not_run(original: Path, made: Path) -> None:
    with neuronlake.open(made) as warehouse:
        for ask in (lambda: find_units(warehouse, "cat"), lambda: other_prompt(warehouse)):
            with pytest.raises(EncoderError, match=r"Python code, .*enc.py:make, which is not run .* --trust-code$"):
                ask()
        assert not original.with_name("trace").exists()
        with pytest.raises(EncoderError, match="is not run"):
            # its name says no more than the warehouse does
            find_units(warehouse, "cat", encoder="make bfloat16")


def test_code_is_run_where_the_user_names_or_trusts_it_from_any_folder(original: Path, made: Path) -> None:
    spec = f"{original.with_name('enc.py')}:make"
    with neuronlake.open(made) as warehouse:
        trusted = find_units(warehouse, "cat", trust_code=True)
        assert find_units(warehouse, "cat", encoder=spec).equals(trusted)
        assert other_prompt(warehouse, encoder=spec) == 1
        assert neuronlake.score(warehouse, prompts=["the {}"], null_draws=10, trust_code=True).scored_layers == 1


def test_the_command_line_runs_the_code_of_a_warehouse_only_when_told(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "find", "cat", "-w", made) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert run(monkeypatch, "find", "cat", "-w", made, "--trust-code") == 0
    assert run(monkeypatch, "score", "--prompt", "a {}", "--parameter", "top_k=5", "-w", made) == 1
    assert run(monkeypatch, "score", "--prompt", "a {}", "--parameter", "top_k=5", "-w", made, "--trust-code") == 0


def test_another_encoder_than_the_files_own_is_refused(towers: Path, made: Path) -> None:
    other = towers.with_name("other.py")
    other.write_text(TOWERS.replace("manual_seed(0)", "manual_seed(1)"))
    with neuronlake.open(made) as warehouse:
        with pytest.raises(EncoderError, match=r"other.py:make are not those that made this file's embeddings"):
            find_units(warehouse, "cat", encoder=f"{other}:make")
        with pytest.raises(
            ScoringError, match=r"other.py:make made none of the embeddings in .*; it holds those of make"
        ):
            neuronlake.score(warehouse, ScoreRecipe(encoder=f"{other}:make"))


# Where an encoder is found again


def test_a_stored_encoder_is_found_by_its_source_whatever_it_is_called(
    towers: Path, tiny_clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_clip_folder, tmp_path / "home" / "clip")
    monkeypatch.chdir(towers.parent)
    loaded = [load_encoder("enc.py:make"), load_encoder("local-dir:clip")]
    monkeypatch.chdir(tmp_path)
    assert [encoder.source_kind for encoder in loaded] == ["factory", "folder"]
    for encoder in loaded:
        for name in ("make#2", "tower bfloat16", "ViT-B-16/openai"):
            found = load_stored_encoder(
                name, encoder.source_kind, encoder.location, encoder.fingerprint, trust_code=True
            )
            assert found.fingerprint == encoder.fingerprint


def test_an_encoder_of_a_module_is_found_below_the_folder_it_was_in(
    towers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = towers.parent / "towerpackage"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "net.py").write_text(TOWERS)
    monkeypatch.chdir(towers.parent)
    encoder = load_encoder("towerpackage.net:make")
    for name in ("towerpackage.net", "towerpackage"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.chdir(tmp_path)
    assert encoder.source == f"factory towerpackage.net:make from {towers.parent}"
    found = load_stored_encoder("make", encoder.source_kind, encoder.location, encoder.fingerprint, trust_code=True)
    assert found.fingerprint == encoder.fingerprint


@pytest.mark.parametrize(
    ("kind", "location", "path", "spelling"),
    [
        (SourceKind.FACTORY, "/gone/enc.py:make", "/gone/enc.py", "path/to/file.py:factory"),
        (SourceKind.FACTORY, "enc.py:make", "enc.py", "path/to/file.py:factory"),
        (SourceKind.NAMED, "ViT-B-16/gone/clip.pt", None, None),
        (SourceKind.FILE, "ViT-B-16//gone/clip.pt", "/gone/clip.pt", "ViT-B-16/path/to/file"),
        (SourceKind.FOLDER, "local-dir:/gone/clip", "/gone/clip", "local-dir:FOLDER"),
    ],
)
def test_a_stored_encoder_that_has_gone_is_named(
    kind: SourceKind, location: str, path: str | None, spelling: str | None
) -> None:
    name = "ViT-B-32/clip.pt#2"
    with pytest.raises(EncoderError) as caught:
        load_stored_encoder(name, kind, location, "0" * 64, trust_code=True)
    if path:
        said = f"the encoder ViT-B-32/clip.pt#2 was loaded from {path}, which is not here; say --encoder {spelling}"
        assert str(caught.value) == said
