"""Models of every origin: timm, a user's own factory, files saved whole, and modules in memory."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import warnings
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

import neuronlake
from neuronlake.ingest.layers.planned import PlannedLayer
from neuronlake.ingest.layers.pooling import Frame
from neuronlake.ingest.layers.readings import Reading
from neuronlake.ingest.layers.spellings import Place
from neuronlake.ingest.networks import preprocessing
from neuronlake.ingest.networks.errors import ModelError, WeightsError
from neuronlake.ingest.networks.models import load_model, model_from_module
from neuronlake.ingest.networks.preprocessing import CustomTransform, Preprocessing, TransformError
from neuronlake.ingest.plan import load_models
from neuronlake.ingest.recipe import Recipe
from neuronlake.sql.opening import open_warehouse
from tiny import ROOT, write_image

NETWORK = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        return self.head(self.act(self.stem(x)).mean(dim=(2, 3)))

def make():
    return Net()
"""


def code_file(folder: Path, text: str, name: str = "net.py") -> str:
    """A user's Python file."""
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.fixture
def network(tmp_path: Path) -> str:
    """A user's own network as --model takes it."""
    return code_file(tmp_path, NETWORK) + ":make"


def network_of(spec: str) -> nn.Module:
    return load_model(spec).module


# Named models


def test_a_timm_model_comes_with_timms_own_preprocessing() -> None:
    model = load_model("timm:test_resnet", random_weights=True)
    assert model.name == "timm:test_resnet"
    assert model.preprocessing == Preprocessing(168, 160, (0.5,) * 3, (0.5,) * 3, "bilinear")
    assert len(model.class_names) == 1000
    assert model.fingerprint == load_model("timm:test_resnet", random_weights=True).fingerprint


def test_timms_preprocessing_gives_the_pixels_of_timms_transform(tmp_path: Path) -> None:
    import timm

    write_image(tmp_path / "wide.png", 1, (300, 200))
    picture = Image.open(tmp_path / "wide.png")
    network = timm.create_model("test_vit")
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network), is_training=False)
    ours = load_model("timm:test_vit", random_weights=True).preprocessing
    torch.testing.assert_close(ours.normalise(ours.pixels(picture)), transform(picture))


