# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""A warehouse to choose in, look at and ask: run by `cli explore`, edited by `cli explore --edit`."""

import marimo  # deptry: ignore[DEP004]  of the extra `explore`

app = marimo.App(width="medium", app_title="neuronlake")


@app.cell
def _():
    import marimo as mo  # deptry: ignore[DEP004]  of the extra `explore`

    import neuronlake
    from neuronlake.reports.explore import asking, choosing, images, tags, units

    return asking, choosing, images, mo, neuronlake, tags, units


@app.cell
def _(choosing):
    warehouse = choosing.opened_warehouse(choosing.served_file())
    return (warehouse,)


@app.cell
def _(choosing, mo, warehouse):
    # the unit that the page below shows, and the image that the tab of images does
    asked_for = choosing.first_choice(warehouse, mo.query_params().to_dict())
    get_unit, set_unit = mo.state(asked_for.unit)
    get_image, set_image = mo.state(None)
    get_tags, set_tags = mo.state(None)
    return asked_for, get_image, get_tags, get_unit, set_image, set_tags, set_unit


@app.cell(hide_code=True)
def _(asked_for, choosing, mo, warehouse):
    settings = choosing.settings(warehouse)
    setting = mo.ui.dropdown(settings, value=choosing.name_of(settings, asked_for.setting), label="Setting")
    return (setting,)


@app.cell(hide_code=True)
def _(asked_for, choosing, mo, setting, warehouse):
    layers = choosing.layers(warehouse, setting.value)
    layer = mo.ui.dropdown(layers, value=choosing.name_of(layers, asked_for.layer), label="Layer")
    return (layer,)


@app.cell(hide_code=True)
def _(mo, units):
    kind = mo.ui.radio([units.RARE, units.MAP], value=units.RARE, inline=True, label="Units by")
    return (kind,)


@app.cell(hide_code=True)
def _(kind, layer, mo, neuronlake, setting, warehouse):
    mo.vstack(
        [
            mo.md(f"# {warehouse.path.name}"),
            mo.hstack([setting, layer, kind], justify="start", wrap=True, gap=1.5),
            mo.md(f"<small>neuronlake {neuronlake.__version__}; the warehouse is open for reading alone.</small>"),
        ]
    )
    return


@app.cell(hide_code=True)
def _(kind, layer, mo, setting, units, warehouse):
    found = units.units_of_layer(warehouse, setting.value, *layer.value)
    if kind.value == units.MAP:
        with mo.status.spinner("Laying out the map"):
            found = units.with_map(warehouse, found, setting.value, *layer.value)
    has_map = kind.value != units.MAP or found["x"].count() > 0
    chart = mo.ui.altair_chart(
        units.scatter(found, kind.value if has_map else units.RARE), chart_selection="interval", legend_selection=False
    )
    return chart, found, has_map


@app.cell(hide_code=True)
def _(chart, found, get_tags, layer, mo, set_unit, tags, units, warehouse):
    known_tags = tags.read_tags(warehouse.path) if get_tags() is None else get_tags()
    is_chosen = bool(chart.selections)
    selected = tags.with_tags(units.selected_of(found, chart.value if is_chosen else None), known_tags, *layer.value)
    table = mo.ui.table(
        units.for_table(selected),
        selection="single",
        page_size=8,
        show_column_summaries=False,
        show_data_types=False,
        on_change=lambda rows: set_unit((*layer.value, rows["unit"][0])) if len(rows) else None,
    )
    return is_chosen, known_tags, selected, table


@app.cell(hide_code=True)
def _(mo):
    tag = mo.ui.text(placeholder="a word for them", label="Tag")
    return (tag,)


@app.cell(hide_code=True)
def _(layer, mo, selected, set_tags, tag, tags, units, warehouse):
    in_selection = units.keys(selected, *layer.value)
    give = mo.ui.button(
        label=f"Give it to these {selected.height:,} units",
        disabled=not tag.value.strip(),
        on_click=lambda _: set_tags(tags.add_tag(warehouse.path, in_selection, tag.value)),
    )
    take_back = mo.ui.button(
        label="Take it back",
        disabled=not tag.value.strip(),
        on_click=lambda _: set_tags(tags.remove_tag(warehouse.path, in_selection, tag.value)),
    )
    return give, take_back


