"""Tar files and WebDataset shards to the images in them: where each begins, and its label; nothing is unpacked."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from neuronlake.ingest.probes.locations import Location, ProbeError
from neuronlake.ingest.probes.sources import ProbeImage, Source, folder_label, is_image_name, readable_text
from neuronlake.sql.words import first_line

# In a WebDataset sample, the members that say what its image shows; the first that is there counts.
_LABEL_SUFFIXES = ("cls", "txt", "json")
# In a json member, the keys that do.
_LABEL_KEYS = ("class_name", "label", "class", "cls", "caption")
_LONGEST_LABEL = 1_000
_LONGEST_JSON = 2**20
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class TarMember(Source):
    """A member of a tar file, read by where it begins: nothing is unpacked."""

    tar: Location
    offset: int
    size: int

    def read(self) -> bytes:
        """Just this member."""
        content = self.tar.read(self.offset, self.size)
        if len(content) != self.size:
            raise ProbeError(f"{self.tar.name} gave {len(content)} of its {self.size} bytes")
        return content


def tar_images(tar: Location) -> list[ProbeImage]:
    """The images of a tar file in the order of their paths, as of a folder.

    Members whose names are equal up to the first dot are one sample, as WebDataset has it: its ``.cls`` or else
    ``.txt`` is the label of its images, or ``label`` or ``class_name`` in its ``.json``. Without these, the folder is.

    Raises:
        ProbeError: the file is no whole, uncompressed tar, or a member's name leads out of it.
    """
    images: dict[str, TarMember] = {}
    labels: dict[tuple[str, str], str] = {}
    with tar.opened() as file:
        for member in _members(tar, file):
            name = _checked_name(tar, member.name)
            key, suffix = _sample(name)
            if is_image_name(name):
                # of two members with one name the later one counts, as in unpacking
                images[name] = TarMember(tar, member.offset_data, member.size)
            elif suffix in _LABEL_SUFFIXES:
                file.seek(member.offset_data)
                longest = _LONGEST_JSON if suffix == "json" else _LONGEST_LABEL
                labels[key, suffix] = _said(file.read(min(member.size, longest)), suffix)
    in_order = sorted(images.items(), key=lambda image: image[0].split("/"))
    return [ProbeImage(name, _label(name, labels), source) for name, source in in_order]


def _said(content: bytes, suffix: str) -> str:
    """The label in a member: its first line, or a value of a json object; empty where there is none."""
    text = content.decode("utf-8", errors="replace").strip()
    if suffix != "json":
        return text.partition("\n")[0].strip()
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    given = (found.get(key) for key in _LABEL_KEYS) if isinstance(found, dict) else iter(())
    value = next((value for value in given if isinstance(value, str | int) and not isinstance(value, bool)), "")
    return str(value)[:_LONGEST_LABEL].strip()


def _members(tar: Location, file: IO[bytes]) -> Iterator[tarfile.TarInfo]:
    """The files in a tar.

    Raises:
        ProbeError: it is no tar, or ends too early.
    """
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            seen: list[tarfile.TarInfo] = vars(archive)["members"]
            while member := archive.next():
                # what was read before is not needed: memory stays flat however many members there are
                seen.clear()
                if member.isreg() and not member.issparse():
                    yield member
            # a tar ends with blocks of zeros; tarfile also ends, without a word, at a cut and at rubbish
            file.seek(archive.offset)
            if file.read(_BLOCK) != bytes(_BLOCK):
                raise ProbeError(f"{tar} is cut short or damaged after {archive.offset} bytes; get it again")
    except tarfile.TarError as error:
        is_compressed = tar.name.endswith(("gz", "bz2", "xz", "zst"))
        hint = "uncompress it first" if is_compressed else "it may be cut short: get it again"
        raise ProbeError(f"{tar} cannot be read as a tar ({first_line(error)}); {hint}") from error


def _checked_name(tar: Location, name: str) -> str:
    """A member's name without a leading ``./``.

    Raises:
        ProbeError: it would lie outside of the folder that the tar is unpacked in.
    """
    parts = name.replace("\\", "/").split("/")
    if parts[0] == "" or ".." in parts:
        raise ProbeError(f"{tar} has a member {name!r}, which leads out of it; make the tar again without such names")
    return readable_text("/".join(part for part in name.split("/") if part != "."))


def _sample(name: str) -> tuple[str, str]:
    """A member's sample and suffix: what stands before and after the first dot of the file's name."""
    folder, slash, base = name.rpartition("/")
    stem, _, suffix = base.partition(".")
    return f"{folder}{slash}{stem}", suffix.lower()


def _label(name: str, labels: dict[tuple[str, str], str]) -> str | None:
    """What the sample's label file says, or else the name of the image's folder."""
    key, _ = _sample(name)
    given = (labels.get((key, suffix)) for suffix in _LABEL_SUFFIXES)
    return next((label for label in given if label), None) or folder_label(name)
