"""Extraction: hooks, pooling, and values equal to those of an independent hook."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from neuronlake.ingest.layers.choosing import choose_layers
from neuronlake.ingest.layers.passes import recorded_outputs
from neuronlake.ingest.layers.pooling import Frame, pool
from neuronlake.ingest.layers.readings import Reading
from neuronlake.ingest.layers.spellings import LayerError, Place
from neuronlake.ingest.machines import extraction
from neuronlake.ingest.machines.chunks import Chunk, ChunkImage, ExtractedChunk, PreparedImage
from neuronlake.ingest.machines.extraction import top_rows
from neuronlake.ingest.machines.feeding.ahead import prepare_ahead
from neuronlake.ingest.machines.feeding.batches import BatchLimit
from neuronlake.ingest.machines.loaded import LoadedNetworks
from neuronlake.ingest.networks.models import Model, load_model
from neuronlake.ingest.networks.preprocessing import Preprocessing
from neuronlake.ingest.networks.weights import SourceKind
from neuronlake.ingest.probes.sources import ProbeImage, Source


def model_of(module: nn.Module) -> Model:
    """A model around any module that takes 8 x 8 images."""
    preprocessing = Preprocessing(8, 8, (0.5,) * 3, (0.5,) * 3)
    return Model("toy", module.eval(), preprocessing, (), "here", SourceKind.MEMORY, is_random=True, fingerprint="0")


def reading(layer: str) -> Reading:
    """A plain layer, read as it is."""
    return Reading("toy", Place(layer, layer), Frame())


def test_a_map_is_averaged_or_its_maximum_taken_and_its_peak_located() -> None:
    maps = torch.zeros(1, 2, 3, 3)
    maps[0, 0, 1, 2] = 9.0
    maps[0, 1] = -1.0
    maps[0, 1, 0, 0] = 1.0
    mean, highest = pool(maps, "mean"), pool(maps, "max")
    torch.testing.assert_close(mean.values, torch.tensor([[1.0, -7 / 9]]))
    torch.testing.assert_close(highest.values, torch.tensor([[9.0, 1.0]]))
    assert mean.peaks is not None
    torch.testing.assert_close(mean.peaks, torch.tensor([[[2.5 / 3, 1.5 / 3], [0.5 / 3, 0.5 / 3]]]))


def test_the_class_token_stands_for_all_tokens() -> None:
    tokens = torch.arange(2 * 3 * 4).reshape(2, 3, 4).float()
    found = pool(tokens, "mean")
    assert found.values.tolist() == [[0, 1, 2, 3], [12, 13, 14, 15]]
    assert found.peaks is None


def test_what_is_one_number_a_unit_stays_as_it_is() -> None:
    found = pool(torch.tensor([[1.0, 2.0]]), "max")
    assert found.values.tolist() == [[1.0, 2.0]]
    assert found.peaks is None


def test_a_map_of_one_pixel_has_no_peak() -> None:
    found = pool(torch.tensor([[[[5.0]], [[6.0]]]]), "mean")
    assert found.values.tolist() == [[5.0, 6.0]]
    assert found.peaks is None


def test_channels_last_are_told_by_their_shape() -> None:
    maps = torch.randn(2, 16, 7, 7)
    last = maps.permute(0, 2, 3, 1)
    torch.testing.assert_close(pool(last, "mean").values, pool(maps, "mean").values)


@pytest.mark.parametrize(
    ("architecture", "layer", "units"),
    [
        ("resnet18", "layer3", 256),
        ("resnet18", "layer4.1.conv2", 512),
        ("resnet18", "fc", 1000),
        ("vit_b_16", "encoder.layers.encoder_layer_3", 768),
        ("swin_t", "features.3", 192),
        ("convnext_tiny", "features.5", 384),
    ],
)
def test_layers_of_every_shape_have_their_units(architecture: str, layer: str, units: int) -> None:
    model = load_model(f"{architecture}-imagenet", random_weights=True)
    (shape,) = choose_layers(model, [layer])
    assert shape.units == units


def test_positions_follow_the_order_of_the_modules() -> None:
    model = load_model("resnet18-imagenet", random_weights=True)
    early, middle, late = choose_layers(model, ["layer1", "layer3", "fc"])
    assert early.position < middle.position < late.position


def test_hooks_are_gone_after_the_block_even_if_it_fails() -> None:
    module = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(RuntimeError), recorded_outputs(module, [reading("0")], lambda _, value: value):
        module(torch.zeros(1, 3))
    assert not module[0]._forward_hooks


def test_an_unknown_layer_gets_near_names_and_the_outermost_layers() -> None:
    model = load_model("resnet18-imagenet", random_weights=True)
    with pytest.raises(LayerError) as error:
        choose_layers(model, ["layer3", "layr4"])
    assert "has no layer 'layr4'" in str(error.value)
    assert "did you mean layer4" in str(error.value)
    assert "conv1, bn1, relu, maxpool, layer1, layer2, layer3, layer4, avgpool, fc" in str(error.value)


class Unused(nn.Module):
    """A module with one submodule that never runs, and one whose output is no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Linear(2, 2)
        self.pair = Pair()

    def forward(self, x: Tensor) -> Tensor:
        return self.pair(x)[0].flatten(1)


