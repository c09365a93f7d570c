"""Stored activations scored again: with other concepts, another method, other parameters, and no image."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from neuronlake.ingest.concepts.concept_sets import ConceptSet, image_label_concepts, load_concepts
from neuronlake.ingest.devices import resolve_device
from neuronlake.ingest.encoders.loading import (
    encoder_of_row,
    is_place,
    load_encoder,
    variant_among,
)
from neuronlake.ingest.encoders.protocol import Encoder
from neuronlake.ingest.history import as_json, recorded_run
from neuronlake.ingest.judging.judge import judged
from neuronlake.ingest.judging.stored import judge_stored
from neuronlake.ingest.labelers.base import Need
from neuronlake.ingest.labelers.labelling import Basis, Inputs, embed_concepts, label_layers, pending_layers
from neuronlake.ingest.labelers.registry import has_embeddings, labeler_of, resolve_scoring
from neuronlake.ingest.labelers.settings import Scoring, ScoringError
from neuronlake.ingest.machines.base import choose_machine
from neuronlake.ingest.recipe import ScoreRecipe, chosen_recipe
from neuronlake.ingest.storing import register_concept_set
from neuronlake.sql import hints
from neuronlake.sql.store import concepts, dissections, encoders, features, scorings
from neuronlake.sql.store.concepts import register_concepts
from neuronlake.sql.store.features import StoredLayer
from neuronlake.sql.store.names import name_note
from neuronlake.sql.warehouse import Warehouse, require_warehouse
from neuronlake.sql.words import Progress, did_you_mean, no_progress

_OF_JUDGING = ("models", "layers", "keep_together", "trust_code", "device", "engine", "address", "workers")


@dataclass(frozen=True)
class ScoreSummary:
    """What a run of scoring did."""

    layers: int
    scored_layers: int
    seconds: float
    notes: tuple[str, ...] = ()


def score(
    warehouse: Warehouse,
    recipe: ScoreRecipe | None = None,
    progress: Progress = no_progress,
    command: str = "neuronlake.score()",
    **settings: object,
) -> ScoreSummary:
    """Score stored activations again; what is there with the same settings is not scored twice.

    Args:
        warehouse: open for writing.
        recipe: what to score and how; or its settings by name. All layers with the defaults where neither is given.
        progress: called with a stage, the number done and the total.
        command: stored with the run.
        **settings: of `ScoreRecipe`, where none is given.

    Raises:
        NeuronlakeError: nothing stored fits, a setting makes no sense, or the encoder cannot be had or takes no
            concept of these; nothing was changed.
    """
    require_warehouse(warehouse)
    recipe = chosen_recipe(ScoreRecipe, recipe, settings)
    if recipe.fidelity:
        return _judge(warehouse, recipe, progress, command)
    started = time.perf_counter()
    scoring = resolve_scoring(
        recipe.method, recipe.parameters, recipe.prompts, recipe.null_draws, recipe.seed, recipe.keep_concepts
    )
    device = resolve_device(recipe.device)
    machine = choose_machine(warehouse, recipe.engine, recipe.device, address=recipe.address, workers=recipe.workers)
    recipe, encoder = _with_encoder_by_name(warehouse, recipe)
    is_embedded = has_embeddings(scoring)
    chosen = _chosen_layers(warehouse, recipe, embedded=is_embedded)
    first = chosen.row(0, named=True)
    layers = [StoredLayer(*row) for row in chosen.select("layer_id", "units", "layer_fingerprint").iter_rows()]
    masks = _masks(warehouse, scoring, first["probe_id"], chosen)
    concept_set = _concept_set(warehouse, recipe, scoring, first) if masks is None else None
    with warehouse.transaction():  # new concepts come with their embeddings, or not at all
        kept_together = recipe.keep_together or scorings.way_of_judging(warehouse, first["probe_id"])
        basis = _basis(warehouse, concept_set, masks, first, kept_together)
        pending = pending_layers(warehouse, basis, layers, scoring)
        if pending:
            embed_concepts(
                warehouse,
                basis,
                scoring.prompts,
                lambda: encoder or encoder_of_row(first, trust_code=recipe.trust_code),
                progress,
            )
    without_labels: tuple[str, ...] = ()
    if pending:
        with recorded_run(warehouse, command, device, as_json(recipe)) as (run_id, timing):
            judge = judged(scoring, warehouse.path.parent)
            without_labels = label_layers(warehouse, basis, pending, scoring, judge, machine.label, run_id, progress)
            timing.score = time.perf_counter() - started
    notes = tuple(name_note(warehouse, concept_set.entry)) if concept_set else ()
    if masks is None:
        notes += _not_by_masks(warehouse, scoring, [layer.layer_id for layer in layers])
    return ScoreSummary(len(layers), len(pending), time.perf_counter() - started, without_labels + notes)


def _judge(warehouse: Warehouse, recipe: ScoreRecipe, progress: Progress, command: str) -> ScoreSummary:
    """Judge the labels that are there and were not judged so."""
    started = time.perf_counter()
    same = ScoreRecipe(fidelity=True, **{name: getattr(recipe, name) for name in _OF_JUDGING})
    if odd := [name for name in vars(same) if getattr(recipe, name) != getattr(same, name)]:
        raise ScoringError(f"fidelity is of the labels that are there, however they were made; leave out {odd[0]}")
    _require_labelled(warehouse, recipe)
    device = resolve_device(recipe.device)
    machine = choose_machine(warehouse, recipe.engine, recipe.device, address=recipe.address, workers=recipe.workers)
    rows = scorings.unjudged(warehouse, recipe.models, recipe.layers, recipe.keep_together).to_dicts()
    with_images = [row for row in rows if row["probe_id"] is not None]
    done, notes = 0, tuple[str, ...]()
    if with_images:
        with recorded_run(warehouse, command, device, as_json(recipe)) as (_, timing):
            done, notes = judge_stored(warehouse, with_images, machine.label, progress, trust_code=recipe.trust_code)
            timing.score = time.perf_counter() - started
    if without := len(rows) - len(with_images):
        notes += (
            f"{without} scorings are of layers without activations and embeddings here, so nothing can judge them; "
            "`cli ingest` of the same model and layers makes these (in a new file, if the model is known here by its "
            "labels alone; import them there again)",
        )
    return ScoreSummary(len(rows), done, time.perf_counter() - started, notes)


def _require_labelled(warehouse: Warehouse, recipe: ScoreRecipe) -> None:
    """Refuse names of models and layers that have no labels.

    Raises:
        ScoringError: one has none.
    """
    labelled = warehouse.sql("select model, layer from scorings").pl()
    for column, names in (("model", recipe.models), ("layer", recipe.layers)):
        known: list[str] = sorted(set(labelled[column].to_list()))
        for name in names:
            if name not in known:
                hint = did_you_mean(name, known, then=f"it holds {', '.join(known) or 'none'}")
                raise ScoringError(f"{warehouse.path} holds no labels of {column} {name!r}; {hint}")


def _concept_set(
    warehouse: Warehouse, recipe: ScoreRecipe, scoring: Scoring, layer: dict[str, Any]
) -> ConceptSet | None:
    """The concepts that the recipe names, or the images' own labels where no embedding is looked at."""
    if has_embeddings(scoring):
        return load_concepts(recipe.concepts) if recipe.concepts else None
    otherwise = ""
    if Need.MASKS in labeler_of(scoring).needs:
        quantile = f"--parameter quantile={scoring.parameters['quantile']:g}"
        again = f"cli ingest --masks FOLDER --method {scoring.method} {quantile}"
        otherwise = f"; masks are looked at anew for each quantile, with `{again}`"
    return image_label_concepts(layer["probe"], features.probe_labels(warehouse, layer["probe_id"]), otherwise)


