"""docs/sql.md is what the SQL files say."""

from __future__ import annotations

from pathlib import Path

from neuronlake.sql import catalog
from neuronlake.sql.reference import sql_reference


def test_the_sql_reference_is_current() -> None:
    page = Path(__file__).parents[1] / "docs" / "sql.md"
    assert page.read_text(encoding="utf-8") == sql_reference(), "run: make docs"


def test_every_view_and_query_says_what_it_answers() -> None:
    assert all(view.comment.startswith("One row per ") for view in catalog.views())
    assert all(query.comment.endswith(("?", ".")) for query in catalog.queries().values())
    assert all(check.comment.endswith(".") for check in catalog.checks())


def test_every_parameter_is_described() -> None:
    for query in catalog.queries().values():
        assert all(each.comment for each in query.parameters)
        used = {each.name for each in query.parameters if f"${each.name}" in query.body}
        assert used == {each.name for each in query.parameters}, query.name
