"""Code told apart: a network or a transform of the user's own is what its code is, not only its weights."""

from __future__ import annotations

import hashlib
import inspect
import re
from types import CodeType
from typing import Any

from torch import nn

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
# whose code is known by the weights' structure: it changes with their releases, which a run records
_LIBRARIES = ("torch", "torchvision", "timm")


def has_address(text: str) -> bool:
    """Whether a repr names a place in memory, and so is another in each process."""
    return _ADDRESS.search(text) is not None


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
    """sha256 over the code of a network's classes that are of no library; empty if there are none.

    Without it a changed ``forward`` with the same weights would be taken for the network as it was.
    """
    own = {
        f"{kind.__module__}.{kind.__qualname__}": kind
        for part in module.modules()
        for kind in type(part).__mro__
        if kind.__module__.partition(".")[0] not in (*_LIBRARIES, "builtins")
    }
    if not own:
        return ""
    digests = [code_digest(own[name]) for name in sorted(own)]
    return hashlib.sha256("\0".join(digests).encode()).hexdigest()
