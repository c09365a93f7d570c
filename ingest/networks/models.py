"""A model's name, or a user's own network, to a network with weights, preprocessing and class names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from neuronlake.ingest.names import split_name
from neuronlake.ingest.networks import weights
from neuronlake.ingest.networks.errors import ModelError
from neuronlake.ingest.networks.identity.fingerprints import Code, module_fingerprint
from neuronlake.ingest.networks.known_by_name import Blueprint, blueprint, timm_preprocessing
from neuronlake.ingest.networks.own_networks import default_name, is_own, load_own
from neuronlake.ingest.networks.preprocessing import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    CustomTransform,
    Preparation,
    Preprocessing,
    prepared_by,
)
from neuronlake.ingest.networks.torchscript import ScriptedNetwork, script_digest
from neuronlake.ingest.networks.weights import SourceKind

_RANDOM_WEIGHTS_SEED = 0
_USUAL = Preprocessing(resize=256, crop=224, mean=IMAGENET_MEAN, std=IMAGENET_STD)


@dataclass(frozen=True)
class Model:
    """A network with its weights, ready for inference.

    Attributes:
        name: as the user gave it.
        module: in evaluation mode; that of a network that is the user's within `lending.evaluated` alone.
        preprocessing: what it wants its images to be.
        class_names: of its outputs, in order.
        source: where the weights came from, as it is shown.
        source_kind: what kind of place that is.
        is_random: the weights are random, for tests and timing.
        fingerprint: of structure, weights and preprocessing, and of the code of a user's own.
        notes: what a user should know about how it was made.
        code: what tells its code from another's, beside what the module holds itself.
    """

    name: str
    module: nn.Module
    preprocessing: Preparation
    class_names: tuple[str, ...]
    source: str
    source_kind: SourceKind
    is_random: bool
    fingerprint: str
    notes: tuple[str, ...] = ()
    code: Code = field(default_factory=Code)

    def as_it_is(self) -> Model:
        """The same with the fingerprint of now: a network in memory may have been trained, or hooked, since.

        So may what its transform does.

        Raises:
            UntellableError: it has got a hook that cannot be told from another.
        """
        found = self.preprocessing
        preparation = found.as_it_is() if isinstance(found, CustomTransform) else found
        fingerprint = _fingerprint(self.module, preparation, self.code)
        return replace(self, preprocessing=preparation, fingerprint=fingerprint)


def _fingerprint(module: nn.Module, preparation: Preparation, code: Code) -> str:
    """Of structure, weights and preprocessing, and of code where there is any to tell."""
    identity = code.of(module)
    return module_fingerprint(module, preparation, *([identity] if identity else []))


def load_model(
    spec: str, weights_file: Path | None = None, *, random_weights: bool = False, trust_code: bool = False
) -> Model:
    """The network of that name, or the user's own.

    Args:
        spec: ``NAME-imagenet`` or ``NAME-places365`` with NAME a torchvision classifier;
            ``efficientnet-lite0-imagenet`` (to 2); ``timm:NAME``; ``path/to/file.py:factory`` or
            ``package.module:factory``; a TorchScript file, or a torch.export file that ends in ``.pt2``.
            Each may have its name before it, as in ``mine=path/to/file.py:factory``.
        weights_file: a checkpoint to use instead of the network's own weights.
        random_weights: use random weights with a fixed seed; for networks known by name.
        trust_code: read files that hold more than tensors, which can run code.

    Raises:
        ModelError: there is no such network, or it cannot be built.
        WeightsError: its weights cannot be had or do not fit.
        TransformError: its transform does not work.
    """
    given, body = split_name(spec)
    # also a factory's random weights are the same in each run
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_RANDOM_WEIGHTS_SEED)
        if not is_own(body):
            plan = blueprint(body)
            state_dict = weights.read_state_dict(weights_file, trust_code=trust_code) if weights_file else None
            return _named(given or body, plan, state_dict, str(weights_file), random_weights=random_weights)
        if random_weights:
            raise ModelError(f"--random-weights is for networks by name; {body} brings its own weights")
        own = load_own(body, trust_code=trust_code)
    own.module.eval().requires_grad_(requires_grad=False)
    source, kind = own.source, own.source_kind
    if weights_file is not None:
        source, kind = str(weights_file), SourceKind.FILE
        weights.load_weights(own.module, weights.read_state_dict(weights_file, trust_code=trust_code), source)
    name = given or own.name
    return model_from_module(name, own.module, own.transform, own.class_names, source, source_kind=kind, code=own.code)


def name_of(model: str | Model) -> str:
    """What a model, or one that a recipe names, is called in the warehouse."""
    if isinstance(model, Model):
        return model.name
    given, body = split_name(model)
    return given or (default_name(body) if is_own(body) else body)


def model_from_module(
    name: str,
    module: nn.Module,
    preprocessing: object = None,
    class_names: Sequence[str] = (),
    source: str = "a module in Python",
    *,
    source_kind: SourceKind = SourceKind.MEMORY,
    code: Code | None = None,
) -> Model:
    """A model around a network that is in memory; `Recipe.models` takes it as it takes names.

    Args:
        name: as the warehouse calls it.
        module: takes (batch, 3, height, width) float32; it is in evaluation mode while it is dissected, and then again
            as it was.
        preprocessing: a `Preprocessing`, a preset of torchvision, or a callable from an RGB image to a
            (3, height, width) tensor. If not given, timm's configuration of a network of timm, else ImageNet's
            usual preprocessing.
        class_names: of its outputs, in order.
        source: where the weights came from, as it is shown.
        source_kind: what kind of place that is.
        code: what tells its code from another's; that of the module's classes if not given.

    Raises:
        ModelError: it is no module.
        TransformError: the preprocessing does not work.
    """
    if not isinstance(module, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]  users' code is not checked
        raise ModelError(f"{name} is a {type(module).__name__}, not a torch.nn.Module")
    if isinstance(module, torch.jit.ScriptModule):
        code = code or Code(script_digest(module), has_classes=False)
        module = ScriptedNetwork(module)
    preparation, notes = _preparation(name, module, preprocessing)
    code = code or Code()
    return Model(
        name=name,
        module=module,
        preprocessing=preparation,
        class_names=tuple(class_names),
        source=source,
        source_kind=source_kind,
        is_random=False,
        fingerprint=_fingerprint(module, preparation, code),
        notes=notes,
        code=code,
    )


def _preparation(name: str, module: nn.Module, given: object) -> tuple[Preparation, tuple[str, ...]]:
    """How a network wants its images, and a note where that had to be guessed.

    Raises:
        TransformError: what was given does not work.
    """
    if given is not None:
        return prepared_by(given), ()
    if hasattr(module, "pretrained_cfg"):
        return timm_preprocessing(module), ()
    note = (
        f"{name} came without a transform, so its images are resized to 256, cropped to 224 and normalised as "
        "ImageNet's; to change that, let the factory return (module, transform)"
    )
    return _USUAL, (note,)


def _named(
    name: str, plan: Blueprint, state_dict: Mapping[str, Tensor] | None, source: str, *, random_weights: bool
) -> Model:
    """The network of a blueprint, with the weights given or its own. Random ones come from torch's generator."""
    module = plan.build()
    if random_weights:
        source, kind = f"random weights, seed {_RANDOM_WEIGHTS_SEED}", SourceKind.RANDOM
    else:
        kind = SourceKind.FILE
        if state_dict is None:
            (state_dict, source), kind = plan.own_weights(), SourceKind.NAMED
        weights.load_weights(module, state_dict, source)
    module.eval().requires_grad_(requires_grad=False)
    code = Code(has_classes=False)
    return Model(
        name=name,
        module=module,
        preprocessing=plan.preprocessing,
        class_names=plan.class_names,
        source=source,
        source_kind=kind,
        is_random=random_weights,
        fingerprint=_fingerprint(module, plan.preprocessing, code),
        code=code,
    )
