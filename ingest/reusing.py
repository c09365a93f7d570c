"""Images whose contents the warehouse knows of another probe: a probe that grew is not looked at from the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from neuronlake.ingest.machines.chunks import TOP_IMAGES, Chunk
from neuronlake.ingest.plan import Plan
from neuronlake.ingest.storing import Registered
from neuronlake.sql.store.images.reuse import Reused, find_reusable, mapped_layers
from neuronlake.sql.store.names import number_of
from neuronlake.sql.warehouse import Warehouse


@dataclass(frozen=True)
class Work:
    """What a run has to do for its chunks.

    Attributes:
        chunks: that some layer or the encoder lacks, with the images to extract, of which there may be none.
        reused: by number of the chunk those that are copied instead.
    """

    chunks: tuple[Chunk, ...]
    reused: dict[int, Reused]

    @property
    def image_ids(self) -> list[int]:
        """Numbers of the images to extract."""
        return [image.image_id for chunk in self.chunks for image in chunk.images]

    @property
    def reused_images(self) -> int:
        """How many are copied."""
        return sum(len(reused.sources) for reused in self.reused.values())


def share_work(warehouse: Warehouse, plan: Plan, registered: Registered, chunks: Sequence[Chunk]) -> Work:
    """Tell apart which images of pending chunks are extracted and which are copied.

    An image is copied if another probe has all that its chunk lacks: each of the layers, and its embedding.
    """
    first = registered.probe.first_image_id
    digests = {first + place: image.sha256 for place, image in enumerate(plan.probe.images)}
    # as a rule all chunks lack the same
    sources: dict[tuple[tuple[tuple[str, str], ...], bool], dict[int, int]] = {}
    shared: list[Chunk] = []
    reused: dict[int, Reused] = {}
    mapped = mapped_layers(warehouse, list(registered.layer_ids.values()))
    for chunk in chunks:
        lacking = (chunk.layers, chunk.needs_embeddings)
        if lacking not in sources:
            sources[lacking] = find_reusable(
                warehouse,
                digests,
                registered.probe.probe_id,
                [registered.layer_ids[key] for key in chunk.layers],
                registered.encoder_id if chunk.needs_embeddings else None,
                TOP_IMAGES,
            )
        found = sources[lacking]
        copied = {image.image_id: found[image.image_id] for image in chunk.images if image.image_id in found}
        if copied:
            reused[chunk.number] = Reused(copied, mapped, TOP_IMAGES)
        shared.append(replace(chunk, images=tuple(image for image in chunk.images if image.image_id not in copied)))
    return Work(tuple(shared), reused)


def reusable_images(warehouse: Warehouse, plan: Plan) -> int:
    """How many of a plan's images would be copied if nothing of its probe itself were there yet."""
    numbers = [number_of(warehouse, "layers", layer.fingerprint) for layer in plan.layers]
    layer_ids = [number for number in numbers if number is not None]
    encoder_id = number_of(warehouse, "encoders", plan.encoder.fingerprint) if plan.encoder else None
    if len(layer_ids) < len(plan.layers) or (plan.encoder is not None and encoder_id is None):
        return 0
    digests = {place: image.sha256 for place, image in enumerate(plan.probe.images)}
    probe_id = number_of(warehouse, "probes", plan.probe.fingerprint)
    return len(find_reusable(warehouse, digests, probe_id, layer_ids, encoder_id, TOP_IMAGES))
