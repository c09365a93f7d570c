"""Weights that a network keeps out of its state dict: in lists, behind functions, or by a state_dict() of its own."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterator, Mapping
from types import BuiltinMethodType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from neuronlake.ingest.networks.identity.setting_texts import LIBRARIES, setting_text

_DEPTH = 4
_USUAL = frozenset(vars(nn.Module()))


def unsaved_parameters(module: nn.Module) -> Iterator[str]:
    """Parameters that the state dict leaves out, under any name."""
    state = module.state_dict()
    saved = {_place(tensor) for tensor in state.values() if isinstance(tensor, Tensor)}
    for name, tensor in module.named_parameters():
        if name not in state and _place(tensor) not in (*saved, 0):
            yield f"{name} {setting_text(tensor)}"


def _place(tensor: Tensor) -> int:
    """Where a tensor's numbers are; 0 of one that has none, or has them in several places."""
    if is_lazy(tensor) or tensor.is_meta or tensor.layout != torch.strided:
        return 0
    return tensor.data_ptr()


def unregistered(module: nn.Module) -> Iterator[tuple[str, nn.Module | Tensor]]:
    """Networks that a network's parts hold without being their parents, and tensors whose methods they hold.

    Tensors that are attributes, or in lists of them, are settings already.
    """
    for name, part in module.named_modules():
        for key, value in vars(part).items():
            if key not in _USUAL:
                yield from ((f"{name}.{key}", found) for found in _held(value, _DEPTH))


def _held(value: Any, depth: int) -> Iterator[nn.Module | Tensor]:
    """The networks in a value, and the tensors behind methods."""
    if isinstance(value, nn.Module):
        yield value
    elif isinstance(value, BuiltinMethodType) and isinstance(value.__self__, Tensor):
        yield value.__self__
    elif depth:
        for entry in _inner(value):
            yield from _held(entry, depth - 1)


def _inner(value: Any) -> list[Any]:
    """What a container, a function or an object of the user's own holds."""
    found: list[Any] = []
    if isinstance(value, Mapping):
        found = list(cast("Mapping[Any, Any]", value).values())
    elif isinstance(value, list | tuple | set | frozenset | deque):
        found = list(cast("Any", value))
    elif isinstance(value, functools.partial):
        found = [value.func, value.args, value.keywords]
    elif isinstance(value, MethodType):
        found = [value.__self__]
    elif isinstance(value, FunctionType):
        found = [*(value.__defaults__ or ()), value.__kwdefaults__, *_cells(value)]
    elif isinstance(value, SimpleNamespace) or not (_is_librarys(value) or isinstance(value, type | ModuleType)):
        found = list(getattr(value, "__dict__", {}).values())
    return found


def _is_librarys(value: object) -> bool:
    """Whether an object is of a class of Python or of a library whose objects hold no networks unseen."""
    return type(value).__module__.partition(".")[0] in (*LIBRARIES, "builtins")


def _cells(function: FunctionType) -> Iterator[object]:
    """What a function holds of those around it."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            continue  # not assigned yet
