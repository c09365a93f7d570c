"""A small warehouse filled by hand: two models, two settings, dead and broken units, ties.

Everything in it is consistent, so `cli verify` finds nothing, and small enough to count on paper.

    images     1 a/one.png   2 a/two.png   3 b/three.png   4 b/four.png   5 broken.png (cannot be read)
    chunks     of two images: 1 2 | 3 4 | 5
    concepts   1 dog   2 cat   3 dotted   4 dots   5 sky   6 mystery (in no category)
    set words  all six, with categories; set few: dog and cat, in which dog has no category
    layers     1 alpha early   2 alpha late   3 beta early   4 beta head
    scorings   1 to 4: soft_wpmi over words, of layers 1 to 4 (setting 1)
               5 and 6: cos_similarity over few, of layers 2 and 4 (setting 5), the only ones that were judged
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl

from neuronlake.sql.opening import open_warehouse
from neuronlake.sql.store.scorings import Judgement, insert_judgement
from neuronlake.sql.warehouse import Warehouse

NOT_FINITE = None
IMAGES = {1: "a/one.png", 2: "a/two.png", 3: "b/three.png", 4: "b/four.png", 5: "broken.png"}
CONCEPTS = {1: "dog", 2: "cat", 3: "dotted", 4: "dots", 5: "sky", 6: "mystery"}
CATEGORIES = {
    "words": {1: "object", 2: "object", 3: "texture", 4: "texture", 5: "scene", 6: "none"},
    "few": {1: "none", 2: "object"},
}
LAYERS = {1: ("alpha", "early", 1), 2: ("alpha", "late", 5), 3: ("beta", "early", 1), 4: ("beta", "head", 9)}

# layer: for each unit its activations for images 1 to 4
ACTIVATIONS: dict[int, list[list[float | None]]] = {
    1: [[1, 2, 3, 3], [4, 3, 2, 1], [0, 0, 0, 0]],
    2: [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
    3: [[2, 4, 6, 6], [1, 2, 3, 4], [1, 1, 2, 1]],
    4: [[1, 0, 0, 0], [1, NOT_FINITE, 2, 3], [0, 1, 1, 0]],
}

IMAGE_EMBEDDINGS = {1: [1.0, 0.0, 0.0], 2: [0.0, 1.0, 0.0], 3: [0.0, 0.0, 1.0], 4: [0.6, 0.0, 0.8]}
CONCEPT_EMBEDDINGS = {
    1: [1.0, 0.0, 0.0],
    2: [0.0, 1.0, 0.0],
    3: [0.0, 0.0, 1.0],
    4: [0.28, 0.0, 0.96],  # nearly dotted: their cosine is 0.96
    5: [0.0, 0.6, 0.8],
    6: [0.6, 0.8, 0.0],
}

# scoring: for each unit its similarity to the concepts of the set, in order; None for a unit that is not live
SIMILARITIES: dict[int, list[list[float] | None]] = {
    1: [[0.1, 0.2, 0.9, 0.8, 0.0, 0.1], [0.1, 0.5, 0.7, 0.4, 0.0, 0.1], None],
    2: [
        [0.6, 0.4, 0.0, 0.1, 0.2, 0.3],
        [0.5, 0.1, 0.0, 0.1, 0.5, 0.3],  # dog and sky tie
        [0.1, 0.8, 0.0, 0.0, 0.05, 0.0],
        [0.2, 0.3, 0.0, 0.1, 0.1, 0.4],
    ],
    3: [
        [0.0, 0.1, 0.85, 0.9, 0.0, 0.1],
        [0.2, 0.6, 0.0, 0.1, 0.1, 0.1],
        [0.2, 0.4, 0.1, 0.3, 0.1, 0.1],
    ],
    4: [[0.7, 0.6, 0.0, 0.1, 0.1, 0.1], None, [0.45, 0.5, 0.0, 0.1, 0.1, 0.1]],
    5: [[0.2, 0.3], [0.1, 0.3], [0.0, 0.9], [0.2, 0.1]],
    6: [[0.3, 0.2], None, [0.25, 0.2]],
}

# scoring: for each unit its label, the runner-up, and q; labels of setting 1 in words:
#   alpha early  dotted dotted -       alpha late  dog dog cat mystery
#   beta early   dots cat cat          beta head   dog - cat
# and of setting 5:
#   alpha late   cat cat cat dog       beta head   dog - dog
LABELS: dict[int, list[tuple[int, int, float] | None]] = {
    1: [(3, 4, 0.003), (3, 2, 0.03), None],
    2: [(1, 2, 0.01), (1, 5, 0.2), (2, 1, 0.01), (6, 2, 0.5)],
    3: [(4, 3, 0.01), (2, 1, 0.04), (2, 4, 0.06)],
    4: [(1, 2, 0.01), None, (2, 1, 0.03)],
    5: [(2, 1, 0.01), (2, 1, 0.01), (2, 1, 0.01), (1, 2, 0.01)],
    6: [(1, 2, 0.01), None, (1, 2, 0.01)],
}
# scoring: for each unit how far to believe its label: held-out correlation, ceiling, stability, confidence.
# By these, and where there are none by q, these labels hold:
#   setting 1    alpha early  dotted dotted -     alpha late  dog    -   cat -
#                beta early   dots cat -          beta head   dog - cat
#   setting 5    alpha late   cat - cat dog       beta head   - - dog
FIDELITIES: dict[int, list[tuple[float, float, float, float] | None]] = {
    5: [(0.5, 0.6, 1.0, 0.9), (0.1, 0.4, 0.2, 0.3), (0.4, 0.5, 0.8, 0.5), (0.2, 0.3, 0.6, 0.75)],
    6: [(0.0, 0.2, 0.4, 0.25), None, (0.3, 0.4, 0.6, 0.625)],
}
SCORED_LAYERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 2, 6: 4}


def build(path: Path) -> Warehouse:
    """Make the small warehouse at a path; it stays open for writing."""
    warehouse = open_warehouse(path, write=True)
    with warehouse.transaction():
        _insert_runs(warehouse)
        _insert_names(warehouse)
        _insert_images(warehouse)
        _insert_embeddings(warehouse)
        for layer_id, units in ACTIVATIONS.items():
            _insert_layer(warehouse, layer_id, units)
        _insert_chunks(warehouse)
        for scoring_id in SCORED_LAYERS:
            _insert_scoring(warehouse, scoring_id)
        for scoring_id, units in FIDELITIES.items():
            _insert_fidelities(warehouse, scoring_id, units)
    return warehouse


def _insert_runs(warehouse: Warehouse) -> None:
    for run_id, images in ((1, 5), (2, 0)):
        warehouse.execute(
            "insert into store.runs (run_id, command, status, started_at, finished_at, device, versions, recipe,"
            " images, failed_images, extract_seconds, load_seconds, score_seconds)"
            " values ($id, 'cli ingest', 'finished', '2026-01-01 12:00:00', '2026-01-01 12:01:00', 'cpu',"
            " '{}', '{}', $images, $images // 5, 3, 2, 1)",
            id=run_id,
            images=images,
        )


def _insert_names(warehouse: Warehouse) -> None:
    for number, name in ((1, "alpha"), (2, "beta")):
        warehouse.execute(
            "insert into store.models values ($id, $name, 'model ' || $name, 'by hand', false, 'named')",
            id=number,
            name=name,
        )
    for number, (model, layer, position) in LAYERS.items():
        warehouse.execute(
            "insert into store.layers values ($id, $model, $name, 'layer ' || $id, $position, $units, 'mean', null,"
            " 'float32', false)",
            id=number,
            model=1 if model == "alpha" else 2,
            name=layer,
            position=position,
            units=len(ACTIVATIONS[number]),
        )
    warehouse.execute(
        "insert into store.encoders values (1, 'tiny', 'encoder tiny', 3, 'by hand', 'named', 'tiny', 'float32')"
    )
    for number, concept in CONCEPTS.items():
        warehouse.execute("insert into store.concepts values ($id, $concept)", id=number, concept=concept)
    for number, (name, members) in enumerate(CATEGORIES.items(), start=1):
        pairs = [(CONCEPTS[concept_id], category) for concept_id, category in members.items()]
        warehouse.execute(
            "insert into store.concept_sets values ($id, $name, $fingerprint, $concepts, 0, 0)",
            id=number,
            name=name,
            fingerprint=hashlib.sha256(repr(pairs).encode()).hexdigest(),
            concepts=len(members),
        )
        for position, (concept_id, category) in enumerate(members.items()):
            warehouse.execute(
                "insert into store.concept_set_concepts values ($set, $position, $concept, $category, null)",
                set=number,
                position=position,
                concept=concept_id,
                category=category,
            )


def _insert_images(warehouse: Warehouse) -> None:
    digest = hashlib.sha256()
    for path in IMAGES.values():
        digest.update(f"{path}\0sha256 of {path}\n".encode())
    warehouse.execute(
        "insert into store.probes values (1, 'photos', $fingerprint, '/photos', 5, 2, false)",
        fingerprint=digest.hexdigest(),
    )
    for image_id, path in IMAGES.items():
        label = path.split("/")[0] if "/" in path else None
        warehouse.execute(
            "insert into store.images values ($id, 1, $path, $label, 'sha256 of ' || $path, null, null)",
            id=image_id,
            path=path,
            label=label,
        )
        if image_id in IMAGE_EMBEDDINGS:
            warehouse.execute("insert into store.thumbnails values ($id, 8, 6, 'RIFF'::blob)", id=image_id)
    warehouse.execute("insert into store.failed_images values (5, 'not an image that can be read')")


def _insert_embeddings(warehouse: Warehouse) -> None:
    images = pl.DataFrame({"image_id": list(IMAGE_EMBEDDINGS), "embedding": list(IMAGE_EMBEDDINGS.values())})
    warehouse.insert("image_embeddings", images, encoder_id=1)
    concepts = pl.DataFrame({"concept_id": list(CONCEPT_EMBEDDINGS), "embedding": list(CONCEPT_EMBEDDINGS.values())})
    warehouse.insert("concept_embeddings", concepts, encoder_id=1, prompts=["{}"])


def _insert_layer(warehouse: Warehouse, layer_id: int, units: list[list[float | None]]) -> None:
    """Activations, and through the pipeline's own steps the state and the top images of each unit."""
    for unit, values in enumerate(units):
        for image_id, activation in enumerate(values, start=1):
            row = {"layer": layer_id, "unit": unit, "image": image_id, "activation": activation}
            warehouse.execute("insert into store.activations values ($layer, $unit, $image, $activation)", **row)
            if activation is not NOT_FINITE:
                warehouse.execute(
                    "insert into store.top_candidates values ($layer, 1, $unit, $image, $activation, 0.25, 0.75)", **row
                )
    keys = {"layer_id": layer_id, "probe_id": 1}
    warehouse.run_step("finish_units", first_image_id=1, last_image_id=5, **keys)
    warehouse.run_step("finish_top_images", top_images=20, **keys)
    warehouse.execute("delete from store.top_candidates")


