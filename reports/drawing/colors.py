"""The colours of the charts: each category and each model has its own, in all charts of a report."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable

from neuronlake.sql.categories import CATEGORIES, NO_CATEGORY

# Okabe & Ito's palette, which colour-blind readers can tell apart; grey for what has no category.
CATEGORY_COLORS = dict(
    zip(CATEGORIES, ("#cc79a7", "#e69f00", "#d55e00", "#56b4e9", "#0072b2", "#009e73", "#8c8c8c"), strict=True)
)
# Of a concept file's own categories, each far from the seven and from those before it.
OWN_CATEGORY_COLORS = (
    *("#7ab814", "#e6194c", "#7c6cef", "#776c22", "#8a0f7a", "#61d1d1"),
    *("#d17d61", "#3319e6", "#e619cc", "#adca91", "#9e2e4a", "#14b852"),
)
MODEL_COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
_GOLDEN_RATIO = 0.618


def category_colors(categories: Iterable[str]) -> dict[str, str]:
    """Broden's categories and these, each with its colour: own ones in alphabetical order, before none.

    Args:
        categories: all that a report shows, so that each has one colour in all of its charts.
    """
    own = sorted({*categories} - {*CATEGORIES})
    colors = dict(CATEGORY_COLORS)
    grey = colors.pop(NO_CATEGORY)
    return {**colors, **{category: _own_color(place) for place, category in enumerate(own)}, NO_CATEGORY: grey}


def _own_color(place: int) -> str:
    """The colour of the category at a place among a file's own."""
    if place < len(OWN_CATEGORY_COLORS):
        return OWN_CATEGORY_COLORS[place]
    # hues that lie apart however many there are
    shade = colorsys.hls_to_rgb(place * _GOLDEN_RATIO % 1, 0.35 + 0.15 * (place % 3), 0.5)
    return "#" + "".join(f"{round(255 * part):02x}" for part in shade)
