"""Images whose contents the warehouse knows of another probe: a probe that grew is not looked at from the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from neuronlake.ingest.machines.chunks import TOP_IMAGES, Chunk
from neuronlake.ingest.plan import Plan
from neuronlake.ingest.storing import Registered
from neuronlake.sql.store.images.reuse import Reusable, Reused, find_reusable, mapped_layers
from neuronlake.sql.store.names import number_of
from neuronlake.sql.warehouse import Warehouse


@dataclass(frozen=True)
class Work:
    """What a run has to do for its chunks.

    Attributes:
        chunks: that some layer or the encoder lacks, with the images to extract, of which there may be none.
        reused: by number of the chunk those that are copied instead.
        moved_up: how many of those to extract the warehouse has, but not where each unit fires.
    """

    chunks: tuple[Chunk, ...]
    reused: dict[int, Reused]
    moved_up: int = 0

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
    known: dict[tuple[tuple[tuple[str, str], ...], bool], Reusable] = {}
    shared: list[Chunk] = []
    reused: dict[int, Reused] = {}
    mapped = mapped_layers(warehouse, list(registered.layer_ids.values()))
    for chunk in chunks:
        lacking = (chunk.layers, chunk.needs_embeddings)
        if lacking not in known:
            known[lacking] = find_reusable(
                warehouse,
                digests,
                registered.probe.probe_id,
                [registered.layer_ids[key] for key in chunk.layers],
                registered.encoder_id if chunk.needs_embeddings else None,
                TOP_IMAGES,
            )
        found = known[lacking].sources
        copied = {image.image_id: found[image.image_id] for image in chunk.images if image.image_id in found}
        if copied:
            reused[chunk.number] = Reused(copied, mapped, TOP_IMAGES)
        shared.append(replace(chunk, images=tuple(image for image in chunk.images if image.image_id not in copied)))
    moved_up = {image.image_id for chunk in shared for image in chunk.images} & {
        image_id for each in known.values() for image_id in each.moved_up
    }
    return Work(tuple(shared), reused, len(moved_up))


def moved_up_note(images: int) -> str:
    """What to say of images that are looked at again though the warehouse has them."""
    return (
        f"{images:,} images that the warehouse has are looked at again: without those that were removed they are among "
        "the top images of some unit, and where it fires there was not kept"
    )


def reusable_images(warehouse: Warehouse, plan: Plan) -> Reusable:
    """Which of a plan's images, by their place, would be copied if nothing of its probe itself were there yet."""
    numbers = [number_of(warehouse, "layers", layer.fingerprint) for layer in plan.layers]
    layer_ids = [number for number in numbers if number is not None]
    encoder_id = number_of(warehouse, "encoders", plan.encoder.fingerprint) if plan.encoder else None
    if len(layer_ids) < len(plan.layers) or (plan.encoder is not None and encoder_id is None):
        return Reusable({})
    digests = {place: image.sha256 for place, image in enumerate(plan.probe.images)}
    probe_id = number_of(warehouse, "probes", plan.probe.fingerprint)
    return find_reusable(warehouse, digests, probe_id, layer_ids, encoder_id, TOP_IMAGES)
