"""What saved activations hold, into the warehouse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np
from torch import Tensor

from neuronlake.ingest.importers import activation_files
from neuronlake.ingest.importers.activation_files import ActivationFile, FeatureFile, Matrix, SavedFiles
from neuronlake.ingest.importers.images import show_images
from neuronlake.ingest.importers.label_files import ImportedFileError
from neuronlake.ingest.importers.label_scorings import register_imported_model
from neuronlake.ingest.importers.texts import SavedWords, load_texts, read_text_features
from neuronlake.ingest.machines.chunks import TOP_IMAGES
from neuronlake.ingest.machines.extraction import top_rows
from neuronlake.ingest.names import renamed
from neuronlake.ingest.networks.known_by_name import layer_positions
from neuronlake.ingest.probes.probe import Probe
from neuronlake.ingest.storing import register_probe
from neuronlake.sql.store import layers
from neuronlake.sql.store.chunks import Chunk, LayerValues, finish_layers, insert_chunk
from neuronlake.sql.store.encoders import register_encoder
from neuronlake.sql.store.images.pictures import known_failures
from neuronlake.sql.store.names import Entry, name_note
from neuronlake.sql.store.probes import StoredProbe
from neuronlake.sql.warehouse import Warehouse
from neuronlake.sql.words import Progress


@dataclass(frozen=True)
class SavedImport:
    """One import of saved activations.

    Attributes:
        files: what was found.
        words: the concepts behind text features, where the user named them.
        probes: by the names that the files give them.
        fingerprints: of the contents of those files that are to be loaded, when they were looked at.
        edition: of the files that the import is one of.
        run_id: of the import.
    """

    files: SavedFiles
    words: SavedWords | None
    probes: dict[str, Probe]
    fingerprints: dict[Path, str]
    edition: int
    run_id: int

    def layers(self, probe: str) -> list[ActivationFile]:
        """The activations of a probe to load, layer10 after layer9."""
        chosen = [file for file in self.files.activations if file.probe == probe and file.path in self.fingerprints]
        return sorted(chosen, key=lambda file: _natural_order(file.layer))

    def same(self, path: Path, matrix: Matrix) -> Tensor:
        """The values of a file that was looked at before.

        Raises:
            ImportedFileError: it has changed.
        """
        if matrix.fingerprint != self.fingerprints[path]:
            raise ImportedFileError(f"{path} has changed since this import began; run it again once it is complete")
        return matrix.values


@dataclass(frozen=True)
class _Images:
    """The images of a probe, and which of them could be read here, now or before: (images,) bool."""

    probe: StoredProbe
    readable: np.ndarray

    def chunks(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Each chunk's number, the rows of its readable images in the files, and their numbers."""
        size = self.probe.chunk_images
        for number, start in enumerate(range(0, len(self.readable), size)):
            rows = start + np.flatnonzero(self.readable[start : start + size])
            yield number, rows, (self.probe.first_image_id + rows).astype(np.int32)


def load_saved(warehouse: Warehouse, saved: SavedImport, progress: Progress) -> tuple[int, list[str]]:
    """Load files chunk by chunk as `cli ingest` does, within the caller's transaction.

    Returns:
        How many images could not be read, and a line for what the warehouse knows by another name.

    Raises:
        ImportedFileError: a file has changed, or contradicts labels that were imported before.
        NameTakenError: a name stands for something else.
    """
    done = count(1)
    unreadable = 0
    notes: list[str] = []
    for name, probe in saved.probes.items():
        entry = replace(probe.entry, option=renamed("--probe", saved.files.file_names.get(name, name)))
        notes += name_note(warehouse, entry)
        images = _images(warehouse, register_probe(warehouse, probe, entry=entry), probe, progress)
        unreadable += int((~images.readable).sum())
        for file in saved.layers(name):
            _load_layer(warehouse, saved, file, images)
            progress("Importing", next(done), len(saved.fingerprints))
        for file in saved.files.image_features:
            if file.probe == name and file.path in saved.fingerprints:
                _load_image_features(warehouse, saved, file, images)
                progress("Importing", next(done), len(saved.fingerprints))
    for file in saved.words.files if saved.words else ():
        if saved.words and file.path in saved.fingerprints:
            matrix = saved.same(file.path, read_text_features(saved.words, file))
            encoder_id = _encoder(warehouse, saved, file, matrix.shape[1])
            notes += load_texts(warehouse, saved.words, file, matrix, encoder_id)
            progress("Importing", next(done), len(saved.fingerprints))
    return unreadable, notes


