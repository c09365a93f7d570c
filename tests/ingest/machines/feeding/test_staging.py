"""Batches on their way to the device, and back."""

from __future__ import annotations

import torch

from neuronlake.ingest.machines.feeding import staging
from neuronlake.ingest.machines.feeding.staging import fetched


def test_tensors_of_several_types_come_back_as_they_were_in_one_copy() -> None:
    given = [
        torch.arange(6, dtype=torch.float32).reshape(2, 3).T,
        torch.tensor([[2**40, -1]]),
        torch.tensor([True, False, True]),
        torch.zeros(0, 4),
        torch.tensor([1.5, torch.nan]),
    ]
    found = staging.unpacked(staging.packed(given), given)
    assert [each.dtype for each in found] == [each.dtype for each in given]
    for each, expected in zip(found, given, strict=True):
        torch.testing.assert_close(each, expected, rtol=0, atol=0, equal_nan=True)


def test_what_is_on_the_processor_is_not_copied() -> None:
    given = torch.ones(3)
    assert fetched([given])[0] is given
