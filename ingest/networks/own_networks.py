"""Networks of the user's own: what a factory gave, or what a file holds, whichever kind of file it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from neuronlake.ingest.networks import weights
from neuronlake.ingest.networks.errors import ModelError, near_files, untrusted
from neuronlake.ingest.networks.factories import PLACED, call_factory
from neuronlake.ingest.networks.identity.fingerprints import Code
from neuronlake.ingest.networks.torchscript import ScriptedNetwork, is_torchscript, load_torchscript
from neuronlake.ingest.networks.weights import SourceKind
from neuronlake.sql.words import first_line

_FILE_SUFFIXES = (".pt", ".pt2", ".pth", ".ts", ".torchscript", ".jit")
_PARTS = ("module", "transform", "class_names")


@dataclass(frozen=True)
class OwnNetwork:
    """A user's network as it was found.

    Attributes:
        name: of the factory, or of the file without its suffix.
        transform: what images go through before it; None if that was not said.
        source: where it was found.
        source_kind: a factory or a file.
        code: what tells its code from another's.
    """

    name: str
    module: nn.Module
    transform: object
    class_names: tuple[str, ...]
    source: str
    source_kind: SourceKind
    code: Code


def is_own(spec: str) -> bool:
    """Whether it names a factory or a file, not a network known by name."""
    return not spec.startswith("timm:") and (":" in spec or spec.endswith((*_FILE_SUFFIXES, ".py")) or "/" in spec)


def default_name(spec: str) -> str:
    """The name of a user's network that was given none: the factory's, or the file's without its suffix."""
    placed = PLACED.fullmatch(spec)
    _, _, factory = (placed[1] if placed else spec).rpartition(":")
    return factory if factory.isidentifier() and factory != spec else Path(spec).stem


def load_own(spec: str, *, trust_code: bool = False) -> OwnNetwork:
    """The network of a factory or a file.

    Raises:
        ModelError: there is none, or it cannot be made.
        WeightsError: the file is damaged, or holds code and is not trusted.
    """
    path = Path(spec).expanduser()
    if spec.endswith(_FILE_SUFFIXES) or (path.is_file() and not spec.endswith(".py")):
        module = _in_file(path, trust_code=trust_code)
        # what such a file computes is in the file, not in classes that could be read
        code = Code(weights.sha256_of(path), has_classes=False)
        return OwnNetwork(path.stem, module, None, (), str(path), SourceKind.FILE, code)
    made, digest, files = call_factory(spec)
    module, transform, class_names = _parts(spec, made)
    code = Code(digest, tuple(files))
    return OwnNetwork(default_name(spec), module, transform, class_names, f"factory {spec}", SourceKind.FACTORY, code)


def _in_file(path: Path, *, trust_code: bool) -> nn.Module:
    """The network that a file holds, with submodules that can be hooked.

    Raises:
        ModelError: there is no such file, or no network in it.
        WeightsError: it is damaged, or holds code and is not trusted.
    """
    if not path.is_file():
        raise ModelError(f"there is no file {path}{near_files(path)}")
    if path.suffix == ".pt2":
        return _exported(path, trust_code=trust_code)
    if is_torchscript(path):
        try:
            return ScriptedNetwork(load_torchscript(path, trust_code=trust_code))
        except (RuntimeError, ValueError, OSError) as error:
            raise ModelError(
                f"{path} is not a readable TorchScript file ({first_line(error)}); save it again"
            ) from error
    module = weights.unpickle(path, trust_code=trust_code)
    if not isinstance(module, nn.Module):
        raise ModelError(
            f"{path} holds weights, not a network; name the network with --model and pass --weights NAME={path}"
        )
    return module


def _exported(path: Path, *, trust_code: bool) -> nn.Module:
    """The network of a ``torch.export.save`` file. To read it torch unpickles, and evaluates Python, that is in it.

    Raises:
        ModelError: it cannot be read.
        WeightsError: it is not trusted.
    """
    if not trust_code:
        raise untrusted(path, "torch.export")
    try:
        # only the unflattened program runs submodule by submodule, and so has something to hook
        return torch.export.unflatten(torch.export.load(path))
    except Exception as error:
        raise ModelError(
            f"{path} is not a readable torch.export file ({first_line(error)}); export it again"
        ) from error


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
