"""What the warehouse holds of a dissection, as tensors: regions of images, and pixels of units."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from neuronlake.ingest.labelers.dissecting.regions import ActivePixels, Dissection, Regions
from neuronlake.sql.store import dissections, features
from neuronlake.sql.warehouse import Warehouse


class Dissections:
    """Of the layers of a probe; regions are read once for layers of one model that follow each other."""

    def __init__(
        self, warehouse: Warehouse, probe_id: int, concept_set_id: int, quantile: float, image_ids: np.ndarray
    ) -> None:
        self._warehouse = warehouse
        self._key = (probe_id, concept_set_id, quantile)
        self._image_ids = image_ids
        self._model_id: int | None = None
        self._regions: Regions | None = None

    def of_layer(self, layer_id: int, live: list[int]) -> Dissection | None:
        """A layer's live units beside the masks; None where the images' own labels are all there is."""
        found = dissections.find(self._warehouse, layer_id, *self._key)
        if found is None:
            return None
        if self._regions is None or self._model_id != found.model_id:
            self._model_id, self._regions = found.model_id, self._read_regions(found.model_id)
        return Dissection(self._regions, self._read_active(found.dissection_id, live, self._regions))

    def _read_regions(self, model_id: int) -> Regions:
        """As a model sees the images."""
        concept_set_id = self._key[1]
        rows = dissections.regions(self._warehouse, model_id, concept_set_id, self._image_ids)
        return Regions(
            image=torch.from_numpy(np.searchsorted(self._image_ids, rows.image_id)),
            pixels=torch.from_numpy(rows.pixels),
            starts=torch.from_numpy(rows.starts),
            members=torch.from_numpy(rows.members),
            categories=_categories(self._warehouse, concept_set_id),
            counted=torch.ones(len(self._image_ids), dtype=torch.bool),
        )

    def _read_active(self, dissection_id: int, live: list[int], regions: Regions) -> ActivePixels:
        """Of the live units."""
        thresholds = dissections.thresholds(self._warehouse, dissection_id)
        places = np.full(len(thresholds), -1, dtype=np.int32)
        places[live] = np.arange(len(live))
        first = np.searchsorted(regions.image.numpy(), np.arange(len(self._image_ids)))
        rows = dissections.active_pixels(self._warehouse, dissection_id)
        unit = places[rows.unit]
        is_live = unit >= 0
        image = np.searchsorted(self._image_ids, rows.image_id[is_live])
        return ActivePixels(
            unit=torch.from_numpy(unit[is_live]),
            region=torch.from_numpy((first[image] + rows.region[is_live]).astype(np.int32)),
            pixels=torch.from_numpy(rows.pixels[is_live]),
            thresholds=torch.from_numpy(thresholds[live]),
        )


def _categories(warehouse: Warehouse, concept_set_id: int) -> Tensor:
    """Of each concept of a set the number of its category, (concepts,) int64."""
    categories = features.concept_categories(warehouse, concept_set_id)
    numbers = {category: number for number, category in enumerate(dict.fromkeys(categories))}
    return torch.tensor([numbers[category] for category in categories], dtype=torch.int64)
