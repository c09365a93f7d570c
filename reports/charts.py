"""The charts of the report: a frame in, an Altair chart out."""

from __future__ import annotations

import colorsys
import json
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import altair as alt
import polars as pl

from neuronlake.reports.drawable_names import with_drawable_names

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
_BETTER, _NOT_BETTER = "yes, q < 0.05", "no"
_PALE = 0.4
_KEY_COLUMNS = alt.ExprRef("containerSize()[0] < 400 ? 2 : 3")
_BAR_STEP = 19
_LONGEST_LEGEND = 300
_GOLDEN_RATIO = 0.618
# pixels; a longer name or title is cut, and the tooltip has it whole
_LONGEST_NAME = 150
_LONGEST_TITLE = 320
_CHARACTER = 7
_CHARACTERS_A_LINE = 45


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


@with_drawable_names
def learnt_concepts(concepts: pl.DataFrame, model: str, colors: Mapping[str, str]) -> alt.LayerChart:
    """How many units of a model learned each concept, in one of its layers or in all.

    Units whose label is better than chance are counted, and put the bars in order; all where that is not known.

    Args:
        concepts: of all models, whose panels share the scale of a layer; columns model, layer (or ALL_LAYERS), concept,
            category, counted, units, significant; some rows a layer.
        model: the one to draw.
        colors: of the categories, see `category_colors`.
    """
    mine = concepts.filter(pl.col("model") == model)
    most = dict(concepts.group_by("layer", maintain_order=True).agg(pl.max("units")).iter_rows())
    occurring = {layer: _occurring(mine.filter(pl.col("layer") == layer), colors) for layer in most}
    placed = (
        alt.Chart(mine)
        .transform_filter("datum.layer == layer")
        .transform_calculate(
            # as the query has it: by what is counted, and where that is equal by all units
            place="datum.counted + datum.units / 1e6",
        )
    )
    bars = _concept_bars(
        placed,
        concepts,
        colors,
        longest_bar=_of_layer({layer: _room(units) for layer, units in most.items()}),
        categories=_of_layer(occurring),
        order="place",
    )
    rows = int(mine.group_by("layer").len()["len"].max() or 1)  # pyright: ignore[reportArgumentType]  a number
    chosen = alt.param(name="layer", value=ALL_LAYERS)
    knows_chance = concepts["significant"].count() > 0
    counted = "labels better than chance (q < 0.05), of all" if knows_chance else "all labels"
    return _titled(bars.add_params(chosen), model, _BAR_STEP * rows, counted)


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
            x=alt.X("layer:N", title="layer, early to late", sort=_by_depth(layers), axis=_slanted_names()),
            xOffset=alt.XOffset("model:N"),
            y=alt.Y(f"{measure}:Q", title=axis_title, axis=alt.Axis(format=form)),
            color=_model_color(layers["model"].unique(maintain_order=True).to_list()),
            tooltip=["model:N", "layer:N", alt.Tooltip(f"{measure}:Q", title=axis_title, format=form), "units:Q"],
        )
    )
    return _titled(chart, title, 200)


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
            y=alt.Y("layer:N", title=None, sort=_by_depth(mine), axis=_names(mix["layer"])),
            x=alt.X(
                "share:Q",
                title="share of labelled units",
                axis=alt.Axis(format="%"),
                scale=alt.Scale(domain=[0, 1]),
                stack="zero",
            ),
            color=_category_color(colors, _occurring(mine, colors)),
            order=alt.Order("place:Q"),
            tooltip=["layer:N", "category:N", "units:Q", alt.Tooltip("share:Q", format=".1%")],
        )
    )
    return _titled(chart, model, 26 * mine["layer"].n_unique())


