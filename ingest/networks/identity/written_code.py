"""What a Python file says: constants, imports, defaults of functions, and the code that it compiles to."""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType
from typing import cast

from neuronlake.ingest.networks.identity.imported_files import is_installed


@dataclass(frozen=True)
class Written:
    """The plain statements at the top of a file.

    Attributes:
        constants: names that are assigned one literal.
        originals: names that something is imported as, and what that is called where it comes from.
        defaults: functions' names with their defaults, where all of these are literals.
    """

    constants: dict[str, object] = field(default_factory=dict[str, object])
    originals: dict[str, str] = field(default_factory=dict[str, str])
    defaults: set[str] = field(default_factory=set[str])

    def says(self, name: str, value: object) -> bool:
        """Whether a name stands for just this constant."""
        return name in self.constants and repr(self.constants[name]) == repr(value)

    def has_defaults(self, function: FunctionType) -> bool:
        """Whether a function has no defaults, or those that are written for one of its name."""
        defaults, keywords = list[object](function.__defaults__ or ()), function.__kwdefaults__ or {}
        if not defaults and not keywords:
            return True
        return _defaults_text(function.__code__.co_name, defaults, keywords) in self.defaults


def written(file: Path) -> Written:
    """What a file says, as it is now; nothing where it is no Python that can be read."""
    try:
        return _read(file, file.stat().st_mtime_ns)
    except (OSError, SyntaxError, ValueError):
        return Written()


@functools.cache
def _read(file: Path, _changed: int) -> Written:
    """What a file says."""
    found = Written()
    tree = ast.parse(file.read_bytes())
    _add(found, tree, "")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            named = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            try:
                defaults = [ast.literal_eval(default) for default in node.args.defaults]
                keywords = {argument.arg: ast.literal_eval(default) for argument, default in named if default}
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                continue
            found.defaults.add(_defaults_text(node.name, defaults, keywords))
    return found


def _defaults_text(name: str, defaults: list[object], keywords: dict[str, object]) -> str:
    """A function's name and its defaults."""
    return repr((name, defaults, sorted(keywords.items())))


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


def runs_as_written(function: object) -> bool:
    """Whether a function, and what it wraps, is what its file says now; so are those of libraries and of no file.

    It is not if the file was edited after it was imported, or if two classes in it have the name of the function's.
    """
    if not isinstance(function, FunctionType):
        return True
    code = function.__code__
    file = Path(code.co_filename)
    if is_installed(file) or not file.is_file():
        return runs_as_written(getattr(function, "__wrapped__", None))
    stated = file.stat()
    found = _code_of(file, stated.st_mtime_ns, stated.st_size)
    around = code.co_qualname.rpartition(".")[0]
    is_only = around.endswith(">") or len(found.get(around, ())) < 2
    is_written = is_only and _shape(code) in found.get(code.co_qualname, ())
    return is_written and runs_as_written(getattr(function, "__wrapped__", None))


@functools.cache
def _code_of(file: Path, _changed: int, _size: int) -> dict[str, set[str]]:
    """Shapes of all that a file defines, by their qualified names; nothing where it is no Python that can be read."""
    found: dict[str, set[str]] = {}
    try:
        waiting = [compile(file.read_bytes(), str(file), "exec", dont_inherit=True)]
    except (OSError, SyntaxError, ValueError):
        return found
    while waiting:
        code = waiting.pop()
        found.setdefault(code.co_qualname, set()).add(_shape(code))
        waiting += [each for each in code.co_consts if isinstance(each, CodeType)]
    return found


@functools.cache
def _shape(code: CodeType) -> str:
    """What runs, wherever in its file it stands."""
    constants = [_shape(each) if isinstance(each, CodeType) else _constant(each) for each in code.co_consts]
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    return repr((code.co_code.hex(), code.co_exceptiontable.hex(), code.co_flags, names, constants))


def _constant(value: object) -> str:
    """A constant as text; a set's order is Python's choice."""
    return repr(sorted(map(repr, cast("frozenset[object]", value))) if isinstance(value, frozenset) else value)
