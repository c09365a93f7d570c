"""Layers: named, found by patterns, and tried with one forward pass."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import polars as pl
import torch
from torch import Tensor, nn

from neuronlake import NeuronlakeError
from neuronlake.ingest.layers.directions import Directions
from neuronlake.ingest.layers.heads import has_heads
from neuronlake.ingest.layers.planned import PlannedLayer
from neuronlake.ingest.layers.pooling import Frame, count_prefix_tokens
from neuronlake.ingest.layers.readings import LayerError, Place, Reading, outline, recorded_outputs, run
from neuronlake.ingest.networks.blueprints import ModelError
from neuronlake.ingest.networks.lending import evaluated
from neuronlake.ingest.networks.models import Model
from neuronlake.ingest.networks.preprocessing import Preprocessing
from neuronlake.sql.words import did_you_mean

_SPELLING = re.compile(r"(?P<module>[^\[\]:]+)(?P<side>:input|:heads)?(?P<elements>(\[[^\[\]]+\])*)")
_DRY_IMAGES = 2


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
        places = _matches(model.name, text, names) if _is_pattern(text, names) else [place_of(model.name, text, names)]
        asked[text] = [Reading(model.name, place, frame, pooling) for place in places]
    for text, projections in (directions or {}).items():
        place = place_of(model.name, text, names)
        for reading in (Reading(model.name, place, frame, pooling, onto) for onto in projections):
            if reading.name in asked:
                raise LayerError(
                    f"two directions of {text} are called {reading.name}; name one: --directions {text}=NAME=FILE"
                )
            asked[reading.name] = [reading]
    outcomes = _inspected(model, [reading for readings in asked.values() for reading in readings], precision)
    chosen: dict[str, PlannedLayer] = {}
    for text, readings in asked.items():
        found = {reading.name: outcomes[reading.name] for reading in readings}
        tried = {name: outcome for name, outcome in found.items() if isinstance(outcome, PlannedLayer)}
        if not _is_pattern(text, names):
            for outcome in found.values():
                if isinstance(outcome, NeuronlakeError):
                    raise outcome
        elif not tried:
            raise LayerError(f"{text!r} finds {len(found)} layers of {model.name}, none of which has units")
        chosen |= tried
    return list(chosen.values())


def _is_pattern(text: str, names: Sequence[str]) -> bool:
    """Whether a layer's spelling stands for several."""
    return text not in names and re.search(r"[*?]", text) is not None


def module_names(model: Model) -> list[str]:
    """All submodules, as layers are named."""
    return [name for name, _ in model.module.named_modules() if name]


def frame_of(model: Model) -> Frame:
    """By which a model's outputs are read."""
    preparation = model.preprocessing
    return Frame(preparation.height, preparation.width, count_prefix_tokens(model.module))


def place_of(model: str, text: str, names: Sequence[str]) -> Place:
    """What a layer's spelling means.

    Raises:
        LayerError: it is no spelling of a layer, or there is no such module.
    """
    if text in names:
        return Place(text, text)
    match = _SPELLING.fullmatch(text)
    if match is None:
        raise LayerError(
            f"{text!r} is no layer; write NAME, NAME:input, NAME:heads, or NAME[0] for an element of a tuple or dict"
        )
    if match["module"] not in names:
        raise LayerError(_unknown_layer(model, match["module"], names))
    elements = tuple(re.findall(r"\[([^\]]+)\]", match["elements"]))
    return Place(text, match["module"], match["side"] == ":input", elements, match["side"] == ":heads")


def _matches(model: str, text: str, names: Sequence[str]) -> list[Place]:
    """The places that a pattern finds, in the network's order.

    Raises:
        LayerError: none.
    """
    pattern, suffix = re.fullmatch(r"([^\[:]*)(.*)", text, re.DOTALL).groups()  # pyright: ignore[reportOptionalMemberAccess]
    parts = {"**": ".*", "*": r"[^.]*", "?": r"[^.]"}
    expression = "".join(parts.get(part) or re.escape(part) for part in re.split(r"(\*\*|\*|\?)", pattern))
    found = [place_of(model, f"{name}{suffix}", names) for name in names if re.fullmatch(expression, name)]
    if not found:
        outermost = ", ".join(name for name in names if "." not in name)
        raise LayerError(f"{text!r} finds no layer of {model}; its outermost layers are {outermost}")
    return found


