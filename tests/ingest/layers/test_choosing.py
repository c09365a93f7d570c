"""Layers: spellings, patterns, what hooks see, how tokens are pooled, and directions in a layer's space."""

from __future__ import annotations

import dataclasses
import io
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

import neuronlake
from neuronlake.ingest.layers.choosing import choose_layers, frame_of, list_layers
from neuronlake.ingest.layers.directions import DirectionsError, load_directions
from neuronlake.ingest.layers.passes import recorded_outputs, run_until_seen
from neuronlake.ingest.layers.pooling import Activations, Frame, PoolingError, pool
from neuronlake.ingest.layers.readings import Reading
from neuronlake.ingest.layers.spellings import LayerError
from neuronlake.ingest.machines.loaded import DeviceMemoryError
from neuronlake.ingest.networks.errors import ModelError
from neuronlake.ingest.networks.models import Model, load_model, model_from_module
from neuronlake.ingest.networks.preprocessing import Preprocessing
from neuronlake.ingest.networks.running import run
from neuronlake.ingest.recipe import Recipe
from neuronlake.sql.store.names import NameTakenError

SEEN = Preprocessing(8, 8, (0.5,) * 3, (0.5,) * 3)


class Toy(nn.Module):
    """Outputs of many kinds: a map, a tuple within a tuple, a dict, one that runs twice, one that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1, bias=False)
        self.act = nn.ReLU(inplace=True)
        self.pair = Pair()
        self.named = Named()
        self.twice = nn.Identity()
        self.idle = nn.Linear(2, 2)
        self.odd = Odd()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps = self.act(self.stem(images))
        first, (_, second) = self.pair(maps, scale=2.0)
        held = self.named(first)["wide"]
        self.odd(maps)
        return {"logits": self.twice(self.twice(second) * 3) + held}


class Pair(nn.Module):
    """A map's mean, and within a tuple nothing and the mean times `scale`."""

    def forward(self, maps: Tensor, scale: float) -> tuple[Tensor, tuple[None, Tensor]]:
        return maps.mean(dim=(2, 3)), (None, maps.mean(dim=(2, 3)) * scale)


class Named(nn.Module):
    """A dict."""

    def forward(self, units: Tensor) -> dict[str, Tensor]:
        return {"wide": units * 5, "narrow": units[:, :2]}


class Odd(nn.Module):
    """Its images are not in the first dimension."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.flatten(0, 1)


@pytest.fixture
def toy() -> Model:
    torch.manual_seed(2)
    return model_from_module("toy", Toy(), SEEN)


def both(found: Activations) -> tuple[Tensor, Tensor | None]:
    """Values and places of maxima."""
    return found.values, found.peaks


def read(model: Model, layer: str, images: Tensor, pooling: str = "mean") -> Tensor:
    """A layer's activations, through the hooks that extraction uses."""
    (shape,) = choose_layers(model, [layer], pooling)

    def keep(reading: object, value: object) -> Tensor:
        return shape.reading.activations(value, len(images)).values

    with torch.inference_mode(), recorded_outputs(model.module, [shape.reading], keep) as seen:
        run(model, images)
    found = seen.outcomes[shape.name]
    assert isinstance(found, Tensor)
    assert found.shape == (len(images), shape.units)
    return found


