"""Bad input, one row each: the one line that a user sees, and the promise that nothing was changed.

Elsewhere: batches halved as the device runs out of memory in test_choosing.py, a list of a million missing files in
test_failures.py, each way in which an import is malformed in test_import.py, a warehouse cut at many places in
test_warehouse.py, full disks in test_disk.py.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import re
import shlex
import shutil
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
from neuronlake.sql.opening import open_warehouse
from tiny import write_image

NETWORKS = """
import torch
from torch import nn
from neuronlake import Preprocessing

SMALL = Preprocessing(16, 16, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(784, 6)), SMALL

class Hungry(nn.Module):
    def forward(self, images):
        return images + torch.empty(2**55)

def hungry():
    return Wrapped(Hungry()), SMALL

def huge():
    return Huge(nn.Conv2d(3, 4, 3)), SMALL

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

class Huge(Wrapped):
    def to(self, *args, **settings):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

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
        given: options of `cli ingest` in the place of the good ones, where None leaves one out and a + before its name
            gives one twice; or another command as a whole.
        message: a regular expression that the line holds.
        make: makes the bad thing in the current folder.
        status: of the command.
    """

    name: str
    given: dict[str, str | None] | str
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


def cut_warehouse() -> None:
    """The beginning of a warehouse."""
    with open_warehouse("cut.duckdb", write=True) as whole:
        whole.execute("checkpoint")
    Path("cut.duckdb").write_bytes(Path("cut.duckdb").read_bytes()[:-70_000])


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


LABELS = "layer,unit,description\nfc,0,cat\n"
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
    Bad(
        "a network fails",
        {"--model": "nets.py:fails", "--layers": "part"},
        r"fails on 2 images .*these weights are cursed \(nets.py:\d+\)",
    ),
    Bad(
        "too little memory for a network",
        {"--model": "nets.py:hungry", "--layers": "part"},
        "hungry runs out of memory on images of 16 x 16, 2 at once; free some",
    ),
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
    Bad(
        "a pattern that nothing matches",
        {"--layers": "block*"},
        r"'block\*' finds no layer of make; its outermost layers are 0, 1, 2, 3",
    ),
    Bad(
        "a model given twice by one name",
        {"--model": "make=nets.py:make", "+--model": "nets.py:make"},
        "called make; name them apart",
    ),
    Bad(
        "a model given by two names",
        {"+--model": "other=nets.py:make"},
        "make and other are the same network under two names; give one",
    ),
    Bad("weights for a model that is not there", {"--weights": "other=a.pt"}, "--weights names 'other'.*make"),
    Bad("weights are missing", {"--weights": "make=a.pt"}, "no weights file at a.pt; check the path"),
    Bad(
        "weights of another network",
        {"--weights": "make=other.pt"},
        "other.pt is of another architecture than Sequential: lacks 0.bias; lacks 3.weight; .*; give weights of",
        other_architecture,
    ),
    Bad(
        "truncated weights",
        {"--weights": "make=cut.pt"},
        r"cut.pt is not .*\); it may be truncated: get it",
        lambda: truncated("cut.pt"),
    ),
    Bad(
        "truncated safetensors",
        {"--weights": "make=cut.safetensors"},
        r"cut.safetensors is not .*\); it may be truncated: get it",
        lambda: truncated("cut.safetensors"),
    ),
    Bad(
        "weights with code in them",
        {"--weights": "make=code.pt"},
        "code.pt holds more than tensors.*--trust-code",
        pickled_code,
    ),
    Bad("weights that are a text", {"--weights": "make=words.txt"}, "words.txt is no checkpoint; name a file of torch"),
    Bad("directions are missing", {"--directions": "3=a.npz"}, "there is no file a.npz; check its path"),
    Bad(
        "directions of another width",
        {"--directions": "3=d.safetensors"},
        "has directions for 5 channels, but .* has 6",
        lambda: save_file({"directions": torch.zeros(2, 5)}, "d.safetensors"),
    ),
    Bad("an unknown pooling", {"--pooling": "median"}, "there is no pooling 'median'; choose mean"),
    # probes
    Bad("a probe is missing", {"--probe": "fotos"}, "there is no fotos; --probe takes a folder"),
    Bad("a probe given twice", {"+--probe": "./photos/"}, "photos/ is given twice.*; give it once"),
    Bad(
        "two probes of one name",
        {"+--probe": "more/photos"},
        "two of the probes are called photos; .*: --probe photos-2=more/photos",
        lambda: shutil.copytree("photos", "more/photos"),
    ),
    Bad("a text as probe", {"--probe": "words.txt"}, "words.txt is no probe that can be read; --probe takes"),
    Bad("an empty folder", {"--probe": "empty"}, "empty holds no images", lambda: Path("empty").mkdir()),
    Bad(
        "a folder without images",
        {"--probe": "notes"},
        "notes holds no images; it needs files such as .jpg",
        lambda: (Path("notes").mkdir(), (Path("notes") / "a.txt").write_text("a")),
    ),
    Bad("an image bomb alone", {"--probe": "bomb"}, "bomb.png: too many pixels: .*; mend the probe", image_bomb),
    Bad(
        "a list without paths",
        {"--probe": "list.csv"},
        "no column path; it has file, label",
        text("list.csv", "file,label\na.png,cat\n"),
    ),
    Bad(
        "a list in Latin-1",
        {"--probe": "list.csv"},
        "save it as UTF-8",
        text("list.csv", "path\ncaf\xe9.png\n".encode("latin-1")),
    ),
    Bad(
        "an empty list",
        {"--probe": "list.csv"},
        "empty CSV; save it as UTF-8 text with a first line",
        text("list.csv", ""),
    ),
    Bad(
        "a list of missing files",
        {"--probe": "list.csv"},
        "501 of the 20000 .* missing/0.png: there is no such file; mend the probe",
        text("list.csv", MANY_MISSING),
    ),
    Bad(
        "more failures than allowed",
        {"--probe": "list.csv", "--max-failures": "3"},
        "4 of the 20000 .* could not be read.*; mend the probe, or .*--max-failures",
        text("list.csv", MANY_MISSING),
    ),
    Bad(
        "a Parquet file that is none",
        {"--probe": "list.parquet"},
        "cannot be read as Parquet .*: get it again",
        text("list.parquet", "PAR1 no"),
    ),
    Bad(
        "a Parquet file without images",
        {"--probe": "list.parquet"},
        "no column image or path; it has n, and",
        parquet("list.parquet", n=[1, 2]),
    ),
    Bad(
        "a tar that climbs out",
        {"--probe": "a.tar"},
        r"member '../evil.png'.*; make the tar again",
        tar("a.tar", {"../evil.png": b"x"}),
    ),
    Bad(
        "a truncated tar",
        {"--probe": "a.tar"},
        "cannot be read as a tar .*: get it again",
        tar("a.tar", {"a.png": b"x" * 5000}, keep=2000),
    ),
    Bad("an unknown data set", {"--probe": "torchvision:CIFAR11@."}, "did you mean CIFAR10"),
    Bad("a sample of nothing", {"--limit": "0"}, "--limit.*greater than or equal to 1", status=2),
    # concepts
    Bad("concepts are missing", {"--concepts": "word.txt"}, "there is no concept file word.txt; give a file"),
    Bad("an unknown concept set", {"--concepts": "imagnet"}, "no concept file imagnet; .* broden, imagenet, places365"),
    Bad("concepts in Latin-1", {"--concepts": "c.txt"}, "UTF-8.*iconv", text("c.txt", "caf\xe9\n".encode("latin-1"))),
    Bad(
        "a null byte in the concepts",
        {"--concepts": "c.txt"},
        "null byte in line 2; save it as UTF-8",
        text("c.txt", "cat\nd\0g\n"),
    ),
    Bad(
        "an empty concept file", {"--concepts": "c.txt"}, "c.txt holds no concept; write one a line", text("c.txt", "")
    ),
    Bad("only blank lines", {"--concepts": "c.txt"}, "holds no concept; write one a line", text("c.txt", "\n \n")),
    Bad(
        "an endless concept",
        {"--concepts": "c.txt"},
        "line 2: .*10,000 characters, more than 1,000; write one",
        text("c.txt", f"cat\n{'x' * 10_000}\n"),
    ),
    Bad(
        "an endless concept in a csv file",
        {"--concepts": "c.csv"},
        "c.csv line 3: a concept of more than 131,072 characters, more than 1,000; write one",
        text("c.csv", f"concept,category\ncat,object\n{'x' * 200_000},object\n"),
    ),
    Bad(
        "a quote that is never closed",
        {"--concepts": "c.csv"},
        "c.csv line 2: a concept of more than 131,072 characters, more than 1,000; write one",
        text("c.csv", 'concept\n"cat\n' + "dog\n" * 40_000),
    ),
    Bad(
        "concepts without a column",
        {"--concepts": "c.csv"},
        "no column 'concept'; its first line must be",
        text("c.csv", "word\ncat\n"),
    ),
    Bad(
        "two concept files of one name",
        {"+--concepts": "more/words.txt"},
        "two of the concept sets are called words.txt; .*: --concepts words-2=more/words.txt",
        lambda: (Path("more").mkdir(), shutil.copy("words.txt", "more")),
    ),
    Bad(
        "concepts in a Parquet that is none",
        {"--concepts": "c.parquet"},
        "readable Parquet file .*: get it again",
        text("c.parquet", "no"),
    ),
    Bad("no common word", {"--concepts": "common:0"}, "'common:0' is not common:N .* such as common:20000"),
    Bad("common words without a number", {"--concepts": "common:x"}, "'common:x' is not .* such as common:20000"),
    # encoders, methods, machines
    Bad("an unknown architecture", {"--encoder": "ViT-B-99/openai"}, "did you mean ViT-B-"),
    Bad("an encoder without weights", {"--encoder": "ViT-B-32"}, "names no weights; use ARCH/PRETRAINED"),
    Bad(
        "a truncated encoder",
        {"--encoder": "ViT-B-32/cut.pt"},
        r"cut.pt is not .*: get it again",
        lambda: truncated("cut.pt"),
    ),
    Bad("an unknown method", {"--method": "soft_wpmy"}, "did you mean soft_wpmi"),
    Bad("an unknown parameter", {"--parameter": "k=5"}, "soft_wpmi has no parameter 'k'; it has top_k"),
    Bad("an unknown method, and no concepts", {"--method": "soft_wpmy", "--concepts": None}, "did you mean soft_wpmi"),
    Bad(
        "an unknown parameter of a method that takes no concepts",
        {"--method": "network_dissection", "--parameter": "quantle=1", "--concepts": None},
        "network_dissection has no parameter 'quantle'; it has iou, quantile",
    ),
    Bad("a parameter that is no number", {"--parameter": "top_k=many"}, "top_k takes a number, not 'many'"),
    Bad("a parameter out of range", {"--parameter": "top_k=0"}, "must be a whole number above 0"),
    Bad("a parameter without a value", {"--parameter": "top_k"}, "written KEY=VALUE"),
    Bad("a prompt without a place", {"--prompt": "a photo"}, "has no place for the concept"),
    Bad("a device that is not there", {"--device": "cuda:7"}, "cannot be used on this machine; choose auto"),
    Bad("an unknown device", {"--device": "gpu"}, "cannot be used on this machine; choose auto"),
    Bad("an unknown precision", {"--precision": "int4"}, "there is no precision 'int4'; choose float32"),
    Bad("an unknown engine", {"--engine": "spark"}, "there is no engine 'spark'; choose local or ray"),
    Bad("no batch", {"--batch-size": "0"}, "--batch-size.*greater than or equal to 1", status=2),
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
    Bad("a folder as warehouse", {"--warehouse": "photos"}, "photos is a folder, neither a DuckDB file nor what"),
    Bad("a warehouse in no folder", {"--warehouse": "none/w.duckdb"}, "the folder none does not exist"),
    Bad("a text as warehouse", {"--warehouse": "words.txt"}, "words.txt is not a DuckDB file; name a warehouse"),
    Bad(
        "a cut warehouse",
        {"--warehouse": "cut.duckdb"},
        "is damaged or cut short; put a copy in its place",
        cut_warehouse,
    ),
    Bad("a cut warehouse that is asked", "sql 'select 1' -w cut.duckdb", "is damaged or cut short", cut_warehouse),
    # other commands
    Bad(
        "no file to ask",
        "sql 'select 1' -w none.duckdb",
        "no warehouse at none.duckdb.*; make one with `cli ingest --warehouse none.duckdb`",
    ),
    Bad("an unknown column", "sql 'select concpt from unit_labels'", '"concpt" not found.*; Candidate.*"concept"'),
    Bad(
        "an unknown view", "sql 'select * from unit_lables'", 'unit_lables does not exist!; Did you mean "unit_labels"'
    ),
    Bad("SQL that is none", "sql 'select 1 +'", r'syntax error at or near "\+"; LINE 1: select 1 \+$'),
    Bad("SQL that changes something", "sql 'drop view unit_labels'", "read-only"),
    Bad("an unknown query", "sql unit_lables", "no query or view is named 'unit_lables'; did you mean unit_labels"),
    Bad("a query in no file", "sql -f none.sql", "there is no file none.sql"),
    Bad("evaluate an unknown model", "evaluate mke 3", "no labels of mke 3; did you mean make 3"),
    Bad("evaluate without names", "evaluate make 3 --truth none", "no truth 'none'; give a file of names or one of"),
    Bad("score an unknown layer", "score --layers 33", "holds no layer '33'; did you mean 3"),
    Bad("score an unknown model", "score --model mke", "holds no model 'mke'; did you mean make"),
    Bad("score with an unknown method", "score --method soft_wpmy", "no method 'soft_wpmy'"),
    Bad("a unit out of range", "unit make 3 6", "3 of make has units 0 to 5, not 6"),
    Bad("a unit out of all ranges", "unit make 3 99999999999", "3 of make has units 0 to 5, not 99999999999"),
    Bad("a unit below zero", "unit make 3 -- -1", "'unit'.*greater than or equal to 0", status=2),
    Bad("an unknown setting to export", "export --setting 9", "has no setting 9; it has 1"),
    Bad("an import without labels", "import none.csv", "there is no label file none.csv; name a csv file"),
    Bad(
        "a malformed import",
        "import net.csv",
        "net.csv line 2: the unit is 'one', not a whole number from 0",
        text("net.csv", "layer,unit,description\nfc,one,cat\n"),
    ),
    Bad(
        "an import without a column",
        "import net.csv",
        "has no column 'description' but layer, unit; say which it is with --column",
        text("net.csv", "layer,unit\nfc,1\n"),
    ),
    Bad("an unknown command", "ingset", "No such command 'ingset'", status=2),
    # score again
    Bad(
        "score over an unknown probe", "score --probe fotos", "no layer with activations for probe fotos; `cli status`"
    ),
    Bad("score with an unknown encoder", "score --encoder towrs", "no layer with activations for encoder towrs; `cli"),
    Bad("score with missing concepts", "score --concepts word.txt", "there is no concept file word.txt"),
    Bad(
        "score with concepts in Latin-1",
        "score --concepts c.txt",
        "UTF-8.*iconv",
        text("c.txt", "caf\xe9\n".encode("latin-1")),
    ),
    Bad("score with an unknown parameter", "score --parameter k=5", "soft_wpmi has no parameter 'k'"),
    Bad("score on a device that is not there", "score --device cuda:7", "cannot be used on this machine"),
    Bad("score a prompt without a place", "score --prompt 'a photo'", "has no place for the concept"),
    Bad("score with an unknown engine", "score --engine spark", "there is no engine 'spark'"),
    # import
    Bad("an empty import", "import net.csv", "net.csv has no column", text("net.csv", "")),
    Bad(
        "an import of nothing", "import net.csv", "net.csv holds no labels", text("net.csv", "layer,unit,description\n")
    ),
    Bad("an import without a model", "import x.csv", "--model", text("x.csv", "layer,unit,description\nfc,0,cat\n")),
    Bad(
        "an import in Latin-1",
        "import net.csv",
        "UTF-8",
        text("net.csv", "layer,unit,description\nfc,0,caf\xe9\n".encode("latin-1")),
    ),
    Bad(
        "an empty folder to import",
        "import empty",
        r"empty holds nothing to import; it needs label files \(\.csv\) or activations \(\.pt\)",
        lambda: Path("empty").mkdir(),
    ),
    Bad(
        "a unit beyond any layer",
        "import net.csv --model net",
        "net.csv line 2: the unit is '2000000000', not a whole number from 0 to 999,999",
        text("net.csv", "layer,unit,description\nfc,2000000000,cat\n"),
    ),
    Bad(
        "a unit beyond any integer",
        "import net.csv --model net --first-unit 1",
        r"net.csv line 2: the unit is '9{40}\.\.\.', not a whole number from 1 to 1,000,000",
        text("net.csv", f"layer,unit,description\nfc,{'9' * 5_000},cat\n"),
    ),
    *(
        Bad(
            f"settings of an import that are {what}",
            "import net.csv",
            f"args.txt is not as CLIP-Dissect writes it: {problem}; mend it, or move it elsewhere",
            lambda content=content: (text("args.txt", content)(), text("net.csv", LABELS)()),
        )
        for what, content, problem in (
            ("a list", "[1]", "it holds no object"),
            ("a list of lists", '[["target_model", "net"]]', "it holds no object"),
            ("a number", "5", "it holds no object"),
            ("null", "null", "it holds no object"),
            ("of null layers", '{"target_layers": null}', "target_layers is no list of names"),
            ("of one layer", '{"target_layers": "fc"}', "target_layers is no list of names"),
            ("of listed layers", '{"target_layers": [["fc"]]}', "target_layers is no list of names"),
            ("of a model with parts", '{"target_model": {"a": 1}}', "target_model is no name"),
            ("of no concepts", '{"target_model": "net", "concept_set": null}', "concept_set is no name"),
            ("of half a character", '{"target_model": "net\\ud800"}', "target_model is no name"),
        )
    ),
    Bad(
        "settings of an import without end",
        "import net.csv",
        "args.txt is not JSON",
        lambda: (text("args.txt", "[" * 100_000)(), text("net.csv", LABELS)()),
    ),
    Bad(
        "sparse activations",
        "import broden_resnet18_layer4.pt",
        r"layer4.pt holds a sparse tensor of torch.float32 \[4, 4\], not its to_dense\(\); it should be floats",
        lambda: torch.save(torch.eye(4).to_sparse(), "broden_resnet18_layer4.pt"),
    ),
    Bad(
        "activations without values",
        "import broden_resnet18_layer4.pt",
        r"layer4.pt holds a tensor of torch.float32 \[4, 4\] without its values; it should be floats, one row an image",
        lambda: torch.save(torch.empty(4, 4, device="meta"), "broden_resnet18_layer4.pt"),
    ),
    Bad("an import of a warehouse", "import cut.duckdb", "cut.duckdb is not UTF-8 text", cut_warehouse),
    Bad("a cut warehouse to import into", "import words.txt -w cut.duckdb", "is damaged or cut short", cut_warehouse),
    # report and export
    Bad("a report in an unknown format", "report --format gif", "no format 'gif'; choose html, svg, png or csv"),
    Bad("a report of an unknown setting", "report --setting 9", "has no setting 9"),
    Bad("charts of an unknown setting", "report --setting 9 --format csv", "has no setting 9"),
    Bad("a report that would be a folder", "report -o photos", "photos is a folder; name a file"),
    Bad("a report in no folder", "report -o none/page.html", "the folder none does not exist; make it"),
    Bad("a report in place of its warehouse", "report -o warehouse.duckdb", "warehouse.duckdb is a DuckDB file, which"),
    Bad("a report in place of its log", "report -o warehouse.duckdb.wal", "belongs to the DuckDB file warehouse"),
    Bad("a report in place of another", "report -o cut.duckdb", "cut.duckdb is a DuckDB file, which", cut_warehouse),
    Bad(
        "a report in place of what a link leads to",
        "report -o page.html",
        "page.html is a DuckDB file, which",
        lambda: (cut_warehouse(), Path("page.html").symlink_to("cut.duckdb")),
    ),
    Bad("charts into a file", "report --format csv -o words.txt", "words.txt is a file; name a folder"),
    Bad("an export into a file", "export -o words.txt", "words.txt is a file; name a folder"),
    Bad(
        "an export in place of a warehouse",
        "export -o out",
        "out/make.csv is a DuckDB file, which",
        lambda: (cut_warehouse(), Path("out").mkdir(), Path("cut.duckdb").rename("out/make.csv")),
    ),
    Bad("a cut warehouse to report on", "report -w cut.duckdb", "is damaged or cut short", cut_warehouse),
    Bad("a cut warehouse to export", "export -w cut.duckdb", "is damaged or cut short", cut_warehouse),
]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that a good run needs, and the warehouse of one: without anything bad the command works."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "nets.py").write_text(NETWORKS)
    (folder / "words.txt").write_text("cat\ndog\nsky\n")
    for number in range(4):
        write_image(folder / "photos" / f"{number}.png", number)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run(patch, {}) == 0
    assert (folder / "warehouse.duckdb").is_file()
    return folder


@pytest.fixture
def work(desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder to work in, in a folder in which nothing else may appear."""
    shutil.copytree(desk, tmp_path / "work", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def arguments(given: dict[str, str | None] | str) -> list[str]:
    """The command line."""
    if isinstance(given, str):
        return ["cli", *shlex.split(given)]
    options = GOOD | given
    positional = [value for name, value in options.items() if name == "" and value]
    return [
        "cli",
        "ingest",
        *positional,
        *(part for name, value in options.items() if name and value for part in (name.removeprefix("+"), value)),
    ]


def contents(folder: Path) -> dict[str, str]:
    """All that is in a folder: the digest of each file, and the folders, which hold no byte."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    }


def run(monkeypatch: pytest.MonkeyPatch, given: dict[str, str | None] | str) -> int:
    """Run the command in this process; its exit status."""
    monkeypatch.delenv("NEURONLAKE_WAREHOUSE", raising=False)
    monkeypatch.setattr(sys, "argv", arguments(given))
    try:
        main()
    except SystemExit as stopped:
        return int(stopped.code or 0)
    return 0


def check(bad: Bad, message: str, work: Path, shown: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
    """One line is said, and all is as it was."""
    bad.make()
    before = contents(work.parent)
    assert run(patch, bad.given) == bad.status
    said = shown.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    if bad.status == 1:
        assert said.err.startswith("error: ")
        assert said.err.count("\n") == 1, said.err
        assert len(said.err) < 600
    assert re.search(message, " ".join(said.err.split())), said.err
    assert contents(work.parent) == before


@pytest.mark.parametrize("bad", ROWS, ids=lambda bad: bad.name.replace(" ", "-"))
def test_bad_input_is_one_line_and_changes_nothing(
    bad: Bad, work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check(bad, bad.message, work, capsys, monkeypatch)


@pytest.mark.parametrize("bad", ROWS, ids=lambda bad: bad.name.replace(" ", "-"))
def test_bad_input_leaves_no_warehouse_behind(
    bad: Bad, work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (work / "warehouse.duckdb").unlink()
    # most commands but ingest and import say at once that there is nothing to ask
    message = (
        rf"{bad.message}|there is no warehouse at warehouse.duckdb( \(.* there\))?; make one with"
        if isinstance(bad.given, str)
        else bad.message
    )
    check(bad, message, work, capsys, monkeypatch)


def test_there_are_many_kinds_of_bad_input() -> None:
    assert len({bad.name for bad in ROWS}) == len(ROWS) >= 40


def test_an_image_bomb_among_others_is_recorded_as_a_failed_image(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image_bomb()
    (work / "bomb" / "bomb.png").rename(work / "photos" / "bomb.png")
    assert run(monkeypatch, {"--warehouse": "new.duckdb"}) == 0
    said = capsys.readouterr().err
    assert "4 images extracted, 1 could not be read, " in said
    assert "1 of 5 files could not be read: cli sql failed_images --warehouse new.duckdb\n" in said
    with open_warehouse("new.duckdb") as warehouse:
        rows = warehouse.sql("select image, reason from failed_images").fetchall()
    assert rows == [("bomb.png", "too many pixels: Image size (10000000000 pixels) exceeds limit of 178956970 pixels")]


def test_a_device_too_small_for_the_networks_is_one_line(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, {"--model": "nets.py:huge", "--layers": "part", "--warehouse": "new.duckdb"}) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: the device has too little memory for the networks; free some, name fewer models")
    assert said.count("\n") == 1
