"""The units of a layer as points: how far to believe each label against how rarely the unit fires, or as a map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import altair as alt
import numpy as np
import polars as pl

from neuronlake.reports.drawing.colors import category_colors
from neuronlake.reports.explore.kept import kept
from neuronlake.sql.warehouse import Warehouse

RARE, MAP = "how rarely they fire", "what excites them"
# of a label, the first of these that is known of any
_BELIEVED = {
    "confidence": "confidence: how likely the label is right",
    "held_out_correlation": "held-out correlation of label and unit",
    "similarity": "similarity of unit and label",
}
# columns of the table, the one to sort by first; where no label was judged, the score
_FACTS = ("confidence", "holds", "held_out_correlation", "ceiling")
_LEAST_ON_MAP = 4
_PERPLEXITY = 30


@kept
def units_of_layer(warehouse: Warehouse, setting: int, model: str, layer: str) -> pl.DataFrame:
    """One row a unit, of the query units_of_layer."""
    return warehouse.query("units_of_layer", model=model, layer=layer, setting=str(setting)).pl()


def with_map(warehouse: Warehouse, units: pl.DataFrame, setting: int, model: str, layer: str) -> pl.DataFrame:
    """The units with their places `x` and `y` on a map on which those lie close that similar images excite.

    A unit is the mean embedding of its top images. t-SNE (van der Maaten & Hinton, JMLR 2008) lays out at once what
    lies close; how far apart two far groups are says nothing. Without embeddings there are no places.
    """
    asked = {"model": model, "layer": layer, "setting": str(setting)}
    shown = warehouse.query("top_images_of_layer", **asked).pl()
    embeddings = warehouse.query("embeddings_of_top_images", **asked).pl()
    known = shown.join(embeddings.with_row_index("row"), on="image_id", how="inner")
    if known["unit"].n_unique() < _LEAST_ON_MAP:
        return units.with_columns(x=pl.lit(None, pl.Float64), y=pl.lit(None, pl.Float64))
    vectors = np.stack(embeddings["embedding"].to_numpy())
    of_unit = known.group_by("unit", maintain_order=True).agg("row")
    means = np.stack([vectors[rows].mean(axis=0) for rows in of_unit["row"].to_list()])
    places = _laid_out(means)
    on_map = of_unit.select("unit").with_columns(x=pl.Series(places[:, 0]), y=pl.Series(places[:, 1]))
    return units.join(on_map, on="unit", how="left")


def _laid_out(vectors: np.ndarray) -> np.ndarray:
    """(units, 2) places of (units, dimensions) vectors; the same ones each time."""
    from sklearn.manifold import TSNE  # noqa: PLC0415  # deptry: ignore[DEP004]  of the extra `explore`

    perplexity = min(_PERPLEXITY, (len(vectors) - 1) / 3)
    return TSNE(metric="cosine", init="random", perplexity=perplexity, random_state=0).fit_transform(vectors)


def scatter(units: pl.DataFrame, kind: str) -> Any:
    """A point a unit, coloured by the category of its label; larger where the label holds.

    Args:
        units: of `units_of_layer`, for a map `with_map`.
        kind: RARE or MAP.
    """
    drawn = units.filter(pl.col("status") == "live").with_columns(pl.col("category").fill_null("none"))
    believed = next((name for name in _BELIEVED if drawn[name].count()), "similarity")
    colors = category_colors(drawn["category"].unique())
    present = [name for name in colors if name in set(drawn["category"])]
    if kind == MAP:
        nothing = alt.Axis(labels=False, ticks=False, grid=False, domain=False)
        x = alt.X("x:Q", title=None, axis=nothing, scale=alt.Scale(zero=False))
        y = alt.Y("y:Q", title=None, axis=nothing, scale=alt.Scale(zero=False))
    else:
        x = alt.X(
            "active_share:Q",
            title="share of images that excite it at least half way",
            scale=alt.Scale(type="sqrt"),
            axis=alt.Axis(format="~%"),
        )
        y = alt.Y(f"{believed}:Q", title=_BELIEVED[believed], scale=alt.Scale(zero=believed != "similarity"))
    return (
        alt.Chart(drawn.drop("concept").with_columns(pl.col(believed).cast(pl.Float64).round_sig_figs(4)))
        .mark_point(filled=True, opacity=0.75)
        .encode(
            x=x,
            y=y,
            color=alt.Color(
                "category:N",
                title=None,
                scale=alt.Scale(domain=present, range=[colors[name] for name in present]),
                legend=alt.Legend(orient="top"),
            ),
            size=alt.Size("holds:O", scale=alt.Scale(domain=[True, False], range=[60, 25]), legend=None),
            tooltip=["unit", "explanation", "category", believed],
        )
        .properties(height=320, width="container")
    )


def selected_of(units: pl.DataFrame, chosen: pl.DataFrame | None) -> pl.DataFrame:
    """The units that a chart has chosen, all where it has none."""
    return units if chosen is None else units.join(chosen.select("unit"), on="unit", how="semi")


def for_table(units: pl.DataFrame) -> pl.DataFrame:
    """What a table shows of units, the likeliest labels first, with as many digits as say something.

    Of labels that nothing is known of, those with the highest score; what is known of no unit is left out.
    """
    known = [name for name in _FACTS if units[name].count()] or ["similarity"]
    numbers = [name for name in (*known, "active_share") if units.schema[name].is_numeric()]
    return (
        units.select("unit", "tags", "explanation", "category", *known, "active_share", "status")
        .sort(next(iter(known)), descending=True, nulls_last=True, maintain_order=True)
        .with_columns(pl.col(numbers).cast(pl.Float64).round_sig_figs(3))
    )


def opens_ticked(show: Callable[[int], None]) -> Callable[[pl.DataFrame], None]:
    """What to do with the ticked rows of a table: show the unit that was ticked last."""
    before: set[int] = set()

    def open_ticked(rows: pl.DataFrame) -> None:
        ticked: list[int] = rows["unit"].to_list() if len(rows) else []
        new = [unit for unit in ticked if unit not in before]
        before.clear()
        before.update(ticked)
        if new:
            show(new[-1])

    return open_ticked


def keys(units: pl.DataFrame, model: str, layer: str) -> pl.DataFrame:
    """Model, layer and number of each unit of a layer."""
    return units.select(model=pl.lit(model), layer=pl.lit(layer), unit="unit")


def named_in(rows: pl.DataFrame) -> tuple[str, str, int] | None:
    """The unit that the first row of an answer names by model, layer and unit; None where it names none."""
    if rows.is_empty() or not {"model", "layer", "unit"} <= set(rows.columns) or not rows["unit"].dtype.is_integer():
        return None
    model, layer, unit = rows.select("model", "layer", "unit").row(0)
    return None if None in (model, layer, unit) else (str(model), str(layer), int(unit))
