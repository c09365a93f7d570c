"""Stored activations and embeddings to similarities and labels, one layer at a time."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
import torch
from torch import Tensor

from neuronlake import NeuronlakeError
from neuronlake.ingest import similarity, stored
from neuronlake.ingest.load import embedding_rows
from neuronlake.ingest.plan import Plan, PlannedLayer, Progress, scoring_fingerprint
from neuronlake.ingest.register import Registered
from neuronlake.sql.warehouse import Warehouse

_ROWS_PER_INSERT = 4_000_000


class ScoringError(NeuronlakeError):
    """There is nothing to score."""


@dataclass(frozen=True)
class Labels:
    """What the scores of a layer's live units say.

    Attributes:
        best: (units, 2) int64, the label and the runner-up by position in the concept set; -1 for none.
        similarity: (units, 2) float32, their scores; NaN for none.
        p: (units,) float64.
        q: (units,) float64.
    """

    best: Tensor
    similarity: Tensor
    p: Tensor
    q: Tensor


def embed_concepts(warehouse: Warehouse, plan: Plan, registered: Registered, progress: Progress) -> None:
    """Embed the concepts that this encoder has not embedded with this prompt yet."""
    keys = {"encoder_id": registered.encoder_id, "prompt": plan.scoring.prompt}
    known = warehouse.sql(
        "select concept_id from store.concept_embeddings where encoder_id = $encoder_id and prompt = $prompt",
        **keys,
    ).fetchall()
    done = {row[0] for row in known}
    texts = dict(zip(registered.concept_ids, plan.concept_set.texts, strict=True))
    missing = [number for number in texts if number not in done]
    if not missing:
        return
    prompts = [plan.scoring.prompt.replace("{}", texts[number]) for number in missing]
    embeddings = plan.encoder.encode_texts(prompts, lambda count, total: progress("Embedding concepts", count, total))
    with warehouse.transaction():
        rows = embedding_rows("concept_id", np.array(missing, dtype=np.int32), embeddings)
        warehouse.insert("concept_embeddings", rows, **keys)


def pending_scorings(warehouse: Warehouse, plan: Plan) -> list[PlannedLayer]:
    """The layers whose scoring is not in the warehouse."""
    known = {row[0] for row in warehouse.sql("select fingerprint from store.scorings").fetchall()}
    return [layer for layer in plan.layers if scoring_fingerprint(layer, plan) not in known]


def score_layer(warehouse: Warehouse, plan: Plan, registered: Registered, layer: PlannedLayer, run_id: int) -> None:
    """Score one layer and commit similarities, labels and the scoring itself in one transaction.

    Raises:
        ScoringError: no image of the probe could be read.
    """
    layer_id = registered.layer_ids[layer.model.name, layer.name]
    image_ids, image_features = stored.image_features(warehouse, registered.encoder_id, registered.probe_id)
    if not len(image_ids):
        raise ScoringError(f"no image of {plan.probe.folder} could be read; `cli sql failed_images` has the reasons")
    text_features = stored.text_features(
        warehouse, registered.encoder_id, plan.scoring.prompt, registered.concept_set_id
    )
    activations = stored.activations(warehouse, layer_id, layer.units, image_ids)
    live = stored.live_units(warehouse, layer_id, registered.probe_id)
    device = plan.device
    scores, labels = score_units(
        image_features.to(device), text_features.to(device), activations[:, live].to(device), plan
    )
    with warehouse.transaction():
        scoring_id = _insert_scoring(warehouse, plan, registered, layer, layer_id, len(image_ids), run_id)
        _insert_similarities(warehouse, scoring_id, scores, live, registered, plan.scoring.keep_concepts)
        _insert_labels(warehouse, scoring_id, layer.units, live, labels, registered)


def score_units(
    image_features: Tensor, text_features: Tensor, activations: Tensor, plan: Plan
) -> tuple[Tensor, Labels]:
    """Scores of live units and their labels, with p from pseudo-units and q within the layer.

    Args:
        image_features: (images, dimensions) float32.
        text_features: (concepts, dimensions) float32.
        activations: (images, live units) float32.
        plan: for method, parameters, draws and seed.

    Returns:
        (live units, concepts) float32 on the CPU, and the labels.
    """
    units, concepts = activations.shape[1], text_features.shape[0]
    if units == 0:
        nothing = torch.empty(0, dtype=torch.float64)
        empty = Labels(torch.empty(0, 2, dtype=torch.int64), torch.empty(0, 2), nothing, nothing)
        return torch.empty(0, concepts), empty
    scoring = plan.scoring
    pseudo = similarity.pseudo_unit_activations(activations, scoring.null_draws, scoring.seed)
    scores = similarity.METHODS[scoring.method](
        image_features,
        text_features,
        torch.cat([activations, pseudo], dim=1),
        layer_units=units,
        **scoring.parameters,
    ).cpu()
    scores, null_scores = scores[:units], scores[units:].amax(dim=1)
    top = scores.topk(min(2, concepts), dim=1)
    best = torch.full((units, 2), -1)
    values = torch.full((units, 2), torch.nan)
    best[:, : top.indices.shape[1]] = top.indices
    values[:, : top.values.shape[1]] = top.values
    p = similarity.p_values(values[:, 0], null_scores)
    return scores, Labels(best, values, p, similarity.q_values(p))


def _insert_scoring(
    warehouse: Warehouse,
    plan: Plan,
    registered: Registered,
    layer: PlannedLayer,
    layer_id: int,
    images: int,
    run_id: int,
) -> int:
    """The scoring's own row."""
    scoring = plan.scoring
    concepts = len(plan.concept_set.concepts)
    scoring_id = warehouse.next_id("scorings", "scoring_id")
    row = {
        "scoring_id": scoring_id,
        "fingerprint": scoring_fingerprint(layer, plan),
        "run_id": run_id,
        "layer_id": layer_id,
        "probe_id": registered.probe_id,
        "encoder_id": registered.encoder_id,
        "concept_set_id": registered.concept_set_id,
        "method": scoring.display,
        "parameters": json.dumps(scoring.parameters),
        "prompt": scoring.prompt,
        "images": images,
        "units": layer.units,
        "null_draws": scoring.null_draws,
        "seed": scoring.seed,
        "kept_concepts": min(scoring.keep_concepts or concepts, concepts),
    }
    warehouse.insert("scorings", pl.DataFrame([row]))
    return scoring_id


