"""A network that a user lends comes back as it was: modes, flags, tensors, also when something fails."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import neuronlake
from neuronlake import NeuronlakeError
from neuronlake.ingest.estimate import estimate
from neuronlake.ingest.labelers import labelling
from neuronlake.ingest.networks.lending import evaluated
from neuronlake.ingest.recipe import Recipe

SMALL = neuronlake.Preprocessing(32, 32, (0.5,) * 3, (0.5,) * 3)


class Half(nn.Module):
    """Trains one part, keeps another frozen and in evaluation mode, as one does to train on."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.BatchNorm2d(4)).eval().requires_grad_(False)
        self.trained = nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.Dropout(0.5))
        self.register_buffer("mask", torch.ones(1, 6, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.trained(self.frozen(images)) * self.mask


class Watched(Half):
    """Remembers each time that it is moved."""

    def __init__(self) -> None:
        super().__init__()
        self.moves = 0

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.moves += 1
        return super()._apply(fn, recurse)


def state(module: nn.Module) -> list[tuple[Any, ...]]:
    """All that a user could find changed."""
    parts = [(name, part.training) for name, part in module.named_modules()]
    weights = [(name, weight.requires_grad, id(weight), weight.device) for name, weight in module.named_parameters()]
    buffers = [(name, id(buffer), buffer.device, buffer.tolist()) for name, buffer in module.named_buffers()]
    return [*parts, *weights, *buffers]


@pytest.fixture
def lent() -> Half:
    torch.manual_seed(0)
    return Half()


@pytest.fixture
def recipe(tiny_recipe: Recipe) -> dict[str, Any]:
    """The settings of a run that takes a module."""
    return {
        "probe": tiny_recipe.probes[0],
        "concepts": tiny_recipe.concepts[0],
        "encoder": tiny_recipe.encoder,
        "layers": "trained.1",
        "null_draws": 10,
    }


def test_a_network_comes_back_as_it_was_and_can_be_trained_on(
    lent: Half, recipe: dict[str, Any], tmp_path: Path
) -> None:
    before = state(lent)
    with neuronlake.open(tmp_path / "w.duckdb") as warehouse:
        assert neuronlake.ingest(warehouse, models={"mine": (lent, SMALL)}, **recipe).scored_layers == 1
        assert state(lent) == before
        assert neuronlake.ingest(warehouse, models={"mine": (lent, SMALL)}, **recipe).did_nothing
    assert state(lent) == before
    lent(torch.rand(2, 3, 32, 32)).sum().backward()
    assert [name for name, weight in lent.named_parameters() if weight.grad is not None] == [
        *("trained.0.weight", "trained.0.bias", "trained.1.weight", "trained.1.bias")
    ]


def test_a_model_made_beforehand_is_not_touched(lent: Half) -> None:
    before = state(lent)
    neuronlake.model_from_module("mine", lent, SMALL)
    assert state(lent) == before


def test_a_network_comes_back_as_it_was_after_an_error(lent: Half, recipe: dict[str, Any], tmp_path: Path) -> None:
    before = state(lent)
    with neuronlake.open(tmp_path / "w.duckdb") as warehouse:
        for wrong in ({"layers": "nowhere"}, {"max_failures": 0, "probe": str(tmp_path / "photos")}):
            (tmp_path / "photos").mkdir(exist_ok=True)
            (tmp_path / "photos" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
            with pytest.raises(NeuronlakeError):
                neuronlake.ingest(warehouse, models={"mine": (lent, SMALL)}, **{**recipe, **wrong})
            assert state(lent) == before


def test_a_network_comes_back_as_it_was_when_extraction_stops(
    lent: Half, recipe: dict[str, Any], tmp_path: Path
) -> None:
    before = state(lent)

    def stop(stage: str, done: int, _total: int) -> None:
        if stage == "Extracting images" and done > 2:
            raise KeyboardInterrupt

    with neuronlake.open(tmp_path / "w.duckdb") as warehouse:
        # the error is kept, as a notebook keeps its last one, and with it all frames of the run
        with pytest.raises(KeyboardInterrupt) as kept:
            neuronlake.ingest(warehouse, models={"mine": (lent, SMALL)}, progress=stop, **recipe)
        assert state(lent) == before
        assert all(weight.is_contiguous() for weight in lent.parameters())
        assert kept.value is not None


def test_an_estimate_leaves_a_network_as_it_was(lent: Half, recipe: dict[str, Any], tiny_recipe: Recipe) -> None:
    before = state(lent)
    model = neuronlake.model_from_module("mine", lent, SMALL)
    layers = (recipe["layers"],)
    estimate(dataclasses.replace(tiny_recipe, models=(model,), layers=layers, random_weights=False))
    assert state(lent) == before


def test_networks_have_left_the_device_before_layers_are_scored(
    recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score, watched, seen = labelling.label_layers, Watched(), list[int]()

    def scored(*arguments: Any) -> tuple[str, ...]:
        seen.append(watched.moves)
        return score(*arguments)

    monkeypatch.setattr(labelling, "label_layers", scored)
    with neuronlake.open(tmp_path / "w.duckdb") as warehouse:
        neuronlake.ingest(warehouse, models={"mine": (watched, SMALL)}, device="cpu", **recipe)
    # to the device, to channels last and back, and off the device
    assert seen == [4]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_tensors_come_back_to_the_device_they_were_on(lent: Half) -> None:
    before = state(lent)
    with evaluated([lent]):
        lent.to("cuda")
    assert state(lent) == before


def test_a_part_that_does_more_than_note_its_mode_is_told(lent: Half) -> None:
    class Merging(nn.Linear):
        """Adds to its weights for evaluation, as low-rank adapters do."""

        def train(self, mode: bool = True) -> nn.Module:
            if mode != self.training:
                self.weight.data += -1 if mode else 1
            return super().train(mode)

    merging = Merging(2, 2)
    before = merging.weight.clone()
    with evaluated([merging, lent]):
        assert not torch.equal(merging.weight, before)
    torch.testing.assert_close(merging.weight, before)
