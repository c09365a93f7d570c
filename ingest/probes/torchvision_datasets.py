"""Data sets of torchvision to images, through what each of its classes has in common: items, targets and classes."""

from __future__ import annotations

import inspect
import io
import operator
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps
from torch.utils.data import Dataset
from torchvision import datasets

from neuronlake.ingest.probes.locations import Location, ProbeError
from neuronlake.ingest.probes.sources import FileBytes, ProbeImage, Source, readable_text
from neuronlake.sql.words import did_you_mean, first_line

PREFIX = "torchvision:"
DEFAULT_ROOT = "data"
# Few data sets say whether threads may share them; items are cheap beside what is done with them.
_ONE_AT_A_TIME = threading.RLock()


@dataclass(frozen=True, slots=True)
class DatasetItem(Source):
    """An item of a data set, by its number."""

    is_apart = False
    name: str
    root: str
    item: int

    def read(self) -> bytes:
        """The item's image as an uncompressed TIFF file, which keeps every pixel and is always the same."""
        try:
            with _ONE_AT_A_TIME:
                image = _dataset(self.name, self.root)[self.item][0]
        except (OSError, ValueError, RuntimeError, SyntaxError, TypeError, LookupError) as error:
            raise ProbeError(first_line(error).rstrip(".")) from error
        if not isinstance(image, Image.Image):
            raise ProbeError(f"{PREFIX}{self.name} gives a {type(image).__name__}, not an image")
        buffer = io.BytesIO()
        ImageOps.exif_transpose(image).save(buffer, "TIFF")
        return buffer.getvalue()


def is_dataset(text: str) -> bool:
    """Whether a probe is given as a data set of torchvision."""
    return text.startswith(PREFIX)


def dataset_name(text: str) -> str:
    """The data set's name."""
    return _name_and_root(text)[0]


def absolute_root(text: str) -> str:
    """The same data set, with a folder that means the same wherever it is read from."""
    name, root = _name_and_root(text)
    return f"{PREFIX}{name}@{Path(root).absolute()}"


def _name_and_root(text: str) -> tuple[str, str]:
    """A data set's name and the folder that it lies in."""
    name, _, root = text.removeprefix(PREFIX).partition("@")
    return name, str(Path(root or DEFAULT_ROOT).expanduser())


def dataset_images(text: str) -> list[ProbeImage]:
    """The images of ``torchvision:NAME`` or ``torchvision:NAME@ROOT``, with the names of their classes.

    The data set is made as ``NAME(root=ROOT)``, so it is the split that this gives; nothing is downloaded.

    Raises:
        ProbeError: torchvision has no such data set, or it does not lie in that folder.
    """
    name, root = _name_and_root(text)
    with _ONE_AT_A_TIME:
        dataset = _dataset(name, root)
        classes: Sequence[object] = getattr(dataset, "classes", None) or ()
        if isinstance(dataset, datasets.DatasetFolder):
            paths = [Path(path).relative_to(dataset.root).as_posix() for path, _ in dataset.samples]
            labels = [_class_name(target, classes) for _, target in dataset.samples]
            sources: list[Source] = [FileBytes(Location(path)) for path, _ in dataset.samples]
        else:
            labels = [_class_name(target, classes) for target in _targets(dataset)]
            digits = len(str(len(labels)))
            paths = [f"item-{item:0{digits}}" for item in range(len(labels))]
            sources = [DatasetItem(name, root, item) for item in range(len(labels))]
    rows = zip(paths, labels, sources, strict=True)
    return [ProbeImage(readable_text(path), label, source) for path, label, source in rows]


def forget_datasets() -> None:
    """Let go of the data sets that were made: their files may be others by the next run of this process."""
    with _ONE_AT_A_TIME:
        _dataset.cache_clear()


@lru_cache(maxsize=4)
def _dataset(name: str, root: str) -> Any:
    """The data set, made once in each process.

    Raises:
        ProbeError: there is none of that name, or it cannot be made from the folder.
    """
    known = {
        each: found
        for each, found in vars(datasets).items()
        if isinstance(found, type) and issubclass(found, Dataset) and each in datasets.__all__
    }
    if name not in known:
        hint = did_you_mean(name, known, most=3, cutoff=0.5, otherwise="its documentation lists them")
        raise ProbeError(f"torchvision has no data set {name!r}; {hint}")
    options = {"root": root} if "root" in inspect.signature(known[name]).parameters else {}
    try:
        return known[name](**options)
    except (RuntimeError, OSError, ValueError, TypeError, ImportError) as error:
        reason = first_line(error).rstrip(".")
        raise ProbeError(
            f"{PREFIX}{name} cannot be read from {root} ({reason}); download it there with torchvision, or "
            f"name its folder as {PREFIX}{name}@FOLDER"
        ) from error


def _targets(dataset: Any) -> list[object]:
    """Each item's target: from the list that most data sets keep, or else from the items themselves."""
    for attribute in ("targets", "labels"):
        targets = getattr(dataset, attribute, None)
        if targets is not None and len(targets) == len(dataset):
            return list(targets)
    return [_item_target(dataset, item) for item in range(len(dataset))]


def _item_target(dataset: Any, item: int) -> object:
    """An item's target; None where the item cannot be read, which is found again when its image is."""
    try:
        return dataset[item][1]
    except (OSError, ValueError, RuntimeError, SyntaxError, TypeError, LookupError):
        return None


def _class_name(target: Any, classes: Sequence[object]) -> str | None:
    """The name of a target's class; its number where classes have no names, and None where it is no class."""
    if isinstance(target, str):
        return target
    try:
        number = operator.index(target)
    except TypeError:
        return None
    if number < 0:
        return None
    return str(classes[number]) if number < len(classes) else str(number)
