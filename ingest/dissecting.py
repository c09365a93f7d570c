"""Two passes over the images for a labeler that looks at masks: each unit's threshold, then its pixels in each region.

A chunk of images is one transaction in both, so that a run which is killed goes on where it was.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from neuronlake.ingest.machines.base import Machine
from neuronlake.ingest.machines.chunks import Chunk
from neuronlake.ingest.machines.feeding.batches import BatchLimit
from neuronlake.ingest.machines.feeding.preparing import Prepare, prepare_pixels
from neuronlake.ingest.machines.loaded import LoadedNetworks
from neuronlake.ingest.machines.maps.crossing import CrossedChunk, CrossMasks, prepare_with_masks
from neuronlake.ingest.machines.maps.look import LookAt
from neuronlake.ingest.machines.maps.thresholds import (
    LayerTail,
    SeekThresholds,
    threshold_of,
    values_above,
)
from neuronlake.ingest.plan import Plan
from neuronlake.ingest.probes.decoding import quiet_decoding
from neuronlake.ingest.storing import Registered, readable_chunks
from neuronlake.sql.store import dissections
from neuronlake.sql.store.dissections import HighestValues, Pass, StoredDissection
from neuronlake.sql.warehouse import Warehouse
from neuronlake.sql.words import Progress

Key = tuple[str, str]

# so many times the values that count may be stored before those are dropped that do not
_STORED_TIMES = 3
_VALUES_AT_ONCE = 2**23
# of each unit's top images, those whose outlines are kept: pages show no more at first sight
_OUTLINED_IMAGES = 5


@dataclass(frozen=True)
class _Dissected:
    """A layer that is looked at.

    Attributes:
        layer_id: its number.
        units: how many it has.
        stored: its dissection.
    """

    layer_id: int
    units: int
    stored: StoredDissection


@dataclass(frozen=True)
class _Passes:
    """What both passes go by.

    Attributes:
        layers: to look at, by (model name, layer).
        chunks: all of the probe, with their images that can be read.
        share: of all places that is above a threshold.
    """

    warehouse: Warehouse
    registered: Registered
    machine: Machine
    networks: LoadedNetworks
    limit: BatchLimit
    layers: dict[Key, _Dissected]
    chunks: tuple[Chunk, ...]
    share: float
    run_id: int
    progress: Progress

    @cached_property
    def images(self) -> int:
        """How many can be read."""
        return sum(len(chunk.images) for chunk in self.chunks)

    def pending(self, which: Pass) -> list[Chunk]:
        """The chunks that a pass has not been over, with the layers that lack it."""
        done = {
            key: dissections.done_chunks(self.warehouse, layer.stored.dissection_id, which)
            for key, layer in self.layers.items()
        }
        lacking = ((chunk, tuple(key for key in self.layers if chunk.number not in done[key])) for chunk in self.chunks)
        return [Chunk(chunk.number, chunk.images, keys, needs_embeddings=False) for chunk, keys in lacking if keys]

    def looked_at(
        self, stage: str, pending: Sequence[Chunk], prepare: Prepare, look_at: LookAt
    ) -> Generator[tuple[Chunk, Any]]:
        """Chunks as they are done, each with what it gave; to be closed."""
        total = sum(len(chunk.images) for chunk in pending)
        return self.machine.look_at_maps(
            self.networks, pending, prepare, look_at, self.limit, lambda seen: self.progress(stage, seen, total)
        )


def dissect(
    warehouse: Warehouse,
    plan: Plan,
    registered: Registered,
    layer_ids: Sequence[int],
    machine: Machine,
    limit: BatchLimit,
    run_id: int,
    progress: Progress,
) -> None:
    """Look at the maps of some layers beside the probe's masks, where the labeler asks for these and there are some.

    Raises:
        NeuronlakeError: an image or a mask is not what it was, or the machine cannot do it.
    """
    if plan.probe.masks is None or not layer_ids:  # they are read only for a labeler that asks for them
        return
    share = float(plan.scoring.parameters["quantile"])
    keys = {key: layer_id for key, layer_id in registered.layer_ids.items() if layer_id in layer_ids}
    units = {layer.layer_id: layer.units for layer in registered.layers}
    with warehouse.transaction():
        layers = {
            key: _Dissected(
                layer_id,
                units[layer_id],
                dissections.register(warehouse, layer_id, registered.probe.probe_id, registered.concept_set_id, share),
            )
            for key, layer_id in keys.items()
        }
    passes = _Passes(
        warehouse,
        registered,
        machine,
        plan.networks,
        limit,
        layers,
        tuple(
            Chunk(number, images, (), needs_embeddings=False)
            for number, images in readable_chunks(warehouse, plan, registered.probe)
        ),
        share,
        run_id,
        progress,
    )
    with quiet_decoding():
        _seek_thresholds(passes)
        _cross_masks(passes)


def _seek_thresholds(passes: _Passes) -> None:
    """The first pass."""
    pending = passes.pending("thresholds")
    bounds: dict[Key, np.ndarray] = {}
    for key, layer in passes.layers.items():
        places = dissections.places(passes.warehouse, layer.stored.dissection_id)
        if places and any(key in chunk.layers for chunk in pending):  # an earlier run was cut off
            bounds[key] = _drop_lower(passes, layer, places)

    def look_at(chunk: Chunk) -> SeekThresholds:
        known = {key: bounds[key] for key in chunk.layers if key in bounds}
        return SeekThresholds(passes.share, passes.images, known)

    left = {key: sum(key in chunk.layers for chunk in pending) for key in passes.layers}
    with closing(passes.looked_at("Seeking thresholds", pending, prepare_pixels, look_at)) as looked:
        for chunk, found in looked:
            with passes.warehouse.transaction():
                for key in chunk.layers:
                    left[key] -= 1
                    bound = _add_tail(passes, chunk, passes.layers[key], found.get(key), is_last=left[key] == 0)
                    if bound is not None:
                        bounds[key] = bound


def _add_tail(
    passes: _Passes, chunk: Chunk, layer: _Dissected, tail: LayerTail | None, *, is_last: bool
) -> np.ndarray | None:
    """Store a chunk's highest values, and with the last chunk the thresholds; gives what is surely below these."""
    warehouse, number = passes.warehouse, layer.stored.dissection_id
    if tail is not None:  # there is none of a chunk without a readable image
        dissections.insert_tails(warehouse, number, tail.highest)
        dissections.set_places(warehouse, number, tail.places)
    dissections.finish_chunk(warehouse, number, chunk.number, "thresholds", passes.run_id)
    places = dissections.places(warehouse, number)
    if is_last:
        _write_thresholds(passes, layer, places or 1)
        return None
    most = values_above(passes.images * (places or 1), passes.share)
    if dissections.stored_values(warehouse, number) > _STORED_TIMES * most * layer.units:
        return _drop_lower(passes, layer, places or 1)
    return None


