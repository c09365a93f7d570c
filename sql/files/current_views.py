"""The views of this version, in a file or over it."""

from __future__ import annotations

import hashlib

import neuronlake
from neuronlake.sql import catalog
from neuronlake.sql.files.connecting import quoted
from neuronlake.sql.warehouse import Warehouse


def views_marker() -> str:
    """What a file says that holds just the views of this version."""
    digest = hashlib.sha256(repr(catalog.views()).encode()).hexdigest()[:16]
    return f"The views of this file are those of neuronlake {neuronlake.__version__}, {digest}."


def create_views(warehouse: Warehouse) -> None:
    """Write all views with their comments, unless the file holds just these."""
    if holds_our_views(warehouse):
        return
    if _has_table_in_place_of_view(warehouse):
        lay_views_over(warehouse)
        return
    with warehouse.transaction():
        write_views(warehouse)
        warehouse.execute(f"comment on table store.migrations is {quoted(views_marker())}")


def write_views(warehouse: Warehouse) -> None:
    """Write all views with their comments."""
    for view in catalog.views():
        warehouse.execute(f"create or replace view {view.name} as {view.body}")
        warehouse.execute(f"comment on view {view.name} is {quoted(view.comment)}")
        for column, comment in view.column_comments.items():
            warehouse.execute(f"comment on column {view.name}.{column} is {quoted(comment)}")


def lay_views_over(warehouse: Warehouse) -> None:
    """Put this version's views in the place of what the file has under their names, for this connection alone."""
    for view in catalog.views():
        warehouse.execute(f"create temp view {view.name} as {view.body}")


def holds_our_views(warehouse: Warehouse) -> bool:
    """The file's views are those of this version; one that a user put in the place of ours has not its comment."""
    if _stored_marker(warehouse) != views_marker():
        return False
    comments = dict(
        warehouse.sql("select view_name, comment from duckdb_views() where schema_name = 'main'").fetchall()
    )
    return all(comments.get(view.name) == view.comment for view in catalog.views())


def _has_table_in_place_of_view(warehouse: Warehouse) -> bool:
    """A user has given a table the name of a view of ours, and nothing of a user's is removed."""
    tables = warehouse.sql("select lower(table_name) from duckdb_tables() where schema_name = 'main'").fetchall()
    return any((view.name,) in tables for view in catalog.views())


def _stored_marker(warehouse: Warehouse) -> str | None:
    """What the file says of its views; see `views_marker`."""
    return warehouse.scalar(
        "select comment from duckdb_tables() where schema_name = 'store' and table_name = 'migrations'"
    )
