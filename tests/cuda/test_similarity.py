"""The five similarity functions on a device are what their formulas give in float64, ties and pseudo-units included."""

from __future__ import annotations

import pytest
import torch
from exact_similarities import EXACT
from torch import Tensor
from torch.nn.functional import normalize

from neuronlake.ingest.labelers import similarity
from neuronlake.ingest.labelers.log_products import log_of_products
from neuronlake.ingest.labelers.significance import PseudoUnits
from neuronlake.ingest.labelers.similarity import METHODS, Cosines, top_image_indices

IMAGES, CONCEPTS, UNITS, DRAWS = 640, 300, 12, 5
# float32's rounding on a sum of a hundred logs, and on cosines; what is scored below -1 may be as far off in proportion
TOLERANCES = {
    "soft_wpmi": 1e-4,
    "wpmi": 1e-4,
    "rank_reorder": 1e-4,
    "cos_similarity": 1e-5,
    "cos_similarity_cubed": 1e-5,
}
# two images whose cosines are equal but for rounding may change places, which only this function looks at
MAY_BE_FURTHER_OFF = {"rank_reorder": 0.001}


def features() -> tuple[Tensor, Tensor]:
    """Of images and concepts, with cosines around 0.2 as CLIP's are."""
    generator = torch.Generator().manual_seed(3)
    common = torch.randn(32, generator=generator) / 2
    images, concepts = (torch.randn(count, 32, generator=generator) + common for count in (IMAGES, CONCEPTS))
    return normalize(images, dim=1), normalize(concepts, dim=1)


def activations(*, tied: bool) -> Tensor:
    """Of units that follow some concept a little; `tied` are tenths above 0, so that many images are equal."""
    images, concepts = features()
    noise = torch.randn(IMAGES, UNITS, generator=torch.Generator().manual_seed(4))
    found = images @ concepts[:UNITS].T + 0.1 * noise
    return (found * 10).round().relu() / 10 if tied else found


@pytest.mark.parametrize("kept", [True, False], ids=["cosines kept", "cosines in blocks"])
@pytest.mark.parametrize("tied", [False, True], ids=["no ties", "ties"])
@pytest.mark.parametrize("method", METHODS)
def test_scores_are_those_of_the_formula(
    device: torch.device, method: str, tied: bool, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kept:
        for limits, in_memory in (("_KEPT_BYTES", "_KEPT_IN_MEMORY"), ("_BLOCK_BYTES", "_BLOCKS_IN_MEMORY")):
            monkeypatch.setitem(getattr(similarity, limits), "cpu", 1)
            monkeypatch.setattr(similarity, in_memory, 2**60)
    images, concepts = features()
    layer = activations(tied=tied)
    on_device = layer.to(device)
    found = METHODS[method](
        Cosines(images.to(device), concepts.to(device)), on_device, PseudoUnits(on_device, DRAWS, seed=5)
    )
    assert found.device.type == device.type
    cosines = images.double() @ concepts.double().T
    exact = EXACT[method]
    expected = [exact(cosines, layer.double())]
    for one_more in torch.cat([*PseudoUnits(layer, DRAWS, seed=5).batches()], dim=1).split(1, dim=1):
        # only these compare a unit with the others of its layer
        others = layer if method in {"soft_wpmi", "wpmi"} else layer[:, :0]
        expected.append(exact(cosines, torch.cat([others, one_more], dim=1).double())[-1:])
    exactly = torch.cat(expected)
    is_off = (found.cpu() - exactly).abs() > TOLERANCES[method] * exactly.abs().clamp_min(1)
    assert is_off.float().mean() <= MAY_BE_FURTHER_OFF.get(method, 0)


def test_top_images_are_the_highest_and_ties_stand_in_the_order_of_the_images(device: torch.device) -> None:
    few = torch.tensor([[0.0, -1.0], [2.0, -2.0], [0.0, -1.0], [2.0, -0.0], [-3.0, 0.0]], device=device)
    assert top_image_indices(few, 4).tolist() == [[1, 3, 0, 2], [3, 4, 0, 2]]
    many = activations(tied=True)
    expected = many.sort(dim=0, descending=True, stable=True).indices[:200].T
    assert torch.equal(top_image_indices(many.to(device), 200).cpu(), expected)


def test_pseudo_units_are_the_same_on_every_device(device: torch.device) -> None:
    layer = activations(tied=False)
    (here,), (there,) = (list(PseudoUnits(each, DRAWS, seed=5).batches()) for each in (layer, layer.to(device)))
    assert torch.equal(there.cpu(), here)


@pytest.mark.parametrize("offset", [1.0, 1e-7])
def test_logs_of_products_keep_small_factors(device: torch.device, offset: float) -> None:
    generator = torch.Generator().manual_seed(6)
    values = torch.rand(50, 33, generator=generator) ** 8  # from nearly 0 to nearly 1
    top = torch.randint(50, (7, 28), generator=generator)
    weights = torch.linspace(500, 0.1, 28).tolist()
    expected = (offset + values.double()[top] * torch.tensor(weights).double()[:, None]).log().sum(dim=1)
    found = log_of_products(values.to(device), top.to(device), weights, offset).cpu().double()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
