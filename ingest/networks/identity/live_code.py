"""What a network in memory does beyond what its classes' sources say: hooks, patched functions, globals its code names.

Code is told by what runs, its byte code, since a patched function has no source in its place. What stands where its
source puts it, and is told already by a library's release or by a file that counts as a whole, adds nothing.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import inspect
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, cast

from torch import Tensor, nn
from torch.nn.modules import module as every_module

from neuronlake.ingest.networks.identity.held_objects import NEXT, UntellableError, Values, is_data
from neuronlake.ingest.networks.identity.homes import LIBRARY, LIVE, TOLD, file_of, functions_of, homes, is_named
from neuronlake.ingest.networks.identity.written_code import Written, runs_as_written, written

_HOOKS = ("forward_pre_hooks", "forward_hooks")
_HOOK_OPTIONS = ("with_kwargs", "always_called")
_DEPTH = 12
# from a module's forward over torch.nn.functional to the operator
_LIBRARY_DEPTH = 3
# behind every module: who changes these is seen by the place of the change alone
_BASES = (object, nn.Module)
_CALLED_BY_PYTHON = ("__call__", "__getattr__", "__getitem__")
_USUAL = frozenset(vars(nn.Module()))


def live_code(module: nn.Module, told: Collection[Path] = ()) -> str:
    """sha256 over a network's hooks and what else is not as its sources say; empty where all is.

    Args:
        module: the network.
        told: files whose whole contents are in the network's identity.

    Raises:
        UntellableError: a hook or a global that its code names holds what cannot be compared, such as a socket.
    """
    reader = _Reader(module, told)
    try:
        texts = [*reader.hooks(), *reader.classes(), *reader.attributes()]
    except RecursionError as error:
        raise UntellableError(f"the code of a {type(module).__name__} goes deeper than can be read; {NEXT}") from error
    return hashlib.sha256("\0".join(texts).encode()).hexdigest() if texts else ""


def code_of(subject: object, where: str) -> str:
    """sha256 over a function or an object with all that it holds and names; what has no contents goes by its type.

    Raises:
        UntellableError: it holds more than can be read.
    """
    reader = _Reader(nn.Module(), ())
    try:
        return hashlib.sha256(reader.text(subject, where).encode()).hexdigest()
    except RecursionError as error:
        raise UntellableError(f"{where} goes deeper than can be read; {NEXT}") from error


class _Reader:
    """Goes through a network's code and what it names, each function once."""

    def __init__(self, module: nn.Module, told: Collection[Path]) -> None:
        self._parts = dict(module.named_modules())
        self._home = homes(told)
        self._values = Values(self._parts, self._home, self._code)
        self._kinds = dict.fromkeys(kind for part in self._parts.values() for kind in type(part).__mro__)
        self._visited: dict[int, tuple[int, object]] = {}

    def text(self, subject: object, where: str) -> str:
        """All of one object."""
        return self._values.text(subject, where, is_told=True)

    def hooks(self) -> Iterator[str]:
        """Hooks of all parts and those of every module in the process, in the order in which they run."""
        for kind in _HOOKS:
            everyones = {option: getattr(every_module, f"_global_{kind}_{option}", {}) for option in _HOOK_OPTIONS}
            yield from self._hooks(f"every module's {kind}", getattr(every_module, f"_global_{kind}"), everyones)
            for name, part in self._parts.items():
                own = {option: vars(part).get(f"_{kind}_{option}", {}) for option in _HOOK_OPTIONS}
                yield from self._hooks(f"{name} {kind}", vars(part).get(f"_{kind}", {}), own)

    def _hooks(
        self, where: str, hooks: Mapping[int, object], options: Mapping[str, Mapping[int, object]]
    ) -> Iterator[str]:
        for number, hook in hooks.items():
            chosen = [option for option, numbers in options.items() if number in numbers]
            yield f"{where} {chosen} {self._values.text(hook, f'one of the {where}')}"

    def classes(self) -> Iterator[str]:
        """Methods that are not those of their class's source, and what methods name."""
        for kind in self._kinds:
            for name, raw in vars(kind).items():
                if name.startswith("__") and name not in _CALLED_BY_PYTHON:
                    continue
                where = f"{kind.__qualname__}.{name}"
                if is_data(raw) and self._home(kind) != LIBRARY and not self._says(kind, where, raw):
                    yield f"{where}={self._values.text(raw, where)}"
                for function in functions_of(raw):
                    if not self._is_in_place(kind, name, function) or self._is_unread(raw):
                        yield f"{where}={self._values.text(function, where)}"
                    elif kind not in _BASES:
                        yield from self._defaults(where, inspect.unwrap(function))
                        yield from self._named(inspect.unwrap(function), _DEPTH)

    def _is_unread(self, raw: object) -> bool:
        """Whether it is a property or the like of a class typed at a prompt, of which functions alone are told."""
        return not isinstance(raw, FunctionType) and any(
            self._home(each) == LIVE and file_of(each) is None for each in functions_of(raw)
        )

    def _defaults(self, where: str, function: object) -> Iterator[str]:
        """The defaults of a method's arguments where its source only names them."""
        if not isinstance(function, FunctionType) or self._home(function) == LIBRARY:
            return
        file = file_of(function)
        if not (written(file) if file else Written()).has_defaults(function):
            held = [function.__defaults__, function.__kwdefaults__]
            yield f"{where}({self._values.text(held, where, is_told=self._home(function) == TOLD)})"

    def _says(self, subject: object, name: str, value: object) -> bool:
        """Whether the file that something is in says that a name stands for this constant."""
        file = file_of(subject)
        return file is not None and written(file).says(name, value)

    def _is_in_place(self, kind: type, name: str, function: FunctionType) -> bool:
        """Whether a class has this method from its own source."""
        original = cast("object", inspect.unwrap(function))
        is_own = isinstance(original, FunctionType) and original.__code__.co_qualname == f"{kind.__qualname__}.{name}"
        home, of_kind = self._home(function), self._home(kind)
        if of_kind == LIVE:
            return is_own and runs_as_written(original) and (function is original or home == LIBRARY)
        # in sources that are told methods may have second names
        return home != LIVE and (is_own or name != "forward" or kind in _BASES)

    def attributes(self) -> Iterator[str]:
        """Functions that parts hold, and objects, of code that is in no file that is told."""
        for name, part in self._parts.items():
            for key, value in vars(part).items():
                if key not in _USUAL and self._is_live(value, 4):
                    yield f"{name}.{key}={self._values.text(value, f'{name}.{key}')}"

    def _is_live(self, value: object, depth: int) -> bool:
        """Whether an attribute is or holds a function or an object of such code."""
        if isinstance(value, MethodType):
            value = value.__func__
        if isinstance(value, functools.partial):
            value = [value.func, value.args, value.keywords]
        inner = list(cast("Any", value).values()) if isinstance(value, Mapping) else value
        if isinstance(inner, list | tuple | set | frozenset):
            return depth > 0 and any(self._is_live(entry, depth - 1) for entry in cast("list[object]", inner))
        if isinstance(value, nn.Module | Tensor | type):
            return False
        return self._home(value if isinstance(value, FunctionType) else type(value)) == LIVE

    # What functions are, and what they name

    def _code(self, function: FunctionType) -> str:
        """A function by its byte code, or by its name where its file is told, and by all that it holds and names."""
        name, home = f"{function.__module__}.{function.__qualname__}", self._home(function)
        if home == LIBRARY:
            return " ".join([name, *self._named(function, _DEPTH)])
        defaults = [function.__defaults__, function.__kwdefaults__]
        held = self._values.text(defaults, f"the function {function.__qualname__}", is_told=home == TOLD)
        code = self._byte_code(function.__code__) if home == LIVE else name
        return " ".join([code, held, *self._named(function, _DEPTH)])

    def _byte_code(self, code: CodeType) -> str:
        """What runs: instructions, names, constants, and functions within."""
        constants = [
            self._byte_code(value) if isinstance(value, CodeType) else self._values.text(value, code.co_qualname)
            for value in code.co_consts
        ]
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        return repr((code.co_code.hex(), code.co_exceptiontable.hex(), code.co_names, names, code.co_flags, constants))

    def _named(self, function: object, depth: int) -> list[str]:
        """What a function names and holds of those around it, where that is not as its file says."""
        if not isinstance(function, FunctionType):
            return []
        if self._home(function) == LIBRARY:
            depth = min(depth, _LIBRARY_DEPTH)
        if depth < 0 or self._visited.get(id(function), (-1, None))[0] >= depth:
            return []
        self._visited[id(function)] = depth, function
        names, attributes = _names_in(function.__code__)
        texts: list[str] = []
        for name in names:
            if name in function.__globals__:
                texts += self._global(function, name, attributes, depth - 1)
        if self._home(function) != LIBRARY:
            texts += self._of_namespace(Tensor, attributes, depth - 1)
        return [*texts, *self._closure(function)]

    def _closure(self, function: FunctionType) -> Iterator[str]:
        """What a function holds of those around it; of libraries' functions only what is a function of the user's."""
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:
                continue  # not assigned yet
            is_library = self._home(function) == LIBRARY
            if name != "__class__" and not (is_library and not self._is_live(value, 4)):
                is_told = self._home(function) != LIVE
                yield f"{name}={self._values.text(value, f'{function.__qualname__} ({name})', is_told=is_told)}"

    def _global(self, function: FunctionType, name: str, attributes: tuple[str, ...], depth: int) -> list[str]:
        """What a global name of a function stands for."""
        value, home = function.__globals__[name], self._home(function)
        if isinstance(value, ModuleType):
            original = _original(function, name)
            is_other = home != LIBRARY and not f".{value.__name__}".endswith(f".{original}")
            return [*([f"{name}={value.__name__}"] if is_other else []), *self._of_namespace(value, attributes, depth)]
        if is_named(value):
            return self._reference(function, name, name, value, depth)
        return self._constant(name, value, home, is_written=self._says(function, name, value))

    def _constant(self, name: str, value: object, home: str, *, is_written: bool) -> list[str]:
        """A global that is no code; where its file is told, only if another run may find it otherwise."""
        is_live = self._is_live(value, 4)
        if home == LIBRARY and not (is_live or isinstance(value, nn.Module | functools.partial)):
            return []
        if home == TOLD and (is_written or not (is_live or is_data(value))):
            return []
        return [f"{name}={self._values.text(value, f'the global {name}', is_told=home != LIVE)}"]

    def _of_namespace(self, space: ModuleType | type, attributes: tuple[str, ...], depth: int) -> list[str]:
        """Those of a module's names that code names as attributes, as far as they are not as the module's file says."""
        if depth < 0:
            return []
        home = self._home(space)
        texts: list[str] = []
        for name in attributes:
            value = vars(space).get(name)
            full = f"{space.__name__}.{name}"
            if value is None:
                continue
            if isinstance(value, ModuleType):
                texts += self._of_namespace(value, tuple(each for each in attributes if each != name), depth - 1)
            elif is_named(value):
                if isinstance(space, ModuleType) or self._home(value) == LIVE:
                    texts += self._reference(space, full, name, value, depth)
            else:
                is_written = home == TOLD and self._says(space, name, value)
                texts += self._constant(full, value, home, is_written=is_written)
        return texts

    def _reference(self, within: Any, full: str, name: str, value: Any, depth: int) -> list[str]:
        """Code that a name stands for: what it names in turn where it is told and called so, else all of it."""
        if isinstance(value, type) and value in self._kinds:
            return []
        home, is_library = self._home(value), self._home(within) == LIBRARY
        is_usual = is_library and home == LIBRARY and not _is_torchs(within)
        if home == LIVE or not (is_usual or _is_called_so(within, name, value.__name__)):
            return [f"{full}={self._values.text(value, full)}"]
        inner = functions_of(value) if not isinstance(value, type) or self._home(value) != LIBRARY else []
        return [text for function in inner for text in self._named(function, depth)]


def _is_torchs(subject: object) -> bool:
    """Whether it is a module of torch: what its names stand for is what ablations change first."""
    return isinstance(subject, ModuleType) and subject.__name__.partition(".")[0] == "torch"


def _is_called_so(within: Any, name: str, found: str) -> bool:
    """Whether a function's own name is what it is called in a module, or by a function of it."""
    prefix = within.__name__.rpartition(".")[2]
    return found in (name, f"_{name}", f"{prefix}_{name}") or found == _original(within, name)


def _original(within: object, name: str) -> str:
    """What is imported under a name, as it is called where it comes from."""
    file = file_of(within)
    return written(file).originals.get(name, name) if file else name


@functools.cache
def _names_in(code: CodeType) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names that code looks up as globals, and as attributes of something; those of functions within it included."""
    names, attributes = set[str](), set[str]()
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            names.add(str(step.argval))
        elif step.opname.startswith(("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM")):
            attributes.add(str(step.argval))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner = _names_in(constant)
            names.update(inner[0])
            attributes.update(inner[1])
    return tuple(sorted(names)), tuple(sorted(attributes))
