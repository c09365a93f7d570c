"""Devices that are not there: tensors that hold real values on the CPU and say that they lie on a GPU.

Within `pretended` torch makes such tensors wherever the device is asked for, and what would fail on a real one
raises: an operation on tensors of two devices, `.numpy()` of one that is not on the CPU, float64 and a sort of int64 on
MPS. Within `never_waiting` so does what makes the host wait for the device.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torchgen
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

_torch_inside: Any = torch._C  # pyright: ignore[reportPrivateUsage]
_aten = torch.ops.aten
_CPU = torch.device("cpu")
# Within torch a pretended MPS is a CUDA device, for which torch has code on any system.
_INNER = torch.device("cuda", 0)
_COPIES = {_aten._to_copy.default, _aten.copy_.default}
_WRITTEN_BY_INDEX = {_aten.index_put.default, _aten.index_put_.default}
# these take numbers of the CPU beside tensors of a device, as does whatever goes element by element
_TAKE_NUMBERS = {*_WRITTEN_BY_INDEX, _aten.masked_fill_.Tensor, _aten.fill_.Tensor}
# these look at values, beside what torch itself has tagged so
_WAIT = {_aten.bincount, _aten.linalg_eigh, _aten._linalg_check_errors, _aten._linalg_eigh}
_SOFTMAX = {_aten._softmax.default, _aten._log_softmax.default}
_SORT = {_aten.sort, _aten.argsort, _aten.topk, _aten.msort, _aten.kthvalue}


class WrongDeviceError(BaseException):
    """Not as on a real device; no Exception, so that no code that is tested catches it."""


class HiddenWaitError(BaseException):
    """The host would wait for the device."""


class Stream:
    """A queue of work on a device, and how far it waits for others."""

    def __init__(self, *_device: object) -> None:
        self.done = 0
        self._waited_for: dict[Stream, int] = {}

    def wait_stream(self, other: Stream) -> None:
        """What comes now begins when all is done that the other has by now."""
        self._waited_for[other] = other.done

    def has(self, made: tuple[Stream, int]) -> bool:
        """Whether what was made so is there for what comes now."""
        return made[0] is self or self._waited_for.get(made[0], 0) >= made[1]


class OnDevice(Tensor):
    """A tensor with a pretended device, and when it was made: in which queue, as which step of it."""

    held: Tensor
    there: torch.device
    made: tuple[Stream, int]
    __torch_function__ = _torch_inside._disabled_torch_function_impl

    @staticmethod
    def __new__(cls: Any, held: Tensor, there: torch.device) -> OnDevice:
        found = Tensor._make_wrapper_subclass(
            cls, held.shape, held.stride(), held.storage_offset(), dtype=held.dtype, device=_INNER
        )
        found.held, found.there = held, there
        return found

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise WrongDeviceError(f"{func} where no device is pretended")

    @property
    def device(self) -> torch.device:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.there

    def numpy(self, *_args: Any, **_named: Any) -> Any:
        raise WrongDeviceError(f".numpy() of a tensor on {self.there}")

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def record_stream(self, s: object) -> None:
        """Nothing is given back too early here."""

    def __repr__(self, *, tensor_contents: object = None) -> str:
        return f"{self.held!r} on {self.there}"


class _InnerName(TorchFunctionMode):
    """Asks torch for the device that it knows where MPS is asked for."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not torch.device:
            args = tuple(_INNER if _is_mps(each) else each for each in args)
            kwargs = {name: _INNER if _is_mps(each) else each for name, each in kwargs.items()}
        return func(*args, **kwargs)


def _is_mps(asked: object) -> bool:
    return (
        asked in ("mps", "mps:0") if isinstance(asked, str) else isinstance(asked, torch.device) and asked.type == "mps"
    )


@cache
def _kernels() -> dict[str, set[str]]:
    """What torch's own list says each operation has code for."""
    text = (Path(torchgen.__file__).parent / "packaged/ATen/native/native_functions.yaml").read_text()
    return {
        entry.partition("(")[0]: {
            kind for kinds in re.findall(r"^    ([\w, ]+):", entry, re.M) for kind in kinds.split(", ")
        }
        for entry in text.split("\n- func: ")[1:]
    }


