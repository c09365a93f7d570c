"""Networks of the user's own: from a factory in Python, a TorchScript file or a torch.export file."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from torch import nn

from neuronlake.ingest.networks import weights
from neuronlake.ingest.networks.blueprints import ModelError
from neuronlake.ingest.networks.identity.code import is_installed
from neuronlake.ingest.networks.identity.live_code import Code
from neuronlake.ingest.networks.identity.python_files import files_digest, forget, imported_files
from neuronlake.ingest.networks.saved import load_exported, load_scripted
from neuronlake.sql.words import did_you_mean, first_line

# a module below a folder, so that it is found wherever a command is run
_PLACED = re.compile(r"([\w.]+:\w+) from (.+)", re.DOTALL)
_FILE_SUFFIXES = (".pt", ".pt2", ".pth", ".ts", ".torchscript", ".jit")
_PARTS = ("module", "transform", "class_names")


@dataclass(frozen=True)
class OwnModel:
    """A user's network as it was found.

    Attributes:
        name: of the factory, or of the file without its suffix.
        transform: what images go through before it; None if that was not said.
        code: what tells its code from another's.
    """

    name: str
    module: nn.Module
    transform: object
    class_names: tuple[str, ...]
    source: str
    code: Code


def is_own(spec: str) -> bool:
    """Whether it names a factory or a file, not a network known by name."""
    return not spec.startswith("timm:") and (":" in spec or spec.endswith((*_FILE_SUFFIXES, ".py")) or "/" in spec)


def default_name(spec: str) -> str:
    """The name of a user's network that was given none: the factory's, or the file's without its suffix."""
    placed = _PLACED.fullmatch(spec)
    _, _, factory = (placed[1] if placed else spec).rpartition(":")
    return factory if factory.isidentifier() and factory != spec else Path(spec).stem


def load_own(spec: str, *, trust_code: bool = False) -> OwnModel:
    """The network of a factory or a file.

    Raises:
        ModelError: there is none, or it cannot be made.
        WeightsError: the file is damaged, or could run code and is not trusted.
    """
    path = Path(spec).expanduser()
    if spec.endswith(_FILE_SUFFIXES) or (path.is_file() and not spec.endswith(".py")):
        return _from_file(path, trust_code=trust_code)
    made, code, files = call_factory(spec)
    module, transform, class_names = _parts(spec, made)
    return OwnModel(default_name(spec), module, transform, class_names, f"factory {spec}", Code(code, tuple(files)))


def _from_file(path: Path, *, trust_code: bool) -> OwnModel:
    """The network that a file holds, whichever kind of file it is."""
    if not path.is_file():
        raise ModelError(f"there is no file {path}{near_files(path)}")
    if path.suffix == ".pt2":
        module = load_exported(path, trust_code=trust_code)
    elif weights.is_torchscript(path):
        module = load_scripted(path, trust_code=trust_code)
    else:
        module = weights.unpickle(path, trust_code=trust_code)
        if not isinstance(module, nn.Module):
            raise ModelError(
                f"{path} holds weights, not a network; name the network with --model and pass --weights NAME={path}"
            )
    # what these files compute is in the file, not in classes that could be read
    code = Code(weights.sha256_of(path), has_classes=False)
    return OwnModel(path.stem, module, None, (), str(path), code)


def call_factory(spec: str) -> tuple[object, str, list[Path]]:
    """Call ``path/to/file.py:factory`` or ``package.module:factory``, the latter perhaps with `` from FOLDER``.

    Returns:
        What it gave; a digest of the file it is in and of those beside it that this imports; and these files.

    Raises:
        ModelError: there is no such file, module or factory, or it raises.
    """
    placed = _PLACED.fullmatch(spec)
    home, _, factory = (placed[1] if placed else spec).rpartition(":")
    if not home or not factory.isidentifier():
        raise ModelError(f"{spec!r} names no factory; write path/to/file.py:factory or package.module:factory")
    is_file = home.endswith(".py")
    beside = _siblings(home) if is_file else {}
    forget(beside)
    below = Path(placed[2]) if placed else Path.cwd()
    with _import_path(Path(home).expanduser().parent if is_file else below):
        module = _import(home)
        call = getattr(module, factory, None)
        if not callable(call):
            own = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
            has = f"it has {', '.join(own) or 'no functions'}"
            hint = did_you_mean(factory, own, most=3, cutoff=0.4, otherwise=has)
            raise ModelError(f"{home} has no function {factory!r}; {hint}")
        try:
            made = call()
        except Exception as error:
            raise ModelError(f"{spec} raised {type(error).__name__}: {described(error)}") from error
    file = Path(str(module.__file__)) if getattr(module, "__file__", None) else None
    if file is None or not file.is_file():
        return made, "", []
    imported = beside if is_file else _siblings(home, module)
    return made, files_digest(file, imported), [file, *imported.values()]


