"""Layers tried on blank images: how many units they have, how often they run, and how much of an image they see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from neuronlake import NeuronlakeError
from neuronlake.ingest.layers.passes import recorded_outputs
from neuronlake.ingest.layers.planned import PlannedLayer
from neuronlake.ingest.layers.pooling import Activations
from neuronlake.ingest.layers.readings import Reading
from neuronlake.ingest.layers.spellings import LayerError
from neuronlake.ingest.networks.errors import ModelError
from neuronlake.ingest.networks.lending import evaluated
from neuronlake.ingest.networks.models import Model
from neuronlake.ingest.networks.preprocessing import Preprocessing
from neuronlake.ingest.networks.running import blank_images, device_of, run


def inspect_layers(
    model: Model, readings: Sequence[Reading], precision: str
) -> dict[str, PlannedLayer | NeuronlakeError]:
    """What a forward pass of blank images shows of each reading, or what is wrong with it, by their names.

    Raises:
        ModelError: the network fails.
    """
    wanted = list({reading.name: reading for reading in readings}.values())
    images = blank_images(model)

    def read(reading: Reading, value: object) -> Activations:
        return reading.activations(value, len(images))

    with evaluated([model.module]):
        with torch.inference_mode(), recorded_outputs(model.module, wanted, read) as seen:
            dry_run(model, images)
        outcomes = seen.outcomes
        with_maps = {
            name for name, each in outcomes.items() if isinstance(each, Activations) and each.peaks is not None
        }
        fields = _receptive_fields(model, [reading for reading in wanted if reading.name in with_maps])
    order = {name: place for place, name in enumerate(name for name, _ in model.module.named_modules() if name)}
    found: dict[str, PlannedLayer | NeuronlakeError] = {}
    for reading in wanted:
        outcome = outcomes.get(reading.name)
        if outcome is None:
            who = f"layer {reading.place.text!r} of {reading.model}"
            outcome = LayerError(f"{who} gives no output in a forward pass; name another")
        if isinstance(outcome, Activations):
            outcome = PlannedLayer(
                model=model,
                reading=replace(reading, calls=seen.calls[reading.name]),
                position=order[reading.place.module],
                units=outcome.values.shape[1],
                receptive_field=fields.get(reading.name),
                precision=precision,
            )
        found[reading.name] = outcome
    return found


def dry_run(model: Model, images: Tensor) -> None:
    """A forward pass before any image of the probe, for what hooks see of it.

    Raises:
        ModelError: the network fails, or the memory is too little for it.
    """
    try:
        run(model, images)
    except torch.OutOfMemoryError as error:
        count, _, height, width = images.shape
        raise ModelError(
            f"{model.name} runs out of memory on images of {height} x {width}, {count} at once; free some, or let it "
            "take smaller ones"
        ) from error


def _receptive_fields(model: Model, readings: Sequence[Reading]) -> dict[str, float]:
    """The side of what the middle of each layer's map sees, found by which pixels its gradient reaches.

    Left out are layers from which no gradient reaches the image, and all of a model whose transform may cut off
    anything.
    """
    preparation = model.preprocessing
    if not readings or not isinstance(preparation, Preprocessing):
        return {}
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 3, preparation.crop, preparation.crop, generator=generator)
    image = image.to(device_of(model.module)).requires_grad_()

    def middle(reading: Reading, value: object) -> Tensor:
        taken = reading.positions(value, 1)
        height, width = taken.grid or (1, 1)
        return taken.values[0, :, height // 2 * width + width // 2].sum()

    fields: dict[str, float] = {}
    with torch.enable_grad(), recorded_outputs(model.module, readings, middle) as seen:
        dry_run(model, image)
        for name, seen_from in seen.outcomes.items():
            if not isinstance(seen_from, Tensor) or not seen_from.requires_grad:
                continue
            gradient = torch.autograd.grad(
                seen_from, image, retain_graph=True, allow_unused=True, materialize_grads=True
            )[0]
            rows, columns = gradient.abs().sum(dim=(0, 1)).nonzero(as_tuple=True)
            side = max(_extent(rows), _extent(columns))
            fields[name] = min(1.0, side / preparation.crop) * preparation.crop / preparation.shorter_side
    return fields


def _extent(places: Tensor) -> int:
    """From the first place to the last; 0 of none."""
    return int(places.max() - places.min()) + 1 if len(places) else 0
