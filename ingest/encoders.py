"""An encoder's name to the encoder, with its weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from neuronlake.ingest import user_models
from neuronlake.ingest.clip_encoders import FACTORY, HUBS, open_clip_encoder, own_encoder
from neuronlake.ingest.conse import ConseEncoder
from neuronlake.ingest.encoder import Encoder, EncoderError
from neuronlake.ingest.names import split_name
from neuronlake.ingest.precision import in_precision, split_precision


def load_encoder(name: str) -> Encoder:
    """The encoder of that name.

    Args:
        name: ``ARCH/PRETRAINED`` with names of open_clip, such as ``ViT-B-16/openai``; ``ARCH/path/to/file``;
            ``local-dir:FOLDER`` or ``hf-hub:ORGANISATION/NAME`` as open_clip has them; ``path/to/file.py:factory`` or
            ``package.module:factory`` for one's own, see `own_encoder`; or ``conse``. Each may have its name before
            it, as in ``mine=ARCH/path/to/file``.

    Raises:
        EncoderError: it is unknown, or its weights cannot be had.
    """
    given, spec = split_name(name)
    if spec == "conse":
        return ConseEncoder(given or spec)
    if ":" in spec and not spec.startswith(HUBS):
        return own_encoder(given or user_models.default_name(spec), spec)
    encoder = open_clip_encoder(spec)
    return replace(encoder, name=given) if given else encoder


def load_stored_encoder(name: str, source: str, fingerprint: str) -> Encoder:
    """The encoder that made a warehouse's embeddings, loaded again from where its weights came.

    Raises:
        EncoderError: what is found there now has other weights, or they were never here.
    """
    if source == "imported":
        raise EncoderError(
            f"the embeddings of {name} were imported without the network that made them, so no text can be embedded; "
            "name another encoder or setting, as `cli status` lists them"
        )
    name, precision = split_precision(name)
    if source.startswith(FACTORY):
        name = f"{name}={source.removeprefix(FACTORY)}"
    elif Path(source).is_file():
        name = f"{name.partition('/')[0]}/{source}"
    encoder = in_precision(load_encoder(name), precision)
    if encoder.fingerprint != fingerprint:
        raise EncoderError(
            f"the weights of {name} are not those that made this file's embeddings; run `cli ingest` again"
        )
    return encoder
