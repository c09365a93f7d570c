"""Labels made on one half of the probe, verified on the other."""

from __future__ import annotations

import torch

from neuronlake.ingest.judging.fidelity import TOP_SHARE
from neuronlake.ingest.judging.measures import Measured, average_precisions, correlations, mean, measure
from neuronlake.ingest.judging.scored import EvaluationError, Scored
from neuronlake.ingest.labelers import similarity
from neuronlake.ingest.labelers.similarity import Cosines, top_image_indices


def measures_of_halves(scored: Scored, seed: int) -> list[Measured]:
    """Labels made on one random half of the images, verified on the other.

    For the label, the runner-up and a random concept: the correlation of the unit's activations with the images'
    similarity to the concept, and the area under the precision-recall curve with the unit's top 5 % of images as
    target. Both pass the sanity checks of Oikarinen et al., "Evaluating neuron explanations" (ICML 2025).

    Raises:
        EvaluationError: the probe or the concept set is too small to be halved.
    """
    images, concepts = scored.cosines.images, scored.cosines.concepts
    if images < 4 or concepts < 3:
        raise EvaluationError("to verify labels takes at least 4 images and 3 concepts")
    generator = torch.Generator().manual_seed(seed)
    making, verifying = torch.randperm(images, generator=generator).to(scored.activations.device).chunk(2)
    features, texts = scored.cosines.image_features, scored.cosines.text_features
    method = similarity.METHODS[scored.method]
    scores = method(Cosines(features[making], texts), scored.activations[making], **scored.parameters)
    best = scores.topk(2, dim=1).indices
    drawn = torch.randint(concepts - 1, (len(best),), generator=generator).to(best.device)
    drawn += drawn >= best[:, 0]  # any but the label
    activations = scored.activations[verifying]
    top = top_image_indices(activations, max(1, round(TOP_SHARE * len(verifying))))
    is_top = torch.zeros_like(activations, dtype=torch.bool).scatter_(0, top.T, value=True)
    found: list[Measured] = []
    for name, chosen in (("label", best[:, 0]), ("runner_up", best[:, 1]), ("random", drawn)):
        similar = features[verifying] @ texts[chosen].T  # (images, units)
        correlation = correlations(activations, similar)
        defined = correlation.isfinite()  # a unit that is constant on this half says nothing
        precision = average_precisions(similar, is_top)[defined].cpu()
        found.append(measure(f"correlation_{name}", mean, correlation[defined].cpu(), seed=seed))
        found.append(measure(f"auprc_{name}", mean, precision, seed=seed))
    return found