def _images(warehouse: Warehouse, stored: StoredProbe, probe: Probe, progress: Progress) -> _Images:
    """The images of a probe, looked at where they are here."""
    show_images(warehouse, stored, probe, lambda done: progress("Reading images", done, stored.images))
    readable = np.ones(stored.images, dtype=np.bool_)
    readable[[image_id - stored.first_image_id for image_id in known_failures(warehouse, stored)]] = False
    return _Images(stored, readable)


def _load_layer(warehouse: Warehouse, saved: SavedImport, file: ActivationFile, images: _Images) -> None:
    """Activations, top images and the state of each unit."""
    activations = saved.same(file.path, activation_files.read_matrix(file.path))
    layer_id = _layer(warehouse, saved, file, activations.shape[1])
    for number, rows, image_ids in images.chunks():
        chunk = activations[rows]
        values = LayerValues(chunk.numpy(), top_rows(chunk).numpy()) if len(rows) else None
        insert_chunk(warehouse, Chunk(images.probe.probe_id, number, saved.run_id, image_ids, {layer_id: values}))
    finish_layers(warehouse, images.probe, [layer_id], TOP_IMAGES)


def _load_image_features(warehouse: Warehouse, saved: SavedImport, file: FeatureFile, images: _Images) -> None:
    """Embeddings of the images."""
    matrix = saved.same(file.path, activation_files.read_matrix(file.path))
    features = activation_files.unit_rows(file.path, matrix)
    encoder_id = _encoder(warehouse, saved, file, features.shape[1])
    for number, rows, image_ids in images.chunks():
        embeddings = features[rows].numpy() if len(rows) else None
        chunk = Chunk(images.probe.probe_id, number, saved.run_id, image_ids, {}, encoder_id, embeddings)
        insert_chunk(warehouse, chunk)


def _encoder(warehouse: Warehouse, saved: SavedImport, file: FeatureFile, dimensions: int) -> int:
    """The encoder of this edition; of its code and weights nothing is known."""
    fingerprint = f"saved activations: {file.clip}, edition {saved.edition}"
    option = renamed("--encoder", saved.files.file_names.get(file.clip, file.clip))
    entry = Entry("encoders", f"{file.clip} (saved activations)", fingerprint, file.clip, option)
    return register_encoder(warehouse, entry, "imported", "imported", "float32", dimensions)


def _layer(warehouse: Warehouse, saved: SavedImport, file: ActivationFile, units: int) -> int:
    """The layer of this edition's model, which imported labels may have named already.

    The first edition's model is the one that imported labels are of.
    """
    edition = f", edition {saved.edition}" if saved.edition > 1 else ""
    fingerprint = f"imported:{file.model}{edition}"
    model_id = register_imported_model(warehouse, file.model, fingerprint)
    position = layer_positions(file.architecture).get(file.layer.removesuffix(":max"))
    if position is None:
        position = layers.next_position(warehouse, model_id)
    found = layers.layer_of_name(warehouse, model_id, file.layer)
    if found is None:
        row = layers.Layer(
            model_id, file.layer, f"{fingerprint}:{file.layer}", position, units, file.pooling, is_imported=True
        )
        return layers.register_layer(warehouse, row)[0]
    number, labelled = found
    if labelled.units > units:
        raise ImportedFileError(
            f"{file.path} has {units} units and the labels imported for {file.layer} of {file.model} are of "
            f"{labelled.units}; name this model otherwise with --model"
        )
    # imported labels know neither how many units there are nor where the layer lies
    layers.correct_layer(warehouse, number, replace(labelled, units=units, position=position))
    return number


def _natural_order(name: str) -> list[tuple[int, str]]:
    """A key that puts layer10 after layer9."""
    return [(int(part or 0), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
