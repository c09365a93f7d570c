"""Which layers of two models meet, and over which images: what is asked for, found in a warehouse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from neuronlake import NeuronlakeError
from neuronlake.sql import hints
from neuronlake.sql.warehouse import Warehouse
from neuronlake.sql.words import did_you_mean


class CompareError(NeuronlakeError):
    """There is nothing to compare, or no images to compare it over."""


@dataclass(frozen=True)
class SeenLayer:
    """A layer with activations, and the probes that it has seen, the newest first."""

    model: str
    layer: str
    layer_id: int
    units: int
    probes: dict[str, int]

    def __str__(self) -> str:
        return f"{self.layer} of {self.model}"


@dataclass(frozen=True)
class Pair:
    """Two layers, and the number of the probe that they are compared over."""

    a: SeenLayer
    b: SeenLayer
    probe_id: int


def layer_pairs(
    warehouse: Warehouse, model_a: str, model_b: str, layers: Sequence[str], probe: str | None
) -> tuple[list[Pair], tuple[str, ...]]:
    """The pairs of layers to compare, in the order of the first model's, and notes on those that cannot be.

    Args:
        warehouse: to read.
        model_a: name of the first model.
        model_b: name of the second.
        layers: each a name that both have, or ``LAYER_A=LAYER_B``; all names that both have where empty.
        probe: name of the probe; the newest that both layers have seen where None.

    Raises:
        CompareError: a model, layer or probe has no activations here, or no two layers have seen the same probe.
    """
    of_a, of_b = (_layers(warehouse, model) for model in (model_a, model_b))
    if probe is not None:
        _require_probe(probe, [*of_a.values(), *of_b.values()])
    named = [_named(each, of_a, of_b) for each in layers] or [(of_a[name], of_b[name]) for name in of_a if name in of_b]
    if not named:
        raise CompareError(
            f"{model_a} and {model_b} have no layer of the same name: {', '.join(of_a)} and {', '.join(of_b)}; "
            "pair them with --layers LAYER_A=LAYER_B"
        )
    if same := next((a for a, b in named if a.layer_id == b.layer_id), None):
        raise CompareError(f"{same} is compared with itself; name two models, or two layers with LAYER_A=LAYER_B")
    pairs: dict[tuple[int, int], Pair] = {}
    apart: list[str] = []
    for a, b in named:
        shared = [name for name in a.probes if name in b.probes and probe in (None, name)]
        if shared:
            pairs[a.layer_id, b.layer_id] = Pair(a, b, a.probes[shared[0]])
        else:
            apart.append(_apart(warehouse, a, b, probe))
    if not pairs or (apart and layers):
        raise CompareError(apart[0])
    return list(pairs.values()), tuple(f"left out: {each}" for each in apart)


def _layers(warehouse: Warehouse, model: str) -> dict[str, SeenLayer]:
    """A model's layers with activations, by name, in its order.

    Raises:
        CompareError: it has none.
    """
    stored = warehouse.query("stored_layers", embedded="false").pl()
    rows = stored.filter(pl.col("model") == model)
    if rows.is_empty():
        known: list[str] = stored["model"].unique().sort().to_list()
        holds = f"it holds those of {', '.join(known)}" if known else "`cli ingest` makes them"
        hint = did_you_mean(model, known, then=holds)
        raise CompareError(f"{warehouse.path} holds no activations of {model!r}; {hint}")
    found = {
        row["layer"]: SeenLayer(model, row["layer"], row["layer_id"], row["units"], {})
        for row in rows.sort("position", "layer_id").iter_rows(named=True)
    }
    for row in rows.iter_rows(named=True):  # those of the newest probe first
        found[row["layer"]].probes[row["probe"]] = row["probe_id"]
    return found


def _require_probe(probe: str, seen: Sequence[SeenLayer]) -> None:
    """Refuse the name of a probe that none of these layers has seen.

    Raises:
        CompareError: none has.
    """
    known = sorted({name for layer in seen for name in layer.probes})
    if probe not in known:
        hint = did_you_mean(probe, known, then=f"they have seen {', '.join(known)}")
        models = " and ".join(dict.fromkeys(layer.model for layer in seen))
        raise CompareError(f"no layer of {models} has seen a probe {probe!r}; {hint}")


def _named(asked: str, of_a: dict[str, SeenLayer], of_b: dict[str, SeenLayer]) -> tuple[SeenLayer, SeenLayer]:
    """The layers that a text such as ``layer4`` or ``layer4=blocks.11`` names.

    Raises:
        CompareError: one of the models has no activations of it.
    """
    name_a, separator, name_b = asked.partition("=")
    names = (name_a.strip(), name_b.strip() if separator else name_a.strip())
    for name, known in zip(names, (of_a, of_b), strict=True):
        if name not in known:
            model = next(iter(known.values())).model
            pairing = "" if separator else "; layers of two names are paired with LAYER_A=LAYER_B"
            hint = did_you_mean(name, known, then=f"there are those of {', '.join(known)}{pairing}")
            raise CompareError(f"{model} has no activations of {name!r}; {hint}")
    return of_a[names[0]], of_b[names[1]]


def _apart(warehouse: Warehouse, a: SeenLayer, b: SeenLayer, probe: str | None) -> str:
    """What is said of two layers that no probe was shown to."""
    if probe is not None:
        lacking = a if probe not in a.probes else b
        what = f"{lacking} has not seen {probe}, it has seen {', '.join(lacking.probes)}"
    else:
        lacking, probe = b, next(iter(a.probes))
        what = f"{a} has seen {', '.join(a.probes)} and {b} {', '.join(b.probes)}, no images of both"
    ingest = hints.command(f"cli ingest --model {lacking.model} --layers {lacking.layer}", warehouse.path)
    return f"{what}; show it {probe} with `{ingest} --probe ...`"
