"""Silence for libraries that talk while they load weights."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def quiet_libraries() -> Generator[None]:
    """Silence the log lines, warnings and progress bars of libraries while they load weights."""
    import transformers.utils.logging as transformers_logging  # noqa: PLC0415

    previous = logging.root.manager.disable
    logging.disable(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
