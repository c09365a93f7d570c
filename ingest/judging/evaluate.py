"""How far labels can be trusted: against known names, or against the half of the probe that did not make them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, partial

import polars as pl
import torch

from neuronlake.ingest.concepts.builtin_sets import BUILTIN_SETS
from neuronlake.ingest.devices import resolve_device
from neuronlake.ingest.judging.against_names import (
    Known,
    cosines_of_names,
    known_units,
    measures_of_names,
    ranks_of_names,
)
from neuronlake.ingest.judging.halves import measures_of_halves
from neuronlake.ingest.judging.measures import Measured, ReliabilityBin
from neuronlake.ingest.judging.scored import EvaluationError, LayerScoring, read_scored, scored_anew, scorings_of
from neuronlake.ingest.judging.truth import PROBE, load_truth, preferred_names, truth_key, units_with_images
from neuronlake.sql import hints
from neuronlake.sql.store import features, scorings
from neuronlake.sql.warehouse import Warehouse, require_warehouse
from neuronlake.sql.words import Progress, no_progress


@dataclass(frozen=True)
class Evaluation:
    """What was found of a layer's labels.

    Attributes:
        measures: rows of the view `evaluations`, one a setting and measure.
        reliability: confidence against known names: columns setting, method and those of `ReliabilityBin`, one row a
            bin; of the settings whose labels have a confidence.
        notes: for the user: which units were counted, and which settings were not measured.
    """

    measures: pl.DataFrame
    reliability: pl.DataFrame
    notes: tuple[str, ...]


def evaluate(
    warehouse: Warehouse,
    model: str,
    layer: str,
    *,
    truth: str | None = None,
    setting: int | str | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: Progress = no_progress,
) -> pl.DataFrame:
    """Measure the labels of a layer under all its settings, or one, and store what was found.

    With `truth`, the stored labels are compared with known names: see `against_names.measures_of_names`. Counted are
    units whose class has images in the probe, where the images' labels tell: the measure `with_images` has the share.
    Without, labels are made on one half of the probe and verified on the other: see `halves.measures_of_halves`.

    Args:
        warehouse: open for writing.
        model: name of the model.
        layer: name of the layer.
        truth: a built-in set whose lines are the units' names in order, or a file: one name a line with a blank
            line for a unit without, or a csv file with columns unit and name; or ``probe``: each unit is what the
            images are labelled with that it clearly prefers, see `truth.preferred_names`.
        setting: number of a setting, or its method; all of the layer's where None.
        device: where to compute.
        seed: of the halves, the random concepts and the bootstrap.
        progress: called with a stage, the number done and the total.

    Returns:
        Rows of the view `evaluations`: one a setting and measure.

    Raises:
        SettingError: there is no such setting.
        EvaluationError: the layer has no scoring that can be measured so, or the truth names no concept.
    """
    return evaluate_layer(
        warehouse, model, layer, truth=truth, setting=setting, device=device, seed=seed, progress=progress
    ).measures


def evaluate_layer(
    warehouse: Warehouse,
    model: str,
    layer: str,
    *,
    truth: str | None = None,
    setting: int | str | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: Progress = no_progress,
) -> Evaluation:
    """As `evaluate`, with what a user is told beside the measures."""
    require_warehouse(warehouse)
    where = resolve_device(device)
    key = None if truth is None else truth_key(truth)
    chosen = scorings_of(warehouse, model, layer, setting)
    if truth is None:
        chosen = scored_anew(chosen, f"{model} {layer}")
        judge = partial(_by_halves, warehouse, f"{model} {layer}", where, seed)
    else:
        judge = partial(_by_names, warehouse, _Truth(warehouse, model, layer, truth), where, seed)
    found: list[tuple[LayerScoring, _Found]] = []
    failures: list[tuple[LayerScoring, EvaluationError]] = []
    for done, scoring in enumerate(chosen):
        progress("Evaluating", done, len(chosen))
        try:
            found.append((scoring, judge(scoring)))
        except EvaluationError as error:
            failures.append((scoring, error))
    progress("Evaluating", len(chosen), len(chosen))
    if not found:
        raise failures[0][1]
    for scoring, each in found:
        _store(warehouse, scoring.scoring, key, each.measures)
    return Evaluation(
        measures=_stored(warehouse, model, layer, key, [scoring.scoring for scoring, _ in found]),
        reliability=pl.DataFrame(
            [
                {"setting": scoring.setting, "method": scoring.shown_method, **vars(each_bin)}
                for scoring, each in found
                for each_bin in each.bins
            ]
        ),
        notes=(
            *(f"{_shown(scoring)}: {each.note}" for scoring, each in found if each.note),
            *(f"{_shown(scoring)} was not measured: {error}" for scoring, error in failures),
        ),
    )


@dataclass(frozen=True)
class _Found:
    """What was found of one scoring."""

    measures: list[Measured]
    bins: list[ReliabilityBin] = field(default_factory=list)
    note: str = ""


class _Truth:
    """The known names of a layer's units.

    Raises:
        EvaluationError: there is no such truth, or it is a set of names for another number of units.
    """

    def __init__(self, warehouse: Warehouse, model: str, layer: str, truth: str) -> None:
        self.is_probe = truth == PROBE
        self._given = {} if self.is_probe else load_truth(truth)
        units = warehouse.scalar(
            "select max(units) from scorings where model = $model and layer = $layer", model=model, layer=layer
        )
        if truth in BUILTIN_SETS and units and units != len(self._given):
            raise EvaluationError(
                f"{truth} has names for {len(self._given):,} units and {layer} of {model} has {units:,}; "
                "give the layer's own names as a file, or --truth probe"
            )
        self._preferred = cache(partial(preferred_names, warehouse, model, layer))

    def names(self, probe: str) -> dict[int, str]:
        """Against which to compare labels made from the images of a probe."""
        return self._preferred(probe) if self.is_probe else self._given


def _by_halves(warehouse: Warehouse, layer: str, device: torch.device, seed: int, scoring: LayerScoring) -> _Found:
    """A scoring's labels made anew on one half of the images."""
    scored = read_scored(warehouse, scoring, device)
    if not scored.live:
        look = hints.command("cli sql layer_summary", warehouse.path)
        raise EvaluationError(f"no unit of {layer} is alive; look at `{look}`")
    return _Found(measures_of_halves(scored, seed))


