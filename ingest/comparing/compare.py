"""Two models compared: which unit fires as which, found and stored."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import torch

from neuronlake.ingest.comparing.closest import Closest, Pairing, correlated, paired
from neuronlake.ingest.comparing.pairs import CompareError, Pair, layer_pairs
from neuronlake.ingest.devices import resolve_device
from neuronlake.ingest.history import recorded_run
from neuronlake.sql.settings import all_settings
from neuronlake.sql.store import features
from neuronlake.sql.store.layers import Comparison, insert_comparison, is_compared
from neuronlake.sql.warehouse import Warehouse, require_warehouse
from neuronlake.sql.words import Progress, no_progress

# what is stored of a unit
_TYPES = {
    "side": pl.String,
    "unit": pl.Int32,
    "closest_unit": pl.Int32,
    "correlation": pl.Float32,
    "own_correlation": pl.Float32,
    "paired_unit": pl.Int32,
    "paired_correlation": pl.Float32,
}


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
    comparison = Comparison(run_id, *layers, probe_id, len(images), is_by_number=False)
    if not (live_a and live_b):
        # nothing speaks against the numbers: a layer that is dead has died or not yet appeared
        is_same_layer = (pair.a.layer, pair.a.units) == (pair.b.layer, pair.b.units)
        comparison = replace(comparison, is_by_number=is_same_layer)
        insert_comparison(warehouse, comparison, pl.concat([_rows("a", live_a), _rows("b", live_b)]))
        return
    a = _activations(warehouse, layers[0], live_a, seen_a, images)
    b = _activations(warehouse, layers[1], live_b, seen_b, images)
    place_of = {unit: place for place, unit in enumerate(live_b)}
    partners = np.array([place_of.get(unit, -1) for unit in live_a])
    found = correlated(a, b, partners, device, progress)
    pairing = None
    if pair.a.units == pair.b.units and found.has_kept_numbers:
        pairing = paired(found, a, b, partners, device)
        comparison = replace(comparison, is_by_number=True)
    rows_a = _rows("a", live_a, live_b, found.a, pairing)
    rows_b = _rows("b", live_b, live_a, found.b, pairing and pairing.told_by_others(len(live_b)))
    insert_comparison(warehouse, comparison, pl.concat([rows_a, rows_b]))


def _activations(
    warehouse: Warehouse, layer_id: int, live: list[int], seen: np.ndarray, images: np.ndarray
) -> np.ndarray:
    """(live units, images) float32, of some of the images that a layer has seen."""
    values = features.activations(warehouse, layer_id, live, seen).T
    return values if len(seen) == len(images) else values[:, np.searchsorted(seen, images)]


def _rows(
    side: str,
    live: list[int],
    others: Sequence[int] = (),
    closest: Closest | None = None,
    pairing: Pairing | None = None,
) -> pl.DataFrame:
    """What is stored of the live units of one layer, as far as it is known."""
    numbers = np.array([*others, -1])  # at -1 there is none
    columns: dict[str, Any] = dict.fromkeys(_TYPES) | {"side": side, "unit": live}
    if closest is not None:
        columns |= {
            "closest_unit": numbers[closest.places],
            "correlation": closest.correlations,
            "own_correlation": closest.own,
        }
    if pairing is not None:
        columns |= {"paired_unit": numbers[pairing.places], "paired_correlation": pairing.correlations}
    rows = pl.DataFrame(columns, schema=_TYPES).with_columns(pl.col(pl.Float32).fill_nan(None))
    return rows.with_columns(paired_unit=pl.when(pl.col("paired_unit") >= 0).then("paired_unit"))


def _setting(warehouse: Warehouse, model_a: str, model_b: str) -> int | None:
    """The newest setting that says what became of labels."""
    select = "select distinct setting from label_changes where model_a = $a and model_b = $b"
    told = {setting for (setting,) in warehouse.sql(select, a=model_a, b=model_b).fetchall()}
    return next((each.number for each in all_settings(warehouse) if each.number in told), None)
