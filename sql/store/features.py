"""What layers are labelled from: activations, embeddings and labels of images, and which units are alive."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from neuronlake import NeuronlakeError
from neuronlake.sql.store.scratch import empty_matrix
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


def readable_images(warehouse: Warehouse, probe_id: int) -> np.ndarray:
    """Numbers of a probe's images that could be read, ascending."""
    numbers = warehouse.sql(
        "select image_id from store.images anti join store.failed_images using (image_id)"
        " where probe_id = $probe_id order by image_id",
        probe_id=probe_id,
    )
    return numbers.to_arrow_table()["image_id"].to_numpy()


def layer_images(warehouse: Warehouse, layer_id: int, probe_id: int) -> np.ndarray:
    """Numbers of a probe's images that a layer has activations of, ascending."""
    numbers = warehouse.sql(
        "select image_id from store.activations inner join store.images using (image_id)"
        " where layer_id = $layer_id and unit = 0 and probe_id = $probe_id order by image_id",
        layer_id=layer_id,
        probe_id=probe_id,
    )
    return numbers.to_arrow_table()["image_id"].to_numpy()


def probe_labels(warehouse: Warehouse, probe_id: int) -> list[str | None]:
    """What a probe's images are labelled with, each once."""
    found = warehouse.sql("select distinct label from store.images where probe_id = $id", id=probe_id)
    return [row[0] for row in found.fetchall()]


def image_labels(warehouse: Warehouse, image_ids: np.ndarray) -> list[str | None]:
    """The images' own labels, in the order of their numbers."""
    found = warehouse.sql(
        "select image_id, label from store.images where image_id between $first and $last",
        first=int(image_ids[0]),
        last=int(image_ids[-1]),
    ).fetchall()
    labels = dict(found)
    return [labels[int(number)] for number in image_ids]


def image_folds(warehouse: Warehouse, image_ids: np.ndarray, kept_together: str) -> np.ndarray:
    """The part of the probe that each image is left out with, (images,) int64 from 0 to 4.

    Args:
        warehouse: to read.
        image_ids: ascending.
        kept_together: what images of one part have in common: ``image`` or ``label``.
    """
    found = warehouse.step(
        "folds", first_image_id=int(image_ids[0]), last_image_id=int(image_ids[-1]), kept_together=kept_together
    ).fetchnumpy()
    return found["fold"][np.searchsorted(found["image_id"], image_ids)]