def _by_names(warehouse: Warehouse, truth: _Truth, device: torch.device, seed: int, scoring: LayerScoring) -> _Found:
    """A scoring's stored labels against known names."""
    names = truth.names(scoring.probe)
    pictured = (
        {*names} if truth.is_probe else units_with_images(names, features.probe_labels(warehouse, scoring.probe_id))
    )
    known = known_units(warehouse, scoring, names, pictured)
    cosines = cosines_of_names(warehouse, scoring, known.labels)
    ranks = ranks_of_names(warehouse, scoring, known.labels, device)
    found = measures_of_names(known.labels, cosines, ranks, seed)
    if known.is_told and not truth.is_probe:
        share = known.labels.height / known.named
        found.measures.insert(0, Measured("with_images", share, torch.nan, torch.nan, known.named))
    return _Found(found.measures, found.bins, _counted(scoring, known, truth))


def _counted(scoring: LayerScoring, known: Known, truth: _Truth) -> str:
    """Which units were counted, and why not the others."""
    counted = known.labels.height
    if truth.is_probe:
        said = f"{counted:,} units clearly prefer one label of {scoring.probe}, which is their name"
    elif known.is_told:
        said = f"counted are {counted:,} of {known.named:,} units with a known name, those that {scoring.probe} shows"
    else:
        why = (
            "by which images these labels were made is not known"
            if scoring.is_imported
            else f"no image of {scoring.probe} is labelled with such a name"
        )
        said = f"all {counted:,} units with a known name are counted, with images of it or without: {why}"
    return f"{said}; {known.outside:,} more names are not in {scoring.concept_set}" if known.outside else said


def _shown(scoring: LayerScoring) -> str:
    """How a user knows it."""
    return f"setting {scoring.setting} ({scoring.shown_method})"


def _store(warehouse: Warehouse, scoring_id: int, truth: str | None, found: Sequence[Measured]) -> None:
    """Put the measures in the place of those that were there for the same scoring and truth."""
    rows = pl.DataFrame([vars(measured) for measured in found])
    measures = rows.with_columns(pl.col("value", "low", "high").fill_nan(None))
    scorings.replace_evaluations(warehouse, scoring_id, truth, measures)


def _stored(warehouse: Warehouse, model: str, layer: str, truth: str | None, measured: list[int]) -> pl.DataFrame:
    """Rows of the view `evaluations` for these scorings."""
    kept = warehouse.sql(
        "select * from evaluations where model = $model and layer = $layer and truth is not distinct from $truth",
        model=model,
        layer=layer,
        truth=truth,
    ).pl()
    return kept.filter(pl.col("scoring").is_in(measured))
