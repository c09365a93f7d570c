"""What it costs to judge labels: as many times the labeler's own time.

    python benchmarks/judging.py
    python benchmarks/judging.py --images 20000 --methods soft_wpmi

The labeler alone, without pseudo-units: for the first layer of a run, with the cosines of images and concepts, and for
a later one, for which these are kept; the same with five choices more, the measures and the ceiling; and what
pseudo-units add. All in one process, each the best of several runs, on random activations and embeddings.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn.functional import normalize

from neuronlake.ingest.devices import resolve_device
from neuronlake.ingest.judging.judge import judged
from neuronlake.ingest.labelers.base import LayerData, Shared
from neuronlake.ingest.labelers.registry import METHODS, resolve_scoring


def layer(images: int, units: int, concepts: int, dimensions: int, device: torch.device) -> LayerData:
    """Random activations, laid out unit by unit as the warehouse gives them, and random embeddings."""
    generator = torch.Generator().manual_seed(0)
    features = normalize(torch.randn(images, dimensions, generator=generator), dim=1)
    texts = normalize(torch.randn(concepts, dimensions, generator=generator), dim=1)
    activations = torch.rand(units, images, generator=generator).square_().T
    folds = torch.arange(images) % 5
    shared = Shared(tuple(map(str, range(concepts))), features, texts, folds=folds, content_folds=folds)
    return LayerData(activations.to(device), shared.to(device))


def best_seconds(work: Callable[[], object], repeats: int) -> float:
    """The shortest of several runs."""
    times: list[float] = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    """A line for each method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--units", type=int, default=512)
    parser.add_argument("--concepts", type=int, default=10_000)
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    data = layer(chosen.images, chosen.units, chosen.concepts, chosen.dimensions, resolve_device(chosen.device))
    columns = ("first", "judged", "ratio", "later", "judged", "ratio", "1,000 pseudo-units: later", "judged")
    print(f"{'method':22}", *(f"{column:>8}" for column in columns))
    for method in chosen.methods:
        plain, full = (resolve_scoring(method, null_draws=draws) for draws in (0, 1000))
        found: list[str] = []
        for scoring, is_first in ((plain, True), (plain, False), (full, False)):
            label = METHODS[method].make(scoring).label
            of_method = replace(data, shared=replace(data.shared, shape=scoring.signal))
            judge = judged(scoring, Path(tempfile.gettempdir()))
            seconds = [
                best_seconds(
                    lambda work=work, first=is_first, of=of_method: work(fresh(of) if first else of), chosen.repeats
                )
                for work in (label, judge)
            ]
            found += [f"{each:8.2f}" for each in seconds]
            if scoring is plain:
                found.append(f"{seconds[1] / seconds[0]:8.1f}")
        print(f"{method:22}", *found)


def fresh(data: LayerData) -> LayerData:
    """The same without what was made of it."""
    return replace(data, shared=replace(data.shared))


if __name__ == "__main__":
    main()
