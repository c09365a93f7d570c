"""The scorings of a layer, and from the warehouse what they were made from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from neuronlake import NeuronlakeError
from neuronlake.ingest.labelers import similarity
from neuronlake.ingest.labelers.similarity import Cosines
from neuronlake.sql import hints
from neuronlake.sql.settings import chosen_setting
from neuronlake.sql.store import features
from neuronlake.sql.warehouse import Warehouse
from neuronlake.sql.words import did_you_mean


class EvaluationError(NeuronlakeError):
    """There is nothing to evaluate, or nothing to evaluate it against."""


@dataclass(frozen=True)
class LayerScoring:
    """A scoring of a layer; a row of the step `scorings_of_layer`.

    Attributes:
        shown_method: with the parameters that differ from its defaults.
        method: name of the function.
        parameters: as JSON.
        prompts: None without an encoder.
        probe_id: whose images it was made from; of imported labels those by which they were judged, if they were.
        encoder_id: in the same way; None without one.
        has_matrix: whether the scores of all concepts are stored.
        has_activations: whether those of the probe's images are.
    """

    scoring: int
    setting: int
    shown_method: str
    method: str
    labeler: str
    parameters: str
    prompts: list[str] | None
    layer_id: int
    concept_set_id: int
    concept_set: str
    probe_id: int
    probe: str
    encoder_id: int | None
    has_matrix: bool
    has_activations: bool

    @property
    def is_imported(self) -> bool:
        """Whether another tool made the labels, so that of its concepts only those are known."""
        return self.labeler == "imported"

    @property
    def scores_every_concept(self) -> bool:
        """Whether its method can be asked again for a score of each unit and concept."""
        return self.has_activations and not self.is_imported and self.method in similarity.METHODS


@dataclass(frozen=True)
class Scored:
    """What a scoring was made from, on the device.

    Attributes:
        cosines: of images and concepts.
        activations: (images, live units) float32.
        live: numbers of the live units.
        concepts: texts, in the order of the concept set.
        method: a name in `similarity.METHODS`.
        parameters: all of the method's.
    """

    cosines: Cosines
    activations: Tensor
    live: list[int]
    concepts: tuple[str, ...]
    method: str
    parameters: dict[str, int | float]

    @cached_property
    def scores(self) -> Tensor:
        """The unit-by-concept matrix, (live units, concepts) float32 on the CPU."""
        method = similarity.METHODS[self.method]
        return method(self.cosines, similarity.in_range(self.activations), **self.parameters).cpu()


def scorings_of(warehouse: Warehouse, model: str, layer: str, setting: int | str | None) -> list[LayerScoring]:
    """The scorings of a layer under all settings, or one.

    Raises:
        SettingError: there is no such setting.
        EvaluationError: the layer has no scoring, or none under it.
    """
    rows = warehouse.step("scorings_of_layer", model=model, layer=layer).pl()
    found = [LayerScoring(**row) for row in rows.iter_rows(named=True)]
    if not found:
        known = warehouse.sql("select distinct model, layer from scorings order by all").fetchall()
        status = f"`{hints.command('cli status', warehouse.path)}` shows what it has"
        hint = did_you_mean(f"{model} {layer}", [f"{name} {of_layer}" for name, of_layer in known], then=status)
        raise EvaluationError(f"{warehouse.path} has no labels of {model} {layer}; {hint}")
    if setting is None:
        return found
    number = chosen_setting(warehouse, setting).number
    chosen = [scoring for scoring in found if scoring.setting == number]
    if not chosen:
        has = ", ".join(str(scoring.setting) for scoring in found)
        raise EvaluationError(f"{model} {layer} has no setting {setting}; it has {has}")
    return chosen


def scored_anew(scorings: list[LayerScoring], layer: str) -> list[LayerScoring]:
    """Those whose labels can be made again, from some of the images.

    Args:
        scorings: of one layer.
        layer: its name with that of its model.

    Raises:
        EvaluationError: there are none.
    """
    found = [scoring for scoring in scorings if scoring.scores_every_concept]
    if found:
        return found
    made_here = sorted({scoring.method for scoring in scorings if not scoring.is_imported and scoring.has_activations})
    if not made_here:
        raise EvaluationError(
            f"the labels of {layer} were imported without activations to evaluate them by; give true names with --truth"
        )
    raise EvaluationError(
        f"the labels of {layer} are of {', '.join(made_here)}, which scores no other concepts to compare them with; "
        "how well they predict images that did not choose them is held_out_correlation of unit_labels; give true names "
        f"with --truth, or score the layer with one of {', '.join(similarity.METHODS)} first"
    )


def read_scored(warehouse: Warehouse, scoring: LayerScoring, device: torch.device) -> Scored:
    """What a scoring was made from."""
    assert scoring.encoder_id is not None
    image_ids, images = features.image_features(warehouse, scoring.encoder_id, scoring.probe_id)
    texts = features.concept_features(warehouse, scoring.encoder_id, scoring.prompts or (), scoring.concept_set_id)
    live = features.live_units(warehouse, scoring.layer_id, scoring.probe_id)
    activations = features.activations(warehouse, scoring.layer_id, live, image_ids)
    return Scored(
        cosines=Cosines(torch.from_numpy(images).to(device), torch.from_numpy(texts).to(device)),
        activations=torch.from_numpy(activations).to(device),
        live=live,
        concepts=features.concept_texts(warehouse, scoring.concept_set_id),
        method=scoring.method,
        parameters=json.loads(scoring.parameters),
    )
