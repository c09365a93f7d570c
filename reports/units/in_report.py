"""What a report tells of each unit on a click, beside its card: asked of a whole layer at once, for the page's script.

A unit has little here, and few digits: there may be thousands of units, and all are in the page.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import polars as pl

from neuronlake.reports.answers import Answers
from neuronlake.reports.units.details import with_intervals
from neuronlake.sql.settings import all_settings

IMAGES_PER_BAND = 4
_BARS = 40
_PREFERRED = 8
_CONCEPTS = 5
_NEAR = 8
_DIGITS = 3


@dataclass
class _Words:
    """Texts by number, each once: concepts and labels are those of many units."""

    numbers: dict[str, int] = field(default_factory=dict)

    def number(self, text: str | None) -> int | None:
        """The number of a text; None for none."""
        return None if text is None else self.numbers.setdefault(text, len(self.numbers))


def units_in_report(answers: Answers, cards: dict[str, list[Any]], images: int) -> dict[str, Any]:
    """What there is about the units of a report.

    Args:
        answers: of the report.
        cards: of the report's units: columns model, layer and unit.
        images: how many of a unit are on its card, the top; the bands are below it.

    Returns:
        words: texts, which the others have by number.
        settings: those besides the report's that label any of the units, with number, method and concept set.
        histograms, bands, preferred, concepts, others, near: of each unit, in the order of the cards; None where
            nothing is known. See `_Layer`.
    """
    words = _Words()
    rows = {key: row for row, key in enumerate(zip(cards["model"], cards["layer"], cards["unit"], strict=True))}
    found: dict[str, list[Any]] = {
        part: [None] * len(rows) for part in ("histograms", "bands", "preferred", "concepts", "others", "near")
    }
    layers = answers.warehouse.step("numbers_of_layers", setting=answers.setting.number).pl()
    for numbers in layers.iter_rows(named=True):
        layer = _Layer(answers, numbers, words)
        parts = {"concepts": layer.concepts(), "others": layer.others()}
        if histograms := layer.histograms():
            parts |= {"histograms": histograms, "preferred": layer.preferred(), "near": layer.near(rows)}
            shown = sum(next(iter(histograms.values()))[2])
            parts["bands"] = layer.bands(shown, images)
        for part, of_units in parts.items():
            for unit, known in of_units.items():
                row = rows.get((numbers["model"], numbers["layer"], unit))
                if row is not None:
                    found[part][row] = known
    others = {known[0] for of_unit in found["others"] if of_unit for known in of_unit}
    return {
        "words": list(words.numbers),
        "settings": {
            each.number: [each.method, each.concept_set]
            for each in all_settings(answers.warehouse)
            if each.number in others
        },
        **found,
    }


@dataclass(frozen=True)
class _Layer:
    """One layer of a report; each method answers by number of the unit, where there is an answer.

    Attributes:
        answers: of the report.
        numbers: a row of the step numbers_of_layers.
        words: to which texts are added.
    """

    answers: Answers
    numbers: dict[str, Any]
    words: _Words

    def histograms(self) -> dict[int, list[Any]]:
        """Lowest and highest activation, and how many images are in each bar between them."""
        return {
            row["unit"]: [*_short(row["lowest"], row["highest"]), row["images"]]
            for row in self._step("unit_histograms", bars=_BARS)
        }

    def bands(self, all_images: int, top: int) -> dict[int, list[Any]]:
        """For each band first and last rank, highest and lowest activation, and images with their activations."""
        asked = {"all_images": all_images, "top": top, "setting": self.answers.setting.number}
        found: dict[int, list[Any]] = {}
        for row in self._step("unit_bands", images=IMAGES_PER_BAND, **asked):
            reach = [row["first_rank"], row["last_rank"], *_short(row["highest"], row["lowest"])]
            shown = [row["image_ids"] or [], _short(*(row["activations"] or []))]
            found.setdefault(row["unit"], []).append([*reach, *shown])
        return found

    def preferred(self) -> dict[int, list[Any]]:
        """For each image label that it prefers how many images have it, their mean and half of its interval."""
        rows = with_intervals(pl.DataFrame(self._step("unit_preferences", top=_PREFERRED), schema=_PREFERENCES))
        found: dict[int, list[Any]] = {}
        for row in rows.iter_rows(named=True):
            mean, half = _short(row["mean_activation"]), _short(row["high"] - row["mean_activation"], digits=2)
            found.setdefault(row["unit"], []).append([self.words.number(row["label"]), row["images"], *mean, *half])
        return found

    def concepts(self) -> dict[int, list[Any]]:
        """The best concepts with their scores."""
        found: dict[int, list[Any]] = {}
        for row in self._ask("concepts_for_layer", top=str(_CONCEPTS), setting=str(self.answers.setting.number)):
            scored = [self.words.number(row["concept"]), *_short(row["similarity"], digits=4)]
            found.setdefault(row["unit"], []).append(scored)
        return found

    def others(self) -> dict[int, list[Any]]:
        """For each other setting its number, its label, and held-out correlation, ceiling, confidence, holds, IoU."""
        found: dict[int, list[Any]] = {}
        for row in self._ask("labels_of_layer"):
            if row["setting"] != self.answers.setting.number:
                measures = _short(row["held_out_correlation"], row["ceiling"], row["confidence"])
                said = [row["setting"], self.words.number(row["explanation"]), *measures, row["holds"]]
                found.setdefault(row["unit"], []).append([*said, *_short(row["iou"])])
        return found

    def near(self, rows: dict[tuple[str, str, int], int]) -> dict[int, list[Any]]:
        """For each near unit its row in the report, or else its name, and how many top images they share."""
        found: dict[int, list[Any]] = {}
        for row in self._ask("units_near_layer", top=str(_NEAR), probe=self.numbers["probe"]):
            key = (row["near_model"], row["near_layer"], row["near_unit"])
            name = f"{key[0]} · {key[1]} · unit {key[2]}"
            found.setdefault(row["unit"], []).append([rows.get(key, name), row["shared_images"]])
        return found

    def _step(self, name: str, **values: int) -> list[dict[str, Any]]:
        """The rows of a step about the activations of this layer."""
        keys = {key: self.numbers[key] for key in ("layer_id", "probe_id", "first_image_id", "last_image_id")}
        return self.answers.warehouse.step(name, **keys, **values).pl().to_dicts()

    def _ask(self, query: str, **values: str) -> list[dict[str, Any]]:
        """The rows of a named query about this layer."""
        names = {"model": self.numbers["model"], "layer": self.numbers["layer"]}
        return self.answers.warehouse.query(query, **names, **values).pl().to_dicts()


# of rows of unit_preferences, also where there are none
_PREFERENCES = {
    "unit": pl.Int32,
    "label": pl.String,
    "images": pl.Int64,
    "mean_activation": pl.Float64,
    "standard_error": pl.Float64,
}


def _short(*values: float | None, digits: int = _DIGITS) -> list[float | None]:
    """Numbers with few digits; whole ones as such."""
    return [None if value is None else _plain(float(f"{value:.{digits}g}")) for value in values]


def _plain(value: float) -> float | int:
    """A whole number without its point."""
    return int(value) if value.is_integer() and abs(value) < 1e15 else value
