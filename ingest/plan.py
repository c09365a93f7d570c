"""A recipe to a plan: every name resolved and every input checked before the first image is decoded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from neuronlake.ingest.chosen_models import load_models
from neuronlake.ingest.concepts.concept_sets import ConceptSet, image_label_concepts, load_concepts
from neuronlake.ingest.encoders.loading import load_encoder
from neuronlake.ingest.encoders.precision import PRECISIONS, in_precision
from neuronlake.ingest.encoders.protocol import Encoder
from neuronlake.ingest.labelers.base import Need
from neuronlake.ingest.labelers.registry import METHODS, resolve_scoring
from neuronlake.ingest.labelers.settings import Scoring
from neuronlake.ingest.layers.choosing import choose_layers
from neuronlake.ingest.layers.directions import Directions, load_directions
from neuronlake.ingest.layers.pooling import POOLINGS
from neuronlake.ingest.layers.readings import Reading
from neuronlake.ingest.networks.models import Model
from neuronlake.ingest.probes.probe import Probe, check_probes, load_probe
from neuronlake.ingest.recipe import Recipe
from neuronlake.ingest.settings import RecipeError

Progress = Callable[[str, int, int], None]

ENGINES = ("local", "ray")
_BATCH_SIZES = {"cpu": 16, "cuda": 256, "mps": 64}


@dataclass(frozen=True)
class PlannedLayer:
    """One layer of one model, and how it is read."""

    model: Model
    reading: Reading
    position: int
    units: int
    receptive_field: float | None
    calls: int = 1
    precision: str = "float32"

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
        """Its name in the warehouse; mean pooling and float32 go without saying."""
        unusual = [part for part in (self.pooling, self.precision) if part not in ("mean", "float32")]
        return ":".join([self.name, *unusual])

    @property
    def fingerprint(self) -> str:
        """sha256 over the model's fingerprint, the layer, the pooling, and the directions if there are any."""
        onto = [self.reading.directions.fingerprint] if self.reading.directions else []
        return _digest(self.model.fingerprint, self.reading.place.text, self.pooling, self.precision, *onto)


@dataclass(frozen=True)
class Plan:
    """What a run will do, resolved."""

    recipe: Recipe
    device: torch.device
    batch_size: int
    layers: tuple[PlannedLayer, ...]
    probe: Probe
    encoder: Encoder | None
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
        recipe.method, recipe.parameters, recipe.prompts, recipe.null_draws, recipe.seed, recipe.keep_concepts
    )
    if recipe.pooling not in POOLINGS:
        raise RecipeError(f"there is no pooling {recipe.pooling!r}; choose {' or '.join(POOLINGS)}")
    if recipe.precision not in PRECISIONS:
        raise RecipeError(f"there is no precision {recipe.precision!r}; choose {' or '.join(PRECISIONS)}")
    if not recipe.models or not (recipe.layers or recipe.directions):
        raise RecipeError("name at least one --model and one layer with --layers")
    if not recipe.probes:
        raise RecipeError("name at least one --probe")
    if recipe.limit is not None and recipe.limit < 1:
        raise RecipeError(f"--limit must be 1 or more, not {recipe.limit}")
    if recipe.max_failures is not None and recipe.max_failures < 0:
        raise RecipeError(f"--max-failures must be 0 or more, not {recipe.max_failures}")
    check_engine(recipe.engine, recipe.workers)
    check_probes(recipe.probes)
    has_embeddings = Need.EMBEDDINGS in METHODS[scoring.method].needs
    concept_set = load_concepts(recipe.concepts) if has_embeddings else None
    layers, encoder = load_networks(recipe, progress)
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
        batch_size=recipe.batch_size or batch_size_for(device),
        layers=tuple(layers),
        probe=probe,
        encoder=encoder,
        concept_set=concept_set or image_label_concepts(probe.name, (image.label for image in probe.images)),
        scoring=scoring,
    )


def check_engine(engine: str, workers: int | None) -> None:
    """Refuse an engine that there is not, and a number of workers that could do no work.

    Raises:
        RecipeError: one of them is so.
    """
    if engine not in ENGINES:
        raise RecipeError(f"there is no engine {engine!r}; choose {' or '.join(ENGINES)}")
    if workers is not None and workers < 1:
        raise RecipeError(f"--workers must be 1 or more, not {workers}")


def load_networks(recipe: Recipe, progress: Progress) -> tuple[list[PlannedLayer], Encoder | None]:
    """The recipe's layers, with their models loaded, and the encoder where its labeler looks at embeddings.

    Raises:
        NeuronlakeError: one is unknown, or its weights cannot be had.
    """
    models = load_models(recipe)
    directions: dict[str, list[Directions]] = {}
    for layer, spec in dict.fromkeys(recipe.directions):
        directions.setdefault(layer, []).append(load_directions(spec, trust_code=recipe.trust_code))
    layers: list[PlannedLayer] = []
    known: dict[str, str] = {}
    count = len(dict.fromkeys(recipe.models))
    for done, model in enumerate(models):
        _require_new(model.fingerprint, model.name, known, "network")
        progress("Loading models", done, count + 1)
        shapes = choose_layers(model, list(dict.fromkeys(recipe.layers)), recipe.pooling, directions)
        layers += [
            PlannedLayer(
                model,
                replace(s.reading, calls=s.calls),
                s.position,
                s.units,
                s.receptive_field,
                s.calls,
                recipe.precision,
            )
            for s in shapes
        ]
    for layer in layers:
        _require_new(layer.fingerprint, f"{layer.stored_name} of {layer.model.name}", known, "directions")
    progress("Loading models", count, count + 1)
    encoder = None
    if Need.EMBEDDINGS in METHODS[recipe.method].needs:
        encoder = in_precision(load_encoder(recipe.encoder, trust_code=recipe.trust_code), recipe.precision)
    progress("Loading models", count + 1, count + 1)
    return layers, encoder


def _require_new(fingerprint: str, name: str, known: dict[str, str], what: str) -> None:
    """Refuse what is in the plan already, and would be stored twice; names are kept by fingerprint in `known`.

    Raises:
        RecipeError: it is.
    """
    other = known.setdefault(fingerprint, name)
    if other != name:
        raise RecipeError(f"{other} and {name} are the same {what} under two names; give one of them")


def batch_size_for(device: torch.device) -> int:
    """How many images fill the device."""
    return _BATCH_SIZES.get(device.type, 32)


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
