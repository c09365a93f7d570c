"""Objects that code holds, as text that is the same in each process; what has no such text is refused."""

from __future__ import annotations

import functools
import types
import weakref
from collections.abc import Callable, Mapping
from pathlib import PurePath
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType, MethodType, ModuleType
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from neuronlake import NeuronlakeError
from neuronlake.ingest.networks.identity.homes import LIBRARY, LIVE, Home, functions_of, is_named
from neuronlake.ingest.networks.identity.setting_texts import setting_text

_DATA = (bool, int, float, complex, bytes, str, torch.dtype, Tensor, np.ndarray, np.generic)
_PLAIN = (type(None), *_DATA, types.EllipsisType, types.NotImplementedType)
# say where things are, or that they are watched, and change no number
_PLACES = (PurePath, torch.device, RemovableHandle)
_DEPTH = 40
NEXT = "take it out while the network is dissected"
_MOST = 200_000


class UntellableError(NeuronlakeError):
    """What a network runs holds something that has no contents to compare."""


def is_data(value: object) -> bool:
    """Whether it is numbers or texts, or holds nothing else."""
    if isinstance(value, Mapping):
        return all(is_data(entry) for entry in cast("Mapping[object, object]", value).values())
    if isinstance(value, list | tuple | set | frozenset):
        return all(is_data(entry) for entry in cast("list[object]", value))
    return value is None or isinstance(value, _DATA)


class Values:
    """Gives texts of objects; what it meets again is told by a number."""

    def __init__(self, parts: Mapping[str, nn.Module], home: Home, code: Callable[[FunctionType], str]) -> None:
        self._home = home
        self._code = code
        # objects are kept with their numbers, so that no other gets their place in memory
        self._seen: dict[int, tuple[str, object]] = {id(part): (f"part {name}", part) for name, part in parts.items()}
        self._count = 0

    def text(self, value: object, where: str, *, is_told: bool = False, depth: int = _DEPTH) -> str:
        """An object and all that it holds.

        Args:
            value: the object.
            where: it was found, for messages.
            is_told: it was made by code that is told, so what has no text may go by its type alone.
            depth: how much further to go.

        Raises:
            UntellableError: it has no contents to compare.
        """
        if isinstance(value, _PLAIN) and not isinstance(value, Tensor | np.ndarray):
            return setting_text(value)
        if isinstance(value, _PLACES):
            return type(value).__name__
        if id(value) in self._seen:
            return f"<{self._seen[id(value)][0]}>"
        self._count += 1
        if type(value) not in (tuple, frozenset):
            # whether equal ones of these are the same object is Python's choice
            self._seen[id(value)] = str(self._count), value
        if depth == 0 or self._count > _MOST:
            raise UntellableError(f"{where} holds more than can be read; {NEXT}")

        def inner(entry: object) -> str:
            return self.text(entry, where, is_told=is_told, depth=depth - 1)

        if isinstance(value, Tensor | np.ndarray):
            return setting_text(value)
        if isinstance(value, FunctionType):
            return self._code(value)
        found = _container(value, inner) or self._code_object(value, inner) or _network(value, inner)
        found = found or _pickled(value, inner)
        if not found and not is_told:
            raise UntellableError(f"{where} holds a {type(value).__name__}, which has no contents to compare; {NEXT}")
        return found or type(value).__name__

    def _code_object(self, value: Any, inner: Callable[[object], str]) -> str:
        """Classes, modules, methods, and functions that are not written in Python."""
        found = ""
        if isinstance(value, type):
            found = self._class(value, inner)
        elif isinstance(value, ModuleType):
            found = value.__name__
        elif isinstance(value, MethodType):
            found = f"{inner(value.__func__)} of {inner(value.__self__)}"
        elif isinstance(value, staticmethod | classmethod | property | functools.cached_property):
            found = f"{type(value).__name__} {[inner(each) for each in functions_of(value)]}"
        elif isinstance(value, torch.jit.ScriptFunction):
            found = f"script {value.code}"
        elif is_named(value) and self._home(type(value)) == LIBRARY and not functions_of(value):
            owner = getattr(value, "__self__", None)
            of = "" if owner is None or isinstance(owner, ModuleType | type) else f" of {inner(owner)}"
            found = f"{getattr(value, '__module__', '')}.{value.__name__}{of}"
        return found

    def _class(self, kind: type, inner: Callable[[object], str]) -> str:
        """A class by its name, or by all that it has where that is in no file that is told."""
        if self._home(kind) != LIVE:
            return f"{kind.__module__}.{kind.__qualname__}"
        own = {name: entry for name, entry in vars(kind).items() if functions_of(entry) or _is_own(name, entry)}
        return f"class {kind.__qualname__} {[inner(base) for base in kind.__bases__]} {inner(own)}"


def _container(value: object, inner: Callable[[object], str]) -> str:
    """What is in a list, dict or set, in an order that is always the same."""
    name = type(value).__qualname__
    if type(value) in (list, tuple):
        return f"{name}({', '.join(inner(entry) for entry in cast('list[object]', value))})"
    if type(value) in (set, frozenset):
        return f"{name}({', '.join(inner(entry) for entry in sorted(cast('set[object]', value), key=_order))})"
    if type(value) is dict:
        entries = sorted(cast("dict[object, object]", value).items(), key=lambda item: _order(item[0]))
        return f"{name}({', '.join(f'{inner(key)}: {inner(entry)}' for key, entry in entries)})"
    return ""


def _network(value: object, inner: Callable[[object], str]) -> str:
    """Another network that code holds, with its weights; and what a weak reference stands for."""
    if isinstance(value, nn.Module):
        state = {name: _without_numbers(name, entry) for name, entry in vars(value).items() if name != "training"}
        return f"{inner(type(value))} {inner(state)}"
    return f"weak {inner(value())}" if isinstance(value, weakref.ref) else ""


def _is_own(name: str, entry: object) -> bool:
    """Whether an attribute of a class is the user's, and not Python's own record of the class."""
    is_record = isinstance(entry, MemberDescriptorType | GetSetDescriptorType) or name == "_abc_impl"
    return not is_record and not name.startswith("__")


def _pickled(value: Any, inner: Callable[[object], str]) -> str:
    """Any other object by its class and what pickling keeps of it; empty where it cannot be pickled."""
    try:
        reduced = value.__reduce_ex__(4)
    except Exception:  # whatever its own code raises
        return ""
    if isinstance(reduced, str):
        return f"{type(value).__qualname__} {reduced}"
    make, arguments, *rest = reduced
    entries = [list(some) for some in rest[1:3] if some is not None]
    return f"{inner(type(value))} {inner(make)} {inner(arguments)} {inner(rest[0] if rest else None)} {inner(entries)}"


def _without_numbers(name: str, held: object) -> object:
    """Hooks without the numbers that they got in this process."""
    return list(cast("Any", held).values()) if name.startswith("_") and "hooks" in name else held


def _order(entry: object) -> str:
    """By what a set's or dict's entries are ordered."""
    return f"{type(entry).__qualname__} {entry if isinstance(entry, _PLAIN) else getattr(entry, '__qualname__', '')}"
