"""How fast the warehouse loads and answers, at shares of the size that real users have.

    python benchmarks/warehouse.py --shares 1/16 1/4 1

Full size is 2 models x (256 + 512 + 1,000) units x 57,000 images: 200 million activations with ReLU-like values,
2 scorings x 1,768 units x 20,000 concepts: 70 million similarities, and 57,000 x 512 embeddings. The values are
random; they go through the pipeline's own loading. A share takes fewer images and fewer concepts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import torch

from neuronlake.ingest.labelers.similarity import top_image_indices
from neuronlake.ingest.machines.chunks import TOP_IMAGES, Chunk, ExtractedChunk, PreparedImage, TopCandidates
from neuronlake.ingest.storing import Registered, load_chunk
from neuronlake.sql import catalog
from neuronlake.sql.opening import open_warehouse
from neuronlake.sql.store import concepts, encoders, layers, probes, runs, scorings
from neuronlake.sql.store.chunks import finish_layers
from neuronlake.sql.store.names import Entry
from neuronlake.sql.store.scorings import ScoringRow
from neuronlake.sql.verify import verify
from neuronlake.sql.warehouse import Warehouse

MODELS = ("first", "second")
LAYERS = {"layer3": 256, "layer4": 512, "fc": 1000}
IMAGES, CONCEPTS, DIMENSIONS = 57_000, 20_000, 512
RUNS = 3


@dataclass(frozen=True)
class Size:
    """How much of the full size."""

    images: int
    concepts: int
    models: tuple[str, ...] = MODELS
    layers: Mapping[str, int] = field(default_factory=lambda: LAYERS)


def register(warehouse: Warehouse, size: Size) -> Registered:
    """Rows for all that has a name."""
    runs.start_run(warehouse, "benchmark", "none", {}, "{}")
    layer_ids: dict[tuple[str, str], int] = {}
    for model in size.models:
        model_id = layers.register_model(warehouse, _entry("models", model), "random", "random", is_random=True)
        for position, (name, units) in enumerate(size.layers.items()):
            row = layers.Layer(model_id, name, f"{name} of {model}", position, units)
            layer_ids[model, name], _ = layers.register_layer(warehouse, row)
    images = pl.DataFrame({"path": [f"folder/{number}.jpg" for number in range(1, size.images + 1)]}).with_columns(
        label=pl.lit("folder"), sha256=pl.lit(""), part=pl.lit(None, pl.String)
    )
    chunk_images = probes.default_chunk_images(size.images)
    probe = probes.register_probe(
        warehouse, _entry("probes", "probe"), "/probe", images, chunk_images, is_imported=False
    )
    encoder_id = encoders.register_encoder(
        warehouse, _entry("encoders", "encoder"), "random", "weights", "float32", DIMENSIONS
    )
    ids = concepts.register_concepts(warehouse, [f"concept {number}" for number in range(1, size.concepts + 1)])
    members = pl.DataFrame({"concept_id": ids, "category": "object"}, schema_overrides={"concept_id": pl.Int32})
    concept_set_id = concepts.register_concept_set(warehouse, _entry("concept_sets", "set"), members)
    return Registered(probe, encoder_id, concept_set_id, tuple(ids), layer_ids)


def _entry(table: str, name: str) -> Entry:
    """Something known by its name."""
    return Entry(table, name, name, name, str)


def load(warehouse: Warehouse, registered: Registered, size: Size) -> float:
    """Seconds in which activations and embeddings were loaded, without the making of them."""
    seconds = 0.0
    layers = tuple(registered.layer_ids)
    for number, start in enumerate(range(1, size.images + 1, registered.probe.chunk_images)):
        ids = range(start, min(start + registered.probe.chunk_images, size.images + 1))
        activations = {key: torch.relu(torch.randn(len(ids), size.layers[key[1]])) for key in registered.layer_ids}
        extracted = ExtractedChunk(
            [PreparedImage(image_id, 96, 96, b"", {}) for image_id in ids],
            [],
            activations,
            {key: TopCandidates(top_image_indices(values, TOP_IMAGES), None) for key, values in activations.items()},
            torch.nn.functional.normalize(torch.randn(len(ids), DIMENSIONS)),
        )
        began = time.perf_counter()
        load_chunk(warehouse, registered, Chunk(number, (), layers, needs_embeddings=True), extracted, 1)
        seconds += time.perf_counter() - began
    began = time.perf_counter()
    finish_layers(warehouse, registered.probe, registered.layer_ids.values(), TOP_IMAGES)
    return seconds + time.perf_counter() - began


def embed_concepts(warehouse: Warehouse, size: Size) -> None:
    """Directions of all concepts."""
    embeddings = torch.nn.functional.normalize(torch.randn(size.concepts, DIMENSIONS))
    encoders.insert_concept_embeddings(warehouse, 1, ("{}",), range(1, size.concepts + 1), embeddings.numpy())


def score(warehouse: Warehouse, registered: Registered, size: Size) -> float:
    """Seconds in which two scorings of one model's layers each were stored."""
    ids = np.arange(1, size.concepts + 1, dtype=np.int32)
    seconds = 0.0
    for (_, layer), layer_id in registered.layer_ids.items():
        units = LAYERS[layer]
        scores = torch.rand(units, size.concepts)
        top = scores.topk(2, dim=1)
        rows = pa.table(
            {
                "unit": np.repeat(np.arange(units, dtype=np.int32), size.concepts),
                "concept_id": np.tile(ids, units),
                "similarity": scores.numpy().reshape(-1),
            }
        )
        # a few favourites, as real layers have them
        favourite = np.random.default_rng(0).zipf(1.3, units) % min(500, size.concepts) + 1
        of_units = pl.DataFrame(
            {
                "unit": np.arange(units, dtype=np.int32),
                "similarity": top.values[:, 0].numpy(),
                "runner_up_id": ids[top.indices[:, 1].numpy()],
                "runner_up_similarity": top.values[:, 1].numpy(),
            }
        )
        terms = of_units.select("unit").with_columns(
            position=0, concept_id=pl.Series(favourite.astype(np.int32)), weight=1.0
        )
        scoring = ScoringRow(
            fingerprint=f"scoring of {layer_id}",
            run_id=1,
            layer_id=layer_id,
            probe_id=1,
            encoder_id=1,
            concept_set_id=1,
            labeler="clip_dissect",
            method="soft_wpmi",
            images=size.images,
            units=units,
            kept_concepts=size.concepts,
        )
        began = time.perf_counter()
        with warehouse.transaction():
            scoring_id = scorings.insert_scoring(warehouse, scoring)
            scorings.insert_similarities(warehouse, scoring_id, rows)
            scorings.insert_labels(warehouse, scoring_id, of_units, terms)
        seconds += time.perf_counter() - began
    return seconds


