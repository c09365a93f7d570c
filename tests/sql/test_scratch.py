"""Matrices that do not fit in memory lie in a file that nobody sees."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from neuronlake.sql.store import scratch
from neuronlake.sql.store.scratch import ScratchError, empty_matrix


def test_a_small_matrix_is_in_memory(tmp_path: Path) -> None:
    assert empty_matrix(3, 4, tmp_path / "no such folder").shape == (3, 4)


def test_a_large_matrix_keeps_its_values_in_a_file_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "_LARGEST_IN_MEMORY", 100)
    matrix = empty_matrix(30, 40, tmp_path)
    assert list(tmp_path.iterdir()) == []
    values = np.arange(1200.0, dtype=np.float32).reshape(30, 40)
    matrix[:] = values
    assert np.array_equal(matrix, values)
    assert np.array_equal(matrix.T @ matrix, values.T @ values)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the file is sparse")
def test_a_matrix_that_no_disk_has_room_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScratchError, match=r"has no room for 4000000\.0 GB"):
        empty_matrix(10**6, 10**9, tmp_path)
    assert list(tmp_path.iterdir()) == []
