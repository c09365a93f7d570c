"""One unit: its label, its best concepts and its top images, for a terminal or a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from neuronlake import NeuronlakeError
from neuronlake.sql.settings import Setting, all_settings, chosen_setting
from neuronlake.sql.warehouse import Warehouse
from neuronlake.sql.words import did_you_mean

# that a unit can have; what is asked for may be larger
_LARGEST_NUMBER = 2**31 - 1


class UnitError(NeuronlakeError):
    """The warehouse has no such unit."""


@dataclass(frozen=True)
class UnitCard:
    """What the warehouse says about one unit.

    Attributes:
        setting: that its label and concepts are of.
        label: its row of the query unit_label.
        terms: the concepts of its label, in order.
        concepts: its best concepts, best first.
        images: its top images, best first.
    """

    setting: Setting
    label: dict[str, Any]
    terms: pl.DataFrame
    concepts: pl.DataFrame
    images: pl.DataFrame

    @property
    def title(self) -> str:
        """Model, layer and number."""
        return f"{self.label['model']} · {self.label['layer']} · unit {self.label['unit']}"

    @property
    def lack(self) -> str:
        """Why there is no label; an imported file may just not give one."""
        return "no label" if self.label["status"] == "live" else f"no label: {self.label['status']}"

    @property
    def explanation(self) -> str | None:
        """The whole label, where that is more than its first concept."""
        return None if self.label["explanation"] == self.label["concept"] else self.label["explanation"]

    @property
    def fidelity(self) -> str:
        """How far to believe the label, as far as it was judged; nothing where it was not."""
        confidence, ceiling, stability = (self.label[name] for name in ("confidence", "ceiling", "stability"))
        held_out = self.label["held_out_correlation"]
        holds = "the label holds" if self.label["holds"] else "the label does not hold"
        predicts = [
            None if held_out is None else f"held-out correlation {held_out:.2f}",
            None if ceiling is None else f"ceiling {ceiling:.2f}",
        ]
        is_right = None if confidence is None else f"confidence {confidence:.2f}: {holds}"
        is_stable = None if stability is None else f"stability {stability:.2g}"
        if self.explanation is None:
            return ", ".join(filter(None, (is_right, *predicts, is_stable)))
        of_first = ", ".join(filter(None, (is_right, is_stable)))
        parts = (", ".join(filter(None, predicts)), of_first and f"of {self.label['concept']!r} alone: {of_first}")
        return "; ".join(filter(None, parts))

    @property
    def counted(self) -> str:
        """The concept that the unit is counted under, with its category where it has one."""
        concept, category = self.label["concept"], self.label["category"]
        # some names say it themselves
        is_said = category in {None, "none"} or concept.endswith(f" ({category})")
        return concept if is_said else f"{concept} ({category})"

    @property
    def sum(self) -> pl.DataFrame | None:
        """The terms of a label that is a sum and more than its first concept says."""
        return None if self.explanation is None or self.terms["operator"].count() > 0 else self.terms

    @property
    def meanings(self) -> str:
        """Whether the unit stands for several things, as far as that is known."""
        known: list[str] = []
        if self.label["is_polysemantic"]:
            carrying = self.terms.filter(pl.col("share") >= 1 / 3, pl.col("weight") > 0)["concept"]
            named = " and ".join(f'"{concept}"' for concept in carrying)
            known.append(f"polysemantic: {named} each carry a third or more of what the label explains")
        if self.label["monosemanticity"] is not None:
            known.append(f"monosemanticity {self.label['monosemanticity']:.2f}")
        return "; ".join(known)

    @property
    def overlap(self) -> str:
        """What the unit and its label have in common, and above which threshold; nothing of labels not found so."""
        shown, union, threshold = (self.label[name] for name in ("intersection_pixels", "union_pixels", "threshold"))
        known = [
            None if union is None else f"IoU {shown / union:.3g}: {shown:,} of {union:,} pixels",
            None if threshold is None else f"active above {threshold:.4g}",
        ]
        return ", ".join(text for text in known if text)

    @property
    def scores(self) -> str:
        """Similarity and q of the label, as far as they are known: imported labels may have neither.

        An IoU is told with its pixels, see `overlap`.
        """
        similarity = None if self.label["union_pixels"] else self.label["similarity"]
        q_value = self.label["q_value"]
        better = "better" if self.label["is_significant"] else "not better"
        known = [
            None if similarity is None else f"similarity {similarity:.4g}",
            None if q_value is None else f"q {q_value:.3g}: {better} than chance",
        ]
        return ", ".join(text for text in known if text)


def read_unit(warehouse: Warehouse, model: str, layer: str, unit: int, setting: int | str | None = None) -> UnitCard:
    """The card of a unit under a setting, given by its number or its method; the newest where None.

    Raises:
        SettingError: the warehouse holds no scoring, or none of that setting.
        UnitError: the setting has no such model, layer or unit.
    """
    shown = chosen_setting(warehouse, setting)
    where = {"model": model, "layer": layer, "unit": str(min(unit, _LARGEST_NUMBER))}
    chosen = {"setting": str(shown.number)}
    label = warehouse.query("unit_label", **where, **chosen).pl()
    if label.is_empty():
        raise UnitError(_missing(warehouse, model, layer, unit, shown))
    images = warehouse.query("top_images_for_unit", **where).pl().filter(pl.col("probe") == label["probe"][0])
    return UnitCard(
        setting=shown,
        label=label.row(0, named=True),
        terms=warehouse.query("terms_of_unit", **where, **chosen).pl(),
        concepts=warehouse.query("concepts_for_unit", **where, **chosen).pl(),
        images=images,
    )


def _missing(warehouse: Warehouse, model: str, layer: str, unit: int, shown: Setting) -> str:
    """What of the three names the setting does not have: the settings that have it, or near names."""
    scored = warehouse.query("scored_units").pl()
    here = scored.filter(setting=shown.number)
    for kind, name, fit in (("model", model, {"model": model}), ("layer", layer, {"model": model, "layer": layer})):
        if not here.filter(**fit).is_empty():
            continue
        missing = f"{warehouse.path} has no {kind} {name!r} under setting {shown.short}"
        if elsewhere := set(scored.filter(**fit)["setting"]):
            return f"{missing}; {_under(warehouse, elsewhere)}"
        known = (here if kind == "model" else here.filter(model=model))[kind].unique(maintain_order=True).to_list()
        has = f"it has {', '.join(known)}"
        return f"{missing}; {did_you_mean(name, known, most=2, then=has)}"
    units = scored.filter(model=model, layer=layer).explode("units")
    if elsewhere := set(units.filter(units=unit)["setting"]):
        return f"{layer} of {model} has no unit {unit} under setting {shown.short}; {_under(warehouse, elsewhere)}"
    return f"{layer} of {model} has units 0 to {units['units'].max()}, not {unit}"


def _under(warehouse: Warehouse, settings: set[int]) -> str:
    """Where to find what the shown setting does not have."""
    others = [each.short for each in all_settings(warehouse) if each.number in settings]
    return f"it is under {', '.join(others)}: choose one with --setting"
