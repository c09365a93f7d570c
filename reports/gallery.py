"""The units of a report with their images, as the page's script reads them."""

from __future__ import annotations

import base64
import json
from typing import Any

import polars as pl

from neuronlake.reports.answers import Answers

IMAGES_PER_UNIT = 5


def units(answers: Answers) -> dict[str, list[Any]]:
    """The gallery's units, by column, which takes half the space of row by row."""
    cards = answers.ask("unit_cards", images=str(IMAGES_PER_UNIT))
    rounded = cards.drop("is_significant").with_columns(
        pl.col("similarity", "margin", "p_value", "q_value", "receptive_field").round_sig_figs(4),
        pl.col("confidence", "held_out_correlation", "ceiling", "stability").round(3),
        pl.col("detected_iou").round_sig_figs(3),
        pl.col("activations").list.eval(pl.element().round_sig_figs(3)),
        pl.col("weights").list.eval(pl.element().round_sig_figs(3)),
        pl.col("shares").list.eval(pl.element().round(3)),
        pl.col("peaks_x", "peaks_y").list.eval(pl.element().round(3)),
        explanation=pl.when(pl.col("explanation") != pl.col("concept")).then("explanation"),
    )
    # float32 digits beyond those rounded to are noise that JSON would spell out
    return json.loads(json.dumps(rounded.to_dict(as_series=False), default=float), parse_float=_short)


def _short(text: str) -> float:
    """A float with at most five significant digits."""
    return float(f"{float(text):.5g}")


def images(answers: Answers) -> dict[int, dict[str, str]]:
    """The pictures of the gallery, each once."""
    pictures = answers.ask("pictures", images=str(IMAGES_PER_UNIT))
    return {
        row["image_id"]: {
            "path": row["image"],
            "webp": "" if row["webp"] is None else base64.b64encode(row["webp"]).decode(),
        }
        for row in pictures.iter_rows(named=True)
    }
