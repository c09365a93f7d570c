"""What stands in label files: CLIP-Dissect's and others with named columns, NetDissect's, and sums of concepts."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from neuronlake import NeuronlakeError
from neuronlake.ingest.concepts.concept import category_of, tidy
from neuronlake.ingest.concepts.same_names import broden_name, told_apart

UNKNOWN = "unknown"
# more than any layer of a network has that is looked at unit by unit: each unit is a row of each scoring
MOST_UNITS = 1_000_000
_MOST_DIGITS = 40
_LARGEST_NUMBER = 3.4e38  # that a float32 holds
_MOST_PIXELS = 2**53  # beyond which not every whole number is a float
# correlations computed in float32 exceed 1 by a little
_ROUNDING = 1e-5
_COLUMNS = ("layer", "unit", "description", "similarity", "correlation")
_DATA_SETS = {"imagenet": "imagenet", "places365": "places365", "places": "places365"}
# NetDissect's result file begins with these, and has five columns more for each category
_NETDISSECT_HEADER = frozenset({"unit", "category", "label", "score"})
# of a category: its best label, the pixels that show it, those of them that have any label of the category and in which
# the unit is active, and those in which both is so
_LABEL, _PIXELS = "-label", ("-truth", "-activation", "-intersect")
# between a score and the pixels behind it; a writer may have rounded the score
_SCORE_ROUNDING = 1e-3
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
        columns: for each of layer, unit, description, similarity its name in the file, where that differs; and for
            correlation, which is read from no file unless it is named: how well each label predicts its unit on
            images that did not choose it.
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
class Term:
    """A concept of a label that is a sum of several, and how much it counts."""

    concept: str
    weight: float


@dataclass(frozen=True)
class Overlap:
    """A category's best concept for a unit, and in how many pixels it is shown and the unit active: both, or one."""

    concept: str
    category: str
    intersection: int
    union: int


@dataclass(frozen=True)
class LabelRow:
    """One line of a label file; `description` is None for a unit without a label.

    What is not in its repr is no part of the fingerprint that tells two files apart, or a part of its own.

    Attributes:
        category: None where the file does not say it.
        terms: the whole label, where it is a sum; the first concept is its description.
        correlation: how well the label predicts the unit; None where the file does not say it.
        intercept: what a sum adds to its concepts; None where the file does not say it.
        overlaps: of each category's best concept, its own among them, as far as the file says them.
    """

    layer: str
    unit: int
    description: str | None
    similarity: float | None
    category: str | None = field(default=None, repr=False, compare=False)
    terms: tuple[Term, ...] = field(default=(), repr=False)
    correlation: float | None = field(default=None, repr=False, compare=False)
    intercept: float | None = field(default=None, repr=False, compare=False)
    overlaps: tuple[Overlap, ...] = field(default=(), repr=False, compare=False)

    def as_read_at_first(self) -> LabelRow:
        """The row as older versions read it, for which the scene house-s and the object house were one; no bias."""
        if self.description is None or self.category is None:
            return replace(self, intercept=None)
        return replace(self, intercept=None, description=self.description.removesuffix(told_apart("", self.category)))


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
    most_terms: int
    categories: tuple[str, ...] = ()


def read_label_file(path: Path, options: ImportOptions) -> LabelFile:
    """The rows of a label file. NetDissect's and those of Linear Explanations are known by their header.

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
    says_description = "description" in found or "description" in options.columns
    is_netdissect = (
        not says_description and set(found) >= _NETDISSECT_HEADER and set(options.columns) <= {"correlation"}
    )
    most_terms = 0 if says_description else _most_terms(path, found)
    default = _NETDISSECT_COLUMNS if is_netdissect else {column: column for column in _COLUMNS[:4]}
    names = {**default, **options.columns}
    needed = {"unit", *options.columns} if most_terms else {"unit", "description", *options.columns}
    for column in _COLUMNS:
        if column in needed and names[column] not in found:
            raise ImportedFileError(
                f"{path} has no column {names[column]!r} but {', '.join(found) or 'none'}; "
                f"say which it is with --column {column}=NAME"
            )
    if options.layer and names["layer"] in found:
        raise ImportedFileError(f"{path} has a column {names['layer']!r}; --layer is for files that have none")
    layer = options.layer or (_layer_of_name(path.stem) if is_netdissect else UNKNOWN)
    if layer is None and names["layer"] not in found:
        raise ImportedFileError(f"{path} does not say which layer it is about; add --layer NAME")
    first_unit = 1 if is_netdissect else options.first_unit
    categories = _categories(found) if is_netdissect else ()
    return _Format(names, layer or UNKNOWN, first_unit, is_netdissect, most_terms, categories)


def _categories(found: Collection[str]) -> tuple[str, ...]:
    """The categories of which NetDissect's file has a label with its pixels."""
    labels = [column.removesuffix(_LABEL) for column in found if column.endswith(_LABEL)]
    return tuple(name for name in labels if all(name + pixels in found for pixels in _PIXELS))


def _most_terms(path: Path, found: Collection[str]) -> int:
    """How many columns `weight0, concept0, weight1, concept1, ...` a file has for the terms of its labels.

    Raises:
        ImportedFileError: one of the two is missing.
    """
    pairs = 0
    while {f"weight{pairs}", f"concept{pairs}"} & set(found):
        for column in (f"weight{pairs}", f"concept{pairs}"):
            if column not in found:
                raise ImportedFileError(f"{path} has no column {column!r} beside its other half; add it")
        pairs += 1
    return pairs


