"""How labels are made, apart from the layer: method, parameters, prompts, null draws and seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from neuronlake import NeuronlakeError

# Of a parameter of a method.
Value = int | float | str

DEFAULT_METHOD = "soft_wpmi"
DEFAULT_DRAWS = 1000


class ScoringError(NeuronlakeError):
    """A method, a parameter or a prompt makes no sense, or there is nothing to score."""


@dataclass(frozen=True)
class Scoring:
    """How labels are made, apart from the layer.

    Attributes:
        method: a name in `registry.METHODS`.
        parameters: all of the method's.
        prompts: texts that each concept is put into, see `prompts.checked_prompts`; none where no embedding is needed.
        null_draws: pseudo-units behind the p-values; 0 where the labeler has none.
        seed: of the pseudo-units.
        keep_concepts: how many of each unit's best concepts to store; all where None.
    """

    method: str
    parameters: dict[str, Value]
    prompts: tuple[str, ...]
    null_draws: int
    seed: int
    keep_concepts: int | None

    @property
    def signal(self) -> str | None:
        """What a concept predicts of an image, see `signals.SHAPES`; None for the cosine as it is."""
        signal = self.parameters.get("signal")
        return None if signal is None else str(signal)

    def fingerprint(self, layer: str, probe: str, encoder: str | None, concept_set: str) -> str:
        """sha256 over the fingerprints of all that the numbers of one scoring depend on."""
        # put as version 0.1 did, so that its scorings are known
        prompt = " | ".join(self.prompts)
        settings = (self.method, self.parameters, prompt, self.null_draws, self.seed, self.keep_concepts)
        return hashlib.sha256(repr((layer, probe, encoder, concept_set, settings)).encode()).hexdigest()
