"""The labels that a file has of each layer, as scorings: what of them is there already, and the rest stored."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from neuronlake.ingest.concepts import concept_sets
from neuronlake.ingest.importers.label_files import UNKNOWN, ImportedFileError, ImportOptions, LabelRow, Term
from neuronlake.ingest.networks.known_by_name import layer_positions
from neuronlake.sql.store import concepts, scorings
from neuronlake.sql.store.encoders import register_encoder
from neuronlake.sql.store.layers import Layer, layer_of_name, model_of, move_later, register_layer, register_model
from neuronlake.sql.store.names import Entry
from neuronlake.sql.store.probes import register_named_probe
from neuronlake.sql.store.scorings import ImportedScoring, Judgement, ScoringRow
from neuronlake.sql.warehouse import Warehouse


@dataclass(frozen=True)
class LayerScoring:
    """The labels that a file has of one layer.

    Attributes:
        keys: numbers of what they are of.
        known: number of the scoring, where it is there.
        labels_change: whether the labels are not there yet, or not so.
        correlations: those to be stored: unit, correlation; None where there are none, or just these are there.
        overlaps: what units and concepts have in common, see `_overlaps`; empty where the file does not say it, or just
            that is there.
    """

    keys: dict[str, int]
    fingerprint: str
    method: str
    rows: list[LabelRow]
    known: int | None
    labels_change: bool
    correlations: pl.DataFrame | None
    overlaps: pl.DataFrame

    @property
    def changes(self) -> bool:
        """Whether anything is to be stored."""
        return self.labels_change or self.correlations is not None or not self.overlaps.is_empty()


def scorings_of(
    warehouse: Warehouse, path: Path, digest: str, options: ImportOptions, layers: dict[str, list[LabelRow]]
) -> Iterator[LayerScoring]:
    """The layers of a file, and what of them is not there yet; what the file names is registered.

    Raises:
        ImportedFileError: a layer has fewer units, or other labels under the same settings, or was judged here.
        NameTakenError: a name stands for something else.
    """
    method = str(options.method)
    model_id = _model(warehouse, str(options.model))
    positions = layer_positions(options.model or "")
    setting = _setting(warehouse, options)
    for place, (name, rows) in enumerate(layers.items()):
        units = max(row.unit for row in rows) + 1
        layer = Layer(
            model_id, name, f"imported:{options.model}:{name}", positions.get(name, place), units, is_imported=True
        )
        keys = {"layer_id": _layer(warehouse, path, options, layer), **setting}
        fingerprint = _fingerprint(keys, method, rows)
        there = {each.fingerprint: each for each in scorings.imported_like(warehouse, **keys, method=method)}
        known = there.get(fingerprint) or _as_read_at_first(there, digest, keys, method, rows)
        if there and known is None:
            raise ImportedFileError(
                f"{path}: {name} of {options.model} has other labels under the same settings already; "
                "tell them apart with --concepts, --method, --encoder or --probe"
            )
        labels_change = known is None or known.fingerprint != fingerprint
        correlations = _correlations(rows)
        if known and not labels_change and correlations is not None:
            correlations = _news(warehouse, f"{path}: the labels of {name}", known.scoring_id, correlations)
        scoring_id = known.scoring_id if known else None
        overlaps = _overlaps(rows)
        if scoring_id and not labels_change and scorings.overlaps(warehouse, scoring_id).equals(overlaps):
            overlaps = overlaps.clear()
        yield LayerScoring(keys, fingerprint, method, rows, scoring_id, labels_change, correlations, overlaps)


def _setting(warehouse: Warehouse, options: ImportOptions) -> dict[str, int]:
    """Numbers of the probe, the encoder and the concept set that the user or the file names."""
    encoder = _entry("encoders", "--encoder", options.encoder)
    concept_set = _entry("concept_sets", "--concepts", options.concepts)
    return {
        "probe_id": register_named_probe(warehouse, _entry("probes", "--probe", options.probe)),
        "encoder_id": register_encoder(warehouse, encoder, "imported", "imported", "float32"),
        "concept_set_id": concepts.register_concept_set(warehouse, concept_set),
    }


def _as_read_at_first(
    there: dict[str, ImportedScoring], digest: str, keys: dict[str, int], method: str, rows: list[LabelRow]
) -> ImportedScoring | None:
    """The scoring that an older version made of the same file, see `LabelRow.as_read_at_first`."""
    found = there.get(_fingerprint(keys, method, [row.as_read_at_first() for row in rows]))
    # another file may differ in just these labels
    return found if found and found.file_digest == digest else None


def _fingerprint(keys: dict[str, int], method: str, rows: list[LabelRow]) -> str:
    """What tells the labels of one layer from others: sums by all their terms and what is added to these."""
    sums, intercepts = [row.terms for row in rows], [row.intercept for row in rows]
    parts = ("imported", keys, method, rows)
    if any(sums):
        parts += (sums,)
    if any(intercept is not None for intercept in intercepts):
        parts += (intercepts,)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _correlations(rows: list[LabelRow]) -> pl.DataFrame | None:
    """What the file says of a layer's units, those that it passes over too: unit, correlation; None if nothing."""
    if all(row.correlation is None for row in rows):
        return None
    given = {row.unit: row.correlation for row in rows}
    units = range(max(given) + 1)
    values = [given.get(unit) for unit in units]
    return pl.DataFrame({"unit": units, "correlation": values}, schema={"unit": pl.Int32, "correlation": pl.Float32})


