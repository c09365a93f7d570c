"""The charts of the report: a frame in, an Altair chart out."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from neuronlake.reports.drawing.concept_bars import concept_bars, with_room
from neuronlake.reports.drawing.drawable_names import with_drawable_names
from neuronlake.reports.drawing.encodings import (
    BAR_STEP,
    categories_in,
    category_color,
    ink_on_shades,
    layers_by_depth,
    model_color,
    name_axis,
    names_by,
    slanted_name_axis,
    titled,
)
from neuronlake.reports.drawing.verdicts import Verdict

ALL_LAYERS = "all layers"
_CHARACTERS_A_LINE = 45
# as the queries have it: by what is counted, and where that is equal by all units
_PLACE = "datum.counted + datum.units / 1e6"


@with_drawable_names
def learnt_concepts(
    concepts: pl.DataFrame, model: str, colors: Mapping[str, str], verdict: Verdict | None
) -> alt.LayerChart:
    """How many units of a model learned each concept, in one of its layers or in all.

    The labels that count put the bars in order.

    Args:
        concepts: of all models, whose panels share the scale of a layer; columns model, layer (or ALL_LAYERS), concept,
            category, counted, units, held; some rows a layer.
        model: the one to draw.
        colors: of the categories, see `category_colors`.
        verdict: which labels count; None for all.
    """
    mine = concepts.filter(pl.col("model") == model)
    most = dict(concepts.group_by("layer", maintain_order=True).agg(pl.max("units")).iter_rows())
    occurring = {layer: categories_in(mine.filter(pl.col("layer") == layer), colors) for layer in most}
    placed = alt.Chart(mine).transform_filter("datum.layer == layer").transform_calculate(place=_PLACE)
    bars = concept_bars(
        placed,
        concepts,
        colors,
        verdict,
        longest_bar=_of_chosen_layer({layer: with_room(units) for layer, units in most.items()}),
        categories=_of_chosen_layer(occurring),
        order="place",
    )
    rows = int(mine.group_by("layer").len()["len"].max() or 1)  # pyright: ignore[reportArgumentType]  a number
    chosen = alt.param(name="layer", value=ALL_LAYERS)
    counted = f"{verdict.many} ({verdict.criterion}), of all" if verdict else "all labels"
    return titled(bars.add_params(chosen), model, BAR_STEP * rows, counted)


@with_drawable_names
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
            x=alt.X("layer:N", title="layer, early to late", sort=layers_by_depth(layers), axis=slanted_name_axis()),
            xOffset=alt.XOffset("model:N"),
            y=alt.Y(f"{measure}:Q", title=axis_title, axis=alt.Axis(format=form)),
            color=model_color(layers["model"].unique(maintain_order=True).to_list()),
            tooltip=["model:N", "layer:N", alt.Tooltip(f"{measure}:Q", title=axis_title, format=form), "units:Q"],
        )
    )
    return titled(chart, title, 200)


@with_drawable_names
def category_mix(mix: pl.DataFrame, model: str, colors: Mapping[str, str]) -> Any:
    """Categories of the labels of each layer of a model, as shares that add up to 1.

    Args:
        mix: of all models; columns model, layer, position, category, units, share; one row a layer and category.
        model: the one to draw.
        colors: of the categories, see `category_colors`.
    """
    mine = mix.filter(pl.col("model") == model)
    places = {category: place for place, category in enumerate(colors)}
    placed = mine.with_columns(place=pl.col("category").replace_strict(places, return_dtype=pl.Int32))
    chart = (
        alt.Chart(placed)
        .mark_bar()
        .encode(
            y=alt.Y("layer:N", title=None, sort=layers_by_depth(mine), axis=name_axis(mix["layer"])),
            x=alt.X(
                "share:Q",
                title="share of labelled units",
                axis=alt.Axis(format="%"),
                scale=alt.Scale(domain=[0, 1]),
                stack="zero",
            ),
            color=category_color(colors, categories_in(mine, colors)),
            order=alt.Order("place:Q"),
            tooltip=["layer:N", "category:N", "units:Q", alt.Tooltip("share:Q", format=".1%")],
        )
    )
    return titled(chart, model, 26 * mine["layer"].n_unique())


@with_drawable_names
def shared_concepts(counts: pl.DataFrame, models: list[str], verdict: Verdict | None) -> Any:
    """Units with each shared concept: two models on the two sides of one axis, more as a table of shades.

    Args:
        counts: columns concept, place, model, counted, units; one row a concept and model.
        models: their names, in order.
        verdict: which labels count; None for all.
    """
    by_place = alt.EncodingSortField("place", op="min", order="ascending")
    concept = alt.Y("concept:N", title=None, sort=by_place, axis=name_axis(counts["concept"]))
    most = float(counts["counted"].max() or 1)  # pyright: ignore[reportArgumentType]  a number
    tooltip = ["concept:N", "model:N", alt.Tooltip("units:Q", title="all labels" if verdict else "units")]
    if verdict:
        tooltip.insert(2, alt.Tooltip("counted:Q", title=verdict.title.lower()))
    small = [f"units with {verdict.many} ({verdict.criterion})"] if verdict else []
    if len(models) > 2:
        base = alt.Chart(counts).encode(
            y=concept,
            x=alt.X("model:N", title=None, scale=alt.Scale(domain=models), axis=slanted_name_axis()),
            tooltip=tooltip,
        )
        shades = alt.Scale(scheme="blues", domain=[0, most])
        cells = base.mark_rect(cursor="pointer").encode(color=alt.Color("counted:Q", title="units", scale=shades))
        chart = cells + base.mark_text().encode(text="counted:Q", color=ink_on_shades("counted", most))
        return titled(chart, "Labels that several models have", BAR_STEP * counts["concept"].n_unique(), *small)
    sided = counts.with_columns(
        side=pl.when(pl.col("model") == models[0]).then(-pl.col("counted")).otherwise(pl.col("counted"))
    )
    chart = (
        alt.Chart(sided)
        .mark_bar(cursor="pointer")
        .encode(
            y=concept,
            x=alt.X(
                "side:Q",
                title="units with this label",
                axis=alt.Axis(labelExpr="abs(datum.value)"),
                scale=alt.Scale(domain=[-most, most]),
            ),
            color=model_color(models),
            tooltip=tooltip,
        )
    )
    return titled(chart, "Labels that both models have", BAR_STEP * counts["concept"].n_unique(), *small)


@with_drawable_names
def own_concepts(
    concepts: pl.DataFrame, model: str, colors: Mapping[str, str], verdict: Verdict | None
) -> alt.LayerChart:
    """Units with each concept that only this model learned, and the layers in which models were compared.

    Args:
        concepts: of all models, whose panels share a scale; columns model, concept, category, counted, units,
            held, compared_layers, is_same_layers; one row a model and concept.
        model: the one to draw.
        colors: of the categories, see `category_colors`.
        verdict: which labels count; None for all.
    """
    mine = concepts.filter(pl.col("model") == model)
    bars = concept_bars(
        alt.Chart(mine).transform_calculate(place=_PLACE),
        concepts,
        colors,
        verdict,
        longest_bar=with_room(concepts["units"].max()),
        categories=categories_in(mine, colors),
        order="place",
    )
    layers, is_same = mine.select("compared_layers", "is_same_layers").row(0)
    where = "in the layers that all have" if is_same else "compared over different layers, here"
    labels = f"{verdict.many}, in no other model" if verdict else "labels that no other model has"
    lines = textwrap.wrap(f"{labels}; {where}: {layers}", _CHARACTERS_A_LINE, max_lines=4, placeholder=" …")
    return titled(bars, model, BAR_STEP * mine.height, *lines)


@with_drawable_names
def layer_similarity(pairs: pl.DataFrame, model_a: str, model_b: str, verdict: Verdict | None) -> Any:
    """How alike the layers of two models are, as a heat map of Jaccard indices.

    Args:
        pairs: of all models, whose panels share the scale of colours; columns model_a, layer_a, position_a, model_b,
            layer_b, position_b, shared, jaccard; one row a pair of layers.
        model_a: whose layers stand at the side.
        model_b: whose layers stand below.
        verdict: which labels count; None for all.
    """
    mine = pairs.filter(pl.col("model_a") == model_a, pl.col("model_b") == model_b)
    # layers of which neither has a concept are neither alike nor not
    base = alt.Chart(mine.drop_nulls("jaccard")).encode(
        y=alt.Y(
            "layer_a:N", title=None, sort=names_by(mine, "layer_a", "position_a"), axis=name_axis(pairs["layer_a"])
        ),
        x=alt.X("layer_b:N", title=None, sort=names_by(mine, "layer_b", "position_b"), axis=slanted_name_axis()),
        tooltip=[
            alt.Tooltip("layer_a:N", title=model_a),
            alt.Tooltip("layer_b:N", title=model_b),
            alt.Tooltip("shared:Q", title="shared concepts"),
            alt.Tooltip("jaccard:Q", title="share of all", format=".3f"),
        ],
    )
    highest = float(pairs["jaccard"].max() or 1.0)  # pyright: ignore[reportArgumentType]  a number
    cells = base.mark_rect().encode(
        color=alt.Color("jaccard:Q", title="Jaccard index", scale=alt.Scale(scheme="blues", domain=[0, highest]))
    )
    numbers = base.mark_text().encode(
        text=alt.Text("jaccard:Q", format=".2f"),
        color=ink_on_shades("jaccard", highest),
    )
    return titled(
        cells + numbers,
        "Concepts that two layers share",
        40 * mine["layer_a"].n_unique(),
        "as a share of all concepts of the two",
        *([verdict.many] if verdict else []),
        f"at the side: {model_a}",
        f"below: {model_b}",
    )


def _of_chosen_layer(values: dict[str, Any]) -> alt.ExprRef:
    """What of these belongs to the layer that the reader chose."""
    return alt.ExprRef(f"{json.dumps([*values.values()])}[indexof({json.dumps([*values])}, layer)]")
