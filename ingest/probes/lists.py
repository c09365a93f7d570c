"""Lists of image files: csv files, and what other lists have in common with them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, repeat

import polars as pl

from neuronlake.ingest.probes.locations import Location, ProbeError
from neuronlake.ingest.probes.sources import FileBytes, ProbeImage
from neuronlake.sql.words import first_line


def csv_images(file: Location) -> list[ProbeImage]:
    """The images that a csv file lists: ``path``, relative to the file or absolute, perhaps ``label`` and ``group``.

    Raises:
        ProbeError: it is no such file.
    """
    table = read_csv(file)
    if "path" not in table.columns:
        raise ProbeError(
            f"{file} has no column path; it has {', '.join(table.columns)}, and a list needs path and perhaps label"
        )
    nothing = [None] * table.height
    labels, groups = (table[name] if name in table.columns else nothing for name in ("label", "group"))
    return listed_images(file, file.folder, table["path"], labels, groups)


def read_csv(file: Location) -> pl.DataFrame:
    """A csv file with all its values as text; null where there is none.

    Raises:
        ProbeError: it is no csv file.
    """
    with file.opened() as opened:
        content = opened.read()
    try:
        return pl.read_csv(content, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise ProbeError(
            f"{file} cannot be read as csv: {first_line(error)}; save it as UTF-8 text with a first line that names "
            "its columns"
        ) from error


def listed_images(
    file: Location,
    folder: Location,
    paths: Iterable[str | None],
    labels: Iterable[object],
    groups: Iterable[object] = (),
) -> list[ProbeImage]:
    """The files that a list names, relative to a folder.

    Raises:
        ProbeError: a row has no path, or the path of another row.
    """
    images: dict[str, ProbeImage] = {}
    rows = zip(paths, labels, chain(groups, repeat(None)), strict=False)
    for row, (path, label, group) in enumerate(rows, start=1):
        if not path:
            raise ProbeError(f"{file} has no path in row {row}; give each row one")
        if path in images:
            raise ProbeError(f"{file} lists {path} twice, the second time in row {row}; list each image once")
        source = FileBytes(folder.join(path))
        images[path] = ProbeImage(path, _text(label), source, group=_text(group) or None)
    return list(images.values())


def _text(value: object) -> str | None:
    """A value of a column as text."""
    return None if value is None else str(value)
