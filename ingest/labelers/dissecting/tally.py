"""Counts of pixels that units and concepts share, and their intersections over unions.

Bau et al., "Network Dissection: Quantifying Interpretability of Deep Visual Representations", CVPR 2017: the union of a
unit and a concept counts the unit's pixels in those images alone that have any label of the concept's category.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neuronlake.ingest.devices import finest
from neuronlake.ingest.labelers.dissecting.regions import Dissection

# Which images count in a union: those where the category is labelled anywhere, as the paper says, or those where the
# unit's own active pixels touch a label of it, as NetDissect-Lite counts.
DEFINITIONS = ("paper", "lite")


@dataclass(frozen=True)
class Tally:
    """Pixels of a layer's units and of concepts.

    Attributes:
        intersection: of each unit and concept, (units, concepts) int64.
        active: of each unit in images with labels of each concept's category, (units, concepts) int64.
        extent: of each concept, (concepts,) int64.
    """

    intersection: Tensor
    active: Tensor
    extent: Tensor

    @property
    def union(self) -> Tensor:
        """(units, concepts) int64."""
        return self.active + self.extent - self.intersection

    @property
    def iou(self) -> Tensor:
        """Intersections over unions, (units, concepts) float32; 0 where there is neither."""
        return (self.intersection.to(finest(self.extent.device)) / self.union.clamp_min(1)).float()


def tally(found: Dissection, definition: str) -> Tally:
    """Count.

    Args:
        found: the units beside the masks.
        definition: one of `DEFINITIONS`.
    """
    regions, active = found.regions, found.active
    units, concepts = active.units, regions.concepts
    device = regions.pixels.device
    extent = torch.zeros(concepts, dtype=torch.int64, device=device)
    extent.index_add_(0, regions.members, regions.counted_pixels[regions.region_of_member])
    intersection = torch.zeros(units * concepts, dtype=torch.int64, device=device)
    for unit, region, pixels in active.blocks():
        row, concept = regions.members_of(region)
        weight = pixels * regions.counted[regions.image[region]]
        intersection.index_add_(0, unit[row] * concepts + concept, weight[row])
    of_category = _active_by_touch(found) if definition == "lite" else _active_by_image(found)
    return Tally(intersection.view(units, concepts), of_category[:, regions.categories], extent)


def active_anywhere(found: Dissection) -> Tensor:
    """Active pixels of each unit in all images that count, (units,) int64."""
    total = torch.zeros(found.active.units, dtype=torch.int64, device=found.regions.pixels.device)
    for unit, region, pixels in found.active.blocks():
        total.index_add_(0, unit, pixels * found.regions.counted[found.regions.image[region]])
    return total


def _active_by_image(found: Dissection) -> Tensor:
    """Active pixels in images that have a label of a category, (units, categories) int64."""
    regions = found.regions
    shown = regions.categories_of_images() & regions.counted[:, None]
    total = torch.zeros(found.active.units, shown.shape[1], dtype=torch.int64, device=shown.device)
    for unit, region, pixels in found.active.blocks():
        total.index_add_(0, unit, pixels[:, None] * shown[regions.image[region]])
    return total


def _active_by_touch(found: Dissection) -> Tensor:
    """The same of images where an active pixel itself has a label of the category, (units, categories) int64."""
    regions, active = found.regions, found.active
    categories = int(regions.categories.max()) + 1 if regions.concepts else 0
    in_region = torch.zeros(len(regions.image), categories, dtype=torch.bool, device=regions.image.device)
    in_region[regions.region_of_member, regions.categories[regions.members]] = True
    unit, region = active.unit.long(), active.region.long()
    image = regions.image[region]
    pairs, pair = torch.unique_consecutive(unit * regions.images + image, return_inverse=True)
    touched = torch.zeros(len(pairs), categories, dtype=torch.int64, device=unit.device)
    touched.index_add_(0, pair, in_region[region].long())
    pixels = torch.zeros(len(pairs), dtype=torch.int64, device=unit.device)
    pixels.index_add_(0, pair, active.pixels.long() * regions.counted[image])
    total = torch.zeros(active.units, categories, dtype=torch.int64, device=unit.device)
    return total.index_add_(0, torch.div(pairs, regions.images, rounding_mode="floor"), pixels[:, None] * (touched > 0))
