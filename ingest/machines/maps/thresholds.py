"""The highest values of each unit's map over many images: exact, however many images there are.

Of all values only as many are kept as are above the quantile in the end. What is not above as many others is dropped as
soon as that is known, so that after the first images few values are looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neuronlake.ingest.devices import reduced
from neuronlake.ingest.labelers.dissecting.regions import rank_of_quantile
from neuronlake.ingest.layers.passes import read_maps
from neuronlake.ingest.machines.chunks import PreparedImage
from neuronlake.ingest.machines.feeding.staging import Staging
from neuronlake.ingest.machines.loaded import LoadedNetworks
from neuronlake.sql.store.dissections import HighestValues


@dataclass(frozen=True)
class LayerTail:
    """A layer's highest values in a chunk.

    Attributes:
        highest: of each unit, from the highest down.
        places: of the map of one image.
    """

    highest: HighestValues
    places: int


@dataclass(frozen=True)
class SeekThresholds:
    """See `Look`; a chunk gives a `LayerTail` for each (model name, layer).

    Attributes:
        share: of all places that is to be above the threshold.
        images: of the whole probe.
        bounds: of each layer what is surely not above the thresholds, (units,) float32; none at first.
    """

    share: float
    images: int
    bounds: Mapping[tuple[str, str], np.ndarray]

    def reader(self, networks: LoadedNetworks, device: torch.device) -> _TailReader:
        """See Look."""
        return _TailReader(self, networks, device)


def values_above(places: int, share: float) -> int:
    """How many of the highest values tell the quantile that a share of so many places is above."""
    return places - rank_of_quantile(places, share)[0]


def threshold_of(highest: np.ndarray, places: int, share: float) -> float:
    """The quantile that a share of so many places is above, as numpy's method ``linear`` has it.

    Args:
        highest: at least as many as `values_above` says, in any order.
        places: of all images.
        share: from 0 to 1.
    """
    below, part = rank_of_quantile(places, share)
    kept = np.sort(highest)[-(places - below) :].astype(np.float64)
    low, high = kept[0], kept[min(1, len(kept) - 1)]
    return float(low + part * (high - low)) if part else float(low)


class Tail:
    """The highest values of a layer's units so far.

    Args:
        units: how many.
        most: values of a unit that count.
        bound: what is surely not among them, (units,) float32, on the device of the maps.
    """

    def __init__(self, units: int, most: int, bound: Tensor) -> None:
        self._most = most
        self._bound = bound
        self._kept = [np.zeros(0, dtype=np.float32) for _ in range(units)]
        self._waiting: list[HighestValues] = []

    def above(self, values: Tensor) -> HighestValues:
        """Of values, (units, places), those that may count, in their order."""
        is_above = values > self._bound[:, None]
        lengths = is_above.sum(dim=1).cpu().numpy()
        return HighestValues(values[is_above].cpu().numpy(), _starts(lengths))

    def add(self, found: HighestValues) -> None:
        """Keep what `above` found."""
        self._waiting.append(found)
        # as much work for each value, however many are kept
        if sum(len(each.values) for each in self._waiting) > sum(map(len, self._kept)):
            self._drop_lower()

    def highest(self) -> HighestValues:
        """What there is by now, at most as many of each unit as count."""
        self._drop_lower()
        falling = [-np.sort(-values) for values in self._kept]
        return HighestValues(np.concatenate(falling), _starts([*map(len, falling)]))

    def _drop_lower(self) -> None:
        """Put together what waits and what is kept, and drop what as many others of its unit are above."""
        bound = self._bound.cpu().numpy().copy()
        for unit, parts in enumerate(zip(*map(_of_each_unit, self._waiting), strict=True)):
            values = np.concatenate([self._kept[unit], *parts])
            if len(values) >= self._most:
                # without the memory of those that are dropped
                values = np.partition(values, -self._most)[-self._most :].copy()
                bound[unit] = values[0]
            self._kept[unit] = values
        self._bound = torch.from_numpy(bound).to(self._bound.device)
        self._waiting = []


def _starts(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    """Where parts of such lengths begin, and where the last one ends, (parts + 1,) int64."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _of_each_unit(found: HighestValues) -> list[np.ndarray]:
    """The values of each unit."""
    return np.split(found.values, found.starts[1:-1])


class _TailReader:
    """See `Reader`."""

    def __init__(self, look: SeekThresholds, networks: LoadedNetworks, device: torch.device) -> None:
        self._look = look
        self._networks = networks
        self._device = device
        self._staging = Staging(device)
        self._tails: dict[tuple[str, str], tuple[Tail, int]] = {}

    def run(self, batch: list[PreparedImage]) -> None:
        """See Reader."""
        found: list[tuple[tuple[str, str], int, HighestValues]] = []
        with torch.inference_mode():
            inputs = self._staging.inputs(batch, self._networks.preprocessings)
            for model, layers in self._networks.by_model:
                with reduced(self._device, layers[0].precision):
                    maps = read_maps(model, [layer.reading for layer in layers], inputs[model.preprocessing])
                for layer in layers:
                    of_layer = maps[layer.name]
                    tail, places = self._tail(layer.key, of_layer)
                    values = of_layer.transpose(0, 1).flatten(1)
                    found.append((layer.key, places, tail.above(values)))
        # only now that nothing can fail any more
        for key, _, above in found:
            self._tails[key][0].add(above)

    def finish(self) -> dict[tuple[str, str], LayerTail]:
        """See Reader."""
        return {key: LayerTail(tail.highest(), places) for key, (tail, places) in self._tails.items()}

    def _tail(self, key: tuple[str, str], maps: Tensor) -> tuple[Tail, int]:
        """Of a layer, with its map's places."""
        if key not in self._tails:
            units, places = maps.shape[1], maps.shape[2] * maps.shape[3]
            bound = self._look.bounds.get(key)
            start = torch.full((units,), -torch.inf) if bound is None else torch.from_numpy(bound)
            most = values_above(self._look.images * places, self._look.share)
            self._tails[key] = Tail(units, most, start.to(self._device)), places
        return self._tails[key]