def test_a_timm_model_takes_a_local_checkpoint(tmp_path: Path) -> None:
    import timm

    network = timm.create_model("test_resnet")
    safetensors.torch.save_file(network.state_dict(), tmp_path / "mine.safetensors")
    model = load_model("mine=timm:test_resnet", tmp_path / "mine.safetensors")
    assert torch.equal(model.module.get_parameter("fc.weight"), network.fc.weight)
    assert model.name == "mine"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:resnt18", "timm .* has no model 'resnt18'; did you mean timm:resnet18"),
        ("timm:resnet18.foo", "timm's resnet18 has no weights 'foo'; it has a1_in1k"),
    ],
)
def test_an_unknown_timm_name_gets_near_names(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_model(name)


def test_fingerprints_of_named_models_and_plain_layers_are_those_of_existing_warehouses() -> None:
    model = load_model("efficientnet-lite0-imagenet")
    layer = PlannedLayer(model, Reading(model.name, Place("_fc", "_fc"), Frame()), 0, 1000, None)
    with open_warehouse(ROOT / "warehouse.duckdb.example", allow_files=False) as opened:
        stored = opened.sql(
            "select models.fingerprint, layers.fingerprint from store.layers join store.models using (model_id)"
            " where models.name = 'efficientnet-lite0-imagenet' and layers.name = '_fc'"
        ).fetchall()
    assert stored == [(model.fingerprint, layer.fingerprint)]


# Factories


def test_a_factory_in_a_file_makes_a_model(network: str) -> None:
    model = load_model(network)
    assert model.name == "make"
    assert not model.module.training
    assert model.preprocessing == Preprocessing(256, 224, preprocessing.IMAGENET_MEAN, preprocessing.IMAGENET_STD)
    assert "make came without a transform" in model.notes[0]
    assert model.fingerprint == load_model(f"other={network}").fingerprint


def test_a_changed_forward_is_another_model(tmp_path: Path, network: str) -> None:
    before = load_model(network)
    code_file(tmp_path, NETWORK.replace("dim=(2, 3)", "dim=(3, 2)"))
    after = load_model(network)
    assert str(before.module) == str(after.module)
    assert before.fingerprint != after.fingerprint


def test_a_factory_gives_transform_and_class_names_too(tmp_path: Path) -> None:
    text = NETWORK + "def named(): return Net(), transform, ['a', 'b', 'c', 'd', 'e']\n"
    text += "def keyed(): return {'module': Net(), 'transform': transform}\n"
    text += "import torchvision\n"
    preset = "transform = torchvision.models.ResNet50_Weights.DEFAULT.transforms()\n"
    model = load_model(code_file(tmp_path, text + preset) + ":named")
    assert model.preprocessing == Preprocessing(232, 224, preprocessing.IMAGENET_MEAN, preprocessing.IMAGENET_STD)
    assert model.class_names == ("a", "b", "c", "d", "e")
    assert model.notes == ()
    ours = "from neuronlake.ingest.networks.preprocessing import Preprocessing\n"
    ours += "transform = Preprocessing(32, 32, (0.5,) * 3, (0.5,) * 3)\n"
    model = load_model(code_file(tmp_path, text + ours) + ":keyed")
    assert model.preprocessing == Preprocessing(32, 32, (0.5,) * 3, (0.5,) * 3)


def test_a_factory_in_a_package_below_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ownpackage").mkdir()
    code_file(tmp_path / "ownpackage", NETWORK, "nets.py")
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    assert isinstance(network_of("ownpackage.nets:make"), nn.Module)
    assert sys.path == path


def test_a_file_imports_what_lies_beside_it(tmp_path: Path) -> None:
    code_file(tmp_path, NETWORK, "beside_it.py")
    spec = code_file(tmp_path, "from beside_it import Net\ndef make(): return Net()\n") + ":make"
    assert [name for name, _ in network_of(spec).named_children()] == ["stem", "act", "head"]


def test_weights_are_loaded_into_a_users_network(tmp_path: Path, network: str) -> None:
    own = network_of(network)
    nn.init.constant_(own.get_parameter("head.bias"), 7)
    torch.save({"model": own.state_dict(), "epoch": 3}, tmp_path / "mine.pth")
    recipe = Recipe((f"mine={network}",), ("head",), tmp_path, (), weights={"mine": tmp_path / "mine.pth"})
    (model,) = load_models(recipe)
    assert model.module.get_parameter("head.bias").tolist() == [7] * 5
    assert model.source == str(tmp_path / "mine.pth")
    with pytest.raises(WeightsError, match=r"is of another architecture than Net: lacks stem\.weight"):
        torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "other.pth")
        load_model(network, tmp_path / "other.pth")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def make():\n    raise ValueError('no GPU\\nat all')\n", r"make raised ValueError: no GPU \(net\.py:2\)$"),
        ("def make():\n    return {}.pop('x')\n", r"make raised KeyError: 'x' \(net\.py:2\)$"),
        ("def make(): return 3\n", r"make gave a int, not a torch\.nn\.Module; let it return the network"),
        ("def make(): return {'net': 3}\n", r"make gave a dict with net; its keys are module, transform, class_names"),
        ("def make(): return 1, 2, 3, 4\n", r"make gave a tuple of 4; it may give \(module, transform, class_names\)"),
        ("def mke(): pass\n", r"has no function 'make'; did you mean mke\?"),
        ("x = 3\n", r"has no function 'make'; it has no functions"),
        ("import torch\nraise RuntimeError('broken')\n", r"cannot be imported: RuntimeError: broken \(net\.py:2\)$"),
        ("def make(:\n", r"cannot be imported: SyntaxError: .*\(net\.py:1\)$"),
        ("import nowhere_at_all\n", r"cannot be imported: No module named 'nowhere_at_all' \(net\.py:1\)$"),
        ("from torch import nn\ndef make(): return nn.ReLU(), 5", "a transform is a Preprocessing, .* not int"),
        ("from torch import nn\ndef make(): return nn.ReLU(), lambda image: image", "gives Image, not a .* tensor"),
    ],
)
def test_what_is_wrong_with_a_factory_is_said_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises((ModelError, TransformError), match=message) as caught:
        load_model(code_file(tmp_path, text) + ":make")
    assert "\n" not in str(caught.value)


def test_missing_files_and_modules_are_named(tmp_path: Path, network: str) -> None:
    with pytest.raises(ModelError, match=r"there is no file .*nets\.py; did you mean .*net\.py\?"):
        load_model(network.replace("net.py", "nets.py"))
    with pytest.raises(ModelError, match=r"there is no Python module 'no_such_package\.nets'"):
        load_model("no_such_package.nets:make")
    with pytest.raises(ModelError, match=r"names no factory; write path/to/file\.py:factory"):
        load_model(network.removesuffix(":make"))
    with pytest.raises(ModelError, match=r"there is no file .*mine\.pt2"):
        load_model(str(tmp_path / "mine.pt2"))


