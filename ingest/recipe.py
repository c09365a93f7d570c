"""What a run is asked to do: settings from keywords, options and TOML files alike, checked where a recipe is made."""

from __future__ import annotations

import operator
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import field, fields
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, SupportsIndex, TypeVar, cast, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic.dataclasses import dataclass

from neuronlake import NeuronlakeError
from neuronlake.ingest.devices import Precision
from neuronlake.ingest.labelers.settings import DEFAULT_DRAWS, DEFAULT_METHOD, Value
from neuronlake.ingest.layers.pooling import Pooling
from neuronlake.ingest.networks.preprocessing import Decoder
from neuronlake.sql.words import did_you_mean

if TYPE_CHECKING:
    from neuronlake.ingest.networks.models import Model

DEFAULT_ENCODER = "ViT-B-16/openai"
# the options' names of what can be given several times, and what a setting was called before
OTHER_NAMES = {
    "model": "models",
    "probe": "probes",
    "prompt": "prompts",
    "parameter": "parameters",
    "trust_pickle": "trust_code",
}
# whose limits are told with the option that sets them
_TOLD_AS_OPTIONS = {"limit", "max_failures", "workers"}
# a BIGINT of the warehouse, and what PyTorch takes as a seed
_LARGEST_WHOLE = 2**63 - 1


class RecipeError(NeuronlakeError):
    """A setting of the run makes no sense."""


def _listed(value: object) -> object:
    """Texts, or one; paths are texts too."""
    texts = [value] if isinstance(value, str | Path) else value
    return tuple(str(t) if isinstance(t, Path) else t for t in texts) if isinstance(texts, Sequence) else texts


def _split(value: object) -> object:
    """Texts, or one with commas between."""
    return tuple(value.split(",")) if isinstance(value, str) else _listed(value)


