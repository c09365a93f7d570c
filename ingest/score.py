"""Stored activations scored again: with other concepts, another method, other parameters, and no image."""

from __future__ import annotations

import difflib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import polars as pl

from neuronlake.ingest.concepts.concept_sets import ConceptSet, load_concepts
from neuronlake.ingest.encoders.loading import in_some_precision, is_place, load_encoder, load_stored_encoder
from neuronlake.ingest.encoders.protocol import Encoder
from neuronlake.ingest.history import no_progress, recorded_run
from neuronlake.ingest.labelers.settings import DEFAULT_DRAWS, DEFAULT_METHOD, ScoringError, resolve_scoring
from neuronlake.ingest.plan import check_engine, resolve_device
from neuronlake.ingest.register import register_concept_set
from neuronlake.ingest.scoring import (
    Basis,
    choose_scoring_engine,
    embed_concepts,
    pending_scorings,
    score_layers,
)
from neuronlake.ingest.settings import chosen_recipe
from neuronlake.ingest.stored import StoredLayer
from neuronlake.sql import hints
from neuronlake.sql.store.concepts import register_concepts
from neuronlake.sql.store.names import name_note
from neuronlake.sql.warehouse import Warehouse, require_warehouse


@dataclass(frozen=True)
class ScoreRecipe:
    """What to score again, with what, and how.

    Attributes:
        models: names of models; all where empty.
        layers: names of layers; all where empty.
        probe: name of the probe; the newest where None.
        encoder: name of the encoder, or where it is, as for `Recipe`; the newest where None.
        trust_code: run code that only the warehouse names, and read files that hold code.
        concepts: concept sets, joined; those of the newest scoring where empty.
        prompts: texts that each concept is put into, at ``{}``; see `prompts.checked_prompts`.
        method: a similarity function.
        parameters: of the method, where they differ from its defaults.
        keep_concepts: how many of each unit's best concepts to store; all where None.
        null_draws: pseudo-units behind the p-values.
        seed: of the pseudo-units.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        engine: what scores: ``local``, this process, or ``ray``, a cluster.
        address: of the Ray cluster; one is started here where None.
        workers: of the Ray engine; by the cluster's GPUs or cores where None.
    """

    models: Sequence[str] = ()
    layers: Sequence[str] = ()
    probe: str | None = None
    encoder: str | None = None
    trust_code: bool = False
    concepts: Sequence[str] = ()
    prompts: Sequence[str] = ("{}",)
    method: str = DEFAULT_METHOD
    parameters: Mapping[str, int | float] = field(default_factory=dict[str, "int | float"])
    keep_concepts: int | None = None
    null_draws: int = DEFAULT_DRAWS
    seed: int = 0
    device: str = "auto"
    engine: str = "local"
    address: str | None = None
    workers: int | None = None


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
    progress: Callable[[str, int, int], None] | None = None,
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
    report = progress or no_progress
    started = time.perf_counter()
    scoring = resolve_scoring(
        recipe.method, recipe.parameters, recipe.prompts, recipe.null_draws, recipe.seed, recipe.keep_concepts
    )
    check_engine(recipe.engine, recipe.workers)
    device = resolve_device(recipe.device)
    engine = choose_scoring_engine(recipe.engine, recipe.device, recipe.address, recipe.workers)
    recipe, encoder = _with_encoder_by_name(warehouse, recipe)
    chosen = _chosen_layers(warehouse, recipe)
    first = chosen.row(0, named=True)
    layers = [StoredLayer(*row) for row in chosen.select("layer_id", "units", "layer_fingerprint").iter_rows()]
    concept_set = load_concepts(recipe.concepts) if recipe.concepts else None
    with warehouse.transaction():  # new concepts come with their embeddings, or not at all
        basis = _basis(warehouse, concept_set, first)
        pending = pending_scorings(warehouse, basis, layers, scoring)
        if pending:
            embed_concepts(
                warehouse,
                basis,
                scoring.prompts,
                lambda: encoder or _stored_encoder(first, recipe),
                report,
            )
    if pending:
        with recorded_run(warehouse, command, device, json.dumps(asdict(recipe))) as (run_id, timing):
            score_layers(warehouse, basis, pending, scoring, engine, run_id, report)
            timing.score = time.perf_counter() - started
    notes = tuple(name_note(warehouse, concept_set.entry)) if concept_set else ()
    return ScoreSummary(len(layers), len(pending), time.perf_counter() - started, notes)