def _insert_chunks(warehouse: Warehouse) -> None:
    for chunk, images in enumerate((2, 2, 0)):
        for layer_id in LAYERS:
            warehouse.execute(
                "insert into store.chunks values (1, $chunk, $layer, null, 1, $images)",
                chunk=chunk,
                layer=layer_id,
                images=images,
            )
        warehouse.execute(
            "insert into store.chunks values (1, $chunk, null, 1, 1, $images)", chunk=chunk, images=images
        )


def _insert_scoring(warehouse: Warehouse, scoring_id: int) -> None:
    is_first = scoring_id < 5
    concept_ids = list(CATEGORIES["words" if is_first else "few"])
    warehouse.execute(
        "insert into store.scorings values ($id, 'scoring ' || $id, $run, $layer, 1, 1, $set, 'clip_dissect',"
        " $method, '{}', '', ['{}'], 4,"
        " $units, 1000, 0, $kept)",
        id=scoring_id,
        run=1 if is_first else 2,
        layer=SCORED_LAYERS[scoring_id],
        set=1 if is_first else 2,
        method="soft_wpmi" if is_first else "cos_similarity",
        units=len(LABELS[scoring_id]),
        kept=len(concept_ids),
    )
    for unit, label in enumerate(LABELS[scoring_id]):
        similarities = SIMILARITIES[scoring_id][unit]
        if label is None or similarities is None:
            warehouse.execute(
                "insert into store.labels (scoring_id, unit) values ($scoring, $unit)", scoring=scoring_id, unit=unit
            )
            continue
        by_concept = dict(zip(concept_ids, similarities, strict=True))
        best, runner_up, q_value = label
        warehouse.execute(
            "insert into store.labels (scoring_id, unit, similarity, runner_up_id, runner_up_similarity, p_value,"
            " q_value) values ($scoring, $unit, $high, $runner_up, $second, $q / 2, $q)",
            scoring=scoring_id,
            unit=unit,
            high=by_concept[best],
            runner_up=runner_up,
            second=by_concept[runner_up],
            q=q_value,
        )
        warehouse.execute(
            "insert into store.label_terms values ($scoring, $unit, 0, $best, 1, null)",
            scoring=scoring_id,
            unit=unit,
            best=best,
        )
        for concept_id, similarity in by_concept.items():
            warehouse.execute(
                "insert into store.similarities values ($scoring, $unit, $concept, $similarity)",
                scoring=scoring_id,
                unit=unit,
                concept=concept_id,
                similarity=similarity,
            )


def _insert_fidelities(
    warehouse: Warehouse, scoring_id: int, units: list[tuple[float, float, float, float] | None]
) -> None:
    """How far to believe the labels of a scoring, by the four images of the probe."""
    measures = ("held_out_correlation", "ceiling", "stability", "confidence")
    rows = [
        {"unit": unit, "correlation": known[0] + 0.1, **dict(zip(measures, known, strict=True))}
        for unit, known in enumerate(units)
        if known
    ]
    judgement = Judgement(scoring_id, probe_id=1, encoder_id=1, images=4, kept_together="image")
    insert_judgement(warehouse, judgement, pl.DataFrame(rows))
