"""How likely a label is right, from how well it predicts its unit: fitted, see docs/confidence.md."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def confidences(measures: Mapping[str, Tensor]) -> Tensor:
    """Of each label, (units,) float32 from 0 to 1; NaN where a measure is not known."""
    return measures["cubed_correlation"].clamp(0, 1)