def _drop_lower(passes: _Passes, layer: _Dissected, places: int) -> np.ndarray:
    """Keep of each unit only as many of its highest values as count; gives the lowest of these, (units,) float32."""
    warehouse, number = passes.warehouse, layer.stored.dissection_id
    most = values_above(passes.images * places, passes.share)
    bounds = np.full(layer.units, -np.inf, dtype=np.float32)
    with warehouse.transaction():
        for units in _unit_blocks(passes, layer):
            kept: list[np.ndarray] = []
            for unit, values in zip(units, _of_units(warehouse, number, units), strict=True):
                enough = len(values) >= most
                kept.append(np.partition(values, len(values) - most)[-most:] if enough else values)
                if enough:
                    bounds[unit] = kept[-1].min()
            dissections.forget_tails(warehouse, number, units)
            starts = np.concatenate([[0], np.cumsum([len(values) for values in kept])])
            dissections.insert_tails(warehouse, number, HighestValues(np.concatenate(kept), starts), units.start)
    return bounds


def _write_thresholds(passes: _Passes, layer: _Dissected, places: int) -> None:
    """The thresholds of a layer, once all images were seen; the values that told them are dropped."""
    warehouse, number = passes.warehouse, layer.stored.dissection_id
    everywhere = passes.images * places
    needed = values_above(everywhere, passes.share)
    thresholds = [
        # of a unit that is not finite too few were kept
        threshold_of(values, everywhere, passes.share) if len(values) >= needed else np.inf
        for units in _unit_blocks(passes, layer)
        for values in _of_units(warehouse, number, units)
    ]
    dissections.insert_thresholds(warehouse, number, np.array(thresholds))
    dissections.forget_tails(warehouse, number)