def _parse_row(place: str, row: Mapping[str | Any, Any], how: _Format) -> LabelRow:
    """One line, checked."""
    if None in row or None in row.values():
        raise ImportedFileError(f"{place}: another number of columns than in the first line")
    unit = _unit(place, row[how.columns["unit"]].strip(), how.first_unit)
    column = how.columns["similarity"]
    similarity = _finite(place, column, row.get(column, ""))
    correlation = _correlation(place, how.columns["correlation"], row) if "correlation" in how.columns else None
    terms = _terms(place, row, how.most_terms)
    if how.most_terms:
        description = terms[0].concept if terms else None
    else:
        description = tidy(row[how.columns["description"]]) or None
    category = None
    if how.is_netdissect:
        category = category_of(row["category"]) if row["category"].strip() else None
        description = broden_name(description, category) if description else None
    layer = (row.get(how.columns["layer"]) or "").strip() or how.layer
    overlaps = _overlaps(place, row, how.categories)
    if description is None:
        return LabelRow(layer, unit, None, None, category, overlaps=overlaps)
    _check_score(place, column, similarity, overlaps, (description, category))
    intercept = _finite(place, "bias", row["bias"]) if how.most_terms and "bias" in row else None
    return LabelRow(layer, unit, description, similarity, category, terms, correlation, intercept, overlaps)


def _overlaps(place: str, row: Mapping[str, str], categories: Collection[str]) -> tuple[Overlap, ...]:
    """What the row says of each category's best label; a label that is blank is none, whatever its pixels are."""
    found: dict[str, Overlap] = {}
    # a name that two categories have is counted in that of the unit's label
    for name in sorted(categories, key=lambda name: name != row["category"].strip()):
        label = tidy(row[name + _LABEL])
        truth, activation, both = (_pixels(place, name + column, row[name + column]) for column in _PIXELS)
        if not label or truth is None or activation is None or not both:
            continue
        if both > min(truth, activation):
            raise ImportedFileError(
                f"{place}: {name + _PIXELS[2]} is {both:,} pixels, more than the {min(truth, activation):,} of which "
                "they are a part"
            )
        category = category_of(name)
        concept = broden_name(label, category)
        found.setdefault(concept, Overlap(concept, category, both, truth + activation - both))
    return tuple(found.values())


def _pixels(place: str, column: str, text: str) -> int | None:
    """A number of pixels; None for a blank."""
    value = _number(place, column, text)
    if value is None:
        return None
    if not (0 <= value <= _MOST_PIXELS and value.is_integer()):
        raise ImportedFileError(f"{place}: the {column} is {text.strip()!r}, not a number of pixels")
    return int(value)


def _check_score(
    place: str, column: str, score: float | None, overlaps: Collection[Overlap], label: tuple[str, str | None]
) -> None:
    """Refuse a score that the label's own pixels contradict."""
    own = next((each for each in overlaps if (each.concept, each.category) == label), None)
    if own and score is not None and abs(own.intersection / own.union - score) > _SCORE_ROUNDING:
        raise ImportedFileError(
            f"{place}: the {column} is {score:g}, but {own.intersection:,} of {own.union:,} pixels are "
            f"{own.intersection / own.union:.4g}"
        )


def _number(place: str, column: str, text: str) -> float | None:
    """A number, which may be infinite or none at all; None for a blank."""
    try:
        return float(text) if text.strip() else None
    except ValueError:
        raise ImportedFileError(f"{place}: the {column} is {text.strip()!r}, not a number") from None


def _finite(place: str, column: str, text: str) -> float | None:
    """A number that can be stored; None for a blank."""
    value = _number(place, column, text)
    if value is not None and not abs(value) <= _LARGEST_NUMBER:
        raise ImportedFileError(f"{place}: the {column} is {text.strip()!r}, not a number of up to 3.4e38")
    return value


def _correlation(place: str, column: str, row: Mapping[str, str]) -> float | None:
    """How well the row's label predicts its unit; None where that is blank or not finite, as of a dead unit."""
    value = _number(place, column, row[column])
    if value is None or not math.isfinite(value):
        return None
    if abs(value) > 1 + _ROUNDING:
        raise ImportedFileError(f"{place}: the {column} is {row[column].strip()!r}, not a correlation from -1 to 1")
    return value


def _terms(place: str, row: Mapping[str, str], most_terms: int) -> tuple[Term, ...]:
    """The concepts of a sum in the file's order, each once: one that stands there twice counts with both weights.

    Shorter sums are filled up with weights of 0, which count nothing.
    """
    weights: dict[str, float] = {}
    for number in range(most_terms):
        concept = tidy(row[f"concept{number}"])
        weight = _finite(place, f"weight{number}", row[f"weight{number}"])
        if weight is None and concept:
            raise ImportedFileError(f"{place}: the weight{number} of {concept!r} is blank, not a number")
        if weight and not concept:
            raise ImportedFileError(f"{place}: the concept{number} with weight {weight:g} is blank")
        if weight:
            weights[concept] = weights.get(concept, 0.0) + weight
    return tuple(Term(concept, weight) for concept, weight in weights.items() if weight)


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