@with_drawable_names
def shared_concepts(counts: pl.DataFrame, models: list[str]) -> Any:
    """Units with each shared concept: two models on the two sides of one axis, more as a table of shades.

    Args:
        counts: columns concept, place, model, units; one row a concept and model.
        models: their names, in order.
    """
    by_place = alt.EncodingSortField("place", op="min", order="ascending")
    concept = alt.Y("concept:N", title=None, sort=by_place, axis=_names(counts["concept"]))
    most = float(counts["units"].max() or 1)  # pyright: ignore[reportArgumentType]  a number
    if len(models) > 2:
        base = alt.Chart(counts).encode(
            y=concept,
            x=alt.X("model:N", title=None, scale=alt.Scale(domain=models), axis=_slanted_names()),
            tooltip=["concept:N", "model:N", "units:Q"],
        )
        shades = alt.Scale(scheme="blues", domain=[0, most])
        cells = base.mark_rect(cursor="pointer").encode(color=alt.Color("units:Q", title="units", scale=shades))
        chart = cells + base.mark_text().encode(text="units:Q", color=_ink_on_shades("units", most))
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
                title="units with this label",
                axis=alt.Axis(labelExpr="abs(datum.value)"),
                scale=alt.Scale(domain=[-most, most]),
            ),
            color=_model_color(models),
            tooltip=["concept:N", "model:N", "units:Q"],
        )
    )
    return _titled(chart, "Labels that both models have", _BAR_STEP * counts["concept"].n_unique())


@with_drawable_names
def own_concepts(concepts: pl.DataFrame, model: str, colors: Mapping[str, str]) -> alt.LayerChart:
    """Units with each concept that only this model learned, and the layers in which models were compared.

    Args:
        concepts: of all models, whose panels share a scale; columns model, concept, category, units, significant,
            compared_layers, is_same_layers; one row a model and concept.
        model: the one to draw.
        colors: of the categories, see `category_colors`.
    """
    mine = concepts.filter(pl.col("model") == model)
    bars = _concept_bars(
        alt.Chart(mine),
        concepts,
        colors,
        longest_bar=_room(concepts["units"].max()),
        categories=_occurring(mine, colors),
    )
    layers, is_same = mine.select("compared_layers", "is_same_layers").row(0)
    where = "in the layers that all have" if is_same else "compared over different layers, here"
    lines = textwrap.wrap(
        f"labels that no other model has; {where}: {layers}", _CHARACTERS_A_LINE, max_lines=4, placeholder=" …"
    )
    return _titled(bars, model, _BAR_STEP * mine.height, *lines)


@with_drawable_names
def layer_similarity(pairs: pl.DataFrame, model_a: str, model_b: str) -> Any:
    """How alike the layers of two models are, as a heat map of Jaccard indices.

    Args:
        pairs: of all models, whose panels share the scale of colours; columns model_a, layer_a, position_a, model_b,
            layer_b, position_b, shared, jaccard; one row a pair of layers.
        model_a: whose layers stand at the side.
        model_b: whose layers stand below.
    """
    mine = pairs.filter(pl.col("model_a") == model_a, pl.col("model_b") == model_b)
    base = alt.Chart(mine).encode(
        y=alt.Y("layer_a:N", title=None, sort=_order(mine, "layer_a", "position_a"), axis=_names(pairs["layer_a"])),
        x=alt.X("layer_b:N", title=None, sort=_order(mine, "layer_b", "position_b"), axis=_slanted_names()),
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
        color=_ink_on_shades("jaccard", highest),
    )
    return _titled(
        cells + numbers,
        "Concepts that two layers share",
        40 * mine["layer_a"].n_unique(),
        "as a share of all concepts of the two",
        f"at the side: {model_a}",
        f"below: {model_b}",
    )


def _concept_bars(
    chart: alt.Chart,
    every: pl.DataFrame,
    colors: Mapping[str, str],
    *,
    longest_bar: Any,
    categories: Any,
    order: str = "units",
) -> Any:
    """A bar of units a concept, with its number; in full colour the units whose label is better than chance.

    All is in full colour where none is known to be, and there is no key to full and pale.

    Args:
        chart: of columns concept, category, units, significant.
        every: the rows of all panels that stand beside it.
        colors: of the categories.
        longest_bar: end of the scale.
        categories: those to explain.
        order: the column that puts the bars in order, highest first.
    """
    knows_chance = every["significant"].count() > 0
    tooltip = [alt.Tooltip("concept:N"), alt.Tooltip("category:N"), alt.Tooltip("units:Q")]
    if knows_chance:
        tooltip.append(alt.Tooltip("significant:Q", title="better than chance"))
    base = chart.encode(
        y=alt.Y(
            "concept:N",
            title=None,
            sort=alt.EncodingSortField(order, op="max", order="descending"),
            axis=_names(every["concept"]),
        ),
        color=_category_color(colors, categories),
        tooltip=tooltip,
    )
    units = alt.X(
        "units:Q",
        title="units with this label",
        axis=alt.Axis(tickMinStep=1),
        scale=alt.Scale(domainMin=0, domainMax=longest_bar, nice=False),
    )
    bar = base.mark_bar(cursor="pointer", size=_BAR_STEP - 3)
    bars = bar.encode(x=units)
    some = "isValid(datum.significant) && datum.significant != datum.units"
    said = f"{some} ? datum.significant + ' of ' + datum.units : '' + datum.units"
    text = chart.transform_calculate(shown=said).encode(y=base.encoding.y)
    counts = text.mark_text(align="left", dx=4).encode(x="units:Q", text="shown:N")
    if not knows_chance:
        return bars + counts
    parts = [(_NOT_BETTER, bars), (_BETTER, bar.encode(x="significant:Q"))]
    keyed = [part.transform_calculate(certainty=f"'{name}'").encode(opacity=_certainty()) for name, part in parts]
    return alt.layer(*keyed, counts)


