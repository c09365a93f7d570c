"""The charts of what training changed: what became of each layer's units, and which concepts came and went."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from neuronlake.reports.drawing.drawable_names import with_drawable_names
from neuronlake.reports.drawing.encodings import BAR_STEP, name_axis, names_by, titled
from neuronlake.reports.drawing.verdicts import Verdict

# in the order of the bars; Okabe & Ito's palette, grey for what fired neither before nor after
CHANGES = {
    "same": "#0072b2",
    "changed": "#e69f00",
    "moved": "#009e73",
    "appeared": "#56b4e9",
    "died": "#d55e00",
    "unmatched": "#cc79a7",
    "dead": "#8c8c8c",
}
_GAINED, _LOST = "gained", "lost"
_KEY_COLUMNS = alt.ExprRef("containerSize()[0] < 300 ? 3 : 4")


@with_drawable_names
def changes_by_layer(layers: pl.DataFrame, model_a: str, model_b: str) -> Any:
    """What became of the units of each layer, as shares that add up to 1, with the middle unit's correlation.

    Args:
        layers: of one pair of models, rows of the query changes_by_layer.
        model_a: the model before.
        model_b: the model after.
    """
    named = layers.with_columns(shown=pl.when(pl.col("layer") == pl.col("layer_b")).then("layer").otherwise(_renamed()))
    places = {change: place for place, change in enumerate(CHANGES)}
    counted = named.unpivot(
        on=list(CHANGES),
        index=["shown", "position", "units", "activation_correlation"],
        variable_name="change",
        value_name="count",
    ).filter(pl.col("count") > 0)
    rows = counted.with_columns(
        share=pl.col("count") / pl.col("units"),
        place=pl.col("change").replace_strict(places, return_dtype=pl.Int32),
        activation_correlation=pl.col("activation_correlation").cast(pl.Float64).round(3),
    )
    base = alt.Chart(rows).encode(
        y=alt.Y("shown:N", title=None, sort=names_by(named, "shown", "position"), axis=name_axis(named["shown"]))
    )
    occurring = [change for change in CHANGES if change in set(rows["change"])]
    colors = alt.Scale(domain=list(CHANGES), range=list(CHANGES.values()))
    key = alt.Legend(orient="bottom", columns=_KEY_COLUMNS, symbolType="square", values=occurring)
    # the end of the scale leaves room for the correlations
    shares = alt.Scale(domain=[0, 1.18], nice=False)
    bars = base.mark_bar().encode(
        x=alt.X(
            "share:Q",
            title="share of the layer's units",
            axis=alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1]),
            scale=shares,
            stack="zero",
        ),
        color=alt.Color("change:N", title=None, scale=colors, legend=key),
        order=alt.Order("place:Q"),
        tooltip=[
            alt.Tooltip("shown:N", title="layer"),
            alt.Tooltip("change:N"),
            alt.Tooltip("count:Q", title="units"),
            alt.Tooltip("share:Q", format=".1%"),
            alt.Tooltip("activation_correlation:Q", title="median correlation of the layer", format=".3f"),
        ],
    )
    said = base.transform_filter("isValid(datum.activation_correlation)").mark_text(align="left", dx=5)
    numbers = said.encode(
        x=alt.X(datum=1), text=alt.Text("max(activation_correlation):Q", format=".2f"), detail="shown:N"
    )
    by_closest = named.filter(~pl.col("is_by_number")).height
    small = ["at the end: median correlation of activations"]
    if by_closest:
        which = "units" if by_closest == named.height else f"units of {by_closest} of {named.height} layers"
        small.append(f"{which} stand against their closest")
    return titled(bars + numbers, "Units of each layer", 26 * named.height, *_pair(model_a, model_b), *small)


@with_drawable_names
def gained_and_lost(concepts: pl.DataFrame, model_a: str, model_b: str, verdict: Verdict | None) -> Any:
    """Units that have each concept now and had not, to the right, and that had it and have not, to the left.

    Args:
        concepts: of one pair of models, rows of the query concepts_gained_and_lost.
        model_a: the model before.
        model_b: the model after.
        verdict: which labels count; None for all.
    """
    order = concepts["concept"].to_list()
    sided = pl.concat(
        concepts.select(
            "concept", "category", "units_a", "units_b", "kept", units=name, side=sign * pl.col(name)
        ).with_columns(way=pl.lit(name))
        for name, sign in ((_GAINED, 1), (_LOST, -1))
    ).filter(pl.col("units") > 0)
    most = float(sided["units"].max() or 1)  # pyright: ignore[reportArgumentType]  a number
    colors = alt.Scale(domain=[_LOST, _GAINED], range=[CHANGES["died"], CHANGES["same"]])
    bars = (
        alt.Chart(sided)
        .mark_bar(cursor="pointer")
        .encode(
            y=alt.Y("concept:N", title=None, sort=order, axis=name_axis(concepts["concept"])),
            x=alt.X(
                "side:Q",
                title="units that lost it, and that gained it",
                axis=alt.Axis(labelExpr="abs(datum.value)", tickMinStep=1, tickCount=8),
                scale=alt.Scale(domain=[-most, most]),
            ),
            color=alt.Color(
                "way:N", title=None, scale=colors, legend=alt.Legend(orient="bottom", columns=2, symbolType="square")
            ),
            tooltip=[
                "concept:N",
                "category:N",
                alt.Tooltip("units:Q", title="units"),
                alt.Tooltip("way:N", title="which"),
                alt.Tooltip("units_a:Q", title=f"units in {model_a}"),
                alt.Tooltip("units_b:Q", title=f"units in {model_b}"),
                alt.Tooltip("kept:Q", title="in both"),
            ],
        )
    )
    small = [f"counting {verdict.many} ({verdict.criterion})"] if verdict else []
    return titled(bars, "Concepts of units", BAR_STEP * len(order), *_pair(model_a, model_b), *small)


def _pair(model_a: str, model_b: str) -> tuple[str, str]:
    """Two models in small print, a line each: two long names would not fit in one."""
    return f"before: {model_a}", f"after: {model_b}"


def _renamed() -> pl.Expr:
    """Two layers of unlike names."""
    return pl.format("{} → {}", "layer", "layer_b")