def _masks(warehouse: Warehouse, scoring: Scoring, probe_id: int, chosen: pl.DataFrame) -> int | None:
    """The concept set of the masks that the layers were looked at beside last; None where no masks are asked for.

    It is None also where none of them was: their images' own labels have to do.

    Raises:
        ScoringError: only some of them were.
    """
    if Need.MASKS not in labeler_of(scoring).needs:
        return None
    dissected = dissections.dissected_layers(warehouse, probe_id, float(scoring.parameters["quantile"]))
    wanted = set(chosen["layer_id"])
    for concept_set_id, layer_ids in dissected.items():
        if wanted <= {*layer_ids}:
            return concept_set_id
    for layer_ids in dissected.values():
        if known := wanted & {*layer_ids}:
            lacking = chosen.filter(~pl.col("layer_id").is_in(known)).row(0, named=True)
            raise ScoringError(
                f"{lacking['layer']} of {lacking['model']} was not looked at beside the probe's masks, as others were; "
                "choose layers with --layers, or name all with `cli ingest --method network_dissection`"
            )
    return None


def _not_by_masks(warehouse: Warehouse, scoring: Scoring, layer_ids: Sequence[int]) -> tuple[str, ...]:
    """A note where images' own labels counted for layers that were looked at beside masks, with other quantiles."""
    if Need.MASKS not in labeler_of(scoring).needs:
        return ()
    known = sorted({each for layer_id in layer_ids for each in dissections.quantiles(warehouse, layer_id)})
    if not known:
        return ()
    others = " and ".join(f"{each:g}" for each in known)
    return (
        f"the images' own labels counted, not their masks: these were looked at with --parameter quantile={others}",
    )


