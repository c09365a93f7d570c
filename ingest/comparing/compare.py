"""Two models compared: which unit fires as which, found and stored."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch

from neuronlake.ingest.comparing.closest import Closest, correlated
from neuronlake.ingest.comparing.pairs import CompareError, Pair, layer_pairs
from neuronlake.ingest.devices import resolve_device
from neuronlake.ingest.history import recorded_run
from neuronlake.sql.settings import all_settings
from neuronlake.sql.store import features
from neuronlake.sql.store.layers import Comparison, insert_comparison, is_compared
from neuronlake.sql.warehouse import Warehouse, require_warehouse
from neuronlake.sql.words import Progress, no_progress


@dataclass(frozen=True)
class Compared:
    """What a comparison of two models did.

    Attributes:
        layers: pairs of layers that were asked for and can be compared.
        compared_layers: those of them that were not compared before.
        seconds: that it took.
        setting: the newest that layers of both models, that were compared, are labelled under; None without one.
        notes: for the user.
    """

    layers: int
    compared_layers: int
    seconds: float
    setting: int | None
    notes: tuple[str, ...] = ()


def compare(
    warehouse: Warehouse,
    model_a: str,
    model_b: str,
    *,
    layers: str | Sequence[str] = (),
    probe: str | None = None,
    device: str = "auto",
    progress: Progress = no_progress,
    command: str = "neuronlake.compare()",
) -> Compared:
    """Find for each unit of a model's layers the closest unit of another model's, and the other way round.

    Closest is the unit whose activations over the images of a probe have the highest Pearson correlation with its own.
    The views unit_matches, label_changes and concept_flow tell what came of it. Layers that were compared over these
    images, in this order, are not compared again.

    Args:
        warehouse: open for writing.
        model_a: name of the model before.
        model_b: name of the model after; it may be the same one where its layers are others.
        layers: those to compare, each with the one of its name or as ``LAYER_A=LAYER_B``; also as one text with commas
            between. All that both models have where there are none.
        probe: name of the probe; for each pair the newest that both layers have seen where None.
        device: where to compute.
        progress: called with a stage, the number of units done and the total.
        command: stored with the run.

    Raises:
        CompareError: a model, layer or probe has no activations here, or no two layers have seen the same images.
    """
    require_warehouse(warehouse)
    started = time.perf_counter()
    where = resolve_device(device)
    given = layers.split(",") if isinstance(layers, str) else layers
    names = [name.strip() for name in given if name.strip()]
    pairs, notes = layer_pairs(warehouse, model_a, model_b, names, probe)
    pending = [pair for pair in pairs if not is_compared(warehouse, pair.a.layer_id, pair.b.layer_id, pair.probe_id)]
    if pending:
        recipe = {"compare": [model_a, model_b], "layers": names, "probe": probe, "device": device}
        with recorded_run(warehouse, command, where, json.dumps(recipe)) as (run_id, timing):
            done, total = 0, sum(pair.a.units for pair in pending)
            for pair in pending:
                _compare(warehouse, pair, run_id, where, _part(progress, done, total))
                done += pair.a.units
            timing.score = time.perf_counter() - started
    return Compared(
        len(pairs), len(pending), time.perf_counter() - started, _setting(warehouse, model_a, model_b), notes
    )


def _part(progress: Progress, before: int, total: int) -> Callable[[int], None]:
    """Progress of one pair of layers, after so many units of others."""
    return lambda units: progress("Comparing", before + units, total)


def _compare(
    warehouse: Warehouse, pair: Pair, run_id: int, device: torch.device, progress: Callable[[int], None]
) -> None:
    """Compare two layers and store what was found."""
    layers, probe_id = (pair.a.layer_id, pair.b.layer_id), pair.probe_id
    seen_a, seen_b = (features.layer_images(warehouse, layer, probe_id) for layer in layers)
    live_a, live_b = (features.live_units(warehouse, layer, probe_id) for layer in layers)
    images = np.intersect1d(seen_a, seen_b, assume_unique=True)
    if len(images) < 2:
        raise CompareError(f"{pair.a} and {pair.b} have not seen the same images; run their `cli ingest` to its end")
    of_a, of_b, has_kept_numbers = None, None, False
    if live_a and live_b:
        place_of = {unit: place for place, unit in enumerate(live_b)}
        found = correlated(
            _activations(warehouse, layers[0], live_a, seen_a, images),
            _activations(warehouse, layers[1], live_b, seen_b, images),
            np.array([place_of.get(unit, -1) for unit in live_a]),
            device,
            progress,
        )
        of_a, of_b, has_kept_numbers = found.a, found.b, found.has_kept_numbers
    is_by_number = pair.a.units == pair.b.units and has_kept_numbers
    comparison = Comparison(run_id, *layers, probe_id, len(images), is_by_number)
    rows = pl.concat([_rows("a", live_a, live_b, of_a), _rows("b", live_b, live_a, of_b)])
    insert_comparison(warehouse, comparison, rows)


def _activations(
    warehouse: Warehouse, layer_id: int, live: list[int], seen: np.ndarray, images: np.ndarray
) -> np.ndarray:
    """(live units, images) float32, of some of the images that a layer has seen."""
    values = features.activations(warehouse, layer_id, live, seen).T
    return values if len(seen) == len(images) else values[:, np.searchsorted(seen, images)]


def _rows(side: str, live: list[int], others: list[int], closest: Closest | None) -> pl.DataFrame:
    """What is stored of the live units of one layer; without `closest` the other layer has none."""
    found: dict[str, Any] = {"unit": live, "closest_unit": None, "correlation": None, "own_correlation": None}
    if closest is not None:
        found |= {
            "closest_unit": np.array(others)[closest.places],
            "correlation": closest.correlations,
            "own_correlation": closest.own,
        }
    numbers, measures = ("unit", "closest_unit"), ("correlation", "own_correlation")
    types = dict.fromkeys(numbers, pl.Int32) | dict.fromkeys(measures, pl.Float32)
    return pl.DataFrame(found, schema=types).select(
        pl.lit(side).alias("side"), *numbers, pl.col(measures).fill_nan(None)
    )


def _setting(warehouse: Warehouse, model_a: str, model_b: str) -> int | None:
    """The newest setting that says what became of labels."""
    select = "select distinct setting from label_changes where model_a = $a and model_b = $b"
    told = {setting for (setting,) in warehouse.sql(select, a=model_a, b=model_b).fetchall()}
    return next((each.number for each in all_settings(warehouse) if each.number in told), None)
