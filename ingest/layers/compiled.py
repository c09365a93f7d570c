"""Passes as torch.compile makes them: a network with its hooks and pooling becomes one function of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, Node
from torch.nn.functional import multi_head_attention_forward

from neuronlake.ingest.devices import lacks_memory
from neuronlake.ingest.layers.passes import hooked, read_layers
from neuronlake.ingest.layers.pooling import Activations
from neuronlake.ingest.layers.readings import Reading
from neuronlake.ingest.networks.models import Model
from neuronlake.ingest.networks.quiet import quiet_libraries
from neuronlake.ingest.networks.torchscript import ScriptedNetwork
from neuronlake.sql.words import first_line


def _attend_to_contiguous(graph: Graph) -> None:
    """Let nn.MultiheadAttention have its tokens one after the other in memory.

    It swaps images and tokens first, and what torch.compile makes of a product with that copies the weights for each
    token: ViT-B/16 took twelve times as long as without compiling, in bfloat16 on a CPU.
    """
    for node in graph.find_nodes(op="call_function", target=multi_head_attention_forward):
        # queries, keys and values that are one tensor stay one: torch then needs one product
        for given in dict.fromkeys(each for each in node.args[:3] if isinstance(each, Node)):
            with graph.inserting_before(node):
                node.replace_input_with(given, graph.call_method("contiguous", (given,)))


_OPTIONS: dict[str, str | int | bool | Callable[..., Any]] = {
    # what is fused rounds where single steps do, so that results in reduced precision are the same
    "emulate_precision_casts": True,
    "pre_grad_custom_pass": _attend_to_contiguous,
}

# of a batch, tensors with its images first
_Function = Callable[[Tensor], list[Tensor | None]]
# gives such a function, and leaves the hooks that it needs
_Make = Callable[[ExitStack], Any]


@dataclass(frozen=True)
class _Made:
    """A function that was compiled.

    Attributes:
        wanted: the layers it reads and the images it takes.
        function: of exactly so many images.
        hooks: that it needs, until they are closed.
    """

    wanted: tuple[object, ...]
    function: _Function
    hooks: ExitStack


class CompiledPasses:
    """Forward passes compiled when they are first made, and kept as long as the networks are on a device.

    What lies above the last layer that is read gives nothing that is asked for, so that it is left out. Functions are
    compiled for full batches; fewer images are filled up, and what comes of the filling is cut off. torch's mode is
    its default: CUDA graphs and autotuning would cost memory and minutes for each network, and batches are large.

    Attributes:
        refused: why networks cannot be compiled, by their names; these run as they are.
    """

    def __init__(self) -> None:
        self.refused: dict[str, str] = {}
        self._made: dict[str, _Made] = {}

    @property
    def notes(self) -> list[str]:
        """A line for each network that runs as it is."""
        return [f"{name} could not be compiled and ran as it is ({reason})" for name, reason in self.refused.items()]

    def read_layers(
        self, model: Model, readings: Sequence[Reading], images: Tensor, full: int
    ) -> dict[str, Activations]:
        """See `passes.read_layers`, whose numbers these are but for their last digits.

        Args:
            model: the network.
            readings: of its layers.
            images: of a batch.
            full: how many images a full one has.

        Raises:
            NeuronlakeError: as `passes.read_layers` does.
            torch.OutOfMemoryError: the device has too little memory for so many images.
        """

        def make(hooks: ExitStack) -> Any:
            seen: dict[str, Activations] = {}

            def record(reading: Reading, value: object) -> None:
                if torch.compiler.is_compiling():  # beside it the network may run as it is
                    seen[reading.name] = reading.activations(value, full)

            hooks.enter_context(hooked(model.module, readings, record))

            def read(batch: Tensor) -> list[Tensor | None]:
                model.module(batch)
                found = [seen.pop(reading.name) for reading in readings]
                return [part for each in found for part in (each.values, each.peaks)]

            return read

        if isinstance(model.module, ScriptedNetwork):
            self.refused[model.name] = "it is TorchScript, which runs by itself"
        found = self._run(model.name, (tuple(reading.name for reading in readings), full), make, images, full)
        if found is None:
            return read_layers(model, readings, images)
        pairs = zip(readings, found[::2], found[1::2], strict=True)
        return {reading.name: Activations(values, peaks) for reading, values, peaks in pairs if values is not None}

    def encode_images(self, name: str, encode: Callable[[Tensor], Tensor], images: Tensor, full: int) -> Tensor:
        """What an encoder gives for a batch.

        Args:
            name: of the encoder.
            encode: gives embeddings.
            images: of a batch.
            full: how many images a full one has.

        Raises:
            torch.OutOfMemoryError: the device has too little memory for so many images.
        """

        def make(_hooks: ExitStack) -> Any:
            encode(images[:1])  # makes now what it makes when it is first called

            def encoded(batch: Tensor) -> list[Tensor | None]:
                return [encode(batch)]

            return encoded

        found = self._run(f"encoder {name}", (full,), make, images, full)
        embeddings = found[0] if found else None
        return encode(images) if embeddings is None else embeddings

    def forget(self) -> None:
        """Drop what was compiled, and with it the hooks."""
        for name in list(self._made):
            self._drop(name)

    def _drop(self, name: str) -> None:
        """Drop what was compiled of a network, if it was."""
        if made := self._made.pop(name, None):
            made.hooks.close()

    def _run(
        self, name: str, wanted: tuple[object, ...], make: _Make, images: Tensor, full: int
    ) -> list[Tensor | None] | None:
        """What the compiled function gives for a batch; None where the batch has to go through the network as it is."""
        if name in self.refused:
            return None
        is_new = name not in self._made or self._made[name].wanted != wanted
        missing = full - len(images)
        try:
            with quiet_libraries() if is_new else nullcontext():
                if is_new:
                    self._compile(name, wanted, make)
                found = self._made[name].function(_filled_up(images, missing))
        except Exception as error:
            # where the network itself is at fault, it will say so when it runs as it is
            if not _lacks_memory(error):
                self.refused[name] = _reason(error)
                self._drop(name)
            elif not missing:
                raise torch.OutOfMemoryError(str(error)) from error
            return None
        return [None if part is None else part[: len(images)] for part in found]

    def _compile(self, name: str, wanted: tuple[object, ...], make: _Make) -> None:
        """Have a function compiled when it is first called, in the place of another of the same network."""
        self._drop(name)
        hooks = ExitStack()
        function = torch.compile(_apart(make(hooks)), dynamic=False, fullgraph=True, options=_OPTIONS)
        self._made[name] = _Made(wanted, function, hooks)


def _apart(function: Any) -> _Function:
    """A function with code of its own, with which torch keeps what it compiles, and for one code only a few."""
    return FunctionType(
        function.__code__.replace(), function.__globals__, function.__name__, None, function.__closure__
    )


def _filled_up(images: Tensor, missing: int) -> Tensor:
    """A batch with its last image repeated so often."""
    return torch.cat([images, images[-1:].expand(missing, -1, -1, -1)]) if missing else images.contiguous()


def _reason(error: BaseException) -> str:
    """Why something cannot be compiled, in one line: of errors that torch.compile wraps, the one within."""
    while isinstance(inner := getattr(error, "inner_exception", None), BaseException):
        error = inner
    return f"{type(error).__name__}: {first_line(error)}"


def _lacks_memory(error: BaseException | None) -> bool:
    """Whether memory was too little, also where torch.compile has put that into an error of its own."""
    while error is not None:
        if lacks_memory(error):
            return True
        error = error.__cause__ or error.__context__
    return False
