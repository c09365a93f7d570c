"""The small warehouse with a third setting, 7, whose labels are sums of the concepts in words; all of it is consistent.

alpha late   0   2 dog + 1.5 sky - 0.5 cat    polysemantic
             1   dog                          a sum of one concept, of weight 0.75; it does not hold
             2   3 cat - 1 dog                the dog only corrects the cat
             3   - 0.5 dog                    goes down with dogs
beta head    0   1 dots + 0.8 dotted          each has a third or more, but their signals are alike
             1   not finite
             2   0.2 mystery + 0.1 dog        of which only the held-out correlation and the confidence are known
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import small_warehouse

from neuronlake.sql.store.scorings import Judgement, insert_judgement
from neuronlake.sql.warehouse import Warehouse


@dataclass(frozen=True)
class Sum:
    """A unit's label, weights by concept, and what is known of it."""

    weights: dict[int, float]
    intercept: float
    held_out: float
    confidence: float
    shares: list[float] | None = None
    is_polysemantic: bool | None = None
    monosemanticity: float | None = None


# scoring: its layer, and for each unit its sum
SUMS: dict[int, tuple[int, list[Sum | None]]] = {
    7: (
        2,
        [
            Sum({1: 2, 5: 1.5, 2: -0.5}, 0.125, 0.5, 0.9, [0.5, 0.4, 0.1], True, 0.25),
            Sum({1: 0.75}, 0.25, 0.1, 0.3, [1.0], False, 0.75),
            Sum({2: 3, 1: -1}, 0.0, 0.4, 0.6, [1.125, -0.125], False, 0.5),
            Sum({1: -0.5}, 1.0, 0.2, 0.75, [1.0], False, 0.125),
        ],
    ),
    8: (
        4,
        [
            Sum({4: 1, 3: 0.8}, 0.5, 0.3, 0.7, [0.6, 0.4], False, 0.625),
            None,
            Sum({6: 0.2, 1: 0.1}, 0.5, 0.25, 0.625),
        ],
    ),
}


def build(path: Path) -> Warehouse:
    """Make the small warehouse with its sums at a path; it stays open for writing."""
    warehouse = small_warehouse.build(path)
    with warehouse.transaction():
        for scoring_id, (layer_id, sums) in SUMS.items():
            warehouse.execute(
                "insert into store.scorings values ($id, 'scoring ' || $id, 2, $layer, 1, 1, 1, 'linear', 'linear',"
                " '{}', '', ['{}'], 4, $units, 0, 0, 0)",
                id=scoring_id,
                layer=layer_id,
                units=len(sums),
            )
            for unit, each in enumerate(sums):
                _insert_label(warehouse, scoring_id, unit, each)
            _insert_fidelities(warehouse, scoring_id, sums)
    return warehouse


def _insert_label(warehouse: Warehouse, scoring_id: int, unit: int, label: Sum | None) -> None:
    warehouse.execute(
        "insert into store.labels (scoring_id, unit, intercept) values ($scoring, $unit, $intercept)",
        scoring=scoring_id,
        unit=unit,
        intercept=label.intercept if label else None,
    )
    for position, (concept_id, weight) in enumerate(label.weights.items() if label else ()):
        warehouse.execute(
            "insert into store.label_terms values ($scoring, $unit, $position, $concept, $weight, null)",
            scoring=scoring_id,
            unit=unit,
            position=position,
            concept=concept_id,
            weight=weight,
        )


def _insert_fidelities(warehouse: Warehouse, scoring_id: int, sums: list[Sum | None]) -> None:
    """How far to believe the sums of a scoring, by the four images of the probe."""
    rows = [
        {
            "unit": unit,
            "correlation": each.held_out + 0.25,
            "held_out_correlation": each.held_out,
            "confidence": each.confidence,
            "shares": each.shares,
            "is_polysemantic": each.is_polysemantic,
            "monosemanticity": each.monosemanticity,
        }
        for unit, each in enumerate(sums)
        if each
    ]
    judgement = Judgement(scoring_id, probe_id=1, encoder_id=1, images=4, kept_together="image")
    insert_judgement(warehouse, judgement, pl.DataFrame(rows))
