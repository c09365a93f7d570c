"""The parts of images that are of the same concepts, and how much of them a unit is active on.

All that Network Dissection asks of masks and maps follows from these counts, so no pixel is looked at again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

_ROWS_AT_ONCE = 2**20

T = TypeVar("T", bound="Regions | ActivePixels")


@dataclass(frozen=True)
class Regions:
    """The regions of images, in the order of the images.

    Attributes:
        image: of each region the place of its image, (regions,) int64, ascending.
        pixels: (regions,) int64.
        starts: where its concepts begin in `members`, (regions + 1,) int64.
        members: places of concepts, (pairs,) int64; one that two masks tell of the same pixels is there twice.
        categories: of each concept the number of its category, (concepts,) int64.
        counted: whether an image counts, (images,) bool.
    """

    image: Tensor
    pixels: Tensor
    starts: Tensor
    members: Tensor
    categories: Tensor
    counted: Tensor

    @property
    def images(self) -> int:
        """How many, counted or not."""
        return len(self.counted)

    @property
    def concepts(self) -> int:
        """How many."""
        return len(self.categories)

    @property
    def counted_pixels(self) -> Tensor:
        """(regions,) int64, 0 in images that do not count."""
        return self.pixels * self.counted[self.image]

    @property
    def lengths(self) -> Tensor:
        """How many concepts each region has, (regions,) int64."""
        return self.starts.diff()

    @property
    def region_of_member(self) -> Tensor:
        """(pairs,) int64."""
        return torch.arange(len(self.image), device=self.image.device).repeat_interleave(self.lengths)

    def members_of(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """The concepts of some regions.

        Args:
            regions: (some,) int64.

        Returns:
            Places in `regions` and the concepts there, (pairs,) int64 each.
        """
        lengths = self.lengths[regions]
        place = torch.arange(len(regions), device=regions.device).repeat_interleave(lengths)
        first = lengths.cumsum(0) - lengths
        offset = torch.arange(len(place), device=regions.device) - first[place]
        return place, self.members[self.starts[regions][place] + offset]

    def categories_of_images(self) -> Tensor:
        """Which categories' concepts an image shows at all, (images, categories) bool."""
        count = int(self.categories.max()) + 1 if self.concepts else 0
        found = torch.zeros(self.images, count, dtype=torch.bool, device=self.image.device)
        found[self.image[self.region_of_member], self.categories[self.members]] = True
        return found


@dataclass(frozen=True)
class ActivePixels:
    """Of each unit how many pixels of a region are above its threshold, where there are any.

    Attributes:
        unit: (rows,) int32; rows of one unit and image follow each other.
        region: by its place in `Regions`, (rows,) int32.
        pixels: (rows,) int32.
        thresholds: (units,) float64, always on the CPU.
    """

    unit: Tensor
    region: Tensor
    pixels: Tensor
    thresholds: Tensor

    @property
    def units(self) -> int:
        """How many."""
        return len(self.thresholds)

    def blocks(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Unit, region and pixels as int64, so many rows at once."""
        for start in range(0, len(self.unit), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            yield self.unit[rows].long(), self.region[rows].long(), self.pixels[rows].long()


@dataclass(frozen=True)
class Dissection:
    """A layer's units beside what masks show."""

    regions: Regions
    active: ActivePixels

    def to(self, device: torch.device) -> Dissection:
        """The same on a device, but for the thresholds: not every device has float64."""
        return Dissection(_on(device, self.regions), _on(device, self.active))

    def of_images(self, rows: Tensor) -> Dissection:
        """The same where only some images count; thresholds are those of all."""
        counted = torch.zeros_like(self.regions.counted)
        counted[rows] = True
        return replace(self, regions=replace(self.regions, counted=counted))


def _on(device: torch.device, found: T) -> T:
    """The same with its whole numbers on a device."""
    moved = {name: tensor.to(device) for name, tensor in vars(found).items() if not tensor.is_floating_point()}
    return replace(found, **moved)


def whole_images(image_labels: Tensor, categories: Tensor) -> Regions:
    """Images that are all of what their own label says, as one region of one pixel each.

    Args:
        image_labels: of each image its label's place among the concepts, (images,) int64; -1 for none.
        categories: of each concept the number of its category, (concepts,) int64.
    """
    images = len(image_labels)
    has_label = image_labels >= 0
    everyone = torch.arange(images, device=image_labels.device)
    starts = torch.cat([everyone[:0].new_zeros(1), has_label.long().cumsum(0)])
    one = torch.ones_like(everyone)
    return Regions(everyone, one, starts, image_labels[has_label], categories, one.bool())


def active_images(activations: Tensor, quantile: float) -> ActivePixels:
    """Units beside `whole_images`: active on the images above the threshold.

    Args:
        activations: (images, units) float32, finite.
        quantile: share of the images above the threshold.
    """
    thresholds = upper_quantile(activations.T, quantile)
    above = thresholds.to(activations)
    unit, image = activations.T.gt(above[:, None]).nonzero(as_tuple=True)
    return ActivePixels(unit.int(), image.int(), torch.ones_like(unit, dtype=torch.int32), thresholds)


def upper_quantile(values: Tensor, share: float) -> Tensor:
    """The value that a share of each row is above, as numpy's method ``linear`` has it: (rows,) float64.

    Args:
        values: (rows, columns) float32, finite.
        share: from 0 to 1.
    """
    count = values.shape[1]
    below, part = rank_of_quantile(count, share)
    if not count or not len(values):
        return torch.full((len(values),), torch.nan, dtype=torch.float64)
    highest = values.topk(count - below, dim=1).values
    low, high = (highest[:, place].cpu().double() for place in (-1, max(0, count - below - 2)))
    return low + part * (high - low)


def rank_of_quantile(count: int, share: float) -> tuple[int, float]:
    """The rank from below, counted from 0, of the last value that is not above the quantile, and how far on it is.

    Args:
        count: of all values.
        share: of them that is above.
    """
    place = max(0, count - 1) * (1 - share)
    below = min(int(place), max(0, count - 1))
    return below, place - below
