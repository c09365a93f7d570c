"""Waiting for what others prepare."""

from __future__ import annotations

from concurrent.futures import Future, wait
from typing import TypeVar

T = TypeVar("T")
_SECONDS = 0.5


def result_of(future: Future[T]) -> T:
    """A future's result, waited for in small steps: once polars was at work, no interrupt ends a wait for a lock."""
    while not wait([future], timeout=_SECONDS).done:
        pass
    return future.result()