def _news(warehouse: Warehouse, labels: str, scoring_id: int, correlations: pl.DataFrame) -> pl.DataFrame | None:
    """The correlations, unless just these are there.

    Raises:
        ImportedFileError: the labels were judged by images that are here, which says more.
    """
    judge = scorings.judging_probe(warehouse, scoring_id)
    if judge is not None:
        raise ImportedFileError(
            f"{labels} were judged by the images of {judge} since; import them under another --method to have the "
            "file's correlations beside that"
        )
    return None if scorings.correlations(warehouse, scoring_id).equals(correlations) else correlations


def _overlaps(rows: list[LabelRow]) -> pl.DataFrame:
    """What units and concepts have in common, in the order of both; see `scorings.overlaps`."""
    found = [(row.unit, each.concept, each.intersection, each.union) for row in rows for each in row.overlaps]
    schema = {"unit": pl.Int32, "concept": pl.String, "intersection_pixels": pl.Int64, "union_pixels": pl.Int64}
    return pl.DataFrame(found, schema, orient="row").sort("unit", "concept")


def store(warehouse: Warehouse, scoring: LayerScoring, run_id: int) -> None:
    """What of a layer's labels and their correlations is not there yet."""
    scoring_id = scoring.known
    if scoring_id is None:
        scoring_id = scorings.insert_scoring(warehouse, _scoring_row(scoring, run_id))
    elif scoring.labels_change:
        scorings.forget_labels(warehouse, scoring_id, scoring.fingerprint, run_id)
    numbers = _join_set(warehouse, scoring.keys["concept_set_id"], scoring.rows)
    if scoring.labels_change:
        _insert_labels(warehouse, scoring_id, scoring.rows, numbers)
    if scoring.correlations is not None:
        # none of the images behind such figures chose the label: it came from elsewhere
        fidelities = scoring.correlations.with_columns(held_out_correlation="correlation")
        scorings.insert_judgement(warehouse, Judgement(scoring_id), fidelities)
    if not scoring.overlaps.is_empty():
        numbered = scoring.overlaps.with_columns(
            concept_id=pl.col("concept").replace_strict(numbers, return_dtype=pl.Int32)
        )
        scorings.replace_overlaps(warehouse, scoring_id, numbered.drop("concept"))


def _scoring_row(scoring: LayerScoring, run_id: int) -> ScoringRow:
    """The scoring's own row."""
    return ScoringRow(
        fingerprint=scoring.fingerprint,
        run_id=run_id,
        layer_id=scoring.keys["layer_id"],
        probe_id=scoring.keys["probe_id"],
        encoder_id=scoring.keys["encoder_id"],
        concept_set_id=scoring.keys["concept_set_id"],
        labeler="imported",
        method=scoring.method,
        units=max(row.unit for row in scoring.rows) + 1,
        kept_concepts=int(_has_matrix(scoring.rows)),
    )


def _has_similarities(rows: list[LabelRow]) -> bool:
    """Whether the file says how similar each label is."""
    return all(row.similarity is not None for row in rows if row.description)


def _has_matrix(rows: list[LabelRow]) -> bool:
    """Whether that is a cell of a unit-by-concept matrix: a sum's score is of none of its concepts."""
    return _has_similarities(rows) and not any(row.terms for row in rows)


