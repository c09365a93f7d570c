"""How layers are spelled: names, patterns, inputs, heads and elements, as places in a network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from neuronlake import NeuronlakeError
from neuronlake.sql.words import did_you_mean

_SPELLING = re.compile(r"(?P<module>[^\[\]:]+)(?P<side>:input|:heads)?(?P<elements>(\[[^\[\]]+\])*)")


class LayerError(NeuronlakeError):
    """A layer does not exist, or its output is nothing that has units."""


@dataclass(frozen=True)
class Place:
    """Where in a network a layer is read.

    Attributes:
        text: as the user spells it and the warehouse calls it: ``layer4``, ``attn[0]``, ``attn.proj:input``,
            ``attn:heads``.
        module: name of the submodule.
        is_input: read what goes into it, not what comes out.
        elements: which element of a tuple or dict, and which of that.
        is_heads: read what its attention heads give, before the output projection.
    """

    text: str
    module: str
    is_input: bool = False
    elements: tuple[str, ...] = ()
    is_heads: bool = False


def is_pattern(text: str, names: Sequence[str]) -> bool:
    """Whether a layer's spelling stands for several."""
    return text not in names and re.search(r"[*?]", text) is not None


def place_of(model: str, text: str, names: Sequence[str]) -> Place:
    """What a layer's spelling means.

    Raises:
        LayerError: it is no spelling of a layer, or there is no such module.
    """
    if text in names:
        return Place(text, text)
    match = _SPELLING.fullmatch(text)
    if match is None:
        raise LayerError(
            f"{text!r} is no layer; write NAME, NAME:input, NAME:heads, or NAME[0] for an element of a tuple or dict"
        )
    if match["module"] not in names:
        raise LayerError(_unknown_layer(model, match["module"], names))
    elements = tuple(re.findall(r"\[([^\]]+)\]", match["elements"]))
    return Place(text, match["module"], match["side"] == ":input", elements, match["side"] == ":heads")


def places_of(model: str, text: str, names: Sequence[str]) -> list[Place]:
    """The places that a pattern finds, in the network's order.

    Raises:
        LayerError: it finds none.
    """
    pattern, suffix = re.fullmatch(r"([^\[:]*)(.*)", text, re.DOTALL).groups()  # pyright: ignore[reportOptionalMemberAccess]
    parts = {"**": ".*", "*": r"[^.]*", "?": r"[^.]"}
    expression = "".join(parts.get(part) or re.escape(part) for part in re.split(r"(\*\*|\*|\?)", pattern))
    found = [place_of(model, f"{name}{suffix}", names) for name in names if re.fullmatch(expression, name)]
    if not found:
        outermost = ", ".join(name for name in names if "." not in name)
        raise LayerError(f"{text!r} finds no layer of {model}; its outermost layers are {outermost}")
    return found


def _unknown_layer(model: str, layer: str, names: Sequence[str]) -> str:
    """The message for a layer that does not exist: near names, and where to look."""
    outermost = f"its outermost layers are {', '.join(name for name in names if '.' not in name)}"
    return f"{model} has no layer {layer!r}; {did_you_mean(layer, names, most=3, cutoff=0.4, then=outermost)}"
