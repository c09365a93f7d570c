"""Prompts: several templates are averaged, and known by one text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from torch import Tensor

from neuronlake.ingest.encoders.prompts import PromptError, checked_prompts, embed_texts
from neuronlake.ingest.encoders.protocol import Encoder


def lettered(told: list[str]) -> Encoder:
    """An encoder whose embedding says how a text begins; it writes down what it was given."""

    def encode(texts: Sequence[str], progress: Callable[[int, int], None] | None = None) -> Tensor:
        told.extend(texts)
        if progress:
            progress(len(texts), len(texts))
        return torch.tensor([[1.0, 0.0] if text.startswith("a") else [0.0, 1.0] for text in texts])

    return cast(Encoder, SimpleNamespace(encode_texts=encode, dimensions=2))


def test_the_mean_of_several_prompts_has_length_one() -> None:
    told: list[str] = []
    prompt = checked_prompts(["a photo of {}", "the {}"])
    assert prompt == ("a photo of {}", "the {}")
    seen: list[tuple[int, int]] = []
    embedded = embed_texts(lettered(told), prompt, ["cat", "dog"], lambda done, total: seen.append((done, total)))
    assert told == ["a photo of cat", "a photo of dog", "the cat", "the dog"]
    half = 0.5**0.5
    assert torch.allclose(embedded, torch.tensor([[half, half], [half, half]]))
    assert seen == [(2, 4), (4, 4)]


def test_one_prompt_is_the_embedding_itself() -> None:
    embedded = embed_texts(lettered([]), checked_prompts(["{}"]), ["apple", "pear"])
    assert embedded.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_the_prompts_clip_was_tested_with_are_known_by_name() -> None:
    for name, count in (("openai_7", 7), ("openai_80", 80)):
        told: list[str] = []
        embed_texts(lettered(told), checked_prompts([name]), ["cat"])
        assert len(set(told)) == count
        assert all("cat" in text for text in told)


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ([], "there is no prompt"),
        (["a photo"], "has no place for the concept"),
        (["{} | {}"], "give each prompt by itself"),
    ],
)
def test_prompts_that_make_no_sense_are_refused(prompts: list[str], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        checked_prompts(prompts)
