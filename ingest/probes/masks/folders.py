"""A folder of label images beside a folder of images: which belongs to which."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from neuronlake.ingest.probes.locations import Location, ProbeError
from neuronlake.ingest.probes.masks.base import ImageMasks, LabelImage
from neuronlake.ingest.probes.masks.checking import first_of
from neuronlake.ingest.probes.masks.label_images import TableReader
from neuronlake.ingest.probes.masks.tables import Meanings
from neuronlake.ingest.probes.sources import FileBytes, ProbeImage, readable_text

# as ADE20K calls what lies beside an image and is of it
_BESIDE = re.compile(r"_(seg|parts_\d+)\.png$", re.IGNORECASE)
_PNG = ".png"


def without_masks(images: Sequence[ProbeImage], probe: Location, folder: Location) -> list[ProbeImage]:
    """The images of a folder without those that are label images: in `folder`, where that is in the probe's own."""
    if folder == probe:
        return [image for image in images if not _BESIDE.search(image.path)]
    inside = folder.path.removeprefix(f"{probe.path}/")
    return list(images) if inside == folder.path else [i for i in images if not i.path.startswith(f"{inside}/")]


def same_place(location: Location) -> Location:
    """A location in the one spelling that it shares with others of the same place."""
    if location.is_remote:
        return Location(location.path.rstrip("/"))
    return Location(str(Path(location.path).resolve()))


def with_masks_of_folder(
    images: Sequence[ProbeImage], probe: Location, folder: Location, table: Location, means: Meanings
) -> list[ProbeImage]:
    """The images with their masks, which are not yet read: NAME.png or NAME_seg.png in the same folder of `folder`.

    In the images' own folder it is NAME_seg.png alone.

    Raises:
        ProbeError: an image has none.
    """
    files = {readable_text(path): path for path in folder.files() if path.lower().endswith(_PNG)}
    by_stem = {name[: -len(_PNG)]: path for name, path in files.items()}
    is_beside = same_place(folder) == same_place(probe)
    reader = TableReader(str(table), *means.columns)
    found: list[ProbeImage] = []
    missing: list[str] = []
    for image in images:
        stem = image.path.rpartition(".")[0]
        names = [f"{stem}_seg"] if is_beside else [stem, f"{stem}_seg"]
        path = next((by_stem[name] for name in names if name in by_stem), None)
        if path is None:
            where = " or ".join(str(folder.join(f"{name}{_PNG}")) for name in names)
            missing.append(f"{image.path} has no mask: there is no {where}; add it, or leave the image out")
            continue
        file = folder.join(path)
        masks = ImageMasks((LabelImage(readable_text(str(file)), FileBytes(file), reader),))
        found.append(replace(image, masks=masks))
    if missing:
        raise ProbeError(first_of(missing))
    return found
