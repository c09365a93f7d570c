"""Layers and embeddings that lack images which others of their chunk have, taken back so that they are made anew.

Version 0.1 left out of a layer what could not be read at that moment, though it was read for other layers before or
after. Scores put such a layer's activations beside the embeddings of other images.
"""

from __future__ import annotations

from neuronlake.ingest.register import Registered
from neuronlake.sql import catalog
from neuronlake.sql.warehouse import Warehouse

_OF_SCORINGS = ("labels", "label_terms", "similarities", "evaluations", "scorings")


def forget_uneven(warehouse: Warehouse, registered: Registered) -> list[str]:
    """Delete what a run's layers and encoder have of the probe where it lacks images; one line each.

    Their scorings go with it. Images that some layer has are no longer failed ones.
    """
    layers = {layer_id: f"{name} of {model}" for (model, name), layer_id in registered.layer_ids.items()}
    lacking: list[tuple[int | None, int]] = [
        (layer_id, images)
        for probe_id, layer_id, encoder_id, images in warehouse.sql(catalog.check("chunks_even").body).fetchall()
        if probe_id == registered.probe_id and (layer_id in layers or encoder_id == registered.encoder_id)
    ]
    if not lacking:
        return []
    with warehouse.transaction():
        for layer_id, _ in lacking:
            if layer_id is None:
                _forget(warehouse, registered, "encoder", registered.encoder_id)
            else:
                _forget(warehouse, registered, "layer", layer_id)
        warehouse.execute(
            "delete from store.failed_images where image_id between $first and $last"
            " and image_id in (select image_id from store.thumbnails)",
            first=registered.first_image_id,
            last=registered.last_image_id,
        )
    return [
        f"{layers[layer_id] if layer_id else 'the embeddings of the probe'} lacked {images} of the images "
        "that others have; made anew, with the labels that came of it"
        for layer_id, images in lacking
    ]


def _forget(warehouse: Warehouse, registered: Registered, kind: str, number: int) -> None:
    """Delete what one layer or encoder has of the probe."""
    of_probe = {"number": number, "probe_id": registered.probe_id}
    of_images = {"number": number, "first": registered.first_image_id, "last": registered.last_image_id}
    for table in _OF_SCORINGS:
        warehouse.execute(
            f"delete from store.{table} where scoring_id in (select scoring_id from store.scorings"  # noqa: S608
            f" where {kind}_id = $number and probe_id = $probe_id)",
            **of_probe,
        )
    for table in ("chunks", *(("units", "top_images", "top_candidates") if kind == "layer" else ())):
        warehouse.execute(
            f"delete from store.{table} where {kind}_id = $number and probe_id = $probe_id",  # noqa: S608
            **of_probe,
        )
    values = "activations" if kind == "layer" else "image_embeddings"
    warehouse.execute(
        f"delete from store.{values} where {kind}_id = $number and image_id between $first and $last",  # noqa: S608
        **of_images,
    )
