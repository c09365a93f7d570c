"""A recipe to a plan: every name resolved and every input checked before the first image is decoded."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch

from neuronlake import NeuronlakeError
from neuronlake.ingest import similarity
from neuronlake.ingest.chosen_models import load_models
from neuronlake.ingest.concepts import ConceptSet, load_concepts
from neuronlake.ingest.directions import Directions, load_directions
from neuronlake.ingest.encoders import Encoder, load_encoder
from neuronlake.ingest.layers import choose_layers
from neuronlake.ingest.models import Model
from neuronlake.ingest.pooling import POOLINGS
from neuronlake.ingest.probes import Probe, load_probe
from neuronlake.ingest.readings import Reading
from neuronlake.ingest.recipe import Recipe

Progress = Callable[[str, int, int], None]

_BATCH_SIZES = {"cpu": 16, "cuda": 256, "mps": 64}


class RecipeError(NeuronlakeError):
    """A setting of the run makes no sense."""


@dataclass(frozen=True)
class PlannedLayer:
    """One layer of one model, and how it is read."""

    model: Model
    reading: Reading
    position: int
    units: int
    receptive_field: float | None
    calls: int = 1

    @property
    def name(self) -> str:
        """Its name, apart from the pooling."""
        return self.reading.name

    @property
    def pooling(self) -> str:
        """How its output becomes one number for each image and unit."""
        return self.reading.pooling

    @property
    def stored_name(self) -> str:
        """Its name in the warehouse; mean pooling goes without saying."""
        return self.name if self.pooling == "mean" else f"{self.name}:{self.pooling}"

    @property
    def fingerprint(self) -> str:
        """sha256 over the model's fingerprint, the layer, the pooling, and the directions if there are any."""
        onto = [self.reading.directions.fingerprint] if self.reading.directions else []
        return _digest(self.model.fingerprint, self.reading.place.text, self.pooling, "float32", *onto)


@dataclass(frozen=True)
class Scoring:
    """How labels are made, apart from the layer."""

    method: str
    parameters: dict[str, int | float]
    prompt: str
    null_draws: int
    seed: int
    keep_concepts: int | None

    @property
    def display(self) -> str:
        """The method, with the parameters that differ from its defaults."""
        defaults = similarity.default_parameters(self.method)
        changed = [f"{name}={value:g}" for name, value in self.parameters.items() if value != defaults[name]]
        return f"{self.method}({', '.join(changed)})" if changed else self.method


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


def scoring_fingerprint(layer: PlannedLayer, plan: Plan) -> str:
    """Identity of one scoring of one layer: of all that its numbers depend on."""
    return _digest(
        layer.fingerprint,
        plan.probe.fingerprint,
        plan.encoder.fingerprint,
        plan.concept_set.fingerprint,
        plan.scoring,
    )


def make_plan(recipe: Recipe, progress: Progress) -> Plan:
    """Resolve and check everything; nothing is written.

    The cheapest checks come first, so that a typing error shows at once.

    Raises:
        NeuronlakeError: something is wrong; the message says what and what to do.
    """
    device = resolve_device(recipe.device)
    scoring = _resolve_scoring(recipe)
    if recipe.pooling not in POOLINGS:
        raise RecipeError(f"there is no pooling {recipe.pooling!r}; choose {' or '.join(POOLINGS)}")
    if not recipe.models or not (recipe.layers or recipe.directions):
        raise RecipeError("name at least one --model and one layer with --layers")
    models = load_models(recipe)
    concept_set = load_concepts(recipe.concepts)
    directions: dict[str, list[Directions]] = {}
    for layer, spec in dict.fromkeys(recipe.directions):
        directions.setdefault(layer, []).append(load_directions(spec, trust_pickle=recipe.trust_pickle))
    layers: list[PlannedLayer] = []
    names = list(dict.fromkeys(recipe.models))
    for done, model in enumerate(models):
        progress("Loading models", done, len(names) + 1)
        shapes = choose_layers(model, list(dict.fromkeys(recipe.layers)), recipe.pooling, directions)
        layers += [PlannedLayer(model, s.reading, s.position, s.units, s.receptive_field, s.calls) for s in shapes]
    progress("Loading models", len(names), len(names) + 1)
    encoder = load_encoder(recipe.encoder)
    progress("Loading models", len(names) + 1, len(names) + 1)
    probe = load_probe(recipe.probe, lambda done, total: progress("Reading probe", done, total))
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


def _resolve_scoring(recipe: Recipe) -> Scoring:
    """Check method, parameters and prompt."""
    if recipe.method not in similarity.METHODS:
        near = difflib.get_close_matches(recipe.method, similarity.METHODS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise RecipeError(f"there is no method {recipe.method!r}; {hint}choose from {', '.join(similarity.METHODS)}")
    defaults = similarity.default_parameters(recipe.method)
    for name, value in recipe.parameters.items():
        if name not in defaults:
            raise RecipeError(f"{recipe.method} has no parameter {name!r}; it has {', '.join(defaults) or 'none'}")
        if isinstance(defaults[name], int) and (value != int(value) or value < 1):
            raise RecipeError(f"parameter {name} must be a whole number above 0, not {value:g}")
    if "{}" not in recipe.prompt:
        raise RecipeError(f"the prompt {recipe.prompt!r} has no place for the concept; put {{}} where it goes")
    if recipe.keep_concepts is not None and recipe.keep_concepts < 2:
        raise RecipeError("--keep-concepts must be at least 2: the label and its runner-up")
    given = {name: type(defaults[name])(value) for name, value in recipe.parameters.items()}
    return Scoring(
        method=recipe.method,
        parameters={**defaults, **given},
        prompt=recipe.prompt,
        null_draws=recipe.null_draws,
        seed=recipe.seed,
        keep_concepts=recipe.keep_concepts,
    )
