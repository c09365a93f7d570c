"""Where tensors are: devices by name, how much fills one, and in how many bits networks run there."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch

from neuronlake import NeuronlakeError

Precision = Literal["float32", "bfloat16", "float16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
# what PyTorch's older switch for matrix products calls the precisions of its newer ones
_OLDER_NAMES = {"bf16": "medium", "tf32": "high"}
# as PyTorch's allocator for CPUs, cuBLAS and cuDNN say it, in a plain RuntimeError
_LACKS_MEMORY = ("DefaultCPUAllocator", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
# switches that let cuBLAS add up parts of a sum in half the bits
_COARSE_SUMS = ("allow_bf16_reduced_precision_reduction", "allow_fp16_reduced_precision_reduction")
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


@contextmanager
def exact_float32() -> Generator[None]:
    """Within the block float32 is float32 on every device, and half the bits are summed in it; also as a decorator.

    PyTorch has cuDNN's convolutions round their inputs to TF32, 10 bits of fraction instead of 23, unless told
    otherwise, and a program may have asked for the same, or on a CPU for bfloat16, in products of matrices. Numbers
    stored under one fingerprint would then depend on who computed them. Where half the bits will do, `--precision` asks
    for them, and the layers' names say so.

    PyTorch keeps older switches beside those of each operation, and what reads one kind, as `torch.compile` does, fails
    where the two disagree: so both are set, the older ones first.
    """
    cudnn: Any = torch.backends.cudnn
    mkldnn: Any = torch.backends.mkldnn
    operations = cudnn.conv, cudnn.rnn, torch.backends.cuda.matmul, mkldnn.conv, mkldnn.matmul
    before = [str(each.fp32_precision) for each in operations]
    products = torch.backends.cuda.matmul
    sums = {name: getattr(products, name) for name in _COARSE_SUMS}

    def put(convolutions: bool, matrices: str, precisions: Sequence[str]) -> None:
        cudnn.allow_tf32 = convolutions
        torch.set_float32_matmul_precision(matrices)
        for each, precision in zip(operations, precisions, strict=True):
            each.fp32_precision = precision

    put(False, "highest", ["ieee"] * len(operations))
    for name in sums:
        setattr(products, name, False)
    try:
        yield
    finally:
        for name, was in sums.items():
            setattr(products, name, was)
        put(before[0] == "tf32", _OLDER_NAMES.get(before[-1], "highest"), before)


def finest(device: torch.device) -> torch.dtype:
    """The floats with most digits: float64, but on MPS, which knows none, float32."""
    return torch.float32 if device.type == "mps" else torch.float64


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that a device has too little memory: libraries below torch have their own words for it."""
    return isinstance(error, torch.OutOfMemoryError) or any(said in str(error) for said in _LACKS_MEMORY)


def release_memory(device: torch.device) -> None:
    """Give back what the device keeps of freed memory, for others to use."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
