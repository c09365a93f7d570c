"""The five similarity functions of CLIP-Dissect, as pure tensor functions.

Oikarinen & Weng, "CLIP-Dissect: Automatic Description of Neuron Representations in Deep Vision Networks",
ICLR 2023, arXiv 2204.10965. All of them take

    cosines: of every image and every concept, see `Cosines`
    activations: (images, units) float32, finite, of all live units of a layer
    pseudo: units that fire on random images, or None

and return (units + draws, concepts) float32 scores, higher for better. Each pseudo-unit is scored as if it alone
were one more unit of the layer, and changes nobody else's score. They run where their tensors lie and work on
blocks of images, units and concepts, whose sizes change no result: beside their inputs they hold what does not
grow with the images, but for the cosines of the images that are some unit's best.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from neuronlake.ingest.devices import memory_of
from neuronlake.ingest.labelers.log_products import log_of_products
from neuronlake.ingest.labelers.significance import PseudoUnits

# Scratch memory for a block: small enough for a processor's cache; of a GPU's memory a part that keeps it busy.
_BLOCK_BYTES = {"cpu": 8 * 2**20, "mps": 64 * 2**20}
_BLOCKS_IN_MEMORY = 32
# A narrower block would starve the matrix product.
_NARROWEST_BLOCK = 128
# Rows of the image-by-concept matrix whose softmax is summed at once, where it is not kept.
_IMAGES_AT_ONCE = 256
_ROWS_AT_ONCE = 2**13
# The whole matrix of cosines is kept where it is no larger than this, so that it is multiplied once.
_KEPT_BYTES = {"cpu": 256 * 2**20, "mps": 256 * 2**20}
_KEPT_IN_MEMORY = 8
# Activations whose order is looked for at once: their keys take eight bytes each.
_SORTED_AT_ONCE = 2**21
# Top images and their activations that are held at once, where there are many for each unit.
_TOP_AT_ONCE = 2**22
# Below this mean similarity rank_reorder's root would blow up; the reference gives NaN below 0.
_SMALLEST_MEAN_SIMILARITY = 1e-6
# Sums of sixth powers of twice as much, over ten million images, stay in float32's range.
_LARGEST_EXPONENT = 15

_ALL = slice(None)

Similarity = Callable[..., Tensor]


class Cosines:
    """The cosine of every image and every concept: made once where they fit in memory, else block by block.

    Attributes:
        image_features: (images, dimensions) float32, rows of length 1 or 0.
        text_features: (concepts, dimensions) float32, rows of length 1.
    """

    def __init__(self, image_features: Tensor, text_features: Tensor, whole: Tensor | None = None) -> None:
        self.image_features = image_features
        self.text_features = text_features
        size = 4 * image_features.shape[0] * text_features.shape[0]
        if whole is None and size <= _limit(_KEPT_BYTES, _KEPT_IN_MEMORY, self.device):
            whole = image_features @ text_features.T
        self._whole = whole

    def of_images(self, rows: Tensor, image_features: Tensor) -> Cosines:
        """Those of some images, whose features are given; not multiplied again where they are kept."""
        return Cosines(image_features, self.text_features, None if self._whole is None else self._whole[rows])

    @property
    def device(self) -> torch.device:
        """Where the tensors lie."""
        return self.image_features.device

    @property
    def images(self) -> int:
        """How many."""
        return self.image_features.shape[0]

    @property
    def concepts(self) -> int:
        """How many."""
        return self.text_features.shape[0]

    def block(self, images: Tensor | slice, concepts: Tensor | slice) -> Tensor:
        """(images, concepts) float32; perhaps a view, so not to be changed."""
        if self._whole is not None:
            # what is a slice comes first, for that copies nothing
            return self._whole[:, concepts][images] if isinstance(concepts, slice) else self._whole[images][:, concepts]
        return self.image_features[images] @ self.text_features[concepts].T

    def concept_blocks(self, rows: int) -> Iterator[slice]:
        """Slices over the concepts such that `rows` float32 rows of a block fit the scratch memory."""
        size = max(_NARROWEST_BLOCK, _limit(_BLOCK_BYTES, _BLOCKS_IN_MEMORY, self.device) // (4 * max(1, rows)))
        size -= size % 16
        for start in range(0, self.concepts, size):
            yield slice(start, start + size)


def _limit(limits: dict[str, int], in_memory: int, device: torch.device) -> int:
    """The limit for a device: of a GPU so many fit into its memory; an unknown one counts as a processor."""
    memory = memory_of(device)
    return limits.get(device.type, limits["cpu"]) if memory is None else memory // in_memory


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
    at_once = max(1, _SORTED_AT_ONCE // max(1, images))
    found = torch.empty(activations.shape[1], min(k, images), dtype=torch.int64, device=activations.device)
    for block, best in zip(activations.split(at_once, dim=1), found.split(at_once), strict=True):
        bits = (block.T.contiguous() + 0.0).view(torch.int32)  # + 0.0 turns -0.0 into 0.0
        ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # signed integers in the order of the floats
        keys = (ordered.to(torch.int64) << 32) | tie_break
        best.copy_(torch.topk(keys, min(k, images), dim=1).indices)
    return found


def soft_wpmi(
    cosines: Cosines,
    activations: Tensor,
    pseudo: PseudoUnits | None = None,
    *,
    top_k: int = 100,
    a: float = 10.0,
    lam: float = 1.0,
    p_start: float = 0.998,
    p_end: float = 0.97,
) -> Tensor:
    """Soft weighted pointwise mutual information of a concept and a unit's top images.

    With P the softmax over the concepts of `a` times the cosines, and p falling from `p_start` to `p_end` over
    the `top_k` images, a concept's evidence is the sum of log(1 + p (P - 1) + 1e-7); its score is that minus
    `lam` times the log of the mean evidence over the layer's units (paper, equation 7). Each term is taken as
    log(1 + w P) with w = p / (1 - p + 1e-7), whose constant part is added back where `lam` is not 1: it keeps
    the digits that a sum near -430 loses in float32.

    With fewer images than `top_k`, all images count.
    """
    ranks = torch.arange(min(top_k, cosines.images), dtype=torch.float64)
    p = p_start - ranks / len(ranks) * (p_start - p_end)
    rest = 1 - p + 1e-7
    constant = float(rest.log().sum())
    return _minus_prior(cosines, activations, pseudo, a, lam, (p / rest).tolist(), 1.0) + (1 - lam) * constant


def wpmi(
    cosines: Cosines,
    activations: Tensor,
    pseudo: PseudoUnits | None = None,
    *,
    top_k: int = 28,
    a: float = 2.0,
    lam: float = 0.6,
) -> Tensor:
    """Weighted pointwise mutual information: like soft_wpmi with each of the top images counted in full.

    A concept's evidence is the sum of log(P + 1e-7) over the `top_k` images. With fewer images, all count.
    """
    return _minus_prior(cosines, activations, pseudo, a, lam, [1.0] * min(top_k, cosines.images), 1e-7)


def rank_reorder(
    cosines: Cosines,
    activations: Tensor,
    pseudo: PseudoUnits | None = None,
    *,
    p: float = 3.0,
    top_fraction: float = 0.05,
    scale_p: float = 0.5,
) -> Tensor:
    """How little a unit's top activations change when they are put in the order of the concept's similarity.

    Over the top `top_fraction` of a unit's images: the mean of |t - reordered t|^p, divided by its expectation
    over all orders and by the mean similarity to the power `scale_p`, negated. The reference draws that
    expectation from five permutations; here it is exact, the mean of |t_i - t_j|^p over all pairs. A mean
    similarity of nothing or less, where the reference gives NaN, counts as 1e-6: such a concept comes last.
    """
    k = max(1, int(cosines.images * top_fraction))
    scores = torch.empty(_count(activations, pseudo), cosines.concepts, device=activations.device)
    row = 0
    for units in _blocks_of_units(activations, pseudo, max(1, _TOP_AT_ONCE // k)):
        for top, highest in zip(*_top(units, k), strict=True):
            ascending = highest.flip(0)[:, None]
            expected = _mean_difference(highest, p).clamp_min(torch.finfo(torch.float32).tiny)
            for block in cosines.concept_blocks(rows=k * 4):
                similar = cosines.block(top, block)
                moved = highest[similar.argsort(dim=0, stable=True)]  # whose places the ascending ones take
                error = (moved - ascending).abs_().pow_(p).mean(dim=0) / expected
                scores[row, block] = -error / similar.mean(dim=0).clamp_min(_SMALLEST_MEAN_SIMILARITY) ** scale_p
            row += 1
    return scores


def cos_similarity(cosines: Cosines, activations: Tensor, pseudo: PseudoUnits | None = None) -> Tensor:
    """Cosine of a unit's activations and a concept's similarities over all images.

    With S = I T', the product A'S is (A'I) T' and the length of a column of S follows from I'I, so that S
    itself is never needed. A unit or a concept of length 0 scores 0.
    """
    images, texts = cosines.image_features, cosines.text_features
    exact = torch.float32 if images.device.type == "mps" else torch.float64  # MPS knows no float64
    gram = torch.zeros(images.shape[1], images.shape[1], dtype=exact, device=images.device)
    for part in images.split(_ROWS_AT_ONCE):
        exactly = part.to(exact)
        gram += exactly.T @ exactly
    concept_lengths = ((texts.to(exact) @ gram) * texts.to(exact)).sum(dim=1).clamp_min(0).sqrt().float()
    scores = torch.empty(_count(activations, pseudo), cosines.concepts, device=activations.device)
    row = 0
    for units in _matrices(activations, pseudo):
        of_units = scores[row : row + units.shape[1]]
        row += units.shape[1]
        torch.mm(units.T @ images, texts.T, out=of_units)
        of_units.mul_(_inverse(_lengths(units))[:, None]).mul_(_inverse(concept_lengths))
    return scores


def cos_similarity_cubed(
    cosines: Cosines,
    activations: Tensor,
    pseudo: PseudoUnits | None = None,
    *,
    min_norm: float = 1e-3,
) -> Tensor:
    """Cosine of activations and similarities after taking off their means and cubing them.

    Lengths below `min_norm` count as `min_norm`, as in the reference.
    """
    scores = torch.zeros(_count(activations, pseudo), cosines.concepts, device=activations.device)
    middle = cosines.image_features.mean(dim=0) @ cosines.text_features.T
    row = 0
    for units in _matrices(activations, pseudo):
        of_units = scores[row : row + units.shape[1]]
        row += units.shape[1]
        means = units.mean(dim=0)
        unit_squares = torch.zeros_like(means)
        concept_squares = torch.zeros_like(middle)
        for start in range(0, cosines.images, _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            cubed_units = _cubed(units[rows] - means)
            unit_squares += cubed_units.square().sum(dim=0)
            for block in cosines.concept_blocks(_ROWS_AT_ONCE):
                cubed_concepts = _cubed(cosines.block(rows, block) - middle[block])
                concept_squares[block] += cubed_concepts.square().sum(dim=0)
                of_units[:, block].addmm_(cubed_units.T, cubed_concepts)
        of_units.div_(unit_squares.sqrt().clamp_min(min_norm)[:, None]).div_(concept_squares.sqrt().clamp_min(min_norm))
    return scores


METHODS: dict[str, Similarity] = {
    function.__name__: function for function in (soft_wpmi, wpmi, rank_reorder, cos_similarity, cos_similarity_cubed)
}


def default_parameters(method: str) -> dict[str, int | float]:
    """The parameters of a method that a user may set, with their defaults."""
    parameters = inspect.signature(METHODS[method]).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}


def in_range(activations: Tensor) -> Tensor:
    """The same units, with those of huge activations divided by a power of two, so that no sixth power overflows.

    No method looks at a unit's scale, but for `min_norm`, which is far below.

    Args:
        activations: (images, units) float32, finite.
    """
    low, high = activations.aminmax(dim=0)
    exponents = torch.maximum(high, -low).frexp().exponent - _LARGEST_EXPONENT
    return activations.ldexp(-exponents.clamp_min(0)) if (exponents > 0).any() else activations


def _lengths(columns: Tensor) -> Tensor:
    """Of each column, (columns,) float32: torch's own norm over the first dimension is ten times slower."""
    squares = torch.zeros(columns.shape[1], device=columns.device)
    for part in columns.split(_ROWS_AT_ONCE):
        squares += part.square().sum(dim=0)
    return squares.sqrt()


def _inverse(lengths: Tensor) -> Tensor:
    """One over each length; 0 for a length of 0."""
    return torch.where(lengths > 0, 1 / lengths, 0.0)


def _cubed(values: Tensor) -> Tensor:
    """Their third powers, in their place: multiplied, for a power takes four times as long."""
    return values.mul_(values.square())


def _matrices(activations: Tensor, pseudo: PseudoUnits | None) -> Iterator[Tensor]:
    """(images, units) of the layer, then of as many pseudo-units at a time as fit in memory."""
    yield activations
    if pseudo is not None:
        yield from pseudo.batches()


def _blocks_of_units(activations: Tensor, pseudo: PseudoUnits | None, units: int) -> Iterator[Tensor]:
    """The same, at most so many units at a time."""
    for matrix in _matrices(activations, pseudo):
        yield from matrix.split(units, dim=1)


def _count(activations: Tensor, pseudo: PseudoUnits | None) -> int:
    """How many units and pseudo-units there are."""
    return activations.shape[1] + (0 if pseudo is None else pseudo.draws)


def _top(activations: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """(units, k): row numbers of each unit's top images, int64, and its activations there, float32."""
    top = top_image_indices(activations, k)
    return top, activations.T.gather(1, top)


def _mean_difference(values: Tensor, p: float) -> Tensor:
    """Mean of |v_i - v_j|^p over all pairs, () float32, without holding all pairs of many values."""
    parts = values.split(max(1, 2**22 // len(values)))
    return torch.stack([(part[:, None] - values).abs_().pow_(p).sum() for part in parts]).sum() / len(values) ** 2


def _minus_prior(
    cosines: Cosines,
    activations: Tensor,
    pseudo: PseudoUnits | None,
    a: float,
    lam: float,
    weights: list[float],
    offset: float,
) -> Tensor:
    """Evidence minus `lam` times the log of its mean over the layer's units, block by block of concepts.

    Evidence is the sum over the top images of log(offset + weight P), P the softmax over all concepts of `a`
    times the cosines. A pseudo-unit's own evidence counts in its mean, as a unit's does; otherwise it could score
    above log(units), which no unit can, and hide what the layer learned. Only top images are looked at.
    """
    top = torch.cat([top_image_indices(units, len(weights)) for units in _matrices(activations, pseudo)])
    used, top = top.unique(return_inverse=True)
    units = activations.shape[1]
    scores = torch.empty(top.shape[0], cosines.concepts, device=top.device)
    for block, probabilities in _probability_blocks(cosines, used, a):
        collected = log_of_products(probabilities, top, weights, offset)
        layer, others = collected[:units], collected[units:]
        total = layer.logsumexp(dim=0)
        scores[:units, block] = layer - lam * (total - math.log(units))
        scores[units:, block] = others - lam * (torch.logaddexp(total, others) - math.log(units + 1))
    return scores


def _probability_blocks(cosines: Cosines, images: Tensor, a: float) -> Iterator[tuple[slice, Tensor]]:
    """Softmax over all concepts of `a` times the cosines, as (images, block) float32, contiguous.

    Where all of it fits in memory, it is made image by image and laid out in blocks; else each block is made from
    the denominators that a first pass has left.
    """
    blocks = list(cosines.concept_blocks(rows=len(images)))
    uses_all = len(images) == cosines.images
    if 4 * len(images) * cosines.concepts > _limit(_KEPT_BYTES, _KEPT_IN_MEMORY, cosines.device):
        features = cosines.image_features if uses_all else cosines.image_features[images]
        texts = cosines.text_features.T
        # filled in place: a list of small results would keep apart, and so hold, the memory of what made them
        totals = torch.empty(len(features), device=features.device)
        for part, total in zip(features.split(_IMAGES_AT_ONCE), totals.split(_IMAGES_AT_ONCE), strict=True):
            torch.logsumexp((part @ texts).mul_(a), dim=1, out=total)
        for block in blocks:
            yield block, torch.addmm(totals[:, None], features, texts[:, block], beta=-1, alpha=a).exp_()
        return
    *full, last = blocks
    width = blocks[0].stop
    kept = torch.empty(len(full), len(images), width, device=cosines.device)
    kept_last = torch.empty(len(images), cosines.concepts - last.start, device=cosines.device)
    at_once = max(1, _limit(_BLOCK_BYTES, _BLOCKS_IN_MEMORY, cosines.device) // (16 * cosines.concepts))
    for start in range(0, len(images), at_once):
        place = slice(start, start + at_once)
        rows = (a * cosines.block(place if uses_all else images[place], _ALL)).softmax(dim=1)
        kept[:, place] = rows[:, : last.start].view(len(rows), len(full), width).transpose(0, 1)
        kept_last[place] = rows[:, last]
    yield from zip(full, kept, strict=True)
    yield last, kept_last
