"""The small warehouse with a fourth setting, 9: labels of Network Dissection over the masks of its photographs.

set masks  1 dog (object)   2 cat (object)   3 dotted (texture)   7 kitchen (object)   8 kitchen (scene), a scene
images     1 and 2 of 100 pixels each, 3 and 4 of 50; the masks of 1: dog 60, dog and dotted 10, nothing 30
dissection 1 of alpha late, whose threshold is 0.5 for all units, and 2 of beta head

layer        unit  label                      pixels       iou
alpha late   0     dog                        20 of 100    0.2
             1     dotted                     10 of 250    0.04, which is no detector
             2     kitchen (scene)            50 of 200    0.25
             3     no label
beta head    0     (dog or cat) and not dotted 30 of 100   0.3
             1     not finite
             2     kitchen                    30 of 120    0.25
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import small_warehouse

from neuronlake.sql.warehouse import Warehouse

NEW_CONCEPTS = {7: "kitchen", 8: "kitchen (scene)"}
MASKS = {1: "object", 2: "object", 3: "texture", 7: "object", 8: "scene"}


@dataclass(frozen=True)
class Label:
    """A unit's label: concepts with the operators before them, and its pixels; of the unit's concepts theirs."""

    terms: tuple[tuple[str | None, int], ...]
    pixels: tuple[int, int]
    concepts: dict[int, tuple[int, int]]


# scoring: its layer, its parameters and for each unit its label
LABELS: dict[int, tuple[int, str, list[Label | None]]] = {
    9: (
        2,
        '{"iou": 0.04, "quantile": 0.005}',
        [
            # of dog and cat the dog, of dotted and nothing else the dotted
            Label(((None, 1),), (20, 100), {1: (20, 100), 2: (10, 100), 3: (5, 200)}),
            Label(((None, 3),), (10, 250), {3: (10, 250)}),
            # as much of kitchen as of dog, which is first in the set
            Label(((None, 8),), (50, 200), {1: (10, 100), 7: (10, 100), 8: (50, 200)}),
            None,
        ],
    ),
    10: (
        4,
        '{"iou": 0.04, "quantile": 0.005}',
        [
            Label(((None, 1), ("or", 2), ("and not", 3)), (30, 100), {1: (25, 100), 2: (10, 100), 3: (1, 200)}),
            None,
            Label(((None, 7),), (30, 120), {7: (30, 120)}),
        ],
    ),
}
# dissection: its layer and the outlines of its units, by unit and image
OUTLINES = {1: (2, {(0, 1): "M0 0H50V50H0Z", (1, 2): "M10 10H20V20H10Z"}), 2: (4, {(0, 1): "M0 0H100V100H0Z"})}
# image: of each region its concepts and pixels
REGIONS: dict[int, list[tuple[list[int], int]]] = {
    1: [([1], 60), ([1, 3], 10), ([], 30)],
    2: [([2], 100)],
    3: [([3, 8], 50)],
    4: [([7], 25), ([8], 25)],
}
CHUNKS = pl.DataFrame({"chunk": range(3)})


def build(path: Path) -> Warehouse:
    """Make the small warehouse with labels by masks at a path; it stays open for writing."""
    warehouse = small_warehouse.build(path)
    with warehouse.transaction():
        _insert_masks(warehouse)
        for scoring_id, (layer_id, parameters, labels) in LABELS.items():
            _insert_scoring(warehouse, scoring_id, layer_id, parameters, labels)
        for dissection_id, (layer_id, outlines) in OUTLINES.items():
            _insert_dissection(warehouse, dissection_id, layer_id, outlines)
        for model_id in (1, 2):
            _insert_regions(warehouse, model_id)
    return warehouse


def _insert_masks(warehouse: Warehouse) -> None:
    """The concepts that the masks show, as a set."""
    for number, concept in NEW_CONCEPTS.items():
        warehouse.execute("insert into store.concepts values ($id, $concept)", id=number, concept=concept)
    warehouse.execute(
        "insert into store.concept_sets values (3, 'masks of photos', 'masks', $concepts, 0, 0)", concepts=len(MASKS)
    )
    members = pl.DataFrame({"position": range(len(MASKS)), "concept_id": list(MASKS), "category": list(MASKS.values())})
    warehouse.insert("concept_set_concepts", members, concept_set_id=3)


def _insert_scoring(
    warehouse: Warehouse, scoring_id: int, layer_id: int, parameters: str, labels: list[Label | None]
) -> None:
    """A scoring with its labels, terms, similarities and intersections."""
    warehouse.execute(
        "insert into store.scorings values ($id, 'scoring ' || $id, 2, $layer, 1, null, 3, 'network_dissection',"
        " 'network_dissection', $parameters, '', null, 4, $units, 0, 0, $kept)",
        id=scoring_id,
        layer=layer_id,
        parameters=parameters,
        units=len(labels),
        kept=len(MASKS),
    )
    for unit, label in enumerate(labels):
        keys = {"scoring_id": scoring_id, "unit": unit}
        if label is None:
            warehouse.insert("labels", pl.DataFrame([{"threshold": 0.5, **keys}]))
            continue
        shown, union = label.pixels
        counts = {"intersection_pixels": shown, "union_pixels": union}
        best, second = sorted(
            ((label.concepts.get(concept, (0, 1)), concept) for concept in MASKS), key=lambda each: -_iou(each[0])
        )[:2]
        runner_up = {"runner_up_id": second[1], "runner_up_similarity": _iou(second[0])}
        warehouse.insert(
            "labels", pl.DataFrame([{"threshold": 0.5, "similarity": shown / union, **counts, **runner_up, **keys}])
        )
        assert len(label.terms) > 1 or best[1] == label.terms[0][1]
        for position, (operator, concept) in enumerate(label.terms):
            row = {"position": position, "concept_id": concept, "weight": 1.0, "operator": operator, **keys}
            warehouse.insert("label_terms", pl.DataFrame([row], schema_overrides={"operator": pl.String}))
        for concept in MASKS:
            met = label.concepts.get(concept)
            warehouse.insert(
                "similarities",
                pl.DataFrame([{"concept_id": concept, "similarity": _iou(met or (0, 1)), **keys}]),
            )
            if met:
                pixels = {"intersection_pixels": met[0], "union_pixels": met[1]}
                warehouse.insert("intersections", pl.DataFrame([{"concept_id": concept, **pixels, **keys}]))


def _iou(pixels: tuple[int, int]) -> float:
    return pixels[0] / pixels[1]


def _insert_dissection(
    warehouse: Warehouse, dissection_id: int, layer_id: int, outlines: dict[tuple[int, int], str]
) -> None:
    """Both passes over the three chunks of the photographs; each unit has a pixel of each region."""
    keys = {"dissection_id": dissection_id}
    dissection = {"layer_id": layer_id, "probe_id": 1, "concept_set_id": 3, "quantile": 0.005}
    warehouse.insert("dissections", pl.DataFrame([keys | dissection]))
    for name in ("thresholds", "regions"):
        warehouse.insert("dissected_chunks", CHUNKS, **keys, **{"pass": name}, run_id=2)
    units = range(len(small_warehouse.ACTIVATIONS[layer_id]))
    warehouse.insert("thresholds", pl.DataFrame({"unit": units}), **keys, threshold=0.5)
    active = [
        (unit, image_id, region, 1)
        for unit in units
        for image_id, regions in REGIONS.items()
        for region in range(len(regions))
    ]
    columns = ["unit", "image_id", "region", "pixels"]
    warehouse.insert("active_regions", pl.DataFrame(active, columns, orient="row"), **keys)
    drawn = [(*place, outline) for place, outline in outlines.items()]
    warehouse.insert("outlines", pl.DataFrame(drawn, ["unit", "image_id", "outline"], orient="row"), **keys)


def _insert_regions(warehouse: Warehouse, model_id: int) -> None:
    """What a model sees of the masks."""
    keys = {"model_id": model_id, "concept_set_id": 3}
    warehouse.insert("region_chunks", CHUNKS, **keys, probe_id=1)
    rows = [
        (image_id, region, concepts, pixels)
        for image_id, regions in REGIONS.items()
        for region, (concepts, pixels) in enumerate(regions)
    ]
    columns = {"image_id": pl.Int32, "region": pl.Int32, "concept_ids": pl.List(pl.Int32), "pixels": pl.Int32}
    warehouse.insert("regions", pl.DataFrame(rows, columns, orient="row"), **keys)
