"""A whole ingest beside its limit, and beside CLIP-Dissect: two ResNet-18s and CLIP ViT-B/16, with random weights.

    python benchmarks/ingest.py
    python benchmarks/ingest.py --reference PATH_TO_CLIP_DISSECT
    python benchmarks/ingest.py --device cuda --images 1000 8000

The limit is the slower of (a) the forward passes of all networks on tensors that lie on the device already, and
(b) decoding alone; both use all cores when alone. (c) is `cli ingest` as a user types it; (d) is CLIP-Dissect's own
`utils.save_activations` for the same models and layers. Rates of (c) and (d) are of the images beyond the smaller
number, so that the time to load Python and the networks, which does not grow, is left out; it is printed as well.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image

from neuronlake.ingest.encoders import load_encoder
from neuronlake.ingest.extract import ChunkImage, prepare_ahead
from neuronlake.ingest.locations import Location
from neuronlake.ingest.memory import keep_freed_memory
from neuronlake.ingest.models import load_model
from neuronlake.ingest.plan import batch_size_for, resolve_device
from neuronlake.ingest.probe_sources import FileBytes

MODELS = ("resnet18-imagenet", "resnet18-places365")
LAYERS = ("layer3", "layer4", "fc")
ARCHITECTURE = "ViT-B-16"
CONCEPTS = [f"concept {number}" for number in range(64)]
SIZE = (500, 375)  # the median photograph of ImageNet


@dataclass(frozen=True)
class Run:
    """A process that did a whole job."""

    seconds: float
    memory: float


def write_photographs(folder: Path, count: int) -> None:
    """JPEG files with the detail of photographs."""
    random = np.random.default_rng(0)
    (folder / "all").mkdir(parents=True)
    for number in range(count):
        coarse = random.integers(0, 256, (SIZE[1] // 6, SIZE[0] // 6, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC)
        image.save(folder / "all" / f"{number:06}.jpg", quality=90)


def write_encoder(folder: Path) -> None:
    """CLIP ViT-B/16 with random weights, as a folder that open_clip loads."""
    folder.mkdir()
    torch.manual_seed(0)
    module: Any = open_clip.create_model(ARCHITECTURE, pretrained=None, force_quick_gelu=True)
    config = {"model_cfg": {**(open_clip.get_model_config(ARCHITECTURE) or {}), "quick_gelu": True}}
    (folder / "open_clip_config.json").write_text(json.dumps({**config, "preprocess_cfg": {"size": 224}}))
    torch.save(module.state_dict(), folder / "open_clip_pytorch_model.bin")


def forward_rate(encoder_folder: Path, device: torch.device, batch: int) -> float:
    """(a): images a second of all networks, one after the other, on batches that lie on the device."""
    models = [load_model(name, random_weights=True) for name in MODELS]
    encoder = load_encoder(f"local-dir:{encoder_folder}")
    for model in models:
        model.module.to(device)
    encoder.to(device)
    pixels = torch.rand(batch, 3, 224, 224, device=device)

    def once() -> float:
        started = time.perf_counter()
        with torch.inference_mode():
            for model in models:
                model.module(pixels)
            encoder.encode_images(pixels)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    once()
    return batch / min(once() for _ in range(5))


def decode_rate(folder: Path, encoder_folder: Path, batch: int) -> float:
    """(b): images a second of reading, decoding and resizing for each network."""
    models = [load_model(name, random_weights=True) for name in MODELS]
    needs = frozenset(
        {model.preprocessing for model in models} | {load_encoder(f"local-dir:{encoder_folder}").preprocessing}
    )
    files = sorted(folder.rglob("*.jpg"))
    work = [(ChunkImage(number, FileBytes(Location(str(file)))), needs) for number, file in enumerate(files)]
    started = time.perf_counter()
    for _ in prepare_ahead(work, workers=max(2, os.cpu_count() or 2), ahead=2 * batch):
        pass
    return len(files) / (time.perf_counter() - started)


def run(command: list[str], environment: dict[str, str] | None = None) -> Run:
    """Run a process to its end; its time, and its memory at the highest in bytes."""
    started = time.perf_counter()
    process = subprocess.Popen(command, env={**os.environ, **(environment or {})})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with status {process.returncode}")
    return Run(time.perf_counter() - started, usage.ru_maxrss * 1024)


def ingest(folder: Path, work: Path, device: str) -> Run:
    """(c): the command line, into a new warehouse."""
    concepts, warehouse = work / "concepts.txt", work / "benchmark.duckdb"
    concepts.write_text("\n".join(CONCEPTS))
    warehouse.unlink(missing_ok=True)
    models = [argument for name in MODELS for argument in ("--model", name)]
    return run(
        [
            *(sys.executable, "-m", "neuronlake.cli", "ingest", *models, "--layers", ",".join(LAYERS)),
            *("--probe", str(folder), "--concepts", str(concepts), "--encoder", f"local-dir:{work / 'encoder'}"),
            *("--random-weights", "--device", device, "--warehouse", str(warehouse)),
        ]
    )


def reference(folder: Path, work: Path, device: str, clone: Path) -> Run:
    """(d): CLIP-Dissect's save_activations for each model, which reads the images anew each time."""
    saved = tempfile.mkdtemp(dir=work)
    script = Path(__file__).parent / "clip_dissect_run.py"
    arguments = [str(clone), str(folder), str(work / "encoder"), device, saved, *MODELS]
    return run([sys.executable, str(script), *arguments], {"CONCEPTS": "\n".join(CONCEPTS)})


def main() -> None:
    """Print rates, shares and memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, help="a clone of CLIP-Dissect")
    parser.add_argument("--images", type=int, nargs=2, help="a smaller and a larger number")
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    device = resolve_device(chosen.device)
    few, many = chosen.images or ((64, 256) if device.type == "cpu" else (1000, 8000))
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for count in (few, many):
            write_photographs(work / str(count), count)
        write_encoder(work / "encoder")
        where = (
            torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
        )
        print(f"{few} and {many} images of {SIZE[0]} x {SIZE[1]} pixels, {where}")
        batch = batch_size_for(device)
        limits = forward_rate(work / "encoder", device, batch), decode_rate(work / str(many), work / "encoder", batch)
        limit = min(limits)
        print(f"(a) forward passes   {limits[0]:8.2f} images/s\n(b) decoding         {limits[1]:8.2f} images/s")
        ours = [ingest(work / str(count), work, chosen.device) for count in (few, many)]
        rate = (many - few) / (ours[1].seconds - ours[0].seconds)
        print(f"(c) cli ingest       {rate:8.2f} images/s, {rate / limit:.0%} of the limit")
        print_growth(ours, few, many)
        if chosen.reference:
            theirs = [reference(work / str(count), work, device.type, chosen.reference) for count in (few, many)]
            their_rate = (many - few) / (theirs[1].seconds - theirs[0].seconds)
            print(f"(d) CLIP-Dissect     {their_rate:8.2f} images/s; (c) is {rate / their_rate:.2f} times as fast")
            print_growth(theirs, few, many)


def print_growth(runs: list[Run], few: int, many: int) -> None:
    """Whole seconds and memory at both sizes."""
    for count, each in zip((few, many), runs, strict=True):
        print(f"    {count} images: {each.seconds:.1f} s in all, {each.memory / 1e9:.2f} GB at the highest")


if __name__ == "__main__":
    main()
