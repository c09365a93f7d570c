"""The similarity functions: the reference's numbers, their symmetries, and honest p-values."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from neuronlake.ingest.labelers import log_products, significance, similarity
from neuronlake.ingest.labelers.clip_dissect import score_units
from neuronlake.ingest.labelers.settings import Scoring
from neuronlake.ingest.labelers.significance import PseudoUnits, p_values, q_values
from neuronlake.ingest.labelers.similarity import METHODS, Cosines, top_image_indices
from tiny import ROOT

GOLDEN = ROOT / "tests" / "golden" / "similarity.npz"
RANK_BASED = ("soft_wpmi", "wpmi")
# The reference's scores near -430 are multiples of 2^-15 and carry their rounding.
REFERENCE_ROUNDING = 1e-4


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    """Inputs and what the reference returned; unit 0 is dead."""
    with np.load(GOLDEN) as file:
        tensors = {name: torch.from_numpy(file[name]) for name in file.files}
    for name in ("image_embeddings", "text_embeddings"):
        tensors[name] = normalize(tensors[name], dim=1)
    return tensors


def inputs(images: int, concepts: int, units: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Random embeddings of length 1 in 16 dimensions, and ReLU-like activations."""
    generator = torch.Generator().manual_seed(seed)
    image_features = normalize(torch.randn(images, 16, generator=generator), dim=1)
    text_features = normalize(torch.randn(concepts, 16, generator=generator), dim=1)
    return image_features, text_features, torch.randn(images, units, generator=generator).relu()


def scores(golden: dict[str, Tensor], method: str) -> tuple[Tensor, Tensor]:
    """Ours and the reference's, of the live units.

    The reference fills the top images of a dead unit in an arbitrary order, which reaches the other units' scores
    through the layer's prior. So unit 0 gets tiny activations here that put its images in the order seen there.
    """
    activations = golden["activations"].clone()
    order = golden["dead_unit_top_28" if method == "wpmi" else "dead_unit_top_100"].long()
    if method in RANK_BASED:
        activations[order, 0] = torch.linspace(1e-3, 1e-4, len(order))
    ours = METHODS[method](Cosines(golden["image_embeddings"], golden["text_embeddings"]), activations)
    return ours[1:], golden[method][1:]


@pytest.mark.parametrize("method", METHODS)
def test_the_best_concepts_are_the_references(golden: dict[str, Tensor], method: str) -> None:
    ours, reference = scores(golden, method)
    chosen = reference.gather(1, ours.argmax(dim=1, keepdim=True)).squeeze(1)
    assert (reference.amax(dim=1) - chosen <= REFERENCE_ROUNDING).all()
    assert (ours.argmax(dim=1) == reference.argmax(dim=1)).float().mean() > 0.97


@pytest.mark.parametrize(
    ("method", "tolerance"),
    [("soft_wpmi", 1e-3), ("wpmi", 1e-3), ("cos_similarity", 1e-5), ("cos_similarity_cubed", 1e-5)],
)
def test_the_values_are_the_references(golden: dict[str, Tensor], method: str, tolerance: float) -> None:
    ours, reference = scores(golden, method)
    torch.testing.assert_close(ours, reference, rtol=0, atol=tolerance)


def test_rank_reorder_differs_from_the_reference_by_its_sampled_baseline_alone(golden: dict[str, Tensor]) -> None:
    ours, reference = scores(golden, "rank_reorder")
    factor = reference / ours
    torch.testing.assert_close(factor, factor.mean(dim=1, keepdim=True).expand_as(factor), rtol=1e-4, atol=0)
    # the reference's five permutations scatter around the exact expectation
    assert (factor.mean(dim=1) - 1).abs().max() < 0.5
    assert abs(factor.mean() - 1) < 0.1


def soft_wpmi_in_double(
    image_features: Tensor, text_features: Tensor, activations: Tensor, k: int, lam: float
) -> Tensor:
    """The published formula, term by term, in float64."""
    probability = (10 * image_features.double() @ text_features.double().T).softmax(dim=1)
    p = 0.998 - torch.arange(k).double() / k * (0.998 - 0.97)
    top = activations.topk(k, dim=0).indices
    evidence = (1 + p[:, None, None] * (probability[top] - 1) + 1e-7).log().sum(dim=0)
    return evidence - lam * (evidence.logsumexp(dim=0) - np.log(activations.shape[1]))