def _is_known_to_mps(name: str) -> bool:
    """Whether there is code for MPS: its own, or of the operation that writes into `out`, which others call."""
    kinds = _kernels().get(name, set())
    if "MPS" in kinds or "CUDA" in kinds:
        return "MPS" in kinds
    writes = _kernels().get(f"{name}_out" if "." in name else f"{name}.out", set())
    return "CUDA" not in writes or "MPS" in writes


class PretendedDevice(TorchDispatchMode):
    """See `pretended`.

    Attributes:
        device: its name.
        copies_back: how often something was copied from it to the CPU.
    """

    # torch looks for no driver where the mode is the one of its own fake tensors
    _mode_key = _torch_inside._TorchDispatchModeKey.FAKE

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.device = torch.device(kind, 0)
        self.copies_back = 0
        self._may_wait = True
        self._pinned: list[Tensor] = []
        self._stream = Stream()

    @contextmanager
    def never_waiting(self) -> Generator[None]:
        """Within the block the host must not wait for the device."""
        self._may_wait = False
        try:
            yield
        finally:
            self._may_wait = True

    @contextmanager
    def stream(self, stream: Stream) -> Generator[None]:
        """Within the block the device's work goes into another queue."""
        before, self._stream = self._stream, stream
        try:
            yield
        finally:
            self._stream = before

    def current_stream(self, *_device: object) -> Stream:
        """The queue of now."""
        return self._stream

    def _pin(self, tensor: Tensor) -> Tensor:
        """The same, as if it were in memory that the device reads by itself."""
        self._pinned.append(tensor)
        return tensor

    def _wait(self, what: str) -> None:
        if not self._may_wait:
            raise HiddenWaitError(what)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is _aten._has_compatible_shallow_copy_type.default:
            return False  # a network's weights are given other tensors as their contents
        if _torch_inside._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
            with self:  # what it is made of comes here
                return func.decompose(*args, **kwargs)
        tensors = list(_tensors((args, kwargs)))
        there = [each for each in tensors if isinstance(each, OnDevice)]
        is_there = bool(there)
        if not all(self._stream.has(each.made) for each in there):
            raise WrongDeviceError(f"{func} of what another stream has not made yet")
        if func in _COPIES:
            written = args[0] if func is _aten.copy_.default else None
            to = _CPU if kwargs.get("device") == _CPU else self.device if kwargs.get("device") or is_there else _CPU
            to = written.device if written is not None else to
            self._look_at_copy(args[0 if written is None else 1], to, _is_asynchronous(args, kwargs))
        else:
            to = self.device if is_there or kwargs.get("device") not in (None, _CPU) else _CPU
            if is_there:
                self._look(func, args, tensors)
        if kwargs.get("device") is not None:
            kwargs["device"] = _CPU
        is_pinned = kwargs.pop("pin_memory", None)
        known = {id(each.held): each for each in there}
        args = _with_tensors(args, _held)
        if func in _SOFTMAX and args[2]:  # with its way to float32, which the CPU takes before
            args = (args[0].float(), args[1], False)
        found = func(*args, **_with_tensors(kwargs, _held))
        is_exact = any(each.dtype == torch.float64 for each in _tensors(found))
        if self.device.type == "mps" and is_exact and (is_there or to != _CPU):
            raise WrongDeviceError(f"{func} to float64 on {self.device}")
        if to == _CPU:
            return self._pin(found) if is_pinned else found

        self._stream.done += 1

        def put(each: Tensor) -> Tensor:
            # what was changed in its place comes out as it came in
            put_there = known[id(each)] if id(each) in known else OnDevice(each, to)
            put_there.made = self._stream, self._stream.done
            return put_there

        # as torch has it, a view of what is not of inference is none either
        is_inference = torch.is_inference_mode_enabled() and (
            not func.is_view or all(each.is_inference() for each in there)
        )
        with torch.inference_mode(mode=is_inference):
            return _with_tensors(found, put)

    def _look_at_copy(self, source: Tensor, to: torch.device, is_asynchronous: bool) -> None:
        """The host waits for copies between devices, but for those from pinned memory that it asks not to wait for."""
        is_free = is_asynchronous and any(_memory(source) == _memory(each) for each in self._pinned)
        self.copies_back += source.device != to and to == _CPU
        # MPS shares the CPU's memory, and has none to pin
        if source.device != to and not is_free and to.type != "mps":
            self._wait(f"a copy from {source.device} to {to}")

    def _look(self, func: Any, args: Any, tensors: Sequence[Tensor]) -> None:
        """Whether the device can do it, and without the host."""
        is_indexed = func is _aten.index.Tensor or func in _WRITTEN_BY_INDEX
        indices = [each for each in args[1] if each is not None] if is_indexed else []
        others = [each for each in tensors if not isinstance(each, OnDevice)]
        takes_numbers = torch.Tag.pointwise in func.tags or func in _TAKE_NUMBERS
        is_taken = all(_is_among(each, indices) or (takes_numbers and each.ndim == 0) for each in others)
        if not is_taken or (others and _is_among(args[0], others) and (is_indexed or func._schema.is_mutable)):
            raise WrongDeviceError(f"{func} with tensors on {self.device} and the CPU")
        if self.device.type == "mps":
            is_sorted = func.overloadpacket in _SORT and _is(args[0], torch.int64)
            if is_sorted or not _is_known_to_mps(func.name().removeprefix("aten::")):
                raise WrongDeviceError(f"{func} of {tensors[0].dtype} on {self.device}")
        is_filled = func in _WRITTEN_BY_INDEX and len(indices) == 1 and args[2].numel() == 1
        if any(_is_among(each, others) or (_is(each, torch.bool) and not is_filled) for each in indices):
            self._wait(f"{func} by a mask or by places on the CPU")
        looks = {torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output} & set(func.tags)
        if func.overloadpacket in _WAIT or (looks and not is_indexed):
            self._wait(str(func))


