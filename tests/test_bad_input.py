"""Bad input, one row each: the one line that a user sees, and the promise that nothing was changed.

Out of memory on the device is in test_extract.py, the rows of a malformed import in test_import.py, and damaged
warehouses byte by byte in test_failures.py and test_disk.py.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import re
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import save_file

from neuronlake.cli import main
from tiny import write_image

NETWORKS = """
import torch
from torch import nn
from neuronlake import Preprocessing

SMALL = Preprocessing(16, 16, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(784, 6)), SMALL

class GivesDict(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Conv2d(3, 4, 3)

    def forward(self, images):
        return {"maps": self.inner(images)}

class Wrapped(nn.Module):
    def __init__(self, part):
        super().__init__()
        self.part = part
        self.unused = nn.Linear(2, 2)

    def forward(self, images):
        self.part(images)
        return images

class Fails(nn.Module):
    def forward(self, images):
        raise ValueError("these weights are cursed")

def gives_dict():
    return Wrapped(GivesDict()), SMALL

def fails():
    return Wrapped(Fails()), SMALL

def raises():
    raise OSError("no weights at /nowhere")

def no_module():
    return "resnet18"

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


@dataclass(frozen=True)
class Bad:
    """One kind of bad input.

    Attributes:
        name: what is bad.
        options: of `cli ingest`, in the place of the good ones; None leaves one out.
        message: a regular expression that the line holds.
        make: makes the bad thing in the current folder.
        status: of the command.
    """

    name: str
    options: dict[str, str | None]
    message: str
    make: Callable[[], object] = lambda: None
    status: int = 1


GOOD: dict[str, str | None] = {
    "--model": "nets.py:make",
    "--layers": "0,3",
    "--probe": "photos",
    "--concepts": "words.txt",
    "--encoder": "nets.py:towers",
    "--parameter": "top_k=2",
}


def text(name: str, content: str | bytes) -> Callable[[], object]:
    """Writes a file."""
    return lambda: Path(name).write_bytes(content.encode() if isinstance(content, str) else content)


def tar(name: str, members: dict[str, bytes], keep: int | None = None) -> Callable[[], object]:
    """Writes a tar, or the beginning of one."""

    def write() -> None:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for member, content in members.items():
                info = tarfile.TarInfo(member)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        Path(name).write_bytes(buffer.getvalue()[:keep])

    return write


def image_bomb() -> None:
    """A PNG of a few bytes that says it has ten thousand million pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    Path("bomb").mkdir()
    (Path("bomb") / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)


class _Bomb:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, ("it-was-run",)


def pickled_code() -> None:
    """A checkpoint whose pickle makes a folder."""
    torch.save({"0.weight": torch.zeros(4, 3, 3, 3)}, "plain.pt")
    with zipfile.ZipFile("plain.pt") as plain, zipfile.ZipFile("code.pt", "w") as spoilt:
        for entry in plain.namelist():
            spoilt.writestr(
                entry, pickle.dumps(_Bomb(), protocol=2) if entry.endswith("data.pkl") else plain.read(entry)
            )


def other_architecture() -> None:
    """Weights of another network."""
    torch.save({"features.weight": torch.zeros(4, 3, 3, 3), "0.weight": torch.zeros(8, 3, 3, 3)}, "other.pt")


def truncated(name: str) -> None:
    """The first half of a checkpoint."""
    state = {"0.weight": torch.zeros(4, 3, 3, 3)}
    if name.endswith(".safetensors"):
        save_file(state, name)
    else:
        torch.save(state, name)
    Path(name).write_bytes(Path(name).read_bytes()[: Path(name).stat().st_size // 2])


def parquet(name: str, **columns: list[object]) -> Callable[[], object]:
    """Writes a Parquet file."""
    return lambda: pl.DataFrame(columns).write_parquet(name)


MANY_MISSING = "path\n" + "".join(f"missing/{number}.png\n" for number in range(20_000))

ROWS = [
    # models
    Bad("an unknown model", {"--model": "resnt18-imagenet"}, "did you mean resnet18-imagenet"),
    Bad("a factory's file is missing", {"--model": "net.py:make"}, r"there is no file net.py; did you mean nets.py"),
    Bad("no such factory", {"--model": "nets.py:mak"}, "nets.py has no function 'mak'; did you mean make"),
    Bad("a factory raises", {"--model": "nets.py:raises"}, r"raised OSError: no weights at /nowhere \(nets.py:\d+\)"),
    Bad("a factory gives no network", {"--model": "nets.py:no_module"}, "gave a str, not a torch.nn.Module"),
    Bad(
        "a factory's file is no Python",
        {"--model": "broken.py:make"},
        r"broken.py cannot be imported: SyntaxError: .*\(broken.py:1\)",
        text("broken.py", "def make(:\n"),
    ),
    Bad("a network fails", {"--model": "nets.py:fails", "--layers": "part"}, "fails on .*these weights are cursed"),
    Bad(
        "a layer gives a dict",
        {"--model": "nets.py:gives_dict", "--layers": "part"},
        r"gives a dict, not a tensor; take part\[maps\]",
    ),
    Bad(
        "a layer gives no output",
        {"--model": "nets.py:gives_dict", "--layers": "unused"},
        "'unused' of gives_dict .*name another",
    ),
    Bad("an unknown layer", {"--layers": "33"}, r"make has no layer '33'; did you mean 3\?"),
    Bad("a pattern that nothing matches", {"--layers": "block*"}, "block"),
    Bad("a model given twice by one name", {"--model": "make=nets.py:make", "+--model": "nets.py:make"}, "called make"),
    Bad("weights for a model that is not there", {"--weights": "other=a.pt"}, "--weights names 'other'.*make"),
    Bad("weights are missing", {"--weights": "make=a.pt"}, "a.pt"),
    Bad(
        "weights of another network",
        {"--weights": "make=other.pt"},
        r"other.pt .*(3.weight|0.bias|features.weight)",
        other_architecture,
    ),
    Bad("truncated weights", {"--weights": "make=cut.pt"}, "cut.pt", lambda: truncated("cut.pt")),
    Bad(
        "truncated safetensors",
        {"--weights": "make=cut.safetensors"},
        "cut.safetensors",
        lambda: truncated("cut.safetensors"),
    ),
    Bad("weights with code in them", {"--weights": "make=code.pt"}, "code.pt .*--trust-pickle", pickled_code),
    Bad("directions are missing", {"--directions": "3=a.npz"}, "there is no file a.npz"),
    Bad(
        "directions of another width",
        {"--directions": "3=d.safetensors"},
        "has directions for 5 channels, but .* has 6",
        lambda: save_file({"directions": torch.zeros(2, 5)}, "d.safetensors"),
    ),
    Bad("an unknown pooling", {"--pooling": "median"}, "there is no pooling 'median'; choose mean"),
    # probes
    Bad("a probe is missing", {"--probe": "fotos"}, "fotos"),
    Bad("an empty folder", {"--probe": "empty"}, "empty holds no images", lambda: Path("empty").mkdir()),
    Bad(
        "a folder without images",
        {"--probe": "notes"},
        "notes holds no images; it needs files such as .jpg",
        lambda: (Path("notes").mkdir(), (Path("notes") / "a.txt").write_text("a")),
    ),
    Bad("an image bomb alone", {"--probe": "bomb"}, "bomb.png.*pixels", image_bomb),
    Bad("a list without paths", {"--probe": "list.csv"}, "path", text("list.csv", "file,label\na.png,cat\n")),
    Bad(
        "a list in Latin-1", {"--probe": "list.csv"}, "UTF-8", text("list.csv", "path\ncaf\xe9.png\n".encode("latin-1"))
    ),
    Bad("an empty list", {"--probe": "list.csv"}, r"list.csv", text("list.csv", "")),
    Bad(
        "a list of missing files",
        {"--probe": "list.csv"},
        "cannot be read|no such file",
        text("list.csv", MANY_MISSING),
    ),
    Bad(
        "more failures than allowed",
        {"--probe": "list.csv", "--max-failures": "3"},
        "--max-failures",
        text("list.csv", MANY_MISSING),
    ),
    Bad("a Parquet file that is none", {"--probe": "list.parquet"}, "list.parquet", text("list.parquet", "PAR1 no")),
    Bad(
        "a Parquet file without images", {"--probe": "list.parquet"}, "list.parquet", parquet("list.parquet", n=[1, 2])
    ),
    Bad("a tar that climbs out", {"--probe": "a.tar"}, r"a.tar.*\.\./", tar("a.tar", {"../../evil.png": b"x"})),
    Bad("a truncated tar", {"--probe": "a.tar"}, "a.tar", tar("a.tar", {"a.png": b"x" * 5000}, keep=2000)),
    Bad("an unknown data set", {"--probe": "torchvision:CIFAR11@."}, "did you mean CIFAR10"),
    Bad("a sample of nothing", {"--limit": "0"}, "limit", status=2),
    # concepts
    Bad("concepts are missing", {"--concepts": "word.txt"}, "there is no concept file word.txt"),
    Bad("concepts in Latin-1", {"--concepts": "c.txt"}, "UTF-8.*iconv", text("c.txt", "caf\xe9\n".encode("latin-1"))),
    Bad("a null byte in the concepts", {"--concepts": "c.txt"}, "null byte in line 2", text("c.txt", "cat\nd\0g\n")),
    Bad("no concept", {"--concepts": "c.txt"}, "holds no concept; write one a line", text("c.txt", "\n \n")),
    Bad(
        "an endless concept",
        {"--concepts": "c.txt"},
        "line 2: .*10,000 characters",
        text("c.txt", f"cat\n{'x' * 10_000}\n"),
    ),
    Bad("concepts without a column", {"--concepts": "c.csv"}, "no column 'concept'", text("c.csv", "word\ncat\n")),
    Bad(
        "an unknown category",
        {"--concepts": "c.csv"},
        "c.csv line 2: category 'animal' is not one of",
        text("c.csv", "concept,category\ncat,animal\n"),
    ),
    Bad("concepts in a Parquet that is none", {"--concepts": "c.parquet"}, "readable Parquet", text("c.parquet", "no")),
    Bad("no common word", {"--concepts": "common:0"}, "common:20000"),
    # encoders, methods, machines
    Bad("an unknown architecture", {"--encoder": "ViT-B-99/openai"}, "did you mean ViT-B-"),
    Bad("an encoder without weights", {"--encoder": "ViT-B-32"}, "names no weights; use ARCH/PRETRAINED"),
    Bad("a truncated encoder", {"--encoder": "ViT-B-32/cut.pt"}, "cut.pt", lambda: truncated("cut.pt")),
    Bad("an unknown method", {"--method": "soft_wpmy"}, "did you mean soft_wpmi"),
    Bad("an unknown parameter", {"--parameter": "k=5"}, "soft_wpmi has no parameter 'k'; it has top_k"),
    Bad("a parameter that is no number", {"--parameter": "top_k=many"}, "top_k takes a number, not 'many'"),
    Bad("a parameter out of range", {"--parameter": "top_k=0"}, "must be a whole number above 0"),
    Bad("a parameter without a value", {"--parameter": "top_k"}, "written KEY=VALUE"),
    Bad("a prompt without a place", {"--prompt": "a photo"}, "has no place for the concept"),
    Bad("a device that is not there", {"--device": "cuda:7"}, "cannot be used on this machine; choose auto"),
    Bad("an unknown device", {"--device": "gpu"}, "cannot be used on this machine; choose auto"),
    Bad("an unknown precision", {"--precision": "int4"}, "there is no precision 'int4'; choose float32"),
    Bad("an unknown engine", {"--engine": "spark"}, "there is no engine 'spark'; choose local or ray"),
    Bad("no batch", {"--batch-size": "0"}, "batch-size", status=2),
    Bad("nothing to look at", {"--probe": None}, "Missing option '--probe'", status=2),
    # recipes
    Bad("a recipe is missing", {"": "r.toml"}, "the recipe r.toml cannot be read: no such file"),
    Bad(
        "a recipe that is no TOML",
        {"": "r.toml"},
        "r.toml is not TOML: .*`cli recipe` prints one",
        text("r.toml", "layers = ["),
    ),
    Bad("an unknown setting", {"": "r.toml"}, "'laiers'; did you mean layers", text("r.toml", "laiers = 'fc'")),
    Bad("a setting of the wrong type", {"": "r.toml"}, "seed takes a whole number", text("r.toml", "seed = 'one'")),
    # the file
    Bad("a folder as warehouse", {"--warehouse": "photos"}, "photos"),
    Bad("a warehouse in no folder", {"--warehouse": "none/w.duckdb"}, "the folder none does not exist"),
    Bad("a text as warehouse", {"--warehouse": "words.txt"}, "words.txt"),
]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that a good run needs, and the warehouse of one."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "nets.py").write_text(NETWORKS)
    (folder / "words.txt").write_text("cat\ndog\nsky\n")
    for number in range(4):
        write_image(folder / "photos" / f"{number}.png", number)
    return folder


def arguments(options: dict[str, str | None]) -> list[str]:
    """The command line of a run."""
    given = GOOD | options
    positional = [value for name, value in given.items() if name == "" and value]
    return [
        "cli",
        "ingest",
        *positional,
        *(part for name, value in given.items() if name and value for part in (name.removeprefix("+"), value)),
    ]


def contents(folder: Path) -> dict[str, str]:
    """A digest of every file of a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def run(monkeypatch: pytest.MonkeyPatch, options: dict[str, str | None]) -> int:
    """Run the command in this process; its exit status."""
    monkeypatch.setattr(sys, "argv", arguments(options))
    try:
        main()
    except SystemExit as stopped:
        return int(stopped.code or 0)
    return 0


def test_without_anything_bad_the_same_command_works(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(desk)
    assert run(monkeypatch, {}) == 0, capsys.readouterr().err
    assert (desk / "warehouse.duckdb").is_file()


@pytest.mark.parametrize("bad", ROWS, ids=lambda bad: bad.name.replace(" ", "-"))
@pytest.mark.parametrize("there", [True, False], ids=["", "new"])
def test_bad_input_is_one_line_and_changes_nothing(
    bad: Bad,
    there: bool,
    desk: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for path in desk.rglob("*"):
        if path.is_file() and (there or path.name != "warehouse.duckdb"):
            copy = tmp_path / path.relative_to(desk)
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    bad.make()
    before = contents(tmp_path)
    assert run(monkeypatch, bad.options) == bad.status
    shown = capsys.readouterr()
    assert shown.out == ""
    said = [line for line in shown.err.splitlines() if line.strip()]
    if bad.status == 1:
        assert len(said) == 1, shown.err
        assert said[0].startswith("error: ")
        assert len(said[0]) < 600
    assert re.search(bad.message, " ".join(said)), shown.err
    assert "Traceback" not in shown.err
    assert contents(tmp_path) == before


def test_there_are_many_kinds_of_bad_input() -> None:
    assert len({bad.name for bad in ROWS}) >= 40
