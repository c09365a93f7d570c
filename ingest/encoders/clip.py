"""Networks with `encode_image` and `encode_text`: those of open_clip, and the user's own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import normalize

from neuronlake.ingest.encoders.protocol import EncoderError
from neuronlake.ingest.networks import weights
from neuronlake.ingest.networks.errors import described
from neuronlake.ingest.networks.factories import anywhere, call_factory
from neuronlake.ingest.networks.identity.fingerprints import module_fingerprint, network_code
from neuronlake.ingest.networks.identity.live_code import live_code
from neuronlake.ingest.networks.preprocessing import Preparation, Preprocessing, prepared_by
from neuronlake.ingest.networks.quiet import quiet_libraries
from neuronlake.ingest.networks.weights import SourceKind
from neuronlake.sql.words import StageProgress, did_you_mean

_FOLDER = "local-dir:"
HUBS = (_FOLDER, "hf-hub:")

# beside its weights, what says how an encoder in a folder computes and how it reads texts
_SETTINGS_FILES = ("*config.json", "*token*", "vocab*", "merges.txt", "*.model")
_TEXT_BATCH = 256
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
# OpenAI's state dicts hold these beside the weights, and their networks use QuickGELU
_OPENAI_KEYS = frozenset({"input_resolution", "context_length", "vocab_size"})
_OFFLINE_HINT = "without a network, give a file as ARCH/path/to/file, or use --encoder conse, which needs none"


@dataclass(frozen=True)
class ClipEncoder:
    """A network with `encode_image` and `encode_text`, as CLIP has them: open_clip's or the user's own."""

    name: str
    source: str
    source_kind: SourceKind
    location: str
    fingerprint: str
    dimensions: int
    preprocessing: Preparation
    module: Any
    tokenizer: Any
    precision: str = "float32"

    def to(self, device: torch.device) -> None:
        """Move to a device."""
        self.module.to(device)

    def encode_images(self, pixels: Tensor) -> Tensor:
        """See Encoder."""
        return normalize(self.module.encode_image(pixels).float(), dim=1)

    def encode_texts(self, texts: Sequence[str], progress: StageProgress | None = None) -> Tensor:
        """See Encoder. What is longer than the model's context is cut off, as the tokenizer does."""
        device = next((parameter.device for parameter in self.module.parameters()), torch.device("cpu"))
        encoded: list[Tensor] = []
        with torch.inference_mode():
            for start in range(0, len(texts), _TEXT_BATCH):
                tokens = self.tokenizer(list(texts[start : start + _TEXT_BATCH]))
                tokens = tokens.to(device) if hasattr(tokens, "to") else tokens
                encoded.append(normalize(self.module.encode_text(tokens).float(), dim=1).cpu())
                if progress:
                    progress(min(start + _TEXT_BATCH, len(texts)), len(texts))
        return torch.cat(encoded)


def open_clip_encoder(name: str, *, trust_code: bool = False) -> ClipEncoder:
    """An encoder of open_clip.

    Args:
        name: ``ARCH/PRETRAINED``, ``ARCH/path/to/file``, or what begins with one of HUBS.
        trust_code: read a file that holds code, as OpenAI's do.

    Raises:
        EncoderError: it is unknown, or its weights cannot be had.
        WeightsError: they are in a file that holds code and is not trusted.
    """
    import open_clip  # noqa: PLC0415  takes seconds

    with quiet_libraries():
        if name.startswith(HUBS):
            # a folder is looked for as it is spelled
            name = re.sub(r":(~.*)", lambda found: f":{Path(found[1]).expanduser()}", name)
            kind = SourceKind.FOLDER if name.startswith(_FOLDER) else SourceKind.HUB
            architecture, location = name, _absolute_hub(name)
            source = location
            module = _create(name, lambda: open_clip.create_model(name, precision="fp32", require_pretrained=True))
        else:
            architecture = name.partition("/")[0]
            module, kind, location = _load_pretrained(open_clip, name, trust_code=trust_code)
            source = f"open_clip {location}"
        # SigLIP's and some others' are files of their own on the hub
        tokenizer = _create(name, lambda: open_clip.get_tokenizer(architecture))
    module.eval().requires_grad_(False)
    preprocessing = _preprocessing(module.visual)
    further = [text for text in (live_code(module), _folder_settings(location)) if text]
    return ClipEncoder(
        name=name if kind is not SourceKind.FILE else f"{architecture}/{Path(name).name}",
        source=source,
        source_kind=kind,
        location=location,
        fingerprint=module_fingerprint(module, preprocessing, "float32", *further),
        dimensions=_dimensions(module, preprocessing),
        preprocessing=preprocessing,
        module=module,
        tokenizer=tokenizer,
    )


