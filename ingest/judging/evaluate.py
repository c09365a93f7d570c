"""How far labels can be trusted: against known names, or against the half of the probe that did not make them."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from neuronlake import NeuronlakeError
from neuronlake.ingest.concepts.builtin_sets import BUILTIN_SETS, builtin_names
from neuronlake.ingest.concepts.concept import same_text
from neuronlake.ingest.devices import resolve_device
from neuronlake.ingest.judging.measures import (
    Measured,
    area_under_roc,
    average_precisions,
    correlations,
    mean,
    measure,
    median,
)
from neuronlake.ingest.labelers import similarity
from neuronlake.ingest.labelers.base import LayerLabels
from neuronlake.ingest.labelers.clip_dissect import score_units
from neuronlake.ingest.labelers.settings import Scoring
from neuronlake.ingest.labelers.similarity import Cosines, top_image_indices
from neuronlake.sql import hints
from neuronlake.sql.settings import chosen_setting
from neuronlake.sql.store import features, scorings
from neuronlake.sql.warehouse import Warehouse
from neuronlake.sql.words import Progress, did_you_mean, no_progress

# a unit's top images in the half that verifies: those whose activation is in the highest 5 %
_TOP_SHARE = 0.05


class EvaluationError(NeuronlakeError):
    """There is nothing to evaluate, or nothing to evaluate it against."""


@dataclass(frozen=True)
class _Scored:
    """A scoring's stored inputs, on the device.

    Attributes:
        cosines: of images and concepts.
        activations: (images, live units) float32.
        live: numbers of the live units.
        concepts: texts, in the order of the concept set.
        scoring: its settings.
    """

    cosines: Cosines
    activations: Tensor
    live: list[int]
    concepts: tuple[str, ...]
    scoring: Scoring


def evaluate(
    warehouse: Warehouse,
    model: str,
    layer: str,
    *,
    truth: str | None = None,
    setting: int | str | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: Progress = no_progress,
) -> pl.DataFrame:
    """Measure the labels of a layer under all its settings, or one, and store what was found.

    With `truth`, labels are compared with known names: see `measures_of_names`. Without, labels are made on one
    half of the probe and verified on the other: see `measures_of_halves`.

    Args:
        warehouse: open for writing.
        model: name of the model.
        layer: name of the layer.
        truth: a built-in set whose lines are the units' names in order, or a file: one name a line with a blank
            line for a unit without, or a csv file with columns unit and name.
        setting: number of a setting, or its method; all of the layer's where None.
        device: where to compute.
        seed: of the halves, the random concepts and the bootstrap.
        progress: called with a stage, the number done and the total.

    Returns:
        Rows of the view `evaluations`: one a setting and measure.

    Raises:
        SettingError: there is no such setting.
        EvaluationError: the layer has no scoring with stored activations, or the truth names no concept.
    """
    names = None if truth is None else load_truth(truth)
    where = resolve_device(device)
    key = None if truth is None else _truth_key(truth)
    rows = _scorings(warehouse, model, layer, setting)
    for done, row in enumerate(rows):
        progress("Evaluating", done, len(rows))
        scored = _read(warehouse, row, where)
        if not scored.live:
            look = hints.command("cli sql layer_summary", warehouse.path)
            raise EvaluationError(f"no unit of {model} {layer} is alive; look at `{look}`")
        found = measures_of_halves(scored, seed) if names is None else measures_of_names(scored, names, seed)
        _store(warehouse, row["scoring"], key, found)
    progress("Evaluating", len(rows), len(rows))
    kept = warehouse.sql(
        "select * from evaluations where model = $model and layer = $layer and truth is not distinct from $truth",
        model=model,
        layer=layer,
        truth=key,
    ).pl()
    return kept.filter(pl.col("scoring").is_in([row["scoring"] for row in rows]))


def _truth_key(truth: str) -> str:
    """By what the measures against these names are known: a set's name, or a file's whole path.

    Files of one name in two folders are two truths; the same file, changed since, is measured anew.
    """
    return truth if truth in BUILTIN_SETS else str(Path(truth).expanduser().resolve())


def load_truth(truth: str) -> dict[int, str]:
    """The known name of each unit that has one.

    Raises:
        EvaluationError: there is no such set or file, or it cannot be read.
    """
    if truth in BUILTIN_SETS:
        return dict(enumerate(builtin_names(truth)))
    path = Path(truth).expanduser()
    if not path.is_file():
        raise EvaluationError(f"there is no truth {truth!r}; give a file of names or one of {', '.join(BUILTIN_SETS)}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{path} is not UTF-8; convert it first") from error
    if path.suffix.lower() != ".csv":
        return {unit: line.strip() for unit, line in enumerate(text.splitlines()) if line.strip()}
    reader = csv.DictReader(text.splitlines())
    if not {"unit", "name"} <= set(reader.fieldnames or ()):
        raise EvaluationError(f"{path} has no columns unit and name but {', '.join(reader.fieldnames or ()) or 'none'}")
    names: dict[int, str] = {}
    for row in reader:
        if not (row["unit"] or "").strip().isdigit():
            raise EvaluationError(f"{path} line {reader.line_num}: {row['unit']!r} is no unit's number")
        names[int(row["unit"])] = row["name"] or ""
    return {unit: name for unit, name in names.items() if name.strip()}


def measures_of_names(scored: _Scored, names: dict[int, str], seed: int) -> list[Measured]:
    """Labels against known names, over the live units whose name is in the concept set.

    top_1, top_5: share whose name is the label, or among the best five. mean_rank, median_rank: of the name among
    the concepts, from 1. auc_similarity, auc_margin, auc_minus_p: how well these tell right labels from wrong ones.
    cosine: of label and name in the encoder's text space.

    Raises:
        EvaluationError: no live unit's name is in the concept set.
    """
    places = {same_text(text): place for place, text in enumerate(scored.concepts)}
    known = [
        (row, places[same_text(names[unit])])
        for row, unit in enumerate(scored.live)
        if unit in names and same_text(names[unit]) in places
    ]
    if not known:
        raise EvaluationError("no unit's true name is in the concept set; score with a set that has them first")
    labels = score_units(scored.cosines, scored.activations, scored.scoring)
    assert labels.matrix is not None
    scores, best = torch.from_numpy(labels.matrix), torch.from_numpy(labels.terms[:, 0])
    rows, true = torch.tensor(known).T
    of_name = scores[rows, true]
    ranks = (scores[rows] > of_name[:, None]).sum(dim=1) + 1
    is_right = best[rows] == true
    texts = scored.cosines.text_features.cpu()
    cosine = (texts[best[rows]] * texts[true]).sum(dim=1)
    by_name = {
        "top_1": (mean, is_right),
        "top_5": (mean, ranks <= 5),
        "mean_rank": (mean, ranks),
        "median_rank": (median, ranks),
        "cosine": (mean, cosine),
    }
    found = [measure(name, statistic, values, seed=seed) for name, (statistic, values) in by_name.items()]
    for name, confidence in _confidences(labels).items():
        found.append(measure(f"auc_{name}", area_under_roc, confidence[rows], is_right, seed=seed))
    return found


def _confidences(labels: LayerLabels) -> dict[str, Tensor]:
    """What might tell right labels from wrong ones, each (units,)."""
    score = torch.from_numpy(labels.score)
    return {
        "similarity": score,
        "margin": (score - torch.from_numpy(labels.runner_up_score)).nan_to_num(0.0),
    }


def measures_of_halves(scored: _Scored, seed: int) -> list[Measured]:
    """Labels made on one random half of the images, verified on the other.

    For the label, the runner-up and a random concept: the correlation of the unit's activations with the images'
    similarity to the concept, and the area under the precision-recall curve with the unit's top 5 % of images as
    target. Both pass the sanity checks of Oikarinen et al., "Evaluating neuron explanations" (ICML 2025).

    Raises:
        EvaluationError: the probe or the concept set is too small to be halved.
    """
    images, concepts = scored.cosines.images, scored.cosines.concepts
    if images < 4 or concepts < 3:
        raise EvaluationError("to verify labels takes at least 4 images and 3 concepts")
    generator = torch.Generator().manual_seed(seed)
    making, verifying = torch.randperm(images, generator=generator).to(scored.activations.device).chunk(2)
    features, texts = scored.cosines.image_features, scored.cosines.text_features
    method = similarity.METHODS[scored.scoring.method]
    scores = method(Cosines(features[making], texts), scored.activations[making], **scored.scoring.parameters)
    best = scores.topk(2, dim=1).indices
    drawn = torch.randint(concepts - 1, (len(best),), generator=generator).to(best.device)
    drawn += drawn >= best[:, 0]  # any but the label
    activations = scored.activations[verifying]
    top = top_image_indices(activations, max(1, round(_TOP_SHARE * len(verifying))))
    is_top = torch.zeros_like(activations, dtype=torch.bool).scatter_(0, top.T, value=True)
    found: list[Measured] = []
    for name, chosen in (("label", best[:, 0]), ("runner_up", best[:, 1]), ("random", drawn)):
        similar = features[verifying] @ texts[chosen].T  # (images, units)
        correlation = correlations(activations, similar)
        defined = correlation.isfinite()  # a unit that is constant on this half says nothing
        precision = average_precisions(similar, is_top)[defined].cpu()
        found.append(measure(f"correlation_{name}", mean, correlation[defined].cpu(), seed=seed))
        found.append(measure(f"auprc_{name}", mean, precision, seed=seed))
    return found


def _scorings(warehouse: Warehouse, model: str, layer: str, setting: int | str | None) -> list[dict[str, Any]]:
    """Rows of the query `scored_layers` for one layer, under all settings or one."""
    known = warehouse.sql("select distinct model, layer, setting from scorings order by all").fetchall()
    settings = [number for name, of_layer, number in known if (name, of_layer) == (model, layer)]
    if not settings:
        layers = sorted({f"{name} {of_layer}" for name, of_layer, _ in known})
        status = f"`{hints.command('cli status', warehouse.path)}` shows what it has"
        hint = did_you_mean(f"{model} {layer}", layers, then=status)
        raise EvaluationError(f"{warehouse.path} has no labels of {model} {layer}; {hint}")
    chosen = settings if setting is None else [chosen_setting(warehouse, setting).number]
    if not set(chosen) <= set(settings):
        raise EvaluationError(f"{model} {layer} has no setting {setting}; it has {', '.join(map(str, settings))}")
    rows = [
        row
        for number in chosen
        for row in warehouse.query("scored_layers", setting=str(number)).pl().iter_rows(named=True)
        if (row["model"], row["layer"]) == (model, layer)
    ]
    if not rows:
        raise EvaluationError(f"the labels of {model} {layer} were imported without activations to evaluate them by")
    scored = [row for row in rows if row["method"] in similarity.METHODS]
    if not scored:
        methods = ", ".join(sorted({row["method"] for row in rows}))
        raise EvaluationError(
            f"the labels of {model} {layer} are of {methods}, which scores no other concepts to compare them with; "
            f"score the layer with one of {', '.join(similarity.METHODS)} first"
        )
    return scored


def _read(warehouse: Warehouse, row: dict[str, Any], device: torch.device) -> _Scored:
    """What a scoring was made from."""
    image_ids, images = features.image_features(warehouse, row["encoder_id"], row["probe_id"])
    texts = features.concept_features(warehouse, row["encoder_id"], row["prompts"], row["concept_set_id"])
    live = features.live_units(warehouse, row["layer_id"], row["probe_id"])
    activations = features.activations(warehouse, row["layer_id"], live, image_ids)
    return _Scored(
        cosines=Cosines(torch.from_numpy(images).to(device), torch.from_numpy(texts).to(device)),
        activations=torch.from_numpy(activations).to(device),
        live=live,
        concepts=features.concept_texts(warehouse, row["concept_set_id"]),
        scoring=Scoring(
            method=row["method"],
            parameters=json.loads(row["parameters"]),
            prompts=tuple(row["prompts"]),
            null_draws=row["null_draws"],
            seed=row["seed"],
            keep_concepts=None,
        ),
    )


def _store(warehouse: Warehouse, scoring_id: int, truth: str | None, found: Sequence[Measured]) -> None:
    """Put the measures in the place of those that were there for the same scoring and truth."""
    rows = pl.DataFrame([vars(measured) for measured in found])
    measures = rows.with_columns(pl.col("value", "low", "high").fill_nan(None))
    scorings.replace_evaluations(warehouse, scoring_id, truth, measures)
