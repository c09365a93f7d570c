"""Probes: folders, lists, tars and tables to images, told apart by their contents."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from neuronlake.ingest.names import Part, renamed, require_names_differ, split_name
from neuronlake.ingest.probes.broden import broden_images, is_broden
from neuronlake.ingest.probes.decoding import decode, quiet_decoding
from neuronlake.ingest.probes.failure_limit import FailureLimit
from neuronlake.ingest.probes.lists import csv_images, parquet_images
from neuronlake.ingest.probes.locations import Location, ProbeError, is_address
from neuronlake.ingest.probes.parquet import forget_streams
from neuronlake.ingest.probes.sources import (
    FileBytes,
    ParquetRow,
    ProbeImage,
    folder_label,
    forget_rows,
    is_image_name,
    readable_text,
)
from neuronlake.ingest.probes.tars import tar_images
from neuronlake.ingest.probes.torchvision_datasets import dataset_images, dataset_name, forget_datasets, is_dataset
from neuronlake.sql.store.names import Entry

# What reads a file of many images, by its ending.
_READERS: dict[str, Callable[[Location], list[ProbeImage]]] = {
    "csv": csv_images,
    "parquet": parquet_images,
    "tar": tar_images,
}
_SHARDS = ("tar", "parquet")
_KINDS = "a folder of images, a csv or Parquet list, a Parquet file with images, or tar files"
_HASHED_AT_ONCE = 16
_MOST_SHARDS = 100_000


@dataclass(frozen=True)
class Probe:
    """A set of images, in the order of their list, or else of their paths.

    `is_numbered` says that of its images nothing is known but their number; their `sha256` tell only the probe apart.
    """

    name: str
    images: tuple[ProbeImage, ...]
    parts: tuple[Part, ...]
    is_numbered: bool = False

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
        """sha256 over the paths and contents of all images, and over labels that do not follow from the paths."""
        digest = hashlib.sha256()
        for image in self.images:
            path = image.path.removeprefix(f"{image.part}/") if image.part else image.path
            label = image.label or ""
            said = "" if label == (folder_label(path) or "") else f"\0{label}"
            digest.update(f"{image.path}\0{image.sha256}{said}\n".encode())
        return digest.hexdigest()


def load_probe(
    *locations: str | Path,
    limit: int | None = None,
    seed: int = 0,
    max_failures: int | None = None,
    progress: Callable[[int, int], None] | None = None,
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
        progress: called with the number of images done and of all images.

    Raises:
        ProbeError: there is no such probe, it is given twice, or has no image, or too many that cannot be read.
        NameTakenError: two of them have one name.
    """
    parts = check_probes(locations)
    for forget in (forget_rows, forget_streams, forget_datasets):
        forget()
    name, images = _combine([(part.name, _list_images(part.spec)) for part in parts])
    if limit is not None and limit < len(images):
        name = f"{name}:{limit}"
        places = random.Random(seed).sample(range(len(images)), limit)  # noqa: S311  no secret
        images = [images[place] for place in sorted(places)]
    failures = FailureLimit(name, len(images), max_failures)
    hashed = _hash(images, failures, progress or (lambda _done, _total: None))
    _require_a_readable_image(hashed, failures)
    return Probe(name, tuple(hashed), tuple(parts))


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
                raise ProbeError(f"there is no {path}; --probe takes {_KINDS}")
    _require_each_once([part.spec for part in parts])
    require_names_differ("--probe", parts, "probes")
    return parts


def split_probe(text: str) -> tuple[str | None, str]:
    """``NAME=PROBE`` as name and probe; a pattern exists where the first file does that it stands for."""
    return (None, text) if Path(next(_expand(text), text)).expanduser().exists() else split_name(text)


def _part(text: str) -> Part:
    """A probe and what it is called: as the user says, or as the last part of its path."""
    given, spec = split_probe(text)
    if given or is_dataset(spec):
        return Part(given or dataset_name(spec), spec)
    return Part(re.sub(r"\.(csv|parquet|tar)$", "", Location.of(spec).name), spec)


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


def _list_images(text: str) -> list[ProbeImage]:
    """The images of a probe, not yet read."""
    if is_dataset(text):
        return dataset_images(text)
    shards = list(dict.fromkeys(islice(_expand(text), _MOST_SHARDS + 1)))
    if len(shards) > _MOST_SHARDS:
        raise ProbeError(f"{text} names more than {_MOST_SHARDS:,} files; name fewer, or the folder that they lie in")
    location = Location.of(text)
    if len(shards) > 1:
        names = [shard.rpartition("/")[2] for shard in shards]
        images = _shard_images([Location.of(shard) for shard in shards], names if _all_differ(names) else shards)
    elif not (_reader(location) and location.is_file()) and location.is_folder():
        images = _folder_images(location)
    else:
        images = _file_images(location)
    if not images:
        raise ProbeError(f"{location} holds no images; it needs files such as .jpg or .png, at any depth")
    return images