def test_a_spelling_reaches_inputs_and_elements(toy: Model) -> None:
    images = torch.randn(3, 3, 8, 8)
    stem = nn.functional.conv2d(images, toy.module.get_parameter("stem.weight"))
    mean = stem.relu().mean(dim=(2, 3))
    expected = {
        "stem": stem.mean(dim=(2, 3)),  # though the ReLU after it changes the same memory
        "stem:input": images.mean(dim=(2, 3)),
        "pair[0]": mean,
        "pair[1][1]": mean * 2,
        "pair:input": mean,
        "pair:input[0]": mean,
        "named[wide]": mean * 5,
        "named[narrow]": mean[:, :2],
        "twice": mean * 6,  # the second of its two outputs
    }
    for layer, activations in expected.items():
        torch.testing.assert_close(read(toy, layer, images), activations, msg=layer)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("idle", "'idle' of toy gives no output in a forward pass"),
        ("pair", r"'pair' of toy gives a tuple of 2, not a tensor; take pair\[0\]$"),
        ("pair[1]", r"gives a tuple of 2, not a tensor; take pair\[1\]\[1\]$"),
        ("pair[1][0]", "gives nothing, not a tensor"),
        ("pair[2]", r"there is no \[2\] in a tuple of 2"),
        ("stem[0]", r"there is no \[0\], for it gives a tensor of shape \[2, 4, 8, 8\]"),
        ("named", r"gives a dict, not a tensor; take named\[wide\] or named\[narrow\]"),
        ("named[wde]", r"there is no \[wde\]; it has \[wide\], \[narrow\]"),
        ("odd", r"of shape \[8, 8, 8\] for 2 images, so its first dimension is not theirs"),
        ("stm:input", "toy has no layer 'stm'; did you mean stem"),
        ("stem:output", r"'stem:output' is no layer; write NAME, NAME:input, NAME:heads, or NAME\[0\]"),
        ("layer4.*", "'layer4.*' finds no layer of toy; its outermost layers are stem, act, pair"),
        ("idl?", "'idl.' finds 1 layers of toy, none of which has units"),
    ],
)
def test_what_is_wrong_with_a_layer_is_said_in_one_line(toy: Model, layer: str, message: str) -> None:
    with pytest.raises(LayerError, match=message) as caught:
        choose_layers(toy, [layer])
    assert "\n" not in str(caught.value)


def test_patterns_find_layers_with_units_in_the_networks_order() -> None:
    model = load_model("resnet18-imagenet", random_weights=True)
    found = {
        text: [shape.name for shape in choose_layers(model, [text])] for text in ("layer4.*", "*.1.conv?", "fc,")[:2]
    }
    assert found["layer4.*"] == ["layer4.0", "layer4.1"]
    assert found["*.1.conv?"] == [f"layer{layer}.1.conv{conv}" for layer in (1, 2, 3, 4) for conv in (1, 2)]
    assert [shape.name for shape in choose_layers(model, ["fc", "layer?", "layer2"])] == [
        *("fc", "layer1", "layer2", "layer3", "layer4")
    ]


def test_a_pattern_leaves_out_what_has_no_units(toy: Model) -> None:
    shapes = {shape.name: shape.calls for shape in choose_layers(toy, ["**"])}
    assert shapes == {"stem": 1, "act": 1, "twice": 2}
    assert [shape.name for shape in choose_layers(toy, ["st*:input"])] == ["stem:input"]


def test_layers_are_listed_with_type_units_and_shape(toy: Model) -> None:
    assert list_layers(toy).rows() == [
        ("stem", "Conv2d", 4, "4 x 8 x 8", 1),
        ("act", "ReLU", 4, "4 x 8 x 8", 1),
        ("pair", "Pair", None, "[0] 4, [1] [0] nothing, [1] 4", 1),
        ("named", "Named", None, "[wide] 4, [narrow] 2", 1),
        ("twice", "Identity", 4, "4", 2),
        ("odd", "Odd", None, "8 x 8", 1),
    ]


