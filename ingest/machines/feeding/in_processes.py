"""Images prepared in processes beside this one, some at a time, and what travels between the two."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import groupby, islice
from multiprocessing import resource_tracker

import loky
import numpy as np
import psutil
import torch
from PIL import Image, ImageFile

from neuronlake import NeuronlakeError
from neuronlake.ingest.machines.chunks import ChunkImage, FailedImage, MaskedView, PreparedImage
from neuronlake.ingest.machines.feeding.preparing import Prepare, Wanted
from neuronlake.ingest.machines.feeding.results import result_of
from neuronlake.ingest.networks.preprocessing import Preparation
from neuronlake.ingest.probes.locations import ProbeError
from neuronlake.ingest.probes.sources import Source

# that a process takes at once: handing out a single one costs this process three times as much
_AT_ONCE = 16
_SECONDS_BETWEEN_LOOKS = 1.0


class DecodingError(NeuronlakeError):
    """A process that decodes images has ended."""


@dataclass(frozen=True)
class _HeldBytes(Source):
    """Bytes that this process has read for another, or the reason why it could not."""

    content: bytes
    reason: str = ""

    def read(self) -> bytes:
        """See Source."""
        if self.reason:
            raise ProbeError(self.reason)
        return self.content


@dataclass(frozen=True)
class _Sent:
    """A prepared image on its way: tensors would each travel in a file of shared memory.

    Attributes:
        image: without its pixels and masks.
        pixels: for each preprocessing, in the order in which they were sent; None where they are still to come.
        masks: the same; empty where nobody asks for them.
    """

    image: PreparedImage
    pixels: list[np.ndarray | None]
    masks: list[tuple[np.ndarray, tuple[tuple[int, ...], ...]]]

    @classmethod
    def of(cls, image: PreparedImage, preprocessings: Sequence[Preparation]) -> _Sent:
        """To send."""
        found = [image.pixels.get(each) for each in preprocessings]
        pixels = [None if each is None else each.numpy() for each in found]
        masks = [(view.region.numpy(), view.concepts) for each in preprocessings if (view := image.masks.get(each))]
        return cls(replace(image, pixels={}, masks={}), pixels, masks)

    def received(self, preprocessings: Sequence[Preparation]) -> PreparedImage:
        """As it was."""
        pixels = {
            each: torch.from_numpy(found)
            for each, found in zip(preprocessings, self.pixels, strict=True)
            if found is not None
        }
        masks = {
            each: MaskedView(torch.from_numpy(region), concepts)
            for each, (region, concepts) in zip(preprocessings, self.masks, strict=False)
        }
        return replace(self.image, pixels=pixels, masks=masks)


def prepare_in_processes(
    images: Wanted, processes: int, ahead: int, prepare: Prepare
) -> Generator[PreparedImage | FailedImage]:
    """Prepare in so many processes, at most `ahead` images or some for each before they are asked for, in order.

    To be closed: the processes are ended.

    Raises:
        ChangedImageError: an image is no longer what was listed.
        DecodingError: a process has ended, as when it was killed for memory.
    """
    waiting: deque[tuple[Future[list[_Sent | FailedImage]], tuple[Preparation, ...]]] = deque()
    most = max(ahead // _AT_ONCE, 2 * processes)
    pool = loky.ProcessPoolExecutor(
        processes, initializer=_begin, initargs=(os.getpid(), Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    )
    try:
        for some, preprocessings in _groups(images):
            with _unheard_interrupts():
                waiting.append((pool.submit(_prepare_some, prepare, some, preprocessings), preprocessings))
            if len(waiting) >= most:
                yield from _received(*waiting.popleft())
        while waiting:
            yield from _received(*waiting.popleft())
    except BrokenProcessPool as error:
        raise DecodingError(
            "a process that decodes images has ended, perhaps for lack of memory; run the same command again to go "
            "on, with fewer of them (--decoders N) or with threads (--decoders 0)"
        ) from error
    finally:
        pool.shutdown(wait=True, kill_workers=True)


@contextmanager
def _unheard_interrupts() -> Generator[None]:
    """Within the block processes that start never hear the user's interrupt; this one hears it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    # its start would let interrupts be heard again
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _groups(images: Wanted) -> Generator[tuple[list[ChunkImage], tuple[Preparation, ...]]]:
    """Images that follow each other and are wanted alike, some at a time."""
    for preprocessings, alike in groupby(images, key=lambda wanted: wanted[1]):
        order = tuple(preprocessings)
        while some := [_for_another_process(image) for image, _ in islice(alike, _AT_ONCE)]:
            yield some, order


def _for_another_process(image: ChunkImage) -> ChunkImage:
    """The image, with its bytes where another process would read what lies around them too."""
    source = image.image.source
    if source.is_apart:
        return image
    try:
        held = _HeldBytes(source.read())
    except ProbeError as error:
        held = _HeldBytes(b"", str(error))
    return replace(image, image=replace(image.image, source=held))


def _received(
    sent: Future[list[_Sent | FailedImage]], preprocessings: tuple[Preparation, ...]
) -> Generator[PreparedImage | FailedImage]:
    """What a process has prepared."""
    for each in result_of(sent):
        yield each if isinstance(each, FailedImage) else each.received(preprocessings)


def _begin(first: int, most_pixels: int | None, takes_truncated: bool) -> None:
    """In a process that begins: what the first one has decided for all of its threads."""
    threading.Thread(target=_end_after, args=(first,), daemon=True).start()
    # it goes to all processes of a terminal, and the first one ends the others
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    Image.MAX_IMAGE_PIXELS = most_pixels
    ImageFile.LOAD_TRUNCATED_IMAGES = takes_truncated
    warnings.simplefilter("ignore")


def _end_after(first: int) -> None:
    """End this process once the first one is gone, which may have been killed: nobody reads what is written then."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(first)
        while process.is_running():
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    os._exit(1)


def _prepare_some(
    prepare: Prepare, images: Sequence[ChunkImage], preprocessings: tuple[Preparation, ...]
) -> list[_Sent | FailedImage]:
    """In another process: prepare some images."""
    wanted = frozenset(preprocessings)
    found = (prepare(image, wanted) for image in images)
    return [each if isinstance(each, FailedImage) else _Sent.of(each, preprocessings) for each in found]
