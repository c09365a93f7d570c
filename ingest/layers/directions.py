"""Directions in a layer's space, such as the features of a sparse autoencoder, dissected like neurons."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neuronlake import NeuronlakeError
from neuronlake.ingest.names import split_name
from neuronlake.ingest.networks import weights
from neuronlake.ingest.networks.errors import described, near_files
from neuronlake.ingest.networks.identity.fingerprints import module_fingerprint
from neuronlake.ingest.networks.own_networks import load_own

_MATRIX_SUFFIXES = (".npz", ".safetensors")
_MATRIX_NAMES = ("directions", "weight")


class DirectionsError(NeuronlakeError):
    """Directions cannot be read, or do not fit their layer."""


@dataclass(frozen=True)
class Directions:
    """What a layer's channels are projected onto.

    Attributes:
        name: as the user gave it; else the file's without its suffix, or the factory's.
        spec: where they are.
        source: the same, as messages call it.
        module: (..., channels) float32 -> (..., units), alike at each position.
        channels: how many it takes; None where only trying tells.
        fingerprint: of its contents.
    """

    name: str
    spec: str
    source: str
    module: nn.Module
    channels: int | None
    fingerprint: str

    def project(self, output: Tensor, who: str) -> Tensor:
        """A layer's output with units for channels.

        Args:
            output: (batch, channels), (batch, tokens, channels) or (batch, channels, height, width).
            who: the layer, as messages call it.

        Raises:
            DirectionsError: its channels do not fit.
        """
        last = output.movedim(1, -1) if output.ndim == 4 else output
        width = last.shape[-1]
        if self.channels is not None and width != self.channels:
            raise DirectionsError(f"{self.source} has directions for {self.channels} channels, but {who} has {width}")
        try:
            units = self.module(last.float())
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            raise DirectionsError(
                f"{self.source} fails on {who} with its {width} channels: {described(error)}"
            ) from error
        if not isinstance(units, Tensor) or units.shape[:-1] != last.shape[:-1]:
            found = f"shape {list(units.shape)}" if isinstance(units, Tensor) else f"a {type(units).__name__}"
            raise DirectionsError(
                f"{self.source} gives {found} for {list(last.shape)}; let it give (..., units) for (..., channels)"
            )
        return units.movedim(-1, 1) if output.ndim == 4 else units


def load_directions(spec: str, *, trust_code: bool = False) -> Directions:
    """Directions of a file.

    Args:
        spec: a safetensors or npz file with a (units, channels) matrix, called ``directions`` or ``weight`` or the
            only one there is, and perhaps a ``bias`` of (units,); or a network from channels to units, as
            `models.load_model` takes a user's own. Each may have its name before it, as in ``pca=features.npz``.
        trust_code: read a file that holds more than tensors, which can run code.

    Raises:
        DirectionsError: there is no such matrix.
        ModelError: the network cannot be made.
        WeightsError: the file is damaged.
    """
    given, spec = split_name(spec)
    path = Path(spec).expanduser()
    if path.suffix in _MATRIX_SUFFIXES:
        module: nn.Module = _linear(path)
        name = given or path.stem
        return Directions(name, spec, path.name, module, int(module.in_features), module_fingerprint(module))
    own = load_own(spec, trust_code=trust_code)
    module = own.module.eval().requires_grad_(requires_grad=False)
    fingerprint = module_fingerprint(module, own.code.of(module))
    return Directions(given or own.name, spec, own.source, module, None, fingerprint)


def _linear(path: Path) -> nn.Linear:
    """The matrix and bias of a file, as a layer.

    Raises:
        DirectionsError: they are not there, or do not fit together.
    """
    if not path.is_file():
        raise DirectionsError(f"there is no file {path}{near_files(path)}")
    tensors = weights.safe_tensors(path) if path.suffix == ".safetensors" else _arrays(path)
    matrices = {name: tensor for name, tensor in tensors.items() if tensor.ndim == 2}
    chosen = next((name for name in _MATRIX_NAMES if name in matrices), None)
    if chosen is None and len(matrices) != 1:
        held = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in tensors.items()) or "nothing"
        raise DirectionsError(f"{path} has no matrix called directions (units x channels); it has {held}")
    matrix = matrices[chosen or next(iter(matrices))].float()
    bias = tensors.get("bias")
    if bias is not None and list(bias.shape) != [matrix.shape[0]]:
        raise DirectionsError(f"{path} has {matrix.shape[0]} directions, but a bias of shape {list(bias.shape)}")
    linear = nn.Linear(matrix.shape[1], matrix.shape[0], bias=bias is not None)
    linear.load_state_dict({"weight": matrix} if bias is None else {"weight": matrix, "bias": bias.float()})
    return linear.eval().requires_grad_(requires_grad=False)


def _arrays(path: Path) -> dict[str, Tensor]:
    """The numeric arrays of an npz file.

    Raises:
        DirectionsError: it cannot be read, or holds objects, which could run code.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            loaded: dict[str, Any] = {name: arrays[name] for name in arrays.files}
            return {name: torch.from_numpy(array.astype(np.float32)) for name, array in loaded.items()}
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DirectionsError(f"{path} is not a readable npz file of numbers ({error})") from error
