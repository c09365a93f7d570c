"""The images behind saved activations: known by their number alone, or the files of a folder."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torchvision

from neuronlake.ingest.importers.label_files import ImportedFileError
from neuronlake.ingest.machines.chunks import ChunkImage, FailedImage
from neuronlake.ingest.machines.feeding.ahead import cores, prepare_ahead
from neuronlake.ingest.names import Part
from neuronlake.ingest.networks.preprocessing import Preparation
from neuronlake.ingest.networks.weights import sha256_of
from neuronlake.ingest.probes.decoding import quiet_decoding
from neuronlake.ingest.probes.locations import Location, ProbeError
from neuronlake.ingest.probes.probe import Probe
from neuronlake.ingest.probes.sources import FileBytes, ProbeImage, Source, is_image_name
from neuronlake.ingest.storing import load_pictures
from neuronlake.sql.store.images import pictures
from neuronlake.sql.store.probes import StoredProbe
from neuronlake.sql.warehouse import Warehouse
from neuronlake.sql.words import first_line

_AHEAD = 64


@dataclass(frozen=True)
class _NoBytes(Source):
    """An image of which only the number is known."""

    def exists(self) -> bool:
        """Not here."""
        return False

    def read(self) -> bytes:
        """Nothing can be read."""
        raise ProbeError("imported without its contents")


def numbered_probe(name: str, images: int, edition: int) -> Probe:
    """A probe of images of which nothing is known but their number; `cli verify` asks for no pictures of them."""
    contents = f"unknown: {name} of {images} images, edition {edition}"
    return Probe(
        name=f"{name} (saved activations)",
        images=tuple(ProbeImage(f"image {number}", None, _NoBytes(), contents) for number in range(images)),
        parts=(Part(name, "imported"),),
        is_numbered=True,
    )


def folder_probe(name: str, folder: Path, images: int) -> Probe:
    """The images of a folder, in the order in which torchvision's ImageFolder shows them.

    In a folder without subfolders that is the order of the file names.

    Raises:
        ImportedFileError: there is no such folder, or it holds another number of images.
    """
    root = folder.expanduser()
    if not root.is_dir():
        raise ImportedFileError(f"there is no folder {root}; --probe-folder takes the images behind the activations")
    files = _image_files(root)
    if len(files) != images:
        raise ImportedFileError(
            f"{root} holds {len(files)} images and the activations of {name} are of {images}; "
            "name the folder that CLIP-Dissect read, or leave --probe-folder out"
        )
    with ThreadPoolExecutor() as pool:
        digests = pool.map(sha256_of, files)
        found = tuple(
            ProbeImage(path.as_posix(), path.parent.name or None, FileBytes(Location(str(root / path))), digest)
            for path, digest in zip((file.relative_to(root) for file in files), digests, strict=True)
        )
    return Probe(name=name, images=found, parts=(Part(name, str(root)),))


def _image_files(root: Path) -> list[Path]:
    """The images in the order of ImageFolder, which wants each subfolder to hold some."""
    if any(entry.is_dir() for entry in root.iterdir()):
        try:
            return [Path(path) for path, _ in torchvision.datasets.ImageFolder(root).samples]
        except FileNotFoundError as error:
            raise ImportedFileError(f"{root} is no folder that ImageFolder reads: {first_line(error)}") from None
    return sorted(file for file in root.iterdir() if is_image_name(file.name))


def show_images(warehouse: Warehouse, stored: StoredProbe, probe: Probe, progress: Callable[[int], None]) -> None:
    """Small pictures of the images of a folder, or the reason why one cannot be read, unless they are there."""
    if probe.is_numbered:
        return
    known = pictures.looked_at(warehouse, stored)
    images = (ChunkImage(stored.first_image_id + place, image) for place, image in enumerate(probe.images))
    lacking = ((image, frozenset[Preparation]()) for image in images if image.image_id not in known)
    done = 0
    with quiet_decoding(), closing(prepare_ahead(lacking, max(2, cores()), _AHEAD)) as prepared:
        while found := list(islice(prepared, stored.chunk_images)):
            failures = [each for each in found if isinstance(each, FailedImage)]
            load_pictures(warehouse, [each for each in found if not isinstance(each, FailedImage)], failures)
            done += len(found)
            progress(done)
