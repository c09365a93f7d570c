"""Where code is at home: in a library, in a file whose contents are in the identity, or neither."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any, cast

from torch import nn

from neuronlake.ingest.networks.identity.imported_files import is_installed
from neuronlake.ingest.networks.identity.written_code import runs_as_written

LIBRARY, TOLD, LIVE = "library", "told", "live"
_LIBRARIES = {"torch", "torchvision", "timm", "neuronlake", "builtins"} | set(sys.builtin_module_names)
_STANDARD = Path(os.__file__).resolve().parent

Home = Callable[[object], str]


def homes(told: Collection[Path]) -> Home:
    """Where code is, or that of an object's class: LIBRARY, TOLD or LIVE.

    Args:
        told: files whose whole contents are in the identity.
    """
    files = frozenset(file.resolve() for file in told)

    def home(subject: object) -> str:
        if not isinstance(subject, FunctionType | type | ModuleType):
            behind = functions_of(subject)
            subject = behind[0] if behind else type(subject)
        file = file_of(subject)
        if file is not None and file in files:
            # but not if it was imported before the file was edited
            return TOLD if all(runs_as_written(each) for each in functions_of(subject)) else LIVE
        if _module_name(subject).partition(".")[0] in _LIBRARIES:
            return LIBRARY
        return LIBRARY if file is not None and (is_installed(file) or _STANDARD in file.parents) else LIVE

    return home


def file_of(subject: object) -> Path | None:
    """The file that a function, class or module is in; None of what is in none."""
    if isinstance(subject, FunctionType) and (file := _existing(subject.__code__.co_filename)):
        return file
    module = subject if isinstance(subject, ModuleType) else sys.modules.get(_module_name(subject))
    return _existing(getattr(module, "__file__", None) or "")


@functools.cache
def _existing(name: str) -> Path | None:
    """A file's whole path, if there is such a file."""
    return Path(name).resolve() if name and Path(name).is_file() else None


def _module_name(subject: object) -> str:
    """The name of the module that something is of."""
    if isinstance(subject, FunctionType):
        # a decorator may have given a function another's names, but not another's globals
        return str(subject.__globals__.get("__name__", ""))
    if isinstance(subject, ModuleType):
        return subject.__name__
    return str(getattr(subject, "__module__", None) or "builtins")


def is_named(value: object) -> bool:
    """Whether it is a function, a class, or something else that is called and has a name of its own."""
    return callable(value) and isinstance(getattr(value, "__name__", None), str) and not isinstance(value, nn.Module)


def functions_of(raw: object) -> list[FunctionType]:
    """The Python functions behind what a class or a module holds under a name."""
    if isinstance(raw, FunctionType):
        return [raw]
    if isinstance(raw, staticmethod | classmethod | MethodType):
        return functions_of(cast("Any", raw).__func__)
    if isinstance(raw, property):
        return [each for each in (raw.fget, raw.fset) if isinstance(each, FunctionType)]
    if isinstance(raw, functools.cached_property | functools.partialmethod | functools.partial):
        return functions_of(cast("Any", raw).func)
    if isinstance(raw, type):
        found = [functions_of(value) for name, value in vars(raw).items() if not isinstance(value, type) and name]
        return [each for functions in found for each in functions]
    wrapped = getattr(raw, "__wrapped__", None)
    return functions_of(wrapped) if callable(raw) and wrapped is not None else []
