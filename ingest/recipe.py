"""One run's settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from neuronlake.ingest.scoring_settings import DEFAULT_DRAWS, DEFAULT_METHOD

DEFAULT_ENCODER = "ViT-B-16/openai"


@dataclass(frozen=True)
class Recipe:
    """What to dissect, with what, and how.

    Attributes:
        models: names of models, see `models.load_model`.
        layers: names of layers, the same for every model.
        probes: folders, lists or tars of images, see `probes.load_probe`; several are put together.
        concepts: concept sets, joined; see `concepts.load_concepts`.
        encoder: see `encoders.load_encoder`.
        prompt: text that each concept is put into, at ``{}``.
        method: a similarity function.
        parameters: of the method, where they differ from its defaults.
        pooling: ``mean`` or ``max``: how a feature map becomes one number.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        batch_size: images in one forward pass; by the device where None.
        weights: a checkpoint for a model's name.
        random_weights: use random weights, for tests and timing.
        keep_concepts: how many of each unit's best concepts to store; all where None.
        null_draws: pseudo-units behind the p-values.
        seed: of the pseudo-units, and of the sample of images.
        chunk_images: images in one transaction; by the size of the probe where None.
        limit: look at a random sample of so many images; at all where None.
        max_failures: how many images may be unreadable; where None half of the first 1,000, or all but one of fewer.
    """

    models: tuple[str, ...]
    layers: tuple[str, ...]
    probes: tuple[str, ...]
    concepts: tuple[str, ...]
    encoder: str = DEFAULT_ENCODER
    prompt: str = "{}"
    method: str = DEFAULT_METHOD
    parameters: Mapping[str, int | float] = field(default_factory=dict[str, "int | float"])
    pooling: str = "mean"
    device: str = "auto"
    batch_size: int | None = None
    weights: Mapping[str, Path] = field(default_factory=dict[str, Path])
    random_weights: bool = False
    keep_concepts: int | None = None
    null_draws: int = DEFAULT_DRAWS
    seed: int = 0
    chunk_images: int | None = None
    limit: int | None = None
    max_failures: int | None = None

    def as_json(self) -> str:
        """All settings, as they are stored with the run."""
        return json.dumps(asdict(self), default=str)
