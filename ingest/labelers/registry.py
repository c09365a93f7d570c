"""The methods that a recipe can name, and the labelers behind them. A new labeler is a file, and a line here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from neuronlake.ingest.encoders.prompts import checked_prompts
from neuronlake.ingest.labelers import correlation, linear, network_dissection, similarity
from neuronlake.ingest.labelers.base import Labeler, Need
from neuronlake.ingest.labelers.clip_dissect import ClipDissect
from neuronlake.ingest.labelers.dissecting.tally import DEFINITIONS
from neuronlake.ingest.labelers.predicting.signals import SHAPES
from neuronlake.ingest.labelers.settings import DEFAULT_DRAWS, DEFAULT_METHOD, Scoring, ScoringError, Value
from neuronlake.sql.words import did_you_mean

# Where a parameter of any method makes sense; bounds are part of it.
_RANGES = {
    "a": (1e-6, 1e6),
    "p_start": (0.0, 1.0),
    "p_end": (0.0, 1.0),
    "p": (1e-6, 100.0),
    "top_fraction": (1e-9, 1.0),
    "min_norm": (1e-30, 1e30),
    "concepts": (1, 50),
    "gain": (0.0, 1.0),
    "signed": (0, 1),
    "iou": (0.0, 1.0),
    "quantile": (1e-6, 0.5),
    "length": (1, 10),
    "beam": (1, 1000),
}
_CHOICES = {"signal": SHAPES, "definition": DEFINITIONS}


@dataclass(frozen=True)
class Method:
    """A method that a recipe can name.

    Attributes:
        labeler: its name, as the warehouse keeps it.
        make: the labeler's class, which takes the scoring's settings.
        parameters: with their defaults.
        has_matrix: whether it scores every concept for every unit.
        has_null: whether it has p-values, from pseudo-units.
    """

    labeler: str
    make: type[Labeler]
    parameters: Mapping[str, Value] = field(default_factory=dict[str, Value])
    has_matrix: bool = False
    has_null: bool = False


METHODS: dict[str, Method] = {
    name: Method(
        "clip_dissect",
        ClipDissect,
        similarity.default_parameters(name),
        has_matrix=True,
        has_null=True,
    )
    for name in similarity.METHODS
} | {
    "correlation": Method("correlation", correlation.Correlation, correlation.DEFAULTS, has_matrix=True, has_null=True),
    "linear": Method("linear", linear.Linear, linear.DEFAULTS),
    "network_dissection": Method(
        "network_dissection", network_dissection.NetworkDissection, network_dissection.DEFAULTS, has_matrix=True
    ),
}


def labeler_of(scoring: Scoring) -> Labeler:
    """The labeler with the settings of a scoring."""
    return METHODS[scoring.method].make(scoring)


def has_embeddings(scoring: Scoring) -> bool:
    """Whether it looks at embeddings: then it labels with concepts of a set, and else with the images' own labels."""
    return Need.EMBEDDINGS in labeler_of(scoring).needs


def resolve_scoring(
    method: str = DEFAULT_METHOD,
    parameters: Mapping[str, Value] | None = None,
    prompts: Sequence[str] = ("{}",),
    null_draws: int = DEFAULT_DRAWS,
    seed: int = 0,
    keep_concepts: int | None = None,
) -> Scoring:
    """Check the settings, fill in the method's own parameters, and leave out what it has no use for.

    Raises:
        ScoringError: one makes no sense.
        PromptError: so does a prompt.
    """
    if method not in METHODS:
        choice = f"choose from {', '.join(METHODS)}"
        raise ScoringError(f"there is no method {method!r}; {did_you_mean(method, METHODS, then=choice)}")
    chosen = METHODS[method]
    given: dict[str, Value] = {}
    for name, value in (parameters or {}).items():
        if name not in chosen.parameters:
            raise ScoringError(f"{method} has no parameter {name!r}; it has {', '.join(chosen.parameters) or 'none'}")
        _check_parameter(name, value, chosen.parameters[name])
        given[name] = type(chosen.parameters[name])(value or 0)  # -0.0 is 0
    if keep_concepts is not None and keep_concepts < 2:
        raise ScoringError("--keep-concepts must be at least 2: the label and its runner-up")
    checked = checked_prompts(prompts)
    scoring = Scoring(
        method=method,
        parameters={**chosen.parameters, **given},
        prompts=(),
        null_draws=null_draws if chosen.has_null else 0,
        seed=seed,
        keep_concepts=keep_concepts if chosen.has_matrix else None,
    )
    return replace(scoring, prompts=checked) if has_embeddings(scoring) else scoring


def _check_parameter(name: str, value: Value, default: Value) -> None:
    """Refuse what the method's formula cannot take."""
    if isinstance(default, str):
        choices = _CHOICES[name]
        if value not in choices:
            choice = f"choose from {', '.join(choices)}"
            raise ScoringError(f"parameter {name} is not {value!r}; {did_you_mean(str(value), choices, then=choice)}")
        return
    if isinstance(value, str):
        raise ScoringError(f"parameter {name} takes a number, not {value!r}")
    if isinstance(default, int) and (value != value // 1 or (value < 1 and name not in _RANGES)):
        above = "" if name in _RANGES else " above 0"
        raise ScoringError(f"parameter {name} must be a whole number{above}, not {value:g}")
    low, high = _RANGES.get(name, (-1e6, 1e6))
    if not low <= value <= high:
        raise ScoringError(f"parameter {name} must be between {low:g} and {high:g}, not {value:g}")


def changed_parameters(scoring: Scoring) -> str:
    """The parameters that differ from the method's defaults, as a reader knows them: ``top_k=50``."""
    defaults = METHODS[scoring.method].parameters
    changed = {name: value for name, value in scoring.parameters.items() if value != defaults[name]}
    return ", ".join(f"{name}={value if isinstance(value, str) else f'{value:g}'}" for name, value in changed.items())
