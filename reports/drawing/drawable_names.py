"""Names that Vega can draw: it keeps groups in JavaScript objects, where words such as constructor stand already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

import polars as pl

# of Object.prototype
_TAKEN = (
    *("constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString", "toString"),
    *("valueOf", "__proto__", "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__"),
)
# a word joiner, which nobody sees at the end of a name; page.js adds and removes it too
_MARK = "\u2060"
_DRAWABLE = {name: name + _MARK for name in _TAKEN}

_Given = ParamSpec("_Given")
_Chart = TypeVar("_Chart")


def with_drawable_names(draw: Callable[_Given, _Chart]) -> Callable[_Given, _Chart]:
    """A function that draws a chart, with the names that are taken marked in all that it is given."""

    @wraps(draw)
    def drawing(*args: _Given.args, **kwargs: _Given.kwargs) -> _Chart:
        named = {key: drawable(value) for key, value in kwargs.items()}
        return draw(*(drawable(value) for value in args), **named)  # pyright: ignore[reportCallIssue]

    return drawing


def drawable(value: Any) -> Any:
    """A name, names, a mapping from names or the texts of a frame, as Vega can draw them."""
    if isinstance(value, str):
        return _DRAWABLE.get(value, value)
    if isinstance(value, list):
        return [drawable(each) for each in cast("list[Any]", value)]
    if isinstance(value, Mapping):
        return {drawable(name): each for name, each in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, pl.DataFrame):
        return value.with_columns(pl.col(pl.String).replace(_DRAWABLE))
    return value
