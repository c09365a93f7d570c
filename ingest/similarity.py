"""The five similarity functions of CLIP-Dissect, as pure tensor functions, and what makes a score surprising.

Oikarinen & Weng, "CLIP-Dissect: Automatic Description of Neuron Representations in Deep Vision Networks",
ICLR 2023, arXiv 2204.10965. All of them take

    image_features: (images, dimensions) float32, rows of length 1
    text_features: (concepts, dimensions) float32, rows of length 1
    activations: (images, units) float32, finite

and return (units, concepts) float32 scores, higher for better. They run where their tensors lie. None holds
the (images, concepts) matrix whole: they work on blocks of concepts, whose size changes no result.

`layer_units` says that only the first so many columns of `activations` are units of the layer; each of those
behind is a pseudo-unit, scored as if it alone were one more unit, without changing the others' scores.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

# Scratch memory for a block of concepts: small enough for a processor's cache, large enough for a GPU.
_BLOCK_BYTES = {"cpu": 8 * 2**20, "cuda": 256 * 2**20, "mps": 64 * 2**20}
# Activations whose order is looked for at once: their keys take eight bytes each.
_SORTED_AT_ONCE = 2**23
# (1 + 0.998 / 0.002) ** 12 is below the largest float32, so twelve factors share one logarithm.
_FACTORS_PER_LOGARITHM = 12
# Below this mean similarity rank_reorder's root would blow up; the reference gives NaN below 0.
_SMALLEST_MEAN_SIMILARITY = 1e-6

Similarity = Callable[..., Tensor]


def top_image_indices(activations: Tensor, k: int) -> Tensor:
    """The images with the highest activations of each unit, best first.

    Equal activations stand in the order of the images, on every device.

    Args:
        activations: (images, units) float32, finite.
        k: how many; at most the number of images.

    Returns:
        (units, k) int64, row numbers of `activations`.
    """
    images = activations.shape[0]
    tie_break = torch.arange(images - 1, -1, -1, device=activations.device, dtype=torch.int64)
    found: list[Tensor] = []
    for block in activations.split(max(1, _SORTED_AT_ONCE // max(1, images)), dim=1):
        bits = (block.T.contiguous() + 0.0).view(torch.int32)  # + 0.0 turns -0.0 into 0.0
        ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # signed integers in the order of the floats
        keys = (ordered.to(torch.int64) << 32) | tie_break
        found.append(torch.topk(keys, min(k, images), dim=1).indices)
    return torch.cat(found)


def soft_wpmi(
    image_features: Tensor,
    text_features: Tensor,
    activations: Tensor,
    *,
    top_k: int = 100,
    a: float = 10.0,
    lam: float = 1.0,
    p_start: float = 0.998,
    p_end: float = 0.97,
    layer_units: int | None = None,
) -> Tensor:
    """Soft weighted pointwise mutual information of a concept and a unit's top images.

    With P the softmax over the concepts of `a` times the cosines, and p falling from `p_start` to `p_end` over
    the `top_k` images, a concept's evidence is the sum of log(1 + p (P - 1) + 1e-7); its score is that minus
    `lam` times the log of the mean evidence over the layer's units (paper, equation 7). Each term is taken as
    log1p(w P) with w = p / (1 - p + 1e-7), whose constant part is added back where `lam` is not 1: it keeps
    the digits that a sum near -430 loses in float32.

    With fewer images than `top_k`, all images count.
    """
    top = top_image_indices(activations, top_k)
    ranks = torch.arange(top.shape[1], device=top.device, dtype=torch.float64)
    p = p_start - ranks / max(top.shape[1], 1) * (p_start - p_end)
    rest = 1 - p + 1e-7
    weights = (p / rest).tolist()
    constant = float(rest.log().sum())

    def evidence(probabilities: Tensor) -> Tensor:
        return _sum_of_log1p(probabilities, top, weights)

    scores = _minus_prior(image_features, text_features, top, a, lam, evidence, layer_units)
    return scores + (1 - lam) * constant


def wpmi(
    image_features: Tensor,
    text_features: Tensor,
    activations: Tensor,
    *,
    top_k: int = 28,
    a: float = 2.0,
    lam: float = 0.6,
    layer_units: int | None = None,
) -> Tensor:
    """Weighted pointwise mutual information: like soft_wpmi with each of the top images counted in full.

    A concept's evidence is the sum of log(P + 1e-7) over the `top_k` images. With fewer images, all count.
    """
    top = top_image_indices(activations, top_k)

    def evidence(probabilities: Tensor) -> Tensor:
        logarithms = (probabilities + 1e-7).log_()
        total = torch.zeros(top.shape[0], probabilities.shape[1], device=top.device)
        for rank in range(top.shape[1]):
            total += logarithms.index_select(0, top[:, rank])
        return total

    return _minus_prior(image_features, text_features, top, a, lam, evidence, layer_units)


def rank_reorder(
    image_features: Tensor,
    text_features: Tensor,
    activations: Tensor,
    *,
    p: float = 3.0,
    top_fraction: float = 0.05,
    scale_p: float = 0.5,
    layer_units: int | None = None,
) -> Tensor:
    """How little a unit's top activations change when they are put in the order of the concept's similarity.

    Over the top `top_fraction` of a unit's images: the mean of |t - reordered t|^p, divided by its expectation
    over all orders and by the mean similarity to the power `scale_p`, negated. The reference draws that
    expectation from five permutations; here it is exact, the mean of |t_i - t_j|^p over all pairs. A mean
    similarity of nothing or less, where the reference gives NaN, counts as 1e-6: such a concept comes last.
    """
    images, units = activations.shape
    top = top_image_indices(activations, max(1, int(images * top_fraction)))
    highest = activations.T.gather(1, top)  # (units, top), descending
    expected = torch.stack([(t[:, None] - t[None, :]).abs_().pow_(p).mean() for t in highest])
    expected = expected.clamp_min(torch.finfo(torch.float32).tiny)
    scores = torch.empty(units, text_features.shape[0], device=activations.device)
    for block in _concept_blocks(text_features, rows=top.shape[1] * 4, device=activations.device):
        for unit in range(units):
            cosines = image_features[top[unit]] @ text_features[block].T  # (top, block)
            ranks = cosines.argsort(dim=0, stable=True).argsort(dim=0)
            reordered = highest[unit].flip(0)[ranks]
            error = (highest[unit][:, None] - reordered).abs_().pow_(p).mean(dim=0) / expected[unit]
            scores[unit, block] = -error / cosines.mean(dim=0).clamp_min(_SMALLEST_MEAN_SIMILARITY) ** scale_p
    return scores


def cos_similarity(
    image_features: Tensor,
    text_features: Tensor,
    activations: Tensor,
    *,
    layer_units: int | None = None,
) -> Tensor:
    """Cosine of a unit's activations and a concept's similarities over all images.

    With S = I T', the product A'S is (A'I) T' and the length of a column of S follows from I'I, so that S
    itself is never needed. A unit or a concept of length 0 scores 0.
    """
    products = (activations.T @ image_features) @ text_features.T
    gram = image_features.double().T @ image_features.double()
    texts = text_features.double()
    concept_lengths = ((texts @ gram) * texts).sum(dim=1).clamp_min(0).sqrt().float()
    unit_lengths = activations.norm(dim=0)
    lengths = unit_lengths[:, None] * concept_lengths[None, :]
    return torch.where(lengths > 0, products / lengths.clamp_min(torch.finfo(torch.float32).tiny), 0.0)


def cos_similarity_cubed(
    image_features: Tensor,
    text_features: Tensor,
    activations: Tensor,
    *,
    min_norm: float = 1e-3,
    layer_units: int | None = None,
) -> Tensor:
    """Cosine of activations and similarities after taking off their means and cubing them.

    Lengths below `min_norm` count as `min_norm`, as in the reference.
    """
    cubed = (activations - activations.mean(dim=0)) ** 3
    directions = (cubed / cubed.norm(dim=0).clamp_min(min_norm)).T.contiguous()
    scores = torch.empty(activations.shape[1], text_features.shape[0], device=activations.device)
    for block in _concept_blocks(text_features, rows=activations.shape[0], device=activations.device):
        cosines = image_features @ text_features[block].T
        cosines = (cosines - cosines.mean(dim=0)) ** 3
        scores[:, block] = directions @ (cosines / cosines.norm(dim=0).clamp_min(min_norm))
    return scores


METHODS: dict[str, Similarity] = {
    function.__name__: function for function in (soft_wpmi, wpmi, rank_reorder, cos_similarity, cos_similarity_cubed)
}


def default_parameters(method: str) -> dict[str, int | float]:
    """The parameters of a method that a user may set, with their defaults."""
    parameters = inspect.signature(METHODS[method]).parameters.values()
    return {
        parameter.name: parameter.default
        for parameter in parameters
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name != "layer_units"
    }


def pseudo_unit_activations(activations: Tensor, draws: int, seed: int) -> Tensor:
    """Activations of units that fire on random images: columns of `activations`, each shuffled over the images.

    Args:
        activations: (images, units) float32 of live units.
        draws: how many pseudo-units.
        seed: of the random generator; the draws are the same on every device.

    Returns:
        (images, draws) float32.
    """
    images, units = activations.shape
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.empty(images, draws, device=activations.device)
    for draw in range(draws):
        unit = int(torch.randint(units, (), generator=generator))
        order = torch.randperm(images, generator=generator).to(activations.device)
        shuffled[:, draw] = activations[order, unit]
    return shuffled


def p_values(scores: Tensor, null_scores: Tensor) -> Tensor:
    """Share of null scores at least as high: (1 + how many) / (1 + draws), so never 0.

    Args:
        scores: (units,) best score of each unit.
        null_scores: (draws,) best score of each pseudo-unit.

    Returns:
        (units,) float64 in (0, 1].
    """
    ascending = null_scores.sort().values
    below = torch.searchsorted(ascending, scores.contiguous(), right=False)
    draws = null_scores.shape[0]
    return (1 + draws - below).double() / (1 + draws)


def q_values(p: Tensor) -> Tensor:
    """False discovery rates at which each of a layer's labels would be called significant.

    Benjamini & Hochberg, "Controlling the false discovery rate", J. R. Stat. Soc. B 57 (1995): the smallest
    p_j m / j over all ranks j from a unit's own rank up.

    Args:
        p: (units,) float64 in (0, 1].

    Returns:
        (units,) float64 in (0, 1].
    """
    count = p.shape[0]
    order = p.argsort(descending=True)
    ranks = torch.arange(count, 0, -1, device=p.device, dtype=p.dtype)
    stepped = (p[order] * count / ranks).cummin(dim=0).values.clamp_max(1.0)
    return torch.empty_like(p).scatter_(0, order, stepped)


def _concept_blocks(text_features: Tensor, rows: int, device: torch.device) -> Iterator[slice]:
    """Slices over the concepts such that `rows` float32 rows of a block fit the scratch memory."""
    size = max(16, _BLOCK_BYTES.get(device.type, _BLOCK_BYTES["cpu"]) // (4 * max(1, rows)))
    size -= size % 16
    for start in range(0, text_features.shape[0], size):
        yield slice(start, start + size)


def _minus_prior(
    image_features: Tensor,
    text_features: Tensor,
    top: Tensor,
    a: float,
    lam: float,
    evidence: Callable[[Tensor], Tensor],
    layer_units: int | None,
) -> Tensor:
    """Evidence minus `lam` times the log of its mean over the layer's units, block by block of concepts.

    A pseudo-unit is scored as one more unit of the layer: its own evidence counts in its mean, as a unit's does.
    Otherwise it could score above log(units), which no unit can, and hide what the layer learned.

    Only images that are among a unit's top images are looked at. `evidence` takes a block of their
    probabilities, (images, block), and returns (units, block).
    """
    used, positions = top.unique(return_inverse=True)
    top.copy_(positions)
    logits_scale = a * image_features[used]  # (used images, dimensions)
    rows = used.shape[0]
    log_totals = torch.full((rows,), -torch.inf, device=top.device)
    for block in _concept_blocks(text_features, rows, top.device):
        logits = logits_scale @ text_features[block].T
        log_totals = torch.logaddexp(log_totals, logits.logsumexp(dim=1))
    units = layer_units or top.shape[0]
    scores = torch.empty(top.shape[0], text_features.shape[0], device=top.device)
    for block in _concept_blocks(text_features, rows, top.device):
        logits = torch.addmm(log_totals[:, None], logits_scale, text_features[block].T, beta=-1)
        collected = evidence(logits.exp_())
        layer, pseudo = collected[:units], collected[units:]
        total = layer.logsumexp(dim=0)
        scores[:units, block] = layer - lam * (total - math.log(units))
        scores[units:, block] = pseudo - lam * (torch.logaddexp(total, pseudo) - math.log(units + 1))
    return scores


def _sum_of_log1p(probabilities: Tensor, top: Tensor, weights: list[float]) -> Tensor:
    """Sum over the ranks r of log(1 + weights[r] * probabilities[top[u, r], c]), as (units, concepts)."""
    shape = (top.shape[0], probabilities.shape[1])
    total = torch.zeros(shape, device=top.device)
    factors = torch.empty(shape, device=top.device)
    gathered = torch.empty(shape, device=top.device)
    by_rank = top.T.contiguous()
    for start in range(0, len(weights), _FACTORS_PER_LOGARITHM):
        factors.fill_(1.0)
        for rank in range(start, min(start + _FACTORS_PER_LOGARITHM, len(weights))):
            torch.index_select(probabilities, 0, by_rank[rank], out=gathered)
            factors.addcmul_(factors, gathered, value=weights[rank])  # factors *= 1 + w P
        total += factors.log_()
    return total
