"""Scorings, with the labels and similarities that they gave."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from neuronlake.sql.warehouse import Warehouse


@dataclass(frozen=True)
class ScoringRow:
    """A scoring as the warehouse keeps it, apart from its number.

    Attributes:
        fingerprint: of all that its labels depend on.
        run_id: of the run that made it.
        layer_id: of the layer that was labelled.
        probe_id: of the images.
        encoder_id: None where the labeler looks at no embedding.
        concept_set_id: of the concepts.
        labeler: its name.
        method: the function's name.
        parameters: all of them, as JSON.
        changed_parameters: those that differ from the method's defaults, as a reader knows them.
        prompts: that the concepts were put into; None without an encoder.
        images: how many were looked at; 0 where labels were imported.
        units: of the layer.
        null_draws: pseudo-units that p-values are from.
        seed: of them.
        kept_concepts: how many similarities of each unit are stored.
    """

    fingerprint: str
    run_id: int
    layer_id: int
    probe_id: int
    encoder_id: int | None
    concept_set_id: int
    labeler: str
    method: str
    parameters: str
    changed_parameters: str
    prompts: tuple[str, ...] | None
    images: int
    units: int
    null_draws: int
    seed: int
    kept_concepts: int


def insert_scoring(warehouse: Warehouse, row: ScoringRow) -> int:
    """Write the scoring's own row; its number."""
    scoring_id = warehouse.next_id("scorings", "scoring_id")
    prompts = None if row.prompts is None else list(row.prompts)
    columns = {"scoring_id": scoring_id, **asdict(row), "prompts": prompts}
    schema = {"encoder_id": pl.Int32, "prompts": pl.List(pl.String)}
    warehouse.insert("scorings", pl.DataFrame([columns], schema_overrides=schema))
    return scoring_id


def insert_labels(warehouse: Warehouse, scoring_id: int, labels: pl.DataFrame, terms: pl.DataFrame) -> None:
    """Write what a scoring says of each unit.

    Args:
        warehouse: to write to.
        scoring_id: of the scoring.
        labels: one row a unit of the layer, with similarity and what else of store.labels is known.
        terms: one row a concept of a label, with unit, position, concept_id, weight and perhaps operator.
    """
    warehouse.insert("labels", labels, scoring_id=scoring_id)
    warehouse.insert("label_terms", terms, scoring_id=scoring_id)


def insert_similarities(warehouse: Warehouse, scoring_id: int, rows: Any) -> None:
    """Write some of a scoring's similarities: an Arrow table or Polars frame of unit, concept_id and similarity."""
    warehouse.insert("similarities", rows, scoring_id=scoring_id)


def fingerprints_like(
    warehouse: Warehouse, layer_id: int, probe_id: int, encoder_id: int, concept_set_id: int, method: str
) -> set[str]:
    """The fingerprints of a layer's scorings that a reader could not tell apart by their settings."""
    found = warehouse.step(
        "scorings_of_setting",
        layer_id=layer_id,
        probe_id=probe_id,
        encoder_id=encoder_id,
        concept_set_id=concept_set_id,
        method=method,
    )
    return {fingerprint for (fingerprint,) in found.fetchall()}
