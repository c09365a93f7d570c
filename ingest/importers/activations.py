"""CLIP-Dissect's saved_activations into the warehouse, to be scored and asked again without a network.

The files say what they are by name alone, and CLIP-Dissect never looks whether their contents still fit. So what an
earlier import has under the same name with other contents is refused, with the name to give. Version 0.1 put it into
another edition, with models, encoders and numbered images of its own, and warehouses that have some keep them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import neuronlake
from neuronlake.ingest.importers import activation_files
from neuronlake.ingest.importers.activation_files import ActivationFile, FeatureFile, SavedFiles
from neuronlake.ingest.importers.images import folder_probe, numbered_probe
from neuronlake.ingest.importers.label_files import ImportedFileError, ImportOptions
from neuronlake.ingest.importers.loading import SavedImport, load_saved
from neuronlake.ingest.importers.texts import SavedWords, read_text_features, read_words
from neuronlake.ingest.names import renamed
from neuronlake.ingest.probes.probe import Probe
from neuronlake.sql import hints
from neuronlake.sql.store import runs
from neuronlake.sql.store.layers import model_names
from neuronlake.sql.store.names import next_name
from neuronlake.sql.warehouse import Warehouse
from neuronlake.sql.words import Progress, no_progress


@dataclass(frozen=True)
class ActivationImport:
    """What an import of saved activations did.

    Attributes:
        path: the folder, or the file.
        loaded: one line for each file that was loaded.
        left_out: names of the text features whose concepts are not known.
        unreadable: images of the probe folder that could not be read; they are left out.
        warehouse: the file that they were imported into.
        notes: what the warehouse knows by another name.
    """

    path: Path
    loaded: tuple[str, ...]
    left_out: tuple[str, ...]
    unreadable: int
    warehouse: Path
    notes: tuple[str, ...] = ()

    @property
    def is_new(self) -> bool:
        """Something was loaded."""
        return bool(self.loaded)

    def lines(self) -> Iterator[str]:
        """For a terminal."""
        if not self.is_new:
            yield f"{self.path}: nothing to do, all of it is there already"
        yield from self.loaded
        for name in self.left_out:
            yield f"note: {name} is left out; --concepts names the file with the concepts it is about"
        yield from (f"note: {note}" for note in self.notes)
        if self.unreadable:
            ask = hints.command("cli sql failed_images", self.warehouse)
            yield f"note: {self.unreadable} images could not be read and are left out: {ask}"


@dataclass(frozen=True)
class Seen:
    """What a look at a file showed: rows, columns, and the fingerprint of its matrix."""

    rows: int
    columns: int
    fingerprint: str


def holds_activations(path: Path) -> bool:
    """Whether this is what `import_activations` takes: a folder with .pt files, or one such file."""
    return bool(activation_files.find_saved_files(path))


def import_activations(
    warehouse: Warehouse,
    path: Path,
    options: ImportOptions | None = None,
    command: str = "import_activations()",
    progress: Progress = no_progress,
) -> ActivationImport:
    """Import the .pt files of a saved_activations folder, all of them in one transaction.

    Images are numbered in the order of the rows, unless the options name the folder that they are in. Features of
    concepts are imported where the options name the file with the concepts.

    Raises:
        ImportedFileError: a file's name or contents make no sense, or files contradict each other or what was imported
            before; nothing is changed.
        NameTakenError: a name stands for something else; nothing is changed.
    """
    options = options or ImportOptions()
    if options.method or options.layer or options.columns or options.first_unit:
        raise ImportedFileError(
            f"{path} holds activations; --method, --layer, --column and --first-unit are about label files"
        )
    files = activation_files.sort_files(activation_files.find_saved_files(path), options)
    words = read_words(options.concepts, files.text_features) if options.concepts else None
    if not (files.activations or files.image_features or words):
        raise ImportedFileError(
            f"{path} holds no activations and no image features that are known by their names; "
            "name the probe, as it stands in the files' names, with --probe"
        )
    seen = _look(files, words, progress)
    images = _count_images(files, seen)
    folder = _folder_probe(images, options)
    claims = _claims(files, words, seen, folder)
    edition, known = _edition(warehouse, claims, files)
    new = {file: each for file, each in claims.items() if not each.items() <= known.items()}
    probes = {name: folder or numbered_probe(name, count, edition) for name, count in images.items()}
    unreadable, notes = 0, list[str]()
    if new:
        with warehouse.transaction():
            recipe = {"imported": str(path), "edition": edition, "claims": _all_of(new)}
            run_id = runs.record_import(warehouse, command, neuronlake.__version__, recipe)
            fingerprints = {file: seen[file].fingerprint for file in new}
            saved = SavedImport(files, words, probes, fingerprints, edition, run_id)
            unreadable, notes = load_saved(warehouse, saved, progress)
    return ActivationImport(
        path,
        loaded=tuple(f"{file.name}: {seen[file].rows} x {seen[file].columns}" for file in new),
        left_out=tuple(each.path.name for each in files.text_features if not words or each not in words.files),
        unreadable=unreadable,
        warehouse=warehouse.path,
        notes=tuple(dict.fromkeys(notes)),
    )


def _all_of(claims: dict[Path, dict[str, str]]) -> dict[str, str]:
    """The claims of several files in one."""
    return {role: value for each in claims.values() for role, value in each.items()}


def _look(files: SavedFiles, words: SavedWords | None, progress: Progress) -> dict[Path, Seen]:
    """Read every file once, one at a time, so that what is wrong with any is known before the first is loaded."""
    found: dict[Path, Seen] = {}
    wanted = [*files.activations, *files.image_features, *(words.files if words else ())]
    for place, file in enumerate(wanted):
        progress("Reading files", place, len(wanted))
        if words and file in words.files:
            matrix = read_text_features(words, file)
        else:
            matrix = activation_files.read_matrix(file.path)
            if isinstance(file, FeatureFile):
                activation_files.unit_rows(file.path, matrix.values)
        found[file.path] = Seen(matrix.values.shape[0], matrix.values.shape[1], matrix.fingerprint)
    progress("Reading files", len(wanted), len(wanted))
    return found


def _count_images(files: SavedFiles, seen: dict[Path, Seen]) -> dict[str, int]:
    """How many images each probe has, on which all its files must agree."""
    first: dict[str, Path] = {}
    for file in (*files.activations, *files.image_features):
        path = first.setdefault(file.probe, file.path)
        if seen[path].rows != seen[file.path].rows:
            raise ImportedFileError(
                f"{path} is about {seen[path].rows} images of {file.probe} and {file.path.name} about "
                f"{seen[file.path].rows}; they are of different images: put them into folders of their own"
            )
    return {probe: seen[path].rows for probe, path in first.items()}


def _folder_probe(images: dict[str, int], options: ImportOptions) -> Probe | None:
    """The probe that the user has the images of."""
    if options.probe_folder is None:
        return None
    if len(images) != 1:
        names = ", ".join(images) or "none"
        raise ImportedFileError(f"--probe-folder is the folder of one probe; say which with --probe: {names}")
    ((name, count),) = images.items()
    return folder_probe(name, options.probe_folder, count)


def _claims(
    files: SavedFiles, words: SavedWords | None, seen: dict[Path, Seen], folder: Probe | None
) -> dict[Path, dict[str, str]]:
    """What each file says about the roles it has: how wide a layer or an encoder is, and what is in it for a probe."""
    claims: dict[Path, dict[str, str]] = {}
    for file in (*files.activations, *files.image_features):
        probe = folder.fingerprint if folder else f"{seen[file.path].rows} images of {file.probe}"
        claims[file.path] = _claim(file, seen[file.path], probe)
    for file in words.files if words else ():
        assert words is not None
        claims[file.path] = _claim(file, seen[file.path], words.concept_set.fingerprint)
    said: dict[str, tuple[str, Path]] = {}
    for path, each in claims.items():
        for role, value in each.items():
            other, first = said.setdefault(role, (value, path))
            if other != value:
                raise ImportedFileError(f"{path} and {first.name} contradict each other about {role}; keep one of them")
    return claims


def _claim(file: ActivationFile | FeatureFile, seen: Seen, subject: str) -> dict[str, str]:
    """What one file says: the width of what it is from, and its contents for a probe or a concept set."""
    name = f"{file.layer} of {file.model}" if isinstance(file, ActivationFile) else file.clip
    return {f"width of {name}": str(seen.columns), f"{name}, {subject}": seen.fingerprint}


def _edition(warehouse: Warehouse, claims: dict[Path, dict[str, str]], files: SavedFiles) -> tuple[int, dict[str, str]]:
    """The first edition that the files do not contradict, and what is claimed in it already.

    Raises:
        ImportedFileError: they contradict all that there are.
    """
    editions: dict[int, dict[str, str]] = {}
    for recipe in runs.recipes(warehouse):
        if "claims" in recipe:
            editions.setdefault(recipe["edition"], {}).update(recipe["claims"])
    for number in sorted(editions):
        known = editions[number]
        if all(known.get(role, value) == value for role, value in _all_of(claims).items()):
            return number, known
    if editions:
        raise ImportedFileError(_contradiction(warehouse, editions[min(editions)], claims, files))
    return 1, {}


def _contradiction(
    warehouse: Warehouse, known: dict[str, str], claims: dict[Path, dict[str, str]], files: SavedFiles
) -> str:
    """The first file that is not what an earlier import has by its name, and how to give it another."""
    path, role = next(
        (path, role) for path, each in claims.items() for role, value in each.items() if known.get(role, value) != value
    )
    activations = {each.path: each for each in files.activations}
    features = {each.path: each for each in (*files.image_features, *files.text_features)}
    models = model_names(warehouse)
    said = " ".join(known)

    def another(option: str, name: str) -> str:
        new = next_name(name, lambda candidate: candidate in models or candidate in said)
        own = files.file_names.get(name, name)
        return f"--model {new}" if option == "--model" else renamed(option, own)(new)

    if path in activations:
        hint = f"if it is of another network, {another('--model', activations[path].model)}"
    else:
        hint = f"if it is of another image-text model, {another('--encoder', features[path].clip)}"
    if path in activations or features[path] in files.image_features:
        probe = (activations.get(path) or features[path]).probe
        hint += f"; if it is of other images, {another('--probe', probe)}"
    return f"{path} is not what {warehouse.path} holds as {role}; give it a name of its own: {hint}"
