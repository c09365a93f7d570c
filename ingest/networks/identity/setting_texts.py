"""Settings, tensors and functions as text that is the same in each process and on each machine."""

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
from collections.abc import Mapping
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
# whose code is known by the weights' structure: it changes with their releases, which a run records
LIBRARIES = ("torch", "torchvision", "timm")
_MADE_OF_ARGUMENTS = (slice, range, operator.itemgetter, operator.attrgetter, operator.methodcaller)


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