@contextmanager
def pretended(kind: str) -> Generator[PretendedDevice]:
    """Within the block there is a device of a kind, ``cuda`` or ``mps``."""
    mode = PretendedDevice(kind)
    _torch_inside._ensureCUDADeviceGuardSet()
    _torch_inside._set_only_lift_cpu_tensors(True)
    torch.__future__.set_swap_module_params_on_conversion(True)
    with ExitStack() as stack:
        for where, name, instead in (
            (torch.cuda.amp.common, "amp_definitely_not_available", lambda: False),
            (torch.cuda, "is_bf16_supported", lambda: True),
            (torch.cuda, "Stream", Stream),
            (torch.cuda, "stream", mode.stream),
            (torch.cuda, "current_stream", mode.current_stream),
            (torch.cuda, "empty_cache", lambda: None),
            (torch.cuda, "get_device_name", str),
            (torch.mps, "empty_cache", lambda: None),
        ):
            stack.enter_context(patch.object(where, name, instead))
        # what torch would call of NVIDIA's and of its own for CUDA alone is not here
        stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if kind == "mps":
            stack.enter_context(_InnerName())
        try:
            with mode:
                yield mode
        finally:
            torch.__future__.set_swap_module_params_on_conversion(False)
            _torch_inside._set_only_lift_cpu_tensors(False)


def _is_asynchronous(args: Any, kwargs: Any) -> bool:
    return bool(kwargs.get("non_blocking")) or args[2:] == (True,)


def _tensors(found: Any) -> Generator[Tensor]:
    """Those in arguments or results, however they are nested."""
    if isinstance(found, Tensor):
        yield found
    elif isinstance(found, tuple | list | dict):
        for each in found.values() if isinstance(found, dict) else found:
            yield from _tensors(each)


def _with_tensors(found: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same with its tensors changed."""
    if isinstance(found, Tensor):
        return change(found)
    if isinstance(found, dict):
        return {key: _with_tensors(each, change) for key, each in found.items()}
    if isinstance(found, tuple | list):
        return type(found)([_with_tensors(each, change) for each in found])
    return found


def _held(tensor: Tensor) -> Tensor:
    return tensor.held if isinstance(tensor, OnDevice) else tensor


def _memory(tensor: Tensor) -> int:
    return 0 if isinstance(tensor, OnDevice) else tensor.untyped_storage().data_ptr()


def _is(found: object, dtype: torch.dtype) -> bool:
    return isinstance(found, Tensor) and found.dtype == dtype


def _is_among(tensor: object, others: Sequence[Tensor]) -> bool:
    return any(tensor is each for each in others)
