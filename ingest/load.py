"""What extraction and encoding gave, into the tables of the warehouse."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pyarrow as pa
from torch import Tensor

from neuronlake.ingest.machines.chunks import TOP_IMAGES, ExtractedChunk, FailedImage, TopCandidates
from neuronlake.ingest.machines.extraction import ChangedImageError
from neuronlake.ingest.register import Registered
from neuronlake.sql.store.features import embedding_rows
from neuronlake.sql.warehouse import Warehouse


def load_chunk(
    warehouse: Warehouse,
    registered: Registered,
    number: int,
    extracted: ExtractedChunk,
    done: ChunkParts,
    run_id: int,
) -> None:
    """Commit a chunk: its values, its images' pictures and its own record, all or nothing."""
    with warehouse.transaction():
        _load_images(warehouse, extracted)
        image_ids = np.array([image.image_id for image in extracted.images], dtype=np.int32)
        for key, activations in extracted.activations.items():
            layer_id = registered.layer_ids[key]
            _load_activations(warehouse, layer_id, image_ids, activations)
            _load_candidates(
                warehouse, layer_id, registered.probe_id, image_ids, activations, extracted.candidates[key]
            )
        if extracted.embeddings is not None:
            rows = embedding_rows("image_id", image_ids, extracted.embeddings.numpy())
            warehouse.insert("image_embeddings", rows, encoder_id=registered.encoder_id)
        records = pl.DataFrame(
            {"layer_id": [*done.layer_ids, *([None] if done.has_encoder else [])]},
            schema={"layer_id": pl.Int32},
        ).with_columns(encoder_id=pl.when(pl.col("layer_id").is_null()).then(pl.lit(registered.encoder_id, pl.Int32)))
        warehouse.insert(
            "chunks",
            records,
            probe_id=registered.probe_id,
            chunk=number,
            run_id=run_id,
            images=len(extracted.images),
        )
        warehouse.execute(
            "update store.runs set images = images + $images, failed_images = failed_images + $failed"
            " where run_id = $run_id",
            images=len(extracted.images) + len(extracted.failures),
            failed=len(extracted.failures),
            run_id=run_id,
        )


class ChunkParts:
    """What a chunk was extracted for: numbers of layers, and whether the encoder."""

    def __init__(self, layer_ids: Sequence[int], *, has_encoder: bool) -> None:
        self.layer_ids = tuple(layer_ids)
        self.has_encoder = has_encoder


def _load_images(warehouse: Warehouse, extracted: ExtractedChunk) -> None:
    """Pictures and failures of images that another model's run has not left here already."""
    pictured = [image for image in extracted.images if image.thumbnail is not None]
    if pictured:
        pictures = pl.DataFrame(
            {
                "image_id": [image.image_id for image in pictured],
                "width": [image.width for image in pictured],
                "height": [image.height for image in pictured],
                "webp": [image.thumbnail for image in pictured],
            }
        )
        first, last = pictured[0].image_id, pictured[-1].image_id
        known = warehouse.sql(
            "select image_id from store.thumbnails where image_id between $first and $last",
            first=first,
            last=last,
        ).pl()
        warehouse.insert("thumbnails", pictures.join(known.cast(pl.Int64), on="image_id", how="anti"))
    _require_never_read(warehouse, extracted.failures)
    for failure in extracted.failures:
        warehouse.execute(
            "insert or ignore into store.failed_images values ($id, $reason)",
            id=failure.image_id,
            reason=failure.reason,
        )


def _require_never_read(warehouse: Warehouse, failures: Sequence[FailedImage]) -> None:
    """Refuse images that fail now and did not in an earlier run, since its layers have them.

    Raises:
        ChangedImageError: there is one.
    """
    if not failures:
        return
    reasons = {failure.image_id: failure.reason for failure in failures}
    pictured = warehouse.sql(
        "select image_id, path from store.thumbnails inner join store.images using (image_id)"
        " where image_id between $first and $last order by image_id",
        first=min(reasons),
        last=max(reasons),
    ).fetchall()
    for image_id, path in pictured:
        if image_id in reasons:
            raise ChangedImageError(
                f"{path} was decoded by an earlier run and cannot be decoded now ({reasons[image_id]}); use the "
                "version of Pillow that could, or another warehouse"
            )


def _load_activations(warehouse: Warehouse, layer_id: int, image_ids: np.ndarray, activations: Tensor) -> None:
    """(images, units) activations as rows sorted by unit; what is not finite becomes null."""
    images, units = activations.shape
    values = activations.T.contiguous().numpy().reshape(-1)
    finite = np.isfinite(values)
    rows = pa.table(
        {
            "unit": np.repeat(np.arange(units, dtype=np.int32), images),
            "image_id": np.tile(image_ids, units),
            "activation": pa.array(values, mask=None if finite.all() else ~finite),
        }
    )
    warehouse.insert("activations", rows, layer_id=layer_id)


def _load_candidates(
    warehouse: Warehouse,
    layer_id: int,
    probe_id: int,
    image_ids: np.ndarray,
    activations: Tensor,
    candidates: TopCandidates,
) -> None:
    """The chunk's top images of each unit."""
    units, k = candidates.rows.shape
    chosen = activations.T.gather(1, candidates.rows).numpy().reshape(-1)
    peaks = None if candidates.peaks is None else candidates.peaks.numpy().reshape(-1, 2)
    rows = pl.DataFrame(
        {
            "unit": np.repeat(np.arange(units, dtype=np.int32), k),
            "image_id": image_ids[candidates.rows.numpy().reshape(-1)],
            "activation": chosen,
            "peak_x": None if peaks is None else peaks[:, 0],
            "peak_y": None if peaks is None else peaks[:, 1],
        },
        schema_overrides={"peak_x": pl.Float32, "peak_y": pl.Float32},
    )
    finite = rows.filter(pl.col("activation").is_finite())
    warehouse.insert("top_candidates", finite, layer_id=layer_id, probe_id=probe_id)


def finish_layer(warehouse: Warehouse, registered: Registered, layer_id: int) -> None:
    """Once all chunks of a layer are there: the state of its units, and their top images over the probe."""
    keys = {"layer_id": layer_id, "probe_id": registered.probe_id}
    with warehouse.transaction():
        warehouse.run_step(
            "finish_units",
            first_image_id=registered.first_image_id,
            last_image_id=registered.last_image_id,
            **keys,
        )
        warehouse.run_step("finish_top_images", top_images=TOP_IMAGES, **keys)
        warehouse.execute(
            "delete from store.top_candidates where layer_id = $layer_id and probe_id = $probe_id", **keys
        )