def _reader(file: Location) -> Callable[[Location], list[ProbeImage]] | None:
    """What reads a file of many images that has this name."""
    return _READERS.get(file.name.rpartition(".")[2].lower())


def _all_differ(names: Sequence[str]) -> bool:
    """Whether no name is there twice."""
    return len(set(names)) == len(names)


def _expand(text: str) -> Iterator[str]:
    """A name with ``{000..003}`` or ``{a,b}`` in it as all the names that it stands for."""
    found = re.search(r"\{(\d{1,18})\.\.(\d{1,18})\}|\{([^{}]*,[^{}]*)\}", text)
    if found is None:
        yield text
        return
    first, last, choices = found.groups()
    values = choices.split(",") if choices else (f"{n:0{len(first)}}" for n in range(int(first), int(last) + 1))
    for value in values:
        yield from _expand(text[: found.start()] + value + text[found.end() :])


def _folder_images(folder: Location) -> list[ProbeImage]:
    """The images in a folder, of its index where it is Broden, or in the shards that lie there."""
    if is_broden(folder):
        return broden_images(folder)
    files = folder.files()
    images = [
        ProbeImage(text := readable_text(path), folder_label(text), FileBytes(folder.join(path)))
        for path in files
        if is_image_name(path)
    ]
    for suffix in _SHARDS:
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
        raise ProbeError(f"there is no {file}; --probe takes {_KINDS}")
    reader = _reader(file)
    if reader is None:
        compressed = re.search(r"\.(tgz|(tar|csv)\.\w+)$", file.name)
        hint = "uncompress it first" if compressed else f"--probe takes {_KINDS}"
        raise ProbeError(f"{file} is no probe that can be read; {hint}")
    return reader(file)


def _hash(
    images: Sequence[ProbeImage], failures: FailureLimit, progress: Callable[[int, int], None]
) -> list[ProbeImage]:
    """The images with the sha256 of their contents, or with none where they cannot be read.

    What is missing is found before anything is read, so that a list of names that lead nowhere ends at once.
    """
    present: list[int] = []
    for place, image in enumerate(images):
        if image.source.exists():
            present.append(place)
        else:
            failures.add(place, image.path, "there is no such file")
    hashed = list(images)
    batches = [present[start : start + _HASHED_AT_ONCE] for start in range(0, len(present), _HASHED_AT_ONCE)]
    # rows of a Parquet file are cheap where one thread takes them in their order
    with ThreadPoolExecutor() as pool, ThreadPoolExecutor(1) as in_order:
        try:
            futures: list[Future[list[tuple[str, str]]]] = []
            for batch in batches:
                some = [images[place] for place in batch]
                has_rows = any(isinstance(image.source, ParquetRow) for image in some)
                futures.append((in_order if has_rows else pool).submit(_digests, some))
            for batch, future in zip(batches, futures, strict=True):
                for place, (digest, reason) in zip(batch, future.result(), strict=True):
                    if reason:
                        failures.add(place, images[place].path, reason)
                    hashed[place] = replace(images[place], sha256=digest)
                progress(batch[-1] + 1, len(images))
        finally:
            for threads in (pool, in_order):
                threads.shutdown(wait=True, cancel_futures=True)
    return hashed


def _digests(images: Sequence[ProbeImage]) -> list[tuple[str, str]]:
    """For each image the sha256 of its contents, or none and the reason why not."""
    return [_digest(image) for image in images]


def _digest(image: ProbeImage) -> tuple[str, str]:
    """The sha256 of an image's contents, or none and the reason why not."""
    try:
        return hashlib.sha256(image.source.read()).hexdigest(), ""
    except ProbeError as error:
        return "", str(error)


def _require_a_readable_image(images: Sequence[ProbeImage], failures: FailureLimit) -> None:
    """Decode images until one can be: a probe of none but other files is refused before anything is written."""
    with quiet_decoding():
        for place, image in enumerate(images):
            try:
                decode(image.source.read())
            except ProbeError as error:
                failures.add(place, image.path, str(error))
            else:
                return
    raise ProbeError("none of the probe's images can be read; its files are missing, damaged or of another kind")
