"""Sums of concepts, `linear`, beside Linear Explanations' own code on the same signals: speed and held-out correlation.

    python benchmarks/sums.py
    python benchmarks/sums.py --reference PATH_TO_LINEAR_EXPLANATIONS
    python benchmarks/sums.py --reference PATH_TO_LINEAR_EXPLANATIONS --warehouse warehouse.duckdb --scoring 3

Units are noisy sums of a few concepts' signals and of readouts of the image's embedding, or those of a scoring's
layer, with its images and concepts. Ours is timed on all images and makes the signals itself. The other code gets
them ready made, sees the 70 % that choose and the 10 % that it tries explanations on, and explains a few units: the
time of its greedy step is scaled to all, and of its elastic net, which takes 128 units at a time, as if a full batch
took no longer than these few. Correlations are Pearson's over the last 20 % of the images, of labels that were made
from the others.

"processor" is seconds of processors: nearly the same whatever else runs, where seconds are not. Growth is shown by
units and by concepts, with the memory needed beyond what was there before.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import torch
from linear_explanations_run import Clock, Explained, Split, Stopwatch, explain
from similarity import peak_memory
from torch import Tensor
from torch.nn.functional import normalize

from neuronlake.ingest.labelers.base import LayerData, LayerLabels, Shared
from neuronlake.ingest.labelers.labelling import Inputs, live_activations, shared_inputs
from neuronlake.ingest.labelers.predicting.signals import LABELS, SHAPES
from neuronlake.ingest.labelers.registry import labeler_of, resolve_scoring
from neuronlake.ingest.labelers.settings import Scoring
from neuronlake.ingest.machines.allocator import keep_freed_memory
from neuronlake.sql.opening import open_warehouse
from neuronlake.sql.store.features import StoredLayer

DIMENSIONS = 512
# Mean and deviation of cosines as CLIP's are, and how fast the variance of embeddings falls with the dimension.
COSINE, DEVIATION, FALL = 0.2, 0.045, 0.7
# Of a unit's deviation: what its concepts make up, and what a readout of the embedding does; the rest is noise.
OF_CONCEPTS, OF_READOUT = 0.45, 0.35
MOST_CONCEPTS = 5
# They are among the first concepts, so that units are the same with fewer of these.
PLANTED_AMONG = 1_000
MEGABYTE = 1e6


def linear(signal: str, concepts: int) -> Scoring:
    """Sums of up to so many concepts."""
    return resolve_scoring("linear", {"signal": signal, "concepts": concepts}, null_draws=0)


def embeddings(count: int, gap: Tensor, generator: torch.Generator) -> Tensor:
    """Images or texts, (count, dimensions) of length 1: two kinds that lie apart, with directions that they share."""
    spread = torch.arange(1.0, DIMENSIONS - 1).pow(-FALL / 2)
    spread /= spread.norm()
    share = DEVIATION / spread.pow(4).sum().sqrt()
    shared = torch.randn(count, len(spread), generator=generator) * spread
    return normalize(torch.cat([gap.expand(count, 2) * (1 - share).sqrt(), shared * share.sqrt()], dim=1), dim=1)


def made(images: int, units: int, concepts: int, signal: str) -> LayerData:
    """Random embeddings, and units that are sums of the first concepts' signals, readouts and noise."""
    generator = torch.Generator().manual_seed(0)
    spread = torch.arange(1.0, DIMENSIONS - 1).pow(-FALL / 2)
    between = COSINE / (1 - DEVIATION / (spread / spread.norm()).pow(4).sum().sqrt())
    features = embeddings(images, torch.tensor([1.0, 0.0]), generator)
    texts = embeddings(concepts, torch.stack([between, (1 - between**2).sqrt()]), generator)
    shared = Shared(tuple(map(str, range(concepts))), features, texts, shape=signal)
    of_first = standardized(shared.signals.block(slice(None), slice(0, PLANTED_AMONG)))
    generator.manual_seed(1)  # units do not depend on how many concepts there are
    activations = torch.empty(units, images).T
    for unit in range(units):
        count = int(torch.randint(1, MOST_CONCEPTS + 1, (1,), generator=generator))
        chosen = torch.randperm(of_first.shape[1], generator=generator)[:count]
        total = of_first[:, chosen] @ (torch.rand(count, generator=generator) + 0.5)
        readout = features[:, 2:] @ torch.randn(DIMENSIONS - 2, generator=generator)
        noise = torch.randn(images, generator=generator) * (1 - OF_CONCEPTS**2 - OF_READOUT**2) ** 0.5
        activations[:, unit] = OF_CONCEPTS * standardized(total) + OF_READOUT * standardized(readout) + noise
    return LayerData(activations, shared)


