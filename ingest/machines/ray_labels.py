"""Labelling on a Ray cluster: layers travel to workers one each, and their labels come back to the one writer.

A layer is a task as a whole, since a labeler may weigh each unit against all others of its layer. A task whose worker
dies is given to another by Ray.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import torch

from neuronlake.ingest.devices import resolve_device
from neuronlake.ingest.labelers.base import LabelledLayer, LabelOne, LayerActivations, LayerLabels, Shared
from neuronlake.ingest.machines.cluster import Cluster, ray, result, share_out
from neuronlake.ingest.machines.loaded import memory_to_label
from neuronlake.sql.store.features import StoredLayer


def label_with_ray(
    device: str,
    address: str | None,
    workers: int | None,
    label_one: LabelOne,
    shared: Shared,
    layers: Iterator[LayerActivations],
) -> Iterator[LabelledLayer]:
    """Layers in their order; as many are under way as there are workers, and no more are read.

    Args:
        device: as a recipe names it; each worker resolves it.
        address: of the cluster; one is started here where None.
        workers: how many; by the cluster's GPUs or cores where None.
        label_one: sent with each layer.
        shared: sent to each machine once.
        layers: read as workers become free.

    Raises:
        ClusterError: there is no cluster at the address, or it loses workers again and again.
        NeuronlakeError: what a worker says is wrong.
    """
    with Cluster(address):
        shared_out = share_out(device, workers)
        remote = ray.remote(**shared_out.needs)(_label)
        # arrays, because Ray lets workers read them in shared memory, and copies tensors
        arrays = {name: found.numpy() for name, found in vars(shared).items() if isinstance(found, torch.Tensor)}
        put = ray.put((Shared(shared.concepts, shape=shared.shape), arrays))

        def give(layer: LayerActivations) -> tuple[StoredLayer, list[int], Any]:
            without_values = replace(layer, values=torch.empty(0))
            reference = remote.remote(put, layer.values.numpy(), without_values, label_one, device, shared_out.threads)
            return layer.layer, layer.live, reference

        running = deque(map(give, islice(layers, shared_out.count)))
        while running:
            layer, live, reference = running.popleft()
            labels: LayerLabels = result(reference)
            del reference  # the cluster may forget the layer
            # before the labels are written, so that no worker waits for that
            running.extend(map(give, islice(layers, 1)))
            # a copy, because what Ray shares is gone with the connection
            matrix = None if labels.matrix is None else labels.matrix.copy()
            yield LabelledLayer(layer, live, replace(labels, matrix=matrix))


def _label(
    put: tuple[Shared, dict[str, np.ndarray]],
    values: np.ndarray,
    layer: LayerActivations,
    label_one: LabelOne,
    device: str,
    threads: int,
) -> LayerLabels:
    """Label a layer, in a worker."""
    torch.set_num_threads(threads)
    here = resolve_device(device)
    without_arrays, arrays = put
    with memory_to_label():
        shared = replace(without_arrays, **{name: _tensor(array) for name, array in arrays.items()}).to(here)
        return label_one(replace(layer, values=_tensor(values)).on(here, shared))


def _tensor(array: np.ndarray) -> torch.Tensor:
    """A view of an array that is only read."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
