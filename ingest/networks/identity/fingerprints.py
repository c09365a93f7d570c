"""A network's fingerprint: its structure, its weights, and the code that it runs."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from neuronlake.ingest.networks.errors import WeightsError
from neuronlake.ingest.networks.identity.live_code import live_code
from neuronlake.ingest.networks.identity.setting_texts import LIBRARIES, code_digest, numbers_of, setting_text
from neuronlake.ingest.networks.identity.unsaved_weights import unregistered, unsaved_parameters

# timm chooses by the machine whether to fuse, and the outputs are the same
_NO_SETTINGS = frozenset(vars(nn.Module())) | {"fused_attn"}


def module_fingerprint(module: nn.Module, *settings: object) -> str:
    """sha256 over a module's structure, its tensors, and further settings that change its outputs.

    Raises:
        WeightsError: it has no weights yet.
    """
    digest = hashlib.sha256(repr((str(module), settings)).encode())
    for name, tensor in module.state_dict().items():
        if not isinstance(tensor, Tensor):
            # of quantised modules, and what modules save besides
            digest.update(f"{name} {setting_text(tensor)}".encode())
            continue
        if is_lazy(tensor) or tensor.is_meta:
            raise WeightsError(
                f"{name} of a {type(module).__name__} has no numbers yet; load its weights, or run it on an image first"
            )
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(numbers_of(tensor))
    return digest.hexdigest()


@dataclass(frozen=True)
class Code:
    """What tells a network's code from another's, apart from what is live in it.

    Attributes:
        digest: of the files that it comes from; None for a module in memory.
        files: those whose whole contents are in the digest.
        has_classes: its own classes' sources count; not where they are a library's or in the file of the network.
    """

    digest: str | None = None
    files: tuple[Path, ...] = ()
    has_classes: bool = True

    def of(self, module: nn.Module) -> str:
        """sha256 over the code of a network as it is now; empty of a library's own network.

        Raises:
            UntellableError: as of `live_code`.
        """
        if not self.has_classes:
            return " ".join(filter(None, [self.digest, live_code(module, self.files)]))
        code = network_code(module, self.files)
        return code if self.digest is None else hashlib.sha256(f"{self.digest} {code}".encode()).hexdigest()


def network_code(module: nn.Module, told: Collection[Path] = ()) -> str:
    """sha256 over a network's own classes, its settings and what is live in it; empty where there is none of that.

    Weights that its state dict lacks count here too.
    """
    return _network_code(module, told, {id(part) for part in module.modules()})


def _network_code(module: nn.Module, told: Collection[Path], known: set[int]) -> str:
    """The code of a network, without the networks in it that are known."""
    code, live = module_code(module), live_code(module, told)
    more = [*unsaved_parameters(module)]
    for name, found in unregistered(module):
        if id(found) not in known:
            known |= {id(part) for part in (found.modules() if isinstance(found, nn.Module) else [found])}
            more.append(f"{name} {_state(found, told, known)}")
    return hashlib.sha256(" ".join([code, live, *sorted(more)]).encode()).hexdigest() if live or more else code


def _state(found: nn.Module | Tensor, told: Collection[Path], known: set[int]) -> str:
    """sha256 over a network or a tensor that another network holds."""
    if isinstance(found, Tensor):
        return setting_text(found)
    return module_fingerprint(found, _network_code(found, told, known))


def module_code(module: nn.Module) -> str:
    """sha256 over a network's classes that are of no library, and its modules' settings; empty where there are none.

    Without it a changed ``forward``, or another number that it multiplies by, with the same weights would be taken
    for the network as it was. Settings are the attributes that the state dict lacks; paths do not count. Where all
    classes are libraries' they are the plain ones that a module's repr does not show, such as a number of heads.
    """
    own = {
        f"{kind.__module__}.{kind.__qualname__}": kind
        for part in module.modules()
        for kind in type(part).__mro__
        if kind.__module__.partition(".")[0] not in (*LIBRARIES, "builtins")
    }
    is_patched = any("forward" in vars(part) for part in module.modules())
    if not own and not is_patched:
        texts = sorted(_unshown(module))
        return hashlib.sha256("\0".join(texts).encode()).hexdigest() if texts else ""
    digests = [code_digest(own[name]) for name in sorted(own)]
    saved = module.state_dict()
    settings = {name: buffer for name, buffer in module.named_buffers() if name not in saved}
    for name, part in module.named_modules():
        settings |= {f"{name}.{key}": value for key, value in _attributes(part).items()}
    texts = [f"{name}={text}" for name, value in sorted(settings.items()) if (text := setting_text(value))]
    return hashlib.sha256("\0".join(digests + texts).encode()).hexdigest()


def _unshown(module: nn.Module) -> Iterator[str]:
    """Plain settings of those parts that show none."""
    for name, part in module.named_modules():
        if type(part).extra_repr is nn.Module.extra_repr:
            plain = {key: value for key, value in _attributes(part).items() if _is_plain(value)}
            yield from (f"{name}.{key}={setting_text(value)}" for key, value in plain.items())


def _is_plain(value: object) -> bool:
    """Whether a setting is a number, a text, nothing, a function, or a tuple of these."""
    if isinstance(value, tuple):
        return all(map(_is_plain, cast("tuple[object, ...]", value)))
    return value is None or isinstance(value, bool | int | float | str) or inspect.isroutine(value)


def _attributes(part: nn.Module) -> dict[str, object]:
    """A module's own attributes; of libraries' modules the public ones."""
    is_librarys = type(part).__module__.partition(".")[0] in LIBRARIES
    return {
        key: value
        for key, value in vars(part).items()
        if key not in _NO_SETTINGS and not (is_librarys and key.startswith("_"))
    }
