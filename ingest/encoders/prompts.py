"""Prompts: the text that a concept is put into before it is embedded; several are averaged."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import normalize

from neuronlake import NeuronlakeError
from neuronlake.ingest.encoders.protocol import Encoder
from neuronlake.sql.words import StageProgress

# how several templates are shown as one text; none can hold it
_SEPARATOR = " | "
# Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021, for ImageNet
_SETS = {"openai_7": "SIMPLE_IMAGENET_TEMPLATES", "openai_80": "OPENAI_IMAGENET_TEMPLATES"}


class PromptError(NeuronlakeError):
    """A prompt has no place for the concept."""


def checked_prompts(prompts: Sequence[str]) -> tuple[str, ...]:
    """Prompts, each once.

    Args:
        prompts: each with ``{}`` where the concept goes, or the name of a set of them: ``openai_7`` or ``openai_80``.

    Raises:
        PromptError: there is none, or one has no place for the concept.
    """
    if not prompts:
        raise PromptError("there is no prompt; '{}' is the plain concept")
    for prompt in prompts:
        if prompt in _SETS:
            continue
        if "{}" not in prompt:
            raise PromptError(
                f"the prompt {prompt!r} has no place for the concept; put {{}} where it goes, or name a set of "
                f"prompts: {' or '.join(_SETS)}"
            )
        if _SEPARATOR in prompt:
            raise PromptError(f"the prompt {prompt!r} holds {_SEPARATOR!r}; give each prompt by itself")
    return tuple(dict.fromkeys(prompts))


def embed_texts(
    encoder: Encoder, prompts: Sequence[str], texts: Sequence[str], progress: StageProgress | None = None
) -> Tensor:
    """Texts put into each template and embedded; the mean over the templates, of length 1.

    Args:
        encoder: gives texts a direction.
        prompts: from `checked_prompts`.
        texts: what goes into the templates.
        progress: called with the number of texts done and the total, over all templates.

    Returns:
        (texts, dimensions) float32 on the CPU; zeros for a text that has no direction.
    """
    templates = _templates(prompts)
    total = len(templates) * len(texts)
    mean: Tensor | None = None
    for place, template in enumerate(templates):

        def one(done: int, _total: int, before: int = place * len(texts)) -> None:
            if progress:
                progress(before + done, total)

        embeddings = encoder.encode_texts([template.replace("{}", text) for text in texts], one)
        mean = embeddings if mean is None else mean + embeddings
    assert mean is not None
    return mean if len(templates) == 1 else normalize(mean, dim=1)


def _templates(prompts: Sequence[str]) -> list[str]:
    """The templates, sets by name as their members."""
    import open_clip  # noqa: PLC0415  takes seconds

    found: list[str] = []
    for prompt in prompts:
        found += [template("{}") for template in getattr(open_clip, _SETS[prompt])] if prompt in _SETS else [prompt]
    return found
