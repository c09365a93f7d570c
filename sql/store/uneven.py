"""Layers and embeddings that lack images which others of their chunk have, taken back so that they are made anew.

Version 0.1 left out of a layer what could not be read at that moment, though it was read for other layers before or
after. Scores put such a layer's activations beside the embeddings of other images.
"""

from __future__ import annotations

from collections.abc import Container

from neuronlake.sql import catalog
from neuronlake.sql.store.layers import forget_comparisons
from neuronlake.sql.store.probes import StoredProbe
from neuronlake.sql.warehouse import Warehouse

# the scorings themselves last: what goes with them is found by them
_OF_SCORINGS = (
    *("labels", "label_terms", "similarities", "intersections", "evaluations", "fidelities", "judgements"),
    "scorings",
)
# so is what goes with the dissections of a layer
_OF_DISSECTIONS = ("dissected_chunks", "tails", "thresholds", "active_regions", "outlines", "dissections")
# tables of what a layer or an encoder has of a probe, and the one of what it has of each image
_OF_PROBE = {"layer_id": ("chunks", "units", "top_images", "top_candidates"), "encoder_id": ("chunks",)}
_OF_IMAGES = {"layer_id": "activations", "encoder_id": "image_embeddings"}


def forget_uneven(
    warehouse: Warehouse, probe: StoredProbe, layer_ids: Container[int], encoder_id: int | None
) -> list[tuple[int | None, int]]:
    """Delete what these layers and this encoder have of the probe where they lack images, and the scorings of it.

    Images that some layer has are no longer failed ones.

    Returns:
        The number of each such layer, or None for the encoder, and how many images it lacked.
    """
    found = warehouse.sql(catalog.check("chunks_even").body).fetchall()
    lacking = [
        (layer_id, images)
        for probe_id, layer_id, encoder, images in found
        if probe_id == probe.probe_id and (layer_id in layer_ids if encoder is None else encoder == encoder_id)
    ]
    if lacking:
        with warehouse.transaction():
            for layer_id, _ in lacking:
                if layer_id is not None:
                    _forget(warehouse, probe, "layer_id", layer_id)
                elif encoder_id is not None:
                    _forget(warehouse, probe, "encoder_id", encoder_id)
            warehouse.run_step("forget_read_failures", **probe.image_range)
    return lacking


def _forget(warehouse: Warehouse, probe: StoredProbe, key: str, number: int) -> None:
    """Delete what one layer or encoder has of the probe."""
    of_probe = f"{key} = $number and probe_id = $probe_id"
    scorings = f"(select scoring_id from store.scorings where {of_probe})"  # noqa: S608
    for table in _OF_SCORINGS:
        delete = f"delete from store.{table} where scoring_id in {scorings}"  # noqa: S608
        warehouse.execute(delete, number=number, probe_id=probe.probe_id)
    if key == "layer_id":
        dissections = f"(select dissection_id from store.dissections where {of_probe})"  # noqa: S608
        for table in _OF_DISSECTIONS:
            delete = f"delete from store.{table} where dissection_id in {dissections}"  # noqa: S608
            warehouse.execute(delete, number=number, probe_id=probe.probe_id)
        forget_comparisons(warehouse, number, probe.probe_id)
    judged_by = {"layer_id": None, "encoder_id": None, "probe_id": probe.probe_id, key: number}
    for step in ("forget_fidelities", "forget_judgements"):
        warehouse.run_step(step, **judged_by)
    for table in _OF_PROBE[key]:
        warehouse.execute(f"delete from store.{table} where {of_probe}", number=number, probe_id=probe.probe_id)  # noqa: S608
    of_images = f"{key} = $number and image_id between $first_image_id and $last_image_id"
    warehouse.execute(f"delete from store.{_OF_IMAGES[key]} where {of_images}", number=number, **probe.image_range)  # noqa: S608
