"""torch.export files looked into before torch reads them, for torch would run code that they bring along.

torch unpickles what is not plain tensors, loads compiled libraries, evaluates sizes as Python expressions, looks
operators up by name, and writes the graph's names into Python source. Here everything is refused that a network of
torch's own operators does not need.
"""

from __future__ import annotations

import ast
import io
import json
import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch

# all else in the archive, such as compiled libraries and torch 2.7's own layout, which is read by other code
_ENTRIES = re.compile(
    r"archive_format|archive_version|byteorder|\.data/\w+|extra/.*|models/\w+\.json|"
    r"data/weights/(weight_\d+|\w+_weights_config\.json|\w+\.pt)|"
    r"data/constants/(tensor_\d+|\w+_constants_config\.json|\w+\.pt)|data/sample_inputs/\w+\.pt"
)
_OPERATORS = re.compile(
    r"torch\.ops\.(aten|prims?|quantized(_decomposed)?|torchvision|higher_order)\.\w+(\.\w+)?|torch\.(_sym|sym)_\w+|"
    r"_operator\.(?!call|attrgetter|itemgetter|methodcaller)[a-z]\w*|math\.[a-z]\w*"
)
_NAME = re.compile(r"[\w.-]*")
_MODULE_STACK = re.compile(r"[\w.,;@\[\]-]*")
_TREES = {"builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict", None}
_EXPRESSION_NODES = (
    *(ast.Expression, ast.Call, ast.Name, ast.Load, ast.keyword, ast.Constant, ast.BinOp, ast.UnaryOp, ast.Compare),
    *(ast.operator, ast.unaryop, ast.cmpop),
)


def code_in(path: Path) -> str | None:
    """What of a torch.export file could run code, or none of it.

    Raises:
        RuntimeError, OSError, ValueError, EOFError, zipfile.BadZipFile: it is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        odd = _odd_name([name.partition("/")[2] for name in archive.namelist()])
    if odd:
        return odd
    # torch's own reader, which may find other entries than zipfile does, and ignores case
    reader: Any = torch._C.PyTorchFileReader(str(path))  # pyright: ignore[reportPrivateUsage]  there is no public one
    records = cast("list[str]", reader.get_all_records())
    return _odd_name(records) or next((name for name in records if not _is_plain(name, reader.get_record(name))), None)


def _odd_name(names: list[str]) -> str | None:
    """What is odd about the names of an archive's entries, if anything is."""
    odd = [name for name in names if not _ENTRIES.fullmatch(name)]
    if odd:
        return f"an entry {odd[0]}" if odd[0] else "entries outside of a folder"
    return "entries of one name" if len({name.casefold() for name in names}) < len(names) else None


def _is_plain(name: str, content: bytes) -> bool:
    """Whether an entry of the archive holds nothing that torch would run."""
    if name.endswith(".pt"):
        try:
            torch.load(io.BytesIO(content), weights_only=True)
        except pickle.UnpicklingError:
            return False
    elif name.endswith("_config.json"):
        return not _has_pickles(json.loads(content.decode()))
    elif name.startswith("models/"):
        return all(_is_plain_text(key, text) for key, text in _texts(json.loads(content.decode())))
    return True


def _has_pickles(config: Any) -> bool:
    """Whether a list of an exported program's weights or constants has entries that are pickles."""
    entries: Mapping[str, Any] = config.get("config", {}) if isinstance(config, Mapping) else {}
    return any(
        entry.get("use_pickle") or not str(entry.get("path_name", "")).startswith(("weight_", "tensor_"))
        for entry in entries.values()
    )


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """All texts of a program, each with what it is called; keys are texts too."""
    if isinstance(value, Mapping):
        program = cast("Mapping[str, Any]", value)
        for inner, entry in program.items():
            yield "name", inner
            if inner == "metadata" and isinstance(entry, Mapping):
                # of what torch keeps besides, it uses the names of modules alone
                yield "nn_module_stack", str(cast("Mapping[str, Any]", entry).get("nn_module_stack", ""))
            else:
                yield from _texts(entry, "operator" if inner == "target" and "inputs" in program else inner)
    elif isinstance(value, list):
        for entry in cast("list[Any]", value):
            yield from _texts(entry, key)
    elif isinstance(value, str):
        yield key, value


def _is_plain_text(key: str, text: str) -> bool:
    """Whether a text of a program is no more than what it is called."""
    if key == "operator":
        return _OPERATORS.fullmatch(text) is not None
    if key == "expr_str":
        return _is_plain_expression(text)
    if key in {"in_spec", "out_spec"}:
        return not text or _has_plain_types(json.loads(text))
    if key == "nn_module_stack":
        return _MODULE_STACK.fullmatch(text) is not None
    # torch quotes constants that are texts wherever it writes them, and what is read here runs no guards
    return key in {"as_string", "as_strings", "torch_version", "guards_code"} or _NAME.fullmatch(text) is not None


def _is_plain_expression(text: str) -> bool:
    """Whether a size is numbers, symbols and functions of sympy such as ``Mul(Integer(2), Symbol('s0'))``."""
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError, RecursionError):
        return False
    called = [node.func for node in nodes if isinstance(node, ast.Call)]
    return (
        all(isinstance(node, _EXPRESSION_NODES) for node in nodes)
        and all(isinstance(function, ast.Name) and function.id[0].isupper() for function in called)
        and all(_NAME.fullmatch(str(node.value)) for node in nodes if isinstance(node, ast.Constant))
    )


def _has_plain_types(tree: Any) -> bool:
    """Whether inputs and outputs are arranged in tuples, lists and dicts."""
    if isinstance(tree, Mapping):
        nested = cast("Mapping[str, Any]", tree)
        return nested.get("type") in _TREES and all(map(_has_plain_types, nested.get("children_spec", [])))
    return not isinstance(tree, list) or all(map(_has_plain_types, cast("list[Any]", tree)))