def _insert_similarities(
    warehouse: Warehouse,
    scoring_id: int,
    scores: Tensor,
    live: list[int],
    registered: Registered,
    keep: int | None,
) -> None:
    """The unit-by-concept matrix, or each unit's best concepts, in blocks of units."""
    concept_ids = np.array(registered.concept_ids, dtype=np.int32)
    kept = min(keep or len(concept_ids), len(concept_ids))
    step = max(1, _ROWS_PER_INSERT // kept)
    for start in range(0, len(live), step):
        block = scores[start : start + step]
        if kept < len(concept_ids):
            top = block.topk(kept, dim=1)
            values, columns = top.values.numpy(), concept_ids[top.indices.numpy()]
        else:
            values, columns = block.numpy(), np.broadcast_to(concept_ids, block.shape)
        units = np.array(live[start : start + step], dtype=np.int32)
        rows = pa.table(
            {
                "unit": np.repeat(units, kept),
                "concept_id": columns.reshape(-1),
                "similarity": values.reshape(-1),
            }
        )
        warehouse.insert("similarities", rows, scoring_id=scoring_id)


def _insert_labels(
    warehouse: Warehouse, scoring_id: int, units: int, live: list[int], labels: Labels, registered: Registered
) -> None:
    """One row for each unit of the layer; those that are not live have no concept."""
    concept_ids = np.array([*registered.concept_ids, -1], dtype=np.int32)  # the last one stands for none
    chosen = concept_ids[labels.best.numpy()]
    scored = pl.DataFrame(
        {
            "unit": np.array(live, dtype=np.int32),
            "concept_id": chosen[:, 0],
            "similarity": labels.similarity[:, 0].numpy(),
            "runner_up_id": chosen[:, 1],
            "runner_up_similarity": labels.similarity[:, 1].numpy(),
            "p_value": labels.p.float().numpy(),
            "q_value": labels.q.float().numpy(),
        }
    ).with_columns(
        pl.col("runner_up_id").replace(-1, None),
        pl.col("runner_up_similarity").fill_nan(None),
    )
    everyone = pl.DataFrame({"unit": np.arange(units, dtype=np.int32)})
    warehouse.insert("labels", everyone.join(scored, on="unit", how="left"), scoring_id=scoring_id)
