"""Chunks: what some images of a probe gave, loaded all at once or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from neuronlake.sql.store.encoders import embedding_rows
from neuronlake.sql.store.images.reuse import Reused, copy_activations, copy_embeddings
from neuronlake.sql.store.probes import StoredProbe
from neuronlake.sql.warehouse import Warehouse


@dataclass(frozen=True)
class LayerValues:
    """What the images of a chunk gave in a layer.

    Attributes:
        activations: (images, units) float32.
        top_rows: (units, k) int64, rows of the images with the highest activations of each unit, best first.
        peaks: (units, k, 2) float32, x and y of the map's maximum in the whole image; None without a map.
    """

    activations: np.ndarray
    top_rows: np.ndarray
    peaks: np.ndarray | None = None


@dataclass(frozen=True)
class Chunk:
    """Some images of a probe, and what they gave.

    Attributes:
        probe_id: number of the probe.
        number: of the chunk in its probe.
        run_id: of the run that made it.
        image_ids: (images,) int32, of those that could be read, without the copied ones.
        layers: by number of the layer what the images gave; None where no image could be read.
        encoder_id: of the encoder that they were encoded with; None where they were not.
        embeddings: (images, dimensions) float32; None also where no image could be read.
        reused: images that are copied from another probe; None where none is.
    """

    probe_id: int
    number: int
    run_id: int
    image_ids: np.ndarray
    layers: Mapping[int, LayerValues | None]
    encoder_id: int | None = None
    embeddings: np.ndarray | None = None
    reused: Reused | None = None


@dataclass(frozen=True)
class LoadedParts:
    """What the chunks of a probe were loaded for: numbers of chunks with those of layers, and of encoders."""

    layers: frozenset[tuple[int, int]]
    encoders: frozenset[tuple[int, int]]


def insert_chunk(warehouse: Warehouse, chunk: Chunk) -> None:
    """Commit the values of a chunk and its own record, all or nothing."""
    with warehouse.transaction():
        for layer_id, values in chunk.layers.items():
            _insert_activations(warehouse, layer_id, chunk, values)
            if values is not None:
                _insert_candidates(warehouse, layer_id, chunk, values)
        if chunk.encoder_id is not None and chunk.reused:
            copy_embeddings(warehouse, chunk.encoder_id, chunk.reused)
        if chunk.embeddings is not None:
            rows = embedding_rows("image_id", chunk.image_ids, chunk.embeddings)
            warehouse.insert("image_embeddings", rows, encoder_id=chunk.encoder_id)
        of_encoder = [] if chunk.encoder_id is None else [(None, chunk.encoder_id)]
        records = pl.DataFrame(
            [*((layer_id, None) for layer_id in chunk.layers), *of_encoder],
            schema={"layer_id": pl.Int32, "encoder_id": pl.Int32},
            orient="row",
        )
        keys = {"probe_id": chunk.probe_id, "chunk": chunk.number, "run_id": chunk.run_id}
        reused = len(chunk.reused.sources) if chunk.reused else 0
        warehouse.insert("chunks", records, **keys, images=len(chunk.image_ids) + reused)


def _insert_activations(warehouse: Warehouse, layer_id: int, chunk: Chunk, values: LayerValues | None) -> None:
    """A layer's activations, those that are copied among them, as rows sorted by unit."""
    rows = None if values is None else _activation_rows(chunk.image_ids, values.activations)
    if chunk.reused:
        copy_activations(warehouse, layer_id, chunk.probe_id, chunk.reused, rows)
    elif rows is not None:
        warehouse.insert("activations", rows, layer_id=layer_id)


def _activation_rows(image_ids: np.ndarray, activations: np.ndarray) -> Any:
    """(images, units) activations as rows sorted by unit; what is not finite becomes null."""
    images, units = activations.shape
    values = np.ascontiguousarray(activations.T).reshape(-1)
    finite = np.isfinite(values)
    return pa.table(
        {
            "unit": np.repeat(np.arange(units, dtype=np.int32), images),
            "image_id": np.tile(image_ids, units),
            "activation": pa.array(values, mask=None if finite.all() else ~finite),
        }
    )


def _insert_candidates(warehouse: Warehouse, layer_id: int, chunk: Chunk, values: LayerValues) -> None:
    """The chunk's top images of each unit."""
    units, k = values.top_rows.shape
    chosen = np.take_along_axis(values.activations.T, values.top_rows, axis=1)  # (units, k)
    peaks = None if values.peaks is None else values.peaks.reshape(-1, 2)
    rows = pl.DataFrame(
        {
            "unit": np.repeat(np.arange(units, dtype=np.int32), k),
            "image_id": chunk.image_ids[values.top_rows.reshape(-1)],
            "activation": chosen.reshape(-1),
            "peak_x": None if peaks is None else peaks[:, 0],
            "peak_y": None if peaks is None else peaks[:, 1],
        },
        schema_overrides={"peak_x": pl.Float32, "peak_y": pl.Float32},
    )
    finite = rows.filter(pl.col("activation").is_finite())
    warehouse.insert("top_candidates", finite, layer_id=layer_id, probe_id=chunk.probe_id)


def loaded_parts(warehouse: Warehouse, probe_id: int) -> LoadedParts:
    """What the chunks of a probe were loaded for."""
    select = "select chunk, layer_id, encoder_id from store.chunks where probe_id = $id"
    rows: list[tuple[int, int | None, int | None]] = warehouse.sql(select, id=probe_id).fetchall()
    return LoadedParts(
        frozenset((chunk, layer_id) for chunk, layer_id, _ in rows if layer_id is not None),
        frozenset((chunk, encoder_id) for chunk, _, encoder_id in rows if encoder_id is not None),
    )


def finish_layers(warehouse: Warehouse, probe: StoredProbe, layer_ids: Iterable[int], top_images: int) -> None:
    """Write the state of the units, and their top images over the probe, of those layers that lack it.

    All chunks of them are there.
    """
    for layer_id in layer_ids:
        keys = {"layer_id": layer_id, "probe_id": probe.probe_id}
        finished = "select count(*) from store.units where layer_id = $layer_id and probe_id = $probe_id"
        if warehouse.scalar(finished, **keys):
            continue
        with warehouse.transaction():
            warehouse.run_step("finish_units", **keys, **probe.image_range)
            warehouse.run_step("finish_top_images", **keys, top_images=top_images)
            warehouse.run_step("forget_top_candidates", **keys)


def undirected_images(warehouse: Warehouse, encoder_id: int, probe: StoredProbe) -> int:
    """How many images of a probe the encoder gives no direction."""
    return warehouse.step("undirected_images", encoder_id=encoder_id, **probe.image_range).fetchall()[0][0]
