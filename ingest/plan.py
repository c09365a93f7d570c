"""A recipe to a plan: every name resolved and every input checked before the first image is decoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from torch import nn

from neuronlake.ingest.concepts.concept_sets import ConceptSet, image_label_concepts, load_concepts, mask_concepts
from neuronlake.ingest.devices import batch_size_for, resolve_device
from neuronlake.ingest.encoders.loading import load_encoder
from neuronlake.ingest.encoders.protocol import Encoder
from neuronlake.ingest.encoders.variants import variant_of
from neuronlake.ingest.labelers.base import Need
from neuronlake.ingest.labelers.registry import has_embeddings, labeler_of, resolve_scoring
from neuronlake.ingest.labelers.settings import Scoring
from neuronlake.ingest.layers.choosing import choose_layers
from neuronlake.ingest.layers.compiled import CompiledPasses
from neuronlake.ingest.layers.directions import Directions, load_directions
from neuronlake.ingest.layers.planned import PlannedLayer
from neuronlake.ingest.machines.feeding.jpegs import require_decoder
from neuronlake.ingest.machines.loaded import LoadedNetworks
from neuronlake.ingest.networks.errors import ModelError
from neuronlake.ingest.networks.models import Model, load_model, name_of
from neuronlake.ingest.networks.preprocessing import decoded_by
from neuronlake.ingest.probes.probe import Probe, check_probes, load_probe
from neuronlake.ingest.recipe import Recipe, RecipeError
from neuronlake.sql.words import Progress, no_progress


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
        return self.networks.models

    @cached_property
    def networks(self) -> LoadedNetworks:
        """What images are shown to."""
        load = partial(load_networks, self.recipe, no_progress, has_encoder=self.encoder is not None)
        return LoadedNetworks(self.layers, self.encoder, load, CompiledPasses() if self.recipe.compile else None)


def make_plan(recipe: Recipe, progress: Progress) -> Plan:
    """Resolve and check everything; nothing is written.

    The cheapest checks come first, so that a typing error shows at once.

    Raises:
        NeuronlakeError: something is wrong; the message says what and what to do.
    """
    device = resolve_device(recipe.device)
    if recipe.engine == "local":
        # a cluster's workers have devices of their own
        require_decoder(recipe.decoder, device)
    scoring = resolve_scoring(
        recipe.method, recipe.parameters, recipe.prompts, recipe.null_draws, recipe.seed, recipe.keep_concepts
    )
    if not recipe.models or not (recipe.layers or recipe.directions):
        raise RecipeError("name at least one --model and one layer with --layers")
    if not recipe.probes:
        raise RecipeError("name at least one --probe")
    check_probes(recipe.probes)
    _require_use_of_masks(recipe, scoring)
    is_embedded = has_embeddings(scoring)
    concept_set = load_concepts(recipe.concepts) if is_embedded else None
    layers, encoder = load_networks(recipe, progress, has_encoder=is_embedded)
    probe = load_probe(
        *recipe.probes,
        limit=recipe.limit,
        seed=recipe.seed,
        max_failures=recipe.max_failures,
        masks=recipe.masks,
        mask_labels=recipe.mask_labels,
        mask_categories=recipe.mask_categories,
        with_masks=Need.MASKS in labeler_of(scoring).needs,
        progress=lambda done, total: progress("Reading probe", done, total),
    )
    return Plan(
        recipe=recipe,
        device=device,
        batch_size=recipe.batch_size or batch_size_for(device),
        layers=tuple(layers),
        probe=probe,
        encoder=encoder,
        concept_set=concept_set or _concepts_of(probe, scoring),
        scoring=scoring,
    )


def _require_use_of_masks(recipe: Recipe, scoring: Scoring) -> None:
    """Refuse masks that nobody would look at, and concepts beside masks.

    Raises:
        RecipeError: they are given with a method that has no use for them.
    """
    if Need.MASKS in labeler_of(scoring).needs:
        if recipe.concepts:
            told = "those of the masks, or what the images are labelled with"
            raise RecipeError(f"the concepts of {scoring.method} are {told}; leave out --concepts")
        return
    given = [name for name in ("masks", "mask_labels", "mask_categories") if getattr(recipe, name)]
    if given:
        option = f"--{given[0].replace('_', '-')}"
        raise RecipeError(f"{scoring.method} looks at no masks; leave out {option}, or add --method network_dissection")


def _concepts_of(probe: Probe, scoring: Scoring) -> ConceptSet:
    """What the masks of a probe show, or else what its images are labelled with."""
    if probe.masks:
        return mask_concepts(probe.masks.part, probe.masks.concepts, probe.masks.fingerprint)
    otherwise = ", or give masks with --masks" if Need.MASKS in labeler_of(scoring).needs else ""
    return image_label_concepts(probe.name, (image.label for image in probe.images), otherwise)


def load_models(recipe: Recipe) -> Iterator[Model]:
    """The models of a recipe, each once; names are checked at once, networks are loaded as they are asked for.

    Raises:
        ModelError: two have one name, weights are for none of them, or one cannot be had.
        WeightsError: weights cannot be had or do not fit.
    """
    wanted = list(dict.fromkeys(recipe.models))
    names = [name_of(model) for model in wanted]
    for name in names:
        if names.count(name) > 1:
            raise ModelError(f"two of the models are called {name}; name them apart, as in --model other=SPEC")
    for name in recipe.weights:
        if name not in names and name not in wanted:
            raise ModelError(f"--weights names {name!r}, which is not among the models: {', '.join(names)}")
    return (_load(recipe, model, name) for model, name in zip(wanted, names, strict=True))


def _load(recipe: Recipe, model: str | Model, name: str) -> Model:
    """One model of a recipe."""
    if isinstance(model, Model):
        return model
    weights_file = recipe.weights.get(name, recipe.weights.get(model))
    return load_model(model, weights_file, random_weights=recipe.random_weights, trust_code=recipe.trust_code)


def looked_at(recipe: Recipe) -> Recipe:
    """The recipe with networks in memory told by what they are now; a cluster's workers then take them as told.

    Raises:
        UntellableError: one has got a hook that cannot be told from another.
    """
    models = tuple(model.as_it_is() if isinstance(model, Model) else model for model in recipe.models)
    return replace(recipe, models=models)


def lent_modules(recipe: Recipe) -> list[nn.Module]:
    """The networks that a user has in memory, and goes on to use."""
    return [model.module for model in recipe.models if isinstance(model, Model)]


def load_networks(
    recipe: Recipe, progress: Progress, *, has_encoder: bool
) -> tuple[list[PlannedLayer], Encoder | None]:
    """The recipe's layers, with their models loaded, and its encoder where embeddings are looked at.

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
        wanted = list(dict.fromkeys(recipe.layers))
        model = replace(model, preprocessing=decoded_by(model.preprocessing, recipe.decoder))  # noqa: PLW2901
        layers += choose_layers(model, wanted, recipe.pooling, directions, recipe.precision)
    for layer in layers:
        _require_new(layer.fingerprint, f"{layer.stored_name} of {layer.model.name}", known, "directions")
    progress("Loading models", count, count + 1)
    encoder = None
    if has_encoder:
        encoder = load_encoder(recipe.encoder, trust_code=recipe.trust_code)
        encoder = variant_of(encoder, recipe.precision, recipe.decoder)
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
