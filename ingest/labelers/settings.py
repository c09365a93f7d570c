"""How labels are made from activations: method, parameters, prompt and null draws, checked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace

from neuronlake import NeuronlakeError
from neuronlake.ingest.encoders.prompts import checked_prompts
from neuronlake.ingest.labelers import similarity
from neuronlake.sql.words import did_you_mean

DEFAULT_METHOD = "soft_wpmi"
DEFAULT_DRAWS = 1000
# Where a parameter of any method makes sense; the lower bound is part of it.
_RANGES = {
    "a": (1e-6, 1e6),
    "p_start": (0.0, 1.0),
    "p_end": (0.0, 1.0),
    "p": (1e-6, 100.0),
    "top_fraction": (1e-9, 1.0),
    "min_norm": (1e-30, 1e30),
}


class ScoringError(NeuronlakeError):
    """A method, a parameter or a prompt makes no sense, or there is nothing to score."""


@dataclass(frozen=True)
class Scoring:
    """How labels are made, apart from the layer.

    Attributes:
        method: a similarity function.
        parameters: all of the method's.
        prompts: texts that each concept is put into, see `prompts.checked_prompts`.
        null_draws: pseudo-units behind the p-values.
        seed: of the pseudo-units.
        keep_concepts: how many of each unit's best concepts to store; all where None.
    """

    method: str
    parameters: dict[str, int | float]
    prompts: tuple[str, ...]
    null_draws: int
    seed: int
    keep_concepts: int | None

    @property
    def changed_parameters(self) -> str:
        """The parameters that differ from the method's defaults, as a reader knows them: ``top_k=50``."""
        defaults = similarity.default_parameters(self.method)
        return ", ".join(f"{name}={value:g}" for name, value in self.parameters.items() if value != defaults[name])

    def fingerprint(self, layer: str, probe: str, encoder: str, concept_set: str) -> str:
        """sha256 over the fingerprints of all that the numbers of one scoring depend on."""
        # as version 0.1 put it, so that its scorings are known
        settings = astuple(replace(self, prompts=" | ".join(self.prompts)))
        return hashlib.sha256(repr((layer, probe, encoder, concept_set, settings)).encode()).hexdigest()


def resolve_scoring(
    method: str = DEFAULT_METHOD,
    parameters: Mapping[str, int | float] | None = None,
    prompts: Sequence[str] = ("{}",),
    null_draws: int = DEFAULT_DRAWS,
    seed: int = 0,
    keep_concepts: int | None = None,
) -> Scoring:
    """Check the settings and fill in the method's own parameters.

    Raises:
        ScoringError: one makes no sense.
        PromptError: so does a prompt.
    """
    if method not in similarity.METHODS:
        choice = f"choose from {', '.join(similarity.METHODS)}"
        raise ScoringError(f"there is no method {method!r}; {did_you_mean(method, similarity.METHODS, then=choice)}")
    defaults = similarity.default_parameters(method)
    given: dict[str, int | float] = {}
    for name, value in (parameters or {}).items():
        if name not in defaults:
            raise ScoringError(f"{method} has no parameter {name!r}; it has {', '.join(defaults) or 'none'}")
        _check_parameter(name, value, defaults[name])
        given[name] = type(defaults[name])(value)
    if keep_concepts is not None and keep_concepts < 2:
        raise ScoringError("--keep-concepts must be at least 2: the label and its runner-up")
    return Scoring(method, {**defaults, **given}, checked_prompts(prompts), null_draws, seed, keep_concepts)


def _check_parameter(name: str, value: float, default: float) -> None:
    """Refuse what the method's formula cannot take."""
    if isinstance(default, int) and (value != value // 1 or value < 1):
        raise ScoringError(f"parameter {name} must be a whole number above 0, not {value:g}")
    low, high = _RANGES.get(name, (-1e6, 1e6))
    if not low <= value <= high:
        raise ScoringError(f"parameter {name} must be between {low:g} and {high:g}, not {value:g}")
