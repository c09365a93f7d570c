"""Silence for libraries that talk while they load weights."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def quiet_libraries() -> Generator[None]:
    """Silence the log lines, warnings and progress bars of libraries while they load weights.

    To be entered after they are imported: what is not loaded by then has no progress bar to switch off.
    """
    previous = logging.root.manager.disable
    logging.disable(logging.ERROR)
    if transformers_logging := sys.modules.get("transformers.utils.logging"):
        transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