def questions() -> dict[str, tuple[str, dict[str, str]]]:
    """Every view that a report reads, filters on one unit, and every named query."""
    unit = "where model = 'first' and layer = 'layer4' and unit = 17"
    asked = {
        view.name: (f"select * from {view.name}", {})
        for view in catalog.views()
        if view.name not in {"activations", "similarities", "image_concepts"}
    }
    asked["activations, one unit"] = (f"select * from activations {unit}", {})
    asked["similarities, one unit"] = (f"select * from similarities {unit}", {})
    asked["image_concepts, one concept"] = ("select * from image_concepts where concept = 'concept 7'", {})
    needed = {"model": "first", "layer": "layer4", "unit": "17", "concept": "concept 7", "image": "folder/17.jpg"}
    for query in catalog.queries().values():
        given = {each.name: needed[each.name] for each in query.parameters if each.default is None}
        asked[f"query {query.name}"] = (query.name, given)
    return asked


def ask(warehouse: Warehouse, text: str, parameters: dict[str, str]) -> float:
    """The best of some runs, in milliseconds."""
    best = float("inf")
    for _ in range(RUNS):
        began = time.perf_counter()
        answer = warehouse.ask(text, parameters)
        if answer is not None:
            answer.pl()
        best = min(best, time.perf_counter() - began)
    return best * 1000


def measure(share: Fraction, folder: Path) -> dict[str, float]:
    """All figures at one size."""
    size = Size(int(IMAGES * share), int(CONCEPTS * share))
    path = folder / f"{share.numerator}-{share.denominator}.duckdb"
    units = len(MODELS) * sum(LAYERS.values())
    with open_warehouse(path, write=True) as warehouse:
        registered = register(warehouse, size)
        load_seconds = load(warehouse, registered, size)
        warehouse.execute("checkpoint")
        loaded_bytes = path.stat().st_size
        embed_concepts(warehouse, size)
        score_seconds = score(warehouse, registered, size)
    figures = {
        "activations, millions": units * size.images / 1e6,
        "activations loaded, millions a second": units * size.images / 1e6 / load_seconds,
        "bytes a value, embeddings and top images included": loaded_bytes / ((units + DIMENSIONS) * size.images),
        "similarities, millions": units * size.concepts / 1e6,
        "similarities stored, millions a second": units * size.concepts / 1e6 / score_seconds,
        "bytes a similarity": (path.stat().st_size - loaded_bytes) / (units * size.concepts),
    }
    with open_warehouse(path) as warehouse:
        began = time.perf_counter()
        verify(warehouse)
        figures["verify, ms"] = (time.perf_counter() - began) * 1000
        figures |= {f"{name}, ms": ask(warehouse, *question) for name, question in questions().items()}
    path.unlink()
    return figures


def main() -> None:
    """Measure at each share and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shares", nargs="+", type=Fraction, default=[Fraction(1, 16), Fraction(1, 4), Fraction(1)])
    shares: list[Fraction] = parser.parse_args().shares
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        columns = [measure(share, Path(folder)) for share in shares]
    print("| | " + " | ".join(str(share) for share in shares) + " |")
    print("| --- |" + " ---: |" * len(shares))
    for name in columns[0]:
        print(f"| {name} | " + " | ".join(f"{column[name]:.4g}" for column in columns) + " |")


if __name__ == "__main__":
    main()
