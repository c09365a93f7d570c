"""Readings: what hooks see of a layer, down to the tensor, its places and its activations."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from neuronlake import NeuronlakeError
from neuronlake.ingest.layers.directions import Directions
from neuronlake.ingest.layers.heads import has_heads, watch_heads
from neuronlake.ingest.layers.pooling import Frame, PoolingError, Positions, channels_first, pool_positions, positions
from neuronlake.ingest.networks.blueprints import ModelError
from neuronlake.ingest.networks.models import Model
from neuronlake.ingest.networks.own_code import described


class LayerError(NeuronlakeError):
    """A layer does not exist, or its output is nothing that has units."""


@dataclass(frozen=True)
class Place:
    """Where in a network a layer is read.

    Attributes:
        text: as the user spells it and the warehouse calls it: ``layer4``, ``attn[0]``, ``attn.proj:input``,
            ``attn:heads``.
        module: name of the submodule.
        is_input: read what goes into it, not what comes out.
        elements: which element of a tuple or dict, and which of that.
        is_heads: read what its attention heads give, before the output projection.
    """

    text: str
    module: str
    is_input: bool = False
    elements: tuple[str, ...] = ()
    is_heads: bool = False


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

    def activations(self, value: object, images: int) -> tuple[Tensor, Tensor | None]:
        """What a hook saw as (images, units) float32, and the places of the maxima; see `pooling.pool`.

        Raises:
            LayerError: it is no tensor with images and units, or not what pooling or directions can take.
        """
        output = self._tensor(value, images)
        if self.directions:
            output = self.directions.project(output, f"layer {self.place.text!r} of {self.model}")
        return pool_positions(self._positions(output), self.pooling)

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


Keep = Callable[[Reading, object], object]


@contextmanager
def recorded_outputs(module: nn.Module, readings: Sequence[Reading], keep: Keep) -> Generator[dict[str, object]]:
    """Forward passes within the block leave in the dict, by name, what `keep` made of each reading's value.

    `keep` is called at once, for later steps of a network may change the same memory: a ReLU in place would leave
    its own output in that of the layer before. An error of the user's that it raises is left in the dict, as is that
    of a reading of heads where there are none. A layer that runs several times in one pass leaves its last output.
    """
    outputs: dict[str, object] = {}

    def record(reading: Reading, value: object) -> None:
        try:
            outputs[reading.name] = keep(reading, value)
        except NeuronlakeError as error:
            # raised here, it would come out of the network, which may wrap or swallow it
            outputs[reading.name] = error

    def hook(reading: Reading) -> Any:
        part = module.get_submodule(reading.place.module)
        if reading.place.is_heads:
            return watch_heads(part, lambda value: record(reading, value))
        if not reading.place.is_input:
            return part.register_forward_hook(lambda _part, _inputs, output: record(reading, output))
        return part.register_forward_pre_hook(
            lambda _part, inputs, named: record(reading, _input(reading, inputs, named)), with_kwargs=True
        )

    headless = [reading for reading in readings if reading.place.is_heads and not _has_heads(module, reading)]
    outputs.update({reading.name: _no_heads(module, reading) for reading in headless})
    handles = [hook(reading) for reading in readings if reading.name not in outputs]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _has_heads(module: nn.Module, reading: Reading) -> bool:
    """Whether the heads that a reading wants can be read."""
    return has_heads(module.get_submodule(reading.place.module))


def _no_heads(module: nn.Module, reading: Reading) -> LayerError:
    """The error for heads of what has none, with a name that has some."""
    kind = type(module.get_submodule(reading.place.module)).__name__
    near = [name for name, part in module.named_modules() if name and has_heads(part)]
    hint = f"such as {near[0]}:heads" if near else f"and {reading.model} has none that can be seen"
    return LayerError(
        f"layer {reading.place.text!r} of {reading.model}: a {kind} has no heads; name an attention module with "
        f"num_heads and a Linear called proj or out_proj, {hint}"
    )


def _input(reading: Reading, inputs: tuple[object, ...], named: Mapping[str, object]) -> object:
    """What goes into a module: its first argument, or all of them for a reading that chooses one."""
    everything: dict[str, object] = {str(place): value for place, value in enumerate(inputs)} | dict(named)
    return everything if reading.place.elements else next(iter(everything.values()), None)


class _Enough(BaseException):
    """All has been seen; no Exception, so that no network's own code catches it."""


def run_until_seen(model: Model, readings: Sequence[Reading], images: Tensor, keep: Keep) -> dict[str, object]:
    """A forward pass no further than the last of the readings; see `recorded_outputs` for what it returns.

    Raises:
        ModelError: the network's own code fails.
        torch.OutOfMemoryError: the device has too little memory for so many images.
    """
    left = {reading.name: reading.calls for reading in readings}
    # TorchScript turns what a hook raises into an error of its own
    may_stop = None not in left.values() and not isinstance(model.module, torch.jit.ScriptModule)

    def keep_and_count(reading: Reading, value: object) -> object:
        kept = keep(reading, value)
        left[reading.name] = (left[reading.name] or 0) - 1
        return kept

    def stop(*_details: object) -> None:
        if may_stop and all((calls or 0) <= 0 for calls in left.values()):
            raise _Enough

    with recorded_outputs(model.module, readings, keep_and_count) as outputs:
        parts = [model.module.get_submodule(reading.place.module) for reading in readings]
        handles = [part.register_forward_hook(stop) for part in dict.fromkeys(parts)]
        try:
            run(model, images)
        except _Enough:
            pass
        finally:
            for handle in handles:
                handle.remove()
    return outputs


def run(model: Model, images: Tensor) -> None:
    """One forward pass, for what hooks see of it.

    Raises:
        ModelError: the network's own code fails.
        torch.OutOfMemoryError: the device has too little memory for so many images.
    """
    try:
        model.module(images)
    except (NeuronlakeError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if "DefaultCPUAllocator" in str(error):
            # the CPU's allocator says so with a plain RuntimeError
            raise torch.OutOfMemoryError(str(error)) from error
        count, _, height, width = images.shape
        raise ModelError(
            f"{model.name} fails on {count} images of {height} x {width}: {type(error).__name__}: {described(error)}"
        ) from error


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
