"""Linear Explanations' own elastic net and greedy step on given matrices, called as its explain_neurons.py does.

Oikarinen & Weng, "Linear Explanations for Individual Neurons", ICML 2024; for sums.py.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import math
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# its script's --glm_neuron_batch
UNITS_AT_ONCE = 128


@dataclass(frozen=True)
class Split:
    """Places of images, each ascending.

    Attributes:
        fitted: that choose concepts and their weights.
        tried: that say how many concepts are worth having.
        test: that are held out.
    """

    fitted: Tensor
    tried: Tensor
    test: Tensor


@dataclass(frozen=True)
class Clock:
    """What something took.

    Attributes:
        seconds: that went by.
        processor: seconds of processors, which other work on them does not add to.
    """

    seconds: float
    processor: float

    def times(self, factor: float) -> Clock:
        """So many times as much."""
        return Clock(self.seconds * factor, self.processor * factor)

    def plus(self, other: Clock) -> Clock:
        """Both, one after the other."""
        return Clock(self.seconds + other.seconds, self.processor + other.processor)


class Stopwatch:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self._started = time.perf_counter(), time.process_time()

    def clock(self) -> Clock:
        """What it took until now."""
        return Clock(time.perf_counter() - self._started[0], time.process_time() - self._started[1])


@dataclass(frozen=True)
class Explained:
    """Its explanations of a few units.

    Attributes:
        elastic_net: what the ranking of concepts took, for a batch of these units.
        greedy: what the choice among them took, for all of these units.
        predicted: of the images held out, (images, units) float32.
        concepts: mean number of concepts.
        kept: concepts that it looks at.
    """

    elastic_net: Clock
    greedy: Clock
    predicted: Tensor
    concepts: float
    kept: int

    def scaled(self, units: int) -> tuple[Clock, Clock]:
        """The two for more units; a batch of the elastic net counts as if it took no longer with more units in it."""
        few = self.predicted.shape[1]
        batches = math.ceil(units / UNITS_AT_ONCE) / math.ceil(few / UNITS_AT_ONCE)
        return self.elastic_net.times(batches), self.greedy.times(units / few)


def explain(clone: Path, signals: Tensor, activations: Tensor, split: Split) -> Explained:
    """Explain units on the processor.

    Its concept filter, elastic net, greedy step and their settings are its own. What it does for each unit to take
    the images of each part out of all signals is done once here, in no time.

    Args:
        clone: of its repository.
        signals: (images, concepts) float32.
        activations: (images, units) float32.
        split: of the images.
    """
    sys.path.insert(0, str(clone))
    theirs: Any = importlib.import_module("linear_explanation")
    is_active = (signals.topk(5, dim=0)[0].mean(dim=0) >= 0.5) & (signals.std(dim=0) >= 1e-5)
    signals = signals[:, is_active]
    watch, ranked = Stopwatch(), list[Tensor]()
    for batch in activations.split(UNITS_AT_ONCE, dim=1):
        with _quiet():
            data = theirs.get_glm_datasets(signals, batch, split.fitted, split.tried)
            weight = theirs.train_glm_model(*data, "cpu").weight.detach()
        ranked.append(weight.sort(dim=1, descending=True).indices)
    elastic_net = watch.clock()
    fitted, tried, test = (signals[images] for images in (split.fitted, split.tried, split.test))
    predicted, counts, watch = list[Tensor](), list[int](), Stopwatch()
    for unit, best in zip(activations.T[:, :, None], torch.cat(ranked), strict=True):
        targets = unit[split.fitted], unit[split.tried]
        with _quiet():
            concepts, weights, bias, _ = theirs.greedy_search(fitted, tried, *targets, best, device="cpu")
        if weights is None:  # none correlates; its script would end here
            weights, bias = torch.zeros(0), 0.0
        # one more than there are weights where the last one tried did not join
        predicted.append(test[:, concepts[: len(weights)]] @ weights + bias)
        counts.append(len(weights))
    return Explained(
        elastic_net, watch.clock(), torch.stack(predicted, dim=1), sum(counts) / len(counts), signals.shape[1]
    )


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Without its progress and warnings."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
