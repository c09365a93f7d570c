"""What extraction gave, into the warehouse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from neuronlake.ingest.machines.chunks import ExtractedChunk, FailedImage, TopCandidates
from neuronlake.ingest.machines.extraction import ChangedImageError, PreparedImage
from neuronlake.ingest.register import Registered
from neuronlake.sql.store import chunks, pictures, runs
from neuronlake.sql.store.chunks import Chunk, LayerValues
from neuronlake.sql.warehouse import Warehouse


@dataclass(frozen=True)
class ChunkParts:
    """What a chunk was extracted for: numbers of layers, and whether the encoder."""

    layer_ids: Sequence[int]
    has_encoder: bool


def load_chunk(
    warehouse: Warehouse,
    registered: Registered,
    number: int,
    extracted: ExtractedChunk,
    done: ChunkParts,
    run_id: int,
) -> None:
    """Commit a chunk: its values, its images' pictures and its own record, all or nothing."""
    values = {
        registered.layer_ids[key]: _layer_values(activations.numpy(), extracted.candidates[key])
        for key, activations in extracted.activations.items()
    }
    chunk = Chunk(
        probe_id=registered.probe.probe_id,
        number=number,
        run_id=run_id,
        image_ids=np.array([image.image_id for image in extracted.images], dtype=np.int32),
        layers={layer_id: values.get(layer_id) for layer_id in done.layer_ids},
        encoder_id=registered.encoder_id if done.has_encoder else None,
        embeddings=None if extracted.embeddings is None else extracted.embeddings.numpy(),
    )
    with warehouse.transaction():
        load_pictures(warehouse, extracted.images, extracted.failures)
        chunks.insert_chunk(warehouse, chunk)
        failed = len(extracted.failures)
        runs.count_images(warehouse, run_id, len(extracted.images) + failed, failed)


def _layer_values(activations: np.ndarray, candidates: TopCandidates) -> LayerValues:
    """A layer's tensors as arrays."""
    peaks = None if candidates.peaks is None else candidates.peaks.numpy()
    return LayerValues(activations, candidates.rows.numpy(), peaks)


def load_pictures(warehouse: Warehouse, images: Sequence[PreparedImage], failures: Sequence[FailedImage]) -> None:
    """Write pictures and failures of images that another model's run has not left here already.

    Raises:
        ChangedImageError: an image fails now that an earlier run could read.
    """
    pictured = [image for image in images if image.thumbnail is not None]
    rows = {
        "image_id": [image.image_id for image in pictured],
        "width": [image.width for image in pictured],
        "height": [image.height for image in pictured],
        "webp": [image.thumbnail for image in pictured],
    }
    pictures.insert_pictures(warehouse, pl.DataFrame(rows))
    reasons = {failure.image_id: failure.reason for failure in failures}
    if reasons:
        _require_never_read(warehouse, reasons)
        pictures.insert_failures(warehouse, reasons)


def _require_never_read(warehouse: Warehouse, reasons: dict[int, str]) -> None:
    """Refuse images that fail now and did not in an earlier run, since its layers have them.

    Raises:
        ChangedImageError: there is one.
    """
    for image_id, path in pictures.pictured_paths(warehouse, min(reasons), max(reasons)).items():
        if image_id in reasons:
            raise ChangedImageError(
                f"{path} was decoded by an earlier run and cannot be decoded now ({reasons[image_id]}); use the "
                "version of Pillow that could, or another warehouse"
            )
