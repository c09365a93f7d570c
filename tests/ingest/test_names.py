"""Names: nothing that is stored is ever called otherwise than the user said, and no two things share a name."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import neuronlake
from neuronlake.cli import main
from neuronlake.ingest import run, storing
from neuronlake.ingest.concepts.concept_sets import load_concepts
from neuronlake.ingest.encoders.loading import load_encoder
from neuronlake.ingest.names import split_name
from neuronlake.ingest.probes.probe import load_probe
from neuronlake.ingest.recipe import RecipeError
from neuronlake.sql.opening import open_warehouse
from neuronlake.sql.store.names import NameTakenError, next_name
from neuronlake.sql.verify import verify
from tiny import write_image

NETWORK = """
import torch
from torch import nn
from neuronlake import Preprocessing

SMALL = Preprocessing(16, 16, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(784, 6)), SMALL
"""
ENCODER = """
import torch
from torch import nn
from neuronlake import Preprocessing

SMALL = Preprocessing(16, 16, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

class Towers(nn.Module):
    def __init__(self):
        super().__init__()
        self.colours, self.letters = nn.Linear(3, 4), nn.Embedding(256, 4)

    def encode_image(self, pixels):
        return self.colours(pixels.mean(dim=(2, 3)))

    def encode_text(self, tokens):
        return self.letters(tokens).mean(dim=1)

def towers():
    torch.manual_seed(0)
    return Towers(), SMALL, lambda texts: torch.tensor([list(text.encode()[:9].ljust(9)) for text in texts])
"""
COMMAND = (
    "ingest --model before=net.py:make --layers 0,3 --probe photos --concepts words.txt "
    "--encoder clip=towers.py:towers --parameter top_k=2"
)


@pytest.fixture(scope="module")
def dissected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that a run needs, and the warehouse of one."""
    folder = tmp_path_factory.mktemp("dissected")
    (folder / "net.py").write_text(NETWORK)
    (folder / "towers.py").write_text(ENCODER)
    (folder / "words.txt").write_text("cat\ndog\nsky\n")
    for number in range(4):
        write_image(folder / "photos" / f"{number}.png", number)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert cli(patch, COMMAND) == 0
    return folder


@pytest.fixture
def work(dissected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder to work in."""
    shutil.copytree(dissected, tmp_path / "work", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def cli(patch: pytest.MonkeyPatch, command: str) -> int:
    """Run a command in this process; its exit status."""
    patch.delenv("NEURONLAKE_WAREHOUSE", raising=False)
    patch.setattr(sys, "argv", ["cli", *shlex.split(command)])
    try:
        main()
    except SystemExit as stopped:
        return int(stopped.code or 0)
    return 0


def names(table: str, warehouse: str = "warehouse.duckdb") -> list[str]:
    """What a table of the warehouse calls its rows, in the order in which they came."""
    with open_warehouse(warehouse) as opened:
        key = f"{table.removesuffix('s')}_id"
        return [name for (name,) in opened.sql(f"select name from store.{table} order by {key}").fetchall()]


def rows() -> dict[str, int]:
    """How many rows each table of the warehouse holds."""
    with open_warehouse("warehouse.duckdb") as opened:
        assert verify(opened) == []
        tables = opened.sql("select table_name from duckdb_tables() where schema_name = 'store'").fetchall()
        return {table: opened.scalar(f"select count(*) from store.{table}") for (table,) in tables}


def retrain() -> None:
    """Other weights from the same factory."""
    Path("net.py").write_text(NETWORK.replace("manual_seed(0)", "manual_seed(1)"))


def grow() -> None:
    """More images in the same folder."""
    write_image(Path("photos/late.png"), 99)


def other_words() -> None:
    """Other concepts in the same file."""
    Path("words.txt").write_text("cat\ndog\nsea\n")


def other_encoder() -> None:
    """Another encoder from the same factory."""
    Path("towers.py").write_text(ENCODER.replace("manual_seed(0)", "manual_seed(1)"))


# --- a name that stands for something else


TAKEN = [
    (retrain, "models", "another network", "--model before-2=net.py:make"),
    (grow, "probes", "other images or labels", "--probe photos-2=photos"),
    (other_words, "concept_sets", "other concepts", "--concepts words-2=words.txt"),
    (other_encoder, "encoders", "another encoder", "--encoder clip-2=towers.py:towers"),
]


@pytest.mark.parametrize(("change", "table", "what", "option"), TAKEN, ids=[row[1] for row in TAKEN])
def test_a_name_taken_by_other_contents_stops_before_anything_is_computed(
    work: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[], None],
    table: str,
    what: str,
    option: str,
) -> None:
    before, (name,) = rows(), names(table)
    change()
    for command in (COMMAND, f"{COMMAND} --dry-run"):
        assert cli(monkeypatch, command) == 1
        assert capsys.readouterr().err == (
            f"error: the name {name!r} is taken in warehouse.duckdb by {what}; give this one its own: {option}\n"
        )
        assert rows() == before
    # and what it says to give is what is needed
    given = re.sub(rf"{option.split(maxsplit=1)[0]} \S+", option, COMMAND)
    assert cli(monkeypatch, given) == 0
    new = option.split()[1].partition("=")[0]
    assert names(table) == [name, new]
    assert cli(monkeypatch, given) == 0
    assert "nothing to do" in capsys.readouterr().err
    assert rows()


def test_the_suggested_name_is_free(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    grow()
    assert cli(monkeypatch, COMMAND.replace("--probe photos", "--probe photos-2=photos")) == 0
    write_image(Path("photos/later.png"), 98)
    capsys.readouterr()
    for probe in ("photos", "photos-2=photos"):
        assert cli(monkeypatch, COMMAND.replace("--probe photos", f"--probe {probe}")) == 1
        assert capsys.readouterr().err.endswith("give this one its own: --probe photos-3=photos\n")


def test_other_weights_for_a_name_are_named_with_it(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(5)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(784, 6))
    torch.save(network.state_dict(), "new weights.pt")
    assert cli(monkeypatch, f"{COMMAND} --weights 'before=new weights.pt'") == 1
    said = capsys.readouterr().err.strip()
    assert said.endswith("--model before-2=net.py:make --weights 'before-2=new weights.pt'")
    option = said.partition("its own: ")[2]
    assert cli(monkeypatch, COMMAND.replace("--model before=net.py:make", option)) == 0
    assert names("models") == ["before", "before-2"]


def test_another_sample_is_other_images_and_the_whole_has_its_own_name(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(monkeypatch, f"{COMMAND} --limit 2") == 0
    assert cli(monkeypatch, f"{COMMAND} --limit 2 --seed 1") == 1
    assert "'photos:2' is taken in warehouse.duckdb by other images" in capsys.readouterr().err
    assert cli(monkeypatch, COMMAND.replace("photos", "photos-2=photos") + " --limit 2 --seed 1") == 0
    assert names("probes") == ["photos", "photos:2", "photos-2:2"]


def test_probes_together_are_told_apart_by_the_part_that_is_named(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(work / "drawings" / "a.png", 50)
    both = COMMAND.replace("--probe photos", "--probe photos --probe drawings")
    assert cli(monkeypatch, both) == 0
    grow()
    assert cli(monkeypatch, both) == 1
    assert "'photos + drawings' is taken" in (said := capsys.readouterr().err)
    assert said.endswith("--probe photos-2=photos\n")
    assert cli(monkeypatch, both.replace("--probe photos", "--probe photos-2=photos")) == 0
    assert names("probes") == ["photos", "photos + drawings", "photos-2 + drawings"]


def test_networks_in_memory_are_named_in_python(work: Path) -> None:
    def ingest(models: dict[str, nn.Module]) -> neuronlake.Warehouse:
        with neuronlake.open("warehouse.duckdb") as warehouse:
            neuronlake.ingest(
                warehouse,
                models={name: (network, small) for name, network in models.items()},
                layers="0",
                probe="photos",
                concepts="words.txt",
                encoder="clip=towers.py:towers",
                parameters={"top_k": 2},
            )
            return warehouse

    small = neuronlake.Preprocessing(16, 16, (0.5,) * 3, (0.5,) * 3)
    network = nn.Sequential(nn.Conv2d(3, 2, 3))
    ingest({"mine": network})
    with torch.no_grad():
        network[0].weight.add_(1)  # pyright: ignore[reportArgumentType]
    with pytest.raises(NameTakenError, match=r'another network; give this one its own: models=\{"mine-2": \.\.\.\}'):
        ingest({"mine": network})
    ingest({"mine-2": network})
    assert names("models") == ["before", "mine", "mine-2"]


def test_a_dry_run_beside_a_run_says_that_names_were_not_looked_up(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with neuronlake.open("warehouse.duckdb"):
        assert cli(monkeypatch, f"{COMMAND} --dry-run") == 0
    assert "note: whether its names are free was not looked up: warehouse.duckdb is" in capsys.readouterr().err


# --- contents that have a name already


SECOND_NAMES = [
    ("--model before=", "--model after=", "after is in the warehouse as 'before'; it keeps that name"),
    ("--probe photos", "--probe copy", "copy is in the warehouse as 'photos'; it keeps that name"),
    (
        "--concepts words.txt",
        "--concepts list=words.txt",
        "list is in the warehouse as 'words.txt'; it keeps that name",
    ),
    ("--encoder clip=", "--encoder ", "towers is in the warehouse as 'clip'; it keeps that name"),
]


@pytest.mark.parametrize(("first", "second", "note"), SECOND_NAMES, ids=[row[1] for row in SECOND_NAMES])
def test_known_contents_under_another_name_keep_theirs_and_the_run_says_so(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], first: str, second: str, note: str
) -> None:
    shutil.copytree("photos", "copy")
    before = rows()
    command = COMMAND.replace(first, second)
    assert cli(monkeypatch, command) == 0
    said = capsys.readouterr().err
    assert f"note: {note}\n" in said
    assert "nothing to do" in said
    assert rows() == before
    assert cli(monkeypatch, f"{command} --dry-run") == 0
    assert f"note: {note}\n" in capsys.readouterr().err


def test_scoring_with_known_concepts_under_another_name_says_so(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(monkeypatch, "score --concepts list=words.txt --method cos_similarity") == 0
    assert "note: list is in the warehouse as 'words.txt'; it keeps that name" in capsys.readouterr().err
    other_words()
    assert cli(monkeypatch, "score --concepts words.txt") == 1
    assert capsys.readouterr().err.endswith("give this one its own: --concepts words-2=words.txt\n")
    assert cli(monkeypatch, "score --concepts words-2=words.txt --trust-code") == 0
    assert names("concept_sets") == ["words.txt", "words-2"]


def test_names_that_version_0_1_numbered_stay(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It called the second network of a name before#2; typed, such names still lead to what has them."""
    retrain()
    write_image(work / "more" / "photos" / "0.png", 50)
    numbered = COMMAND.replace("before=", "before#2=")
    both = numbered.replace("--probe photos", "--probe photos --probe photos#2=more/photos")
    assert cli(monkeypatch, numbered) == 0
    assert cli(monkeypatch, both) == 0
    before = rows()
    capsys.readouterr()
    for command in (COMMAND, both):
        assert cli(monkeypatch, command) == 0
        assert "nothing to do" in (said := capsys.readouterr().err)
        assert ("note: before is in the warehouse as 'before#2'; it keeps that name" in said) == (command == COMMAND)
    assert rows() == before
    assert names("models") == ["before", "before#2"]
    assert names("probes") == ["photos", "photos + photos#2"]


# --- what a run leaves that came to nothing


@pytest.mark.parametrize("change", [retrain, grow, other_words, other_encoder])
def test_a_run_that_stored_nothing_leaves_its_names_free(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], change: Callable[[], None]
) -> None:
    """Stopped before its first chunk, mended, and run again by the same command."""
    Path("warehouse.duckdb").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(run, "_extract_and_load", _interrupted)
        assert cli(patch, COMMAND) == 130
    assert names("models") == ["before"]
    change()
    capsys.readouterr()
    assert cli(monkeypatch, COMMAND) == 0
    assert "note:" not in capsys.readouterr().err.replace("note: the probe has 4 images", "")
    found = (names("models"), names("probes"), names("concept_sets"), names("encoders"))
    assert found == (["before"], ["photos"], ["words.txt"], ["clip"])
    assert rows()["chunks"] == 3


def test_a_run_that_stored_nothing_gives_its_contents_no_name(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name was mistyped, the run stopped, and the right one given."""
    Path("warehouse.duckdb").unlink()
    shutil.copytree("photos", "fotos")
    with monkeypatch.context() as patch:
        patch.setattr(run, "_extract_and_load", _interrupted)
        mistyped = COMMAND.replace("before=", "befroe=").replace("--probe photos", "--probe fotos")
        assert cli(patch, mistyped.replace("clip=", "clap=")) == 130
    capsys.readouterr()
    assert cli(monkeypatch, COMMAND) == 0
    assert "keeps that name" not in capsys.readouterr().err
    assert (names("models"), names("probes"), names("encoders")) == (["before"], ["photos"], ["clip"])
    assert rows()["chunks"] == 3


def test_concepts_that_were_imported_and_not_yet_scored_keep_their_name(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a run nor another import takes it: the features of those words come from elsewhere."""
    Path("warehouse.duckdb").unlink()
    for folder, content in (("theirs", "cat\ndog\nsea\nsky\n"), ("ours", "red\nwheel\n")):
        Path(folder).mkdir()
        Path(folder, "20k.txt").write_text(content)
        torch.save(torch.randn(len(content.split()), 4), f"{folder}/20k_ViT-B16.pt")
        torch.save(torch.arange(4.0)[:, None].expand(4, 4) + torch.eye(4), f"{folder}/broden_ViT-B16.pt")
        torch.save(torch.eye(4), f"{folder}/broden_resnet18_layer4.pt")
    assert cli(monkeypatch, "import theirs --concepts theirs/20k.txt") == 0
    before = rows()
    capsys.readouterr()
    for command in (COMMAND.replace("words.txt", "ours/20k.txt"), "import ours --concepts ours/20k.txt"):
        assert cli(monkeypatch, command) == 1
        assert capsys.readouterr().err == (
            "error: the name '20k.txt' is taken in warehouse.duckdb by other concepts; give this one its own: "
            "--concepts 20k-2=ours/20k.txt\n"
        )
        assert rows() == before
    assert cli(monkeypatch, COMMAND.replace("words.txt", "20k-2=ours/20k.txt")) == 0
    assert names("concept_sets") == ["20k.txt", "20k-2"]
    score = "score --probe 'broden (saved activations)' --concepts theirs/20k.txt --parameter top_k=2"
    assert cli(monkeypatch, score) == 0
    with open_warehouse("warehouse.duckdb") as warehouse:
        members = warehouse.sql("select concept from concepts where concept_set = '20k.txt' order by all").fetchall()
    assert members == [("cat",), ("dog",), ("sea",), ("sky",)]


def test_a_run_killed_while_a_name_changes_hands_changes_nothing(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The unused probe is still there, with its images; then the folder is as it was."""
    Path("warehouse.duckdb").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(run, "_extract_and_load", _interrupted)
        assert cli(patch, COMMAND) == 130
        grow()
        patch.setattr(storing, "register_concept_set", _interrupted)
        assert cli(patch, COMMAND) == 130
    assert rows()["images"] == 4
    Path("photos/late.png").unlink()
    assert cli(monkeypatch, COMMAND) == 0
    assert rows()["images"] == 4


def _interrupted(*_arguments: object, **_options: object) -> None:
    raise KeyboardInterrupt


def test_an_interrupted_run_goes_on_under_its_name(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("warehouse.duckdb").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(run, "_finish_layers", _interrupted)
        assert cli(patch, COMMAND) == 130
    capsys.readouterr()
    assert cli(monkeypatch, COMMAND) == 0
    assert "0 images extracted, 2 of 2 layers scored" in capsys.readouterr().err
    assert names("models") == ["before"]


# --- what is given together


def test_one_network_under_two_names_is_refused(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = rows()
    assert cli(monkeypatch, f"{COMMAND} --model after=net.py:make") == 1
    assert "before and after are the same network under two names; give one" in capsys.readouterr().err
    assert rows() == before


def test_two_probes_of_one_file_name_must_be_named(tmp_path: Path) -> None:
    for number, folder in enumerate(("a/photos", "b/photos")):
        write_image(tmp_path / folder / "0.png", number)
    with pytest.raises(NameTakenError) as refused:
        load_probe(tmp_path / "a" / "photos", tmp_path / "b" / "photos")
    hint = f"--probe photos-2={tmp_path}/b/photos"
    assert str(refused.value) == f"two of the probes are called photos; give one another name: {hint}"
    both = load_probe(tmp_path / "a" / "photos", f"other={tmp_path}/b/photos")
    assert both.name == "photos + other"
    assert [(image.path, image.part) for image in both.images] == [("photos/0.png", "photos"), ("other/0.png", "other")]
    assert both.location == f"{tmp_path}/a/photos + {tmp_path}/b/photos"
    with pytest.raises(neuronlake.NeuronlakeError, match="is given twice"):
        load_probe(tmp_path / "a" / "photos", f"other={tmp_path}/a/photos")


def test_two_concept_files_of_one_name_must_be_named(tmp_path: Path) -> None:
    for folder, word in (("a", "zebu"), ("b", "dog")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "words.txt").write_text(word)
    first, second = f"{tmp_path}/a/words.txt", f"{tmp_path}/b/words.txt"
    with pytest.raises(
        NameTakenError, match=r"two of the concept sets are called words\.txt; .* --concepts words-2=.*b"
    ):
        load_concepts([first, second])
    joined = load_concepts([first, f"mine={second}", "ours=broden"])
    assert joined.name == "words.txt + mine + ours"
    assert joined.concepts[0].sets == ("words.txt",)
    assert next(concept for concept in joined.concepts if concept.text == "dog").sets == ("mine", "ours")
    assert load_concepts([first, first]).dropped_duplicates == 1


# --- how names are written


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mine=photos", ("mine", "photos")),
        ("my-net.v2=net.py:make", ("my-net.v2", "net.py:make")),
        ("фото=photos", ("фото", "photos")),
        ("mine=lr=0.1/photos", ("mine", "lr=0.1/photos")),
        ("photos", (None, "photos")),
        ("runs/lr=0.1/net.py:make", (None, "runs/lr=0.1/net.py:make")),
        ("s3://bucket/a=b", (None, "s3://bucket/a=b")),
        ("torchvision:CIFAR10@a=b", (None, "torchvision:CIFAR10@a=b")),
        # there are such files
        ("year=2024", (None, "year=2024")),
        ("year=2024/net.py:make", (None, "year=2024/net.py:make")),
        ("year=2024/other.py:make", ("year", "2024/other.py:make")),
    ],
)
def test_a_name_stands_before_an_equals_sign_and_a_path_that_exists_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: tuple[str | None, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("year=2024").mkdir()
    Path("year=2024/net.py").touch()
    assert split_name(text) == expected


def test_a_pattern_of_shards_in_a_folder_with_an_equals_sign_is_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neuronlake.ingest.probes.probe import split_probe

    monkeypatch.chdir(tmp_path)
    Path("split=train").mkdir()
    Path("split=train/shard-00.tar").touch()
    assert split_probe("split=train/shard-{00..03}.tar") == (None, "split=train/shard-{00..03}.tar")
    assert split_probe("train=shard-{00..03}.tar") == ("train", "shard-{00..03}.tar")
    assert split_probe("train=shard-{03..00}.tar") == ("train", "shard-{03..00}.tar")


@pytest.mark.parametrize(
    ("name", "taken", "expected"),
    [
        ("grow", {"grow"}, "grow-2"),
        ("grow", {"grow", "grow-2"}, "grow-3"),
        ("grow-2", {"grow", "grow-2"}, "grow-3"),
        ("resnet-50", {"resnet-50"}, "resnet-50-2"),
        ("words.txt", {"words.txt"}, "words-2"),
        ("ViT-B-16/openai", {"ViT-B-16/openai"}, "ViT-B-16-openai-2"),
        ("timm:vit_tiny", {"timm:vit_tiny"}, "timm-vit_tiny-2"),
    ],
)
def test_a_suggested_name_can_be_typed(name: str, taken: set[str], expected: str) -> None:
    assert next_name(name, taken.__contains__) == expected
    assert split_name(f"{expected}=there") == (expected, "there")


def test_an_encoder_of_open_clip_may_have_a_name(tiny_clip_folder: Path) -> None:
    plain, named = (load_encoder(f"{name}local-dir:{tiny_clip_folder}") for name in ("", "mine="))
    assert (plain.name, named.name) == (f"local-dir:{tiny_clip_folder}", "mine")
    assert (plain.source, plain.fingerprint) == (named.source, named.fingerprint)


def test_a_runs_recipe_keeps_the_names_it_was_given(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("warehouse.duckdb").unlink()
    command = COMMAND.replace("--probe photos", "--probe mine=photos").replace("words.txt", "list=words.txt")
    assert cli(monkeypatch, command) == 0
    done = subprocess.run([Path(sys.executable).parent / "cli", "recipe"], capture_output=True, text=True, check=True)
    (work / "again.toml").write_text(done.stdout)
    for line in (f"mine={work}/photos", f"list={work}/words.txt", f"clip={work}/towers.py:towers"):
        assert line in done.stdout
    assert cli(monkeypatch, "ingest again.toml --warehouse other.duckdb") == 0
    assert names("probes", "other.duckdb") == ["mine"]
    assert names("concept_sets", "other.duckdb") == ["list"]


def test_the_same_directions_under_two_names_are_refused(work: Path) -> None:
    from safetensors.torch import save_file

    for name in ("a", "b"):
        save_file({"directions": torch.ones(2, 6)}, f"{name}.safetensors")
    with neuronlake.open("warehouse.duckdb") as warehouse, pytest.raises(RecipeError, match="are the same directions"):
        neuronlake.ingest(
            warehouse,
            models="before=net.py:make",
            directions={"3": ["a.safetensors", "b.safetensors"]},
            probe="photos",
            concepts="words.txt",
            encoder="clip=towers.py:towers",
        )
