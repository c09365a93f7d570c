"""Stored labels compared with known names: what is measured of which units."""

from __future__ import annotations

import math

import polars as pl
import torch

from neuronlake.ingest.judging.against_names import measures_of_names


def labels(**columns: list[float | None]) -> pl.DataFrame:
    """Four labels, the first two right, and what is stored with them; nothing where not given."""
    telling = ("similarity", "margin", "minus_p", "confidence", "correlation", "held_out_correlation", "stability")
    return pl.DataFrame(
        {
            "unit": [0, 1, 5, 9],
            "concept": ["cat", "dog", "sky", None],
            "name": ["cat", "dog", "wheel", "forest"],
            "is_right": [True, True, False, False],
            **{name: pl.Series(columns.get(name, [None] * 4), dtype=pl.Float32) for name in telling},
        }
    )


def test_only_what_is_stored_with_the_labels_is_measured() -> None:
    found = measures_of_names(labels(), None, None, seed=0)
    assert [(each.measure, each.value, each.units) for each in found.measures] == [("top_1", 0.5, 4)]
    assert found.bins == []


def test_ranks_give_the_share_of_the_best_five_and_their_middle() -> None:
    found = {each.measure: each for each in measures_of_names(labels(), None, torch.tensor([1, 1, 5, 9]), 0).measures}
    assert [found[name].value for name in ("top_5", "mean_rank", "median_rank")] == [0.75, 4, 3]


def test_a_number_tells_right_from_wrong_by_the_units_that_have_it() -> None:
    """The unit without a label has no similarity; of the right labels one stands above the wrong one, one below."""
    found = measures_of_names(labels(similarity=[0.9, 0.2, 0.5, None], stability=[1, 1, 0.5, 0.5]), None, None, 0)
    areas = {each.measure: (each.value, each.units) for each in found.measures if each.measure.startswith("auc_")}
    assert areas == {"auc_similarity": (0.5, 3), "auc_stability": (1, 4)}


def test_the_cosine_is_of_labels_and_names_that_are_both_embedded() -> None:
    found = measures_of_names(labels(), torch.tensor([1.0, 1.0, 0.4, torch.nan]), None, 0).measures
    (cosine,) = (each for each in found if each.measure == "cosine")
    assert math.isclose(cosine.value, 0.8, abs_tol=1e-6)
    assert cosine.units == 3


def test_confidence_is_held_against_the_share_of_right_labels() -> None:
    found = measures_of_names(labels(confidence=[0.95, 0.65, 0.65, None]), None, None, 0)
    (error,) = (each for each in found.measures if each.measure == "calibration_error")
    # one of one right at 0.95, one of two right at 0.65
    assert math.isclose(error.value, (0.05 + 2 * 0.15) / 3, abs_tol=1e-6)
    assert error.units == 3
    assert [(each.start, each.units, each.right) for each in found.bins if each.units] == [(0.6, 2, 0.5), (0.9, 1, 1)]
