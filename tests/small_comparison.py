"""The early layers of `small_warehouse` compared, as if beta were alpha after more training, whose numbers are kept.

In words, of setting 1: unit 0 was dotted and is dots; unit 1 was dotted and is cat; unit 2 was dead and is cat.
"""

from __future__ import annotations

from pathlib import Path

import small_warehouse

from neuronlake.sql.warehouse import Warehouse

# side, unit, its closest, the correlation, that with its own number, and the pair with its correlation: these are true
ROWS = (
    ("a", 0, 0, 1.0, 1.0, 0, 1.0),
    ("a", 1, 2, -0.258199, -0.943880, 2, -0.258199),
    ("b", 0, 0, 1.0, 1.0, 0, 1.0),
    ("b", 1, 0, 0.943880, -0.943880, None, None),
    ("b", 2, 0, 0.522233, None, 1, -0.258199),
)


def insert(warehouse: Warehouse) -> None:
    """Put the comparison into a small warehouse."""
    warehouse.execute("insert into store.comparisons values (1, 1, 1, 3, 1, 4, true)")
    columns = ("side", "unit", "closest", "correlation", "own", "paired", "paired_correlation")
    values = ", ".join(f"${column}" for column in columns)
    for row in ROWS:
        insert_row = f"insert into store.closest_units values (1, {values})"
        warehouse.execute(insert_row, **dict(zip(columns, row, strict=True)))  # pyright: ignore[reportArgumentType]


def build(path: Path) -> Warehouse:
    """Make the small warehouse with the comparison at a path; it stays open for writing."""
    warehouse = small_warehouse.build(path)
    insert(warehouse)
    return warehouse
