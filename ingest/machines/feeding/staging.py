"""Batches on their way to a device, and what the networks gave on its way back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from neuronlake.ingest.machines.chunks import PreparedImage
from neuronlake.ingest.networks.preprocessing import Preparation


class Staging:
    """Puts batches together and brings them to a device.

    To a CUDA device they go from pinned memory on a stream of its own: the next batch is copied while the networks are
    busy with this one. torch's allocators keep the pinned memory and the device's until the copies are done.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def inputs(
        self, batch: Sequence[PreparedImage], preprocessings: frozenset[Preparation]
    ) -> dict[Preparation, Tensor]:
        """A batch as each network wants it, on the device: (images, 3, height, width) float32."""
        return {
            preprocessing: preprocessing.normalise(self._stacked([image.pixels[preprocessing] for image in batch]))
            for preprocessing in preprocessings
        }

    def _stacked(self, pixels: list[Tensor]) -> Tensor:
        """Images of one size as one tensor on the device."""
        if self._stream is None or pixels[0].device.type == "cuda":
            return torch.stack(pixels).to(self._device)
        shape = (len(pixels), *pixels[0].shape)
        staged = torch.stack(pixels, out=torch.empty(shape, dtype=pixels[0].dtype, pin_memory=True))
        with torch.cuda.stream(self._stream):
            there = staged.to(self._device, non_blocking=True)
        networks = torch.cuda.current_stream(self._device)
        networks.wait_stream(self._stream)
        there.record_stream(networks)
        return there


def fetched(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Tensors of one device on the CPU, copied there at once."""
    if not tensors or tensors[0].device.type == "cpu":
        return list(tensors)
    return unpacked(packed(tensors).cpu(), tensors)


def packed(tensors: Sequence[Tensor]) -> Tensor:
    """All of them as bytes, one after the other, (bytes,) uint8."""
    return torch.cat([tensors[place].contiguous().view(-1).view(torch.uint8) for place in _order(tensors)])


def unpacked(together: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """The tensors again, as views of the bytes of `packed`."""
    order = _order(like)
    sizes = [like[place].numel() * like[place].itemsize for place in order]
    parts = dict(zip(order, together.split(sizes), strict=True))
    return [parts[place].view(each.dtype).view(each.shape) for place, each in enumerate(like)]


def _order(tensors: Sequence[Tensor]) -> list[int]:
    """Their places, those with the widest numbers first, so that all lie where their types want it."""
    return sorted(range(len(tensors)), key=lambda place: -tensors[place].itemsize)
