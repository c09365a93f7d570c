"""What a concept predicts of an image where masks tell it: the share of the pixels that show it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from neuronlake.ingest.devices import finest
from neuronlake.ingest.labelers.dissecting.formulas import OPERATORS
from neuronlake.ingest.labelers.dissecting.regions import Regions

# of regions and labels, or regions and concepts
_AT_ONCE = 2**25
# where a formula holds with one concept more
_PUT: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "or": torch.logical_or,
    "and": torch.logical_and,
    "and not": lambda before, concept: before & ~concept,
}


@dataclass(frozen=True)
class AreaShares:
    """See `signals.Signals`; 0 to 1, of what the network sees of an image. A formula's share is where it holds."""

    regions: Regions

    @property
    def images(self) -> int:
        """See Signals."""
        return self.regions.images

    @property
    def concepts(self) -> int:
        """See Signals."""
        return self.regions.concepts

    def usable(self) -> Tensor:
        """See Signals."""
        found = torch.zeros(self.concepts, dtype=torch.bool, device=self.regions.image.device)
        found[self.regions.members] = True
        return found

    def block(self, images: slice, concepts: slice | Tensor) -> Tensor:
        """See Signals."""
        first, last, _ = images.indices(self.images)
        found = [
            self._shares(rows, self._holds(rows)[:, concepts]) for rows in self._blocks(first, last, self.concepts)
        ]
        return torch.cat(found)

    def predicted(self, terms: Tensor, weights: Tensor, operators: Tensor | None = None) -> Tensor:
        """See Signals."""
        blocks = self._blocks(0, self.images, max(self.concepts, len(terms)))
        parts = [self._of_labels(images, terms, weights, operators) for images in blocks]
        return torch.cat(parts) if parts else torch.zeros(0, len(terms), device=terms.device)

    def _of_labels(self, images: slice, terms: Tensor, weights: Tensor, operators: Tensor | None) -> Tensor:
        """What labels predict of some images, (images, labels) float32."""
        holds = self._holds(images)
        # one column more, which holds nowhere, for no concept
        holds = torch.cat([holds, torch.zeros_like(holds[:, :1])], dim=1)
        places = terms.masked_fill(terms < 0, self.concepts)
        if operators is None:
            shares = [self._shares(images, holds[:, place]) for place in places.T]
            return sum((each * weight for each, weight in zip(shares, weights.T, strict=True)), 0 * shares[0])
        where = holds[:, places[:, 0]]
        for place, operator in zip(places.T[1:], operators.T[1:], strict=True):
            concept = holds[:, place]
            for number, name in enumerate(OPERATORS, start=1):
                where = torch.where(operator == number, _PUT[name](where, concept), where)
        return self._shares(images, where)

    def _shares(self, images: slice, holds: Tensor) -> Tensor:
        """Shares of the images' pixels, (images, columns) float32, by what their regions have, (regions, columns)."""
        rows = self._rows(images)
        pixels = self.regions.pixels[rows].to(finest(holds.device))
        place = self.regions.image[rows] - images.start
        shape = (images.stop - images.start, holds.shape[1])
        found = torch.zeros(shape, dtype=pixels.dtype, device=holds.device)
        found.index_add_(0, place, holds * pixels[:, None])
        total = torch.zeros(shape[0], dtype=pixels.dtype, device=holds.device).index_add_(0, place, pixels)
        return (found / total.clamp_min(1)[:, None]).float()

    def _holds(self, images: slice) -> Tensor:
        """Which concepts are in the regions of some images, (regions, concepts) bool."""
        rows = self._rows(images)
        everyone = torch.arange(rows.start, rows.stop, device=self.regions.image.device)
        place, concept = self.regions.members_of(everyone)
        found = torch.zeros(len(everyone), self.concepts, dtype=torch.bool, device=place.device)
        found[place, concept] = True
        return found

    def _rows(self, images: slice) -> slice:
        """The regions of some images."""
        ends = torch.tensor([images.start, images.stop], device=self.regions.image.device)
        first, last = torch.searchsorted(self.regions.image, ends).tolist()
        return slice(first, last)

    def _blocks(self, first: int, last: int, columns: int) -> Iterator[slice]:
        """Slices over the images, of few enough that their regions are held with all columns."""
        regions_each = max(1, len(self.regions.image) // max(1, self.images))
        size = max(1, _AT_ONCE // max(1, columns) // regions_each)
        for start in range(first, last, size):
            yield slice(start, min(start + size, last))
