"""TorchScript: programs without Python, read only from files that are trusted, and hooked by a way round.

All that the format needs and no other does is here.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from neuronlake.ingest.networks.errors import untrusted

# torch numbers classes of one name in the order in which a process made them
_MANGLED = re.compile(rb"[./]___torch_mangle_\d+")


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive, such as OpenAI's original CLIP files."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def load_torchscript(path: Path, *, trust_code: bool) -> Any:
    """The network of a TorchScript file, on the CPU. It is a program, which may write files already when it is read.

    Raises:
        WeightsError: it is not trusted.
        RuntimeError, ValueError, OSError: it is damaged.
    """
    if not trust_code:
        raise untrusted(path, "TorchScript")
    with warnings.catch_warnings():
        # torch advises against the format, which is no help to who has such a file
        warnings.simplefilter("ignore")
        return torch.jit.load(str(path), map_location="cpu")


def script_digest(script: Any) -> str:
    """sha256 over all of a TorchScript network in memory, but for its mode and where it was written."""
    modes = [(part, part.training) for part in script.modules() if hasattr(part, "training")]
    for part, _ in modes:
        part.training = False
    try:
        saved = io.BytesIO(script.save_to_buffer())
    finally:
        for part, mode in modes:
            part.training = mode
    with zipfile.ZipFile(saved) as archive:
        names = [name for name in archive.namelist() if not name.endswith((".debug_pkl", "/serialization_id"))]
        contents = [_MANGLED.sub(b"", name.encode() + b"\0" + archive.read(name)) for name in names]
    return hashlib.sha256(b"\0".join(sorted(contents))).hexdigest()


class ScriptedPart(nn.Module):
    """Stands for a submodule of a TorchScript network, which takes no hooks: it is called with what that one did."""

    def __init__(self, original_name: str) -> None:
        super().__init__()
        self.original_name = original_name
        self.output: object = None

    def extra_repr(self) -> str:
        """The class it was scripted from."""
        return self.original_name

    def forward(self, *_inputs: object) -> object:
        """What the submodule gave."""
        return self.output


class ScriptedNetwork(nn.Module):
    """A TorchScript network whose submodules can be hooked as those of any other.

    TorchScript runs a network without Python, past all hooks. So the graphs of hooked submodules' parents get further
    outputs: what goes into a child, and what comes out. A parent's graph is run again for its children, so this
    costs up to one more pass for each level of depth.
    """

    def __init__(self, script: Any) -> None:
        super().__init__()
        # in a tuple, so that torch does not see it as a submodule beside its parts
        self._script = (script,)
        self._taps: dict[tuple[str, str], _Tap] = {}
        self.training = bool(getattr(script, "training", False))
        for name, part in script.named_modules():
            if name:
                parent = self.get_submodule(name.rpartition(".")[0])
                parent.add_module(name.rpartition(".")[2], ScriptedPart(str(part.original_name)))

    @property
    def script(self) -> Any:
        """The TorchScript module itself."""
        return self._script[0]

    def forward(self, images: Tensor) -> object:
        """The network's output; the parts that have hooks are called on the way."""
        hooked = {name for name, part in self.named_modules() if name and _has_hooks(part)}
        if hooked:
            self._visit(self.script, "", "forward", (images,), hooked)
        return self.script(images)

    def _visit(self, module: Any, prefix: str, method: str, arguments: tuple[Any, ...], hooked: set[str]) -> None:
        """Run one method of a submodule, call the hooked parts right below it, and visit what lies deeper."""
        tap = self._taps.get((prefix, method))
        if tap is None:
            tap = self._taps[prefix, method] = _Tap(module, method)
        inner = [name.removeprefix(f"{prefix}.") for name in hooked if not prefix or name.startswith(f"{prefix}.")]
        for path, called, inputs, output in tap.run(module, arguments, inner):
            full = ".".join(part for part in (prefix, path) if part)
            # a traced submodule that runs again does so as forward1, forward2 and on
            if path and called.rstrip("0123456789") == "forward" and full in hooked:
                part: Any = self.get_submodule(full)
                part.output = output
                part(*inputs)
                part.output = None
            if not path or any(name.startswith(f"{path}.") for name in inner):
                child = module
                for step in filter(None, path.split(".")):
                    child = getattr(child, step)
                self._visit(child, full, called, inputs, hooked)

    def state_dict(self, *arguments: Any, **options: Any) -> Any:
        """The TorchScript module's own."""
        return self.script.state_dict(*arguments, **options)

    def load_state_dict(self, *arguments: Any, **options: Any) -> Any:
        """Into the TorchScript module."""
        return self.script.load_state_dict(*arguments, **options)

    def named_parameters(self, *arguments: Any, **options: Any) -> Iterator[tuple[str, nn.Parameter]]:
        """The TorchScript module's own."""
        return self.script.named_parameters(*arguments, **options)

    def train(self, mode: bool = True) -> ScriptedNetwork:
        """Put the TorchScript module into training or evaluation mode."""
        self.script.train(mode)
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ScriptedNetwork:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Move the TorchScript module, as ``to`` does."""
        self.script._apply(fn, recurse)
        return self


class _Tap:
    """The graph of one method, with what its calls of submodules take and give as further outputs."""

    def __init__(self, module: Any, method: str) -> None:
        self._original = module._c._get_method(method).graph
        self._compiled: dict[frozenset[str], tuple[list[tuple[str, str, int]], Any]] = {}

    def run(
        self, module: Any, arguments: tuple[Any, ...], inner: list[str]
    ) -> Iterator[tuple[str, str, tuple[Any, ...], Any]]:
        """Path, method, inputs and output of each call that leads to one of the inner submodules, in order."""
        key = frozenset(inner)
        if key not in self._compiled:
            self._compiled[key] = self._compile(inner)
        calls, function = self._compiled[key]
        if not calls:
            return
        # the method's own output comes first
        values = iter(function(module._c, *arguments)[1:])
        for path, method, count in calls:
            inputs = tuple(next(values) for _ in range(count))
            yield path, method, inputs, next(values)

    def _compile(self, inner: list[str]) -> tuple[list[tuple[str, str, int]], Any]:
        """The calls that lead to the inner submodules, and a function that gives what they take and give."""
        graph = self._original.copy()
        calls: list[tuple[str, str, int]] = []
        for node in list(graph.nodes()):
            if node.kind() != "prim::CallMethod":
                continue
            receiver, *inputs = list(node.inputs())
            path = _path_of(receiver)
            if path is None or not any(f"{name}.".startswith(f"{path}." if path else "") for name in inner):
                continue
            for value in inputs:
                graph.registerOutput(_copied(graph, value, node, after=False) if _is_tensor(value) else value)
            output = node.output()
            graph.registerOutput(_copied(graph, output, node, after=True) if _is_tensor(output) else output)
            calls.append((path, node.s("name"), len(inputs)))
        if calls:
            graph.makeMultiOutputIntoTuple()
        # torch has no public way to run a graph, nor to ask whether a module is hooked
        function = torch._C._create_function_from_graph("tapped", graph) if calls else None  # pyright: ignore[reportPrivateUsage]
        return calls, function


def _is_tensor(value: Any) -> bool:
    """Whether a value of a graph is one tensor."""
    return value.type().kind() == "TensorType"


def _copied(graph: Any, value: Any, node: Any, *, after: bool) -> Any:
    """A tensor's copy before or after a call, since that or later steps may change it in place, as ReLU does."""
    graph.setInsertPoint(node)
    step = graph.create("aten::clone", [value, graph.insertConstant(None)], 1)
    step.output().setType(value.type())
    (step.insertAfter if after else step.insertBefore)(node)
    return step.output()


def _path_of(value: Any) -> str | None:
    """The submodule that a value of a graph is, seen from the graph's own module; None if it is something else."""
    steps: list[str] = []
    while value.node().kind() == "prim::GetAttr":
        steps.insert(0, value.node().s("name"))
        value = next(iter(value.node().inputs()))
    return ".".join(steps) if value.node().kind() == "prim::Param" else None


def _has_hooks(module: nn.Module) -> bool:
    """Whether someone wants to know what goes into or comes out of a module."""
    return bool(module._forward_hooks or module._forward_pre_hooks)  # pyright: ignore[reportPrivateUsage]
