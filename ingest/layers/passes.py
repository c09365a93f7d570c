"""Forward passes: what hooks see of each layer that is read, made into what is asked for at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from neuronlake import NeuronlakeError
from neuronlake.ingest.layers.heads import has_heads, watch_heads
from neuronlake.ingest.layers.pooling import Activations
from neuronlake.ingest.layers.readings import Reading
from neuronlake.ingest.layers.spellings import LayerError
from neuronlake.ingest.networks.models import Model
from neuronlake.ingest.networks.running import run

T = TypeVar("T")


@dataclass(frozen=True)
class Seen(Generic[T]):
    """What forward passes have shown of layers, by the readings' names.

    Attributes:
        outcomes: what was made of a layer's last output, or what is wrong with it.
        calls: how often there was one.
    """

    outcomes: dict[str, T | NeuronlakeError] = field(default_factory=dict[str, "T | NeuronlakeError"])
    calls: Counter[str] = field(default_factory=Counter[str])


def read_layers(model: Model, readings: Sequence[Reading], images: Tensor) -> dict[str, Activations]:
    """Activations of a network's layers on images, by the readings' names, on the images' device.

    Args:
        model: the network.
        readings: of its layers.
        images: (batch, 3, height, width) float32, as the network wants them.

    Raises:
        LayerError: a layer gives no output, or none with images and units.
        DirectionsError: directions do not fit their layer.
        ModelError: the network's own code fails.
        torch.OutOfMemoryError: the device has too little memory for so many images.
    """
    return _read(model, readings, images, lambda reading, value: reading.activations(value, len(images)))


def read_maps(model: Model, readings: Sequence[Reading], images: Tensor) -> dict[str, Tensor]:
    """Maps of a network's layers on images, see `Reading.maps`; the rest is as for `read_layers`."""
    return _read(model, readings, images, lambda reading, value: reading.maps(value, len(images)))


def _read(
    model: Model, readings: Sequence[Reading], images: Tensor, read: Callable[[Reading, object], T]
) -> dict[str, T]:
    """What is made of each reading's value, by the readings' names."""
    seen = run_until_seen(model, readings, images, read)
    found: dict[str, T] = {}
    for reading in readings:
        outcome = seen.outcomes.get(reading.name)
        if outcome is None:
            raise LayerError(f"layer {reading.name!r} of {model.name} gave no output for some images; name another")
        if isinstance(outcome, NeuronlakeError):
            raise outcome
        found[reading.name] = outcome
    return found


@contextmanager
def recorded_outputs(
    module: nn.Module, readings: Sequence[Reading], read: Callable[[Reading, object], T]
) -> Generator[Seen[T]]:
    """Forward passes within the block leave what `read` makes of each reading's value.

    `read` is called at once, for later steps of a network may change the same memory: a ReLU in place would leave
    its own output in that of the layer before. An error of the user's that it raises is left too, as is that of a
    reading of heads where there are none. Of a layer that runs several times in one pass the last output counts.
    """
    seen = Seen[T]()

    def record(reading: Reading, value: object) -> None:
        seen.calls[reading.name] += 1
        try:
            seen.outcomes[reading.name] = read(reading, value)
        except NeuronlakeError as error:
            # raised here, it would come out of the network, which may wrap or swallow it
            seen.outcomes[reading.name] = error

    there: list[Reading] = []
    for reading in readings:
        if reading.place.is_heads and not has_heads(module.get_submodule(reading.place.module)):
            seen.outcomes[reading.name] = _no_heads(module, reading)
        else:
            there.append(reading)
    with hooked(module, there, record):
        yield seen


@contextmanager
def hooked(
    module: nn.Module, readings: Sequence[Reading], record: Callable[[Reading, object], None]
) -> Generator[None]:
    """Forward passes within the block call `record` with each reading and its value, as soon as there is one."""
    handles = [_hook(module, reading, record) for reading in readings]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(module: nn.Module, reading: Reading, record: Callable[[Reading, object], None]) -> RemovableHandle:
    """Let `record` have what a reading reads, in each forward pass."""
    part = module.get_submodule(reading.place.module)
    if reading.place.is_heads:
        return watch_heads(part, lambda value: record(reading, value))
    if not reading.place.is_input:
        return part.register_forward_hook(lambda _part, _inputs, output: record(reading, output))
    return part.register_forward_pre_hook(
        lambda _part, inputs, named: record(reading, _input(reading, inputs, named)), with_kwargs=True
    )


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


def run_until_seen(
    model: Model, readings: Sequence[Reading], images: Tensor, read: Callable[[Reading, object], T]
) -> Seen[T]:
    """A forward pass no further than the last of the readings; see `recorded_outputs`.

    Raises:
        ModelError: the network's own code fails.
        torch.OutOfMemoryError: the device has too little memory for so many images.
    """
    with recorded_outputs(model.module, readings, read) as seen:

        def stop(*_details: object) -> None:
            if all(reading.calls is not None and seen.calls[reading.name] >= reading.calls for reading in readings):
                raise _Enough

        parts = [model.module.get_submodule(reading.place.module) for reading in readings]
        handles = [part.register_forward_hook(stop) for part in dict.fromkeys(parts)]
        try:
            run(model, images)
        except _Enough:
            pass
        finally:
            for handle in handles:
                handle.remove()
    return seen
