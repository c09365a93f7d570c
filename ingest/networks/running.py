"""A network run on images: blank ones, its failures in one line, and its weights in the order that is fastest."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from neuronlake import NeuronlakeError
from neuronlake.ingest.networks.errors import ModelError, described
from neuronlake.ingest.networks.models import Model

# elsewhere channels last is no faster
_DEVICES = ("cpu", "cuda")


def run(model: Model, images: Tensor) -> None:
    """One forward pass, for what hooks see of it.

    Args:
        model: the network.
        images: (batch, 3, height, width) float32 on its device.

    Raises:
        ModelError: the network's own code fails.
        torch.OutOfMemoryError: the device has too little memory for so many images.
    """
    try:
        model.module(images)
    except (NeuronlakeError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if is_for_lack_of_memory(error):
            raise torch.OutOfMemoryError(str(error)) from error
        count, _, height, width = images.shape
        raise ModelError(
            f"{model.name} fails on {count} images of {height} x {width}: {type(error).__name__}: {described(error)}"
        ) from error


def is_for_lack_of_memory(error: BaseException) -> bool:
    """Whether a device had too little memory; the CPU's allocator says so with a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def blank_images(model: Model, count: int = 2) -> Tensor:
    """(count, 3, height, width) float32 zeros of the size that the model sees, on its device."""
    return torch.zeros(count, 3, model.preprocessing.height, model.preprocessing.width, device=device_of(model.module))


def device_of(module: nn.Module) -> torch.device:
    """Where a network's weights are; the CPU if it has none."""
    weight = next(module.parameters(), None)
    return torch.device("cpu") if weight is None else weight.device


@contextmanager
def channels_last(models: Sequence[Model]) -> Generator[None]:
    """Within the block, networks with convolutions hold their weights with the channels last.

    The numbers stay the same but for their last digits, and a forward pass takes 15 to 30 % less time (ResNet-18,
    ResNet-50 and EfficientNet-B0 on a CPU). A network whose own code cannot work with tensors laid out so, as one that
    calls `view` on a map, is left as it is.
    """
    changed = [model for model in models if _has_convolutions(model.module) and _runs_with_channels_last(model)]
    try:
        yield
    finally:
        # a user's own network may go on to be used elsewhere
        for model in changed:
            model.module.to(memory_format=torch.contiguous_format)


def _has_convolutions(module: nn.Module) -> bool:
    """Whether there is a weight that has the order to change, and has not been given it by the user."""
    kernels = [weight for weight in module.parameters() if weight.ndim == 4]
    return any(not kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)


def _runs_with_channels_last(model: Model) -> bool:
    """Change a network's weights; if it then fails on blank images, change them back."""
    blank = blank_images(model)
    if blank.device.type not in _DEVICES:
        return False
    try:
        with torch.inference_mode():
            model.module.to(memory_format=torch.channels_last)
            run(model, blank)
    except (ModelError, RuntimeError):
        model.module.to(memory_format=torch.contiguous_format)
        return False
    return True
