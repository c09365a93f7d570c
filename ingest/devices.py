"""Where tensors are: devices by name, how much fills one, and in how many bits networks run there."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from neuronlake import NeuronlakeError

Precision = Literal["float32", "bfloat16", "float16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
_BATCH_SIZES = {"cpu": 16, "cuda": 256, "mps": 64}


class DeviceError(NeuronlakeError):
    """There is no such device here."""


def resolve_device(name: str) -> torch.device:
    """The device of that name; ``auto`` is the best there is.

    Raises:
        DeviceError: this machine has no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(f"device {name!r} cannot be used on this machine; choose auto, cpu, cuda or mps") from error
    return device


def device_name(device: torch.device) -> str:
    """The device as a reader knows it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"


def memory_of(device: torch.device) -> int | None:
    """Bytes of memory of a CUDA device, in use or not; None for any other."""
    if device.type != "cuda" or not torch.cuda.is_available():
        return None
    return torch.cuda.get_device_properties(device).total_memory


def batch_size_for(device: torch.device) -> int:
    """How many images fill the device."""
    return _BATCH_SIZES.get(device.type, 32)


def reduced(device: torch.device, precision: str) -> torch.autocast:
    """A context in which networks run in one of `PRECISIONS`; what they leave in it is for the caller to convert."""
    return torch.autocast(device.type, dtype=getattr(torch, precision), enabled=precision != "float32")


def release_memory(device: torch.device) -> None:
    """Give back what the device keeps of freed memory, for others to use."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
