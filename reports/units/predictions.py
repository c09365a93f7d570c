"""What the label of a unit predicts of each image of the probe, and the images on which that is most wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import polars as pl

from neuronlake import NeuronlakeError
from neuronlake.reports.units.thumbnails import Picture, read_pictures
from neuronlake.sql import hints
from neuronlake.sql.warehouse import Warehouse

_FALSE_ALARM, _MISS, _HIT = "false alarm", "miss", "hit"


class SimulationError(NeuronlakeError):
    """Nothing is predicted."""


@dataclass(frozen=True)
class Simulation:
    """What a label predicts of its unit.

    Attributes:
        images: rows of the query simulation; none where nothing is predicted.
        lack: why nothing is, and what to do next; None where something is.
        top: how many false alarms and misses to show.
        pictures: of these, by number of the image.
    """

    images: pl.DataFrame
    lack: str | None
    top: int
    pictures: dict[int, Picture] = field(default_factory=dict[int, Picture])

    @property
    def false_alarms(self) -> pl.DataFrame:
        """The images that the label predicts high and the unit has low, the worst first."""
        return self._worst(_FALSE_ALARM)

    @property
    def misses(self) -> pl.DataFrame:
        """The images that the unit has high and the label predicts low, the worst first."""
        return self._worst(_MISS)

    @property
    def counts(self) -> str:
        """Of the images that label and unit have highest, how many both have, and how many one has alone."""
        found = {name: self.images.filter(outcome=name).height for name in (_HIT, _FALSE_ALARM, _MISS)}
        plurals = {_HIT: "hits", _FALSE_ALARM: "false alarms", _MISS: "misses"}
        return ", ".join(f"{count:,} {name if count == 1 else plurals[name]}" for name, count in found.items())

    def _worst(self, outcome: str) -> pl.DataFrame:
        """The rows of an outcome that are shown."""
        return self.images.filter(pl.col("outcome") == outcome, pl.col("outcome_rank") <= self.top).sort("outcome_rank")


def read_simulation(warehouse: Warehouse, model: str, layer: str, unit: int, setting: int, top: int) -> Simulation:
    """What the label of a unit that is there predicts, under the setting of that number.

    Args:
        warehouse: to read.
        model: name of the model.
        layer: name of the layer.
        unit: its number.
        setting: that has a scoring of the layer.
        top: how many false alarms and misses to show.
    """
    where = {"model": model, "layer": layer, "unit": str(unit), "setting": str(setting)}
    images = warehouse.query("simulation", **where).pl()
    if images.is_empty():
        return Simulation(images, _lack(warehouse, model, layer, unit, setting), top)
    simulation = Simulation(images, None, top)
    shown = pl.concat([simulation.false_alarms, simulation.misses])["image_id"]
    return Simulation(images, None, top, read_pictures(warehouse, shown))


def correlations(label: dict[str, Any], images: int) -> str:
    """How well a label predicts its unit, as far as that was judged; nothing where it was not.

    Args:
        label: a row of the query unit_label.
        images: how many are predicted.
    """
    known = [
        (f"correlation {{:z.2f}} over all {images:,} images", "correlation"),
        ("held-out {:z.2f}", "held_out_correlation"),
    ]
    return ", ".join(words.format(label[name]) for words, name in known if label[name] is not None)


def _lack(warehouse: Warehouse, model: str, layer: str, unit: int, setting: int) -> str:
    """Why nothing is predicted, and what to do next."""
    (found,) = warehouse.step("simulation_inputs", model=model, layer=layer, unit=unit, setting=setting).pl().to_dicts()
    judge = f"`{hints.command('cli score --fidelity', warehouse.path)}`"
    ingest = f"`{hints.command('cli ingest', warehouse.path)}`"
    where = f"{layer} of {model}"
    reasons = [
        (not found["has_label"], f"unit {unit} of {where} has no label; choose another unit, or another --setting"),
        (not found["has_activations"], f"{where} has no activations here; {ingest} makes them, then {judge}"),
        (not found["is_own"] and not found["is_judged"], f"imported labels predict once they are judged: {judge}"),
        (
            found["probe"] is None,
            "these labels came with their correlation, and no images here judged them; import them under another "
            f"--method without --column correlation, then {judge}",
        ),
        (
            found["status"] != "live",
            f"unit {unit} of {where} is {found['status']} over {found['probe']}; choose another",
        ),
        (
            found["unknown_concept"] is not None,
            f"{found['encoder']} has not embedded {found['unknown_concept']!r}; {judge} does where that can be had",
        ),
    ]
    no_images = f"{found['probe']} has no embeddings by {found['encoder']}; run its {ingest} again"
    return next((reason for is_so, reason in reasons if is_so), no_images)
