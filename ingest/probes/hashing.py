"""The images of a probe read once: the sha256 of each and of its masks, and whether any can be decoded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from neuronlake.ingest.probes.decoding import decode, quiet_decoding
from neuronlake.ingest.probes.failure_limit import FailureLimit
from neuronlake.ingest.probes.locations import ProbeError
from neuronlake.ingest.probes.masks.base import ImageMasks
from neuronlake.ingest.probes.masks.checking import checked, first_of
from neuronlake.ingest.probes.sources import ProbeImage

_HASHED_AT_ONCE = 16


def hash_images(
    images: Sequence[ProbeImage], failures: FailureLimit, progress: Callable[[int, int], None]
) -> list[ProbeImage]:
    """The images with the sha256 of their contents, or with none where they cannot be read; and so their masks.

    What is missing is found before anything is read, so that a list of names that lead nowhere ends at once. Masks are
    decoded too: whatever is wrong with one shows before anything is computed.

    Raises:
        ProbeError: more cannot be read than `failures` allows, or masks do not fit.
    """
    present: list[int] = []
    for place, image in enumerate(images):
        if image.source.exists():
            present.append(place)
        else:
            failures.add(place, image.path, "there is no such file")
    hashed = list(images)
    faults: list[str] = []
    batches = [present[start : start + _HASHED_AT_ONCE] for start in range(0, len(present), _HASHED_AT_ONCE)]
    # what is cheap in its order, such as rows of a Parquet file, one thread takes in it
    with quiet_decoding(), ThreadPoolExecutor() as pool, ThreadPoolExecutor(1) as in_order:
        try:
            futures: list[Future[list[_Read]]] = []
            for batch in batches:
                some = [images[place] for place in batch]
                is_ordered = any(image.source.in_order for image in some)
                futures.append((in_order if is_ordered else pool).submit(_read_all, some))
            for batch, future in zip(batches, futures, strict=True):
                for place, read in zip(batch, future.result(), strict=True):
                    if read.reason:
                        failures.add(place, images[place].path, read.reason)
                    if read.fault:
                        faults.append(read.fault)
                    hashed[place] = replace(images[place], sha256=read.sha256, masks=read.masks)
                progress(batch[-1] + 1, len(images))
        finally:
            for threads in (pool, in_order):
                threads.shutdown(wait=True, cancel_futures=True)
    if faults:
        raise ProbeError(first_of(faults))
    return hashed


@dataclass(frozen=True)
class _Read:
    """What came of reading an image: its sha256, or the reason why there is none; and the same of its masks."""

    sha256: str
    reason: str
    masks: ImageMasks | None
    fault: str = ""


def _read_all(images: Sequence[ProbeImage]) -> list[_Read]:
    """What comes of reading each image."""
    return [_read(image) for image in images]


def _read(image: ProbeImage) -> _Read:
    """What comes of reading an image, and its masks where it has some."""
    content, sha256, reason = b"", "", ""
    try:
        content = image.source.read()
        sha256 = hashlib.sha256(content).hexdigest()
    except ProbeError as error:
        reason = str(error)
    try:
        return _Read(sha256, reason, image.masks and checked(image.masks, image.path, content))
    except ProbeError as error:
        return _Read(sha256, reason, image.masks, str(error))


def require_a_readable_image(images: Sequence[ProbeImage], failures: FailureLimit) -> None:
    """Decode images until one can be: a probe of none but other files is refused before anything is written.

    Raises:
        ProbeError: none can be, or more cannot than `failures` allows.
    """
    with quiet_decoding():
        for place, image in enumerate(images):
            try:
                decode(image.source.read())
            except ProbeError as error:
                failures.add(place, image.path, str(error))
            else:
                return
    raise ProbeError("none of the probe's images can be read; its files are missing, damaged or of another kind")
