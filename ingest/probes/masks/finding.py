"""Which masks the images of a probe have: Broden's own, or those of a folder that a user names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from neuronlake.ingest.concepts.concept import Concept
from neuronlake.ingest.names import Part, split_name
from neuronlake.ingest.probes.broden import is_broden
from neuronlake.ingest.probes.locations import Location, ProbeError
from neuronlake.ingest.probes.masks.base import ImageMasks, Masks, fingerprint
from neuronlake.ingest.probes.masks.broden_masks import broden_masks
from neuronlake.ingest.probes.masks.folders import same_place, with_masks_of_folder, without_masks
from neuronlake.ingest.probes.masks.panoptic import read_panoptic
from neuronlake.ingest.probes.masks.tables import read_table
from neuronlake.ingest.probes.sources import ProbeImage
from neuronlake.ingest.probes.torchvision_datasets import is_dataset

_LABELS = "a csv file with the columns value, concept and category, or COCO's panoptic json"


@dataclass(frozen=True)
class MaskSettings:
    """The masks that a user names.

    Attributes:
        folder: where they are, perhaps with their name before it; None where a probe has its own, or none.
        labels: what their values mean.
        categories: of concepts that are read; all where empty.
    """

    folder: str | None = None
    labels: Path | None = None
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundMasks:
    """The images of each part of a probe with their masks, which are not yet read.

    Attributes:
        name: that the user gives them.
        spec: where they are.
        concepts: see `Masks`.
        images: those that are no masks themselves.
    """

    name: str | None
    spec: str
    concepts: tuple[Concept, ...]
    images: tuple[list[ProbeImage], ...]

    def of_probe(self, probe: str, images: Sequence[ProbeImage]) -> Masks:
        """What the masks of a probe can show, once its images are read."""
        part = Part(self.name or f"masks of {probe}", self.spec)
        return Masks(part, self.concepts, fingerprint(self.concepts, (image.masks for image in images)))


def find_masks(parts: Sequence[Part], images: Sequence[list[ProbeImage]], asked: MaskSettings) -> FoundMasks | None:
    """The masks of a probe; None where it has none.

    Args:
        parts: that the probe is put together from.
        images: of each part.
        asked: what the user says.

    Raises:
        ProbeError: they cannot be read, do not belong to the images, or several parts have some.
    """
    name, folder = split_name(asked.folder) if asked.folder else (None, None)
    of_broden = [place for place, part in enumerate(parts) if _is_broden(part)]
    if of_broden:
        if len(of_broden) > 1:
            raise ProbeError("two of the probes are Broden's folders, each with labels of its own; ingest them apart")
        mine = parts[of_broden[0]]
        if asked.labels or (folder and same_place(Location.of(folder)) != same_place(Location.of(mine.spec))):
            raise ProbeError(f"{mine.spec} has masks of its own, as Broden does; leave out --masks and --mask-labels")
        return _of_broden(parts, images, mine, name, asked.categories)
    if folder is None:
        if asked.labels or asked.categories:
            option = "--mask-labels" if asked.labels else "--mask-categories"
            raise ProbeError(f"{option} is about masks, and there are none; name their folder with --masks")
        return None
    if len(parts) > 1 or not _is_folder(parts[0].spec):
        raise ProbeError("--masks lie beside the images of one folder; give it as the only --probe")
    if asked.labels is None:
        raise ProbeError(f"--masks needs to be told what values mean; give --mask-labels: {_LABELS}")
    return _of_folder(parts[0], images[0], name, Location.of(folder), asked.labels, asked.categories)


def _of_broden(
    parts: Sequence[Part],
    images: Sequence[list[ProbeImage]],
    broden: Part,
    name: str | None,
    categories: tuple[str, ...],
) -> FoundMasks:
    """The masks of the one part that is Broden's folder; the images of others have none."""
    found = broden_masks(Location.of(broden.spec), categories)
    nothing = ImageMasks()
    with_masks = tuple(
        [replace(image, masks=found.by_image[image.path] if part is broden else nothing) for image in mine]
        for part, mine in zip(parts, images, strict=True)
    )
    return FoundMasks(name, broden.spec, found.concepts, with_masks)


def _of_folder(
    part: Part, images: list[ProbeImage], name: str | None, folder: Location, labels: Path, categories: tuple[str, ...]
) -> FoundMasks:
    """The masks of a folder for the images of another."""
    probe, table = Location.of(part.spec), Location.of(labels)
    if not folder.is_folder():
        raise ProbeError(f"there is no folder {folder}; --masks takes one of PNG files, called as the images are")
    if not table.is_file():
        raise ProbeError(f"there is no {table}; --mask-labels takes {_LABELS}")
    images = without_masks(images, same_place(probe), same_place(folder))
    if not images:
        raise ProbeError(f"{probe} holds no images besides the masks in {folder}")
    if labels.suffix.lower() == ".json":
        panoptic = read_panoptic(table, categories)
        masks = panoptic.masks_of(images, folder)
        found = [replace(image, masks=mine) for image, mine in zip(images, masks, strict=True)]
        return FoundMasks(name, str(folder), panoptic.concepts, (found,))
    if labels.suffix.lower() != ".csv":
        raise ProbeError(f"{table} cannot be read; --mask-labels takes {_LABELS}")
    means = read_table(table, categories)
    return FoundMasks(name, str(folder), means.concepts, (with_masks_of_folder(images, probe, folder, table, means),))


def _is_folder(spec: str) -> bool:
    """Whether a probe is a folder of files."""
    return not is_dataset(spec) and "{" not in spec and Location.of(spec).is_folder()


def _is_broden(part: Part) -> bool:
    """Whether a probe is Broden's folder."""
    return _is_folder(part.spec) and is_broden(Location.of(part.spec))
