"""The charts of the report: a frame in, an Altair chart out."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Mapping
from typing import Any

import altair as alt
import polars as pl

# Okabe & Ito's palette, which colour-blind readers can tell apart; grey for what has no category.
CATEGORY_COLORS = {
    "color": "#cc79a7",
    "texture": "#e69f00",
    "material": "#d55e00",
    "part": "#56b4e9",
    "object": "#0072b2",
    "scene": "#009e73",
    "none": "#8c8c8c",
}
# Of a concept file's own categories, each far from the seven and from those before it.
OWN_CATEGORY_COLORS = (
    *("#7ab814", "#e6194c", "#7c6cef", "#776c22", "#8a0f7a", "#61d1d1"),
    *("#d17d61", "#3319e6", "#e619cc", "#adca91", "#9e2e4a", "#14b852"),
)
MODEL_COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
ALL_LAYERS = "all layers"
_BAR_STEP = 19
_LONGEST_LEGEND = 300
_GOLDEN_RATIO = 0.618


def category_colors(categories: Iterable[str]) -> dict[str, str]:
    """Broden's categories and these, each with its colour: own ones in alphabetical order, before none.

    Args:
        categories: all that a report shows, so that each has one colour in all of its charts.
    """
    own = sorted({*categories} - {*CATEGORY_COLORS})
    colors = dict(CATEGORY_COLORS)
    grey = colors.pop("none")
    for place, category in enumerate(own):
        if place < len(OWN_CATEGORY_COLORS):
            colors[category] = OWN_CATEGORY_COLORS[place]
        else:  # hues that lie apart however many there are
            shade = colorsys.hls_to_rgb(place * _GOLDEN_RATIO % 1, 0.35 + 0.15 * (place % 3), 0.5)
            colors[category] = "#" + "".join(f"{round(255 * part):02x}" for part in shade)
    return {**colors, "none": grey}


def learnt_concepts(concepts: pl.DataFrame, model: str, colors: Mapping[str, str]) -> alt.Chart | alt.LayerChart:
    """How many units of a model learned each concept, in one of its layers or in all.

    The part of a bar in full colour is the units whose label is better than chance; all of it where none is known.
    These are counted, and put the bars in order.

    Args:
        concepts: columns layer (or ALL_LAYERS), concept, category, counted, units, significant; some rows a layer.
        model: for the title.
        colors: of the categories, see `category_colors`.
    """
    layer = alt.param(name="layer", value=ALL_LAYERS)
    knows_chance = concepts["significant"].count() > 0
    base = (
        alt.Chart(concepts)
        .transform_filter("datum.layer == layer")
        .transform_calculate(
            # as the query has it: by what is counted, and where that is equal by all units
            place="datum.counted + datum.units / 1e6",
            shown="datum.counted == datum.units ? '' + datum.units : datum.counted + ' of ' + datum.units",
        )
        .encode(
            y=alt.Y("concept:N", title=None, sort=alt.EncodingSortField("place", op="max", order="descending")),
            tooltip=[
                alt.Tooltip("concept:N"),
                alt.Tooltip("category:N"),
                alt.Tooltip("units:Q"),
                alt.Tooltip("significant:Q", title="better than chance"),
            ],
        )
    )
    units = alt.X("units:Q", title="units with this label", axis=alt.Axis(tickMinStep=1))
    paleness = 0.4 if knows_chance else 1.0
    bars = base.mark_bar(cursor="pointer", size=_BAR_STEP - 3, opacity=paleness).encode(
        x=units, color=_category_color(colors)
    )
    significant = base.mark_bar(cursor="pointer", size=_BAR_STEP - 3).encode(
        x="significant:Q", color=_category_color(colors)
    )
    counts = base.mark_text(align="left", dx=4).encode(x="units:Q", text="shown:N")
    longest = int(concepts.group_by("layer").len()["len"].max() or 1)  # pyright: ignore[reportArgumentType]  a number
    counted = "labels better than chance (q < 0.05), of all" if knows_chance else "all labels"
    title = alt.Title(model, subtitle=counted)
    return _titled((bars + significant + counts).add_params(layer), title, _BAR_STEP * longest)


def layer_measure(layers: pl.DataFrame, measure: str, title: str, axis_title: str, form: str) -> Any:
    """One measure of each layer, early to late, models side by side.

    Args:
        layers: columns model, layer, position and the measure; one row a layer.
        measure: name of the column.
        title: of the chart.
        axis_title: with the unit.
        form: of the numbers, as d3-format has it.
    """
    chart = (
        alt.Chart(layers)
        .mark_bar()
        .encode(
            x=alt.X("layer:N", title="layer, early to late", sort=_by_depth(layers), axis=alt.Axis(labelAngle=-30)),
            xOffset=alt.XOffset("model:N"),
            y=alt.Y(f"{measure}:Q", title=axis_title, axis=alt.Axis(format=form)),
            color=_model_color(layers["model"].unique(maintain_order=True).to_list()),
            tooltip=["model:N", "layer:N", alt.Tooltip(f"{measure}:Q", title=axis_title, format=form), "units:Q"],
        )
    )
    return _titled(chart, title, 200)


def category_mix(mix: pl.DataFrame, model: str, colors: Mapping[str, str]) -> Any:
    """Categories of the labels of each layer of a model, as shares that add up to 1.

    Args:
        mix: columns layer, position, category, units, share; one row a layer and category.
        model: for the title.
        colors: of the categories, see `category_colors`.
    """
    places = {category: place for place, category in enumerate(colors)}
    placed = mix.with_columns(place=pl.col("category").replace_strict(places, return_dtype=pl.Int32))
    chart = (
        alt.Chart(placed)
        .mark_bar()
        .encode(
            y=alt.Y("layer:N", title=None, sort=_by_depth(mix)),
            x=alt.X(
                "share:Q",
                title="share of labelled units",
                axis=alt.Axis(format="%"),
                scale=alt.Scale(domain=[0, 1]),
                stack="zero",
            ),
            color=_category_color(colors),
            order=alt.Order("place:Q"),
            tooltip=["layer:N", "category:N", "units:Q", alt.Tooltip("share:Q", format=".1%")],
        )
    )
    return _titled(chart, model, 26 * mix["layer"].n_unique())


def shared_concepts(counts: pl.DataFrame, models: list[str]) -> Any:
    """Units with each shared concept: two models on the two sides of one axis, more as a table of shades.

    Args:
        counts: columns concept, place, model, units; one row a concept and model.
        models: their names, in order.
    """
    by_place = alt.EncodingSortField("place", op="min", order="ascending")
    concept = alt.Y("concept:N", title=None, sort=by_place)
    if len(models) > 2:
        chart = (
            alt.Chart(counts)
            .mark_rect()
            .encode(y=concept, x=alt.X("model:N", title=None), color=alt.Color("units:Q"), tooltip=_shared_tooltip())
        )
        return _titled(chart, "Labels that several models have", _BAR_STEP * counts["concept"].n_unique())
    sided = counts.with_columns(
        side=pl.when(pl.col("model") == models[0]).then(-pl.col("units")).otherwise(pl.col("units"))
    )
    chart = (
        alt.Chart(sided)
        .mark_bar(cursor="pointer")
        .encode(
            y=concept,
            x=alt.X(
                "side:Q",
                title="units with this label, a model on each side",
                axis=alt.Axis(labelExpr="abs(datum.value)"),
            ),
            color=_model_color(models),
            tooltip=_shared_tooltip(),
        )
    )
    return _titled(chart, "Labels that both models have", _BAR_STEP * counts["concept"].n_unique())


def own_concepts(concepts: pl.DataFrame, model: str, colors: Mapping[str, str]) -> Any:
    """Units with each concept that only this model learned.

    Args:
        concepts: columns concept, category, units; one row a concept.
        model: for the title.
        colors: of the categories, see `category_colors`.
    """
    chart = (
        alt.Chart(concepts)
        .mark_bar(cursor="pointer")
        .encode(
            y=alt.Y("concept:N", title=None, sort="-x"),
            x=alt.X("units:Q", title="units with this label", axis=alt.Axis(tickMinStep=1)),
            color=_category_color(colors),
            tooltip=["concept:N", "category:N", "units:Q"],
        )
    )
    return _titled(chart, model, _BAR_STEP * concepts.height)


def layer_similarity(pairs: pl.DataFrame, model_a: str, model_b: str) -> Any:
    """How alike the layers of two models are, as a heat map of Jaccard indices.

    Args:
        pairs: columns layer_a, position_a, layer_b, position_b, shared, jaccard; one row a pair of layers.
        model_a: whose layers stand at the side.
        model_b: whose layers stand below.
    """
    base = alt.Chart(pairs).encode(
        y=alt.Y("layer_a:N", title=model_a, sort=_order(pairs, "layer_a", "position_a")),
        x=alt.X("layer_b:N", title=model_b, sort=_order(pairs, "layer_b", "position_b"), axis=alt.Axis(labelAngle=-30)),
        tooltip=["layer_a:N", "layer_b:N", "shared:Q", alt.Tooltip("jaccard:Q", format=".3f")],
    )
    highest = float(pairs["jaccard"].max() or 1.0)  # pyright: ignore[reportArgumentType]  a number
    cells = base.mark_rect().encode(
        color=alt.Color("jaccard:Q", title="Jaccard index", scale=alt.Scale(scheme="blues", domain=[0, highest]))
    )
    numbers = base.mark_text().encode(
        text=alt.Text("jaccard:Q", format=".2f"),
        color=alt.condition(f"datum.jaccard > {0.55 * highest}", alt.value("white"), alt.value("#222")),
    )
    return _titled(
        cells + numbers, "Concepts that two layers share, of all they have", 40 * pairs["layer_a"].n_unique()
    )


def _titled(chart: Any, title: str | alt.Title, height: int) -> Any:
    """A chart as wide as its place on the page."""
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    return chart.properties(title=title, width="container", height=height, autosize=fit)


def _category_color(colors: Mapping[str, str]) -> alt.Color:
    """Colour by category, the same in every chart."""
    return alt.Color(
        "category:N",
        title="category",
        scale=alt.Scale(domain=list(colors), range=list(colors.values())),
        legend=alt.Legend(orient="bottom", columns=4, symbolType="square", symbolOpacity=1),
    )


def _model_color(models: list[str]) -> alt.Color:
    """Colour by model, the same in every chart."""
    colors = [MODEL_COLORS[place % len(MODEL_COLORS)] for place in range(len(models))]
    return alt.Color(
        "model:N",
        title=None,
        scale=alt.Scale(domain=models, range=colors),
        legend=alt.Legend(orient="bottom", columns=1, labelLimit=_LONGEST_LEGEND, symbolType="square"),
    )


def _shared_tooltip() -> list[Any]:
    return ["concept:N", "model:N", "units:Q"]


def _by_depth(frame: pl.DataFrame) -> list[str]:
    """Names of layers, early to late."""
    return _order(frame, "layer", "position")


def _order(frame: pl.DataFrame, name: str, position: str) -> list[str]:
    return frame.sort(position)[name].unique(maintain_order=True).to_list()
