"""The images of a probe read once: the sha256 of each, and whether any can be decoded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from neuronlake.ingest.probes.decoding import decode, quiet_decoding
from neuronlake.ingest.probes.failure_limit import FailureLimit
from neuronlake.ingest.probes.locations import ProbeError
from neuronlake.ingest.probes.sources import ProbeImage

_HASHED_AT_ONCE = 16


def hash_images(
    images: Sequence[ProbeImage], failures: FailureLimit, progress: Callable[[int, int], None]
) -> list[ProbeImage]:
    """The images with the sha256 of their contents, or with none where they cannot be read.

    What is missing is found before anything is read, so that a list of names that lead nowhere ends at once.

    Raises:
        ProbeError: more cannot be read than `failures` allows.
    """
    present: list[int] = []
    for place, image in enumerate(images):
        if image.source.exists():
            present.append(place)
        else:
            failures.add(place, image.path, "there is no such file")
    hashed = list(images)
    batches = [present[start : start + _HASHED_AT_ONCE] for start in range(0, len(present), _HASHED_AT_ONCE)]
    # what is cheap in its order, such as rows of a Parquet file, one thread takes in it
    with ThreadPoolExecutor() as pool, ThreadPoolExecutor(1) as in_order:
        try:
            futures: list[Future[list[tuple[str, str]]]] = []
            for batch in batches:
                some = [images[place] for place in batch]
                is_ordered = any(image.source.in_order for image in some)
                futures.append((in_order if is_ordered else pool).submit(_digests, some))
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
