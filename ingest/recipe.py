"""One run's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neuronlake.ingest.networks.models import Model

from neuronlake.ingest.labelers.settings import DEFAULT_DRAWS, DEFAULT_METHOD

DEFAULT_ENCODER = "ViT-B-16/openai"


@dataclass(frozen=True)
class Recipe:
    """What to dissect, with what, and how.

    Attributes:
        models: names of models or where they are, see `models.load_model`; or models themselves, see
            `models.model_from_module`.
        layers: names of layers or patterns, the same for every model; see `layers.choose_layers`.
        probes: folders, lists or tars of images, see `probes.load_probe`; several are put together. Each may have a
            name before it, as in ``mine=photos``; so may the concepts, the encoder and the files of directions.
        concepts: concept sets, joined; see `concepts.load_concepts`.
        encoder: see `encoders.load_encoder`.
        prompts: texts that each concept is put into, at ``{}``; the mean of several counts. See
            `prompts.joined_prompts`.
        method: a similarity function.
        parameters: of the method, where they differ from its defaults.
        pooling: how maps and tokens become one number: ``mean``, ``max``, ``cls`` or ``patches``; see `pooling.pool`.
        directions: pairs of a layer and a file with directions in its space; see `directions.load_directions`.
        precision: ``float32``, or ``bfloat16`` or ``float16`` for what networks can compute in half the bits.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        batch_size: images in one forward pass; by the device where None.
        weights: a checkpoint for a model, by its name or as `models` spells it.
        random_weights: use random weights, for tests and timing.
        trust_code: read files that hold code and can run it: TorchScript, torch.export (.pt2), and pickles of more
            than tensors.
        keep_concepts: how many of each unit's best concepts to store; all where None.
        null_draws: pseudo-units behind the p-values.
        seed: of the pseudo-units, and of the sample of images.
        chunk_images: images in one transaction; by the size of the probe where None.
        engine: what runs the networks and scores: ``local``, this process, or ``ray``, a cluster.
        address: of the Ray cluster; one is started here where None.
        workers: of the Ray engine; by the cluster's GPUs or cores where None.
        spool: folder that all machines of the cluster share, for chunks on their way; beside the warehouse where None.
        limit: look at a random sample of so many images; at all where None.
        max_failures: how many images may be unreadable; where None half of the first 1,000, or all but one of fewer.
    """

    models: tuple[str | Model, ...] = ()
    layers: tuple[str, ...] = ()
    probes: tuple[str, ...] = ()
    concepts: tuple[str, ...] = ()
    encoder: str = DEFAULT_ENCODER
    prompts: tuple[str, ...] = ("{}",)
    method: str = DEFAULT_METHOD
    parameters: Mapping[str, int | float] = field(default_factory=dict[str, "int | float"])
    pooling: str = "mean"
    directions: tuple[tuple[str, str], ...] = ()
    precision: str = "float32"
    device: str = "auto"
    batch_size: int | None = None
    weights: Mapping[str, Path] = field(default_factory=dict[str, Path])
    random_weights: bool = False
    trust_code: bool = False
    keep_concepts: int | None = None
    null_draws: int = DEFAULT_DRAWS
    seed: int = 0
    chunk_images: int | None = None
    engine: str = "local"
    address: str | None = None
    workers: int | None = None
    spool: Path | None = None
    limit: int | None = None
    max_failures: int | None = None
    # what `trust_code` was called before
    trust_pickle: InitVar[bool] = False

    def __post_init__(self, trust_pickle: bool) -> None:
        """Take the old name for the new one."""
        if trust_pickle:
            object.__setattr__(self, "trust_code", True)