def _absolute_hub(name: str) -> str:
    """``local-dir:FOLDER`` with a path that means the same in any folder."""
    return f"{_FOLDER}{Path(name.removeprefix(_FOLDER)).absolute()}" if name.startswith(_FOLDER) else name


def _folder_settings(location: str) -> str:
    """sha256 over the settings and the tokenizer of ``local-dir:FOLDER``, of which weights say little; else empty."""
    if not location.startswith(_FOLDER):
        return ""
    folder = location.removeprefix(_FOLDER)
    files = {file for pattern in _SETTINGS_FILES for file in Path(folder).glob(pattern) if file.is_file()}
    texts = sorted(f"{file.name} {weights.sha256_of(file)}" for file in files)
    return hashlib.sha256(" ".join(texts).encode()).hexdigest()


def own_encoder(name: str, spec: str) -> ClipEncoder:
    """The encoder of a user's factory.

    Args:
        name: as the warehouse calls it.
        spec: ``path/to/file.py:factory`` or ``package.module:factory``. The factory gives (network, transform,
            tokenizer), as `open_clip.create_model_and_transforms` and `open_clip.get_tokenizer` do: the network has
            ``encode_image`` for (batch, 3, height, width) float32 and ``encode_text`` for what the tokenizer makes of a
            list of texts, both giving (batch, dimensions); the transform is a `Preprocessing`, a preset of torchvision
            or a callable from an RGB image to a (3, height, width) tensor.

    Raises:
        ModelError: there is no such factory, or it raises.
        EncoderError: it gives something else, or the network fails on an image or a text.
        TransformError: the transform does not work.
    """
    made, code, files = call_factory(spec)
    shape = "(network, transform, tokenizer), the network with encode_image and encode_text"
    if not isinstance(made, tuple) or len(made) != 3:
        raise EncoderError(f"the factory {spec} gives a {type(made).__name__}; let it return {shape}")
    module, transform, tokenizer = made
    if not isinstance(module, nn.Module) or not hasattr(module, "encode_image") or not hasattr(module, "encode_text"):
        raise EncoderError(f"the factory {spec} gives a {type(module).__name__} as its network; let it return {shape}")
    module.eval().requires_grad_(requires_grad=False)
    preprocessing = prepared_by(transform)
    pixels = preprocessing.normalise(preprocessing.pixels(Image.new("RGB", (64, 64)))[None])
    location = anywhere(spec)
    encoder = ClipEncoder(
        name=name,
        source=f"factory {location}",
        source_kind=SourceKind.FACTORY,
        location=location,
        fingerprint=module_fingerprint(module, preprocessing, code, network_code(module, files)),
        dimensions=0,
        preprocessing=preprocessing,
        module=module,
        tokenizer=tokenizer,
    )
    try:
        with torch.inference_mode():
            images, texts = encoder.encode_images(pixels), encoder.encode_texts(["one text"])
    except Exception as error:
        raise EncoderError(f"the encoder {spec} fails on an image and a text: {described(error)}") from error
    if images.ndim != 2 or images.shape != texts.shape:
        raise EncoderError(
            f"the encoder {spec} gives {list(images.shape)} for an image and {list(texts.shape)} for a text; both must "
            "be [1, dimensions]"
        )
    return replace(encoder, dimensions=images.shape[1])


