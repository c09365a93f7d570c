"""What there is to choose in a warehouse, and the unit that is chosen."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from neuronlake.reports.explore.kept import kept
from neuronlake.reports.units.card import UnitError, read_unit
from neuronlake.reports.units.details import read_details
from neuronlake.reports.units.page import unit_part
from neuronlake.sql.opening import another_connection, open_warehouse
from neuronlake.sql.settings import SettingError, all_settings, chosen_setting
from neuronlake.sql.warehouse import Warehouse

# model, layer and number
Unit = tuple[str, str, int]
_Value = TypeVar("_Value")
# what can be the number of a unit
_UNIT = re.compile("[0-9]{1,9}")


@dataclass(frozen=True)
class Choice:
    """What the app shows first.

    Attributes:
        setting: its number.
        layer: its model and name.
        unit: of any layer.
    """

    setting: int
    layer: tuple[str, str]
    unit: Unit


@dataclass(frozen=True)
class UnitPage:
    """The page of a unit.

    Attributes:
        html: as part of another page.
        nearest: units that fire as it does, by what they are called.
        images: paths of its top images, by what they are called.
    """

    html: str
    nearest: dict[str, Unit]
    images: dict[str, str]


def served_file() -> str:
    """The file that `cli explore` was started with."""
    return os.environ.get("NEURONLAKE_WAREHOUSE") or "warehouse.duckdb"


def opened_warehouse(file: str) -> Warehouse:
    """The warehouse open for reading, with a connection of its own for each page that a process serves."""
    return another_connection(_opened_once(file))


@cache
def _opened_once(file: str) -> Warehouse:
    return open_warehouse(file, allow_files=False)


def first_choice(warehouse: Warehouse, asked: Mapping[str, Any]) -> Choice:
    """What an address asks for as ``?setting=5&model=NAME&layer=NAME&unit=7``, or else what the newest setting has.

    The layer is that of the unit that the address names, else the one with most labels that hold; the unit is the one
    whose label is the likeliest to be right.

    Raises:
        SettingError: there is no such setting, or no scoring at all.
    """
    setting = chosen_setting(warehouse, asked.get("setting")).number
    known = layers(warehouse, setting)
    wanted = (asked.get("model"), asked.get("layer"))
    best = warehouse.query("best_labelled_units", setting=str(setting)).pl()
    layer = next((pair for pair in known.values() if pair == wanted), (best["model"][0], best["layer"][0]))
    of_layer = best.filter(model=layer[0], layer=layer[1])
    unit = str(asked.get("unit", ""))
    number = int(unit) if _UNIT.fullmatch(unit) else of_layer["unit"][0]
    return Choice(setting, layer, (layer[0], layer[1], number))


def best_unit(warehouse: Warehouse, setting: int, layer: tuple[str, str]) -> Unit:
    """The unit of a layer whose label is the likeliest to be right."""
    asked = {"setting": setting, "model": layer[0], "layer": layer[1]}
    return first_choice(warehouse, asked).unit


def settings(warehouse: Warehouse) -> dict[str, int]:
    """The settings by what they are called, the newest first."""
    return {
        f"{each.number}: {each.method}, {each.concept_set}, {each.probe}": each.number
        for each in all_settings(warehouse)
    }


def layers(warehouse: Warehouse, setting: int) -> dict[str, tuple[str, str]]:
    """The layers of a setting by what they are called, in the order of the networks."""
    rows = warehouse.query("layer_progression", setting=str(setting)).pl()
    return {f"{model} · {layer}": (model, layer) for model, layer in rows.select("model", "layer").iter_rows()}


def name_of(choices: Mapping[str, _Value], value: _Value) -> str:
    """What a value is called among choices; the first of them where it is none."""
    return next((name for name, each in choices.items() if each == value), next(iter(choices)))


@kept
def unit_page(warehouse: Warehouse, unit: Unit, setting: int) -> UnitPage:
    """The page of a unit under a setting, or of what that first shows where it lacks the layer.

    Where it lacks the unit alone, a line says so.
    """
    known = set(layers(warehouse, setting).values())
    if unit[:2] not in known:
        unit = first_choice(warehouse, {"setting": setting}).unit
    try:
        card = read_unit(warehouse, *unit, setting)
    except (UnitError, SettingError) as error:
        return UnitPage(_said(str(error)), {}, {})
    details = read_details(warehouse, card)
    near = details.nearest.select("model", "layer", "unit", "explanation", "correlation").iter_rows()
    return UnitPage(
        html=unit_part(card, details),
        nearest={
            f"{model} · {layer} · unit {number}: {label or 'no label'} (correlation {correlation:.2f})": (
                model,
                layer,
                number,
            )
            for model, layer, number, label, correlation in near
            if (model, layer) in known
        },
        images={f"{rank}: {path}": path for rank, path in card.images.select("rank", "image").iter_rows()},
    )


def _said(text: str) -> str:
    """A line as HTML."""
    return f"<p>{html.escape(text)}</p>"
