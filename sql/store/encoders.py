"""Encoders, and their embeddings of concepts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from neuronlake.sql.store.names import Entry, identify
from neuronlake.sql.warehouse import Warehouse


def register_encoder(
    warehouse: Warehouse,
    entry: Entry,
    source: str,
    source_kind: str,
    precision: str,
    dimensions: int | None = None,
    location: str | None = None,
) -> int:
    """The number of the encoder of that fingerprint; written if it is not known.

    Args:
        warehouse: to write to.
        entry: its name and fingerprint.
        source: where it came from, as a reader or the loading of it knows.
        source_kind: which sort of place that is; ``imported`` where another tool had it.
        precision: in which it computes.
        dimensions: of its space; None where no more is known than a name.
        location: by what it is found again; None where it was never here.

    Raises:
        NameTakenError: another has its name.
    """
    facts = {"source": source, "source_kind": source_kind, "precision": precision}
    known = {"dimensions": dimensions, "location": location}
    # a frame that does not name a column leaves it null
    return identify(warehouse, entry, **facts, **{name: value for name, value in known.items() if value is not None})


def names_by_fingerprint(warehouse: Warehouse) -> dict[str, str]:
    """What the encoders are called."""
    return dict(warehouse.sql("select fingerprint, name from store.encoders").fetchall())


def embedding_rows(key: str, numbers: np.ndarray, embeddings: np.ndarray) -> Any:
    """An Arrow table of numbers and their embeddings, (rows, dimensions) float32."""
    count, dimensions = embeddings.shape
    offsets = np.arange(0, (count + 1) * dimensions, dimensions, dtype=np.int32)
    values = pa.array(np.ascontiguousarray(embeddings).reshape(-1))
    return pa.table({key: numbers, "embedding": pa.ListArray.from_arrays(pa.array(offsets), values)})


def insert_concept_embeddings(
    warehouse: Warehouse, encoder_id: int, prompts: Sequence[str], concept_ids: Sequence[int], embeddings: np.ndarray
) -> None:
    """Write what an encoder made of concepts, put into prompts: (concepts, dimensions) float32."""
    rows = embedding_rows("concept_id", np.array(concept_ids, dtype=np.int32), embeddings)
    with warehouse.transaction():
        warehouse.insert("concept_embeddings", rows, encoder_id=encoder_id, prompts=list(prompts))


def concept_embeddings(warehouse: Warehouse, encoder_id: int, prompts: Sequence[str]) -> dict[int, np.ndarray]:
    """What an encoder made of concepts, put into prompts, by their numbers: (dimensions,) float32."""
    select = "select concept_id, embedding from store.concept_embeddings where encoder_id = $e and prompts = $p"
    rows = warehouse.sql(select, e=encoder_id, p=list(prompts)).fetchall()
    return {number: np.array(embedding, dtype=np.float32) for number, embedding in rows}
