"""A layer that a run reads: of which model, how, and what one pass of blank images showed of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from neuronlake.ingest.layers.readings import Reading
from neuronlake.ingest.networks.models import Model


@dataclass(frozen=True)
class PlannedLayer:
    """One layer of one model.

    Attributes:
        model: whose.
        reading: how it becomes activations.
        position: among the model's modules.
        units: how many.
        receptive_field: side of the square that a pixel of its map sees, as a share of the image's shorter side;
            None where it has no map.
        precision: what its network runs in.
    """

    model: Model
    reading: Reading
    position: int
    units: int
    receptive_field: float | None
    precision: str = "float32"

    @property
    def name(self) -> str:
        """Its name, apart from the pooling."""
        return self.reading.name

    @property
    def key(self) -> tuple[str, str]:
        """By which chunks and the warehouse's numbers know it: the names of its model and its own."""
        return self.model.name, self.name

    @property
    def pooling(self) -> str:
        """How its output becomes one number for each image and unit."""
        return self.reading.pooling

    @property
    def calls(self) -> int:
        """How often it runs in one pass; the last output counts."""
        return self.reading.calls or 1

    @property
    def stored_name(self) -> str:
        """Its name in the warehouse; mean pooling, float32 and Pillow go without saying."""
        ways = (self.pooling, self.precision, self.model.preprocessing.decoder)
        unusual = [way for way in ways if way not in ("mean", "float32", "pillow")]
        return ":".join([self.name, *unusual])

    @property
    def fingerprint(self) -> str:
        """sha256 over the model's fingerprint, the layer, how it is read, and the directions if there are any."""
        onto = [self.reading.directions.fingerprint] if self.reading.directions else []
        decoder = self.model.preprocessing.decoder
        pixels = [f"decoded by {decoder}"] if decoder != "pillow" else []
        parts = (self.model.fingerprint, self.reading.place.text, self.pooling, self.precision, *onto, *pixels)
        return hashlib.sha256(repr(parts).encode()).hexdigest()
