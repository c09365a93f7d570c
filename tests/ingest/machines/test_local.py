"""This process as the machine that labels layers."""

from __future__ import annotations

import pytest
import torch

from neuronlake.ingest.labelers.base import LayerActivations, LayerData, LayerLabels, Shared
from neuronlake.ingest.machines.loaded import DeviceMemoryError
from neuronlake.ingest.machines.local import LocalMachine
from neuronlake.sql.store.features import StoredLayer


def test_a_layer_that_is_too_much_for_the_device_is_told_with_what_to_do_next() -> None:
    def too_much(_layer: LayerData) -> LayerLabels:
        raise torch.OutOfMemoryError

    layers = iter([LayerActivations(StoredLayer(1, 2, "0"), [0, 1], torch.zeros(3, 2))])
    machine = LocalMachine(torch.device("cpu"))
    with pytest.raises(DeviceMemoryError, match=r"too little memory to label a layer; .* cli score --device cpu"):
        list(machine.label(too_much, Shared(("a",)), layers))
