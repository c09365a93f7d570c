"""Attention heads: what they give before the output projection mixes them, as units of a layer ``NAME:heads``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from torchvision.models.swin_transformer import ShiftedWindowAttention

_PROJECTIONS = ("proj", "out_proj")
# these use the projection's weights without calling it, so there is nothing to hook
_UNCALLED = (nn.MultiheadAttention, ShiftedWindowAttention)


def has_heads(part: nn.Module) -> bool:
    """Whether it is an attention module whose heads can be read: it has ``num_heads`` and an output projection."""
    return isinstance(getattr(part, "num_heads", None), int) and _projection(part) is not None


def watch_heads(part: nn.Module, see: Callable[[object], None]) -> RemovableHandle:
    """Let `see` have the heads' outputs in each forward pass, (images, tokens, channels).

    The channels of a head lie together: with d of them, channel i is channel i % d of head i // d.
    """
    projection = _projection(part)
    assert projection is not None
    if not isinstance(part, _UNCALLED):
        return projection[1].register_forward_pre_hook(lambda _projection, inputs: see(_tokens(inputs[0])))
    return part.register_forward_hook(
        lambda _part, inputs, named, _output: see(_unprojected(part, inputs, named)), with_kwargs=True
    )


def _projection(part: nn.Module) -> tuple[str, nn.Linear] | None:
    """Name and module of the output projection."""
    for name in _PROJECTIONS:
        found = getattr(part, name, None)
        if isinstance(found, nn.Linear):
            return name, found
    return None


def _unprojected(part: nn.Module, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> Tensor:
    """What the module gives with a projection that changes nothing; its own is put back.

    The attention is computed a second time. A product with the identity is exact, and so nothing of what makes up
    the attention (masks, windows, biases) has to be known here.
    """
    name, projection = cast("tuple[str, nn.Linear]", _projection(part))
    weight = projection.weight
    same = nn.Linear(projection.in_features, projection.in_features, projection.bias is not None, device="meta")  # pyright: ignore[reportUnnecessaryComparison]  a Linear may have none
    same.weight = nn.Parameter(torch.eye(projection.in_features, dtype=weight.dtype, device=weight.device), False)
    if projection.bias is not None:  # pyright: ignore[reportUnnecessaryComparison]
        same.bias = nn.Parameter(torch.zeros_like(projection.bias), False)
    setattr(part, name, same)
    try:
        output = part.forward(*inputs, **named)
    finally:
        setattr(part, name, projection)
    if not isinstance(part, nn.MultiheadAttention):
        return _tokens(output)
    attended = output[0]
    return attended if part.batch_first or attended.ndim != 3 else attended.transpose(0, 1)


def _tokens(value: Any) -> Any:
    """Maps with their channels last, as a projection takes them, as tokens."""
    return value.flatten(1, 2) if isinstance(value, Tensor) and value.ndim == 4 else value
