"""Probes: sets of images put together from folders, files and data sets, each image known by its contents."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from neuronlake.ingest.names import Part, renamed, require_names_differ, split_name
from neuronlake.ingest.probes.failure_limit import FailureLimit
from neuronlake.ingest.probes.formats import KINDS, expand, forget_all, list_images, without_suffix
from neuronlake.ingest.probes.hashing import hash_images, require_a_readable_image
from neuronlake.ingest.probes.locations import Location, ProbeError, is_address
from neuronlake.ingest.probes.masks.base import Masks
from neuronlake.ingest.probes.masks.finding import MaskSettings, find_masks
from neuronlake.ingest.probes.sources import ProbeImage, folder_label
from neuronlake.ingest.probes.torchvision_datasets import dataset_name, is_dataset
from neuronlake.sql.store.names import Entry
from neuronlake.sql.words import StageProgress


@dataclass(frozen=True)
class Probe:
    """A set of images, in the order of their list, or else of their paths.

    `is_numbered` says that of its images nothing is known but their number; their `sha256` tell only the probe apart.
    `masks` are what its images' masks can show; None where it has none, or they are not read. They tell no two probes
    apart, so that a probe may get masks later.
    """

    name: str
    images: tuple[ProbeImage, ...]
    parts: tuple[Part, ...]
    is_numbered: bool = False
    masks: Masks | None = None

    @property
    def location(self) -> str:
        """Where its images are."""
        return " + ".join(part.spec for part in self.parts)

    @property
    def entry(self) -> Entry:
        """Its place among the names of a warehouse."""
        first = self.parts[0]
        return Entry("probes", self.name, self.fingerprint, first.name, renamed("--probe", first.spec))

    @property
    def fingerprint(self) -> str:
        """sha256 over paths, contents and groups of all images, and over labels that do not follow from the paths."""
        digest = hashlib.sha256()
        for image in self.images:
            path = image.path.removeprefix(f"{image.part}/") if image.part else image.path
            label = image.label or ""
            said = "" if label == (folder_label(path) or "") else f"\0{label}"
            said += "" if image.group is None else f"\0group\0{image.group}"
            digest.update(f"{image.path}\0{image.sha256}{said}\n".encode())
        return digest.hexdigest()


def load_probe(
    *locations: str | Path,
    limit: int | None = None,
    seed: int = 0,
    max_failures: int | None = None,
    masks: str | None = None,
    mask_labels: Path | None = None,
    mask_categories: Sequence[str] = (),
    with_masks: bool = False,
    progress: StageProgress | None = None,
) -> Probe:
    """List the images of a probe and hash the contents of each, so that identity follows them.

    Several probes become one, in which an image's path begins with the name of the probe it came from.

    Args:
        locations: a folder of images at any depth (the name of the folder that holds an image is its label), or
            Broden's with its ``index.csv``; a csv or Parquet list of files; a Parquet file that holds images; a tar;
            shards of these two, as ``shards-{000..003}.tar`` or a folder of them; a data set of torchvision, as
            ``torchvision:CIFAR10`` or ``torchvision:CIFAR10@ROOT``. All but the last may lie at an address that fsspec
            knows, as ``s3://bucket/folder``. Each may have its name before it, as in ``mine=photos``.
        limit: take a random sample of so many images, in their order; all where None.
        seed: of the sample.
        max_failures: see `FailureLimit`.
        masks: folder of label images of a probe that is a folder of images, perhaps with a name before it: NAME.png or
            NAME_seg.png for each image. Broden has its own.
        mask_labels: what their values mean: see `tables.read_table` and `panoptic.read_panoptic`.
        mask_categories: of concepts to read; all where empty.
        with_masks: whether masks are read; where they are not, `masks` and what is about it is passed over.
        progress: called with the number of images done and of all images.

    Raises:
        ProbeError: there is no such probe, it is given twice, or has no image, or too many that cannot be read;
            or a mask does not fit its image, or has a value of which nothing is said.
        NameTakenError: two of them have one name.
    """
    parts = check_probes(locations)
    forget_all()
    listed = [list_images(part.spec) for part in parts]
    settings = MaskSettings(masks, mask_labels, tuple(mask_categories))
    found = find_masks(parts, listed, settings) if with_masks else None
    name, images = _combine(list(zip([part.name for part in parts], found.images if found else listed, strict=True)))
    if limit is not None and limit < len(images):
        name = f"{name}:{limit}"
        places = random.Random(seed).sample(range(len(images)), limit)  # noqa: S311  no secret
        images = [images[place] for place in sorted(places)]
    failures = FailureLimit(name, len(images), max_failures)
    hashed = hash_images(images, failures, progress or (lambda _done, _total: None))
    require_a_readable_image(hashed, failures)
    return Probe(name, tuple(hashed), tuple(parts), masks=found.of_probe(name, hashed) if found else None)


def check_probes(locations: Sequence[str | Path]) -> list[Part]:
    """Names of probes and where they are; what else may be wrong shows when they are read.

    Raises:
        ProbeError: a path leads nowhere, or two are the same.
        NameTakenError: two have one name.
    """
    parts = [_part(str(location)) for location in locations]
    for text in (part.spec for part in parts):
        if not is_dataset(text) and not is_address(text) and "{" not in text:
            path = Path(text).expanduser()
            if not path.exists():
                raise ProbeError(f"there is no {path}; --probe takes {KINDS}")
    _require_each_once([part.spec for part in parts])
    require_names_differ("--probe", parts, "probes")
    return parts


def split_probe(text: str) -> tuple[str | None, str]:
    """``NAME=PROBE`` as name and probe; a pattern exists where the first file does that it stands for."""
    return (None, text) if Path(next(expand(text), text)).expanduser().exists() else split_name(text)


def _part(text: str) -> Part:
    """A probe and what it is called: as the user says, or as the last part of its path."""
    given, spec = split_probe(text)
    if given or is_dataset(spec):
        return Part(given or dataset_name(spec), spec)
    return Part(without_suffix(Location.of(spec).name), spec)


def _require_each_once(locations: Sequence[str]) -> None:
    """Images that are there twice would count twice in every activation and score.

    Raises:
        ProbeError: two of the locations are the same.
    """
    seen: set[str] = set()
    for text in locations:
        place = text if is_address(text) else str(Path(text).expanduser().resolve())
        if place in seen:
            raise ProbeError(f"the probe {text} is given twice, so its images would count twice; give it once")
        seen.add(place)


def _combine(probes: Sequence[tuple[str, list[ProbeImage]]]) -> tuple[str, list[ProbeImage]]:
    """Names of probes and their images as one."""
    if len(probes) == 1:
        return probes[0]
    images = [replace(image, path=f"{name}/{image.path}", part=name) for name, mine in probes for image in mine]
    return " + ".join(name for name, _ in probes), images
