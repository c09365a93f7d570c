"""Which part of an image a transform shows, found out by showing it pictures whose pixels tell their place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

Transform = Callable[[Image.Image], Tensor]
Window = tuple[float, float, float, float]

WHOLE: Window = (0.0, 0.0, 1.0, 1.0)
# of an image's side: by so much places may be off their line, such as by interpolation
_OFF = 0.03


def shown_window(transform: Transform, width: int, height: int) -> Window | None:
    """Left, top, right and bottom of what a transform shows of an image, as fractions of its width and height.

    Those below 0 and above 1 are of padding. None where it shows no upright rectangle, or something else each time.

    Args:
        transform: from an RGB image to a (3, rows, columns) tensor.
        width: of the image, in pixels.
        height: of the image, in pixels.
    """
    across = np.broadcast_to(_ramp(width), (height, width))
    down = np.broadcast_to(_ramp(height)[:, None], (height, width))
    black, white, x, y, again = (
        transform(Image.fromarray(np.ascontiguousarray(grey)).convert("RGB")).float().mean(dim=0)
        for grey in (np.zeros_like(across), np.full_like(across, 255), across, down, across)
    )
    contrast = white - black
    is_shown = contrast.abs() > 0.5 * contrast.abs().amax()
    if not is_shown.any():
        return None
    safe = torch.where(is_shown, contrast, 1.0)
    columns = _edges((x - black) / safe, is_shown, dim=1)
    rows = _edges((y - black) / safe, is_shown, dim=0)
    others = _edges((again - black) / safe, is_shown, dim=1)
    if columns is None or rows is None or others is None or not np.allclose(columns, others, atol=_OFF):
        return None
    return columns[0], rows[0], columns[1], rows[1]


def _ramp(pixels: int) -> np.ndarray:
    """Of each pixel of a line the place of its centre, from 0 for its beginning to 255 for its end."""
    return ((np.arange(pixels) + 0.5) / pixels * 255).round().astype(np.uint8)


def _edges(place: Tensor, is_shown: Tensor, dim: int) -> tuple[float, float] | None:
    """Where a view begins and ends in an image, from the place that each of its pixels shows; None if that is no line.

    Args:
        place: (rows, columns) from 0 to 1.
        is_shown: (rows, columns) bool, what is no padding.
        dim: along which the place should rise.
    """
    size = place.shape[dim]
    centres = (torch.arange(size) + 0.5) / size
    along = centres.expand(place.shape) if dim == 1 else centres[:, None].expand(place.shape)
    at, found = along[is_shown].double(), place[is_shown].double()
    spread = at - at.mean()
    if not (spread != 0).any():
        return None
    slope = float((spread * found).sum() / spread.square().sum())
    start = float(found.mean() - slope * at.mean())
    if slope <= 0 or float((found - start - slope * at).abs().mean()) > _OFF:
        return None
    # what begins or ends within half a pixel of the image's edge does so there: interpolation tells no more
    edges = (start, 0.0), (start + slope, 1.0)
    first, last = (edge if abs(seen - edge) < slope / size / 2 else seen for seen, edge in edges)
    return first, last
