"""Stored activations and embeddings to similarities and labels, one layer at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from torch import Tensor

from neuronlake.ingest import stored
from neuronlake.ingest.encoders.prompts import embed_texts
from neuronlake.ingest.encoders.protocol import Encoder
from neuronlake.ingest.labelers.clip_dissect import Features, Labels, LayerActivations, ScoringEngine, score_locally
from neuronlake.ingest.labelers.settings import Scoring, ScoringError
from neuronlake.ingest.plan import resolve_device
from neuronlake.ingest.stored import StoredLayer
from neuronlake.sql import hints
from neuronlake.sql.store.encoders import embedding_rows
from neuronlake.sql.warehouse import Warehouse

Progress = Callable[[str, int, int], None]

_ROWS_PER_INSERT = 4_000_000


@dataclass(frozen=True)
class Basis:
    """What scorings of several layers share: images, encoder and concepts, by number and fingerprint.

    `concept_ids` are in the order of the concept set.
    """

    probe_id: int
    probe_fingerprint: str
    encoder_id: int
    encoder_fingerprint: str
    concept_set_id: int
    concept_set_fingerprint: str
    concept_ids: tuple[int, ...]

    def scoring_fingerprint(self, layer: StoredLayer, scoring: Scoring) -> str:
        """Identity of a scoring of a layer."""
        return scoring.fingerprint(
            layer.fingerprint, self.probe_fingerprint, self.encoder_fingerprint, self.concept_set_fingerprint
        )


def choose_scoring_engine(name: str, device: str, address: str | None, workers: int | None) -> ScoringEngine:
    """The engine of that name, see `plan.check_engine`.

    Args:
        name: ``local`` or ``ray``.
        device: as a recipe names it.
        address: of the Ray cluster; one is started here where None.
        workers: of the Ray engine; by the cluster's GPUs or cores where None.

    Raises:
        NeuronlakeError: there is no such device here, or the package ray is missing.
    """
    if name == "local":
        return partial(score_locally, resolve_device(device))
    from neuronlake.ingest.machines.ray_labels import score_with_ray  # noqa: PLC0415  of the extra `ray`

    return partial(score_with_ray, device, address, workers)


def embed_concepts(
    warehouse: Warehouse, basis: Basis, prompts: Sequence[str], encoder: Callable[[], Encoder], progress: Progress
) -> None:
    """Embed the concepts that this encoder has not embedded with this prompt yet; it is asked for only then.

    Raises:
        ScoringError: the encoder gives a concept no direction.
    """
    keys: dict[str, Any] = {"encoder_id": basis.encoder_id, "prompts": list(prompts)}
    known = warehouse.sql(
        "select concept_id from store.concept_embeddings where encoder_id = $encoder_id and prompts = $prompts",
        **keys,
    ).fetchall()
    done = {row[0] for row in known}
    missing = [number for number in basis.concept_ids if number not in done]
    if not missing:
        return
    texts: dict[int, str] = dict(warehouse.sql("select concept_id, concept from store.concepts").fetchall())
    embeddings = embed_texts(
        encoder(),
        prompts,
        [texts[number] for number in missing],
        lambda count, total: progress("Embedding concepts", count, total),
    )
    lost = ~(embeddings.norm(dim=1) > 0)  # also where it is NaN
    if lost.any():
        text = texts[missing[int(lost.nonzero()[0])]]
        raise ScoringError(f"the encoder gives the concept {text!r} no direction; take it out of the concept set")
    with warehouse.transaction():
        rows = embedding_rows("concept_id", np.array(missing, dtype=np.int32), embeddings.numpy())
        warehouse.insert("concept_embeddings", rows, **keys)


def pending_scorings(
    warehouse: Warehouse, basis: Basis, layers: Sequence[StoredLayer], scoring: Scoring
) -> list[StoredLayer]:
    """The layers whose scoring is not in the warehouse."""
    known = {row[0] for row in warehouse.sql("select fingerprint from store.scorings").fetchall()}
    return [layer for layer in layers if basis.scoring_fingerprint(layer, scoring) not in known]


def score_layers(
    warehouse: Warehouse,
    basis: Basis,
    layers: Sequence[StoredLayer],
    scoring: Scoring,
    engine: ScoringEngine,
    run_id: int,
    progress: Progress,
) -> None:
    """Score layers; similarities, labels and the scoring itself are one transaction a layer.

    Whatever the engine, this process alone reads and writes the warehouse, a layer at a time and in their order.

    Raises:
        ScoringError: no image of the probe could be read.
        NeuronlakeError: the engine cannot do it.
    """
    if not layers:
        return
    image_ids, image_features = stored.image_features(warehouse, basis.encoder_id, basis.probe_id)
    if not len(image_ids):
        reasons = hints.command("cli sql failed_images", warehouse.path)
        raise ScoringError(f"no image of the probe could be read; `{reasons}` has the reasons")
    text_features = stored.text_features(warehouse, basis.encoder_id, scoring.prompts, basis.concept_set_id)
    # a generator: the engine takes a layer's activations when it has a place for them
    activations = (_read(warehouse, layer, basis.probe_id, image_ids) for layer in layers)
    progress("Scoring layers", 0, len(layers))
    for done, scored in enumerate(engine(Features(image_features, text_features), activations, scoring), start=1):
        layer, live = scored.layer, scored.live
        with warehouse.transaction():
            scoring_id = _insert_scoring(warehouse, basis, layer, scoring, len(image_ids), run_id)
            _insert_similarities(warehouse, scoring_id, scored.scores, live, basis.concept_ids, scoring.keep_concepts)
            _insert_labels(warehouse, scoring_id, layer.units, live, scored.labels, basis.concept_ids)
        progress("Scoring layers", done, len(layers))


def _read(warehouse: Warehouse, layer: StoredLayer, probe_id: int, image_ids: np.ndarray) -> LayerActivations:
    """The live units of a layer."""
    live = stored.live_units(warehouse, layer.layer_id, probe_id)
    return LayerActivations(layer, live, stored.activations(warehouse, layer.layer_id, live, image_ids))


def _insert_scoring(
    warehouse: Warehouse, basis: Basis, layer: StoredLayer, scoring: Scoring, images: int, run_id: int
) -> int:
    """The scoring's own row."""
    concepts = len(basis.concept_ids)
    scoring_id = warehouse.next_id("scorings", "scoring_id")
    row = {
        "scoring_id": scoring_id,
        "fingerprint": basis.scoring_fingerprint(layer, scoring),
        "run_id": run_id,
        "layer_id": layer.layer_id,
        "probe_id": basis.probe_id,
        "encoder_id": basis.encoder_id,
        "concept_set_id": basis.concept_set_id,
        "labeler": "clip_dissect",
        "method": scoring.method,
        "parameters": json.dumps(scoring.parameters),
        "changed_parameters": scoring.changed_parameters,
        "prompts": list(scoring.prompts),
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
    concept_ids_in_order: Sequence[int],
    keep: int | None,
) -> None:
    """The unit-by-concept matrix, or each unit's best concepts, in blocks of units."""
    concept_ids = np.array(concept_ids_in_order, dtype=np.int32)
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
    warehouse: Warehouse,
    scoring_id: int,
    units: int,
    live: list[int],
    labels: Labels,
    concept_ids_in_order: Sequence[int],
) -> None:
    """One row for each unit of the layer; those that are not live have no concept."""
    concept_ids = np.array([*concept_ids_in_order, -1], dtype=np.int32)  # the last one stands for none
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
    labels_of_all = everyone.join(scored.drop("concept_id"), on="unit", how="left")
    warehouse.insert("labels", labels_of_all, scoring_id=scoring_id)
    terms = scored.select("unit", "concept_id").with_columns(position=0, weight=1.0)
    warehouse.insert("label_terms", terms, scoring_id=scoring_id)
