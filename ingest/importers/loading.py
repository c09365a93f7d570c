"""What saved activations hold, into the tables of the warehouse."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from neuronlake.ingest.importers import activation_files
from neuronlake.ingest.importers.activation_files import ActivationFile, FeatureFile, Matrix, SavedFiles
from neuronlake.ingest.importers.images import load_pictures
from neuronlake.ingest.importers.label_files import ImportedFileError
from neuronlake.ingest.importers.texts import SavedWords, load_texts, read_text_features
from neuronlake.ingest.load import ChunkParts, finish_layer, load_chunk
from neuronlake.ingest.machines.chunks import ExtractedChunk, PreparedImage, TopCandidates
from neuronlake.ingest.machines.extraction import top_rows
from neuronlake.ingest.names import Entry, renamed
from neuronlake.ingest.networks.known_by_name import layer_positions
from neuronlake.ingest.probes.probe import Probe
from neuronlake.ingest.register import Registered, identify, register_probe
from neuronlake.ingest.taken_names import name_note
from neuronlake.sql.warehouse import Warehouse
from neuronlake.sql.words import Progress

_LOADING = "Importing"


class SavedLoader:
    """Loads the files of one import, chunk by chunk as `cli ingest` does, within the caller's transaction."""

    def __init__(self, warehouse: Warehouse, edition: int, fingerprints: dict[Path, str], progress: Progress) -> None:
        self._warehouse = warehouse
        self._edition = edition
        self._fingerprints = fingerprints
        self._progress = progress
        self._done = 0
        self._file_names: Mapping[str, str] = {}
        self.notes: list[str] = []
        self.run_id = warehouse.next_id("runs", "run_id")

    def load(self, files: SavedFiles, words: SavedWords | None, probes: dict[str, Probe]) -> int:
        """Load the files whose fingerprints were given; returns how many images could not be read."""
        self._file_names = files.file_names
        unreadable = 0
        for name, probe in probes.items():
            registered = self._register(probe, files.file_names.get(name, name))
            images = len(probe.images)
            load_pictures(
                self._warehouse, registered, probe, lambda done, of=images: self._progress("Reading images", done, of)
            )
            readable = self._readable(registered)
            unreadable += int((~readable).sum())
            layers = [file for file in files.activations if file.probe == name and file.path in self._fingerprints]
            for file in sorted(layers, key=lambda each: _natural_order(each.layer)):
                self._load_layer(file, registered, readable)
            for file in files.image_features:
                if file.probe == name and file.path in self._fingerprints:
                    self._load_image_features(file, registered, readable)
        for file in words.files if words else ():
            if words and file.path in self._fingerprints:
                matrix = self._same(file.path, read_text_features(words, file))
                encoder_id = self._encoder(file, matrix.shape[1])
                self.notes += load_texts(self._warehouse, words, file, matrix, encoder_id)
                self._count()
        return unreadable

    def _register(self, probe: Probe, file_name: str) -> Registered:
        """The probe's numbers; those of layers and encoders are filled in file by file."""
        entry = replace(probe.entry, option=renamed("--probe", file_name))
        self.notes += name_note(self._warehouse, entry)
        probe_id = register_probe(self._warehouse, probe, entry=entry)
        first = int(self._warehouse.scalar("select min(image_id) from store.images where probe_id = $id", id=probe_id))
        return Registered(
            probe_id=probe_id,
            first_image_id=first,
            last_image_id=first + len(probe.images) - 1,
            chunk_images=self._warehouse.scalar(
                "select chunk_images from store.probes where probe_id = $id", id=probe_id
            ),
            encoder_id=0,
            concept_set_id=0,
            concept_ids=(),
            layer_ids={},
        )

    def _readable(self, registered: Registered) -> Tensor:
        """(images,) bool: all but those that could not be read here, now or before."""
        failed = self._warehouse.sql(
            "select image_id - $first from store.failed_images where image_id between $first and $last",
            first=registered.first_image_id,
            last=registered.last_image_id,
        ).fetchall()
        readable = torch.ones(registered.last_image_id - registered.first_image_id + 1, dtype=torch.bool)
        readable[[place for (place,) in failed]] = False
        return readable

    def _load_layer(self, file: ActivationFile, registered: Registered, readable: Tensor) -> None:
        """Activations, top images and the state of each unit."""
        activations = self._same(file.path, activation_files.read_matrix(file.path))
        layer_id = self._layer(file, activations.shape[1])
        key = (file.model, file.layer)
        placed = replace(registered, layer_ids={key: layer_id})
        parts = ChunkParts([layer_id], has_encoder=False)
        for number, images, rows in _chunks(placed, readable):
            chunk = activations[rows]
            found = {key: TopCandidates(top_rows(chunk), None)} if images else {}
            extracted = ExtractedChunk(images, [], {key: chunk} if images else {}, found, None)
            load_chunk(self._warehouse, placed, number, extracted, parts, self.run_id)
        finish_layer(self._warehouse, placed, layer_id)
        self._count()

    def _load_image_features(self, file: FeatureFile, registered: Registered, readable: Tensor) -> None:
        """Embeddings of the images."""
        matrix = self._same(file.path, activation_files.read_matrix(file.path))
        features = activation_files.unit_rows(file.path, matrix)
        placed = replace(registered, encoder_id=self._encoder(file, features.shape[1]))
        parts = ChunkParts([], has_encoder=True)
        for number, images, rows in _chunks(placed, readable):
            extracted = ExtractedChunk(images, [], {}, {}, features[rows] if images else None)
            load_chunk(self._warehouse, placed, number, extracted, parts, self.run_id)
        self._count()

    def _same(self, path: Path, matrix: Matrix) -> Tensor:
        """The values of a file that was looked at before."""
        if matrix.fingerprint != self._fingerprints[path]:
            raise ImportedFileError(f"{path} has changed since this import began; run it again once it is complete")
        return matrix.values

    def _count(self) -> None:
        """One more file is loaded."""
        self._done += 1
        self._progress(_LOADING, self._done, len(self._fingerprints))

    def _encoder(self, file: FeatureFile, dimensions: int) -> int:
        """The encoder of this edition; of its code and weights nothing is known."""
        fingerprint = f"saved activations: {file.clip}, edition {self._edition}"
        option = renamed("--encoder", self._file_names.get(file.clip, file.clip))
        entry = Entry("encoders", f"{file.clip} (saved activations)", fingerprint, file.clip, option)
        return identify(
            self._warehouse,
            entry,
            dimensions=dimensions,
            source="imported",
            source_kind="imported",
            precision="float32",
        )

    def _model(self, name: str) -> tuple[int, str]:
        """The model of this edition and its fingerprint; the first edition's is the one that imported labels are of."""
        fingerprint = f"imported:{name}" if self._edition == 1 else f"imported:{name}, edition {self._edition}"
        entry = Entry("models", name, fingerprint, name, lambda new: f"--model {new}")
        return identify(self._warehouse, entry, source="imported", source_kind="imported", is_random=False), fingerprint

    def _layer(self, file: ActivationFile, units: int) -> int:
        """The layer of this edition's model, which imported labels may have named already."""
        model_id, fingerprint = self._model(file.model)
        known = self._warehouse.sql(
            "select layer_id, units from store.layers where model_id = $model_id and name = $name",
            model_id=model_id,
            name=file.layer,
        ).fetchall()
        if known:
            layer_id, labelled = known[0]
            if labelled > units:
                raise ImportedFileError(
                    f"{file.path} has {units} units and the labels imported for {file.layer} of {file.model} are of "
                    f"{labelled}; name this model otherwise with --model"
                )
            # imported labels know neither how many units there are nor where the layer lies
            self._warehouse.execute(
                "update store.layers set units = $units, position = $position where layer_id = $layer_id",
                units=units,
                position=self._position(file, model_id),
                layer_id=layer_id,
            )
            return int(layer_id)
        layer_id = self._warehouse.next_id("layers", "layer_id")
        row = {
            "layer_id": layer_id,
            "model_id": model_id,
            "name": file.layer,
            "fingerprint": f"{fingerprint}:{file.layer}",
            "position": self._position(file, model_id),
            "units": units,
            "pooling": file.pooling,
            "precision": "float32",
            "is_imported": True,
        }
        self._warehouse.insert("layers", pl.DataFrame([row]))
        return layer_id

    def _position(self, file: ActivationFile, model_id: int) -> int:
        """The layer's place in its network; one more than the last where that is not known."""
        positions = layer_positions(file.architecture)
        name = file.layer.removesuffix(":max")
        if name in positions:
            return positions[name]
        return int(
            self._warehouse.scalar(
                "select coalesce(max(position), -1) + 1 from store.layers where model_id = $id", id=model_id
            )
        )


def _chunks(registered: Registered, readable: Tensor) -> Iterator[tuple[int, list[PreparedImage], Tensor]]:
    """Each chunk's number, its readable images, and their rows in the files."""
    size = registered.chunk_images
    for number, start in enumerate(range(0, len(readable), size)):
        rows = start + readable[start : start + size].nonzero()[:, 0]
        images = [PreparedImage(registered.first_image_id + int(row), 0, 0, None, {}) for row in rows]
        yield number, images, rows


def _natural_order(name: str) -> list[tuple[int, str]]:
    """A key that puts layer10 after layer9."""
    return [(int(part or 0), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
