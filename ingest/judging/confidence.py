"""How likely a label is right, from how well it predicts its unit: a logistic fit.

How it was found and tested is told in docs/confidence.md; benchmarks/confidence.py does it again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

# of the probes that it was fitted on; no more is known of larger ones
_MOST_IMAGES = 5_000


@dataclass(frozen=True)
class Fit:
    """Log-odds of a right label, as a weighted sum.

    Attributes:
        root: weight of the square root of the cubed correlation, 0 where that is below 0.
        stability: weight of the stability; 0 where that is not known.
        log_images: weight of the natural logarithm of the number of images.
        constant: added to them.
    """

    root: float
    stability: float
    log_images: float
    constant: float


STABLE = Fit(root=15.09, stability=0.899, log_images=1.0205, constant=-19.55)
# for labels that none of the images chose, as those of another tool
WITHOUT_STABILITY = Fit(root=15.47, stability=0.0, log_images=1.1041, constant=-19.75)


def confidences(measures: Mapping[str, Tensor], images: int) -> Tensor:
    """The chance that each label is right, (units,) float32; NaN where its correlation is.

    Args:
        measures: cubed_correlation, of the cosines of the label's first concept, and stability; each (units,).
        images: by which they were measured.
    """
    root, stability = measures["cubed_correlation"].clamp_min(0).sqrt(), measures["stability"]
    logarithm = math.log(min(max(images, 1), _MOST_IMAGES))

    def odds(fit: Fit) -> Tensor:
        known = stability.nan_to_num(0.0)
        return fit.root * root + fit.stability * known + fit.log_images * logarithm + fit.constant

    return torch.where(stability.isnan(), odds(WITHOUT_STABILITY), odds(STABLE)).sigmoid()
