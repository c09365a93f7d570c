"""Code told apart: a network or a transform of the user's own is what its code is, not only its weights."""

from __future__ import annotations

import argparse
import dataclasses
import enum
import functools
import hashlib
import inspect
import operator
import re
from array import array
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
# whose code is known by the weights' structure: it changes with their releases, which a run records
LIBRARIES = ("torch", "torchvision", "timm")
# timm chooses by the machine whether to fuse, and the outputs are the same
_NO_SETTINGS = frozenset(vars(nn.Module())) | {"fused_attn"}

_MADE_OF_ARGUMENTS = (slice, range, operator.itemgetter, operator.attrgetter, operator.methodcaller)


def is_installed(file: Path) -> bool:
    """Whether a file is of an installed package."""
    return bool({"site-packages", "dist-packages"} & set(file.parts))


def code_digest(subject: Any) -> str:
    """sha256 over the code of a function, a class or an object, and over what it holds besides.

    It is the source where there is one, else the byte code, as of functions typed at a prompt.
    """
    home: Any = subject if inspect.isroutine(subject) or inspect.isclass(subject) else type(subject)
    try:
        parts = [inspect.getsource(home)]
    except (OSError, TypeError):
        functions: list[Any] = [home] if inspect.isroutine(home) else list(vars(home).values())
        parts = [_byte_code(function.__code__) for function in functions if hasattr(function, "__code__")]
    held = getattr(subject, "__closure__", None) or ()
    parts += [_ADDRESS.sub("", repr(cell.cell_contents)) for cell in held]
    if home is not subject:
        parts.append(_ADDRESS.sub("", repr(getattr(subject, "__dict__", ""))))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _byte_code(code: CodeType) -> str:
    """Byte code with its names and constants, functions within it included."""
    constants = [_byte_code(value) if isinstance(value, CodeType) else repr(value) for value in code.co_consts]
    return repr((code.co_code.hex(), code.co_names, constants))


def module_code(module: nn.Module) -> str:
    """sha256 over a network's classes that are of no library, and its modules' settings; empty where there are none.

    Without it a changed ``forward``, or another number that it multiplies by, with the same weights would be taken
    for the network as it was. Settings are the attributes that the state dict lacks; paths do not count. Where all
    classes are libraries' they are the plain ones that a module's repr does not show, such as a number of heads.
    """
    own = {
        f"{kind.__module__}.{kind.__qualname__}": kind
        for part in module.modules()
        for kind in type(part).__mro__
        if kind.__module__.partition(".")[0] not in (*LIBRARIES, "builtins")
    }
    is_patched = any("forward" in vars(part) for part in module.modules())
    if not own and not is_patched:
        texts = sorted(_unshown(module))
        return hashlib.sha256("\0".join(texts).encode()).hexdigest() if texts else ""
    digests = [code_digest(own[name]) for name in sorted(own)]
    saved = module.state_dict()
    settings = {name: buffer for name, buffer in module.named_buffers() if name not in saved}
    for name, part in module.named_modules():
        settings |= {f"{name}.{key}": value for key, value in _attributes(part).items()}
    texts = [f"{name}={text}" for name, value in sorted(settings.items()) if (text := setting_text(value))]
    return hashlib.sha256("\0".join(digests + texts).encode()).hexdigest()


def _unshown(module: nn.Module) -> Iterator[str]:
    """Plain settings of those parts that show none."""
    for name, part in module.named_modules():
        if type(part).extra_repr is nn.Module.extra_repr:
            plain = {key: value for key, value in _attributes(part).items() if _is_plain(value)}
            yield from (f"{name}.{key}={setting_text(value)}" for key, value in plain.items())


def _is_plain(value: object) -> bool:
    """Whether a setting is a number, a text, nothing, a function, or a tuple of these."""
    if isinstance(value, tuple):
        return all(map(_is_plain, cast("tuple[object, ...]", value)))
    return value is None or isinstance(value, bool | int | float | str) or inspect.isroutine(value)


def _attributes(part: nn.Module) -> dict[str, object]:
    """A module's own attributes; of libraries' modules the public ones."""
    is_librarys = type(part).__module__.partition(".")[0] in LIBRARIES
    return {
        key: value
        for key, value in vars(part).items()
        if key not in _NO_SETTINGS and not (is_librarys and key.startswith("_"))
    }


def numbers_of(tensor: Tensor) -> bytes:
    """All numbers of a tensor, also of one that is quantised or sparse."""
    plain = tensor.detach().cpu()
    if plain.is_quantized:
        plain = plain.dequantize()
    if plain.layout != torch.strided:
        plain = plain.to_dense()
    return plain.contiguous().flatten().view(torch.uint8).numpy().tobytes()


def setting_text(value: Any, depth: int = 6) -> str:
    """A setting as text that is the same in each process and on each machine; empty for what is none."""
    if value is None or isinstance(value, bool | int | float | complex | bytes | torch.dtype):
        return repr(value)
    if isinstance(value, str):
        # one step is more likely a name that code asks for than a place
        return "" if Path(value).is_absolute() and len(Path(value).parts) > 2 else repr(value)
    if isinstance(value, np.ndarray | np.generic):
        return f"{value.dtype.str} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
    if isinstance(value, Tensor):
        return f"{value.dtype} {list(value.shape)} {hashlib.sha256(numbers_of(value)).hexdigest()}"
    if inspect.isroutine(value) or inspect.isclass(value):
        is_own = inspect.isfunction(value) and value.__module__.partition(".")[0] not in LIBRARIES
        return code_digest(value) if is_own else value.__qualname__
    inner = _inner(value) if depth else []
    return f"{type(value).__qualname__}({', '.join(setting_text(entry, depth - 1) for entry in inner)})"


def _inner(value: Any) -> list[Any]:
    """What a container or a plain object holds, in an order that is always the same."""
    if isinstance(value, functools.partial):
        return [value.func, *value.args, value.keywords]
    if dataclasses.is_dataclass(value) or isinstance(value, SimpleNamespace | argparse.Namespace):
        value = vars(value)
    if isinstance(value, Mapping):
        return [[key, entry] for key, entry in sorted(cast("Any", value).items(), key=lambda item: str(item[0]))]
    if isinstance(value, set | frozenset):
        return sorted(map(str, cast("Any", value)))
    if isinstance(value, enum.Enum):
        return [value.name]
    if isinstance(value, _MADE_OF_ARGUMENTS):
        return [value.__reduce__()[1]]
    return list(cast("Any", value)) if isinstance(value, list | tuple | deque | array) else []