def _titled(chart: Any, title: str, height: int, *lines: str) -> Any:
    """A chart as wide as its place on the page, with lines of small print below its title."""
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    small = list(lines) or alt.Undefined
    text = alt.TitleParams(title, subtitle=small, limit=_LONGEST_TITLE)
    return chart.properties(title=text, width="container", height=height, autosize=fit)


def _names(every: pl.Series) -> alt.Axis:
    """An axis of names, with the same room for them in panels that stand side by side.

    Args:
        every: the names of all those panels.
    """
    longest = max((len(name) for name in every), default=0)
    return alt.Axis(labelLimit=_LONGEST_NAME, minExtent=min(_LONGEST_NAME, _CHARACTER * longest) + 8)


def _slanted_names() -> alt.Axis:
    """An axis of names below a chart."""
    return alt.Axis(labelAngle=-30, labelLimit=_LONGEST_NAME)


def _room(most: Any) -> float:
    """The end of a scale that leaves room for the numbers at the end of the longest bar, in a narrow panel too."""
    return 1.3 * most


def _of_layer(values: dict[str, Any]) -> alt.ExprRef:
    """What of these belongs to the layer that the reader chose."""
    return alt.ExprRef(f"{json.dumps([*values.values()])}[indexof({json.dumps([*values])}, layer)]")


def _occurring(frame: pl.DataFrame, colors: Mapping[str, str]) -> list[str]:
    """The categories in a frame, in the order of the colours."""
    return [category for category in colors if category in set(frame["category"])]


def _category_color(colors: Mapping[str, str], occurring: Any) -> alt.Color:
    """Colour by category, the same in every chart; the key has those that occur."""
    return alt.Color(
        "category:N",
        title="category",
        scale=alt.Scale(domain=list(colors), range=list(colors.values())),
        legend=alt.Legend(
            orient="bottom", columns=_KEY_COLUMNS, symbolType="square", symbolOpacity=1, values=occurring
        ),
    )


def _certainty() -> alt.Opacity:
    """Opacity of the parts of the bars, _BETTER and _NOT_BETTER, with the key to both."""
    key = alt.Legend(orient="top", columns=2, symbolType="square", symbolFillColor="gray", symbolStrokeWidth=0)
    scale = alt.Scale(domain=[_BETTER, _NOT_BETTER], range=[1, _PALE])
    return alt.Opacity("certainty:O", title="label better than chance", scale=scale, legend=key)


def _ink_on_shades(column: str, highest: float) -> Any:
    """The colour of a number on a cell that is the darker the higher the number is."""
    return alt.condition(f"datum.{column} > {0.55 * highest}", alt.value("white"), alt.value("#222"))


def _model_color(models: list[str]) -> alt.Color:
    """Colour by model, the same in every chart."""
    colors = [MODEL_COLORS[place % len(MODEL_COLORS)] for place in range(len(models))]
    return alt.Color(
        "model:N",
        title=None,
        scale=alt.Scale(domain=models, range=colors),
        legend=alt.Legend(orient="bottom", columns=1, labelLimit=_LONGEST_LEGEND, symbolType="square"),
    )


def _by_depth(frame: pl.DataFrame) -> list[str]:
    """Names of layers, early to late."""
    return _order(frame, "layer", "position")


def _order(frame: pl.DataFrame, name: str, position: str) -> list[str]:
    return frame.sort(position)[name].unique(maintain_order=True).to_list()
