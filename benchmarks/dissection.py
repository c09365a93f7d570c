"""Network Dissection's two passes over the images beside the forward passes alone: how fast, and how much memory.

    python benchmarks/dissection.py
    python benchmarks/dissection.py --layers layer4 --images 1000 --sides 112

Pictures of 224 x 224 pixels with masks of 100 concepts are rendered, and `neuronlake.ingest` dissects a layer of a
ResNet-18 with random weights, in a process of its own. A pass lasts from its first image to what comes after it, its
writes included. The forward passes alone are the network up to the layer on one batch that lies in memory, laid out
as the ingest does it, with as many threads; they are measured before and after the ingest, because other work on the
machine may slow down either. Memory is that of the whole process at its highest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from measured_process import run
from PIL import Image
from scipy.ndimage import gaussian_filter

import neuronlake
from neuronlake.ingest.devices import batch_size_for, device_name
from neuronlake.ingest.layers.choosing import frame_of
from neuronlake.ingest.layers.passes import read_maps
from neuronlake.ingest.layers.readings import Reading
from neuronlake.ingest.layers.spellings import Place
from neuronlake.ingest.machines.allocator import keep_freed_memory
from neuronlake.ingest.networks.models import load_model
from neuronlake.ingest.networks.running import channels_last
from neuronlake.ingest.recipe import Recipe

CONCEPTS = 100
_CATEGORIES = ("object", "part", "color", "texture")
_SIDE = 224
_CONCEPTS_EACH = 8
_MODEL = "resnet18-imagenet"
# as the ingest's progress names them
_PASSES = ("Seeking thresholds", "Comparing with masks")


def write_probe(folder: Path, images: int, side: int) -> None:
    """Pictures of smooth patches, and label images of a side that say which of 100 concepts each patch is."""
    random = np.random.default_rng(0)
    colors = random.integers(0, 256, (CONCEPTS, 3))
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(images):
        concepts = random.choice(CONCEPTS, _CONCEPTS_EACH, replace=False)
        heights = gaussian_filter(random.standard_normal((_CONCEPTS_EACH, 56, 56)), (0, 6, 6)).argmax(axis=0)
        labels = Image.fromarray(concepts[heights].astype(np.uint8))
        labels.resize((side, side), Image.Resampling.NEAREST).save(folder / "masks" / f"{number:05}.png")
        large = np.asarray(labels.resize((_SIDE, _SIDE), Image.Resampling.NEAREST))
        noise = gaussian_filter(random.normal(0, 60, (_SIDE, _SIDE, 3)), (1, 1, 0))
        pixels = (colors[large] + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number:05}.jpg", quality=90)
    rows = [f"{value},concept {value},{_CATEGORIES[value % len(_CATEGORIES)]}" for value in range(CONCEPTS)]
    (folder / "classes.csv").write_text("\n".join(["value,concept,category", *rows]))


def forward_rate(layer: str, device: torch.device, images: int) -> float:
    """Images a second of the network up to the layer."""
    model = load_model(_MODEL, random_weights=True)
    batch = torch.rand(batch_size_for(device), 3, _SIDE, _SIDE, device=device)
    model.module.to(device)
    readings = [Reading(model.name, Place(layer, layer), frame_of(model), calls=1)]

    def passes(batches: int) -> float:
        started = time.perf_counter()
        for _ in range(batches):
            # the copy ends when the device has done its work
            read_maps(model, readings, batch)[layer][:1].cpu()
        return time.perf_counter() - started

    batches = max(1, images // len(batch))
    with channels_last([model]), torch.inference_mode():
        passes(1)
        return batches * len(batch) / passes(batches)


def dissect(folder: Path, layer: str, device: torch.device, images: int) -> dict[str, float]:
    """Rates in images a second: of the forward passes alone, and of each pass."""
    keep_freed_memory()
    first_seen: dict[str, float] = {}

    def progress(stage: str, _seen: int, _total: int) -> None:
        first_seen.setdefault(stage, time.perf_counter())

    recipe = Recipe(
        models=(_MODEL,),
        random_weights=True,
        layers=(layer,),
        probes=(str(folder / "images"),),
        masks=str(folder / "masks"),
        mask_labels=folder / "classes.csv",
        method="network_dissection",
        device=str(device),
    )
    before = forward_rate(layer, device, images)
    with neuronlake.open(folder / "benchmark.duckdb", write=True) as warehouse:
        neuronlake.ingest(warehouse, recipe, progress=progress)
    after = forward_rate(layer, device, images)
    times = list(first_seen.values())
    lasted = {stage: next(t for t in times if t > first_seen[stage]) - first_seen[stage] for stage in _PASSES}
    rates = {stage: images / seconds for stage, seconds in lasted.items()}
    return {"forward": statistics.harmonic_mean([before, after])} | rates


def main() -> None:
    """A line for each layer and size of masks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", nargs="+", default=["layer4", "layer3", "layer1"])
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--sides", type=int, nargs="+", default=[112, 448], help="of the label images, in pixels")
    parser.add_argument("--repeat", type=int, default=1, help="how often each is measured")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dissect", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    device = torch.device(chosen.device)
    if chosen.dissect:
        print(json.dumps(dissect(chosen.dissect, chosen.layers[0], device, chosen.images)))
        return
    print(f"{chosen.images} images of {_SIDE} x {_SIDE}, {CONCEPTS} concepts, {device_name(device)}")
    print(f"{'layer':8}{'masks':>6}{'forward passes':>20}{'thresholds':>21}{'masks':>21}{'memory':>10}")
    for side in chosen.sides:
        for layer in chosen.layers:
            for _ in range(chosen.repeat):
                with tempfile.TemporaryDirectory() as name:
                    write_probe(Path(name), chosen.images, side)
                    stage = ["--dissect", name, "--layers", layer, "--images", str(chosen.images)]
                    done = run([sys.executable, __file__, *stage, "--device", chosen.device])
                forward, *passes = done.said.values()
                cells = "".join(f"{rate:9.1f} /s {rate / forward:7.0%}  " for rate in passes)
                print(f"{layer:8}{side:6}{forward:11.1f} images/s  {cells}{done.memory / 1e9:6.2f} GB", flush=True)


if __name__ == "__main__":
    main()
