"""Saved features of concepts, whose words are in the file that CLIP-Dissect read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from neuronlake.ingest.concepts.concept import tidy
from neuronlake.ingest.concepts.concept_sets import ConceptSet, load_concepts
from neuronlake.ingest.importers import activation_files
from neuronlake.ingest.importers.activation_files import FeatureFile, Matrix
from neuronlake.ingest.importers.label_files import ImportedFileError
from neuronlake.ingest.names import split_name
from neuronlake.ingest.storing import register_concept_set
from neuronlake.sql.store import encoders
from neuronlake.sql.store.concepts import register_concepts
from neuronlake.sql.store.names import name_note
from neuronlake.sql.warehouse import Warehouse

# CLIP-Dissect embeds the plain concept
_PROMPTS = ["{}"]
# the same word embedded twice, in half precision and in other batches, is more alike than this
_SAME_WORD_COSINE = 0.99


@dataclass(frozen=True)
class SavedWords:
    """The concepts behind saved features.

    Attributes:
        path: the file that they are in.
        concept_set: the concepts, as `cli ingest` reads the same file.
        rows: for each of them its row in the features: a line that is not empty is a row.
        lines: how many rows there should be.
        files: the features of these concepts.
    """

    path: Path
    concept_set: ConceptSet
    rows: tuple[int, ...]
    lines: int
    files: tuple[FeatureFile, ...]


def read_words(text: str, files: tuple[FeatureFile, ...]) -> SavedWords:
    """The words of a file, one a line, and the features among the files that are named for it.

    It may have another name before its own, as in ``mine=data/20k.txt``.

    Raises:
        ImportedFileError: there is no such file, or there are no such features.
        ConceptError: it is not a file of concepts.
    """
    path = Path(split_name(text)[1]).expanduser()
    if not path.is_file() or path.suffix.lower() == ".csv":
        raise ImportedFileError(
            f"--concepts takes the text file that CLIP-Dissect read, one concept a line, not {path}"
        )
    concept_set = load_concepts((text,))
    # features are named for the concepts' file up to its first full stop
    mine = tuple(file for file in files if file.subject == path.name.split(".")[0])
    if not mine:
        names = ", ".join(sorted({file.subject for file in files})) or "none"
        raise ImportedFileError(
            f"there are no text features named for {path.name}; the concept sets with features are: {names}"
        )
    lines = [line for line in path.read_text(encoding="utf-8-sig").split("\n") if line]
    first_rows: dict[str, int] = {}
    for row, line in enumerate(lines):
        first_rows.setdefault(tidy(line).casefold(), row)
    rows = tuple(first_rows[text.casefold()] for text in concept_set.texts)
    return SavedWords(path, concept_set, rows, len(lines), mine)


def read_text_features(words: SavedWords, file: FeatureFile) -> Matrix:
    """The features of all words, (lines, dimensions) with rows of length 1.

    Raises:
        ImportedFileError: they are of another number of words.
    """
    matrix = activation_files.read_matrix(file.path)
    if matrix.values.shape[0] != words.lines:
        raise ImportedFileError(
            f"{file.path} is about {matrix.values.shape[0]} concepts and {words.path} holds {words.lines}; "
            "give the file as it was when CLIP-Dissect read it"
        )
    return Matrix(activation_files.unit_rows(file.path, matrix.values), matrix.fingerprint)


def load_texts(
    warehouse: Warehouse, words: SavedWords, file: FeatureFile, features: Tensor, encoder_id: int
) -> tuple[str, ...]:
    """Write the concept set, and the embeddings of those of its concepts that this encoder has not embedded.

    Returns:
        A line if the warehouse knows the set by another name.

    Raises:
        ImportedFileError: a word that was imported before has another embedding here.
    """
    notes = tuple(name_note(warehouse, words.concept_set.entry))
    concept_ids = register_concepts(warehouse, words.concept_set.texts)
    register_concept_set(warehouse, words.concept_set, concept_ids)
    embeddings = features[list(words.rows)].numpy()  # (concepts, dimensions)
    known = encoders.concept_embeddings(warehouse, encoder_id, _PROMPTS)
    for place, number in enumerate(concept_ids):
        if number in known and embeddings[place] @ known[number] < _SAME_WORD_COSINE:
            raise ImportedFileError(
                f"{file.path} embeds {words.concept_set.texts[place]!r} unlike the features imported before; "
                f"is {words.path} the file that CLIP-Dissect read?"
            )
    missing = [place for place, number in enumerate(concept_ids) if number not in known]
    if missing:
        numbers = [concept_ids[place] for place in missing]
        encoders.insert_concept_embeddings(warehouse, encoder_id, _PROMPTS, numbers, embeddings[missing])
    return notes
