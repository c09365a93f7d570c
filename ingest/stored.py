"""What the warehouse holds, as tensors: activations, embeddings, and which units are alive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neuronlake import NeuronlakeError
from neuronlake.ingest.machines.scratch import empty_matrix
from neuronlake.sql.warehouse import Warehouse

_ACTIVATIONS_AT_ONCE = 1_000_000
_EMBEDDINGS_AT_ONCE = 10_000


class UnevenLayerError(NeuronlakeError):
    """A layer and an encoder have seen different images of a probe."""


@dataclass(frozen=True)
class StoredLayer:
    """A layer whose activations are in the warehouse."""

    layer_id: int
    units: int
    fingerprint: str


def image_features(warehouse: Warehouse, encoder_id: int, probe_id: int) -> tuple[np.ndarray, Tensor]:
    """Numbers of a probe's readable images in order, and their (images, dimensions) float32 embeddings."""
    keys = {"encoder_id": encoder_id, "probe_id": probe_id}
    numbers = warehouse.sql(
        "select image_id from store.image_embeddings join store.images using (image_id)"
        " where encoder_id = $encoder_id and probe_id = $probe_id order by image_id",
        **keys,
    )
    image_ids = numbers.to_arrow_table()["image_id"].to_numpy()
    if not len(image_ids):
        return image_ids, torch.empty(0, 0)
    rows = warehouse.sql(
        "select image_id, embedding from store.image_embeddings join store.images using (image_id)"
        " where encoder_id = $encoder_id and probe_id = $probe_id",
        **keys,
    )
    dimensions = warehouse.scalar("select dimensions from store.encoders where encoder_id = $id", id=encoder_id)
    matrix = empty_matrix(len(image_ids), dimensions, warehouse.path.parent)
    values = matrix.numpy()
    for batch in rows.to_arrow_reader(_EMBEDDINGS_AT_ONCE):
        places = np.searchsorted(image_ids, batch["image_id"].to_numpy())
        values[places] = batch["embedding"].flatten().to_numpy().reshape(-1, dimensions)
    return image_ids, matrix


def text_features(warehouse: Warehouse, encoder_id: int, prompts: Sequence[str], concept_set_id: int) -> Tensor:
    """(concepts, dimensions) float32 embeddings in the order of the concept set."""
    table = warehouse.sql(
        "select embedding from store.concept_embeddings join store.concept_set_concepts using (concept_id)"
        " where encoder_id = $encoder_id and prompts = $prompts and concept_set_id = $concept_set_id order by position",
        encoder_id=encoder_id,
        prompts=list(prompts),
        concept_set_id=concept_set_id,
    ).to_arrow_table()
    values = table["embedding"].combine_chunks().flatten().to_numpy()
    return torch.from_numpy(values.reshape(table.num_rows, -1).copy())


def activations(warehouse: Warehouse, layer_id: int, units: Sequence[int], image_ids: np.ndarray) -> Tensor:
    """(images, units) float32 of some of a layer's units, a transposed view.

    Streamed, so memory holds them once; or not even once, see `empty_matrix`.

    Args:
        warehouse: to read.
        layer_id: the layer.
        units: its units, in the order wanted.
        image_ids: all images of one probe that have an embedding, ascending.

    Raises:
        UnevenLayerError: the layer's images of that probe are not these.
    """
    matrix = empty_matrix(len(units), len(image_ids), warehouse.path.parent).fill_(torch.nan)
    values = matrix.numpy()
    row_of_unit = np.full(warehouse.scalar("select units from store.layers where layer_id = $id", id=layer_id), -1)
    row_of_unit[list(units)] = np.arange(len(units))
    (first, last) = warehouse.sql(
        "select min(image_id), max(image_id) from store.images"
        " where probe_id = (select probe_id from store.images where image_id = $image_id)",
        image_id=int(image_ids[0]),
    ).fetchall()[0]
    stored = warehouse.sql(
        "select unit, image_id, activation from store.activations"
        " where layer_id = $layer_id and image_id between $first and $last",
        layer_id=layer_id,
        first=first,
        last=last,
    ).to_arrow_reader(_ACTIVATIONS_AT_ONCE)
    filled = strangers = 0
    for batch in stored:
        unit, image_id, activation = (column.to_numpy(zero_copy_only=False) for column in batch.columns)
        rows = row_of_unit[unit]
        places = np.searchsorted(image_ids, image_id)
        is_known = image_ids.take(places, mode="clip") == image_id
        wanted = (rows >= 0) & is_known
        values[rows[wanted], places[wanted]] = activation[wanted]
        filled += int(wanted.sum())
        strangers += len(is_known) - int(is_known.sum())
    if strangers or filled != matrix.numel():
        raise _uneven(warehouse, layer_id)
    return matrix.T


def _uneven(warehouse: Warehouse, layer_id: int) -> UnevenLayerError:
    """The error that names the layer."""
    (model, layer) = warehouse.sql(
        "select models.name, layers.name from store.layers inner join store.models using (model_id)"
        " where layer_id = $id",
        id=layer_id,
    ).fetchall()[0]
    return UnevenLayerError(
        f"{layer} of {model} has activations of other images than those that the encoder has embeddings of; "
        "run its `cli ingest` again, which makes what is uneven anew"
    )


def live_units(warehouse: Warehouse, layer_id: int, probe_id: int) -> list[int]:
    """Units that fire differently on different images, and always finitely."""
    rows = warehouse.sql(
        "select unit from store.units where layer_id = $l and probe_id = $p and status = 'live' order by unit",
        l=layer_id,
        p=probe_id,
    )
    return [row[0] for row in rows.fetchall()]