@pytest.mark.parametrize("lam", [1.0, 0.7])
def test_soft_wpmi_keeps_the_digits_that_float32_sums_lose(lam: float) -> None:
    image_features, text_features, _ = inputs(500, 3000, 1)
    activations = torch.randn(500, 30, generator=torch.Generator().manual_seed(5))
    exact = soft_wpmi_in_double(image_features, text_features, activations, 100, lam)
    ours = METHODS["soft_wpmi"](Cosines(image_features, text_features), activations, lam=lam).double()
    assert (ours - exact).abs().max() < (1e-5 if lam == 1.0 else 1e-4)
    assert torch.equal(ours.argmax(dim=1), exact.argmax(dim=1))


@pytest.mark.parametrize("method", METHODS)
@given(seed=st.integers(0, 1000))
@settings(max_examples=8, deadline=None)
def test_permuting_images_units_or_concepts_permutes_the_result(method: str, seed: int) -> None:
    image_features, text_features, _ = inputs(60, 20, 1, seed)
    generator = torch.Generator().manual_seed(seed)
    activations = torch.randn(60, 9, generator=generator)
    images, concepts, units = (torch.randperm(size, generator=generator) for size in (60, 20, 9))
    function = METHODS[method]
    plain = function(Cosines(image_features, text_features), activations)
    permuted = function(Cosines(image_features[images], text_features[concepts]), activations[images][:, units])
    torch.testing.assert_close(permuted, plain[units][:, concepts], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", RANK_BASED)
@given(exponents=st.lists(st.integers(-20, 20), min_size=9, max_size=9))
@settings(max_examples=10, deadline=None)
def test_rescaling_a_unit_changes_no_rank_based_score(method: str, exponents: list[int]) -> None:
    image_features, text_features, activations = inputs(80, 15, 9)
    # powers of two, so that the rescaling itself rounds nothing
    rescaled = activations * torch.tensor([2.0**exponent for exponent in exponents])
    plain = METHODS[method](Cosines(image_features, text_features), activations)
    assert torch.equal(METHODS[method](Cosines(image_features, text_features), rescaled), plain)


@pytest.mark.parametrize("method", METHODS)
def test_the_size_of_the_blocks_changes_nothing(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image_features, text_features, activations = inputs(90, 300, 12)
    pseudo = PseudoUnits(activations, 7, seed=2)
    whole = METHODS[method](Cosines(image_features, text_features), activations, pseudo)
    monkeypatch.setitem(similarity._BLOCK_BYTES, "cpu", 1)
    monkeypatch.setattr(similarity, "_NARROWEST_BLOCK", 16)
    monkeypatch.setattr(similarity, "_ROWS_AT_ONCE", 32)
    monkeypatch.setattr(similarity, "_SORTED_AT_ONCE", 90)
    monkeypatch.setattr(similarity, "_TOP_AT_ONCE", 1)
    monkeypatch.setattr(significance, "_BATCH_BYTES", 3 * 4 * 90)
    kept = METHODS[method](Cosines(image_features, text_features), activations, pseudo)
    monkeypatch.setitem(similarity._KEPT_BYTES, "cpu", 1)
    blocked = METHODS[method](Cosines(image_features, text_features), activations, pseudo)
    torch.testing.assert_close(kept, whole, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(blocked, whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", RANK_BASED)
def test_without_a_compiler_the_scores_are_the_same(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image_features, text_features, activations = inputs(300, 100, 12)
    compiled = METHODS[method](Cosines(image_features, text_features), activations)
    assert log_products._compiled() is not None
    monkeypatch.setattr(log_products, "_compiled", lambda: None)
    plain = METHODS[method](Cosines(image_features, text_features), activations)
    torch.testing.assert_close(plain, compiled, rtol=1e-5, atol=1e-5)


def test_the_compiled_loop_leaves_torch_its_threads() -> None:
    code = (
        "import torch; from neuronlake.ingest.labelers.log_products import log_of_products; torch.set_num_threads(1); "
        "log_of_products(torch.ones(3, 2), torch.tensor([[0, 1]]), [0.5, 0.1], 1.0); print(torch.get_num_threads())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["1"], found.stderr


@pytest.mark.parametrize(("offset", "ranks"), [(1.0, 1), (1.0, 27), (1e-7, 28), (1e-7, 3)])
def test_logs_of_products_do_not_overflow_or_underflow(offset: float, ranks: int) -> None:
    generator = torch.Generator().manual_seed(ranks)
    values = torch.rand(50, 33, generator=generator) ** 8  # from nearly 0 to nearly 1
    values[0], values[1] = 0.0, 1.0
    top = torch.randint(50, (5, ranks), generator=generator)
    weights = torch.linspace(1e7, 0.5, ranks).tolist() if offset == 1.0 else [1.0] * ranks
    found = log_products.log_of_products(values, top, weights, offset).double()
    factors = offset + torch.tensor(weights).double()[None, :, None] * values[top].double()
    torch.testing.assert_close(found, factors.log().sum(dim=1), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_pseudo_units_do_not_change_the_layers_scores(method: str) -> None:
    image_features, text_features, activations = inputs(90, 30, 12)
    alone = METHODS[method](Cosines(image_features, text_features), activations)
    pseudo = PseudoUnits(activations, 20, seed=1)
    together = METHODS[method](Cosines(image_features, text_features), activations, pseudo)
    torch.testing.assert_close(together[:12], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("images", "concepts"), [(3, 5), (50, 1), (1, 1)])
def test_few_images_or_a_single_concept_give_finite_scores(method: str, images: int, concepts: int) -> None:
    image_features, text_features, _ = inputs(images, concepts, 1)
    activations = torch.rand(images, 4, generator=torch.Generator().manual_seed(0))
    result = METHODS[method](Cosines(image_features, text_features), activations)
    assert result.shape == (4, concepts)
    assert result.isfinite().all()


@pytest.mark.parametrize("method", METHODS)
def test_zero_embeddings_and_constant_activations_give_finite_scores(method: str) -> None:
    image_features, text_features, activations = inputs(50, 6, 4)
    image_features[3] = 0
    text_features[2] = 0
    activations[:, 1] = 0
    assert METHODS[method](Cosines(image_features, text_features), activations).isfinite().all()


@pytest.mark.parametrize("method", METHODS)
def test_activations_near_the_end_of_float32_are_labelled_as_smaller_ones_are(method: str) -> None:
    image_features, text_features, activations = inputs(images=60, concepts=7, units=5)
    cosines = Cosines(image_features, text_features)
    scoring = Scoring(method, {}, ("{}",), null_draws=20, seed=0, keep_concepts=None)
    labels = score_units(cosines, activations, scoring)
    huge = score_units(cosines, activations * 2.0**120, scoring)
    assert labels.matrix is not None
    assert huge.matrix is not None
    assert np.isfinite(huge.matrix).all()
    assert huge.terms.tolist() == labels.terms.tolist()
    np.testing.assert_allclose(huge.matrix, labels.matrix, rtol=1e-4, atol=1e-4)


def test_a_negative_mean_similarity_comes_last_in_rank_reorder() -> None:
    image_features, _, activations = inputs(100, 1, 3)
    near = image_features.mean(dim=0)
    result = METHODS["rank_reorder"](Cosines(image_features, normalize(torch.stack([near, -near]), dim=1)), activations)
    assert result.isfinite().all()
    assert (result[:, 0] > result[:, 1]).all()


def test_top_images_are_the_highest_and_ties_stand_in_the_order_of_the_images() -> None:
    activations = torch.tensor([[0.0, -1.0], [2.0, -2.0], [0.0, -1.0], [2.0, -0.0], [-3.0, 0.0]])
    assert top_image_indices(activations, 4).tolist() == [[1, 3, 0, 2], [3, 4, 0, 2]]
    assert top_image_indices(activations, 99).shape == (2, 5)


def test_soft_wpmi_of_two_images_is_what_a_hand_computes() -> None:
    # one image is all concept 0, the other all concept 1; a = 10 makes P nearly 1 and 0
    eye = torch.eye(2)
    result = METHODS["soft_wpmi"](Cosines(eye, eye), torch.tensor([[1.0, 0.0], [0.0, 1.0]]), top_k=1)
    high, low = 1 / (1 + np.exp(-10)), 1 / (1 + np.exp(10))
    evidence = np.log([1 + 0.998 * (high - 1) + 1e-7, 1 + 0.998 * (low - 1) + 1e-7])
    prior = np.log(np.exp(evidence).mean())
    expected = torch.tensor([[evidence[0], evidence[1]], [evidence[1], evidence[0]]] - prior).float()
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


def test_each_pseudo_unit_is_some_unit_on_shuffled_images() -> None:
    activations = torch.arange(30.0).view(10, 3) ** 2
    (drawn,) = PseudoUnits(activations, 40, seed=5).batches()
    assert drawn.shape == (10, 40)
    columns = {tuple(column.sort().values.tolist()) for column in activations.T}
    assert {tuple(column.sort().values.tolist()) for column in drawn.T} == columns
    assert len({tuple(column.tolist()) for column in drawn.T}) == 40


def test_p_values_count_null_scores_at_least_as_high() -> None:
    null = torch.tensor([1.0, 2.0, 2.0, 3.0])
    assert p_values(torch.tensor([0.0, 2.0, 2.5, 9.0]), null).tolist() == [1.0, 4 / 5, 2 / 5, 1 / 5]


def test_q_values_are_those_of_benjamini_and_hochberg() -> None:
    p = torch.tensor([0.01, 0.04, 0.03, 0.005], dtype=torch.float64)
    # sorted 0.005 0.01 0.03 0.04, times 4 / rank: 0.02 0.02 0.04 0.04
    torch.testing.assert_close(q_values(p), torch.tensor([0.02, 0.04, 0.04, 0.02], dtype=torch.float64))
    assert q_values(torch.tensor([0.9, 1.0], dtype=torch.float64)).tolist() == [1.0, 1.0]


@given(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=40))
def test_q_values_keep_the_order_of_p_and_never_fall_below_it(values: list[float]) -> None:
    p = torch.tensor(values, dtype=torch.float64)
    q = q_values(p)
    assert (q >= p - 1e-12).all()
    assert (q <= 1).all()
    assert (q[p.argsort()].diff() >= -1e-12).all()


def significant(
    method: Callable[..., Tensor], features: tuple[Tensor, Tensor], activations: Tensor, draws: int
) -> Tensor:
    """Whether each unit's label is better than chance: q < 0.05."""
    pseudo = PseudoUnits(activations, draws, seed=3)
    units = activations.shape[1]
    best = method(Cosines(*features), activations, pseudo).amax(dim=1)
    return q_values(p_values(best[:units], best[units:])) < 0.05


@pytest.mark.parametrize("method", METHODS)
def test_units_of_pure_noise_are_rarely_called_significant(method: str) -> None:
    image_features, text_features, _ = inputs(400, 40, 1, seed=7)
    found = 0
    for seed in range(5):
        noise = torch.rand(400, 60, generator=torch.Generator().manual_seed(seed))
        found += int(significant(METHODS[method], (image_features, text_features), noise, 400).any())
    # q bounds the chance that a layer of noise alone has any finding: 0.05 each, so 3 of 5 has p = 0.001
    assert found <= 2


@pytest.mark.parametrize("method", METHODS)
def test_planted_units_are_found_and_few_others(method: str) -> None:
    parameters = {"top_k": 20} if method == "soft_wpmi" else {}

    def function(cosines: Cosines, *activations: Tensor) -> Tensor:
        return METHODS[method](cosines, *activations, **parameters)

    right = wrong = 0
    for seed in range(5):
        image_features, text_features, _ = inputs(400, 40, 1, seed=seed)
        generator = torch.Generator().manual_seed(100 + seed)
        planted = (image_features @ text_features[:20].T) + 0.05 * torch.randn(400, 20, generator=generator)
        noise = torch.rand(400, 40, generator=generator)
        found = significant(function, (image_features, text_features), torch.cat([planted, noise], dim=1), 500)
        right += int(found[:20].sum())
        wrong += int(found[20:].sum())
    assert right > 0.7 * 100
    assert wrong < 0.1 * (right + wrong)
