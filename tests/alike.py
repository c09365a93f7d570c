"""Results of two devices compared: whole numbers are the same, others nearly."""

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
    if isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype, where
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol, err_msg=where)
        else:
            np.testing.assert_array_equal(found, expected, err_msg=where)
    elif isinstance(expected, pl.DataFrame):
        assert_frame_equal(found, expected, rel_tol=rtol, abs_tol=atol)
    elif is_dataclass(expected):
        for each in fields(expected):
            name = each.name
            assert_alike(getattr(found, name), getattr(expected, name), f"{where}.{name}", rtol=rtol, atol=atol)
    elif isinstance(expected, Mapping):
        assert list(found) == list(cast("Mapping[object, object]", expected)), where
        for key in cast("Mapping[object, object]", expected):
            assert_alike(found[key], expected[key], f"{where}[{key}]", rtol=rtol, atol=atol)
    elif isinstance(expected, Sequence) and not isinstance(expected, str | bytes):
        for place, (one, other) in enumerate(zip(found, cast("Sequence[object]", expected), strict=True)):
            assert_alike(one, other, f"{where}[{place}]", rtol=rtol, atol=atol)
    elif isinstance(expected, float):
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol, err_msg=where)
    else:
        assert found == expected, where
