"""Is the warehouse whole? Every promise of ``sql/checks``, asked of the file."""

from __future__ import annotations

from dataclasses import dataclass

from neuronlake.sql import catalog
from neuronlake.sql.warehouse import Warehouse
from neuronlake.sql.words import Progress, no_progress


@dataclass(frozen=True)
class Fault:
    """A promise that some rows break.

    Attributes:
        check: its name, a file of ``sql/checks``.
        promise: what the check makes sure of.
        rows: how many rows break it.
        example: one of them, as ``column=value, ...``.
    """

    check: str
    promise: str
    rows: int
    example: str

    def __str__(self) -> str:
        count = "1 row breaks" if self.rows == 1 else f"{self.rows} rows break"
        return f"{self.check}: {count} this: {self.promise} For example {self.example}"


def verify(warehouse: Warehouse, progress: Progress = no_progress) -> list[Fault]:
    """Look for what should never be there. What a killed run has not done yet is incomplete, not wrong.

    Args:
        warehouse: to read.
        progress: called with a stage, the number of checks done and of all checks.
    """
    faults: list[Fault] = []
    checks = catalog.checks()
    for done, check in enumerate(checks):
        rows = warehouse.sql(check.body)
        first = rows.limit(1).fetchall()
        if first:
            pairs = zip(rows.columns, first[0], strict=True)
            example = ", ".join(f"{column}={value}" for column, value in pairs)
            faults.append(Fault(check.name, check.comment, warehouse.scalar(_count(check.body)), example))
        progress("Checking", done + 1, len(checks))
    return faults


def _count(query: str) -> str:
    """The query that counts another's rows."""
    return f"select count(*) from ({query})"  # noqa: S608  a query of ours
