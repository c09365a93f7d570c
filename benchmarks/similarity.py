"""The similarity functions beside CLIP-Dissect's on the same tensors: speed, agreement and memory.

    python benchmarks/similarity.py
    python benchmarks/similarity.py --reference PATH_TO_CLIP_DISSECT
    python benchmarks/similarity.py --images 100000 --units 2048 --concepts 20000 --draws 1000

Both sides get the product of image and concept embeddings, which is timed by itself. The limit is what the machine
needs to read those cosines once and to write the scores once, at the bandwidth of a copy measured in the same run.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import importlib.util
import io
import os
import sys
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor
from torch.nn.functional import normalize

from neuronlake.ingest.labelers.significance import PseudoUnits
from neuronlake.ingest.labelers.similarity import METHODS, Cosines
from neuronlake.ingest.machines.allocator import keep_freed_memory

DIMENSIONS = 512
REPEATS = 3
MEGABYTE = 1e6


def wait(device: str) -> None:
    """Let the device finish."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def timed(function: Callable[[], Tensor], device: str, repeats: int) -> tuple[float, Tensor]:
    """The shortest of several runs in seconds, and the result."""
    seconds: list[float] = []
    result = torch.empty(0)
    for _ in range(repeats):
        wait(device)
        started = time.perf_counter()
        result = function()
        wait(device)
        seconds.append(time.perf_counter() - started)
    return min(seconds), result


def peak_memory(function: Callable[[], Tensor], device: str) -> float:
    """Bytes above what was in use before, at the highest."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        return torch.cuda.max_memory_allocated() - before
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)  # what earlier functions freed counts again
    process, done = psutil.Process(os.getpid()), threading.Event()
    before = peak = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    function()
    done.set()
    watcher.join()
    return peak - before


def bandwidth(device: str) -> float:
    """Bytes a second of a copy: read and written."""
    source = torch.rand(2**26, device=device)
    target = torch.empty_like(source)
    seconds, _ = timed(lambda: target.copy_(source), device, 5)
    return 2 * 4 * source.numel() / seconds


def tensors(images: int, units: int, concepts: int, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings of images and of concepts, of length 1, and activations (images, units) without ties.

    Ties the reference orders by chance.
    """
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(DIMENSIONS, generator=generator) / 2  # cosines are around 0.2, as CLIP's are
    of_both = [torch.randn(count, DIMENSIONS, generator=generator) + common for count in (images, concepts)]
    of_images, texts = (normalize(features, dim=1).to(device) for features in of_both)
    return of_images, texts, torch.randn(images, units, generator=generator).to(device)


def must_move(images: int, units: int, concepts: int) -> int:
    """Bytes: the cosines read once, the scores written once."""
    return 4 * concepts * (images + units)


def reference_functions(folder: Path) -> Any:
    """CLIP-Dissect's similarity.py; it draws nothing here, so matplotlib may be missing."""
    if importlib.util.find_spec("matplotlib") is None:
        sys.modules["matplotlib"] = types.ModuleType("matplotlib")
        sys.modules["matplotlib.pyplot"] = types.ModuleType("matplotlib.pyplot")
        sys.modules["matplotlib"].pyplot = sys.modules["matplotlib.pyplot"]  # pyright: ignore[reportAttributeAccessIssue]
    spec = importlib.util.spec_from_file_location("clip_dissect_similarity", folder / "similarity.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compare(theirs: Any, name: str, features: tuple[Tensor, Tensor, Tensor], ours: float, scores: Tensor) -> str:
    """The reference's time, and how far its result is from ours."""
    images, texts, activations = features
    product = images @ texts.T
    device = str(images.device)

    def run() -> Tensor:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return getattr(theirs, name)(product, activations, device=device)

    seconds, expected = timed(run, device, REPEATS if ours < 2 else 1)
    same = (expected.argmax(dim=1) == scores.argmax(dim=1)).float().mean().item()
    distance = (expected - scores).abs().max().item()
    return f"{seconds:9.3f} {seconds / ours:7.1f} {same:9.1%} {distance:10.1e}"


def main() -> None:
    """Print a line a function."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, help="a clone of CLIP-Dissect")
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--units", type=int, default=512)
    parser.add_argument("--concepts", type=int, default=10_000)
    parser.add_argument("--draws", type=int, default=0, help="pseudo-units scored beside the units")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    chosen = parser.parse_args()
    keep_freed_memory()
    images, texts, activations = tensors(chosen.images, chosen.units, chosen.concepts, chosen.device)
    pseudo = PseudoUnits(activations, chosen.draws, seed=0) if chosen.draws else None
    name = (
        torch.cuda.get_device_name() if chosen.device.startswith("cuda") else f"cpu, {torch.get_num_threads()} threads"
    )
    print(f"{chosen.images} images, {chosen.units} units, {chosen.concepts} concepts, {chosen.draws} draws, {name}")
    product, _ = timed(lambda: images @ texts[:256].T, chosen.device, REPEATS)
    print(f"product of the embeddings: {product * chosen.concepts / 256:.3f} s, in no time below where it is kept")
    moved = must_move(chosen.images, chosen.units + chosen.draws, chosen.concepts)
    speed = bandwidth(chosen.device)
    limit = moved / speed
    print(f"limit: {moved / MEGABYTE:.0f} MB at {speed / 1e9:.1f} GB/s: {limit:.3f} s")
    print(f"{'function':22} {'seconds':>9} {'x limit':>8} {'extra MB':>9}", end="")
    print(f" {'reference':>9} {'ratio':>7} {'same best':>9} {'distance':>10}" if chosen.reference else "")
    theirs = reference_functions(chosen.reference) if chosen.reference else None
    cosines = Cosines(images, texts)
    for method in chosen.methods:

        def run(function: Callable[..., Tensor] = METHODS[method]) -> Tensor:
            return function(cosines, activations, pseudo)

        peak = peak_memory(run, chosen.device)  # also the compiled loop's first time
        seconds, scores = timed(run, chosen.device, REPEATS if is_quick(chosen) else 1)
        print(f"{method:22} {seconds:9.3f} {seconds / limit:8.1f} {peak / MEGABYTE:9.0f}", end=" ", flush=True)
        print(compare(theirs, method, (images, texts, activations), seconds, scores[: chosen.units]) if theirs else "")


def is_quick(chosen: argparse.Namespace) -> bool:
    """Whether a run takes seconds rather than minutes."""
    return chosen.images * chosen.concepts <= 10**8


if __name__ == "__main__":
    main()