def standardized(values: Tensor) -> Tensor:
    """Columns with mean 0 and deviation 1."""
    return (values - values.mean(dim=0)) / values.std(dim=0)


def stored(path: Path, scoring_id: int, scoring: Scoring) -> LayerData:
    """The layer of a scoring, with its images and concepts."""
    with open_warehouse(path) as warehouse:
        rows = warehouse.sql(
            "select probe_id, encoder_id, concept_set_id, prompts, layer_id, layers.units, layers.fingerprint"
            " from store.scorings join store.layers using (layer_id) where scoring_id = $id",
            id=scoring_id,
        ).fetchall()
        if not rows or rows[0][1] is None:
            raise SystemExit(f"{path} has no scoring {scoring_id} with an encoder")
        probe_id, encoder_id, concept_set_id, prompts, *layer = rows[0]
        inputs = Inputs(probe_id, encoder_id, concept_set_id, "image")
        image_ids, shared = shared_inputs(warehouse, inputs, replace(scoring, prompts=tuple(prompts)))
        return LayerData(live_activations(warehouse, StoredLayer(*layer), probe_id, image_ids).values, shared)


def split_of(images: int) -> Split:
    """70 % of the images, 10 % and 20 %, as Linear Explanations splits them."""
    order = torch.randperm(images, generator=torch.Generator().manual_seed(1))
    fitted, tried, test = order.tensor_split([int(0.7 * images), int(0.8 * images)])
    return Split(fitted.sort().values, tried.sort().values, test.sort().values)


def of_size(data: LayerData, units: int, concepts: int) -> LayerData:
    """The first units and concepts."""
    shared = data.shared
    assert shared.concept_features is not None
    fewer = replace(shared, concepts=shared.concepts[:concepts], concept_features=shared.concept_features[:concepts])
    return LayerData(data.activations[:, :units], fewer)


def label(data: LayerData, scoring: Scoring) -> LayerLabels:
    """Label a layer, with nothing known of its signals beforehand."""
    return labeler_of(scoring).label(replace(data, shared=replace(data.shared, shape=scoring.signal)))


def clocked(data: LayerData, scoring: Scoring, repeats: int) -> Clock:
    """The shortest of several runs."""
    clocks: list[Clock] = []
    for _ in range(repeats):
        watch = Stopwatch()
        label(data, scoring)
        clocks.append(watch.clock())
    return min(clocks, key=lambda clock: clock.seconds)


@dataclass(frozen=True)
class HeldOut:
    """Of labels that were made without the test images.

    Attributes:
        correlation: on these, (units,) float32.
        concepts: of each unit, (units,) int64.
    """

    correlation: Tensor
    concepts: Tensor


def held_out(data: LayerData, scoring: Scoring, split: Split) -> HeldOut:
    """Labels by the images that choose and those that try."""
    folds = torch.zeros(len(data.activations), dtype=torch.int64)
    folds[split.tried] = 1  # the last fold of those that are left
    whole = replace(data, shared=replace(data.shared, shape=scoring.signal, folds=folds, content_folds=folds))
    learned = torch.cat([split.fitted, split.tried]).sort().values
    labels = labeler_of(scoring).label(whole.of_images(learned, lambda values, rows: values[rows]))
    terms, weights = torch.from_numpy(labels.terms), torch.from_numpy(labels.weights)
    test = whole.of_images(split.test, lambda values, rows: values[rows])
    predicted = test.shared.signals.predicted(terms, weights)
    return HeldOut(correlations(predicted, test.activations), (terms >= 0).sum(dim=1))


def correlations(predicted: Tensor, activations: Tensor) -> Tensor:
    """Pearson's, column by column; 0 for a constant one."""
    return (standardized(predicted) * standardized(activations)).sum(dim=0).div(len(predicted) - 1).nan_to_num(0.0)


