"""How scoring's time and memory grow with the images, whose number nothing but a file should follow.

    python benchmarks/scoring.py
    python benchmarks/scoring.py --images 1000000 --methods cos_similarity

A warehouse with random activations of one layer is made for each number of images, and the layer scored in a process
of its own. Memory is told with and without pages of files: large matrices lie in a file, whose pages the system drops
when something else needs the memory.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import torch
from measured_process import run
from warehouse import Size, embed_concepts, load, register

from neuronlake.ingest.judging.judge import judged
from neuronlake.ingest.labelers.labelling import Basis, Inputs, label_layers
from neuronlake.ingest.labelers.registry import resolve_scoring
from neuronlake.ingest.labelers.similarity import METHODS
from neuronlake.ingest.machines.allocator import keep_freed_memory
from neuronlake.ingest.machines.base import choose_machine
from neuronlake.sql.opening import open_warehouse
from neuronlake.sql.store.features import StoredLayer
from neuronlake.sql.words import no_progress


def make(path: Path, size: Size) -> None:
    """A warehouse with activations and embeddings, and no scores."""
    with open_warehouse(path, write=True) as warehouse:
        load(warehouse, register(warehouse, size), size)
        embed_concepts(warehouse, size)


def score(path: Path, method: str, device: str) -> None:
    """Score the only layer of a warehouse, as `cli score` does."""
    keep_freed_memory()
    with open_warehouse(path, write=True) as warehouse, warehouse.few_pages():
        concepts = warehouse.scalar("select count(*) from store.concepts")
        units = warehouse.scalar("select units from store.layers")
        scoring = resolve_scoring(method, {}, keep_concepts=100)
        basis = Basis(Inputs(1, 1, 1, "image"), "probe", "encoder", "set", tuple(range(1, concepts + 1)))
        machine = choose_machine(warehouse, "local", device)
        layers = [StoredLayer(1, units, "layer 1")]
        label_layers(warehouse, basis, layers, scoring, judged(scoring, path.parent), machine.label, 1, no_progress)


def main() -> None:
    """A line for each number of images and each method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[50_000, 400_000])
    parser.add_argument("--units", type=int, default=200)
    parser.add_argument("--concepts", type=int, default=2_000)
    parser.add_argument("--methods", nargs="+", default=["soft_wpmi", "cos_similarity"], choices=list(METHODS))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--score", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.score:
        score(chosen.score, chosen.methods[0], chosen.device)
        return
    torch.manual_seed(0)
    print(f"{chosen.units} units, {chosen.concepts} concepts, 512 dimensions, 1000 pseudo-units")
    print(f"{'images':>9} {'function':22} {'seconds':>8} {'memory':>9} {'without files':>14}")
    for images in chosen.images:
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
            path = Path(folder) / "scoring.duckdb"
            make(path, Size(images, chosen.concepts, ("model",), {"layer": chosen.units}))
            for method in chosen.methods:
                stage = ["--score", str(path), "--methods", method, "--device", chosen.device]
                done = run([sys.executable, __file__, *stage])
                memory = f"{done.memory / 1e9:6.2f} GB {done.held / 1e9:11.2f} GB"
                print(f"{images:9} {method:22} {done.seconds:8.1f} {memory}", flush=True)


if __name__ == "__main__":
    main()
