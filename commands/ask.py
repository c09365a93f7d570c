"""What is in the warehouse: free SQL and named queries, free text, runs."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Annotated

import typer

from neuronlake.commands.options import (
    DEFAULT_WAREHOUSE,
    OutputFormat,
    Setting,
    TrustCode,
    UsageError,
    Wait,
    WarehouseFile,
    expanded,
    pairs,
)
from neuronlake.commands.terminal import progress_bars


def query_names() -> list[str]:
    """For tab completion."""
    from neuronlake.sql import catalog

    return [*catalog.queries(), *(view.name for view in catalog.views())]


def sql(
    query: Annotated[
        str | None,
        typer.Argument(
            help="A SELECT, a file with one, or the name of a query, view or table; `cli views` lists them.",
            autocompletion=query_names,
        ),
    ] = None,
    parameters: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Parameters: $KEY in the query.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="Read the query from a file.", show_default=False, callback=expanded),
    ] = None,
    output_format: OutputFormat = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows of a table in a terminal.")] = 40,
    write: Annotated[bool, typer.Option("--write", help="Allow statements that change the warehouse.")] = False,
    allow_files: Annotated[
        bool, typer.Option("--allow-files", help="Let the query read and write other files.")
    ] = False,
    wait: Wait = False,
    warehouse: WarehouseFile = DEFAULT_WAREHOUSE,
) -> None:
    """Ask the warehouse: free SQL, a named query, or a file."""
    from neuronlake.reports import tables
    from neuronlake.reports.files import check_copy
    from neuronlake.sql.answers import answer_frame, changed_rows
    from neuronlake.sql.copies import written_paths
    from neuronlake.sql.opening import open_warehouse
    from neuronlake.sql.settings import setting_note

    shape = tables.chosen_format(output_format)
    # DuckDB hears of Ctrl-C only between its tasks, which can be minutes; to end at once is as safe
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with open_warehouse(warehouse, write=write, allow_files=allow_files, wait=wait) as opened:
        text, given = _query_text(query, file), pairs("a parameter", parameters)
        for path in written_paths(text, given) if allow_files else ():
            check_copy(path)
        relation = opened.ask(text, given)
        changed = (None,) if relation is None else changed_rows(opened.connection, text, relation)
        if changed is not None:
            (count,) = changed
            typer.echo("done" if count is None else f"done: {count:,} row{'' if count == 1 else 's'}", err=True)
        elif relation is not None:
            # a terminal needs one row more than it shows, to know that there are more
            frame = answer_frame(relation.limit(limit + 1) if shape == "table" else relation)
            if note := setting_note(opened, text, given, frame):
                typer.echo(note, err=True)
            tables.print_frame(frame, shape, limit)
            if frame.is_empty():
                typer.echo("no rows", err=True)


def views(
    name: Annotated[
        str | None,
        typer.Argument(help="A view or query to show in full.", autocompletion=query_names),
    ] = None,
) -> None:
    """List the views and named queries, or show one with its columns, parameters and SQL."""
    from neuronlake.sql import catalog

    if name is None:
        typer.echo("Views, to select from:")
        for view in sorted(catalog.views(), key=lambda view: view.name):
            typer.echo(f"  {view.name:24} {_first_sentence(view.comment)}")
        typer.echo("\nNamed queries, for cli sql NAME [KEY=VALUE ...]:")
        for query in catalog.queries().values():
            typer.echo(f"  {query.name:24} {_first_sentence(query.comment)}")
        typer.echo("\ncli views NAME shows columns, parameters and SQL.")
        return
    typer.echo(catalog.describe(name))


def status(
    remove_leftovers: Annotated[
        bool,
        typer.Option("--remove-leftovers", help="Delete the chunks that runs on a cluster left when they were killed."),
    ] = False,
    warehouse: WarehouseFile = DEFAULT_WAREHOUSE,
) -> None:
    """What is in the warehouse, which runs made it, and what killed runs left beside it."""
    from neuronlake.ingest.machines.spool import leftovers
    from neuronlake.ingest.machines.spool import remove_leftovers as remove
    from neuronlake.reports.tables import output_console, terminal_table
    from neuronlake.sql.opening import open_warehouse

    console = output_console()
    with open_warehouse(warehouse, allow_files=False) as opened:
        if remove_leftovers:
            remove(opened)
        console.print(f"{warehouse}: {opened.size() / 1e6:.1f} MB", highlight=False)
        for name in ("contents", "settings", "recent_runs"):
            console.print()
            console.print(terminal_table(opened.query(name).pl(), title=name.replace("_", " ")))
        if left := leftovers(opened):
            console.print()
            console.print(
                f"{len(left)} chunks of killed runs, {sum(each.size for each in left) / 1e6:.1f} MB, lie in "
                f"{', '.join(sorted({str(each.folder.parent) for each in left}))}: the same command again takes them "
                "in, `cli status --remove-leftovers` deletes them",
                highlight=False,
                soft_wrap=True,
            )


def find(
    text: Annotated[str, typer.Argument(help="Free text; it need not be in any concept set.")],
    top: Annotated[int, typer.Option(min=1, help="How many units.")] = 10,
    images: Annotated[
        int, typer.Option(min=0, max=20, help="How many of the images that excite each unit most to name.")
    ] = 1,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="Where the encoder is, as ingest takes it; where the warehouse says if not given.", show_default=False
        ),
    ] = None,
    trust_code: TrustCode = None,
    output_format: OutputFormat = None,
    setting: Setting = None,
    warehouse: WarehouseFile = DEFAULT_WAREHOUSE,
) -> None:
    """Units that score highest for free text, as if it were one more concept of the set."""
    from neuronlake.ingest.find import find_units
    from neuronlake.reports import tables
    from neuronlake.sql.opening import open_warehouse
    from neuronlake.sql.settings import chosen_setting

    shape = tables.chosen_format(output_format)
    with open_warehouse(warehouse) as opened, progress_bars() as progress:
        shown = chosen_setting(opened, setting)
        found = find_units(
            opened,
            text,
            setting=shown.number,
            top=top,
            images=images,
            encoder=encoder,
            trust_code=bool(trust_code),
            progress=progress,
        )
    typer.echo(shown, err=True)
    tables.print_frame(found, shape, top)


def _query_text(query: str | None, file: Path | None) -> str:
    """The query as given, or from a file."""
    if (query is None) == (file is None):
        raise UsageError("give a query, or a file with -f; `cli views` lists what can be asked by name")
    if query is not None and _names_a_file(query):
        file = Path(query).expanduser()
    if file is None:
        return query or ""
    if not file.is_file():
        raise UsageError(f"there is no file {file}; give the query itself, or a file with -f")
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text; convert it, for example with iconv") from error


def _names_a_file(query: str) -> bool:
    """Whether a query is the path of one; a bare name is a view's, and SQL has spaces in it."""
    is_path = re.fullmatch(r"\S+\.sql", query) or os.path.isfile(query)  # noqa: PTH113  SQL is too long for a Path
    return bool(is_path) and not re.fullmatch(r"\w+", query)


def _first_sentence(text: str) -> str:
    """A comment up to its first full stop or question mark."""
    return re.split(r"(?<=[.?])\s", text)[0]
