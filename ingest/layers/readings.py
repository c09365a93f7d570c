"""Readings: how one layer's output becomes activations, down to the tensor, its places and the pooling."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from torch import Tensor

from neuronlake.ingest.layers.directions import Directions
from neuronlake.ingest.layers.pooling import (
    Activations,
    Frame,
    PoolingError,
    Positions,
    channels_first,
    pool_positions,
    positions,
)
from neuronlake.ingest.layers.spellings import LayerError, Place


@dataclass(frozen=True)
class Reading:
    """How one layer of a model becomes activations.

    Attributes:
        model: its name, for messages.
        frame: by which the model's outputs are read.
        directions: what the layer's channels are projected onto; None for the channels themselves.
        calls: how often the layer runs in one forward pass; None where that is not known.
    """

    model: str
    place: Place
    frame: Frame
    pooling: str = "mean"
    directions: Directions | None = None
    calls: int | None = None

    @property
    def name(self) -> str:
        """Of the layer in the warehouse, apart from the pooling."""
        return f"{self.place.text}/{self.directions.name}" if self.directions else self.place.text

    def activations(self, value: object, images: int) -> Activations:
        """What a hook saw as one number for each of so many images and each unit.

        Raises:
            LayerError: it is no tensor with images and units, or not what pooling or directions can take.
        """
        return pool_positions(self._units(value, images), self.pooling)

    def maps(self, value: object, images: int) -> Tensor:
        """What a hook saw as a map of each unit, (images, units, height, width) float32.

        Where a layer has no map, or the pooling takes one place of it, it is the activation, 1 x 1.

        Raises:
            LayerError: as of `activations`.
        """
        units = self._units(value, images)
        if units.grid is None:
            return pool_positions(units, self.pooling).values[:, :, None, None]
        return units.values.unflatten(2, units.grid)

    def _units(self, value: object, images: int) -> Positions:
        """What a hook saw of each unit at each place."""
        output = self._tensor(value, images)
        if self.directions:
            output = self.directions.project(output, f"layer {self.place.text!r} of {self.model}")
        return self._positions(output)

    def positions(self, value: object, images: int) -> Positions:
        """What a hook saw at each place, before directions and pooling.

        Raises:
            LayerError: as of `activations`.
        """
        return self._positions(self._tensor(value, images))

    def _positions(self, output: Tensor) -> Positions:
        """The places that the pooling takes."""
        try:
            return positions(output, self.pooling, self.frame)
        except PoolingError as error:
            raise LayerError(f"layer {self.place.text!r} of {self.model} {error}") from error

    def _tensor(self, value: object, images: int) -> Tensor:
        """The tensor to read, maps with their channels first.

        Raises:
            LayerError: there is none.
        """
        who = f"layer {self.place.text!r} of {self.model}"
        for element in self.place.elements:
            value = _element(value, element, who)
        if not isinstance(value, Tensor):
            raise LayerError(f"{who} gives {_kind(value)}, not a tensor; {_inner_hint(self.place.text, value)}")
        if not 2 <= value.ndim <= 4:
            raise LayerError(f"{who} gives a tensor of shape {list(value.shape)}; name another")
        if value.shape[0] != images:
            raise LayerError(
                f"{who} gives a tensor of shape {list(value.shape)} for {images} images, so its first dimension is "
                "not theirs; name another"
            )
        return channels_first(value, self.frame) if value.ndim == 4 else value


def _element(value: object, element: str, who: str) -> object:
    """One element of a tuple, list or dict.

    Raises:
        LayerError: there is none of that number or key.
    """
    if isinstance(value, Mapping):
        entries = cast("Mapping[object, object]", value)
        keyed = {str(key): entry for key, entry in entries.items()}
        if element in keyed:
            return keyed[element]
        raise LayerError(f"{who}: there is no [{element}]; it has {', '.join(f'[{key}]' for key in keyed)}")
    if isinstance(value, tuple | list):
        items = cast("Sequence[object]", value)
        if hasattr(value, element):
            return getattr(value, element)  # of a named tuple
        if re.fullmatch(r"-?\d+", element) and -len(items) <= int(element) < len(items):
            return items[int(element)]
        raise LayerError(f"{who}: there is no [{element}] in {_kind(value)}")
    raise LayerError(f"{who}: there is no [{element}], for it gives {_kind(value)}")


def _kind(value: object) -> str:
    """What something is, as a message says it."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {list(value.shape)}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(cast('Sequence[object]', value))}"
    return "nothing" if value is None else f"a {type(value).__name__}"


def _inner_hint(text: str, value: object) -> str:
    """How to name a tensor within an output that is none."""
    if isinstance(value, Mapping):
        keys = [str(key) for key, entry in cast("Mapping[object, object]", value).items() if isinstance(entry, Tensor)]
    elif isinstance(value, tuple | list):
        keys = [str(place) for place, entry in enumerate(cast("Sequence[object]", value)) if isinstance(entry, Tensor)]
    else:
        keys = []
    return f"take {' or '.join(f'{text}[{key}]' for key in keys[:3])}" if keys else "name one within it"


def outline(value: object) -> str:
    """What a module gave for a batch, for one image: a shape, or what is in a tuple or dict."""
    if isinstance(value, Tensor):
        return " x ".join(str(size) for size in value.shape[1:]) or "one number"
    if isinstance(value, Mapping):
        entries = cast("Mapping[object, object]", value).items()
        return ", ".join(f"[{key}] {outline(entry)}" for key, entry in entries)
    if isinstance(value, tuple | list):
        items = cast("Sequence[object]", value)
        return ", ".join(f"[{place}] {outline(item)}" for place, item in enumerate(items))
    return "nothing" if value is None else type(value).__name__
