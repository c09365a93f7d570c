"""torch's own fake tensors, which know by the operations' real rules on which device a result lies.

They hold no values, so what looks at values cannot run on them: see the other files for that.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from neuronlake.ingest.judging.confidence import confidences
from neuronlake.ingest.judging.fidelity import overlaps, scaled
from neuronlake.ingest.judging.measures import average_precisions as precisions_of_halves
from neuronlake.ingest.judging.measures import correlations
from neuronlake.ingest.labelers.log_products import log_of_products
from neuronlake.ingest.labelers.similarity import METHODS, Cosines, top_image_indices
from neuronlake.ingest.layers.pooling import pool
from neuronlake.ingest.machines.extraction import top_rows
from neuronlake.ingest.machines.feeding.staging import packed
from neuronlake.ingest.networks.preprocessing import Preprocessing

CUDA = torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def fakes() -> Generator[None]:
    with FakeTensorMode():
        yield


def there(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(*shape, dtype=dtype, device="cuda")


def test_a_fake_fails_on_a_mix() -> None:
    with pytest.raises(RuntimeError, match=r"two different devices|same device"):
        torch.add(there(3), torch.ones(3))


COMPUTED: dict[str, Callable[[], Tensor]] = {
    **{
        name: lambda name=name: METHODS[name](Cosines(there(40, 6), there(300, 6)), there(40, 5))
        for name in ("rank_reorder", "cos_similarity", "cos_similarity_cubed")
    },
    "top images": lambda: top_image_indices(there(40, 5), 7),
    "top rows": lambda: top_rows(there(40, 5)),
    "logarithms of products": lambda: log_of_products(there(40, 9), there(5, 2, dtype=torch.int64), [0.5, 0.1], 1e-7),
    "scaled columns": lambda: scaled(there(40, 5)),
    "overlaps": lambda: overlaps(there(40, 5, dtype=torch.bool), there(40, 5, dtype=torch.bool))[1],
    "correlations of halves": lambda: correlations(there(40, 5), there(40, 5)),
    "precisions of halves": lambda: precisions_of_halves(there(40, 5), there(40, 5, dtype=torch.bool)),
    "confidences": lambda: confidences({"cubed_correlation": there(5), "stability": there(5)}, 100),
    "pooled maps": lambda: pool(there(4, 6, 5, 5), "mean").values,
    "places of peaks": lambda: peaks(there(4, 6, 5, 5)),
    "pooled tokens": lambda: pool(there(4, 26, 6), "patches").values,
    "normalised pixels": lambda: Preprocessing(8, 8, (0.5,) * 3, (0.5,) * 3).normalise(
        there(2, 3, 8, 8, dtype=torch.uint8)
    ),
    "packed tensors": lambda: packed([there(3, 2), there(4, dtype=torch.int64)]),
}


def peaks(maps: Tensor) -> Tensor:
    found = pool(maps, "max").peaks
    assert found is not None
    return found


@pytest.mark.parametrize("compute", COMPUTED.values(), ids=COMPUTED)
def test_what_is_computed_of_tensors_on_a_device_lies_there(compute: Callable[[], Tensor]) -> None:
    assert compute().device == CUDA
