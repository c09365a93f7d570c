"""Networks that a user lends: they get back their modes, flags and devices, also when what was done with them fails."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def evaluated(modules: Iterable[nn.Module]) -> Generator[None]:
    """Within the block networks are in evaluation mode and want no gradients; then each part is again as it was."""
    lent = list(modules)
    before = [_State(module) for module in lent]
    try:
        for module in lent:
            module.eval().requires_grad_(requires_grad=False)
        yield
    finally:
        for state in before:
            state.put_back()


class _State:
    """Modes of a network's parts, flags of its parameters, and where its tensors are."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        # a frozen TorchScript module has no mode
        self._modes = [(part, part.training) for part in module.modules() if hasattr(part, "training")]
        self._flags = [(weight, weight.requires_grad, weight.device) for weight in module.parameters()]
        self._buffers = [
            (part, name, buffer)
            for part in module.modules()
            for name, buffer in part.named_buffers(recurse=False)
            if name in part._buffers  # pyright: ignore[reportPrivateUsage]  TorchScript keeps its own elsewhere
        ]

    def put_back(self) -> None:
        """Undo what evaluation and other devices have changed."""
        if self._modes and self._modes[0][1]:
            # some parts do more than to note their mode, such as those that merge and unmerge their weights
            self._module.train()
        for part, mode in self._modes:
            part.training = mode
        for weight, flag, device in self._flags:
            weight.requires_grad_(flag)
            if weight.device != device:
                weight.data = weight.data.to(device)
                if weight.grad is not None:
                    weight.grad.data = weight.grad.data.to(device)
        for part, name, buffer in self._buffers:
            _put_back_buffer(part, name, buffer)


def _put_back_buffer(part: nn.Module, name: str, buffer: Tensor) -> None:
    """The tensor that was there before, which a move to a device has replaced, with what it holds now."""
    now = part._buffers.get(name)  # pyright: ignore[reportPrivateUsage]  setattr would check more than was there
    if now is not None and now is not buffer:
        buffer.data = now.data.to(buffer.device)
        part._buffers[name] = buffer  # pyright: ignore[reportPrivateUsage]
