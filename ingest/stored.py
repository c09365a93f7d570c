"""What the warehouse holds, as tensors: activations, embeddings, and which units are alive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neuronlake.sql.warehouse import Warehouse


@dataclass(frozen=True)
class StoredLayer:
    """A layer whose activations are in the warehouse."""

    layer_id: int
    units: int
    fingerprint: str


def image_features(warehouse: Warehouse, encoder_id: int, probe_id: int) -> tuple[np.ndarray, Tensor]:
    """Numbers of a probe's readable images in order, and their (images, dimensions) float32 embeddings."""
    table = warehouse.sql(
        "select image_id, embedding from store.image_embeddings join store.images using (image_id)"
        " where encoder_id = $encoder_id and probe_id = $probe_id order by image_id",
        encoder_id=encoder_id,
        probe_id=probe_id,
    ).to_arrow_table()
    return table["image_id"].to_numpy(), _matrix(table)


def text_features(warehouse: Warehouse, encoder_id: int, prompt: str, concept_set_id: int) -> Tensor:
    """(concepts, dimensions) float32 embeddings in the order of the concept set."""
    table = warehouse.sql(
        "select embedding from store.concept_embeddings join store.concept_set_concepts using (concept_id)"
        " where encoder_id = $encoder_id and prompt = $prompt and concept_set_id = $concept_set_id order by position",
        encoder_id=encoder_id,
        prompt=prompt,
        concept_set_id=concept_set_id,
    ).to_arrow_table()
    return _matrix(table)


def _matrix(table: Any) -> Tensor:
    """The column of embeddings of an Arrow table as a matrix."""
    values = table["embedding"].combine_chunks().flatten().to_numpy()
    return torch.from_numpy(values.reshape(table.num_rows, -1).copy())


def activations(warehouse: Warehouse, layer_id: int, units: int, image_ids: np.ndarray) -> Tensor:
    """(images, units) float32 of a layer; what is missing is NaN. Streamed, so memory holds them once."""
    matrix = np.full((len(image_ids), units), np.nan, dtype=np.float32)
    rows = warehouse.sql(
        "select unit, image_id, activation from store.activations"
        " where layer_id = $layer_id and image_id between $first and $last",
        layer_id=layer_id,
        first=int(image_ids[0]),
        last=int(image_ids[-1]),
    ).to_arrow_reader(1_000_000)
    for batch in rows:
        unit, image_id, activation = (column.to_numpy(zero_copy_only=False) for column in batch.columns)
        matrix[np.searchsorted(image_ids, image_id), unit] = activation
    return torch.from_numpy(matrix)


def live_units(warehouse: Warehouse, layer_id: int, probe_id: int) -> list[int]:
    """Units that fire differently on different images, and always finitely."""
    rows = warehouse.sql(
        "select unit from store.units where layer_id = $l and probe_id = $p and status = 'live' order by unit",
        l=layer_id,
        p=probe_id,
    )
    return [row[0] for row in rows.fetchall()]