def _with_encoder_by_name(warehouse: Warehouse, recipe: ScoreRecipe) -> tuple[ScoreRecipe, Encoder | None]:
    """The recipe with the encoder by its stored name; and the encoder itself if the user said where it is.

    Raises:
        ScoringError: what is there made none of the embeddings.
    """
    spec = recipe.encoder
    stored: dict[str, str] = dict(warehouse.sql("select fingerprint, name from store.encoders").fetchall())
    if spec is None or spec in stored.values() or not is_place(spec):
        return recipe, None
    encoder = in_some_precision(load_encoder(spec, trust_code=recipe.trust_code), list(stored))
    if encoder is None:
        names = ", ".join(stored.values()) or "no encoder"
        raise ScoringError(f"{spec} made none of the embeddings in {warehouse.path}; it holds those of {names}")
    return replace(recipe, encoder=stored[encoder.fingerprint]), encoder


def _stored_encoder(layer: dict[str, str], recipe: ScoreRecipe) -> Encoder:
    """The encoder of the chosen layers, from where the warehouse says that it is."""
    return load_stored_encoder(
        layer["encoder"], layer["encoder_source"], layer["encoder_fingerprint"], trust_code=recipe.trust_code
    )


def _chosen_layers(warehouse: Warehouse, recipe: ScoreRecipe) -> pl.DataFrame:
    """Rows of the query `stored_layers` that the recipe asks for.

    Raises:
        ScoringError: there are none, or a name is unknown.
    """
    named = {"probe": recipe.probe, "encoder": recipe.encoder}
    given = {name: value for name, value in named.items() if value is not None}
    stored = warehouse.query("stored_layers").pl()
    asked = warehouse.query("stored_layers", **given).pl()
    which = " and ".join(f"{name} {value}" for name, value in given.items())
    if asked.is_empty():
        raise ScoringError(
            f"{warehouse.path} holds no layer with activations{f' for {which}' if which else ''}; "
            f"`{hints.command('cli status', warehouse.path)}` shows what it holds"
        )
    for setting in asked.partition_by("probe_id", "encoder_id", maintain_order=True):
        of_models = _among(setting, "model", recipe.models)
        chosen = _among(of_models, "layer", recipe.layers)
        if {*recipe.models} <= {*of_models["model"]} and {*recipe.layers} <= {*chosen["layer"]}:
            return chosen
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
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}? it holds" if near else "it holds"
                return f"no {column} {name!r}; {hint} {', '.join(known)}"
            found.append(_with_setting(name, here))
        stored, asked = (_among(rows, column, names) for rows in (stored, asked))
    return f"{' and '.join(found)}, and not all with the same; score them one by one"


def _with_setting(name: str, stored: pl.DataFrame) -> str:
    """A name, and the newest probe and encoder that it is stored with."""
    first = stored.row(0, named=True)
    return f"{name!r} with probe {first['probe']} and encoder {first['encoder']}"


def _basis(warehouse: Warehouse, concept_set: ConceptSet | None, layer: dict[str, object]) -> Basis:
    """The images and embeddings of the chosen layers, with these concepts or else the newest ones."""
    probe_id, encoder_id = int(str(layer["probe_id"])), int(str(layer["encoder_id"]))
    if concept_set:
        fingerprint = concept_set.fingerprint
        concept_ids = register_concepts(warehouse, concept_set.texts)
        concept_set_id = register_concept_set(warehouse, concept_set, concept_ids)
    else:
        concept_set_id = warehouse.scalar(
            "select concept_set_id from store.scorings where probe_id = $probe_id and encoder_id = $encoder_id"
            " order by scoring_id desc limit 1",
            probe_id=probe_id,
            encoder_id=encoder_id,
        )
        if concept_set_id is None:
            raise ScoringError("these activations were never scored; name concepts with --concepts")
        fingerprint = warehouse.scalar(
            "select fingerprint from store.concept_sets where concept_set_id = $id", id=concept_set_id
        )
        members = warehouse.sql(
            "select concept_id from store.concept_set_concepts where concept_set_id = $id order by position",
            id=concept_set_id,
        )
        concept_ids = [row[0] for row in members.fetchall()]
    return Basis(
        probe_id=probe_id,
        probe_fingerprint=str(layer["probe_fingerprint"]),
        encoder_id=encoder_id,
        encoder_fingerprint=str(layer["encoder_fingerprint"]),
        concept_set_id=concept_set_id,
        concept_set_fingerprint=fingerprint,
        concept_ids=tuple(concept_ids),
    )
