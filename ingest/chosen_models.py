"""The models that a recipe names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from torch import nn

from neuronlake.ingest.names import split_name
from neuronlake.ingest.networks.errors import ModelError
from neuronlake.ingest.networks.models import Model, load_model
from neuronlake.ingest.networks.own_networks import default_name, is_own
from neuronlake.ingest.recipe import Recipe


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
    return (_wanted(recipe, model, name) for model, name in zip(wanted, names, strict=True))


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


def _wanted(recipe: Recipe, model: str | Model, name: str) -> Model:
    """One model of a recipe."""
    if isinstance(model, Model):
        return model
    weights_file = recipe.weights.get(name, recipe.weights.get(model))
    return load_model(model, weights_file, random_weights=recipe.random_weights, trust_code=recipe.trust_code)


def name_of(model: str | Model) -> str:
    """What a model is called in the warehouse."""
    if isinstance(model, Model):
        return model.name
    given, body = split_name(model)
    return given or (default_name(body) if is_own(body) else body)
