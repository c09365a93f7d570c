"""What the source of a Python module says of its global names: the constants they stand for, and what was imported."""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Written:
    """The plain statements at the top of a file.

    Attributes:
        constants: names that are assigned one literal.
        originals: names that something is imported as, and what that is called where it comes from.
    """

    constants: dict[str, object] = field(default_factory=dict[str, object])
    originals: dict[str, str] = field(default_factory=dict[str, str])

    def says(self, name: str, value: object) -> bool:
        """Whether a name stands for just this constant."""
        return name in self.constants and repr(self.constants[name]) == repr(value)


def written(file: Path) -> Written:
    """What a file says, as it is now; nothing where it is no Python that can be read."""
    try:
        return _read(file, file.stat().st_mtime_ns)
    except (OSError, SyntaxError, ValueError):
        return Written()


@functools.cache
def _read(file: Path, _changed: int) -> Written:
    """The constants and imports of a file."""
    found = Written()
    _add(found, ast.parse(file.read_bytes()), "")
    return found


def _add(found: Written, block: ast.Module | ast.ClassDef, prefix: str) -> None:
    """The statements of a module or of a class in it, whose names come after the class's."""
    for node in block.body:
        if isinstance(node, ast.ClassDef):
            _add(found, node, f"{prefix}{node.name}.")
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.originals.update({alias.asname or alias.name: alias.name for alias in node.names})
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        for target in targets:
            if isinstance(target, ast.Name) and isinstance(value, ast.expr):
                try:
                    found.constants[f"{prefix}{target.id}"] = ast.literal_eval(value)
                except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                    found.constants.pop(f"{prefix}{target.id}", None)
