"""What units are known to be: by a set of class names, by a file, or by the classes of images that they prefer."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from neuronlake.ingest.concepts.builtin_sets import BUILTIN_SETS, builtin_names, imagenet_name
from neuronlake.ingest.concepts.concept import same_text
from neuronlake.ingest.judging.scored import EvaluationError
from neuronlake.sql.warehouse import Warehouse

PROBE = "probe"
# What a clear preference is.
# Of 200 classes of five images a unit without any preference reaches this in one of 600 cases: 200 (5 * 0.05)^5 / 5!.
LEAST_AUC = 0.95
LEAST_IMAGES = 5


def truth_key(truth: str) -> str:
    """By what the measures against these names are known: a set's name, or a file's whole path.

    Files of one name in two folders are two truths; the same file, changed since, is measured anew.
    """
    return truth if truth in (*BUILTIN_SETS, PROBE) else str(Path(truth).expanduser().resolve())


def load_truth(truth: str) -> dict[int, str]:
    """The known name of each unit that has one.

    Raises:
        EvaluationError: there is no such set or file, or it cannot be read.
    """
    if truth in BUILTIN_SETS:
        return dict(enumerate(builtin_names(truth)))
    path = Path(truth).expanduser()
    if not path.is_file():
        known = ", ".join((*BUILTIN_SETS, PROBE))
        raise EvaluationError(f"there is no truth {truth!r}; give a file of names or one of {known}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{path} is not UTF-8; convert it first") from error
    if path.suffix.lower() != ".csv":
        return {unit: line.strip() for unit, line in enumerate(text.splitlines()) if line.strip()}
    return _named_in_table(path, text)


def _named_in_table(path: Path, text: str) -> dict[int, str]:
    """The names in a csv file.

    Raises:
        EvaluationError: it lacks a column, or a unit is no number.
    """
    reader = csv.DictReader(text.splitlines())
    try:
        return _names(path, reader)
    except csv.Error as error:
        raise EvaluationError(f"{path} cannot be read as a csv file: {error}") from error


def _names(path: Path, reader: csv.DictReader[str]) -> dict[int, str]:
    """The names in its rows."""
    if not {"unit", "name"} <= set(reader.fieldnames or ()):
        raise EvaluationError(f"{path} has no columns unit and name but {', '.join(reader.fieldnames or ()) or 'none'}")
    names: dict[int, str] = {}
    for row in reader:
        unit = (row["unit"] or "").strip()
        if not re.fullmatch("[0-9]{1,9}", unit):
            raise EvaluationError(f"{path} line {reader.line_num}: {unit[:40]!r} is no unit's number")
        names[int(unit)] = row["name"] or ""
    return {unit: name for unit, name in names.items() if name.strip()}


def preferred_names(warehouse: Warehouse, model: str, layer: str, probe: str) -> dict[int, str]:
    """Each class of images that some unit clearly prefers, as the name of the unit that does most.

    Other units may prefer it for want of their own: of 1,000 units of a classifier that was shown a fifth of its
    classes, 407 clearly preferred one, the right one for 42 % of them, but for 93 % of the 173 that preferred it most.

    Raises:
        EvaluationError: no class has images enough, or no unit clearly prefers one.
    """
    found = warehouse.sql(
        "select unit, label, auc from preferred_classes"
        " where model = $model and layer = $layer and probe = $probe and images >= $images"
        " qualify row_number() over (partition by unit order by rank) = 1"
        " and row_number() over (partition by label order by auc desc, unit) = 1 order by unit",
        model=model,
        layer=layer,
        probe=probe,
        images=LEAST_IMAGES,
    ).fetchall()
    if not found:
        raise EvaluationError(
            f"no label of {probe} has {LEAST_IMAGES} images with activations of {model} {layer}; "
            "give a file of names with --truth"
        )
    names = {unit: label for unit, label, auc in found if auc >= LEAST_AUC}
    if not names:
        raise EvaluationError(
            f"no unit of {model} {layer} clearly prefers one label of {probe}: the highest AUC is "
            f"{max(auc for _, _, auc in found):.2f}, and {LEAST_AUC} is asked for; "
            "the view preferred_classes has the preferences"
        )
    return names


def same_class(text: str) -> str:
    """What two spellings of one class have in common; of ImageNet's classes the WordNet id is one."""
    return same_text(imagenet_name(text) or text)


def units_with_images(names: Mapping[int, str], labels: Iterable[str | None]) -> set[int] | None:
    """The units whose class is the label of some image; None where no label is any unit's name, so nothing is told.

    Args:
        names: the known names.
        labels: the images' own.
    """
    pictured = {same_class(label) for label in labels if label}
    return {unit for unit, name in names.items() if same_class(name) in pictured} or None
