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

    from neuronlake.reports.explore import asking, choosing, images, tags, units

    return asking, choosing, images, mo, tags, units


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
def _(asked_for, choosing, mo, set_unit, setting, warehouse):
    layers = choosing.layers(warehouse, setting.value)
    layer = mo.ui.dropdown(
        layers,
        value=choosing.name_of(layers, asked_for.layer),
        label="Layer",
        on_change=lambda pair: set_unit(choosing.best_unit(warehouse, setting.value, pair)),
    )
    return (layer,)


@app.cell(hide_code=True)
def _(mo, units):
    kind = mo.ui.radio([units.RARE, units.MAP], value=units.RARE, inline=True, label="Units by")
    return (kind,)


@app.cell(hide_code=True)
def _(kind, layer, mo, setting, warehouse):
    mo.vstack(
        [
            mo.md(f"# {warehouse.path.name}"),
            mo.md(
                "What the units of these networks stand for. Choose units in the chart or the table, an image under "
                "Images, or ask under SQL; the page of the chosen unit is below."
            ),
            mo.hstack([setting, layer, kind], justify="start", wrap=True, gap=1.5),
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
    open_ticked = units.opens_ticked(lambda number: set_unit((*layer.value, number)))
    table = mo.ui.table(
        units.for_table(selected),
        selection="multi",
        page_size=8,
        show_column_summaries=False,
        show_data_types=False,
        on_change=open_ticked,
    )
    return is_chosen, known_tags, selected, table


@app.cell(hide_code=True)
def _(mo):
    tag = mo.ui.text(placeholder="a word for them", label="Tag")
    return (tag,)


@app.cell(hide_code=True)
def _(is_chosen, layer, mo, selected, set_tags, table, tag, tags, units, warehouse):
    # those that are ticked, else those that the chart has chosen, and never all
    meant = table.value if len(table.value) else selected if is_chosen else selected.clear()
    which = f"{len(meant):,} {'ticked' if len(table.value) else 'selected'} unit{'' if len(meant) == 1 else 's'}"
    keys = units.keys(meant, *layer.value)
    is_ready = bool(tag.value.strip()) and len(meant) > 0
    give = mo.ui.button(
        label=f"Give it to the {which}" if len(meant) else "Tick units, or drag over points, to tag them",
        disabled=not is_ready,
        on_click=lambda _: set_tags(tags.add_tag(warehouse.path, keys, tag.value)),
    )
    take_back = mo.ui.button(
        label="Take it back from them",
        disabled=not is_ready,
        on_click=lambda _: set_tags(tags.remove_tag(warehouse.path, keys, tag.value)),
    )
    return give, take_back


@app.cell(hide_code=True)
def _(chart, give, has_map, is_chosen, known_tags, mo, selected, table, tag, take_back, tags, warehouse):
    lack = "" if has_map else "The map needs embeddings of the images, which this warehouse does not have. "
    said = f"{selected.height:,} units selected." if is_chosen else "Drag over points to select units; all are listed."
    units_tab = mo.vstack(
        [
            chart,
            mo.md(f"{lack}{said} Tick a unit to see its page below."),
            table,
            mo.hstack([tag, give, take_back], justify="start", wrap=True),
            mo.md(
                f"<small>{known_tags.height:,} tags in {tags.tags_file(warehouse.path).name}, beside the file.</small>"
            ),
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
            mo.md(images.said_of(image_table.data)),
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
        format_mapping=dict.fromkeys(asking.fractions(answer.rows), "{:.6g}".format),
        on_change=lambda rows: set_unit(units.named_in(rows)) if units.named_in(rows) else None,
    )
    said_of_answer = mo.callout(mo.plain_text(answer.error), kind="danger") if answer.error else mo.md(answer.note)
    sql_tab = mo.vstack([question, said_of_answer, *([answer_table] if len(answer.rows.columns) else [])])
    return (sql_tab,)


@app.cell(hide_code=True)
def _(images_tab, mo, sql_tab, units_tab):
    mo.ui.tabs({"Units": units_tab, "Images": images_tab, "SQL": sql_tab})
    return


@app.cell(hide_code=True)
def _(choosing, get_unit, setting, warehouse):
    page = choosing.unit_page(warehouse, get_unit(), setting.value)
    return (page,)


@app.cell(hide_code=True)
def _(mo, page, set_image, set_unit):
    # apart from the cell that reads which unit is chosen: marimo runs no cell anew for what it has set itself
    near = mo.ui.dropdown(
        page.nearest,
        label="Go to a near unit",
        on_change=lambda where: set_unit(where) if where else None,
    )
    one_of_its_images = mo.ui.dropdown(
        page.images,
        label="See what else one of its images excites",
        on_change=lambda path: set_image(path) if path else None,
    )
    return near, one_of_its_images


@app.cell(hide_code=True)
def _(excited_table, image, images, mo, near, one_of_its_images, page, setting, warehouse):
    is_of_page = image in page.images.values()
    shown_image = [mo.Html(images.image_part(warehouse, image, setting.value)), excited_table] if is_of_page else []
    mo.vstack(
        [
            mo.md("---"),
            mo.hstack([near, one_of_its_images], justify="start", wrap=True),
            *shown_image,
            mo.Html(page.html),
        ]
    )
    return


if __name__ == "__main__":
    app.run()
