"""One stage of an ingest in a process of its own, so that its memory can be told; started by ingest.py.

    python benchmarks/ingest_stage.py forward NETWORKS DEVICE COUNT PRECISION
    python benchmarks/ingest_stage.py decode NETWORKS DEVICE FOLDER [DECODER]
    python benchmarks/ingest_stage.py ray NETWORKS WORKERS FOLDER CONCEPTS WAREHOUSE

The last line it writes is JSON: `seconds` of the stage without loading Python and networks, and its `rate` in images
a second.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import cast

import torch
from ingest_inputs import Networks

import neuronlake
from neuronlake.ingest.devices import batch_size_for, exact_float32, reduced
from neuronlake.ingest.encoders.variants import variant_of
from neuronlake.ingest.machines.allocator import keep_freed_memory
from neuronlake.ingest.machines.chunks import ChunkImage
from neuronlake.ingest.machines.feeding.ahead import cores, prepare_ahead
from neuronlake.ingest.machines.feeding.in_processes import prepare_in_processes
from neuronlake.ingest.machines.feeding.jpegs import decoded_on
from neuronlake.ingest.machines.feeding.preparing import prepare
from neuronlake.ingest.networks.preprocessing import Decoder, decoded_by
from neuronlake.ingest.networks.running import channels_last
from neuronlake.ingest.probes.decoding import quiet_decoding
from neuronlake.ingest.probes.probe import load_probe
from neuronlake.ingest.recipe import Recipe

_CHUNK_IMAGES = 256


def forward(networks: Networks, device: torch.device, count: int, precision: str) -> dict[str, float]:
    """All networks, one after the other, on batches that lie on the device; the encoder's precision is its own."""
    models, encoder = networks.load()
    batch = batch_size_for(device)
    encoder = variant_of(encoder, precision, "pillow")
    encoder.to(device)
    calls = [(encoder.encode_images, encoder.preprocessing)]
    calls += [(reduced(device, precision)(model.module.to(device)), model.preprocessing) for model in models]
    inputs = [(call, torch.rand(batch, 3, wants.height, wants.width, device=device)) for call, wants in calls]

    def passes(batches: int) -> float:
        started = time.perf_counter()
        with torch.inference_mode():
            for _ in range(batches):
                for call, pixels in inputs:
                    call(pixels)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    with exact_float32(), channels_last(models):
        passes(1)
        batches = max(1, count // batch)
        seconds = passes(batches)
    return {"seconds": seconds, "rate": batches * batch / seconds}


def decode(networks: Networks, device: torch.device, folder: Path, decoder: Decoder) -> dict[str, float]:
    """Reading, decoding and resizing for each network, on threads or beside a GPU in processes, as an ingest does."""
    models, encoder = networks.load()
    wanted = {encoder.preprocessing} | {model.preprocessing for model in models}
    needs = frozenset(decoded_by(preprocessing, decoder) for preprocessing in wanted)
    images = load_probe(folder).images
    work = [(ChunkImage(number, image), needs) for number, image in enumerate(images)]
    ahead = 2 * batch_size_for(device)
    if device.type == "cpu":
        stream = prepare_ahead(work, max(2, cores()), ahead)
    else:
        stream = prepare_in_processes(work, cores(), ahead, prepare)
    if decoder == "nvjpeg":
        stream = decoded_on(stream, device, batch_size_for(device))
    # processes take seconds to start, so the rate is of what comes after the first quarter
    first = len(images) // 4
    with quiet_decoding(), closing(stream):
        started = time.perf_counter()
        for _ in islice(stream, first):
            pass
        running = time.perf_counter()
        for _ in stream:
            pass
    ended = time.perf_counter()
    return {"seconds": ended - started, "rate": (len(images) - first) / (ended - running)}


def extract_on_ray(networks: Networks, workers: int, folder: Path, concepts: Path, path: Path) -> dict[str, float]:
    """Extraction by workers with one core each; they, the writer and Ray itself are held to as many cores."""
    import ray

    if hasattr(os, "sched_setaffinity"):  # not everywhere
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:workers])
    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="error")
    recipe = Recipe(
        models=networks.models,
        layers=networks.layers,
        probes=(str(folder),),
        concepts=(str(concepts),),
        encoder=networks.encoder,
        random_weights=networks.are_by_name,
        device="cpu",
        chunk_images=_CHUNK_IMAGES,
        engine="ray",
        workers=workers,
    )
    with neuronlake.open(path, write=True) as warehouse:
        summary = neuronlake.ingest(warehouse, recipe)
        seconds = warehouse.scalar("select extract_seconds from store.runs")
    ray.shutdown()
    return {"seconds": seconds, "rate": summary.extracted_images / seconds}


def main() -> None:
    """Run the stage that is named, and say how long it took."""
    stage, given, *rest = sys.argv[1:]
    networks = Networks.from_json(given)
    keep_freed_memory()
    if stage == "forward":
        found = forward(networks, torch.device(rest[0]), int(rest[1]), rest[2])
    elif stage == "decode":
        found = decode(networks, torch.device(rest[0]), Path(rest[1]), cast("Decoder", (*rest[2:], "pillow")[0]))
    else:
        found = extract_on_ray(networks, int(rest[0]), *(Path(each) for each in rest[1:]))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