def image_features(warehouse: Warehouse, encoder_id: int, probe_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of a probe's embedded images in order, and their (images, dimensions) float32 embeddings."""
    keys = {"encoder_id": encoder_id, "probe_id": probe_id}
    numbers = warehouse.sql(
        "select image_id from store.image_embeddings join store.images using (image_id)"
        " where encoder_id = $encoder_id and probe_id = $probe_id order by image_id",
        **keys,
    )
    image_ids = numbers.to_arrow_table()["image_id"].to_numpy()
    if not len(image_ids):
        return image_ids, np.empty((0, 0), dtype=np.float32)
    rows = warehouse.sql(
        "select image_id, embedding from store.image_embeddings join store.images using (image_id)"
        " where encoder_id = $encoder_id and probe_id = $probe_id",
        **keys,
    )
    dimensions = warehouse.scalar("select dimensions from store.encoders where encoder_id = $id", id=encoder_id)
    values = empty_matrix(len(image_ids), dimensions, warehouse.path.parent)
    for batch in rows.to_arrow_reader(_EMBEDDINGS_AT_ONCE):
        places = np.searchsorted(image_ids, batch["image_id"].to_numpy())
        values[places] = batch["embedding"].flatten().to_numpy().reshape(-1, dimensions)
    return image_ids, values


def concept_features(warehouse: Warehouse, encoder_id: int, prompts: Sequence[str], concept_set_id: int) -> np.ndarray:
    """(concepts, dimensions) float32 embeddings in the order of the concept set."""
    table = warehouse.sql(
        "select embedding from store.concept_embeddings join store.concept_set_concepts using (concept_id)"
        " where encoder_id = $encoder_id and prompts = $prompts and concept_set_id = $concept_set_id"
        " order by position",
        encoder_id=encoder_id,
        prompts=list(prompts),
        concept_set_id=concept_set_id,
    ).to_arrow_table()
    values = table["embedding"].combine_chunks().flatten().to_numpy()
    return values.reshape(table.num_rows, -1).copy()


def embedded_concepts(
    warehouse: Warehouse, encoder_id: int, prompts: Sequence[str], concept_ids: Collection[int]
) -> tuple[list[int], np.ndarray]:
    """Numbers of those concepts that an encoder has embedded with these prompts, and their embeddings.

    Returns:
        The numbers, and (concepts, dimensions) float32.
    """
    rows = warehouse.sql(
        "select concept_id, embedding from store.concept_embeddings"
        " where encoder_id = $encoder_id and prompts = $prompts order by concept_id",
        encoder_id=encoder_id,
        prompts=list(prompts),
    ).pl()
    found = rows.filter(pl.col("concept_id").is_in(list(concept_ids)))
    dimensions = warehouse.scalar("select dimensions from store.encoders where encoder_id = $id", id=encoder_id)
    vectors = found["embedding"].explode().to_numpy().reshape(found.height, dimensions)
    return found["concept_id"].to_list(), vectors.astype(np.float32)


def concepts_without_features(
    warehouse: Warehouse, encoder_id: int, prompts: Sequence[str], concept_ids: Sequence[int]
) -> dict[int, str]:
    """Numbers and texts of the concepts that an encoder has not embedded with these prompts, in their order."""
    known = warehouse.sql(
        "select concept_id from store.concept_embeddings where encoder_id = $encoder_id and prompts = $prompts",
        encoder_id=encoder_id,
        prompts=list(prompts),
    ).fetchall()
    done = {row[0] for row in known}
    missing = [number for number in concept_ids if number not in done]
    if not missing:
        return {}
    texts: dict[int, str] = dict(warehouse.sql("select concept_id, concept from store.concepts").fetchall())
    return {number: texts[number] for number in missing}


def concept_texts(warehouse: Warehouse, concept_set_id: int) -> tuple[str, ...]:
    """The concepts of a set, in its order."""
    rows = warehouse.sql(
        "select concept from store.concept_set_concepts join store.concepts using (concept_id)"
        " where concept_set_id = $id order by position",
        id=concept_set_id,
    )
    return tuple(row[0] for row in rows.fetchall())


def concept_categories(warehouse: Warehouse, concept_set_id: int) -> tuple[str, ...]:
    """The categories of a set's concepts, in its order."""
    select = "select category from store.concept_set_concepts where concept_set_id = $id order by position"
    return tuple(row[0] for row in warehouse.sql(select, id=concept_set_id).fetchall())


def activations(warehouse: Warehouse, layer_id: int, units: Sequence[int], image_ids: np.ndarray) -> np.ndarray:
    """(images, units) float32 of some of a layer's units, a transposed view.

    Streamed, so memory holds them once; or not even once, see `empty_matrix`.

    Args:
        warehouse: to read.
        layer_id: the layer.
        units: its units, in the order wanted.
        image_ids: all images of one probe that are labelled with, ascending.

    Raises:
        UnevenLayerError: the layer's images of that probe are not these.
    """
    values = empty_matrix(len(units), len(image_ids), warehouse.path.parent)
    values.fill(np.nan)
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
    if strangers or filled != values.size:
        raise _uneven(warehouse, layer_id)
    return values.T


def _uneven(warehouse: Warehouse, layer_id: int) -> UnevenLayerError:
    """The error that names the layer."""
    (model, layer) = warehouse.sql(
        "select models.name, layers.name from store.layers inner join store.models using (model_id)"
        " where layers.layer_id = $id",
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
