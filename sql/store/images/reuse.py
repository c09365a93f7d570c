"""Images of which another probe has the same contents: what is stored of them is copied, so that nobody looks again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa

from neuronlake.sql.warehouse import Warehouse

_NO_ACTIVATIONS = pa.table(
    {"unit": pa.array([], pa.int32()), "image_id": pa.array([], pa.int32()), "activation": pa.array([], pa.float32())}
)
_PAIR = {"image_id": pl.Int32, "source_id": pl.Int32}


@dataclass(frozen=True)
class Reused:
    """Images of a chunk that are copied.

    Attributes:
        sources: by their numbers those of the images that they are copied from; at least one.
        mapped_layers: numbers of the layers whose top images have the place where a unit fired.
        top_images: how many each unit has.
    """

    sources: Mapping[int, int]
    mapped_layers: Collection[int]
    top_images: int

    @property
    def rows(self) -> pl.DataFrame:
        """The pairs of numbers, one a row."""
        return _pairs(self.sources)

    @property
    def source_range(self) -> dict[str, int]:
        """The first and the last image that is copied, as parameters of a statement."""
        return _range(self.sources)


@dataclass(frozen=True)
class Reusable:
    """Images whose contents another probe has.

    Attributes:
        sources: of those that can be copied, by their number that of the image to copy.
        moved_up: numbers of the others: among the top images of some unit, which they were not there.
    """

    sources: Mapping[int, int]
    moved_up: frozenset[int] = frozenset()


def find_reusable(
    warehouse: Warehouse,
    digests: Mapping[int, str],
    probe_id: int | None,
    layer_ids: Sequence[int],
    encoder_id: int | None,
    top_images: int,
) -> Reusable:
    """The images whose contents another probe has, of which everything is stored that they lack.

    Removed images let others move up among a unit's top images, and an older run has kept the place where a unit fires
    of its own top images only. Images that move up are told apart, so that they are looked at again.

    Args:
        warehouse: to read.
        digests: sha256 of contents by the images' numbers, all of a probe, in its order.
        probe_id: its number; None where it is not in the warehouse.
        layer_ids: numbers of the layers that lack them.
        encoder_id: number of the encoder that lacks them; None where none does.
        top_images: how many each unit has.
    """
    wanted = pl.DataFrame({"image_id": list(digests), "sha256": list(digests.values())})
    keys = {"probe_id": probe_id, "layer_ids": list(layer_ids), "encoder_id": encoder_id}
    with warehouse.lent(wanted_images=wanted):
        sources: dict[int, int] = dict(warehouse.step("reusable_images", **keys).fetchall())
    if not sources:
        return Reusable({})
    moved_up: set[int] = set()
    with warehouse.lent(reused_images=_pairs(sources)):
        if warehouse.step("sources_changed").fetchall()[0][0]:
            for layer_id in mapped_layers(warehouse, layer_ids):
                of_layer = {"layer_id": layer_id, "top_images": top_images, **_range(sources)}
                moved_up |= {number for (number,) in warehouse.step("promoted_images", **of_layer).fetchall()}
    copied = {number: source for number, source in sources.items() if number not in moved_up}
    return Reusable(copied, frozenset(moved_up))


def mapped_layers(warehouse: Warehouse, layer_ids: Sequence[int]) -> frozenset[int]:
    """Those of some layers whose top images have the place where a unit fired."""
    found = warehouse.step("mapped_layers", layer_ids=list(layer_ids)).fetchall()
    return frozenset(number for (number,) in found)


def copy_activations(warehouse: Warehouse, layer_id: int, probe_id: int, reused: Reused, made: Any) -> None:
    """Write the activations of a chunk's images in a layer, and the copied ones among its top candidates.

    Args:
        warehouse: to write to.
        layer_id: number of the layer.
        probe_id: number of the chunk's probe.
        reused: images to copy.
        made: an Arrow table of those that are not, with unit, image_id and activation; None where there are none.
    """
    of_layer = {"layer_id": layer_id, **reused.source_range}
    with warehouse.lent(reused_images=reused.rows, made_activations=_NO_ACTIVATIONS if made is None else made):
        warehouse.run_step("reuse_activations", **of_layer)
        if layer_id in reused.mapped_layers:
            warehouse.run_step("reuse_top_images", layer_id=layer_id, probe_id=probe_id)
        else:
            warehouse.run_step("reuse_candidates", probe_id=probe_id, top_images=reused.top_images, **of_layer)


def copy_embeddings(warehouse: Warehouse, encoder_id: int, reused: Reused) -> None:
    """Write the embeddings of images that are copied."""
    with warehouse.lent(reused_images=reused.rows):
        warehouse.run_step("reuse_embeddings", encoder_id=encoder_id, **reused.source_range)


def copy_pictures(warehouse: Warehouse, reused: Reused) -> None:
    """Write small pictures of images that are copied, unless they are there already."""
    with warehouse.lent(reused_images=reused.rows):
        warehouse.run_step("reuse_pictures", **reused.source_range)


def _pairs(sources: Mapping[int, int]) -> pl.DataFrame:
    """Numbers of images and of those that they are copied from, one pair a row."""
    return pl.DataFrame({"image_id": list(sources), "source_id": list(sources.values())}, schema=_PAIR)


def _range(sources: Mapping[int, int]) -> dict[str, int]:
    """The first and the last image that is copied, as parameters of a statement."""
    return {"first_source_id": min(sources.values()), "last_source_id": max(sources.values())}
