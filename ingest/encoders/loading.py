"""An encoder's name to the encoder, with its weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from neuronlake.ingest.devices import PRECISIONS
from neuronlake.ingest.encoders.clip import FACTORY, HUBS, OPEN_CLIP, open_clip_encoder, own_encoder
from neuronlake.ingest.encoders.conse import SENTENCES, ConseEncoder
from neuronlake.ingest.encoders.precision import in_precision
from neuronlake.ingest.encoders.protocol import Encoder, EncoderError
from neuronlake.ingest.names import split_name
from neuronlake.ingest.networks import own_code


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
    if spec == "conse":
        return ConseEncoder(given or spec)
    if is_factory(spec):
        return own_encoder(given or own_code.default_name(spec), spec)
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
    name: str, source: str, fingerprint: str, *, chosen: str | None = None, trust_code: bool = False
) -> Encoder:
    """The encoder that made a warehouse's embeddings, loaded again.

    Args:
        name: as the warehouse calls it, for messages.
        source: where its weights came from; by this it is found.
        fingerprint: of what made the embeddings.
        chosen: where the user says that it is, as `load_encoder` takes it; in place of the source.
        trust_code: run code that the warehouse names, and read files that hold code.

    Raises:
        EncoderError: it is code that nobody allowed, what is found has other weights, or they were never here.
        WeightsError: the weights are in a file that holds code and is not trusted.
    """
    if source == "imported":
        raise EncoderError(
            f"the embeddings of {name} were imported without the network that made them, so no text can be embedded; "
            "name another encoder or setting, as `cli status` lists them"
        )
    encoder = load_encoder(chosen or _stored_spec(name, source, trust_code=trust_code), trust_code=trust_code)
    found = in_some_precision(encoder, [fingerprint])
    if found is None:
        raise EncoderError(
            f"the weights of {chosen or name} are not those that made this file's embeddings; run `cli ingest` again"
        )
    return found


def in_some_precision(encoder: Encoder, fingerprints: list[str]) -> Encoder | None:
    """The encoder, in that precision in which it has one of the fingerprints."""
    ways = (in_precision(encoder, precision) for precision in PRECISIONS)
    return next((way for way in ways if way.fingerprint in fingerprints), None)


def _stored_spec(name: str, source: str, *, trust_code: bool) -> str:
    """A stored encoder as `load_encoder` takes it.

    Raises:
        EncoderError: it is code and not trusted, or its file is not where it was.
    """
    if source.startswith(FACTORY):
        spec = source.removeprefix(FACTORY)
        if not trust_code:
            raise EncoderError(
                f"the encoder {name} is Python code, {spec}, which is not run only because a warehouse names it; if "
                f"you know it, say --encoder '{spec}', or --trust-code"
            )
        _require_file(name, spec.rpartition(":")[0], "path/to/file.py:factory", is_file=".py:" in spec)
        return spec
    if source.endswith(SENTENCES):
        return "conse"
    if source.startswith(HUBS):
        kind, _, folder = source.partition(":")
        _require_file(name, folder, "local-dir:FOLDER", is_file=kind == "local-dir")
        return source
    if not source.startswith(OPEN_CLIP):
        # up to version 0.1 a file's source was its path alone
        source = f"{OPEN_CLIP}{name.partition('/')[0]}/{Path(source).absolute()}"
    spec = source.removeprefix(OPEN_CLIP)
    architecture, _, file = spec.partition("/")
    _require_file(name, file, f"{architecture}/path/to/file", is_file=Path(file).is_absolute())
    return spec


def _require_file(name: str, path: str, spelling: str, *, is_file: bool) -> None:
    """Say so where a stored encoder's file or folder has gone; what is no path is not looked at."""
    if is_file and not Path(path).expanduser().exists():
        raise EncoderError(f"the encoder {name} was loaded from {path}, which is not here; say --encoder {spelling}")
