"""Scorings: their own rows, labels with their terms, unit-by-concept matrices, and what was measured of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from neuronlake.sql.warehouse import Warehouse

_ROWS_PER_INSERT = 4_000_000


@dataclass(frozen=True)
class ScoringRow:
    """A scoring's own row, but for its number; see the table ``store.scorings``.

    Attributes:
        encoder_id: None where the labeler looks at no embedding, and then `prompts` is None too.
        changed_parameters: those that differ from the method's defaults, as a reader knows them.
        images: that were scored; 0 for labels of another tool.
        null_draws: pseudo-units behind the p-values; 0 for none.
        kept_concepts: of each unit's scores; 0 where there is no matrix.
    """

    fingerprint: str
    run_id: int
    layer_id: int
    probe_id: int
    encoder_id: int | None
    concept_set_id: int
    labeler: str
    method: str
    units: int
    images: int = 0
    parameters: Mapping[str, int | float | str] | None = None
    changed_parameters: str = ""
    prompts: Sequence[str] | None = ("{}",)
    null_draws: int = 0
    seed: int = 0
    kept_concepts: int = 0


@dataclass(frozen=True)
class Judgement:
    """By which images the labels of a scoring were judged; see the table ``store.judgements``.

    Attributes:
        probe_id: None for figures that came with the labels, and then `images` is None too.
        encoder_id: None where no embedding was looked at.
        kept_together: when images were left out: image or label; None where none of them chose the labels.
    """

    scoring_id: int
    probe_id: int | None = None
    encoder_id: int | None = None
    images: int | None = None
    kept_together: str | None = None


def unjudged(
    warehouse: Warehouse, models: Sequence[str], layers: Sequence[str], kept_together: str | None = None
) -> pl.DataFrame:
    """Scorings whose labels are to be judged, of some models and layers or of all: the step ``unjudged``."""
    names = {"models": list(models), "layers": list(layers)}
    return warehouse.step("unjudged", kept_together=kept_together, **names).pl()


def way_of_judging(warehouse: Warehouse, probe_id: int) -> str:
    """What was kept together when images of a probe were last left out: ``image`` or ``label``."""
    newest = (
        "select max_by(kept_together, scoring_id) from store.judgements"
        " where probe_id = $probe_id and kept_together is not null"
    )
    return warehouse.scalar(newest, probe_id=probe_id) or "image"


def label_terms(warehouse: Warehouse, scoring_id: int) -> pl.DataFrame:
    """The concepts of a scoring's labels: unit, position, concept_id, weight and operator."""
    return warehouse.step("label_terms", scoring_id=scoring_id).pl()


def known_fingerprints(warehouse: Warehouse) -> set[str]:
    """Of all scorings."""
    return {row[0] for row in warehouse.sql("select fingerprint from store.scorings").fetchall()}


@dataclass(frozen=True)
class ImportedScoring:
    """A scoring of another tool's labels; `file_digest` is the sha256 of the file that they came in."""

    scoring_id: int
    fingerprint: str
    file_digest: str | None


def imported_like(
    warehouse: Warehouse, layer_id: int, probe_id: int, encoder_id: int, concept_set_id: int, method: str
) -> list[ImportedScoring]:
    """A layer's scorings that a reader could not tell apart by their settings."""
    found = warehouse.step(
        "scorings_of_setting",
        layer_id=layer_id,
        probe_id=probe_id,
        encoder_id=encoder_id,
        concept_set_id=concept_set_id,
        method=method,
    )
    return [ImportedScoring(*row) for row in found.fetchall()]


def insert_scoring(warehouse: Warehouse, row: ScoringRow) -> int:
    """Write a scoring's own row, and return its number."""
    scoring_id = warehouse.next_id("scorings", "scoring_id")
    values: dict[str, Any] = {"scoring_id": scoring_id, **vars(row)}
    values["parameters"] = json.dumps(dict(row.parameters or {}))
    values["prompts"] = None if row.prompts is None else list(row.prompts)
    types = {"encoder_id": pl.Int32, "prompts": pl.List(pl.String)}
    warehouse.insert("scorings", pl.DataFrame([values], schema_overrides=types))
    return scoring_id


def insert_labels(warehouse: Warehouse, scoring_id: int, labels: pl.DataFrame, terms: pl.DataFrame) -> None:
    """Write a row for each unit of a layer, and the concepts of their labels.

    Args:
        warehouse: to write to.
        scoring_id: whose labels they are.
        labels: unit, and as far as there are any the other columns of the table ``store.labels``.
        terms: unit, concept_id, and unless all labels are of one concept position, weight and operator.
    """
    warehouse.insert("labels", labels, scoring_id=scoring_id)
    if "position" not in terms.columns:
        terms = terms.with_columns(position=pl.lit(0), weight=pl.lit(1.0))
    warehouse.insert("label_terms", terms, scoring_id=scoring_id)