def test_two_models_of_one_name_are_told_to_be_named_apart(tmp_path: Path, network: str) -> None:
    other = code_file(tmp_path, NETWORK, "other.py") + ":make"
    with pytest.raises(ModelError, match="two of the models are called make; name them apart"):
        load_models(Recipe((network, other), ("head",), tmp_path, ()))
    named = load_models(Recipe((network, f"other={other}"), ("head",), tmp_path, ()))
    assert [model.name for model in named] == ["make", "other"]


def test_random_weights_are_the_factorys_own_matter(network: str) -> None:
    with pytest.raises(ModelError, match="--random-weights is for networks by name"):
        load_model(network, random_weights=True)


# Transforms


def test_the_usual_compose_is_recognised_and_others_are_kept() -> None:
    v1 = torchvision.transforms
    usual = [v1.Resize(40), v1.CenterCrop(32), v1.ToTensor(), v1.Normalize((0.5,) * 3, (0.25,) * 3)]
    assert preprocessing.prepared_by(v1.Compose(usual)) == Preprocessing(40, 32, (0.5,) * 3, (0.25,) * 3)
    grey = preprocessing.prepared_by(v1.Compose([v1.Grayscale(3), *usual]))
    assert isinstance(grey, CustomTransform)
    assert (grey.height, grey.width) == (32, 32)
    assert grey == preprocessing.prepared_by(v1.Compose([v1.Grayscale(3), *usual]))


def test_a_transform_is_what_its_code_and_its_values_are() -> None:
    def halved(side: int) -> CustomTransform:
        def transform(image: Image.Image) -> Tensor:
            return torch.zeros(3, side // 2, side) + image.width * 0

        return CustomTransform.around(transform)

    assert halved(8) == halved(8)
    assert (halved(8).height, halved(8).width) == (4, 8)
    assert halved(8) != halved(9)


def test_a_transform_without_one_size_is_refused() -> None:
    with pytest.raises(TransformError, match=r"a wide image as \[3, 300, 400\] and a tall one as \[3, 400, 300\]"):
        preprocessing.prepared_by(torchvision.transforms.ToTensor())


# Files saved whole


def small_resnet() -> nn.Module:
    """A ResNet of four blocks."""
    block = torchvision.models.resnet.BasicBlock
    return torchvision.models.ResNet(block, [1, 1, 1, 1], num_classes=10)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One network scripted, traced and exported, and its weights."""
    folder = tmp_path_factory.mktemp("saved")
    torch.manual_seed(5)
    network = small_resnet().eval()
    names = {"scripted": "s.pt", "traced": "t.pt", "exported": "e.pt2", "weights": "weights.pth"}
    paths = {kind: folder / name for kind, name in names.items()}
    images = torch.zeros(2, 3, 64, 64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(network).save(str(paths["scripted"]))
        torch.jit.trace(network, images).save(str(paths["traced"]))
        torch.export.save(
            torch.export.export(network, (images,), dynamic_shapes=({0: torch.export.Dim("n")},)), paths["exported"]
        )
    torch.save(network.state_dict(), paths["weights"])
    return paths


def hooked(network: nn.Module, layers: tuple[str, ...], images: Tensor) -> dict[str, list[Tensor]]:
    """What the layers take and give, copied at once, and the network's output."""
    seen: dict[str, list[Tensor]] = {}
    for name in layers:
        part = network.get_submodule(name)
        part.register_forward_pre_hook(lambda _, inputs, name=name: seen.setdefault(name, []).append(inputs[0].clone()))
        part.register_forward_hook(lambda _, __, output, name=name: seen[name].append(output.clone()))
    with torch.inference_mode():
        seen["output"] = [network(images)]
    return seen


def test_submodules_of_saved_networks_give_what_those_of_the_network_give(saved: dict[str, Path]) -> None:
    # early and deep, one that runs twice, and one whose output is changed in place right after
    layers = ("layer3", "layer4.0.conv2", "layer2.0.downsample.0", "fc", "layer1.0.relu", "layer4.0.bn2")
    network = small_resnet().eval()
    network.load_state_dict(torch.load(saved["weights"], weights_only=True))
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = hooked(network, layers, images)
    for kind in ("scripted", "traced", "exported"):
        model = load_model(f"{kind}={saved[kind]}", trust_code=True)
        torch.testing.assert_close(hooked(model.module, layers, images), expected, rtol=1e-4, atol=1e-4)
        assert model.fingerprint == load_model(str(saved[kind]), trust_code=True).fingerprint


def test_other_weights_for_a_saved_network(tmp_path: Path, saved: dict[str, Path]) -> None:
    torch.manual_seed(6)
    other = small_resnet()
    torch.save(other.state_dict(), tmp_path / "other.pth")
    for kind in ("scripted", "traced", "exported"):
        model = load_model(str(saved[kind]), tmp_path / "other.pth", trust_code=True)
        images = torch.zeros(2, 3, 64, 64)
        torch.testing.assert_close(model.module(images), other.eval()(images), rtol=1e-4, atol=1e-4)


class Evil(nn.Module):
    """Its pickle makes a folder when it is read."""

    def __init__(self, trace: Path) -> None:
        super().__init__()
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.trace),)


