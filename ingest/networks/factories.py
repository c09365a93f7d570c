"""Factories in a user's Python: found, imported afresh, and called."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from neuronlake.ingest.networks import weights
from neuronlake.ingest.networks.errors import ModelError, described, near_files
from neuronlake.ingest.networks.identity.imported_files import files_digest, forget, imported_files, is_installed
from neuronlake.sql.words import did_you_mean

# a module below a folder, so that it is found wherever a command is run
PLACED = re.compile(r"([\w.]+:\w+) from (.+)", re.DOTALL)


def call_factory(spec: str) -> tuple[object, str, list[Path]]:
    """Call ``path/to/file.py:factory`` or ``package.module:factory``, the latter perhaps with `` from FOLDER``.

    Returns:
        What it gave; a digest of the file it is in and of those beside it that this imports; and these files.

    Raises:
        ModelError: there is no such file, module or factory, or it raises.
    """
    placed = PLACED.fullmatch(spec)
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
