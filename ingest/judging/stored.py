"""Labels that are in the warehouse already, judged from what is stored with them; no image is looked at."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import torch

from neuronlake import NeuronlakeError
from neuronlake.ingest.encoders.loading import encoder_of_row
from neuronlake.ingest.encoders.prompts import embed_texts
from neuronlake.ingest.judging.judge import Judge, judged
from neuronlake.ingest.labelers.base import Label, LabelledLayer, LayerActivations, Shared
from neuronlake.ingest.labelers.labelling import Inputs, image_folds, layer_activations, shared_inputs
from neuronlake.ingest.labelers.registry import METHODS
from neuronlake.ingest.labelers.rows import fidelity_rows, stored_labels
from neuronlake.ingest.labelers.settings import Scoring
from neuronlake.sql.store import concepts, encoders, features, scorings
from neuronlake.sql.store.features import StoredLayer
from neuronlake.sql.store.scorings import Judgement
from neuronlake.sql.warehouse import Warehouse
from neuronlake.sql.words import Progress

_PLAIN = ("{}",)
Row = dict[str, Any]


@dataclass(frozen=True)
class _Group:
    """Scorings that are judged with the same things.

    Attributes:
        judge: of their labels.
        inputs: what their layers share.
        scoring: how the labels were made; None for those of another tool.
        image_ids: of the images that judge, ascending.
        shared: what is known of them and of the concepts.
        places: of each concept in it, by its number.
    """

    judge: Judge
    inputs: Inputs
    scoring: Scoring | None
    image_ids: np.ndarray
    shared: Shared
    places: dict[int, int]


def judge_stored(
    warehouse: Warehouse,
    rows: Sequence[Row],
    label: Label,
    progress: Progress,
    *,
    trust_code: bool = False,
) -> tuple[int, tuple[str, ...]]:
    """Judge the labels of scorings; each is one transaction.

    Labels of another tool are judged by their concepts' cosines where the encoder has embedded these or can be had;
    they were chosen by none of the images, so all of these are held out.

    Args:
        warehouse: open for writing.
        rows: of `scorings.unjudged`, which have images to be judged by.
        label: the machine's.
        progress: called with a stage, the number done and the total.
        trust_code: run code that only the warehouse names, to have an encoder.

    Returns:
        How many were judged, and a line for what could not be.
    """
    notes: list[str] = []
    done = judged_rows = 0
    progress("Judging labels", done, len(rows))
    for _, of_group in groupby(rows, key=_shared_key):
        alike = list(of_group)
        group = _group(warehouse, alike, notes, trust_code=trust_code)
        if group is None:
            done += len(alike)
            continue
        labelled_layers = label(group.judge, group.shared, _layers(warehouse, alike, group))
        for row, labelled in zip(alike, labelled_layers, strict=True):
            _write(warehouse, row, labelled, len(group.image_ids))
            done, judged_rows = done + 1, judged_rows + 1
            progress("Judging labels", done, len(rows))
    return judged_rows, tuple(dict.fromkeys(notes))


def _group(warehouse: Warehouse, rows: Sequence[Row], notes: list[str], *, trust_code: bool) -> _Group | None:
    """What alike scorings are judged with; None where nothing would come of it, with a note."""
    if rows[0]["is_imported"]:
        return _imported(warehouse, rows, notes, trust_code=trust_code)
    if (method := rows[0]["method"]) not in METHODS:
        notes.append(f"labels of {method} are not judged, since this version has no such method")
        return None
    return _computed(warehouse, rows[0])


def _write(warehouse: Warehouse, row: Row, labelled: LabelledLayer, images: int) -> None:
    """What was found out of one scoring."""
    fidelity = labelled.labels.fidelity
    assert fidelity is not None
    kept = None if row["is_imported"] else row["kept_together"]
    judgement = Judgement(row["scoring_id"], row["probe_id"], row["encoder_id"], images, kept)
    with warehouse.transaction():
        scorings.insert_judgement(warehouse, judgement, fidelity_rows(labelled.live, fidelity))


def _shared_key(row: Row) -> tuple[object, ...]:
    """What scorings have in common that are judged with the same things."""
    names = ["is_imported", "probe_id", "encoder_id", "kept_together"]
    if not row["is_imported"]:
        names += ["method", "parameters", "prompts", "null_draws", "seed"]
    return (*(str(row[name]) for name in names), row["concept_set_id"])


def _computed(warehouse: Warehouse, row: Row) -> _Group:
    """What a scoring of ours was made from."""
    scoring = Scoring(
        method=row["method"],
        parameters=json.loads(row["parameters"]),
        prompts=tuple(row["prompts"] or ()),
        null_draws=row["null_draws"],
        seed=row["seed"],
        keep_concepts=None,
    )
    inputs = Inputs(row["probe_id"], row["encoder_id"], row["concept_set_id"], row["kept_together"])
    image_ids, shared = shared_inputs(warehouse, inputs, scoring)
    _, numbers = concepts.stored_set(warehouse, inputs.concept_set_id)
    places = {number: place for place, number in enumerate(numbers)}
    return _Group(judged(scoring, warehouse.path.parent), inputs, scoring, image_ids, shared, places)


def _imported(warehouse: Warehouse, rows: Sequence[Row], notes: list[str], *, trust_code: bool) -> _Group | None:
    """The newest images and embeddings of the layers, and embeddings of the labels' concepts.

    None where no concept can be embedded, or no more than when the labels were judged so before.
    """
    row = rows[0]
    terms = [scorings.label_terms(warehouse, each["scoring_id"]) for each in rows]
    numbers: list[int] = sorted({number for frame in terms for number in frame["concept_id"].to_list()})
    missing = features.concepts_without_features(warehouse, row["encoder_id"], _PLAIN, numbers)
    if missing:
        try:
            _embed(warehouse, row, missing, trust_code=trust_code)
        except NeuronlakeError as error:
            which = f"imported labels of {len(missing)} concepts"
            notes.append(f"{which} have no fidelity, since these cannot be embedded: {error}")
            if all(each["was_judged"] for each in rows):
                return None
    known, vectors = features.embedded_concepts(warehouse, row["encoder_id"], _PLAIN, numbers)
    if not known:
        return None
    image_ids, images = features.image_features(warehouse, row["encoder_id"], row["probe_id"])
    shared = Shared(
        tuple(map(str, known)),
        torch.from_numpy(images),
        torch.from_numpy(vectors),
        folds=image_folds(warehouse, image_ids, row["kept_together"]),
    )
    places = {number: place for place, number in enumerate(known)}
    inputs = Inputs(row["probe_id"], row["encoder_id"], row["concept_set_id"], row["kept_together"])
    return _Group(Judge(None, None, 0, 0, warehouse.path.parent), inputs, None, image_ids, shared, places)


def _embed(warehouse: Warehouse, row: Row, missing: dict[int, str], *, trust_code: bool) -> None:
    """Embed concepts with the encoder that embedded the images."""
    vectors = embed_texts(encoder_of_row(row, trust_code=trust_code), _PLAIN, list(missing.values()))
    found = {number: place for place, number in enumerate(missing) if vectors[place].norm() > 0}
    encoders.insert_concept_embeddings(
        warehouse, row["encoder_id"], _PLAIN, list(found), vectors[list(found.values())].numpy()
    )


def _layers(warehouse: Warehouse, rows: Sequence[Row], group: _Group) -> Iterator[LayerActivations]:
    """Each scoring's layer with its labels."""
    layers = [StoredLayer(row["layer_id"], row["units"], row["layer_fingerprint"]) for row in rows]
    activations = layer_activations(warehouse, layers, group.inputs, group.scoring, group.image_ids)
    for row, read in zip(rows, activations, strict=True):
        terms = scorings.label_terms(warehouse, row["scoring_id"])
        yield replace(read, labels=stored_labels(read.live, terms, group.places))