def test_code_in_a_pickled_network_is_not_run(tmp_path: Path) -> None:
    torch.save(Evil(tmp_path / "trace"), tmp_path / "evil.pt")
    with pytest.raises(WeightsError, match=r"could run its code; .* --trust-code"):
        load_model(str(tmp_path / "evil.pt"))
    assert not (tmp_path / "trace").exists()


def test_a_pickled_network_is_read_when_trusted(tmp_path: Path) -> None:
    torch.save(nn.Sequential(nn.Conv2d(3, 4, 1)), tmp_path / "whole.pt")
    with pytest.raises(WeightsError, match="could run its code"):
        load_model(str(tmp_path / "whole.pt"))
    trusted = load_model(str(tmp_path / "whole.pt"), trust_code=True)
    assert trusted.name == "whole"
    assert isinstance(trusted.module[0], nn.Conv2d)


@pytest.mark.parametrize("name", ["cut.pt", "cut.pt2"])
def test_a_truncated_network_is_refused(tmp_path: Path, saved: dict[str, Path], name: str) -> None:
    content = saved["exported" if name.endswith("2") else "scripted"].read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises((ModelError, WeightsError), match="is not a readable") as caught:
        load_model(str(tmp_path / name), trust_code=True)
    assert "\n" not in str(caught.value)


def test_weights_given_as_a_network_are_told_where_they_belong(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "weights.pt")
    with pytest.raises(ModelError, match="holds weights, not a network; name the network with --model"):
        load_model(str(tmp_path / "weights.pt"))


# Modules in memory


def test_a_module_in_memory_is_dissected(tiny_recipe: Recipe, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 6, 3, stride=4), nn.ReLU(inplace=True))
    model = model_from_module("mine", module, Preprocessing(32, 32, (0.5,) * 3, (0.5,) * 3))
    recipe = dataclasses.replace(tiny_recipe, models=(model,), layers=("0",), random_weights=False)
    with neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse:
        assert neuronlake.ingest(warehouse, recipe).scored_layers == 1
        assert neuronlake.ingest(warehouse, recipe).did_nothing
        assert warehouse.sql("select distinct model, layer, count(*) from unit_labels group by all").fetchall() == [
            ("mine", "0", 6)
        ]
        stored = warehouse.scalar("select recipe from store.runs")
    assert json.loads(stored)["models"] == ["mine (a module in Python)"]


def test_places_of_maxima_are_left_out_where_a_transform_may_cut_off_anything(
    tiny_recipe: Recipe, tmp_path: Path
) -> None:
    def transform(image: Image.Image) -> Tensor:
        return torchvision.transforms.functional.to_tensor(image.resize((16, 24)))

    model = model_from_module("mine", nn.Sequential(nn.Conv2d(3, 2, 3)), transform)
    recipe = dataclasses.replace(tiny_recipe, models=(model,), layers=("0",), random_weights=False)
    with neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse:
        neuronlake.ingest(warehouse, recipe)
        assert warehouse.scalar("select count(*) from store.top_images") == 40
        assert warehouse.scalar("select count(peak_x) from store.top_images") == 0
        assert warehouse.scalar("select count(receptive_field) from store.layers") == 0


def test_a_model_says_what_kind_of_place_its_weights_came_from(
    tmp_path: Path, network: str, saved: dict[str, Path]
) -> None:
    torch.save(network_of(network).state_dict(), tmp_path / "mine.pth")
    models = {
        "named": load_model("efficientnet-lite0-imagenet"),
        "random": load_model("timm:test_resnet", random_weights=True),
        "factory": load_model(network),
        "file": load_model(str(saved["exported"]), trust_code=True),
        "memory": model_from_module("mine", nn.Conv2d(3, 4, 1)),
    }
    assert {kind: model.source_kind for kind, model in models.items()} == {kind: kind for kind in models}
    # of a factory with another's weights, where these came from
    assert load_model(network, tmp_path / "mine.pth").source_kind == "file"
    sources = [models[kind].source for kind in ("random", "factory", "file", "memory")]
    assert sources == ["random weights, seed 0", f"factory {network}", str(saved["exported"]), "a module in Python"]


def test_only_a_module_is_a_model() -> None:
    with pytest.raises(ModelError, match=r"mine is a str, not a torch\.nn\.Module"):
        model_from_module("mine", "resnet18")  # pyright: ignore[reportArgumentType]