def _unit_blocks(passes: _Passes, layer: _Dissected) -> Iterator[range]:
    """Units of a layer, of so few that their stored values are held at once."""
    each = dissections.stored_values(passes.warehouse, layer.stored.dissection_id) // layer.units
    size = max(1, _VALUES_AT_ONCE // max(1, each))
    for start in range(0, layer.units, size):
        yield range(start, min(start + size, layer.units))


def _of_units(warehouse: Warehouse, number: int, units: range) -> Iterator[np.ndarray]:
    """The stored values of each of some units."""
    found = dissections.tails(warehouse, number, units)
    for start, end in zip(found.starts[:-1], found.starts[1:], strict=True):
        yield found.values[start:end]


def _cross_masks(passes: _Passes) -> None:
    """The second pass."""
    pending = passes.pending("regions")
    probe_id = passes.registered.probe.probe_id
    thresholds = {
        key: dissections.thresholds(passes.warehouse, layer.stored.dissection_id)
        for key, layer in passes.layers.items()
    }

    def look_at(chunk: Chunk) -> CrossMasks:
        images = [image.image_id for image in chunk.images]
        outlined = {
            key: dissections.top_images(
                passes.warehouse, passes.layers[key].layer_id, probe_id, images, _OUTLINED_IMAGES
            )
            for key in chunk.layers
        }
        return CrossMasks({key: thresholds[key] for key in chunk.layers}, outlined)

    with closing(passes.looked_at("Comparing with masks", pending, prepare_with_masks, look_at)) as looked:
        for chunk, found in looked:
            with passes.warehouse.transaction():
                _add_crossed(passes, chunk, found)


def _add_crossed(passes: _Passes, chunk: Chunk, found: CrossedChunk) -> None:
    """Store what a chunk gave."""
    warehouse, registered = passes.warehouse, passes.registered
    models = {key[0]: passes.layers[key].stored.model_id for key in chunk.layers}
    keys = {"concept_set_id": registered.concept_set_id, "probe_id": registered.probe.probe_id}
    for model, model_id in models.items():
        if model in found.regions and chunk.number not in dissections.region_chunks(warehouse, model_id, **keys):
            rows = _with_ids(found.regions[model], registered.concept_ids)
            dissections.insert_regions(warehouse, rows, model_id=model_id, chunk=chunk.number, **keys)
    for key in chunk.layers:
        number = passes.layers[key].stored.dissection_id
        if key in found.active:
            dissections.insert_active(warehouse, number, found.active[key], found.outlines[key])
        dissections.finish_chunk(warehouse, number, chunk.number, "regions", passes.run_id)


def _with_ids(regions: pl.DataFrame, concept_ids: Sequence[int]) -> pl.DataFrame:
    """Regions with the numbers of their concepts in the place of their places."""
    numbers = pl.element().replace_strict(list(range(len(concept_ids))), list(concept_ids), return_dtype=pl.Int32)
    return regions.select("image_id", "region", pl.col("concepts").list.eval(numbers).alias("concept_ids"), "pixels")
