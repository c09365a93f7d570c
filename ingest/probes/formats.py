"""The forms that a probe may have: one table of how each is told from the others, and what reads it.

A new one is a file of its own, which turns a location into images, and a line in FORMATS.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from neuronlake.ingest.probes.broden import broden_images, is_broden
from neuronlake.ingest.probes.lists import csv_images
from neuronlake.ingest.probes.locations import Location, ProbeError
from neuronlake.ingest.probes.parquet import forget_rows, parquet_images
from neuronlake.ingest.probes.sources import FileBytes, ProbeImage, folder_label, is_image_name, readable_text
from neuronlake.ingest.probes.tars import tar_images
from neuronlake.ingest.probes.torchvision_datasets import PREFIX, dataset_images, forget_datasets

KINDS = "a folder of images, a csv or Parquet list, a Parquet file with images, or tar files"
_MOST_SHARDS = 100_000


@dataclass(frozen=True)
class Format:
    """A form that a probe may have, told by how a user writes it, by a file's ending or by what is in a folder.

    Attributes:
        images: what reads it: a location to its images, whose bytes are not read yet.
        prefix: what stands before a name that is no path.
        suffix: the ending of its files.
        is_shard: whether all such files in a folder without images are one probe.
        is_in: whether a folder has this form.
        forget: lets go of what it keeps in memory between images: by the next run its files may be others.
    """

    images: Callable[[Location], list[ProbeImage]]
    prefix: str = ""
    suffix: str = ""
    is_shard: bool = False
    is_in: Callable[[Location], bool] | None = None
    forget: Callable[[], None] | None = None


def forget_all() -> None:
    """Let go of what was kept in memory: the same files may be others by the next run of this process."""
    for each in FORMATS:
        if each.forget:
            each.forget()


def _of_file(file: Location) -> Format | None:
    """The form of a file of many images that has this name."""
    suffix = file.name.rpartition(".")[2].lower()
    return next((each for each in FORMATS if each.suffix and each.suffix == suffix), None)


def list_images(text: str) -> list[ProbeImage]:
    """The images of a probe, not yet read.

    Raises:
        ProbeError: there is no such probe, or it has no images.
    """
    named = next((each for each in FORMATS if each.prefix and text.startswith(each.prefix)), None)
    if named:
        return named.images(Location(text))
    shards = list(dict.fromkeys(islice(expand(text), _MOST_SHARDS + 1)))
    if len(shards) > _MOST_SHARDS:
        raise ProbeError(f"{text} names more than {_MOST_SHARDS:,} files; name fewer, or the folder that they lie in")
    location = Location.of(text)
    if len(shards) > 1:
        names = [shard.rpartition("/")[2] for shard in shards]
        images = _shard_images([Location.of(shard) for shard in shards], names if _all_differ(names) else shards)
    elif not (_of_file(location) and location.is_file()) and location.is_folder():
        images = next(each for each in FORMATS if each.is_in and each.is_in(location)).images(location)
    else:
        images = _file_images(location)
    if not images:
        raise ProbeError(f"{location} holds no images; it needs files such as .jpg or .png, at any depth")
    return images


def _all_differ(names: Sequence[str]) -> bool:
    """Whether no name is there twice."""
    return len(set(names)) == len(names)


def expand(text: str) -> Iterator[str]:
    """A name with ``{000..003}`` or ``{a,b}`` in it as all the names that it stands for."""
    found = re.search(r"\{(\d{1,18})\.\.(\d{1,18})\}|\{([^{}]*,[^{}]*)\}", text)
    if found is None:
        yield text
        return
    first, last, choices = found.groups()
    values = choices.split(",") if choices else (f"{n:0{len(first)}}" for n in range(int(first), int(last) + 1))
    for value in values:
        yield from expand(text[: found.start()] + value + text[found.end() :])


def _folder_images(folder: Location) -> list[ProbeImage]:
    """The images in a folder, or else in the shards that lie there."""
    files = folder.files()
    images = [
        ProbeImage(text := readable_text(path), folder_label(text), FileBytes(folder.join(path)))
        for path in files
        if is_image_name(path)
    ]
    for suffix in [each.suffix for each in FORMATS if each.is_shard]:
        shards = [path for path in files if path.endswith(f".{suffix}")]
        if shards and not images:
            images = _shard_images([folder.join(path) for path in shards], shards)
    return images


def _shard_images(shards: Sequence[Location], names: Sequence[str]) -> list[ProbeImage]:
    """The images of all shards, their paths beginning with the shard's name."""
    return [
        replace(image, path=f"{name}/{image.path}")
        for shard, name in zip(shards, names, strict=True)
        for image in _file_images(shard)
    ]


def _file_images(file: Location) -> list[ProbeImage]:
    """The images of one list, tar or table.

    Raises:
        ProbeError: there is no such file, or nothing reads it.
    """
    if not file.is_file():
        raise ProbeError(f"there is no {file}; --probe takes {KINDS}")
    form = _of_file(file)
    if form is None:
        compressed = re.search(r"\.(tgz|(tar|csv)\.\w+)$", file.name)
        hint = "uncompress it first" if compressed else f"--probe takes {KINDS}"
        raise ProbeError(f"{file} is no probe that can be read; {hint}")
    return form.images(file)


def without_suffix(name: str) -> str:
    """A file's name without the ending that says its form."""
    return re.sub(rf"\.({'|'.join(each.suffix for each in FORMATS if each.suffix)})$", "", name)


# the first that fits counts
FORMATS = (
    Format(lambda place: dataset_images(place.path), prefix=PREFIX, forget=forget_datasets),
    Format(tar_images, suffix="tar", is_shard=True),
    Format(parquet_images, suffix="parquet", is_shard=True, forget=forget_rows),
    Format(csv_images, suffix="csv"),
    Format(broden_images, is_in=is_broden),
    Format(_folder_images, is_in=lambda _any: True),
)
