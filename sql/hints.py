"""Commands that a message tells the user to type: they are about the warehouse that the message is about."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

DEFAULT_WAREHOUSE = Path("warehouse.duckdb")
WAREHOUSE_VARIABLE = "NEURONLAKE_WAREHOUSE"


def command(typed: str, warehouse: Path) -> str:
    """A command with the warehouse's name, unless it would take this one unasked."""
    unasked = os.path.expanduser(os.environ.get(WAREHOUSE_VARIABLE) or DEFAULT_WAREHOUSE)  # noqa: PTH111  never fails
    if Path(unasked).absolute() == warehouse.absolute():
        return typed
    return f"{typed} --warehouse {shlex.quote(str(warehouse))}"


def stem(warehouse: Path) -> str:
    """What files that are made of a warehouse are named after."""
    return re.sub(r"\.duckdb(\.example)?$", "", warehouse.name)
