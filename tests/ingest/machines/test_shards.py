"""A chunk survives the way through Parquet to the last bit."""

from __future__ import annotations

from pathlib import Path

import torch

from neuronlake.ingest.machines.chunks import ExtractedChunk, FailedImage, PreparedImage, TopCandidates
from neuronlake.ingest.machines.shards import read_shard, write_shard


def chunk() -> ExtractedChunk:
    """Two layers, one of them without a map, with values that are not numbers."""
    activations = torch.randn(5, 3)
    activations[2, 1] = torch.nan
    activations[3, 0] = torch.inf
    rows = torch.randint(5, (3, 4))
    return ExtractedChunk(
        images=[PreparedImage(7 + number, 40, 30, bytes([number]), {}) for number in range(5)],
        failures=[FailedImage(99, "no image")],
        activations={("net", "a.b"): activations, ("net", "fc"): torch.randn(5, 2)},
        candidates={
            ("net", "a.b"): TopCandidates(rows, torch.rand(3, 4, 2)),
            ("net", "fc"): TopCandidates(torch.randint(5, (2, 4)), None),
        },
        embeddings=torch.randn(5, 6),
    )


def assert_equal(one: ExtractedChunk, other: ExtractedChunk) -> None:
    assert one.images == other.images
    assert one.failures == other.failures
    assert list(one.activations) == list(other.activations)
    for key, values in one.activations.items():
        assert torch.equal(values.view(torch.int32), other.activations[key].contiguous().view(torch.int32))
        assert torch.equal(one.candidates[key].rows, other.candidates[key].rows)
        peaks, others = one.candidates[key].peaks, other.candidates[key].peaks
        assert (peaks is None) == (others is None)
        assert peaks is None or others is None or torch.equal(peaks, others)
    assert (one.embeddings is None) == (other.embeddings is None)
    assert one.embeddings is None or other.embeddings is None or torch.equal(one.embeddings, other.embeddings)


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    written = chunk()
    write_shard(written, tmp_path / "shard")
    assert_equal(read_shard(tmp_path / "shard"), written)


def test_a_chunk_whose_images_all_failed_comes_through(tmp_path: Path) -> None:
    written = ExtractedChunk([], [FailedImage(1, "no image")], {}, {}, None)
    write_shard(written, tmp_path / "shard")
    assert_equal(read_shard(tmp_path / "shard"), written)


def test_a_second_attempt_changes_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    first = chunk()
    write_shard(first, tmp_path / "shard")
    write_shard(chunk(), tmp_path / "shard")
    assert_equal(read_shard(tmp_path / "shard"), first)
    assert [path.name for path in tmp_path.iterdir()] == ["shard"]
