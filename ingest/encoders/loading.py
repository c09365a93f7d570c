"""An encoder's name to the encoder, with its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from neuronlake.ingest.devices import PRECISIONS
from neuronlake.ingest.encoders.clip import HUBS, open_clip_encoder, own_encoder
from neuronlake.ingest.encoders.conse import LOCATION, ConseEncoder
from neuronlake.ingest.encoders.protocol import Encoder, EncoderError
from neuronlake.ingest.encoders.variants import variant_of
from neuronlake.ingest.names import split_name
from neuronlake.ingest.networks.own_networks import default_name
from neuronlake.ingest.networks.preprocessing import DECODERS
from neuronlake.ingest.networks.weights import SourceKind


def load_encoder(name: str, *, trust_code: bool = False) -> Encoder:
    """The encoder of that name.

    Args:
        name: ``ARCH/PRETRAINED`` with names of open_clip, such as ``ViT-B-16/openai``; ``ARCH/path/to/file``;
            ``local-dir:FOLDER`` or ``hf-hub:ORGANISATION/NAME`` as open_clip has them; ``path/to/file.py:factory`` or
            ``package.module:factory`` for one's own, see `own_encoder`; or ``conse``. Each may have its name before
            it, as in ``mine=ARCH/path/to/file``.
        trust_code: read files that hold code, as OpenAI's TorchScript does. A factory is code that its caller named.

    Raises:
        EncoderError: it is unknown, or its weights cannot be had.
        WeightsError: they are in a file that holds code and is not trusted.
    """
    given, spec = split_name(name)
    if spec == LOCATION:
        return ConseEncoder(given or spec)
    if is_factory(spec):
        return own_encoder(given or default_name(spec), spec)
    encoder = open_clip_encoder(spec, trust_code=trust_code)
    return replace(encoder, name=given) if given else encoder


def is_factory(spec: str) -> bool:
    """Whether an encoder's spelling names Python code to run."""
    return ":" in spec and not spec.startswith(HUBS)


def is_place(text: str) -> bool:
    """Whether a text says where an encoder's files are, rather than how it is called."""
    _, spec = split_name(text)
    return is_factory(spec) or Path(spec.partition("/")[2]).expanduser().is_file()


def load_stored_encoder(
    name: str,
    source_kind: SourceKind,
    location: str | None,
    fingerprint: str,
    *,
    chosen: str | None = None,
    trust_code: bool = False,
) -> Encoder:
    """The encoder that made a warehouse's embeddings, loaded again.

    Args:
        name: as the warehouse calls it, for messages.
        source_kind: what kind of place its weights came from.
        location: by what it is found again, see `Encoder.location`.
        fingerprint: of what made the embeddings; it tells the precision and the decoder too.
        chosen: where the user says that it is, as `load_encoder` takes it; in place of the location.
        trust_code: run code that the warehouse names, and read files that hold code.

    Raises:
        EncoderError: it is code that nobody allowed, what is found has other weights, or they were never here.
        WeightsError: the weights are in a file that holds code and is not trusted.
    """
    if source_kind is SourceKind.IMPORTED or location is None:
        raise EncoderError(
            f"the embeddings of {name} were imported without the network that made them, so no text can be embedded; "
            "name another encoder or setting, as `cli status` lists them"
        )
    if not chosen:
        _require_there(name, source_kind, location, trust_code=trust_code)
    encoder = load_encoder(chosen or location, trust_code=trust_code)
    found = variant_among(encoder, [fingerprint])
    if found is None:
        raise EncoderError(
            f"the weights of {chosen or name} are not those that made this file's embeddings; run `cli ingest` again"
        )
    return found


def encoder_of_row(row: Mapping[str, Any], *, chosen: str | None = None, trust_code: bool = False) -> Encoder:
    """The encoder of a row of the warehouse with columns encoder, encoder_source_kind, _location and _fingerprint.

    Arguments and errors are those of `load_stored_encoder`.
    """
    return load_stored_encoder(
        row["encoder"],
        SourceKind(row["encoder_source_kind"]),
        row["encoder_location"],
        row["encoder_fingerprint"],
        chosen=chosen,
        trust_code=trust_code,
    )


def variant_among(encoder: Encoder, fingerprints: list[str]) -> Encoder | None:
    """The encoder, in that precision and with that decoder with which it has one of the fingerprints."""
    ways = (variant_of(encoder, precision, decoder) for precision, decoder in product(PRECISIONS, DECODERS))
    return next((way for way in ways if way.fingerprint in fingerprints), None)


def _require_there(name: str, kind: SourceKind, location: str, *, trust_code: bool) -> None:
    """Refuse a stored encoder that is code and not trusted, and say so where its file or folder has gone.

    Raises:
        EncoderError: it is so.
    """
    path, spelling = None, ""
    if kind is SourceKind.FACTORY:
        if not trust_code:
            raise EncoderError(
                f"the encoder {name} is Python code, {location}, which is not run only because a warehouse names it; "
                f"if you know it, say --encoder '{location}', or --trust-code"
            )
        # a module is looked for by Python
        path, spelling = location.rpartition(":")[0] if ".py:" in location else None, "path/to/file.py:factory"
    elif kind is SourceKind.FOLDER:
        path, spelling = location.partition(":")[2], "local-dir:FOLDER"
    elif kind is SourceKind.FILE:
        architecture, _, path = location.partition("/")
        spelling = f"{architecture}/path/to/file"
    if path is not None and not Path(path).expanduser().exists():
        raise EncoderError(f"the encoder {name} was loaded from {path}, which is not here; say --encoder {spelling}")
