"""What was read of a served warehouse, kept for the next page that asks: the file cannot change while it is open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from neuronlake.sql.warehouse import Warehouse

_P = ParamSpec("_P")
_T = TypeVar("_T")
# a unit's page is some hundred kilobytes
_MOST = 64


@dataclass(frozen=True)
class _File:
    """A warehouse, known by its file: each page has a connection of its own."""

    path: Path
    warehouse: Warehouse = field(compare=False)


def kept(read: Callable[Concatenate[Warehouse, _P], _T]) -> Callable[Concatenate[Warehouse, _P], _T]:
    """What reads a warehouse, made to do so once for each question; what it gives is not to be changed."""

    @lru_cache(maxsize=_MOST)
    def once(file: _File, *question: _P.args, **named: _P.kwargs) -> _T:
        return read(file.warehouse, *question, **named)

    @wraps(read)
    def found(warehouse: Warehouse, *question: _P.args, **named: _P.kwargs) -> _T:
        return once(_File(warehouse.path, warehouse), *question, **named)

    return found
