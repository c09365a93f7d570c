"""A unit as a page: its card with how it fires and what its label predicts, or that alone; or as a part of a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neuronlake.reports.files import write_output
from neuronlake.reports.templates import ENVIRONMENT, asset
from neuronlake.reports.units.card import UnitCard
from neuronlake.reports.units.details import UnitDetails, read_details
from neuronlake.reports.units.drawings import histogram, preferred_labels
from neuronlake.reports.units.predictions import Simulation, correlations
from neuronlake.reports.units.scatter import scatter_picture
from neuronlake.sql.warehouse import Warehouse


def write_unit_page(warehouse: Warehouse, card: UnitCard, path: Path, simulation: Simulation | None = None) -> None:
    """Write a unit as one HTML file that opens with no network; where it is given, with what its label predicts."""
    details = read_details(warehouse, card)
    page = ENVIRONMENT.get_template("unit.html").render(**_of_unit(card, details), **_of_simulation(simulation, card))
    write_output(path, page.encode())


def write_simulation_page(card: UnitCard, path: Path, simulation: Simulation) -> None:
    """Write what the label predicts as such a file, with no more of the unit than its label."""
    page = ENVIRONMENT.get_template("simulation.html").render(
        card=card, style=asset("page.css"), **_of_simulation(simulation, card)
    )
    write_output(path, page.encode())


def unit_part(card: UnitCard, details: UnitDetails) -> str:
    """A unit as HTML that stands in another page, whose style it leaves as it is."""
    return ENVIRONMENT.get_template("unit_part.html").render(**_of_unit(card, details), **_of_simulation(None, card))


def _of_unit(card: UnitCard, details: UnitDetails) -> dict[str, Any]:
    """What the templates of a unit read."""
    return {
        "card": card,
        "details": details,
        "images": card.images.to_dicts(),
        "concepts": card.concepts.to_dicts(),
        "histogram": "" if details.histogram.is_empty() else histogram(details.histogram),
        "preferred": "" if details.preferred.is_empty() else preferred_labels(details.preferred),
        "style": asset("page.css"),
    }


def _of_simulation(simulation: Simulation | None, card: UnitCard) -> dict[str, Any]:
    """What the template of a simulation reads."""
    is_drawn = simulation is not None and not simulation.lack
    return {
        "simulation": simulation,
        "pictures": simulation.pictures if simulation else {},
        "correlations": correlations(card.label, simulation.images.height) if simulation else "",
        "scatter": scatter_picture(simulation) if simulation and is_drawn else "",
    }
