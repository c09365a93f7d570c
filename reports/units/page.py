"""A unit as a page: its card with what its label predicts, or that alone."""

from __future__ import annotations

import base64
from pathlib import Path

from neuronlake.reports.files import write_output
from neuronlake.reports.templates import ENVIRONMENT, asset
from neuronlake.reports.units.card import UnitCard
from neuronlake.reports.units.predictions import Simulation, correlations
from neuronlake.reports.units.scatter import scatter_picture


def write_unit_page(card: UnitCard, path: Path, simulation: Simulation | None = None) -> None:
    """Write the card as one HTML file that opens with no network; where it is given, with what the label predicts."""
    write_output(path, _page("unit.html", card, simulation).encode())


def write_simulation_page(card: UnitCard, path: Path, simulation: Simulation) -> None:
    """Write what the label predicts as such a file, with no more of the card than the label."""
    write_output(path, _page("simulation.html", card, simulation).encode())


def _page(template: str, card: UnitCard, simulation: Simulation | None) -> str:
    """A page as text."""
    pictures = card.pictures | (simulation.pictures if simulation else {})
    return ENVIRONMENT.get_template(template).render(
        card=card,
        images=card.images.to_dicts(),
        concepts=card.concepts.to_dicts(),
        outlines={number: card.outlines[number] for number in card.images["image_id"] if number in card.outlines},
        simulation=simulation,
        correlations=correlations(card.label, simulation.images.height) if simulation else "",
        scatter=scatter_picture(simulation) if simulation and not simulation.lack else "",
        pictures={number: base64.b64encode(webp).decode() for number, webp in pictures.items()},
        style=asset("page.css"),
    )
