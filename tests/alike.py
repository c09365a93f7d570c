"""Results of two devices compared: whole numbers and words are the same, others nearly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, cast

import numpy as np
import polars as pl
from polars.testing import assert_frame_equal
from torch import Tensor


def assert_alike(found: Any, expected: Any, where: str = "", *, rtol: float = 1e-4, atol: float = 1e-5) -> None:
    """The same in all their parts."""
    assert type(found).__name__ == type(expected).__name__, where
    if isinstance(expected, Tensor):
        assert found.device.type == expected.device.type == "cpu", f"{where} is on {found.device}"
        found, expected = found.numpy(), expected.numpy()
    if isinstance(expected, pl.DataFrame):
        assert_frame_equal(found, expected, rel_tol=rtol, abs_tol=atol)
    elif isinstance(expected, np.ndarray | float):
        assert np.asarray(found).dtype == np.asarray(expected).dtype, where
        if np.asarray(expected).dtype.kind == "f":
            np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol, err_msg=where)
        else:
            np.testing.assert_array_equal(found, expected, err_msg=where)
    elif isinstance(expected, str | bytes) or not (parts := _parts(expected)):
        assert found == expected, where
    else:
        others = _parts(found)
        assert list(others) == list(parts), where
        for name, part in parts.items():
            assert_alike(others[name], part, f"{where}.{name}", rtol=rtol, atol=atol)


def _parts(whole: Any) -> dict[str, Any]:
    """What something is made of, by name or by place; nothing of what has no parts."""
    if isinstance(whole, Mapping):
        return {str(key): part for key, part in cast("Mapping[object, object]", whole).items()}
    if isinstance(whole, Sequence):
        return {str(place): part for place, part in enumerate(cast("Sequence[object]", whole))}
    return {each.name: getattr(whole, each.name) for each in fields(whole)} if is_dataclass(whole) else {}