def _inspected(model: Model, readings: Sequence[Reading], precision: str) -> dict[str, PlannedLayer | NeuronlakeError]:
    """What a forward pass of blank images shows of each reading, or what is wrong with it, by their names.

    Raises:
        ModelError: the network fails.
    """
    names = module_names(model)
    wanted = list({reading.name: reading for reading in readings}.values())
    calls: dict[str, int] = {}

    def keep(reading: Reading, value: object) -> tuple[int, bool]:
        calls[reading.name] = calls.get(reading.name, 0) + 1
        values, peaks = reading.activations(value, _DRY_IMAGES)
        return values.shape[1], peaks is not None

    with evaluated([model.module]):
        with torch.inference_mode(), recorded_outputs(model.module, wanted, keep) as outputs:
            _dry_run(model, blank_images(model))
        seen = {name: cast("tuple[int, bool]", value) for name, value in outputs.items() if isinstance(value, tuple)}
        fields = _receptive_fields(model, [reading for reading in wanted if seen.get(reading.name, (0, False))[1]])
    found: dict[str, PlannedLayer | NeuronlakeError] = {}
    for reading in wanted:
        outcome = outputs.get(reading.name)
        if isinstance(outcome, NeuronlakeError):
            found[reading.name] = outcome
        elif outcome is None:
            who = f"layer {reading.place.text!r} of {reading.model}"
            found[reading.name] = LayerError(f"{who} gives no output in a forward pass; name another")
        else:
            position = names.index(reading.place.module)
            found[reading.name] = PlannedLayer(
                model=model,
                reading=replace(reading, calls=calls[reading.name]),
                position=position,
                units=seen[reading.name][0],
                receptive_field=fields.get(reading.name),
                precision=precision,
            )
    return found


def _dry_run(model: Model, images: Tensor) -> None:
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


def blank_images(model: Model, count: int = _DRY_IMAGES) -> Tensor:
    """(count, 3, height, width) float32 zeros of the size that the model sees, on its device."""
    return torch.zeros(count, 3, model.preprocessing.height, model.preprocessing.width, device=_device_of(model.module))


def _device_of(module: nn.Module) -> torch.device:
    """Where a network's weights are; the CPU if it has none."""
    weight = next(module.parameters(), None)
    return torch.device("cpu") if weight is None else weight.device


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
    image = image.to(_device_of(model.module)).requires_grad_()

    def middle(reading: Reading, value: object) -> Tensor:
        taken = reading.positions(value, 1)
        height, width = taken.grid or (1, 1)
        return taken.values[0, :, height // 2 * width + width // 2].sum()

    fields: dict[str, float] = {}
    with torch.enable_grad(), recorded_outputs(model.module, readings, middle) as outputs:
        _dry_run(model, image)
        for name, seen_from in outputs.items():
            if not isinstance(seen_from, Tensor) or not seen_from.requires_grad:
                continue
            gradient = torch.autograd.grad(
                seen_from, image, retain_graph=True, allow_unused=True, materialize_grads=True
            )[0]
            rows, columns = gradient.abs().sum(dim=(0, 1)).nonzero(as_tuple=True)
            seen = max(_extent(rows), _extent(columns))
            fields[name] = min(1.0, seen / preparation.crop) * preparation.crop / preparation.shorter_side
    return fields


def _extent(places: Tensor) -> int:
    """From the first place to the last; 0 of none."""
    return int(places.max() - places.min()) + 1 if len(places) else 0


def _unknown_layer(model: str, layer: str, names: Sequence[str]) -> str:
    """The message for a layer that does not exist: near names, and where to look."""
    outermost = f"its outermost layers are {', '.join(name for name in names if '.' not in name)}"
    return f"{model} has no layer {layer!r}; {did_you_mean(layer, names, most=3, cutoff=0.4, then=outermost)}"


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
    calls: dict[str, int] = {}

    def keep(reading: Reading, value: object) -> tuple[int | None, str]:
        calls[reading.name] = calls.get(reading.name, 0) + 1
        try:
            units = reading.activations(value, _DRY_IMAGES)[0].shape[1]
        except NeuronlakeError:
            units = None
        return units, outline(value)

    with evaluated([model.module]), torch.inference_mode(), recorded_outputs(model.module, readings, keep) as outputs:
        _dry_run(model, blank_images(model))
    seen = cast("dict[str, tuple[int | None, str]]", outputs)
    kinds = {name: getattr(part, "original_name", type(part).__name__) for name, part in modules.items()}
    order = {name: place for place, name in enumerate(modules)}
    listed = sorted(places, key=lambda place: (order[place.module], place.is_heads))
    return pl.DataFrame(
        [
            (place.text, kinds[place.module], *seen[place.text], calls[place.text])
            for place in listed
            if place.text in seen
        ],
        schema={"layer": pl.String, "type": pl.String, "units": pl.Int64, "output": pl.String, "calls": pl.Int64},
        orient="row",
    )