def _stripped(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Texts without blanks around them; those of nothing else are left out."""
    return tuple(text.strip() for text in texts if text.strip())


def _pairs(value: Any) -> object:
    """Pairs of a layer and a file, from a table or a list of pairs; a layer may have several files."""
    pairs = value.items() if isinstance(value, Mapping) else value
    listed: Any = _listed
    try:
        return tuple((layer, file) for layer, files in pairs for file in listed(files))
    except TypeError as error:
        raise ValueError from error


def _models(value: object) -> tuple[str | Model, ...]:
    """Names, networks, or a mapping from names to networks or to where they are."""
    if isinstance(value, Mapping):
        return tuple(_model(found, str(name)) for name, found in value.items())
    return tuple(_model(found) for found in (value if isinstance(value, list | tuple) else [value]))


def _model(found: object, name: str | None = None) -> str | Model:
    """A network, or where one is."""
    if isinstance(found, str | Path):
        return f"{name}={found}" if name else str(found)
    from neuronlake.ingest.networks.models import Model, model_from_module  # noqa: PLC0415  these lie above recipes

    if isinstance(found, Model):
        return found
    if name is None:
        raise ValueError
    # as a factory returns them: a module, or (module, transform, class names)
    parts: tuple[Any, ...] = found if isinstance(found, tuple) else (found,)
    return model_from_module(name, *parts)


def _takes(what: str, least: int | None = None, most: int | None = None) -> Any:
    """What a setting takes, for pydantic and in the words of an error."""
    return Field(description=what, ge=least, le=most)


def _whole(least: int) -> Any:
    """A whole number that is not below `least`, nor more than the warehouse holds."""
    return _takes(f"a whole number of {least} or more", least, _LARGEST_WHOLE)


Engine = Literal["local", "ray"]
KeepTogether = Literal["image", "label"]
_Text = Annotated[str, _takes("a text")]
_Texts = Annotated[tuple[str, ...], BeforeValidator(_listed), _takes("a text or a list of texts")]
_Names = Annotated[
    tuple[str, ...], BeforeValidator(_split), AfterValidator(_stripped), _takes("a text or a list of texts")
]
_Flag = Annotated[bool, _takes("true or false")]
# at least 2, which `resolve_scoring` gives the reason for
_Kept = Annotated[int | None, _takes("a whole number of 2 or more", None, _LARGEST_WHOLE)]
_Values = Annotated[
    Mapping[str, Value], _takes("a table of names and values, such as { top_k = 50 } or { signal = 'cubed' }")
]
_Path = Annotated[Path, Field(strict=False), AfterValidator(Path.expanduser)]
_Paths = Annotated[
    Mapping[str, _Path], _takes('a table of models and files, such as { resnet18-imagenet = "mine.safetensors" }')
]
_Directions = Annotated[
    tuple[tuple[str, str], ...],
    BeforeValidator(_pairs),
    _takes('a table of layers and files, such as { layer4 = "features.safetensors" }'),
]
if TYPE_CHECKING:
    _Models = tuple[str | Model, ...]
else:
    _Models = Annotated[
        tuple[Any, ...], BeforeValidator(_models), _takes("names of models, or a mapping from names to modules")
    ]


@dataclass(frozen=True, config=ConfigDict(strict=True))
class _Settings:
    """What recipes have in common: each setting is checked, and what is wrong with one is said in one line."""

    @model_validator(mode="wrap")
    @classmethod
    def _checked(cls, given: Any, read: ModelWrapValidatorHandler[Any]) -> Any:
        keywords = dict(given.kwargs or {})
        if {"trust_pickle", "trust_code"} <= keywords.keys():  # as `dataclasses.replace` gives them
            keywords["trust_code"] = keywords.pop("trust_pickle") or keywords["trust_code"]
        named = _by_name(cls, keywords)
        names = [setting.name for setting in fields(cls)]
        if len(given.args) > len(names) or {*names[: len(given.args)]} & {*named}:
            raise RecipeError(f"{cls.__name__} takes each setting once: {', '.join(names)}; give them by name")
        settings = dict(zip(names, given.args, strict=False)) | named
        try:
            return read(type(given)(given.args, named))
        except ValidationError as error:
            raise RecipeError(_complaint(cls, error, settings)) from error


@dataclass(frozen=True, config=ConfigDict(strict=True))
class Recipe(_Settings):
    """What to dissect, with what, and how.

    Attributes:
        models: names of models or where they are, see `models.load_model`; or models themselves, see
            `models.model_from_module`.
        layers: names of layers or patterns, the same for every model; see `layers.choose_layers`.
        probes: folders, lists or tars of images, see `probes.load_probe`; several are put together. Each may have a
            name before it, as in ``mine=photos``; so may the concepts, the encoder and the files of directions.
        masks: folder of label images beside a probe that is a folder, for methods that look at masks; Broden has its
            own. See `probes.load_probe`.
        mask_labels: csv file that says what their values mean, or COCO's panoptic json.
        mask_categories: of the masks' concepts those to look at; all where empty.
        concepts: concept sets, joined; see `concepts.load_concepts`.
        encoder: see `encoders.load_encoder`.
        prompts: texts that each concept is put into, at ``{}``; the mean of several counts. See
            `prompts.checked_prompts`.
        method: a name in `registry.METHODS`, such as a similarity function of CLIP-Dissect.
        parameters: of the method, where they differ from its defaults.
        pooling: how maps and tokens become one number: ``mean``, ``max``, ``cls`` or ``patches``; see `pooling.pool`.
        directions: pairs of a layer and a file with directions in its space; see `directions.load_directions`.
        precision: ``float32``, or ``bfloat16`` or ``float16`` for what networks can compute in half the bits.
        compile: run networks as ``torch.compile`` makes them, see `CompiledPasses`. Results are the same but for
            their last digits, and count as the same in the warehouse; in reduced precision those of networks with
            ``nn.MultiheadAttention`` differ more, those of ViT-B/16 by a percent.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        decoder: of JPEGs: ``pillow``; or ``torchvision`` or, on a GPU, ``nvjpeg``, whose pixels are others and with
            them layers and embeddings. Other images, and those for an own transform, Pillow decodes in any case.
        decoders: processes that decode images, 0 for threads; by the device and the machine's cores where None.
        batch_size: images in one forward pass; by the device where None.
        weights: a checkpoint for a model, by its name or as `models` spells it.
        random_weights: use random weights, for tests and timing.
        trust_code: read files that hold code and can run it: TorchScript, torch.export (.pt2), and pickles of more
            than tensors.
        keep_concepts: how many of each unit's best concepts to store; all where None.
        null_draws: pseudo-units behind the p-values.
        keep_together: what images have in common that are left out together where labels are judged: ``image``, the
            same content (or the same group, where a list of images has that column), or ``label``.
        seed: of the pseudo-units, and of the sample of images.
        chunk_images: images in one transaction; by the size of the probe where None.
        engine: what runs the networks and scores: ``local``, this process, or ``ray``, a cluster.
        address: of the Ray cluster; one is started here where None.
        workers: of the Ray engine; by the cluster's GPUs or cores where None.
        spool: folder that all machines of the cluster share, for chunks on their way; beside the warehouse where None.
        limit: look at a random sample of so many images; at all where None.
        max_failures: how many images may be unreadable; where None half of the first 1,000, or all but one of fewer.

    Raises:
        RecipeError: there is no setting of such a name, or a value is of the wrong type or out of its limits.
    """

    models: _Models = ()
    layers: _Names = ()
    probes: _Texts = ()
    concepts: _Texts = ()
    encoder: _Text = DEFAULT_ENCODER
    prompts: _Texts = ("{}",)
    method: _Text = DEFAULT_METHOD
    parameters: _Values = field(default_factory=dict[str, Value])
    pooling: Pooling = "mean"
    directions: _Directions = ()
    precision: Precision = "float32"
    compile: _Flag = False
    device: _Text = "auto"
    decoder: Decoder = "pillow"
    decoders: Annotated[int | None, _whole(0)] = None
    batch_size: Annotated[int | None, _whole(1)] = None
    weights: _Paths = field(default_factory=dict[str, Path])
    random_weights: _Flag = False
    trust_code: _Flag = False
    keep_concepts: _Kept = None
    null_draws: Annotated[int, _whole(1)] = DEFAULT_DRAWS
    keep_together: KeepTogether = "image"
    seed: Annotated[int, _whole(0)] = 0
    chunk_images: Annotated[int | None, _whole(1)] = None
    engine: Engine = "local"
    address: Annotated[str | None, _takes("a text")] = None
    workers: Annotated[int | None, _whole(1)] = None
    spool: Annotated[_Path | None, _takes("the path of a file or folder")] = None
    limit: Annotated[int | None, _whole(1)] = None
    max_failures: Annotated[int | None, _whole(0)] = None
    masks: Annotated[str | None, _takes("a text")] = None
    mask_labels: Annotated[_Path | None, _takes("the path of a file or folder")] = None
    mask_categories: _Names = ()


@dataclass(frozen=True, config=ConfigDict(strict=True))
class ScoreRecipe(_Settings):
    """What to score again, with what, and how; what is not told here is as for `Recipe`.

    Attributes:
        models: names of models; all where empty.
        layers: names of layers; all where empty.
        probe: name of the probe; the newest where None.
        encoder: name of the encoder, or where it is, as for `Recipe`; the newest where None.
        trust_code: run code that only the warehouse names, and read files that hold code.
        concepts: concept sets, joined; those of the newest scoring where empty.
        keep_together: as for `Recipe`; as the probe's labels were judged last where None.
        fidelity: only judge labels that are there and were not judged so, of the models and layers; nothing is scored.
        seed: of the pseudo-units.
        engine: what scores: ``local``, this process, or ``ray``, a cluster.

    Raises:
        RecipeError: as for `Recipe`.
    """

    models: _Texts = ()
    layers: _Names = ()
    probe: Annotated[str | None, _takes("a text")] = None
    encoder: Annotated[str | None, _takes("a text")] = None
    trust_code: _Flag = False
    concepts: _Texts = ()
    prompts: _Texts = ("{}",)
    method: _Text = DEFAULT_METHOD
    parameters: _Values = field(default_factory=dict[str, Value])
    keep_concepts: _Kept = None
    null_draws: Annotated[int, _whole(1)] = DEFAULT_DRAWS
    keep_together: Annotated[KeepTogether | None, _takes("image or label")] = None
    seed: Annotated[int, _whole(0)] = 0
    fidelity: _Flag = False
    device: _Text = "auto"
    engine: Engine = "local"
    address: Annotated[str | None, _takes("a text")] = None
    workers: Annotated[int | None, _whole(1)] = None


_Kind = TypeVar("_Kind", Recipe, ScoreRecipe)


def recipe_of(kind: type[_Kind], *settings: Mapping[str, object]) -> _Kind:
    """A recipe from settings by name; what is None is as if it were not given.

    Args:
        kind: `Recipe` or `ScoreRecipe`, whose fields are the names.
        settings: a later one takes the place of an earlier one. Lists may be given as one text, `layers` also with
            commas between; `models` as a mapping from names to networks or to where they are.

    Raises:
        RecipeError: a name is unknown, or a value has the wrong type.
    """
    values: dict[str, Any] = {}
    for some in settings:
        values |= _by_name(kind, some)
    return kind(**values)


def chosen_recipe(kind: type[_Kind], recipe: _Kind | None, settings: Mapping[str, object]) -> _Kind:
    """The recipe that was given, or one from the settings.

    Raises:
        RecipeError: both were given, or a setting makes no sense.
    """
    if recipe is None:
        return recipe_of(kind, settings)
    if settings:
        raise RecipeError(f"give a recipe or settings, not both: {', '.join(settings)}")
    return recipe


def read_recipe_file(kind: type[_Kind], path: Path) -> dict[str, Any]:
    """The settings of a TOML file, which make sense as they are.

    Raises:
        RecipeError: there is no such file, it is not TOML, or a setting is unknown or of the wrong type.
    """
    try:
        settings = tomllib.loads(path.expanduser().read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"the recipe {path} cannot be read: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"the recipe {path} is not UTF-8 text (byte {error.start})") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"the recipe {path} is not TOML: {error}; `cli recipe` prints one as an example") from error
    try:
        recipe_of(kind, settings)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error
    return settings


def _by_name(kind: type[_Settings], settings: Mapping[str, object]) -> dict[str, object]:
    """Those settings that are not None, by the names of their fields.

    Raises:
        RecipeError: there is no such setting, or one is given under two names.
    """
    known = [setting.name for setting in fields(kind)]
    values: dict[str, object] = {}
    for given, value in settings.items():
        name = given if given in known else OTHER_NAMES.get(given, given)
        if name not in known:
            hint = did_you_mean(given, known, otherwise=f"there are {', '.join(known)}")
            raise RecipeError(f"there is no setting {given!r}; {hint}")
        if value is None:
            continue
        if name in values:
            other = next(other for other, usual in OTHER_NAMES.items() if usual == name)
            raise RecipeError(f"{name} is given twice, once as {other}; give it once")
        # numpy's whole numbers are as good as Python's
        is_numpys = isinstance(value, Integral) and not isinstance(value, int)
        values[name] = operator.index(cast("SupportsIndex", value)) if is_numpys else value
    return values


def _complaint(kind: type[_Settings], error: ValidationError, settings: Mapping[str, object]) -> str:
    """What is wrong with a setting, in one line."""
    first = error.errors()[0]
    name, wrong, limits = str(first["loc"][0]), first["type"], first.get("ctx", {})
    value, takes = settings[name], vars(kind)["__pydantic_fields__"][name]
    if wrong == "literal_error":
        return f"there is no {name} {value!r}; choose {' or '.join(get_args(takes.annotation))}"
    if wrong == "less_than_equal":
        return f"{name} takes a whole number of {limits['le']} or less, not {value!r}"
    if wrong == "greater_than_equal" and name in _TOLD_AS_OPTIONS:
        return f"--{name.replace('_', '-')} must be {limits['ge']} or more, not {value!r}"
    return f"{name} takes {takes.description}, not {value!r}"
