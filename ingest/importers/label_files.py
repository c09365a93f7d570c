"""What stands in label files: those of CLIP-Dissect and others with named columns, and those of NetDissect."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neuronlake import NeuronlakeError
from neuronlake.ingest.concepts.concept import category_of, tidy

UNKNOWN = "unknown"
# more than any layer of a network has that is looked at unit by unit: each unit is a row of each scoring
MOST_UNITS = 1_000_000
_MOST_DIGITS = 40
_COLUMNS = ("layer", "unit", "description", "similarity")
_DATA_SETS = {"imagenet": "imagenet", "places365": "places365", "places": "places365"}
# NetDissect's result file begins with these, and has five columns more for each category
_NETDISSECT_HEADER = frozenset({"unit", "category", "label", "score"})
_NETDISSECT_COLUMNS = {"unit": "unit", "description": "label", "similarity": "score", "layer": "layer"}


class ImportedFileError(NeuronlakeError):
    """A file to import cannot be read, or contradicts what is there."""


@dataclass(frozen=True)
class ImportOptions:
    """What a label file does not say; what is None comes from the args.txt beside it, where that is about it.

    Attributes:
        model: name of the network, as in `resnet18-places365`.
        method: what gave the labels.
        encoder: image-text model behind them.
        concepts: name of the concept set.
        probe: name of the images.
        layer: name of the layer, for a file that has no such column.
        probe_folder: the images themselves, where activations are imported.
        columns: for each of layer, unit, description, similarity its name in the file, where that differs.
        first_unit: number of the first unit in the file; NetDissect's count from 1 without being told.
    """

    model: str | None = None
    method: str | None = None
    encoder: str | None = None
    concepts: str | None = None
    probe: str | None = None
    layer: str | None = None
    probe_folder: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    first_unit: int = 0


@dataclass(frozen=True)
class LabelRow:
    """One line of a label file; `description` is None for a unit without a label.

    `category` is None where the file does not say it. It is no part of what tells two files apart.
    """

    layer: str
    unit: int
    description: str | None
    similarity: float | None
    category: str | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class LabelFile:
    """The rows of a label file, and what NetDissect leaves unsaid because it goes without saying there."""

    rows: tuple[LabelRow, ...]
    defaults: ImportOptions


@dataclass(frozen=True)
class _Format:
    """How a file's rows are read."""

    columns: Mapping[str, str]
    layer: str
    first_unit: int
    is_netdissect: bool


def read_label_file(path: Path, options: ImportOptions) -> LabelFile:
    """The rows of a label file. NetDissect's are known by their header.

    Raises:
        ImportedFileError: a column is missing, or a row is malformed; with its line.
    """
    rows: dict[tuple[str, int], LabelRow] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            how = _format(path, reader.fieldnames or [], options)
            for row in reader:
                parsed = _parse_row(f"{path} line {reader.line_num}", row, how)
                if (parsed.layer, parsed.unit) in rows:
                    raise ImportedFileError(
                        f"{path} line {reader.line_num}: unit {parsed.unit + how.first_unit} stands there twice"
                    )
                rows[parsed.layer, parsed.unit] = parsed
    except UnicodeDecodeError as error:
        raise ImportedFileError(
            f"{path} is not UTF-8 text (byte {error.start}); convert it, for example with iconv"
        ) from error
    except (csv.Error, OSError) as error:
        raise ImportedFileError(f"{path} cannot be read as a csv file: {error}") from error
    if not rows:
        raise ImportedFileError(f"{path} holds no labels")
    unsaid = ImportOptions(method="netdissect", encoder="none", concepts="broden", probe="broden")
    return LabelFile(tuple(rows.values()), unsaid if how.is_netdissect else ImportOptions())


def _format(path: Path, found: Collection[str], options: ImportOptions) -> _Format:
    """How a file with this header is read."""
    if unknown := set(options.columns) - set(_COLUMNS):
        raise ImportedFileError(f"there is no column {unknown.pop()!r} to name; there are {', '.join(_COLUMNS)}")
    is_netdissect = not options.columns and set(found) >= _NETDISSECT_HEADER and "description" not in found
    default = _NETDISSECT_COLUMNS if is_netdissect else {column: column for column in _COLUMNS}
    names = {**default, **options.columns}
    for column in ("unit", "description"):
        if names[column] not in found:
            raise ImportedFileError(
                f"{path} has no column {names[column]!r} but {', '.join(found) or 'none'}; "
                f"say which it is with --column {column}=NAME"
            )
    if options.layer and names["layer"] in found:
        raise ImportedFileError(f"{path} has a column {names['layer']!r}; --layer is for files that have none")
    layer = options.layer or (_layer_of_name(path.stem) if is_netdissect else UNKNOWN)
    if layer is None and names["layer"] not in found:
        raise ImportedFileError(f"{path} does not say which layer it is about; add --layer NAME")
    return _Format(names, layer or UNKNOWN, 1 if is_netdissect else options.first_unit, is_netdissect)


def _parse_row(place: str, row: Mapping[str | Any, Any], how: _Format) -> LabelRow:
    """One line, checked."""
    if None in row or None in row.values():
        raise ImportedFileError(f"{place}: another number of columns than in the first line")
    unit = _unit(place, row[how.columns["unit"]].strip(), how.first_unit)
    similarity = (row.get(how.columns["similarity"]) or "").strip()
    try:
        value = float(similarity) if similarity else None
    except ValueError:
        value = math.nan
    if value is not None and not math.isfinite(value):
        raise ImportedFileError(f"{place}: the {how.columns['similarity']} is {similarity!r}, not a number")
    description = tidy(row[how.columns["description"]]) or None
    category = None
    if how.is_netdissect:
        category = category_of(row["category"]) if row["category"].strip() else None
        description = _broden_name(description, category) if description else None
    layer = (row.get(how.columns["layer"]) or "").strip() or how.layer
    return LabelRow(layer, unit, description, value if description else None, category)


def _unit(place: str, text: str, first_unit: int) -> int:
    """A unit's number from 0.

    Raises:
        ImportedFileError: no layer has such a unit.
    """
    # int() takes no number of thousands of digits
    unit = int(text) - first_unit if text.isdecimal() and len(text) <= _MOST_DIGITS else -1
    if not 0 <= unit < MOST_UNITS:
        shown = text if len(text) <= _MOST_DIGITS else f"{text[:_MOST_DIGITS]}..."
        last = first_unit + MOST_UNITS - 1
        raise ImportedFileError(f"{place}: the unit is {shown!r}, not a whole number from {first_unit} to {last:,}")
    return unit


def _broden_name(label: str, category: str | None) -> str:
    """A label of NetDissect as the built-in set broden spells it: `ice_cream_parlor-s` is a scene."""
    return (label.removesuffix("-s") if category == "scene" else label).replace("_", " ")


def _layer_of_name(stem: str) -> str | None:
    """The layer in `conv5-result` and in `resnet50_imagenet_layer4`."""
    found = re.fullmatch(rf"(?:\w+?[_-](?:{'|'.join(_DATA_SETS)})[_-])?(.+?)-result", stem) or re.fullmatch(
        rf"\w+?[_-](?:{'|'.join(_DATA_SETS)})[_-](.+)", stem
    )
    return found[1] if found else None


def model_of_name(text: str) -> str | None:
    """`resnet18_places365_20k` names resnet18-places365, and so does CLIP-Dissect's `resnet18_places`."""
    found = re.match(rf"(\w+?)[_-]({'|'.join(_DATA_SETS)})(?![a-z0-9])", text)
    return f"{found[1]}-{_DATA_SETS[found[2]]}" if found else None
