"""A user's Python file and those beside it that it imports: told apart by their contents, and imported afresh."""

from __future__ import annotations

import ast
import hashlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

# modules that factories brought along: another folder may have other ones of the same names
_brought: set[str] = set()


def is_installed(file: Path) -> bool:
    """Whether a file is of an installed package."""
    return bool({"site-packages", "dist-packages"} & set(file.parts))


def imported_files(file: Path, root: Path, package: str = "") -> dict[str, Path]:
    """The files below a folder that a file imports, and those that these import, by their modules' names.

    Import statements are read, not run; those within functions count, and what is imported by a computed name is not
    seen.

    Args:
        file: whose imports.
        root: where absolute imports are looked up.
        package: that the file is in, for relative imports.
    """
    found: dict[str, Path] = {}
    waiting = [(file, package)]
    while waiting:
        current, home = waiting.pop()
        for name in _imported_names(current, home):
            for module, path in _files_of(name, root):
                if module not in found and path != file:
                    found[module] = path
                    waiting.append((path, module if path.name == "__init__.py" else module.rpartition(".")[0]))
    return found


def _imported_names(file: Path, package: str) -> Iterator[str]:
    """What a file's import statements may name as modules; nothing if it is no Python."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return  # importing it says what is wrong
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            home = ".".join([*above, *([node.module] if node.module else [])])
            yield home
            # `from package import module` looks like `from module import function`
            yield from (f"{home}.{alias.name}" for alias in node.names)


def _files_of(name: str, root: Path) -> Iterator[tuple[str, Path]]:
    """The files below a folder that importing a module runs: its own, and those of the packages around it."""
    steps = [step for step in name.split(".") if step]
    for count in range(1, len(steps) + 1):
        place = root.joinpath(*steps[:count])
        for path in (place / "__init__.py", place.with_name(f"{place.name}.py")):
            if path.is_file():
                yield ".".join(steps[:count]), path
                break


def files_digest(file: Path, imported: dict[str, Path]) -> str:
    """sha256 over the contents of a file and of what it imports; where they lie does not count."""
    digest = hashlib.sha256(file.read_bytes())
    for name, path in sorted(imported.items()):
        digest.update(f"\0{name} {hashlib.sha256(path.read_bytes()).hexdigest()}".encode())
    return digest.hexdigest()


def forget(imported: dict[str, Path]) -> None:
    """Let the next import of these modules read their files, which may have been edited, or be another folder's.

    Modules of the same names that lie elsewhere and that no factory brought along stay.
    """
    for name, path in imported.items():
        loaded = getattr(sys.modules.get(name), "__file__", None)
        if loaded and (name in _brought or Path(loaded).resolve() == path.resolve()):
            del sys.modules[name]
    importlib.invalidate_caches()
    _brought.update(imported)
