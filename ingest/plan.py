"""A recipe to a plan: every name resolved and every input checked before the first image is decoded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch

from neuronlake import NeuronlakeError
from neuronlake.ingest.concepts import ConceptSet, load_concepts
from neuronlake.ingest.encoders import Encoder, load_encoder
from neuronlake.ingest.extract import POOLINGS, inspect_layers
from neuronlake.ingest.models import Model, load_model
from neuronlake.ingest.probes import Probe, load_probe
from neuronlake.ingest.recipe import Recipe
from neuronlake.ingest.scoring_settings import Scoring, resolve_scoring

Progress = Callable[[str, int, int], None]

_BATCH_SIZES = {"cpu": 16, "cuda": 256, "mps": 64}


class RecipeError(NeuronlakeError):
    """A setting of the run makes no sense."""


@dataclass(frozen=True)
class PlannedLayer:
    """One layer of one model, and how it is read."""

    model: Model
    name: str
    position: int
    units: int
    receptive_field: float | None
    pooling: str

    @property
    def stored_name(self) -> str:
        """Its name in the warehouse; mean pooling goes without saying."""
        return self.name if self.pooling == "mean" else f"{self.name}:{self.pooling}"

    @property
    def fingerprint(self) -> str:
        """sha256 over the model's fingerprint, the layer and the pooling."""
        return _digest(self.model.fingerprint, self.name, self.pooling, "float32")


@dataclass(frozen=True)
class Plan:
    """What a run will do, resolved."""

    recipe: Recipe
    device: torch.device
    batch_size: int
    layers: tuple[PlannedLayer, ...]
    probe: Probe
    encoder: Encoder
    concept_set: ConceptSet
    scoring: Scoring

    @property
    def models(self) -> list[Model]:
        """The models, each once."""
        return list({layer.model.name: layer.model for layer in self.layers}.values())


def _digest(*parts: object) -> str:
    """sha256 over parts that have a faithful repr."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def make_plan(recipe: Recipe, progress: Progress) -> Plan:
    """Resolve and check everything; nothing is written.

    The cheapest checks come first, so that a typing error shows at once.

    Raises:
        NeuronlakeError: something is wrong; the message says what and what to do.
    """
    device = resolve_device(recipe.device)
    scoring = resolve_scoring(
        recipe.method, recipe.parameters, recipe.prompt, recipe.null_draws, recipe.seed, recipe.keep_concepts
    )
    if recipe.pooling not in POOLINGS:
        raise RecipeError(f"there is no pooling {recipe.pooling!r}; choose {' or '.join(POOLINGS)}")
    if not recipe.models or not recipe.layers:
        raise RecipeError("name at least one --model and one layer with --layers")
    if not recipe.probes:
        raise RecipeError("name at least one --probe")
    if recipe.limit is not None and recipe.limit < 1:
        raise RecipeError(f"--limit must be 1 or more, not {recipe.limit}")
    if recipe.max_failures is not None and recipe.max_failures < 0:
        raise RecipeError(f"--max-failures must be 0 or more, not {recipe.max_failures}")
    for name in recipe.weights:
        if name not in recipe.models:
            raise RecipeError(f"--weights names {name!r}, which is not among the models: {', '.join(recipe.models)}")
    concept_set = load_concepts(recipe.concepts)
    layers: list[PlannedLayer] = []
    names = list(dict.fromkeys(recipe.models))
    for done, name in enumerate(names):
        progress("Loading models", done, len(names) + 1)
        model = load_model(name, recipe.weights.get(name), random_weights=recipe.random_weights)
        shapes = inspect_layers(model, list(dict.fromkeys(recipe.layers)))
        layers += [PlannedLayer(model, s.name, s.position, s.units, s.receptive_field, recipe.pooling) for s in shapes]
    progress("Loading models", len(names), len(names) + 1)
    encoder = load_encoder(recipe.encoder)
    progress("Loading models", len(names) + 1, len(names) + 1)
    probe = load_probe(
        *recipe.probes,
        limit=recipe.limit,
        seed=recipe.seed,
        max_failures=recipe.max_failures,
        progress=lambda done, total: progress("Reading probe", done, total),
    )
    return Plan(
        recipe=recipe,
        device=device,
        batch_size=recipe.batch_size or _BATCH_SIZES.get(device.type, 32),
        layers=tuple(layers),
        probe=probe,
        encoder=encoder,
        concept_set=concept_set,
        scoring=scoring,
    )


def resolve_device(name: str) -> torch.device:
    """The device of that name; ``auto`` is the best there is.

    Raises:
        RecipeError: this machine has no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise RecipeError(f"device {name!r} cannot be used on this machine; choose auto, cpu, cuda or mps") from error
    return device
