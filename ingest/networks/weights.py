"""Weights: downloaded, checked, read without running code, and loaded into their architecture."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import platformdirs
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from neuronlake.ingest.networks.errors import WeightsError
from neuronlake.ingest.networks.torchscript import is_torchscript, load_torchscript

# where training scripts keep the weights within a checkpoint
_NESTED_KEYS = ("state_dict", "model", "model_state_dict")


class SourceKind(StrEnum):
    """Where the weights of a model or an encoder came from."""

    NAMED = "named"
    """published under the name that the user gave: by torchvision, timm, open_clip, or in a Python package"""
    RANDOM = "random"
    FILE = "file"
    FOLDER = "folder"
    HUB = "hub"
    FACTORY = "factory"
    """the user's own Python, called"""
    MEMORY = "memory"
    """a module that was there already"""
    IMPORTED = "imported"
    """another tool's work, without weights"""


@dataclass(frozen=True)
class RemoteFile:
    """A file to download, and how to know that it is the right one."""

    url: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """Its file name in the cache."""
        return self.url.rsplit("/", 1)[-1]


def cache_folder() -> Path:
    """Where downloads are kept: ``NEURONLAKE_CACHE``, or the user's cache folder."""
    chosen = os.environ.get("NEURONLAKE_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("neuronlake")


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(remote: RemoteFile, hint: str) -> Path:
    """The file in the cache, downloaded first if it is not there.

    Args:
        remote: what to get.
        hint: what a user without a network can do instead; ends the error message.

    Raises:
        WeightsError: it cannot be reached, or what came is not it.
    """
    path = cache_folder() / remote.name
    if path.exists() and path.stat().st_size == remote.size and sha256_of(path) == remote.sha256:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f"{remote.name}.", delete=False) as partial:
        arriving = Path(partial.name)
        try:
            with urllib.request.urlopen(remote.url, timeout=30) as response:  # noqa: S310  the URL is ours
                shutil.copyfileobj(response, partial)
        except (urllib.error.URLError, OSError) as error:
            arriving.unlink()
            reason = getattr(error, "reason", error)
            raise WeightsError(f"cannot download {remote.url} ({reason}); {hint}") from error
    size, digest = arriving.stat().st_size, sha256_of(arriving)
    if size != remote.size or digest != remote.sha256:
        arriving.unlink()
        raise WeightsError(
            f"what {remote.url} sent is not the expected file: {size} bytes with sha256 {digest[:12]}…, "
            f"not {remote.size} with {remote.sha256[:12]}…; {hint}"
        )
    arriving.replace(path)
    return path


def read_state_dict(path: Path, *, trust_code: bool = False) -> dict[str, Tensor]:
    """The tensors of a checkpoint by their names, without a ``module.`` prefix.

    Reads safetensors, and pickles with ``weights_only=True``: no code in them is run. With `trust_code` also pickles
    that hold more, and TorchScript.

    Raises:
        WeightsError: there is no such file, or it is no checkpoint of tensors.
    """
    if not path.is_file():
        raise WeightsError(f"there is no weights file at {path}; check the path given with --weights")
    content = safe_tensors(path) if path.suffix == ".safetensors" else unpickle(path, trust_code=trust_code)
    if isinstance(content, nn.Module):
        content = content.state_dict()
    for key in _NESTED_KEYS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"{path} holds no state_dict of tensors; save model.state_dict() and use that")
    return {str(name).removeprefix("module."): tensor for name, tensor in content.items()}


def safe_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        WeightsError: it is none, or cut short.
    """
    try:
        return safetensors.torch.load_file(path)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise WeightsError(_unreadable(path, error)) from error


def unpickle(path: Path, *, trust_code: bool) -> Any:
    """What a file of ``torch.save`` holds, or the network of a TorchScript file.

    Raises:
        WeightsError: it is none, is cut short, or could run code and is not trusted.
    """
    try:
        if is_torchscript(path):
            return load_torchscript(path, trust_code=trust_code)
        return torch.load(path, map_location="cpu", weights_only=not trust_code)
    except pickle.UnpicklingError as error:
        if trust_code:
            raise WeightsError(_unreadable(path, error)) from error
        if not _is_torch_file(path):
            raise WeightsError(
                f"{path} is no checkpoint; name a file of torch.save, or one whose name ends in .safetensors"
            ) from error
        raise WeightsError(
            f"{path} holds more than tensors, so reading it could run its code; save its state_dict() and use that, "
            "or pass --trust-code if you trust who made it"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise WeightsError(_unreadable(path, error)) from error
    except (ImportError, AttributeError) as error:
        raise WeightsError(
            f"{path} needs code that is not here ({error}); install it, or save a state_dict()"
        ) from error


def _is_torch_file(path: Path) -> bool:
    """Whether a file begins as those of ``torch.save`` do: a zip archive, or a pickle of protocol 2 or later."""
    with path.open("rb") as file:
        return file.read(2).startswith((b"PK", b"\x80"))


def _unreadable(path: Path, error: Exception) -> str:
    """The message for a damaged file; of torch's advice its first sentence."""
    reason = (str(error).splitlines() or [type(error).__name__])[0].partition(". ")[0]
    return f"{path} is not a readable checkpoint ({reason}); it may be truncated: get it again"


def load_weights(module: nn.Module, state_dict: Mapping[str, Tensor], source: str) -> None:
    """Load a checkpoint into the architecture it was made for.

    Raises:
        WeightsError: names or shapes differ; the message has the first that do.
    """
    own = module.state_dict()
    missing = [name for name in own if name not in state_dict]
    unknown = [name for name in state_dict if name not in own]
    reshaped = [
        f"{name} is {list(state_dict[name].shape)}, not {list(tensor.shape)}"
        for name, tensor in own.items()
        if name in state_dict and state_dict[name].shape != tensor.shape
    ]
    # torch added these counters to batch normalisation after some published checkpoints were made
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unknown or reshaped:
        problems = [f"lacks {name}" for name in missing] + [f"has unknown {name}" for name in unknown] + reshaped
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise WeightsError(
            f"{source} is of another architecture than {type(module).__name__}: {'; '.join(problems[:3])}{more}; "
            "give weights of this network, or name the network that they are for"
        )
    module.load_state_dict(state_dict, strict=False)
