"""Images prepared before they are asked for, in order: on threads of this process, or in processes beside it.

Decoding and resizing mostly leave Python's lock, so on a processor threads keep all cores busy beside the forward
passes. What holds the lock is a sixth of an image's time (measured): with many cores, threads wait for it, and so do
the kernels' launches on a GPU. There, processes decode, started by loky.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import loky
import torch

from neuronlake.ingest.machines.chunks import Chunk, FailedImage, PreparedImage
from neuronlake.ingest.machines.feeding.in_processes import prepare_in_processes
from neuronlake.ingest.machines.feeding.jpegs import decoded_on, require_decoder
from neuronlake.ingest.machines.feeding.preparing import Prepare, Wanted, prepare
from neuronlake.ingest.machines.feeding.results import result_of
from neuronlake.ingest.machines.loaded import LoadedNetworks
from neuronlake.ingest.probes.decoding import has_foreign_formats
from neuronlake.ingest.probes.sources import Turns

# fewer are decoded on threads before processes have started
_FEWEST_IMAGES_FOR_PROCESSES = 2_000


def cores() -> int:
    """Of the machine, as far as this process may use them."""
    return loky.cpu_count()


@dataclass(frozen=True)
class Decoders:
    """What decodes images.

    Attributes:
        count: how many at once.
        are_processes: whether they are processes beside this one, or its threads.
    """

    count: int
    are_processes: bool = False


def decoders_for(device: torch.device, networks: LoadedNetworks, images: int, processes: int | None) -> Decoders:
    """What decodes images for networks on a device.

    Args:
        device: of the networks.
        networks: a user's own transform stays in this process: another may not find its code. So does everything where
            the program has taught Pillow more formats.
        images: how many there are.
        processes: that are asked for, 0 for threads; by device, cores and images where None.
    """
    can_travel = all(each.travels for each in networks.preprocessings) and not has_foreign_formats()
    if processes is None:
        processes = cores() if device.type != "cpu" and images >= _FEWEST_IMAGES_FOR_PROCESSES else 0
    if processes and can_travel:
        return Decoders(processes, are_processes=True)
    return Decoders(max(2, cores()))


def prepare_ahead(
    images: Wanted, workers: int, ahead: int, prepare: Prepare = prepare
) -> Generator[PreparedImage | FailedImage]:
    """Prepare on `workers` threads, at most `ahead` images before they are asked for, in order.

    To be closed: the threads are waited for, and an interrupt while Python does that by itself would be passed over.

    Raises:
        ChangedImageError: an image is no longer what was listed.
    """
    waiting: deque[Future[PreparedImage | FailedImage]] = deque()
    turns = Turns()
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool_of_threads:
        try:
            for image, preprocessings in images:
                source = turns.hand_out(image.image.source)
                in_turn = replace(image, image=replace(image.image, source=source))
                future = pool_of_threads.submit(prepare, in_turn, preprocessings)
                future.add_done_callback(lambda _, source=source: turns.take_back(source))
                waiting.append(future)
                if len(waiting) >= ahead:
                    yield result_of(waiting.popleft())
            while waiting:
                yield result_of(waiting.popleft())
        finally:
            pool_of_threads.shutdown(wait=True, cancel_futures=True)


def decoded_ahead(
    networks: LoadedNetworks,
    chunks: Sequence[Chunk],
    device: torch.device,
    batch: int,
    decoders: Decoders,
    prepare: Prepare = prepare,
) -> Generator[PreparedImage | FailedImage]:
    """All images of all chunks, each as the networks want it that lack it, two batches ahead.

    To be closed, see `prepare_ahead`.

    Args:
        networks: that see them.
        chunks: of images.
        device: of the networks, which may decode too.
        batch: how many images they take at once.
        decoders: what decodes.
        prepare: what is done with each image.

    Raises:
        ChangedImageError: an image is no longer what was listed.
        DecodingError: a process that decodes has ended.
        DecoderError: what the networks' images are to be decoded by is not here.
        DeviceMemoryError: the device has too little memory to decode a single image.
    """
    for preprocessing in networks.preprocessings:
        require_decoder(preprocessing.decoder, device)
    wanted = (
        (image, preprocessings)
        for chunk in chunks
        for preprocessings in [networks.wanted_by(chunk).preprocessings]
        for image in chunk.images
    )
    start = prepare_in_processes if decoders.are_processes else prepare_ahead
    stream = start(wanted, decoders.count, 2 * batch, prepare)
    are_for_gpu = any(preprocessing.decoder == "nvjpeg" for preprocessing in networks.preprocessings)
    return decoded_on(stream, device, batch) if are_for_gpu else stream
