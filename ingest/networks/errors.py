"""What can be wrong with a network that its user can mend, and how it is said in one line."""

from __future__ import annotations

import importlib
import traceback
from pathlib import Path

from neuronlake import NeuronlakeError
from neuronlake.sql.words import did_you_mean, first_line


class ModelError(NeuronlakeError):
    """The model is unknown, cannot be built or does not run, or its code is not installed."""


class WeightsError(NeuronlakeError):
    """Weights are missing, damaged, or belong to another architecture; or their file holds code that nobody trusts."""


def untrusted(path: Path, kind: str) -> WeightsError:
    """The error for a file that holds code, which is not read unless its user says so.

    Args:
        path: of the file.
        kind: of file, as it is called.
    """
    return WeightsError(
        f"{path} is a {kind} file, which holds code that may do anything; pass --trust-code if you trust who made it, "
        "or use a file of its state_dict()"
    )


def described(error: Exception) -> str:
    """An error of a user's code in one line: its message, and the file and line where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError):
        return f"{error.msg} ({Path(error.filename or '').name}:{error.lineno})"
    # of the user's own frames the innermost; a library's line tells less
    own = [frame for frame in frames if "site-packages" not in frame.filename and not _is_ours(frame.filename)]
    place = f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""
    return f"{first_line(error)}{place}"


def _is_ours(filename: str) -> bool:
    """Whether a frame is of ingest/, or Python's own."""
    ours = Path(__file__).parents[1]
    return filename.startswith("<") or any(
        Path(filename).is_relative_to(home) for home in (ours, Path(importlib.__file__).parent)
    )


def near_files(path: Path) -> str:
    """What to do about a missing file: files beside it with names like its own."""
    folder = path.parent
    names = [file.name for file in folder.iterdir()] if folder.is_dir() else []
    before = "" if folder == Path() else f"{folder}/"
    return f"; {did_you_mean(path.name, names, most=2, before=before, otherwise='check its path')}"