@app.cell(hide_code=True)
def _(chart, give, has_map, is_chosen, mo, selected, table, tag, take_back, tags, warehouse):
    lack = "" if has_map else "The map needs embeddings of the images, which this warehouse does not have. "
    said = f"{selected.height:,} units selected." if is_chosen else "Drag over points to select units; all are listed."
    units_tab = mo.vstack(
        [
            chart,
            mo.md(f"{lack}{said} Click a row's circle to see the unit below."),
            table,
            mo.hstack([tag, give, take_back], justify="start"),
            mo.md(f"<small>Tags are kept in {tags.tags_file(warehouse.path).name}, beside the warehouse.</small>"),
        ]
    )
    return (units_tab,)


@app.cell(hide_code=True)
def _(mo):
    image_text = mo.ui.text(placeholder="a part of a path or label", label="Find images", debounce=400, full_width=True)
    return (image_text,)


@app.cell(hide_code=True)
def _(image_text, images, mo, set_image, setting, warehouse):
    found_images = images.find_images(warehouse, image_text.value, setting.value)
    image_table = mo.ui.table(
        found_images,
        selection="single",
        page_size=5,
        show_column_summaries=False,
        show_data_types=False,
        show_search=False,
        show_download=False,
        format_mapping={"picture": lambda source: mo.image(source, height=64) if source else ""},
        hidden_columns=["image_id"],
        on_change=lambda rows: set_image(rows["image"][0]) if len(rows) else None,
    )
    return (image_table,)


@app.cell(hide_code=True)
def _(get_image, images, mo, set_unit, setting, warehouse):
    image = get_image()
    excited = images.excited_units(warehouse, image, setting.value) if image else None
    excited_table = (
        mo.ui.table(
            excited,
            selection="single",
            page_size=10,
            show_column_summaries=False,
            show_data_types=False,
            on_change=lambda rows: (
                set_unit((rows["model"][0], rows["layer"][0], rows["unit"][0])) if len(rows) else None
            ),
        )
        if excited is not None
        else mo.md("Choose an image to see which units it excites most, of all models and layers.")
    )
    return excited_table, image


@app.cell(hide_code=True)
def _(excited_table, image, image_table, image_text, images, mo, setting, warehouse):
    images_tab = mo.vstack(
        [
            image_text,
            image_table,
            mo.Html(images.image_part(warehouse, image, setting.value)) if image else mo.md(""),
            excited_table,
        ]
    )
    return (images_tab,)


@app.cell(hide_code=True)
def _(asking, mo):
    question = mo.ui.code_editor(asking.FIRST_QUESTION, language="sql", min_height=140).form(
        submit_button_label="Ask", bordered=False
    )
    return (question,)


@app.cell(hide_code=True)
def _(asking, known_tags, mo, question, set_unit, units, warehouse):
    # nothing is asked before the reader does
    answer = asking.ask(warehouse, known_tags, question.value) if question.value else asking.NOT_ASKED
    answer_table = mo.ui.table(
        answer.rows,
        selection="single",
        page_size=20,
        show_column_summaries=False,
        on_change=lambda rows: set_unit(units.named_in(rows)) if units.named_in(rows) else None,
    )
    sql_tab = mo.vstack(
        [
            question,
            mo.callout(mo.plain_text(answer.error), kind="danger")
            if answer.error
            else mo.vstack([mo.md(answer.note), answer_table]),
        ]
    )
    return (sql_tab,)


@app.cell(hide_code=True)
def _(images_tab, mo, sql_tab, units_tab):
    mo.ui.tabs({"Units": units_tab, "Images": images_tab, "SQL": sql_tab})
    return


@app.cell(hide_code=True)
def _(choosing, get_unit, mo, setting, warehouse):
    page = choosing.unit_page(warehouse, get_unit(), setting.value)
    mo.vstack([mo.md("---"), mo.Html(page.html)])
    return (page,)


@app.cell(hide_code=True)
def _(mo, page, set_image, set_unit):
    near = mo.ui.dropdown(
        page.nearest,
        label="Go to a near unit",
        on_change=lambda where: set_unit(where) if where else None,
    )
    one_of_its_images = mo.ui.dropdown(
        page.images, label="Look at one of its images", on_change=lambda path: set_image(path) if path else None
    )
    mo.hstack([near, one_of_its_images], justify="start", wrap=True)
    return


if __name__ == "__main__":
    app.run()
