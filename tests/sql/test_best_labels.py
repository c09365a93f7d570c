"""Which labeler explains which unit: by hand, with ties, units that none explains, and images left out in two ways."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from neuronlake.sql.opening import open_warehouse
from neuronlake.sql.store.scorings import Judgement, insert_judgement
from neuronlake.sql.warehouse import Warehouse


@pytest.fixture
def warehouse(small_file: Path, tmp_path: Path) -> Iterator[Warehouse]:
    """Scorings 2 and 5 label the four units of alpha late; here they are judged by 400 images of one probe."""
    with open_warehouse(Path(shutil.copy(small_file, tmp_path / "w.duckdb")), write=True) as opened:
        opened.execute("delete from store.judgements")
        opened.execute("delete from store.fidelities")
        yield opened


def judge(warehouse: Warehouse, scoring: int, held_out: list[float | None], way: str | None = "image") -> None:
    """Held-out correlations of a scoring's units."""
    rows = {"unit": range(len(held_out)), "correlation": held_out, "held_out_correlation": held_out}
    insert_judgement(warehouse, Judgement(scoring, 1, 1, 400, way), pl.DataFrame(rows))


def test_the_lower_end_of_the_interval_is_fishers(warehouse: Warehouse) -> None:
    judge(warehouse, 2, [0.5, 0.05, -0.2, None])
    found = warehouse.sql("select held_out_low from fidelity order by unit").fetchall()
    ends = [math.tanh(math.atanh(r) - 1.96 / math.sqrt(397)) for r in (0.5, 0.05, -0.2)]
    assert [row[0] for row in found] == [*(pytest.approx(end, abs=1e-6) for end in ends), None]


def test_the_best_label_is_that_of_highest_held_out_correlation_and_none_where_no_interval_is_above_0(
    warehouse: Warehouse,
) -> None:
    # 0.08 has a lower end of -0.02; equal ones go to the scoring made first; the last unit is judged in one alone
    judge(warehouse, 2, [0.5, 0.08, 0.3, None])
    judge(warehouse, 5, [0.6, 0.02, 0.3, 0.2])
    found = warehouse.sql(
        "select unit, scoring, method, concept, held_out_correlation, candidates from best_labels order by unit"
    ).fetchall()
    assert found == [
        (0, 5, "cos_similarity", "cat", pytest.approx(0.6), 2),
        (1, None, None, None, None, 2),
        (2, 2, "soft_wpmi", "cat", pytest.approx(0.3), 2),
        (3, 5, "cos_similarity", "dog", pytest.approx(0.2), 1),
    ]
    compared = warehouse.query("compare_labelers").pl()
    rows = compared.select("method", "labels", "mean_held_out_correlation", "wins", "unexplained").rows()
    assert rows == [
        ("soft_wpmi", 3, pytest.approx((0.5 + 0.08 + 0.3) / 3), 1, 1),
        ("cos_similarity", 4, pytest.approx((0.6 + 0.02 + 0.3 + 0.2) / 4), 2, 1),
    ]


def test_labels_are_put_beside_each_other_only_where_images_were_left_out_alike(warehouse: Warehouse) -> None:
    judge(warehouse, 2, [0.5, 0.5, 0.5, 0.5])
    judge(warehouse, 5, [0.3, 0.3, 0.3, 0.3], way="label")
    ways = "select left_out_by, count(*), min(candidates), max(candidates) from best_labels group by all order by all"
    assert warehouse.sql(ways).fetchall() == [("image", 4, 1, 1), ("label", 4, 1, 1)]
    # what no image chose stands beside what single images were left out of
    judge(warehouse, 5, [0.3, 0.3, 0.3, 0.3], way=None)
    assert warehouse.sql(ways).fetchall() == [("image", 4, 2, 2)]
    assert warehouse.query("compare_labelers").pl()["wins"].to_list() == [4, 0]