def insert_judgement(warehouse: Warehouse, judgement: Judgement, fidelities: pl.DataFrame) -> None:
    """Write how far a scoring's labels predict their units, in the place of what was known of that.

    Args:
        warehouse: to write to.
        judgement: of which scoring, and by which images.
        fidelities: unit, and as far as they are known the measures of the table ``store.fidelities``.
    """
    for table in ("fidelities", "judgements"):
        statement = f"delete from store.{table} where scoring_id = $scoring_id"  # noqa: S608
        warehouse.execute(statement, scoring_id=judgement.scoring_id)
    types = {"probe_id": pl.Int32, "encoder_id": pl.Int32, "images": pl.Int32, "kept_together": pl.String}
    warehouse.insert("judgements", pl.DataFrame([vars(judgement)], schema_overrides=types))
    warehouse.insert("fidelities", fidelities, scoring_id=judgement.scoring_id)


def forget_labels(warehouse: Warehouse, scoring_id: int, fingerprint: str, run_id: int) -> None:
    """Clear a scoring for other labels, which have this fingerprint, and of what was measured of those it had."""
    for table in ("labels", "label_terms", "similarities", "intersections", "evaluations", "fidelities", "judgements"):
        statement = f"delete from store.{table} where scoring_id = $scoring_id"  # noqa: S608
        warehouse.execute(statement, scoring_id=scoring_id)
    update = "update store.scorings set fingerprint = $fingerprint, run_id = $run_id where scoring_id = $scoring_id"
    warehouse.execute(update, fingerprint=fingerprint, run_id=run_id, scoring_id=scoring_id)


def judging_probe(warehouse: Warehouse, scoring_id: int) -> str | None:
    """The name of the probe whose images judged a scoring's labels; None where none did."""
    return warehouse.scalar(
        "select name from store.probes inner join store.judgements using (probe_id) where scoring_id = $id",
        id=scoring_id,
    )


def correlations(warehouse: Warehouse, scoring_id: int) -> pl.DataFrame:
    """The correlations of a scoring's labels with their units, as far as they are known: unit, correlation."""
    select = "select unit, correlation from store.fidelities where scoring_id = $id order by unit"
    return warehouse.sql(select, id=scoring_id).pl()


def insert_intersections(warehouse: Warehouse, scoring_id: int, rows: pl.DataFrame) -> None:
    """Write pixels of units and concepts: unit, concept_id, intersection_pixels, union_pixels."""
    warehouse.insert("intersections", rows, scoring_id=scoring_id)


def insert_similarities(warehouse: Warehouse, scoring_id: int, rows: Any) -> None:
    """Write scores of units and concepts: unit, concept_id, similarity."""
    warehouse.insert("similarities", rows, scoring_id=scoring_id)


def overlaps(warehouse: Warehouse, scoring_id: int) -> pl.DataFrame:
    """What a scoring's units have in common with concepts: unit, concept, intersection_pixels, union_pixels."""
    return warehouse.step("overlaps_of_scoring", scoring_id=scoring_id).pl()


def replace_overlaps(warehouse: Warehouse, scoring_id: int, rows: pl.DataFrame) -> None:
    """Put what units and concepts have in common in the place of what was there, also of labels of one concept.

    Args:
        warehouse: to write to.
        scoring_id: whose labels they are, which are there already.
        rows: unit, concept_id, intersection_pixels and union_pixels.
    """
    warehouse.execute("delete from store.intersections where scoring_id = $id", id=scoring_id)
    warehouse.insert("intersections", rows, scoring_id=scoring_id)
    warehouse.run_step("pixels_of_labels", scoring_id=scoring_id)


def insert_matrix(
    warehouse: Warehouse, scoring_id: int, units: Sequence[int], concept_ids: np.ndarray, scores: np.ndarray
) -> None:
    """Write the unit-by-concept matrix, or each unit's best concepts, in blocks of units.

    Args:
        warehouse: to write to.
        scoring_id: whose scores they are.
        units: numbers of the rows' units.
        concept_ids: numbers of the concepts, (concepts,) int32, or (units, concepts) where they differ by unit.
        scores: (units, concepts) float32.
    """
    columns = np.broadcast_to(concept_ids, scores.shape)
    step = max(1, _ROWS_PER_INSERT // max(1, scores.shape[1]))
    for start in range(0, len(units), step):
        block = slice(start, start + step)
        rows = pa.table(
            {
                "unit": np.repeat(np.array(units[block], dtype=np.int32), scores.shape[1]),
                "concept_id": columns[block].reshape(-1),
                "similarity": scores[block].reshape(-1),
            }
        )
        insert_similarities(warehouse, scoring_id, rows)


def newest_concept_set(warehouse: Warehouse, probe_id: int, encoder_id: int) -> int | None:
    """The concept set that a probe's images were last scored with."""
    return warehouse.scalar(
        "select concept_set_id from store.scorings where probe_id = $probe_id and encoder_id = $encoder_id"
        " order by scoring_id desc limit 1",
        probe_id=probe_id,
        encoder_id=encoder_id,
    )


def replace_evaluations(warehouse: Warehouse, scoring_id: int, truth: str | None, measures: pl.DataFrame) -> None:
    """Put measures in the place of those that were there for the same scoring and truth.

    Args:
        warehouse: to write to.
        scoring_id: whose labels were measured.
        truth: what they were measured against; None for the other half of the probe.
        measures: measure, value, low, high, units.
    """
    with warehouse.transaction():
        warehouse.execute(
            "delete from store.evaluations where scoring_id = $scoring_id and truth is not distinct from $truth",
            scoring_id=scoring_id,
            truth=truth,
        )
        warehouse.insert("evaluations", measures, scoring_id=scoring_id, truth=truth)