def _insert_labels(warehouse: Warehouse, scoring_id: int, rows: list[LabelRow], numbers: Mapping[str, int]) -> None:
    """The labels with their terms, and their similarities where the file has them."""
    given = {row.unit: row.similarity for row in rows} if _has_similarities(rows) else {}
    intercepts = {row.unit: row.intercept for row in rows}
    # a unit that the file passes over has no label, as one that it leaves blank
    units = range(max(row.unit for row in rows) + 1)
    labels = pl.DataFrame(
        {
            "unit": units,
            "similarity": [given.get(unit) for unit in units],
            "intercept": [intercepts.get(unit) for unit in units],
        },
        schema={"unit": pl.Int32, "similarity": pl.Float32, "intercept": pl.Float32},
    )
    terms = pl.DataFrame(
        [
            (row.unit, position, numbers[term.concept], term.weight)
            for row in sorted(rows, key=lambda row: row.unit)
            for position, term in enumerate(_terms(row))
        ],
        schema={"unit": pl.Int32, "position": pl.Int32, "concept_id": pl.Int32, "weight": pl.Float32},
        orient="row",
    )
    scorings.insert_labels(warehouse, scoring_id, labels, terms)
    if _has_matrix(rows):
        scores = labels.select("unit", "similarity")
        matrix = terms.select("unit", "concept_id").join(scores, on="unit", maintain_order="left")
        scorings.insert_similarities(warehouse, scoring_id, matrix)


def _terms(row: LabelRow) -> tuple[Term, ...]:
    """The concepts of a label, one or several; of no label none."""
    return row.terms or ((Term(row.description, 1.0),) if row.description else ())


def _layer(warehouse: Warehouse, path: Path, options: ImportOptions, layer: Layer) -> int:
    """The number of the layer of that name, of the model of that name, whether computed here or imported before."""
    found = layer_of_name(warehouse, layer.model_id, layer.name)
    if found is None:
        return register_layer(warehouse, layer)[0]
    number, known = found
    if known.units < layer.units:
        raise ImportedFileError(
            f"{path} has labels for {layer.units} units of {layer.name}, and {layer.name} of {options.model} has "
            f"{known.units}" + ("; say which layer the file is about with --layer" if layer.name == UNKNOWN else "")
        )
    # a file with more of the layers knows their order better
    move_later(warehouse, number, layer.position)
    return number


def _model(warehouse: Warehouse, name: str) -> int:
    """The model of that name, whether computed here or imported: the user says that the labels are of it."""
    known = model_of(warehouse, name=name)
    return register_imported_model(warehouse, name, f"imported:{name}") if known is None else known


def register_imported_model(warehouse: Warehouse, name: str, fingerprint: str) -> int:
    """The number of a model of which nothing is known but what was imported.

    Raises:
        NameTakenError: another has its name.
    """
    entry = Entry("models", name, fingerprint, name, lambda new: f"--model {new}")
    return register_model(warehouse, entry, "imported", "imported", is_random=False)


def _entry(table: str, option: str, name: str | None) -> Entry:
    """What is known by its name alone; it never passes for something of the same name that was computed here."""
    shown = f"{name} (imported)"
    return Entry(table, shown, f"imported:{name}", str(name), lambda new: f"{option} {new}")


def _join_set(warehouse: Warehouse, concept_set_id: int, rows: list[LabelRow]) -> dict[str, int]:
    """Numbers of the labels and of what else units meet, which join the set: of an imported one no more is known."""
    of_labels = [term.concept for row in rows for term in _terms(row)]
    met = {each.concept: each.category for row in rows for each in row.overlaps}
    texts = list(dict.fromkeys([*of_labels, *met]))
    numbers = concepts.register_concepts(warehouse, texts)
    given = met | {row.description: row.category for row in reversed(rows) if row.category}
    usual = {each.text: each.category for each in concept_sets.load_concepts(("broden",)).concepts}
    members = pl.DataFrame(
        {
            "concept_id": numbers,
            "category": [given.get(text) or usual.get(text, "none") for text in texts],
            "is_given": [text in given for text in texts],
        },
        schema={"concept_id": pl.Int32, "category": pl.String, "is_given": pl.Boolean},
    )
    concepts.add_members(warehouse, concept_set_id, members.drop("is_given"))
    # what is there already may have been taken for something else of the same name
    concepts.correct_categories(warehouse, concept_set_id, members.filter("is_given"))
    return dict(zip(texts, numbers, strict=True))