def _check_architecture(name: str, architecture: str, pretrained: str, known: list[str]) -> None:
    """Refuse what is not ARCH/PRETRAINED with an architecture of open_clip."""
    if architecture not in known:
        usual = "use ARCH/PRETRAINED such as ViT-B-16/openai, or conse"
        hint = did_you_mean(architecture, known, most=3, otherwise=usual)
        raise EncoderError(f"open_clip has no architecture {architecture!r}; {hint}")
    if not pretrained:
        raise EncoderError(f"encoder {name!r} names no weights; use ARCH/PRETRAINED such as {architecture}/openai")


def _load_pretrained(open_clip: Any, name: str, *, trust_code: bool) -> tuple[Any, SourceKind, str]:
    """A model with the weights of a file or of one of open_clip's tags, and how these are found again."""
    architecture, _, pretrained = name.partition("/")
    _check_architecture(name, architecture, pretrained, open_clip.list_models())
    path = Path(pretrained).expanduser()
    if path.is_file():
        module = _load_file(open_clip, name, architecture, path, trust_code=trust_code)
        return module, SourceKind.FILE, f"{architecture}/{path.absolute()}"
    known = open_clip.list_pretrained_tags_by_model(architecture)
    if pretrained not in known:
        what = "is no file" if "/" in pretrained or "." in pretrained else "is not one of its weights"
        raise EncoderError(f"{pretrained!r} {what}; {architecture} has {', '.join(known) or 'none of its own'}")
    config = open_clip.get_pretrained_cfg(architecture, pretrained)
    module = _create(
        name,
        lambda: open_clip.create_model(
            architecture,
            pretrained=pretrained,
            precision="fp32",
            # open_clip only warns when a tag was trained with another activation than the architecture has
            force_quick_gelu=bool(config.get("quick_gelu", False)),
        ),
    )
    return module, SourceKind.NAMED, name


def _load_file(open_clip: Any, name: str, architecture: str, path: Path, *, trust_code: bool) -> Any:
    """A model from a checkpoint: OpenAI's TorchScript archive or state dict, or one of open_clip."""
    state_dict = weights.read_state_dict(path, trust_code=trust_code)
    if state_dict.keys() >= _OPENAI_KEYS:
        return _create(
            name,
            lambda: open_clip.model.build_model_from_openai_state_dict(state_dict, cast_dtype=torch.float32).float(),
        )
    return _create(
        name,
        lambda: open_clip.create_model(
            architecture, pretrained=str(path), precision="fp32", weights_only=not trust_code
        ),
    )


def _create(name: str, build: Callable[[], Any]) -> Any:
    """Run open_clip's constructor, its failures in one line."""
    try:
        return build()
    except (RuntimeError, OSError, ValueError, KeyError, ImportError, AssertionError) as error:
        # open_clip raises these for everything from a wrong shape to a missing network
        reason = re.split(r"(?<=\.)\s", " ".join(str(error).split()))[0].rstrip(".") or type(error).__name__
        raise EncoderError(f"encoder {name} cannot be loaded: {reason}; {_OFFLINE_HINT}") from error


def _preprocessing(visual: Any) -> Preprocessing:
    """What an open_clip image tower wants its images to be."""
    config: dict[str, Any] = getattr(visual, "preprocess_cfg", None) or {}
    size = config.get("size", visual.image_size)
    side = size if isinstance(size, int) else size[0]
    return Preprocessing(
        resize=side,
        crop=side,
        mean=tuple(config.get("mean", _CLIP_MEAN)),
        std=tuple(config.get("std", _CLIP_STD)),
        interpolation=config.get("interpolation", "bicubic"),
        resize_mode=config.get("resize_mode", "shortest"),
    )


def _dimensions(module: nn.Module, preprocessing: Preprocessing) -> int:
    """Length of an embedding, seen by making one."""
    encode: Any = module
    with torch.inference_mode():
        return int(encode.encode_image(torch.zeros(1, 3, preprocessing.crop, preprocessing.crop)).shape[1])
