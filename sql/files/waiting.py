"""Waiting for a file that another process holds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from neuronlake.sql.failures import InUseError
from neuronlake.sql.warehouse import Warehouse

_SECONDS_BETWEEN_TRIES = 0.5


def when_free(open_it: Callable[[], Warehouse], *, wait: bool) -> Warehouse:
    """What is opened, once no other process holds it.

    Args:
        open_it: opens it, or raises InUseError.
        wait: try again until it can be opened; a line on standard error names each process that is waited for.

    Raises:
        InUseError: another process holds it, and it is not waited for.
    """
    said = ""
    while True:
        try:
            return open_it()
        except InUseError as error:
            if not wait:
                raise
            if str(error) != said:
                said = str(error)
                sys.stderr.write(f"waiting: {said.split(';')[0]}\n")
        time.sleep(_SECONDS_BETWEEN_TRIES)