def _siblings(home: str, module: ModuleType | None = None) -> dict[str, Path]:
    """The user's own files that a factory's file imports; of an installed package none."""
    file = Path(home).expanduser() if module is None else Path(module.__file__ or "")
    if module is None:
        return imported_files(file, file.parent) if file.is_file() else {}
    return {} if is_installed(file) else imported_files(file, _root_of(module), module.__package__ or "")


def _root_of(module: ModuleType) -> Path:
    """The folder that a module is imported from: of a.b in a/b.py the one that a lies in."""
    package = module.__package__ or ""
    return Path(module.__file__ or "").absolute().parents[len(package.split(".")) if package else 0]


def anywhere(spec: str) -> str:
    """A factory that has been called, as `call_factory` takes it in any folder."""
    home, _, factory = spec.rpartition(":")
    if home.endswith(".py"):
        return f"{Path(home).expanduser().absolute()}:{factory}"
    module = sys.modules.get(home)
    if module is None or not module.__file__ or is_installed(Path(module.__file__)):
        return spec
    return f"{spec} from {_root_of(module)}"


def _import(home: str) -> ModuleType:
    """The module of a file, or the one of that name.

    Raises:
        ModelError: there is none, or importing it raises.
    """
    path = Path(home).expanduser()
    if home.endswith(".py") and not path.is_file():
        raise ModelError(f"there is no file {path}{near_files(path)}")
    try:
        if not home.endswith(".py"):
            return importlib.import_module(home)
        # by its contents, so that an edited file in the same process is another module
        name = f"neuronlake_user_{path.stem}_{weights.sha256_of(path)[:8]}"
        found = importlib.util.spec_from_file_location(name, path)
        # there is always a loader for a file that ends in .py
        assert found is not None and found.loader is not None
        module = importlib.util.module_from_spec(found)
        # classes look their module up there, as dataclasses and inspect.getsource do
        sys.modules[name] = module
        found.loader.exec_module(module)
    except ModuleNotFoundError as error:
        if error.name and home.startswith(error.name):
            raise ModelError(f"there is no Python module {home!r}; is it installed, or below this folder?") from error
        raise ModelError(f"{home} cannot be imported: {described(error)}") from error
    except Exception as error:
        raise ModelError(f"{home} cannot be imported: {type(error).__name__}: {described(error)}") from error
    return module


@contextmanager
def _import_path(folder: Path) -> Generator[None]:
    """Within the block, modules in the folder can be imported, as by a script that lies there."""
    entry = str(folder.resolve())
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)


def described(error: Exception) -> str:
    """An error of a user's code in one line: its message, and the file and line where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError):
        return f"{error.msg} ({Path(error.filename or '').name}:{error.lineno})"
    # of the user's own frames the innermost; a library's line tells less
    own = [frame for frame in frames if "site-packages" not in frame.filename and not _is_ours(frame.filename)]
    place = f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""
    return f"{first_line(error)}{place}"


def _is_ours(filename: str) -> bool:
    """Whether a frame is neuronlake's, or Python's own."""
    ours = Path(__file__).parents[1]
    return filename.startswith("<") or any(
        Path(filename).is_relative_to(home) for home in (ours, Path(importlib.__file__).parent)
    )


def near_files(path: Path) -> str:
    """What to do about a missing file: files beside it with names like its own."""
    folder = path.parent
    names = [file.name for file in folder.iterdir()] if folder.is_dir() else []
    beside = str(folder / "_").removesuffix("_")
    return f"; {did_you_mean(path.name, names, most=2, before=beside, otherwise='check its path')}"


def _parts(spec: str, made: object) -> tuple[nn.Module, object, tuple[str, ...]]:
    """Module, transform and class names of what a factory gave.

    Raises:
        ModelError: it gave something else.
    """
    found: dict[str, Any] = {"module": made}
    if isinstance(made, Mapping):
        found = dict(cast("Mapping[str, Any]", made))
        unknown = sorted(str(name) for name in found if name not in _PARTS)
        if unknown:
            raise ModelError(f"{spec} gave a dict with {', '.join(unknown)}; its keys are {', '.join(_PARTS)}")
    elif isinstance(made, tuple):
        parts = cast("tuple[Any, ...]", made)
        if not 1 <= len(parts) <= len(_PARTS):
            raise ModelError(f"{spec} gave a tuple of {len(parts)}; it may give ({', '.join(_PARTS)})")
        found = dict(zip(_PARTS, parts, strict=False))
    module = found.get("module")
    if not isinstance(module, nn.Module):
        raise ModelError(f"{spec} gave a {type(module).__name__}, not a torch.nn.Module; let it return the network")
    names = found.get("class_names") or ()
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise ModelError(f"the class names that {spec} gave are no list of texts")
    return module, found.get("transform"), tuple(names)
