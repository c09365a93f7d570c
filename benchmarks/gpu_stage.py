"""One of gpu.py's measurements in a process of its own, so that it gives the device's memory back; started by gpu.py.

    python benchmarks/gpu_stage.py soft_wpmi DEVICE IMAGES UNITS CONCEPTS [CLIP-DISSECT]
    python benchmarks/gpu_stage.py half DEVICE FOLDER LIMIT
    python benchmarks/gpu_stage.py filled DEVICE FOLDER NETWORKS IMAGES FREE

The last line it writes is JSON.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ingest_inputs import Networks, write_concepts
from similarity import bandwidth, must_move, peak_memory, reference_functions, tensors, timed

import neuronlake
from neuronlake.ingest.demo.photographs import LIST
from neuronlake.ingest.demo.recipe import make_photographs, make_pictures
from neuronlake.ingest.labelers.similarity import METHODS, Cosines
from neuronlake.ingest.machines.allocator import keep_freed_memory
from neuronlake.ingest.recipe import Recipe

REPEATS = 3
# units that CLIP-Dissect's loop is timed on: what the second has more tells the time of one
PARTS = (10, 40)
HALF = "bfloat16"
_SAME_LABELS = f"""
select
    count(*) as confident,
    count(*) filter (where half.concept = whole.concept) as same,
    count(*) filter (where half.holds) as also_confident
from unit_labels as whole
inner join unit_labels as half on half.layer = whole.layer || ':{HALF}' and half.unit = whole.unit
where whole.holds
"""


def soft_wpmi(device: str, images: int, units: int, concepts: int, clone: str | None) -> dict[str, float]:
    """Seconds of the function, of the least that must move, and of CLIP-Dissect's own, from a part of the units."""
    features, texts, activations = tensors(images, units, concepts, device)

    def ours() -> torch.Tensor:
        # with the cosines, where these are kept
        return METHODS["soft_wpmi"](Cosines(features, texts), activations)

    memory = peak_memory(ours, device)
    seconds, scores = timed(ours, device, REPEATS)
    found = {"seconds": seconds, "memory": memory}
    found["moved"] = must_move(images, units, concepts)
    found["bandwidth"] = bandwidth(device)
    if clone:
        theirs = reference_functions(Path(clone)).soft_wpmi
        few, many = (min(part, units) for part in PARTS)
        seconds_of_product, product = timed(lambda: features @ texts.T, device, REPEATS)

        def part(count: int) -> torch.Tensor:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                return theirs(product, activations[:, :count], device=device)

        part(few)
        times = [timed(lambda count=count: part(count), device, 1)[0] for count in (few, many)]
        of_one = (times[1] - times[0]) / (many - few)
        found["theirs"] = seconds_of_product + times[1] + (units - many) * of_one
        # over the same units, for the prior is of all of a layer
        same = METHODS["soft_wpmi"](Cosines(features, texts), activations[:, :many]).argmax(dim=1)
        found["same"] = float((part(many).argmax(dim=1) == same).float().mean())
    assert scores.isfinite().all()
    return found


def half_the_bits(device: str, folder: Path, limit: int) -> dict[str, float]:
    """Confident labels of EfficientNet-Lite0 on the demo's images, and how many are the same in half the bits."""
    photographs = make_photographs(folder / "photographs") / LIST
    recipe = Recipe(
        models=("efficientnet-lite0-imagenet",),
        layers=("_blocks.4", "_blocks.10", "_fc"),
        probes=(f"photographs={photographs}", str(make_pictures(folder / "drawn"))),
        concepts=("broden",) if limit else ("broden", "imagenet"),
        encoder="conse",
        parameters={"top_k": 5},
        keep_concepts=50,
        device=device,
        limit=limit or None,
    )
    with neuronlake.open(folder / "w.duckdb", write=True) as warehouse:
        neuronlake.ingest(warehouse, recipe)
        neuronlake.ingest(warehouse, replace(recipe, precision=HALF))
        confident, same, also = warehouse.sql(_SAME_LABELS).fetchall()[0]
        images = warehouse.scalar("select count(*) from store.images")
    return {"confident": confident, "same": same, "also_confident": also, "images": images}


def filled(device: str, folder: Path, networks: Networks, images: int, free: int) -> dict[str, Any]:
    """Batches on a device that is full but for so many bytes, and how far its rows are from those of an empty one."""
    work = Path(tempfile.mkdtemp(dir=folder.parent))
    recipe = Recipe(
        models=networks.models,
        layers=networks.layers,
        probes=(str(folder),),
        concepts=(str(write_concepts(work)),),
        encoder=networks.encoder,
        random_weights=networks.are_by_name,
        device=device,
        limit=images,
        chunk_images=images,
    )
    notes, rows = [], []
    filling = None
    for name in ("empty", "filled"):
        if name == "filled" and device.startswith("cuda"):
            torch.cuda.empty_cache()
            filling = torch.empty(max(0, torch.cuda.mem_get_info()[0] - free), dtype=torch.uint8, device=device)
        with neuronlake.open(work / f"{name}.duckdb", write=True) as warehouse:
            notes.append(neuronlake.ingest(warehouse, recipe).notes)
            query = "select activation from activations order by model, layer, unit, image"
            rows.append(np.asarray(warehouse.sql(query).fetchnumpy()["activation"]))
    del filling
    halved = [note for note in notes[1] if "ran out of memory" in note]
    return {"note": " ".join(halved), "difference": float(np.abs(rows[1] - rows[0]).max() / np.abs(rows[0]).max())}


def main() -> None:
    """Make the measurement that is named."""
    stage, device, *rest = sys.argv[1:]
    keep_freed_memory()
    found: dict[str, Any]
    if stage == "soft_wpmi":
        images, units, concepts = map(int, rest[:3])
        found = soft_wpmi(device, images, units, concepts, rest[3] if rest[3:] else None)
    elif stage == "half":
        found = half_the_bits(device, Path(rest[0]), int(rest[1]))
    else:
        found = filled(device, Path(rest[0]), Networks.from_json(rest[1]), int(rest[2]), int(rest[3]))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