def comparison(data: LayerData, scorings: dict[str, Scoring], chosen: argparse.Namespace) -> Iterator[str]:
    """Lines of a table: ours, and the other where a clone of it is given, on a few units."""
    images, units = data.activations.shape
    split = split_of(images)
    few = torch.linspace(0, units - 1, min(units, chosen.reference_units)).long()
    yield f"{'':36} {'seconds':>9} {'processor':>9} {'concepts':>8} {'r':>6} {'r of all units':>14}"
    ours: dict[str, Clock] = {}
    for name, scoring in scorings.items():
        ours[name] = clocked(data, scoring, chosen.repeats)
        found = held_out(data, scoring, split)
        yield line(
            name, ours[name], found.concepts[few].double().mean().item(), found.correlation[few].mean().item()
        ) + (f" {found.correlation.mean():14.3f}")
    if chosen.reference is None:
        return
    signals = data.shared.signals.block(slice(None), slice(None))
    theirs = explain(chosen.reference, signals, data.activations[:, few].contiguous(), split)
    yield from of_reference(theirs, data.activations[split.test][:, few], units, ours)


def of_reference(theirs: Explained, activations: Tensor, units: int, ours: dict[str, Clock]) -> Iterator[str]:
    """Lines of the other's."""
    found = correlations(theirs.predicted, activations).mean().item()
    net, greedy = theirs.scaled(units)
    few = activations.shape[1]
    yield line(f"Linear Explanations, {few} units", theirs.elastic_net.plus(theirs.greedy), theirs.concepts, found)
    yield f"{f'  elastic net, for {units} units':36} {net.seconds:9.1f} {net.processor:9.1f}"
    yield f"{f'  greedy step, for {units} units':36} {greedy.seconds:9.1f} {greedy.processor:9.1f}"
    both = net.plus(greedy)
    for name, clock in ours.items():
        ratios = both.seconds / clock.seconds, both.processor / clock.processor
        yield f"{f'  times as long as {name}':36} {ratios[0]:9.0f} {ratios[1]:9.0f}"
    yield f"it looks at {theirs.kept} concepts"


def line(name: str, clock: Clock, concepts: float, correlation: float) -> str:
    """A line of the table."""
    return f"{name:36} {clock.seconds:9.2f} {clock.processor:9.2f} {concepts:8.1f} {correlation:6.3f}"


def growth(data: LayerData, scoring: Scoring, chosen: argparse.Namespace) -> Iterator[str]:
    """Lines of a table."""
    units, concepts = data.activations.shape[1], len(data.shared.concepts)
    sizes = [(each, min(concepts, chosen.concepts)) for each in chosen.growing_units if each <= units]
    sizes += [(min(units, chosen.units), each) for each in chosen.growing_concepts if each <= concepts]
    if not sizes:
        return
    yield f"\n{'units':>7} {'concepts':>9} {'seconds':>8} {'processor':>9} {'extra MB':>9}"
    for size in sizes:
        some = of_size(data, *size)
        extra = peak_memory(lambda some=some: torch.empty(label(some, scoring).terms.size), "cpu")
        clock = clocked(some, scoring, chosen.repeats)
        yield f"{size[0]:7} {size[1]:9} {clock.seconds:8.2f} {clock.processor:9.2f} {extra / MEGABYTE:9.0f}"


def arguments() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, help="a clone of Linear Explanations")
    parser.add_argument("--reference-units", type=int, default=8, help="how many units it explains")
    parser.add_argument("--warehouse", type=Path, help="take a layer, images and concepts from it")
    parser.add_argument("--scoring", type=int, default=1, help="the number of the warehouse's scoring that has these")
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--units", type=int, default=512)
    parser.add_argument("--concepts", type=int, default=10_000)
    parser.add_argument("--growing-units", type=int, nargs="*", default=[128, 256, 512, 1024])
    parser.add_argument("--growing-concepts", type=int, nargs="*", default=[1_000, 5_000, 10_000, 20_000])
    parser.add_argument("--signal", default="sigmoid_clip", choices=[shape for shape in SHAPES if shape != LABELS])
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


def main() -> None:
    """Print both tables."""
    chosen = arguments()
    keep_freed_memory()
    scorings = {f"linear, {concepts} concepts": linear(chosen.signal, concepts) for concepts in (4, 10)}
    scoring = next(iter(scorings.values()))
    if chosen.warehouse:
        data = stored(chosen.warehouse, chosen.scoring, scoring)
    else:
        units = max(chosen.units, *chosen.growing_units, 0)
        concepts = max(chosen.concepts, *chosen.growing_concepts, 0)
        data = made(chosen.images, units, concepts, chosen.signal)
    some = of_size(data, chosen.units, chosen.concepts)
    images, units = some.activations.shape
    load = f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f} before"
    print(f"{images} images, {units} units, {len(some.shared.concepts)} concepts, {chosen.signal}, {load}")
    for found in chain(comparison(some, scorings, chosen), growth(data, scoring, chosen)):
        print(found, flush=True)
    print(f"load {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main()
