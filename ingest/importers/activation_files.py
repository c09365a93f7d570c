"""The files of CLIP-Dissect's saved_activations: what each is by its name, and the matrix in it.

It writes PROBE_MODEL_LAYER.pt for the activations of a layer, PROBE_CLIP.pt for the features of the images and
CONCEPTS_CLIP.pt for those of the concepts. All parts but the CLIP model's may hold underscores themselves.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor
from torch.nn.functional import normalize

from neuronlake.ingest.importers.label_files import ImportedFileError, ImportOptions
from neuronlake.ingest.names import split_name
from neuronlake.ingest.networks.quiet import quiet_libraries

# CLIP models as their files spell them, without the slash, and as open_clip calls them
CLIP_NAMES = {
    "RN50": "RN50/openai",
    "RN101": "RN101/openai",
    "RN50x4": "RN50x4/openai",
    "RN50x16": "RN50x16/openai",
    "RN50x64": "RN50x64/openai",
    "ViT-B32": "ViT-B-32/openai",
    "ViT-B16": "ViT-B-16/openai",
    "ViT-L14": "ViT-L-14/openai",
    "ViT-L14@336px": "ViT-L-14-336/openai",
}
_PROBES = ("broden", "imagenet_broden", "imagenet_val", "cifar100_train", "cifar100_val")
# what its names for data sets, after a network's name, are called here
_DATA_SETS = {"": "imagenet", "_imagenet": "imagenet", "_places": "places365", "_places365": "places365"}
_MAXIMUM_SUFFIX = "_max"


@dataclass(frozen=True)
class ActivationFile:
    """Activations of a layer, (images, units).

    Attributes:
        path: where it is.
        probe: name of the images.
        model: name of the network, as it is called here.
        architecture: the network's name in the file's name.
        layer: name of the layer, with its pooling where that is not mean.
        pooling: mean or max.
    """

    path: Path
    probe: str
    model: str
    architecture: str
    layer: str
    pooling: str


@dataclass(frozen=True)
class FeatureFile:
    """Features of images or of concepts, (images or concepts, dimensions).

    Attributes:
        path: where it is.
        subject: name of the probe or of the concept set.
        clip: name of the image-text model, as it is called here.
    """

    path: Path
    subject: str
    clip: str

    @property
    def probe(self) -> str:
        """The name of the images, where it is about images."""
        return self.subject


@dataclass(frozen=True)
class SavedFiles:
    """The files of a folder, by what they hold.

    Attributes:
        file_names: for what the user gave another name, the one that it has in the files' names.
    """

    activations: tuple[ActivationFile, ...]
    image_features: tuple[FeatureFile, ...]
    text_features: tuple[FeatureFile, ...]
    file_names: Mapping[str, str]


@dataclass(frozen=True)
class Matrix:
    """What a file holds: float32 values and a fingerprint over them, their shape and their type in the file."""

    values: Tensor
    fingerprint: str


def find_saved_files(path: Path) -> list[Path]:
    """The .pt files of a folder, or the file itself; empty where there is none."""
    if path.is_dir():
        return sorted(path.glob("*.pt"))
    return [path] if path.suffix == ".pt" and path.is_file() else []


def sort_files(paths: Sequence[Path], options: ImportOptions) -> SavedFiles:
    """Tell by their names what the files hold; with a probe in the options, the files of that one alone.

    Probe and encoder may have another name before theirs, as in ``mine=broden``.

    Raises:
        ImportedFileError: a name does not say it.
    """
    probe_name, probe = split_name(options.probe or "")
    clip_name, clip = split_name(options.encoder or "")
    clips = {stem: clip_name or name if name == clip else name for stem, name in CLIP_NAMES.items()}
    if clip and clip not in CLIP_NAMES.values():
        clips[clip.replace("/", "")] = clip_name or clip
    features = [found for path in paths if (found := _feature_file(path, clips))]
    others = sorted(set(paths) - {each.path for each in features})
    given = {probe} if probe else set[str]()
    probes = given or {*_PROBES, *(each.subject for each in features)}
    activations: list[ActivationFile] = []
    for path in others:
        found = _activation_file(path, probes, options.model)
        if found:
            activations.append(found)
        elif not given or path.stem.startswith(f"{probe}_"):
            raise ImportedFileError(
                f"{path} is not named PROBE_MODEL_LAYER.pt with a probe and a model that are known; "
                "name them as they stand there with --probe and --model"
            )
    _check_one_model({each.architecture for each in activations}, options)
    shown = given or {*_PROBES, *(each.probe for each in activations)}
    return SavedFiles(
        tuple(replace(each, probe=probe_name or each.probe) for each in activations),
        tuple(replace(each, subject=probe_name or each.subject) for each in features if each.subject in shown),
        tuple(each for each in features if each.subject not in {*shown, *_PROBES}),
        {name: own for name, own in ((probe_name, probe), (clip_name, clip)) if name},
    )


def _feature_file(path: Path, clips: dict[str, str]) -> FeatureFile | None:
    """A file whose name ends with a CLIP model's."""
    for name in sorted(clips, key=len, reverse=True):
        subject = path.stem.removesuffix(f"_{name}")
        if subject not in ("", path.stem):
            return FeatureFile(path, subject, clips[name])
    return None