class Pair(nn.Module):
    """Gives two tensors."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


def test_layers_without_units_are_refused() -> None:
    with pytest.raises(LayerError, match="'idle' of toy gives no output"):
        choose_layers(model_of(Unused()), ["idle"])
    with pytest.raises(LayerError, match=r"'pair' of toy gives a tuple of 2, .*; take pair\[0\] or pair\[1\]"):
        choose_layers(model_of(Unused()), ["pair"])


def test_images_come_in_order_however_many_threads_decode() -> None:
    from neuronlake.ingest.machines.chunks import ChunkImage
    from neuronlake.ingest.probes.locations import Location
    from neuronlake.ingest.probes.sources import FileBytes, ProbeImage

    images = [ProbeImage(f"{number}.png", None, FileBytes(Location(f"/nowhere/{number}.png"))) for number in range(50)]
    files = ((ChunkImage(number, image), frozenset[Preprocessing]()) for number, image in enumerate(images))
    results = list(prepare_ahead(files, workers=4, ahead=7))
    assert [result.image_id for result in results] == list(range(50))


def test_the_receptive_field_is_what_the_middle_of_a_map_sees() -> None:
    # two 3 x 3 convolutions, the second behind a stride of 2: 1 + 2 + 2 * 2 = 7 of the 8 pixels of a side
    stack = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, stride=2), nn.Conv2d(4, 4, 3, padding=1), nn.Flatten())
    near, far, flat = choose_layers(model_of(stack), ["0", "1", "2"])
    assert near.receptive_field == pytest.approx(3 / 8)
    assert far.receptive_field == pytest.approx(7 / 8)
    assert flat.receptive_field is None


def test_a_batch_limit_takes_over_what_another_process_came_down_to_where_that_is_less() -> None:
    here, there = BatchLimit(16), BatchLimit(16)
    here.come_down_to(there)
    assert (here.images, here.device) == (16, "")
    there.halve(16, torch.device("cpu"))
    there.halve(8, torch.device("cpu"))
    here.come_down_to(there)
    here.come_down_to(BatchLimit(16))
    assert (here.wanted, here.images) == (16, 4)
    assert here.device.startswith("cpu, ")


def test_a_chunk_is_put_together_on_the_processor_where_the_device_has_no_memory_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    preprocessing = Preprocessing(8, 8, (0.5,) * 3, (0.5,) * 3)
    model = model_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2)))
    networks = LoadedNetworks(tuple(choose_layers(model, ["0", "2"])), None, lambda: ((), None))
    images = [
        PreparedImage(number, 8, 8, None, {preprocessing: torch.randint(256, (3, 8, 8), dtype=torch.uint8)})
        for number in range(5)
    ]
    chunk = Chunk(0, (), (("toy", "0"), ("toy", "2")), needs_embeddings=False)
    listed = [ChunkImage(image.image_id, ProbeImage("", None, _Nowhere())) for image in images]
    chunk = replace(chunk, images=tuple(listed))
    found: list[ExtractedChunk] = []
    calls: list[int] = []

    def full_once(activations: Tensor) -> Tensor:
        calls.append(len(activations))
        if len(calls) == 1 and found:
            raise torch.OutOfMemoryError
        return top_rows(activations)

    monkeypatch.setattr(extraction, "top_rows", full_once)
    for _ in range(2):
        calls.clear()
        limit = BatchLimit(2)
        found.append(
            extraction.extract_chunk(networks, chunk, iter(images), torch.device("cpu"), limit, lambda _count: None)
        )
    assert len(calls) == 3
    for key in chunk.layers:
        torch.testing.assert_close(found[0].activations[key], found[1].activations[key])
        torch.testing.assert_close(vars(found[0].candidates[key]), vars(found[1].candidates[key]))


class _Nowhere(Source):
    """Bytes that nobody reads."""

    def read(self) -> bytes:
        raise NotImplementedError