def test_the_command_lists_layers_with_nothing_but_a_model() -> None:
    environment = os.environ | {"COLUMNS": "120", "NO_COLOR": "1"}
    command = [str(Path(sys.executable).parent / "cli"), "ingest", "--model", "timm:test_resnet", "--random-weights"]
    done = subprocess.run([*command, "--list-layers"], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    listed = pl.read_csv(io.StringIO(done.stdout))
    assert listed.row(-1) == ("fc", "Linear", 1000, "1000", 1)
    lacking = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert lacking.returncode == 2
    assert "Missing option '--layers'" in lacking.stderr


def test_the_layers_above_the_last_one_asked_for_are_not_run() -> None:
    model = load_model("resnet18-imagenet", random_weights=True)
    ran: list[str] = []
    for name in ("layer1", "layer2", "layer3", "fc"):
        model.module.get_submodule(name).register_forward_hook(lambda *_details, name=name: ran.append(name))
    images = torch.randn(2, 3, 64, 64)
    (shape,) = choose_layers(model, ["layer2"])
    uncounted = dataclasses.replace(shape.reading, calls=None)

    def keep(reading: Reading, value: object) -> Tensor:
        return reading.activations(value, 2).values

    with torch.inference_mode():
        ran.clear()
        stopped = run_until_seen(model, [shape.reading], images, keep).outcomes["layer2"]
        assert ran == ["layer1", "layer2"]
        ran.clear()
        whole = run_until_seen(model, [uncounted], images, keep).outcomes["layer2"]
        assert ran == ["layer1", "layer2", "layer3", "fc"]
    assert isinstance(stopped, Tensor)
    assert isinstance(whole, Tensor)
    assert torch.equal(stopped, whole)


def test_a_layer_that_runs_twice_is_waited_for() -> None:
    model = model_from_module("toy", Toy(), SEEN)
    (shape,) = choose_layers(model, ["twice"])
    assert shape.calls == 2
    seen: list[float] = []

    def keep(_reading: Reading, value: object) -> Tensor:
        assert isinstance(value, Tensor)
        seen.append(float(value.sum()))
        return value

    with torch.inference_mode():
        counted = dataclasses.replace(shape.reading, calls=shape.calls)
        last = run_until_seen(model, [counted], torch.rand(2, 3, 8, 8), keep).outcomes["twice"]
    assert len(seen) == 2
    assert isinstance(last, Tensor)
    assert float(last.sum()) == seen[1]


class Broken(nn.Module):
    """Works with no images."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(5, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.stem(images)


def test_a_network_that_fails_is_said_in_one_line_with_its_place() -> None:
    model = model_from_module("mine", Broken(), SEEN)
    with pytest.raises(
        ModelError, match=r"mine fails on 2 images of 8 x 8: RuntimeError: .*\(test_choosing\.py:\d+\)$"
    ):
        choose_layers(model, ["stem"])


def test_an_exported_network_of_one_batch_size_says_how_to_export_it(tmp_path: Path) -> None:
    torch.export.save(torch.export.export(nn.Sequential(nn.ReLU()), (torch.zeros(7, 3, 224, 224),)), tmp_path / "e.pt2")
    with pytest.raises(ModelError, match=r"shape\[0\] to be equal to 7, but got 2.*re-export and specify dynamic"):
        choose_layers(load_model(str(tmp_path / "e.pt2"), trust_code=True), ["0"])


# Tokens


def test_tokens_without_a_class_token_are_averaged() -> None:
    tokens = torch.arange(2 * 4 * 3).reshape(2, 4, 3).float()
    frame = Frame(prefix_tokens=0)
    assert pool(tokens, "mean", frame).values.tolist() == [[4.5, 5.5, 6.5], [16.5, 17.5, 18.5]]
    values, peaks = both(pool(tokens, "max", frame))
    assert values.tolist() == [[9, 10, 11], [21, 22, 23]]
    assert peaks is not None
    assert peaks[0, 0].tolist() == [0.75, 0.75]


def test_patches_are_averaged_without_class_and_register_tokens() -> None:
    tokens = torch.tensor([[[100.0], [50.0], [1.0], [2.0], [3.0], [6.0]]])
    frame = Frame(prefix_tokens=2)
    values, peaks = both(pool(tokens, "patches", frame))
    assert values.tolist() == [[3.0]]
    assert peaks is not None
    assert peaks.tolist() == [[[0.75, 0.75]]]
    assert pool(tokens, "mean", frame).values.tolist() == [[100.0]]
    assert pool(tokens, "cls", frame).values.tolist() == [[100.0]]


def test_tokens_that_are_a_whole_map_have_no_class_token_yet() -> None:
    assert pool(torch.tensor([[[1.0], [2.0], [3.0], [6.0]]]), "mean", Frame()).values.tolist() == [[3.0]]


def test_a_class_token_is_not_made_up() -> None:
    with pytest.raises(PoolingError, match="gives 4 tokens and none is a class token"):
        pool(torch.zeros(1, 4, 3), "cls", Frame(prefix_tokens=0))
    with pytest.raises(PoolingError, match="gives maps of 5 x 5, which have no class token"):
        pool(torch.zeros(1, 4, 5, 5), "cls")


def test_maps_of_wide_images_have_their_shape() -> None:
    wide = Frame(height=160, width=320)
    maps = torch.randn(1, 6, 5, 10)
    torch.testing.assert_close(pool(maps.permute(0, 2, 3, 1), "mean", wide).values, pool(maps, "mean", wide).values)
    assert wide.grid(50) == (5, 10)
    assert wide.grid(49) is None


# architecture, layer, channels, pooled as, what the plain output looks like
SHAPES = [
    ("timm:test_resnet", "layer4", lambda out: out.mean(dim=(2, 3))),
    ("timm:test_resnet", "fc", lambda out: out),
    ("timm:test_vit", "blocks.1", lambda out: out[:, 0]),
    ("timm:test_vit", "blocks.1.attn.proj:input", lambda out: out[:, 0]),
    ("timm:test_convnext", "stages.2", lambda out: out.mean(dim=(2, 3))),
    ("timm:test_convnext", "stages.0.blocks.0.mlp", lambda out: out.mean(dim=(1, 2))),
    ("mixer", "blocks.0", lambda out: out.mean(dim=1)),
    ("mixer", "blocks.0.mlp_tokens:input", lambda out: out.mean(dim=1)),  # its units are tokens
    ("swin", "layers.1", lambda out: out.mean(dim=(1, 2))),
    ("swin", "head", lambda out: out),
    ("torchvision vit", "encoder.layers.encoder_layer_0", lambda out: out[:, 0]),
    ("torchvision vit", "encoder.layers.encoder_layer_0.mlp", lambda out: out[:, 0]),
    ("torchvision vit", "conv_proj", lambda out: out.mean(dim=(2, 3))),
    ("torchvision vit", "heads", lambda out: out),
    ("torchvision swin", "features.1", lambda out: out.mean(dim=(1, 2))),
    ("torchvision swin", "features.1.0.attn", lambda out: out.mean(dim=(1, 2))),
    ("torchvision swin", "permute", lambda out: out.mean(dim=(2, 3))),
    ("torchvision convnext", "features.1", lambda out: out.mean(dim=(2, 3))),
    ("torchvision convnext", "features.1.0.block.2", lambda out: out.mean(dim=(1, 2))),
    ("torchvision convnext", "classifier", lambda out: out),
]


def network(name: str) -> Model:
    """A small network of each family, with random weights."""
    import timm
    import torchvision.models as vision

    if name.startswith("timm:"):
        return load_model(name, random_weights=True)
    torch.manual_seed(3)
    block = vision.convnext.CNBlockConfig
    makers: dict[str, Callable[[], nn.Module]] = {
        "mixer": lambda: timm.models.mlp_mixer.MlpMixer(img_size=32, patch_size=8, num_blocks=2, embed_dim=24),
        "swin": lambda: timm.models.SwinTransformer(
            img_size=32, patch_size=2, window_size=4, embed_dim=12, depths=(1, 1), num_heads=(2, 2)
        ),
        "torchvision vit": lambda: vision.VisionTransformer(32, 8, 2, 4, 24, 48, num_classes=10),
        "torchvision swin": lambda: vision.SwinTransformer([4, 4], 12, [2, 1], [2, 2], [3, 3], num_classes=10),
        "torchvision convnext": lambda: vision.ConvNeXt([block(12, 24, 1), block(24, None, 1)], num_classes=10),
    }
    return model_from_module(name, makers[name]().eval(), Preprocessing(32, 32, (0.5,) * 3, (0.5,) * 3))


@pytest.mark.parametrize(("name", "layer", "pooled"), SHAPES, ids=lambda value: value if isinstance(value, str) else "")
def test_layers_of_every_family_are_pooled_as_they_should(name: str, layer: str, pooled: object) -> None:
    model = network(name)
    images = torch.randn(3, 3, model.preprocessing.height, model.preprocessing.width)
    seen: list[Tensor] = []
    part = model.module.get_submodule(layer.removesuffix(":input"))
    if layer.endswith(":input"):
        handle = part.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    else:
        handle = part.register_forward_hook(lambda _, __, output: seen.append(output.clone()))
    with torch.inference_mode():
        model.module(images)
    handle.remove()
    assert callable(pooled)
    torch.testing.assert_close(read(model, layer, images), pooled(seen[0]), rtol=1e-4, atol=1e-5)


def test_prefix_tokens_are_known_from_attributes_or_parameters() -> None:
    assert frame_of(network("timm:test_vit")).prefix_tokens == 1
    assert frame_of(network("mixer")).prefix_tokens == 0
    registers = nn.Module()
    registers.class_token = nn.Parameter(torch.zeros(1, 1, 4))
    registers.register_tokens = nn.Parameter(torch.zeros(1, 4, 4))
    assert frame_of(model_from_module("dino", registers, SEEN)).prefix_tokens == 5


# Directions


@pytest.fixture
def matrix() -> Tensor:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(1))


def save_npz(path: Path, **arrays: Tensor) -> str:
    np.savez(path, **{name: tensor.numpy() for name, tensor in arrays.items()})  # pyright: ignore[reportArgumentType]
    return str(path)


def test_directions_are_taken_at_each_position_before_pooling(toy: Model, tmp_path: Path, matrix: Tensor) -> None:
    bias = torch.arange(6).float()
    directions = load_directions(save_npz(tmp_path / "probes.npz", directions=matrix, bias=bias))
    (shape,) = choose_layers(toy, [], "max", {"stem": [directions]})
    assert (shape.name, shape.units) == ("stem/probes", 6)
    maps = torch.randn(2, 4, 3, 3)
    values, peaks = both(shape.reading.activations(maps, 2))
    projected = torch.einsum("uc,bchw->buhw", matrix, maps) + bias[:, None, None]
    torch.testing.assert_close(values, projected.amax(dim=(2, 3)))
    assert peaks is not None
    row, column = divmod(int(projected[0, 0].argmax()), 3)
    torch.testing.assert_close(peaks[0, 0], torch.tensor([(column + 0.5) / 3, (row + 0.5) / 3]))


def test_a_matrix_and_a_network_are_directions_alike(tmp_path: Path, matrix: Tensor) -> None:
    safetensors.torch.save_file({"anything": matrix}, tmp_path / "sae.safetensors")
    code = "import torch\nclass Sae(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    code += "        self.w = torch.nn.Parameter(torch.ones(6, 4))\n    def forward(self, x): return x @ self.w.T\n"
    code += "def sae(): return Sae()\n"
    (tmp_path / "code.py").write_text(code)
    torch.save({"w": matrix}, tmp_path / "w.pth")
    linear = nn.Linear(4, 6, bias=False)
    linear.weight.data = matrix
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(linear).save(str(tmp_path / "encoder.pt"))
    expected = torch.ones(2, 3, 4) @ matrix.T
    from_file = load_directions(str(tmp_path / "sae.safetensors"))
    scripted = load_directions(str(tmp_path / "encoder.pt"), trust_code=True)
    torch.testing.assert_close(from_file.project(torch.ones(2, 3, 4), "it"), expected)
    torch.testing.assert_close(scripted.project(torch.ones(2, 3, 4), "it"), expected)
    made = load_directions(f"{tmp_path / 'code.py'}:sae")
    assert made.project(torch.ones(2, 4, 5, 5), "it").shape == (2, 6, 5, 5)
    assert [directions.name for directions in (from_file, scripted, made)] == ["sae", "encoder", "sae"]


def test_the_fingerprint_of_directions_is_that_of_their_contents(tmp_path: Path, matrix: Tensor) -> None:
    first = load_directions(save_npz(tmp_path / "a.npz", weight=matrix))
    again = load_directions(save_npz(tmp_path / "b.npz", directions=matrix))
    other = load_directions(save_npz(tmp_path / "a.npz", weight=matrix * 2))
    assert first.fingerprint == again.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"a": (6, 4), "b": (4, 6)},
            r"no matrix called directions \(units x channels\); it has a \[6, 4\], b \[4, 6\]",
        ),
        ({"weight": (6, 4), "bias": (4,)}, r"has 6 directions, but a bias of shape \[4\]"),
        ({"weight": (6, 7)}, r"bad\.npz has directions for 7 channels, but layer 'stem' of toy has 4"),
        ({}, "it has nothing"),
    ],
)
def test_directions_that_do_not_fit_are_refused(
    toy: Model, tmp_path: Path, arrays: dict[str, tuple[int, ...]], message: str
) -> None:
    spec = save_npz(tmp_path / "bad.npz", **{name: torch.zeros(shape) for name, shape in arrays.items()})
    with pytest.raises(DirectionsError, match=message):
        choose_layers(toy, [], "mean", {"stem": [load_directions(spec)]})


def test_a_network_that_cannot_take_the_channels_names_both(toy: Model, tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("from torch import nn\ndef sae(): return nn.Linear(7, 9)\n")
    directions = load_directions(f"{tmp_path / 'code.py'}:sae")
    with pytest.raises(DirectionsError, match=r"fails on layer 'stem' of toy with its 4 channels: .*7"):
        choose_layers(toy, [], "mean", {"stem": [directions]})
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(DirectionsError, match="is not a readable npz file"):
        load_directions(str(tmp_path / "text.npz"))
    with pytest.raises(DirectionsError, match=r"there is no file .*txt\.npz; did you mean .*text\.npz"):
        load_directions(str(tmp_path / "txt.npz"))


def test_directions_are_dissected_beside_their_layer(
    toy: Model, tmp_path: Path, tiny_recipe: Recipe, matrix: Tensor
) -> None:
    spec = save_npz(tmp_path / "pca.npz", directions=matrix)
    recipe = dataclasses.replace(
        tiny_recipe, models=(toy,), layers=("stem", "twice"), directions=(("stem", spec),), random_weights=False
    )
    with neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse:
        summary = neuronlake.ingest(warehouse, recipe)
        assert "these layers run several times for an image and their last output counts: twice (2)" in summary.notes
        assert neuronlake.ingest(warehouse, recipe).did_nothing
        frames = {
            layer: warehouse.sql("select image, unit, activation from activations where layer = $l", l=layer).pl()
            for layer in ("stem", "stem/pca")
        }
        save_npz(tmp_path / "pca.npz", directions=matrix * 2)
        with pytest.raises(NameTakenError, match=rf"by other directions; .* --directions stem=pca-2={spec}$"):
            neuronlake.ingest(warehouse, recipe)
        recipe = dataclasses.replace(recipe, directions=(("stem", f"doubled={spec}"),))
        assert neuronlake.ingest(warehouse, recipe).scored_layers == 1
        again = neuronlake.ingest(warehouse, dataclasses.replace(recipe, directions=(("stem", f"twofold={spec}"),)))
        assert again.did_nothing
        assert "stem/twofold of toy is in the warehouse as 'stem/doubled'; it keeps that name" in again.notes
        names = {row[0] for row in warehouse.sql("select name from store.layers").fetchall()}
        assert names == {"stem", "twice", "stem/pca", "stem/doubled"}
    plain, projected = (
        torch.from_numpy(
            frame.pivot(on="unit", index="image", values="activation").sort("image").drop("image").to_numpy()
        )
        for frame in (frames["stem"], frames["stem/pca"])
    )
    torch.testing.assert_close(projected, plain @ matrix.T, rtol=1e-4, atol=1e-4)


# Memory


class Hungry(nn.Module):
    """Runs out of memory on more than so many images, by the error that a CUDA device or a CPU gives."""

    def __init__(self, most: int, device: str) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.most, self.device, self.batches = most, device, list[int]()

    def forward(self, images: Tensor) -> Tensor:
        if images.any() and not images.requires_grad:  # as they are in dry runs
            self.batches.append(len(images))
            if len(images) > self.most and self.device == "cuda":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            if len(images) > self.most:
                torch.empty(2**55)
        return self.stem(images)


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_a_batch_that_is_too_much_is_halved_and_the_run_goes_on(
    tmp_path: Path, tiny_recipe: Recipe, device: str
) -> None:
    stored: list[list[tuple[object, ...]]] = []
    for most in (8, 3):
        torch.manual_seed(4)
        network = Hungry(most, device)
        model = model_from_module("hungry", network, Preprocessing(32, 32, (0.5,) * 3, (0.5,) * 3))
        recipe = dataclasses.replace(tiny_recipe, models=(model,), layers=("stem",), random_weights=False, batch_size=8)
        network.batches.clear()
        with neuronlake.open(tmp_path / f"{most}.duckdb", write=True) as warehouse:
            notes = neuronlake.ingest(warehouse, recipe).notes
            stored.append(
                warehouse.sql("select unit, image, round(activation, 5) from activations order by all").fetchall()
            )
        assert any("ran out of memory on batches of 8, so they were made of 2" in note for note in notes) == (most == 3)
    assert network.batches[:5] == [8, 4, 2, 2, 2]
    assert sum(count for count in network.batches if count <= 3) == 20
    assert stored[0] == stored[1]


def test_too_little_memory_for_one_image_is_said(tmp_path: Path, tiny_recipe: Recipe) -> None:
    model = model_from_module("hungry", Hungry(0, "cuda"), Preprocessing(32, 32, (0.5,) * 3, (0.5,) * 3))
    recipe = dataclasses.replace(tiny_recipe, models=(model,), layers=("stem",), random_weights=False)
    with (
        neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse,
        pytest.raises(DeviceMemoryError, match="runs out of memory on a single image"),
    ):
        neuronlake.ingest(warehouse, recipe)