def _with_encoder_by_name(warehouse: Warehouse, recipe: ScoreRecipe) -> tuple[ScoreRecipe, Encoder | None]:
    """The recipe with the encoder by its stored name; and the encoder itself if the user said where it is.

    Raises:
        ScoringError: what is there made none of the embeddings.
    """
    spec = recipe.encoder
    stored = encoders.names_by_fingerprint(warehouse)
    if spec is None or spec in stored.values() or not is_place(spec):
        return recipe, None
    encoder = variant_among(load_encoder(spec, trust_code=recipe.trust_code), list(stored))
    if encoder is None:
        names = ", ".join(stored.values()) or "no encoder"
        raise ScoringError(f"{spec} made none of the embeddings in {warehouse.path}; it holds those of {names}")
    return replace(recipe, encoder=stored[encoder.fingerprint]), encoder


def _chosen_layers(warehouse: Warehouse, recipe: ScoreRecipe, *, embedded: bool) -> pl.DataFrame:
    """Rows of the query `stored_layers` that the recipe asks for.

    Raises:
        ScoringError: there are none, or a name is unknown.
    """
    named = {"probe": recipe.probe, "encoder": recipe.encoder}
    given = {name: value for name, value in named.items() if value is not None}
    of_kind = {"embedded": str(embedded).lower()}
    asked = warehouse.query("stored_layers", **of_kind, **given).pl()
    which = " and ".join(f"{name} {value}" for name, value in given.items())
    if asked.is_empty():
        embeds = ", and `cli ingest --encoder ... --concepts ...` embeds images for this method" if embedded else ""
        raise ScoringError(
            f"{warehouse.path} holds no layer with activations{f' for {which}' if which else ''}; "
            f"`{hints.command('cli status', warehouse.path)}` shows what it holds{embeds}"
        )
    for setting in asked.partition_by("probe_id", "encoder_id", maintain_order=True):
        of_models = _among(setting, "model", recipe.models)
        chosen = _among(of_models, "layer", recipe.layers)
        if {*recipe.models} <= {*of_models["model"]} and {*recipe.layers} <= {*chosen["layer"]}:
            return chosen
    stored = warehouse.query("stored_layers", **of_kind).pl()
    raise ScoringError(f"{warehouse.path} holds {_why_none(recipe, which, stored, asked)}")


def _among(stored: pl.DataFrame, column: str, names: Sequence[str]) -> pl.DataFrame:
    """The rows with one of these names; all where there are none."""
    return stored.filter(pl.col(column).is_in(list(names))) if names else stored


def _why_none(recipe: ScoreRecipe, which: str, stored: pl.DataFrame, asked: pl.DataFrame) -> str:
    """What keeps the models and layers from being found with one probe and encoder, or with the one asked for."""
    found: list[str] = []
    for column, names in (("model", recipe.models), ("layer", recipe.layers)):
        for name in names:
            elsewhere, here = (_among(rows, column, [name]) for rows in (stored, asked))
            if here.is_empty() and not elsewhere.is_empty():
                return f"{column} {_with_setting(name, elsewhere)}, not with {which}"
            if here.is_empty():
                known: list[str] = asked[column].unique(maintain_order=True).to_list()
                holds = f"it holds {', '.join(known)}"
                return f"no {column} {name!r}; {did_you_mean(name, known, then=holds)}"
            found.append(_with_setting(name, here))
        stored, asked = (_among(rows, column, names) for rows in (stored, asked))
    return f"{' and '.join(found)}, and not all with the same; score them one by one"


def _with_setting(name: str, stored: pl.DataFrame) -> str:
    """A name, and the newest probe and encoder that it is stored with."""
    first = stored.row(0, named=True)
    return f"{name!r} with probe {first['probe']} and encoder {first['encoder']}"


def _basis(
    warehouse: Warehouse, concept_set: ConceptSet | None, masks: int | None, layer: dict[str, Any], kept_together: str
) -> Basis:
    """The images and embeddings of the chosen layers, with these concepts, those of masks or else the newest ones."""
    probe_id, encoder_id = layer["probe_id"], layer["encoder_id"]
    if concept_set:
        fingerprint = concept_set.fingerprint
        concept_ids = register_concepts(warehouse, concept_set.texts)
        concept_set_id = register_concept_set(warehouse, concept_set, concept_ids)
    else:
        concept_set_id = masks or scorings.newest_concept_set(warehouse, probe_id, encoder_id)
        if concept_set_id is None:
            raise ScoringError("these activations were never scored; name concepts with --concepts")
        fingerprint, concept_ids = concepts.stored_set(warehouse, concept_set_id)
    return Basis(
        Inputs(probe_id, encoder_id, concept_set_id, kept_together),
        probe_fingerprint=layer["probe_fingerprint"],
        encoder_fingerprint=layer["encoder_fingerprint"],
        concept_set_fingerprint=fingerprint,
        concept_ids=tuple(concept_ids),
    )