def _activation_file(path: Path, probes: Iterable[str], model: str | None) -> ActivationFile | None:
    """A file whose name is a probe's, a model's and a layer's."""
    for probe in sorted(probes, key=len, reverse=True):
        rest = path.stem.removeprefix(f"{probe}_")
        found = None if rest == path.stem else _model_and_layer(rest, model)
        if found:
            architecture, name, layer = found
            mean_layer = layer.removesuffix(_MAXIMUM_SUFFIX)
            is_mean = layer == mean_layer
            return ActivationFile(
                path=path,
                probe=probe,
                model=name,
                architecture=architecture,
                layer=layer if is_mean else f"{mean_layer}:max",
                pooling="mean" if is_mean else "max",
            )
    return None


def _model_and_layer(text: str, model: str | None) -> tuple[str, str, str] | None:
    """`resnet18_places_layer4` as (resnet18_places, resnet18-places365, layer4)."""
    names = {
        f"{architecture}{suffix}": model or f"{architecture}-{data_set}"
        for architecture in torchvision.models.list_models(module=torchvision.models)
        for suffix, data_set in _DATA_SETS.items()
    }
    if model:
        names |= {model: model, model.replace("-", "_"): model}
    for name in sorted(names, key=len, reverse=True):
        layer = text.removeprefix(f"{name}_")
        if layer not in ("", text):
            return name, names[name], layer
    return None


def _check_one_model(architectures: set[str], options: ImportOptions) -> None:
    """A model that the user names is one model."""
    if options.model and len(architectures) > 1:
        raise ImportedFileError(
            f"--model {options.model} names one network, and the files are of {' and '.join(sorted(architectures))}; "
            "leave it out, or import them from folders of their own"
        )


def read_matrix(path: Path) -> Matrix:
    """The matrix that a file holds, read without running code that may be in it.

    Raises:
        ImportedFileError: it holds something else, or cannot be read.
    """
    try:
        with quiet_libraries():  # of a sparse tensor, torch says that it looks at all of it
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of a file that is no pickle, the reader may raise anything
        if isinstance(error, pickle.UnpicklingError) and "load key" not in str(error):
            problem = "holds more than a tensor, so reading it could run its code; save the tensor alone"
        else:
            problem = "is not a readable file of torch.save; it may be cut short: get it again"
        raise ImportedFileError(f"{path} {problem}") from error
    if not isinstance(content, Tensor) or not _is_matrix(content):
        what = _described(content) if isinstance(content, Tensor) else "no tensor"
        raise ImportedFileError(f"{path} holds {what}; it should be floats, one row an image or a concept")
    content = content.detach().contiguous()
    digest = hashlib.sha256(f"{content.dtype} {list(content.shape)}".encode())
    digest.update(content.view(torch.uint8).numpy())
    return Matrix(content.float(), digest.hexdigest())


def _is_matrix(tensor: Tensor) -> bool:
    """Whether it is rows of floats, each number in its place."""
    is_dense = tensor.layout == torch.strided and tensor.device.type == "cpu"
    return is_dense and tensor.is_floating_point() and tensor.ndim == 2 and tensor.numel() > 0


def _described(tensor: Tensor) -> str:
    """What a tensor is that is no matrix."""
    kind, lack = "tensor", ""
    if tensor.layout != torch.strided:
        kind, lack = "sparse tensor", ", not its to_dense()"
    elif tensor.device.type == "meta":
        lack = " without its values"
    return f"a {kind} of {tensor.dtype} {list(tensor.shape)}{lack}"


def unit_rows(path: Path, features: Tensor) -> Tensor:
    """Features with their rows brought to length 1.

    Raises:
        ImportedFileError: a row has no direction.
    """
    lengths = features.norm(dim=1)
    wrong = (~(lengths.isfinite() & (lengths > 0))).nonzero()
    if len(wrong):
        raise ImportedFileError(f"{path}: row {int(wrong[0])} is zero or not finite; compute these features again")
    return normalize(features, dim=1)
