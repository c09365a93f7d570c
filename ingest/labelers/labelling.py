"""Stored activations to labels, one layer at a time, whatever the labeler."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from neuronlake.ingest.encoders.prompts import embed_texts
from neuronlake.ingest.encoders.protocol import Encoder
from neuronlake.ingest.labelers.base import (
    Label,
    LabelledLayer,
    LabelOne,
    LayerActivations,
    Need,
    Shared,
)
from neuronlake.ingest.labelers.dissecting.stored import Dissections
from neuronlake.ingest.labelers.registry import METHODS, changed_parameters, labeler_of
from neuronlake.ingest.labelers.rows import fidelity_rows, intersection_rows, label_rows, term_rows
from neuronlake.ingest.labelers.settings import Scoring, ScoringError
from neuronlake.sql import hints
from neuronlake.sql.store import encoders, features, scorings
from neuronlake.sql.store.features import StoredLayer
from neuronlake.sql.store.scorings import Judgement, ScoringRow
from neuronlake.sql.warehouse import Warehouse
from neuronlake.sql.words import Progress


@dataclass(frozen=True)
class Inputs:
    """What scorings of several layers share, by number.

    Attributes:
        probe_id: whose images.
        encoder_id: None where the labeler looks at no embedding.
        concept_set_id: what units can be labelled with.
        kept_together: what images have in common that are left out together: ``image`` or ``label``.
    """

    probe_id: int
    encoder_id: int | None
    concept_set_id: int
    kept_together: str


@dataclass(frozen=True)
class Basis:
    """The same with the fingerprints that tell one scoring from another.

    `concept_ids` are in the order of the concept set.
    """

    inputs: Inputs
    probe_fingerprint: str
    encoder_fingerprint: str | None
    concept_set_fingerprint: str
    concept_ids: tuple[int, ...]

    def scoring_fingerprint(self, layer: StoredLayer, scoring: Scoring) -> str:
        """Identity of a scoring of a layer."""
        return scoring.fingerprint(
            layer.fingerprint, self.probe_fingerprint, self.encoder_fingerprint, self.concept_set_fingerprint
        )


def embed_concepts(
    warehouse: Warehouse, basis: Basis, prompts: Sequence[str], encoder: Callable[[], Encoder], progress: Progress
) -> None:
    """Embed the concepts that this encoder has not embedded with these prompts yet; it is asked for only then.

    Raises:
        ScoringError: the encoder gives a concept no direction.
    """
    if basis.inputs.encoder_id is None:
        return
    missing = features.concepts_without_features(warehouse, basis.inputs.encoder_id, prompts, basis.concept_ids)
    if not missing:
        return
    embeddings = embed_texts(
        encoder(),
        prompts,
        list(missing.values()),
        lambda count, total: progress("Embedding concepts", count, total),
    )
    lost = ~(embeddings.norm(dim=1) > 0)  # also where it is NaN
    if lost.any():
        text = list(missing.values())[int(lost.nonzero()[0])]
        raise ScoringError(f"the encoder gives the concept {text!r} no direction; take it out of the concept set")
    encoders.insert_concept_embeddings(warehouse, basis.inputs.encoder_id, prompts, list(missing), embeddings.numpy())


def pending_layers(
    warehouse: Warehouse, basis: Basis, layers: Sequence[StoredLayer], scoring: Scoring
) -> list[StoredLayer]:
    """The layers whose scoring is not in the warehouse."""
    known = scorings.known_fingerprints(warehouse)
    return [layer for layer in layers if basis.scoring_fingerprint(layer, scoring) not in known]


def label_layers(
    warehouse: Warehouse,
    basis: Basis,
    layers: Sequence[StoredLayer],
    scoring: Scoring,
    label_one: LabelOne,
    label: Label,
    run_id: int,
    progress: Progress,
) -> tuple[str, ...]:
    """Label layers; similarities, labels, their fidelity and the scoring itself are one transaction a layer.

    Whatever the machine, this process alone reads and writes the warehouse, a layer at a time and in their order.

    Returns:
        A line for the user where no unit has a label.

    Raises:
        ScoringError: no image of the probe could be read.
        NeuronlakeError: the machine or the labeler cannot do it.
    """
    if not layers:
        return ()
    image_ids, shared = shared_inputs(warehouse, basis.inputs, scoring)
    # a generator: the machine takes a layer's activations when it has a place for them
    activations = layer_activations(warehouse, layers, basis.inputs, scoring, image_ids)
    progress("Scoring layers", 0, len(layers))
    live = named = 0
    for done, labelled in enumerate(label(label_one, shared, activations), start=1):
        _write(warehouse, basis, scoring, labelled, len(image_ids), run_id)
        live, named = live + len(labelled.live), named + int((labelled.labels.terms[:, 0] >= 0).sum())
        progress("Scoring layers", done, len(layers))
    what = f"{scoring.method} gives no unit a label: none goes with a concept; choose other concepts or another method"
    signal = ", or another signal with --parameter signal=" if scoring.signal else ""
    return (what + signal,) if live and not named else ()


def shared_inputs(warehouse: Warehouse, inputs: Inputs, scoring: Scoring) -> tuple[np.ndarray, Shared]:
    """Numbers of the images, and what a scoring's labeler asks for of them and of the concepts.

    Raises:
        ScoringError: no image of the probe could be read.
    """
    texts, needs = features.concept_texts(warehouse, inputs.concept_set_id), labeler_of(scoring).needs
    if Need.EMBEDDINGS in needs:
        assert inputs.encoder_id is not None
        image_ids, images = features.image_features(warehouse, inputs.encoder_id, inputs.probe_id)
        concepts = features.concept_features(warehouse, inputs.encoder_id, scoring.prompts, inputs.concept_set_id)
        shared = Shared(texts, torch.from_numpy(images), torch.from_numpy(concepts))
    else:
        image_ids, shared = features.readable_images(warehouse, inputs.probe_id), Shared(texts)
    if not len(image_ids):
        reasons = hints.command("cli sql failed_images", warehouse.path)
        raise ScoringError(f"no image of the probe could be read; `{reasons}` has the reasons")
    if needs & {Need.IMAGE_LABELS, Need.MASKS}:
        places = {text: place for place, text in enumerate(texts)}
        labels = features.image_labels(warehouse, image_ids)
        shared = replace(shared, image_labels=torch.tensor([places.get(label or "", -1) for label in labels]))
    if Need.MASKS in needs:
        # every image is labelled with one of them all, so that they are of one category, whatever words they are
        shared = replace(shared, categories=torch.zeros(len(texts), dtype=torch.int64))
    folds, by_content = (image_folds(warehouse, image_ids, kept) for kept in (inputs.kept_together, "image"))
    return image_ids, replace(shared, folds=folds, content_folds=by_content, shape=scoring.signal)


def image_folds(warehouse: Warehouse, image_ids: np.ndarray, kept_together: str) -> Tensor:
    """The part of the probe that each image is left out with, (images,) int64."""
    return torch.from_numpy(features.image_folds(warehouse, image_ids, kept_together))


def layer_activations(
    warehouse: Warehouse, layers: Sequence[StoredLayer], inputs: Inputs, scoring: Scoring | None, image_ids: np.ndarray
) -> Iterator[LayerActivations]:
    """The live units of layers, one after the other, beside the probe's masks where the labeler asks for these.

    `scoring` is None where another tool has made the labels.
    """
    beside: Dissections | None = None
    if scoring and Need.MASKS in labeler_of(scoring).needs:
        quantile = float(scoring.parameters["quantile"])
        beside = Dissections(warehouse, inputs.probe_id, inputs.concept_set_id, quantile, image_ids)
    for layer in layers:
        found = live_activations(warehouse, layer, inputs.probe_id, image_ids)
        yield replace(found, dissection=beside.of_layer(layer.layer_id, found.live)) if beside else found


def live_activations(
    warehouse: Warehouse, layer: StoredLayer, probe_id: int, image_ids: np.ndarray
) -> LayerActivations:
    """The live units of a layer."""
    # labels of another tool may be of the first units only
    live = [unit for unit in features.live_units(warehouse, layer.layer_id, probe_id) if unit < layer.units]
    values = features.activations(warehouse, layer.layer_id, live, image_ids)
    return LayerActivations(layer, live, torch.from_numpy(values))


def _write(
    warehouse: Warehouse, basis: Basis, scoring: Scoring, labelled: LabelledLayer, images: int, run_id: int
) -> None:
    """One layer's scoring, labels and similarities."""
    method = METHODS[scoring.method]
    layer, live, labels = labelled.layer, labelled.live, labelled.labels
    concepts = len(basis.concept_ids)
    # formulas have no score for each concept
    kept = min(scoring.keep_concepts or concepts, concepts) if labels.matrix is not None else 0
    row = ScoringRow(
        fingerprint=basis.scoring_fingerprint(layer, scoring),
        run_id=run_id,
        layer_id=layer.layer_id,
        probe_id=basis.inputs.probe_id,
        encoder_id=basis.inputs.encoder_id,
        concept_set_id=basis.inputs.concept_set_id,
        labeler=method.labeler,
        method=scoring.method,
        units=layer.units,
        images=images,
        parameters=scoring.parameters,
        changed_parameters=changed_parameters(scoring),
        prompts=scoring.prompts or None,
        null_draws=scoring.null_draws,
        seed=scoring.seed,
        kept_concepts=kept,
    )
    concept_ids = np.array([*basis.concept_ids, -1], dtype=np.int32)  # the last one stands for none
    with warehouse.transaction():
        scoring_id = scorings.insert_scoring(warehouse, row)
        if labels.matrix is not None:
            # a unit that goes with no concept has no best ones
            has_label = labels.terms[:, 0] >= 0
            labelled_units = [unit for unit, is_labelled in zip(live, has_label, strict=True) if is_labelled]
            columns, scores = concept_ids[:-1], torch.from_numpy(labels.matrix[has_label])
            if kept < concepts:
                best = scores.topk(kept, dim=1)
                columns, scores = concept_ids[best.indices.numpy()], best.values
            scorings.insert_matrix(warehouse, scoring_id, labelled_units, columns, scores.numpy())
        if (met := intersection_rows(live, labels, concept_ids)) is not None:
            scorings.insert_intersections(warehouse, scoring_id, met)
        rows = label_rows(layer.units, live, labels, concept_ids)
        scorings.insert_labels(warehouse, scoring_id, rows, term_rows(live, labels, concept_ids))
        if labels.fidelity is not None:
            judgement = Judgement(
                scoring_id, basis.inputs.probe_id, basis.inputs.encoder_id, images, basis.inputs.kept_together
            )
            scorings.insert_judgement(warehouse, judgement, fidelity_rows(live, labels.fidelity))
