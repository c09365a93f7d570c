"""What is computed beside labelling says on a GPU what it says on the CPU, and mixes no devices there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from alike import assert_alike
from pretended_devices import PretendedDevice
from torch import Tensor, nn

from neuronlake.ingest.comparing.closest import correlated, paired
from neuronlake.ingest.judging.halves import measures_of_halves
from neuronlake.ingest.judging.scored import Scored
from neuronlake.ingest.labelers import similarity
from neuronlake.ingest.labelers.dissecting.regions import upper_quantile
from neuronlake.ingest.labelers.log_products import log_of_products
from neuronlake.ingest.labelers.registry import resolve_scoring
from neuronlake.ingest.labelers.significance import PseudoUnits, p_values, q_values
from neuronlake.ingest.labelers.similarity import METHODS, Cosines, in_range, top_image_indices
from neuronlake.ingest.layers.directions import Directions
from neuronlake.ingest.layers.pooling import Frame, pool
from neuronlake.ingest.layers.readings import Reading
from neuronlake.ingest.layers.spellings import Place
from neuronlake.ingest.networks.preprocessing import Preprocessing


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def there_and_here(device: torch.device, compute: Callable[..., Any], *inputs: Tensor) -> None:
    """Compute the same on both; what comes of the device's tensors lies on the device."""
    expected = compute(*inputs)
    found = compute(*(each.to(device) for each in inputs))
    assert isinstance(found, Tensor)
    assert found.device == device
    assert_alike(found.cpu(), expected)


@pytest.mark.parametrize("ties", ["none", "some", "all"])
def test_the_first_of_equal_activations_comes_first_on_every_device(device: torch.device, ties: str) -> None:
    values = {"none": drawn(50, 3), "some": drawn(50, 3).round(), "all": torch.zeros(50, 3)}[ties]
    values[10] = -torch.inf
    values[20:22] = torch.tensor([0.0, -0.0])[:, None]  # the same number
    found = top_image_indices(values.to(device), 20).cpu()
    expected = [sorted(range(50), key=lambda row: (-float(column[row]), row))[:20] for column in values.T]
    assert found.tolist() == expected == top_image_indices(values, 20).tolist()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("is_kept", [True, False])
def test_similarities_with_pseudo_units(
    device: torch.device, monkeypatch: pytest.MonkeyPatch, method: str, is_kept: bool
) -> None:
    if not is_kept:  # as of more images and concepts than memory has room for
        for name in ("_KEPT_BYTES", "_BLOCK_BYTES"):
            monkeypatch.setattr(similarity, name, dict.fromkeys(["cpu", "cuda"], 64))

    def similarities(images: Tensor, texts: Tensor, activations: Tensor) -> Tensor:
        cosines = Cosines(nn.functional.normalize(images, dim=1), nn.functional.normalize(texts, dim=1))
        return METHODS[method](cosines, activations, PseudoUnits(activations, 3, seed=0))

    there_and_here(device, similarities, drawn(40, 6), drawn(200, 6, seed=1), drawn(40, 4, seed=2).abs())


def test_logarithms_of_products(device: torch.device) -> None:
    there_and_here(
        device,
        partial(log_of_products, weights=[0.9, 0.5, 0.1], offset=1e-7),
        drawn(9, 5).sigmoid(),
        torch.tensor([[0, 3, 8], [1, 1, 2]]),
    )


def test_activations_in_range(device: torch.device) -> None:
    there_and_here(device, in_range, drawn(9, 5) * torch.tensor([1, 1e-30, 1e30, 1e38, 0]))


def test_p_and_q_values(device: torch.device) -> None:
    scores, null = drawn(9), drawn(30, seed=1)
    if device.type == "cuda":  # both come from the CPU; float64 is theirs
        there_and_here(device, p_values, scores, null)
        there_and_here(device, q_values, p_values(scores, null))


def test_quantiles_come_to_the_cpu(device: torch.device) -> None:
    assert_alike(upper_quantile(drawn(3, 50).to(device), 0.1), upper_quantile(drawn(3, 50), 0.1))


def test_labels_of_halves(device: torch.device) -> None:
    def scored(where: torch.device) -> Scored:
        features, texts = (nn.functional.normalize(drawn(count, 8, seed=count), dim=1) for count in (60, 10))
        return Scored(
            cosines=Cosines(features.to(where), texts.to(where)),
            activations=(features @ texts.T).to(where),
            live=list(range(10)),
            concepts=tuple(map(str, range(10))),
            method="soft_wpmi",
            parameters=resolve_scoring(parameters={"top_k": 20}).parameters,  # pyright: ignore[reportArgumentType]
        )

    here, there = scored(torch.device("cpu")), scored(device)
    assert_alike(measures_of_halves(there, seed=0), measures_of_halves(here, seed=0))
    assert_alike(there.scores, here.scores)


@pytest.mark.parametrize("values_at_once", [2**24, 100])
def test_closest_and_paired_units(device: torch.device, values_at_once: int) -> None:
    a, b = drawn(6, 30).numpy(), drawn(6, 30).numpy()[[0, 2, 1, 3, 5]]
    partners = np.array([0, 1, 2, 3, -1, -1])
    expected, found = (
        correlated(a, b, partners, where, values_at_once=values_at_once) for where in (torch.device("cpu"), device)
    )
    assert_alike(found, expected)
    assert_alike(paired(found, a, b, partners, device), paired(expected, a, b, partners, torch.device("cpu")))


SHAPES = {"numbers": (4, 6), "maps": (4, 6, 5, 5), "channels last": (4, 5, 5, 6), "tokens": (4, 26, 6)}


@pytest.mark.parametrize("pooling", ["mean", "max", "patches"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_pooling_and_where_maps_peak(
    gpu: PretendedDevice, pooling: str, shape: tuple[int, ...], precision: torch.dtype
) -> None:
    output = drawn(*shape).to(precision)
    there = output.to(gpu.device)
    with gpu.never_waiting():
        found = pool(there, pooling)
    expected = pool(output, pooling)
    assert found.values.device == gpu.device
    assert_alike(found.values.cpu(), expected.values)
    assert (found.peaks is None) == (expected.peaks is None)
    if found.peaks is not None and expected.peaks is not None:
        assert_alike(found.peaks.cpu(), expected.peaks)


def test_a_reading_projects_onto_directions(gpu: PretendedDevice) -> None:
    module = nn.Linear(6, 3).requires_grad_(False)
    onto = Directions("onto", "onto.npz", "onto.npz", module, 6, "0")
    reading = Reading("toy", Place("layer[0]", "layer", elements=("0",)), Frame(), directions=onto)
    output = drawn(4, 6, 5, 5)
    expected = reading.activations((output,), 4), reading.maps((output,), 4)
    there = output.to(gpu.device)
    module.to(gpu.device)
    with gpu.never_waiting():
        found = reading.activations((there,), 4), reading.maps((there,), 4)
    assert found[0].peaks is not None
    assert expected[0].peaks is not None
    assert_alike(found[0].values.cpu(), expected[0].values)
    assert_alike(found[0].peaks.cpu(), expected[0].peaks)
    assert_alike(found[1].cpu(), expected[1])


def test_pixels_are_normalised_where_they_are(gpu: PretendedDevice) -> None:
    preprocessing = Preprocessing(8, 8, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    pixels = (drawn(2, 3, 8, 8).sigmoid() * 255).to(torch.uint8)
    there = pixels.to(gpu.device)
    with gpu.never_waiting():
        found = preprocessing.normalise(there)
    assert_alike(found.cpu(), preprocessing.normalise(pixels))
