"""Scoring on a Ray cluster: layers travel to workers one each, and their scores come back to the one writer.

A layer is a task as a whole, since soft_wpmi weighs each unit against all others of its layer. A task whose worker
dies is given to another by Ray.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch

from neuronlake.ingest.devices import resolve_device
from neuronlake.ingest.labelers.clip_dissect import Features, Labels, LayerActivations, LayerScores, score_units
from neuronlake.ingest.labelers.settings import Scoring
from neuronlake.ingest.labelers.similarity import Cosines
from neuronlake.ingest.machines.cluster import Cluster, ray, result, share_out
from neuronlake.ingest.stored import StoredLayer


def score_with_ray(
    device: str,
    address: str | None,
    workers: int | None,
    features: Features,
    layers: Iterator[LayerActivations],
    scoring: Scoring,
) -> Iterator[LayerScores]:
    """Layers in their order; as many are under way as there are workers, and no more are read.

    Args:
        device: as a recipe names it; each worker resolves it.
        address: of the cluster; one is started here where None.
        workers: how many; by the cluster's GPUs or cores where None.
        features: sent to each machine once.
        layers: read as workers become free.
        scoring: method, parameters, draws and seed.

    Raises:
        ClusterError: there is no cluster at the address, or it loses workers again and again.
        NeuronlakeError: what a worker says is wrong.
    """
    with Cluster(address):
        shared_out = share_out(device, workers)
        remote = ray.remote(**shared_out.needs)(_score)
        shared = ray.put((features.images.numpy(), features.texts.numpy()))

        def give(layer: LayerActivations) -> tuple[StoredLayer, list[int], Any]:
            # arrays, because Ray lets workers read them in shared memory, and copies tensors
            reference = remote.remote(shared, layer.values.numpy(), scoring, device, shared_out.threads)
            return layer.layer, layer.live, reference

        running = deque(map(give, islice(layers, shared_out.count)))
        while running:
            layer, live, reference = running.popleft()
            scores, labels = result(reference)
            del reference  # the cluster may forget the layer
            # before the scores are written, so that no worker waits for that
            running.extend(map(give, islice(layers, 1)))
            # a copy, because what Ray shares is gone with the connection
            yield LayerScores(layer, live, torch.tensor(scores), labels)


def _score(
    features: tuple[np.ndarray, np.ndarray], values: np.ndarray, scoring: Scoring, device: str, threads: int
) -> tuple[np.ndarray, Labels]:
    """Score a layer, in a worker."""
    torch.set_num_threads(threads)
    here = resolve_device(device)
    cosines = Cosines(*(_tensor(array).to(here) for array in features))
    scores, labels = score_units(cosines, _tensor(values).to(here), scoring)
    return scores.numpy(), labels


def _tensor(array: np.ndarray) -> torch.Tensor:
    """A view of an array that is only read."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
