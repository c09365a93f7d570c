"""The layers that names and patterns choose in a network, and a list of those that there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl
import torch

from neuronlake import NeuronlakeError
from neuronlake.ingest.layers.directions import Directions
from neuronlake.ingest.layers.heads import has_heads
from neuronlake.ingest.layers.passes import recorded_outputs
from neuronlake.ingest.layers.planned import PlannedLayer
from neuronlake.ingest.layers.pooling import Frame, count_prefix_tokens
from neuronlake.ingest.layers.readings import Reading, outline
from neuronlake.ingest.layers.spellings import LayerError, Place, is_pattern, place_of, places_of
from neuronlake.ingest.layers.trial import dry_run, inspect_layers
from neuronlake.ingest.networks.lending import evaluated
from neuronlake.ingest.networks.models import Model
from neuronlake.ingest.networks.running import blank_images


def choose_layers(
    model: Model,
    layers: Sequence[str],
    pooling: str = "mean",
    directions: Mapping[str, Sequence[Directions]] | None = None,
    precision: str = "float32",
) -> list[PlannedLayer]:
    """The layers that names and patterns mean in a model, each tried with one pass of blank images.

    In patterns ``*`` stands for anything without a dot and ``**`` for anything at all. What a pattern finds and
    has no units is left out; what is named and has none is an error.

    Args:
        model: whose layers.
        layers: names and patterns, of any of the spellings of `Place`.
        pooling: a `pooling.Pooling`.
        directions: for names of layers, what to project them onto; these come after the others.
        precision: what the network will run in; the pass of blank images is in float32.

    Raises:
        LayerError: a layer does not exist or has no units, or a pattern finds none.
        DirectionsError: directions do not fit their layer.
        ModelError: the network fails.
    """
    names = module_names(model)
    frame = frame_of(model)
    asked: dict[str, list[Reading]] = {}
    for text in layers:
        places = places_of(model.name, text, names) if is_pattern(text, names) else [place_of(model.name, text, names)]
        asked[text] = [Reading(model.name, place, frame, pooling) for place in places]
    for text, projections in (directions or {}).items():
        place = place_of(model.name, text, names)
        for reading in (Reading(model.name, place, frame, pooling, onto) for onto in projections):
            if reading.name in asked:
                raise LayerError(
                    f"two directions of {text} are called {reading.name}; name one: --directions {text}=NAME=FILE"
                )
            asked[reading.name] = [reading]
    outcomes = inspect_layers(model, [reading for readings in asked.values() for reading in readings], precision)
    chosen: dict[str, PlannedLayer] = {}
    for text, readings in asked.items():
        found = {reading.name: outcomes[reading.name] for reading in readings}
        tried = {name: outcome for name, outcome in found.items() if isinstance(outcome, PlannedLayer)}
        if not is_pattern(text, names):
            for outcome in found.values():
                if isinstance(outcome, NeuronlakeError):
                    raise outcome
        elif not tried:
            raise LayerError(f"{text!r} finds {len(found)} layers of {model.name}, none of which has units")
        chosen |= tried
    return list(chosen.values())


def module_names(model: Model) -> list[str]:
    """All submodules, as layers are named."""
    return [name for name, _ in model.module.named_modules() if name]


def frame_of(model: Model) -> Frame:
    """By which a model's outputs are read."""
    preparation = model.preprocessing
    return Frame(preparation.height, preparation.width, count_prefix_tokens(model.module))


def list_layers(model: Model) -> pl.DataFrame:
    """What can be named as a layer: each module that runs, in the network's order, and attention modules' heads.

    Returns:
        layer, type, units (null where the output is no tensor that has some), output (the shape for one image, or
        what it is instead) and calls in one pass.

    Raises:
        ModelError: the network fails.
    """
    modules = dict(model.module.named_modules())
    places = [Place(name, name) for name in module_names(model)]
    places += [
        Place(f"{name}:heads", name, is_heads=True) for name, part in modules.items() if name and has_heads(part)
    ]
    readings = [Reading(model.name, place, frame_of(model)) for place in places]
    images = blank_images(model)

    def read(reading: Reading, value: object) -> tuple[int | None, str]:
        try:
            units = reading.activations(value, len(images)).values.shape[1]
        except NeuronlakeError:
            units = None
        return units, outline(value)

    with evaluated([model.module]), torch.inference_mode(), recorded_outputs(model.module, readings, read) as seen:
        dry_run(model, images)
    kinds = {name: getattr(part, "original_name", type(part).__name__) for name, part in modules.items()}
    order = {name: place for place, name in enumerate(modules)}
    rows = [
        (place.text, kinds[place.module], *outcome, seen.calls[place.text])
        for place in sorted(places, key=lambda place: (order[place.module], place.is_heads))
        if isinstance(outcome := seen.outcomes.get(place.text), tuple)
    ]
    return pl.DataFrame(
        rows,
        schema={"layer": pl.String, "type": pl.String, "units": pl.Int64, "output": pl.String, "calls": pl.Int64},
        orient="row",
    )
