"""A device that is pretended, for each kind that there is."""

from __future__ import annotations

from collections.abc import Generator

import pytest
import torch
from pretended_devices import PretendedDevice, pretended


@pytest.fixture(params=["cuda", "mps"])
def gpu(request: pytest.FixtureRequest) -> Generator[PretendedDevice]:
    """The device, pretended while the test runs."""
    with pretended(request.param) as found:
        yield found


@pytest.fixture
def device(gpu: PretendedDevice) -> torch.device:
    """Its name."""
    return gpu.device
