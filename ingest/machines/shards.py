"""One extracted chunk as a folder of Parquet files: what a worker writes and the one writer loads."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from neuronlake.ingest.machines.chunks import Chunk, ExtractedChunk, FailedImage, PreparedImage, TopCandidates

_IMAGES = {"image_id": pl.Int64, "width": pl.Int64, "height": pl.Int64, "thumbnail": pl.Binary}
_FAILURES = {"image_id": pl.Int64, "reason": pl.String}


def shard_folder(spool: Path, chunk: Chunk, fingerprints: Mapping[tuple[str, ...], str]) -> Path:
    """A chunk's folder in its warehouse's own one, named after all that its rows depend on.

    Args:
        spool: the warehouse's own folder.
        chunk: to be extracted.
        fingerprints: of layers and encoder, see `LoadedNetworks`.
    """
    parts = (
        spool.name,
        chunk.number,
        [(image.image_id, image.image.sha256) for image in chunk.images],
        [(*layer, fingerprints[layer]) for layer in chunk.layers],
        fingerprints["encoder",] if chunk.needs_embeddings else None,
    )
    return spool / f"{chunk.number:06}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"


def write_shard(extracted: ExtractedChunk, folder: Path) -> None:
    """Write a chunk; the folder is there whole or not at all, and one that is there already stays."""
    scratch = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}.part")
    scratch.mkdir(parents=True)
    images = [(image.image_id, image.width, image.height, image.thumbnail) for image in extracted.images]
    pl.DataFrame(images, schema=_IMAGES, orient="row").write_parquet(scratch / "images.parquet")
    failures = [(failure.image_id, failure.reason) for failure in extracted.failures]
    pl.DataFrame(failures, schema=_FAILURES, orient="row").write_parquet(scratch / "failures.parquet")
    for number, (key, activations) in enumerate(extracted.activations.items()):
        found = extracted.candidates[key]
        columns = {
            "model": [key[0]] * activations.shape[1],
            "layer": [key[1]] * activations.shape[1],
            "activations": activations.T.contiguous().numpy(),  # one row a unit
            "candidates": found.rows.numpy(),
        }
        if found.peaks is not None:
            columns["peaks"] = found.peaks.flatten(1).numpy()
        pl.DataFrame(columns).write_parquet(scratch / f"layer-{number:04}.parquet")
    if extracted.embeddings is not None:
        pl.DataFrame({"embedding": extracted.embeddings.numpy()}).write_parquet(scratch / "embeddings.parquet")
    try:
        scratch.replace(folder)
    except OSError:  # another attempt at the same chunk was first
        shutil.rmtree(scratch)
        if not folder.is_dir():
            raise


def read_shard(folder: Path) -> ExtractedChunk:
    """What `write_shard` wrote, to the last bit."""
    images = pl.read_parquet(folder / "images.parquet").rows()
    failures = pl.read_parquet(folder / "failures.parquet").rows()
    activations: dict[tuple[str, str], Tensor] = {}
    candidates: dict[tuple[str, str], TopCandidates] = {}
    for file in sorted(folder.glob("layer-*.parquet")):
        frame = pl.read_parquet(file)
        key = (frame["model"][0], frame["layer"][0])
        activations[key] = _matrix(frame["activations"]).T
        peaks = _matrix(frame["peaks"]).unflatten(1, (-1, 2)) if "peaks" in frame.columns else None
        candidates[key] = TopCandidates(_matrix(frame["candidates"]), peaks)
    embeddings = folder / "embeddings.parquet"
    return ExtractedChunk(
        images=[PreparedImage(image_id, width, height, thumbnail, {}) for image_id, width, height, thumbnail in images],
        failures=[FailedImage(image_id, reason) for image_id, reason in failures],
        activations=activations,
        candidates=candidates,
        embeddings=_matrix(pl.read_parquet(embeddings)["embedding"]) if embeddings.exists() else None,
    )


def _matrix(column: pl.Series) -> Tensor:
    """A column of arrays as a matrix."""
    return torch.from_numpy(column.to_numpy().copy())
