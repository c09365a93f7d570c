"""The reference of views and named queries, as markdown: ``python -m neuronlake.sql.reference > docs/sql.md``."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from neuronlake.sql import catalog
from neuronlake.sql.opening import open_warehouse
from neuronlake.sql.warehouse import Warehouse

_HEAD = """# Views, named queries and checks

Generated from the files of `sql/views`, `sql/queries` and `sql/checks` by `make docs`; change it there.

The views are what to build on: they change only with a major version. The tables behind them, in the schema `store`,
may change with any. Both are described in the file itself, so any DuckDB client shows what is here:

```sql
select view_name, comment from duckdb_views() where not internal;
select column_name, comment from duckdb_columns() where table_name = 'unit_labels';
```
"""


def sql_reference() -> str:
    """The whole page, the same for every run."""
    with tempfile.TemporaryDirectory() as folder, open_warehouse(Path(folder) / "w.duckdb", write=True) as warehouse:
        lines = [_HEAD, "## Views", *_views(warehouse), "## Named queries", *_queries(), "## Checks", *_checks()]
    return "\n".join(lines)


def _views(warehouse: Warehouse) -> Iterator[str]:
    """Each view with the types and comments of all its columns."""
    for view in sorted(catalog.views(), key=lambda view: view.name):
        answer = warehouse.sql(f"select * from {view.name} limit 0")  # noqa: S608  a name of ours
        yield f"\n### {view.name}\n\n{view.comment}\n"
        yield "| column | type | |\n| --- | --- | --- |"
        for column, kind in zip(answer.columns, answer.types, strict=True):
            yield f"| `{column}` | {str(kind).lower()} | {view.column_comments.get(column, '')} |"
    yield ""


def _queries() -> Iterator[str]:
    """Each named query with its parameters and how it is asked."""
    for query in catalog.queries().values():
        yield f"\n### {query.name}\n\n{query.comment}\n"
        needed = "".join(f" {each.name}=..." for each in query.parameters if each.default is None)
        yield f"    cli sql {query.name}{needed}\n"
        if query.parameters:
            yield "| parameter | type | if not given | |\n| --- | --- | --- | --- |"
        for each in query.parameters:
            default = "must be given" if each.default is None else each.default
            yield f"| `{each.name}` | {each.type} | {default} | {each.comment} |"
    yield ""


def _checks() -> Iterator[str]:
    """Each check of `cli verify` with what it makes sure of."""
    yield "\n`cli verify` runs these; each finds the rows that break its promise.\n"
    yield "| check | promise |\n| --- | --- |"
    for check in catalog.checks():
        yield f"| `{check.name}` | {check.comment} |"
    yield ""


if __name__ == "__main__":
    sys.stdout.write(sql_reference())
