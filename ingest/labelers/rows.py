"""Labels of a layer's live units and their fidelity, as rows of the warehouse; and back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from neuronlake.ingest.labelers.base import LayerFidelity, LayerLabels
from neuronlake.ingest.labelers.dissecting.formulas import OPERATORS

_OPERATORS = (None, *OPERATORS)


def label_rows(units: int, live: list[int], labels: LayerLabels, concept_ids: np.ndarray) -> pl.DataFrame:
    """One row for each unit of the layer; those that are not live have no score."""
    overlaps = {}
    if labels.overlaps is not None:
        # a unit that meets nothing has no label, which therefore has no pixels
        has_label = pl.Series(labels.terms[:, 0] >= 0)
        pixels = {"intersection_pixels": labels.overlaps.intersection, "union_pixels": labels.overlaps.union}
        overlaps = {
            "threshold": labels.overlaps.thresholds,
            **{name: pl.Series(counts).set(~has_label, None) for name, counts in pixels.items()},
        }
    labelled = pl.DataFrame(
        {
            "unit": np.array(live, dtype=np.int32),
            "similarity": labels.score.astype(np.float32),
            "runner_up_id": concept_ids[labels.runner_up],
            "runner_up_similarity": labels.runner_up_score.astype(np.float32),
            "intercept": np.full(len(live), np.nan, np.float32) if labels.intercepts is None else labels.intercepts,
            **overlaps,
        }
    ).with_columns(
        pl.col("runner_up_id").replace(-1, None),
        pl.col(pl.Float32).fill_nan(None),
    )
    everyone = pl.DataFrame({"unit": np.arange(units, dtype=np.int32)})
    return everyone.join(labelled, on="unit", how="left", maintain_order="left")


def fidelity_rows(live: list[int], fidelity: LayerFidelity) -> pl.DataFrame:
    """One row for each live unit."""
    numbers = {
        "unit": np.array(live, dtype=np.int32),
        **fidelity.measures,
        # as many as the label has terms
        "shares": [shares[~np.isnan(shares)] for shares in fidelity.shares],
        "is_polysemantic": fidelity.is_polysemantic,
        "p_value": fidelity.p.astype(np.float32),
        "q_value": fidelity.q.astype(np.float32),
    }
    return pl.DataFrame(numbers, schema_overrides={"shares": pl.List(pl.Float32)}).with_columns(
        pl.col(pl.Float32).fill_nan(None),
        pl.when(pl.col("shares").list.len() > 0).then("shares"),
    )


def term_rows(live: list[int], labels: LayerLabels, concept_ids: np.ndarray) -> pl.DataFrame:
    """One row for each concept of each label."""
    rows, positions = np.nonzero(labels.terms >= 0)
    codes = np.zeros(len(rows), np.int8) if labels.operators is None else labels.operators[rows, positions]
    return pl.DataFrame(
        {
            "unit": np.array(live, dtype=np.int32)[rows],
            "position": positions.astype(np.int32),
            "concept_id": concept_ids[labels.terms[rows, positions]],
            "weight": labels.weights[rows, positions],
            "operator": [_OPERATORS[code] for code in codes],
        },
        schema_overrides={"operator": pl.String},
    )


def stored_labels(live: list[int], terms: pl.DataFrame, places: Mapping[int, int]) -> LayerLabels:
    """Labels that are in the warehouse; without their scores.

    Args:
        live: the live units.
        terms: unit, position, concept_id, weight and operator of each term.
        places: of each concept that is known by its place; a label with another counts as none.
    """
    rows = {unit: row for row, unit in enumerate(live)}
    size = (len(live), 1 + int(terms["position"].max() or 0))  # pyright: ignore[reportArgumentType]  a number
    found, weights, operators = np.full(size, -1), np.zeros(size, dtype=np.float32), np.zeros(size, dtype=np.int8)
    for unit, position, concept_id, weight, operator in terms.iter_rows():
        if unit in rows:
            found[rows[unit], position] = places.get(concept_id, -2)
            weights[rows[unit], position] = weight
            operators[rows[unit], position] = _OPERATORS.index(operator)
    found[(found == -2).any(axis=1)] = -1
    unknown = np.full(len(live), np.nan, dtype=np.float32)
    formulas = operators if operators.any() else None
    return LayerLabels(found, weights, unknown, np.full(len(live), -1), unknown, operators=formulas)


def intersection_rows(live: list[int], labels: LayerLabels, concept_ids: np.ndarray) -> pl.DataFrame | None:
    """One row for each unit and concept that meet at all; None where no pixels were counted."""
    if labels.overlaps is None or labels.overlaps.of_concepts is None:
        return None
    intersection, union = labels.overlaps.of_concepts
    rows, places = np.nonzero(intersection)
    return pl.DataFrame(
        {
            "unit": np.array(live, dtype=np.int32)[rows],
            "concept_id": concept_ids[places],
            "intersection_pixels": intersection[rows, places],
            "union_pixels": union[rows, places],
        }
    )
