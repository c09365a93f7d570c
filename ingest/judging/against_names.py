"""A layer's stored labels, by whatever labeler, compared with the known names of its units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl
import torch
from torch import Tensor

from neuronlake.ingest.judging.measures import (
    Measured,
    ReliabilityBin,
    area_under_roc,
    calibration_error,
    mean,
    measure,
    median,
    reliability,
)
from neuronlake.ingest.judging.scored import EvaluationError, LayerScoring, read_scored
from neuronlake.ingest.judging.truth import same_class
from neuronlake.sql.store import features
from neuronlake.sql.warehouse import Warehouse

# what might tell right labels from wrong ones: of the view unit_labels
_TELLING = (
    *("similarity", "margin", "minus_p"),
    *("confidence", "correlation", "held_out_correlation", "stability"),
)


@dataclass(frozen=True)
class Known:
    """The live units of a layer whose name is known.

    Attributes:
        labels: one row a unit that is counted: unit, concept (null for a unit without a label), name (as the concept
            set spells it, or the truth where it has no such concept), is_right and the columns _TELLING.
        named: units whose name is known and can be said: is among the concepts, or the labels are imported.
        outside: units whose name is known and cannot be said.
        is_told: whether it is known which of the named have images of their class; else all of them are counted.
    """

    labels: pl.DataFrame
    named: int
    outside: int
    is_told: bool


@dataclass(frozen=True)
class NameMeasures:
    """What the comparison gave; the bins are none where no label has a confidence."""

    measures: list[Measured]
    bins: list[ReliabilityBin]


def known_units(
    warehouse: Warehouse, scoring: LayerScoring, names: Mapping[int, str], with_images: set[int] | None
) -> Known:
    """A scoring's labels of the units whose name is known and whose class has images.

    Args:
        warehouse: to read.
        scoring: whose labels.
        names: of units.
        with_images: those whose class has images in the probe; None where that cannot be told.

    Raises:
        EvaluationError: no live unit's name is among the concepts, or none of these has images of its class.
    """
    spelled = {same_class(text): text for text in features.concept_texts(warehouse, scoring.concept_set_id)}
    stored = warehouse.sql(
        "select unit, concept, similarity, margin, -p_value as minus_p, confidence, correlation, held_out_correlation,"
        " stability from unit_labels where scoring = $scoring and status = 'live' order by unit",
        scoring=scoring.scoring,
    ).pl()
    named = stored.filter(pl.col("unit").is_in(list(names)))
    keys = [same_class(names[unit]) for unit in named["unit"]]
    labelled = [None if concept is None else same_class(concept) for concept in named["concept"]]
    rows = named.with_columns(
        name=pl.Series(
            [spelled.get(key, names[unit]) for key, unit in zip(keys, named["unit"], strict=True)], dtype=pl.String
        ),
        is_concept=pl.Series([key in spelled for key in keys], dtype=pl.Boolean),
        is_right=pl.Series([key == label for key, label in zip(keys, labelled, strict=True)], dtype=pl.Boolean),
    )
    inside = int(rows["is_concept"].sum())
    if not inside:
        raise EvaluationError("no unit's true name is in the concept set; score with a set that has them first")
    # an imported concept set has only the labels, and no word of what else could have been said
    sayable = rows if scoring.is_imported else rows.filter("is_concept")
    counted = sayable if with_images is None else sayable.filter(pl.col("unit").is_in(list(with_images)))
    if counted.is_empty():
        raise EvaluationError(
            f"no unit whose true name is in the concept set has images of its class in {scoring.probe}; "
            "ingest images of these classes first"
        )
    return Known(counted, sayable.height, rows.height - sayable.height, with_images is not None)


def measures_of_names(labels: pl.DataFrame, cosines: Tensor | None, ranks: Tensor | None, seed: int) -> NameMeasures:
    """Labels against known names.

    top_1, top_5: share whose name is the label, or among the best five. mean_rank, median_rank: of the name among
    the concepts, from 1. cosine: of label and name in the encoder's text space. auc_...: how well a number that comes
    with the labels tells right labels from wrong ones. calibration_error: of the confidence. What nothing is stored of
    is left out.

    Args:
        labels: see `Known`.
        cosines: of label and name, (units,), NaN where it is not known; None without an encoder.
        ranks: of the name, (units,); None where the scores of other concepts are not known.
        seed: of the bootstrap.
    """
    is_right = labels["is_right"].to_torch()
    found = [measure("top_1", mean, is_right, seed=seed)]
    if ranks is not None:
        found += [
            measure("top_5", mean, ranks <= 5, seed=seed),
            measure("mean_rank", mean, ranks, seed=seed),
            measure("median_rank", median, ranks, seed=seed),
        ]
    if cosines is not None and (known := cosines.isfinite()).any():
        found.append(measure("cosine", mean, cosines[known], seed=seed))
    for name in _TELLING:
        told = labels.filter(pl.col(name).is_not_null())
        if not told.is_empty():
            found.append(_area(name, told, seed))
    judged = labels.filter(pl.col("confidence").is_not_null())
    if judged.is_empty():
        return NameMeasures(found, [])
    confidence, is_right = judged["confidence"].to_torch(), judged["is_right"].to_torch()
    found.append(measure("calibration_error", calibration_error, confidence, is_right, seed=seed))
    return NameMeasures(found, reliability(confidence, is_right))


def _area(name: str, labels: pl.DataFrame, seed: int) -> Measured:
    """How well a column tells right labels from wrong ones."""
    return measure(f"auc_{name}", area_under_roc, labels[name].to_torch(), labels["is_right"].to_torch(), seed=seed)


def cosines_of_names(warehouse: Warehouse, scoring: LayerScoring, labels: pl.DataFrame) -> Tensor | None:
    """The cosine of each label and name in the text space, (units,) float32; NaN where one of them is not embedded.

    None where the scoring has no encoder.
    """
    if scoring.encoder_id is None:
        return None
    found = warehouse.step(
        "cosines_of_texts",
        encoder_id=scoring.encoder_id,
        prompts=scoring.prompts or ["{}"],
        first=labels["concept"].fill_null("").to_list(),
        second=labels["name"].to_list(),
    ).pl()
    return found["cosine"].cast(pl.Float32).fill_null(torch.nan).to_torch()


def ranks_of_names(
    warehouse: Warehouse, scoring: LayerScoring, labels: pl.DataFrame, device: torch.device
) -> Tensor | None:
    """The place of each name among the scores of all concepts, (units,) int64.

    From the stored scores where all are kept, else from scores made anew; None where there can be none.
    """
    names = dict(labels.select("unit", "name").rows())
    if scoring.has_matrix:
        found = warehouse.step(
            "ranks_of_concepts",
            scoring=scoring.scoring,
            units=[str(unit) for unit in names],
            concepts=list(names.values()),
        ).pl()
        return found["rank"].to_torch() if found.height == len(names) else None
    if not scoring.scores_every_concept:
        return None
    scored = read_scored(warehouse, scoring, device)
    rows = torch.tensor([scored.live.index(unit) for unit in names])
    places = {text: place for place, text in enumerate(scored.concepts)}
    true = torch.tensor([places[name] for name in names.values()])
    of_name = scored.scores[rows, true]
    return (scored.scores[rows] > of_name[:, None]).sum(dim=1) + 1
