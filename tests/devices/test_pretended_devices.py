"""The pretended devices fail where a real one would, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from pretended_devices import HiddenWaitError, PretendedDevice, WrongDeviceError, pretended
from torch import Tensor, nn


def test_values_are_real_and_stay_where_they_are(gpu: PretendedDevice, device: torch.device) -> None:
    values = torch.tensor([3.0, 1.0, 2.0], device=device)
    doubled = (values * 2 + torch.ones(3, device=device)).sort().values
    assert doubled.device == device
    assert values.new_zeros(2).device == device
    assert doubled.cpu().device.type == "cpu"
    assert doubled.tolist() == doubled.cpu().numpy().tolist() == [3, 5, 7]
    assert int(doubled.sum()) == 15


def test_changes_in_place_and_through_views_arrive(gpu: PretendedDevice, device: torch.device) -> None:
    values = torch.zeros(2, 3, device=device)
    values[1].add_(2)[0] = 5
    values[:, 2:].fill_(7)
    torch.mul(values[1], 2, out=values[0])
    assert values.tolist() == [[10, 4, 14], [5, 2, 7]]


def test_a_network_that_moves_there_moves_as_a_whole_and_comes_back(gpu: PretendedDevice, device: torch.device) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)).eval()
    images = torch.randn(2, 3, 8, 8)
    with torch.inference_mode():
        expected = network(images)
        there = network.to(device)(images.to(device))
        assert there.device == device
        torch.testing.assert_close(there.cpu(), expected)
        torch.testing.assert_close(network.to("cpu")(images), expected)


MIXES: dict[str, Callable[[Tensor], object]] = {
    "a sum": lambda x: x + torch.ones(2),
    "a product of matrices": lambda x: x[None] @ torch.ones(2, 2),
    "a number where none is taken": lambda x: torch.stack([x[0], torch.tensor(1.0)]),
    "concatenation": lambda x: torch.cat([x, torch.ones(2)]),
    "a choice": lambda x: torch.where(x > 0, x, torch.ones(2)),
    "rows by index_select": lambda x: x.index_select(0, torch.tensor([0])),
    "gathered places": lambda x: x.gather(0, torch.tensor([0])),
    "the CPU's rows by the device's numbers": lambda x: torch.ones(2)[x.long()],
    "written into the CPU's": lambda x: torch.ones(2).add_(x),
    "a number of the CPU's added to": lambda x: torch.tensor(1.0).add_(x[0]),
    "written into the CPU's as out": lambda x: torch.add(x, x, out=torch.empty(2)),
    "written at places": lambda x: x.index_put_((torch.tensor([0], device=x.device),), torch.ones(1)),
}


@pytest.mark.parametrize("mix", MIXES.values(), ids=MIXES)
def test_tensors_of_two_devices_do_not_meet(
    gpu: PretendedDevice, device: torch.device, mix: Callable[[Tensor], object]
) -> None:
    with pytest.raises(WrongDeviceError):
        mix(torch.ones(2, device=device))


ALLOWED: dict[str, Callable[[Tensor], Tensor]] = {
    "a number beside": lambda x: x * torch.tensor(2.0),
    "a number chosen": lambda x: torch.where(x > 0, x, torch.tensor(0.0)),
    "places on the CPU": lambda x: x[torch.tensor([0])],
    "a copy into the CPU's": lambda x: torch.empty(2).copy_(x),
}


@pytest.mark.parametrize("use", ALLOWED.values(), ids=ALLOWED)
def test_what_torch_allows_between_two_devices_works(
    gpu: PretendedDevice, device: torch.device, use: Callable[[Tensor], Tensor]
) -> None:
    values = torch.tensor([1.0, 3.0])
    assert use(values.to(device)).tolist() == use(values).tolist()


def test_a_tensor_of_a_device_is_no_array(gpu: PretendedDevice, device: torch.device) -> None:
    with pytest.raises(WrongDeviceError, match="numpy"):
        torch.ones(2, device=device).numpy()


WAITS: dict[str, Callable[[Tensor], object]] = {
    "item": lambda x: x.sum().item(),
    "bool": lambda x: bool(x.any()),
    "int": lambda x: int(x[0]),
    "nonzero": lambda x: x.nonzero(),
    "a mask": lambda x: x[x > 0],
    "written by a mask": lambda x: x.__setitem__(x > 0, torch.ones(2, device=x.device)),
    "masked_select": lambda x: x.masked_select(x > 0),
    "unique": torch.unique,
    "counts": lambda x: x.int().bincount(),
    "repetitions": lambda x: torch.repeat_interleave(x, x.long()),
    "equality": lambda x: torch.equal(x, x),
    "to the CPU": lambda x: x.cpu(),
    "a list": lambda x: str(x.tolist()),
    "into the CPU's": lambda x: torch.empty(2).copy_(x),
    "places on the CPU": lambda x: x[torch.tensor([0])],
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_what_waits_for_the_device_fails_where_nothing_may(
    gpu: PretendedDevice, device: torch.device, wait: Callable[[Tensor], object]
) -> None:
    values = torch.ones(2, device=device)
    wait(values)
    with gpu.never_waiting(), pytest.raises(HiddenWaitError):
        wait(values)


def test_a_blocking_copy_to_a_gpu_waits_and_one_from_pinned_memory_does_not() -> None:
    with pretended("cuda") as gpu, gpu.never_waiting():
        assert torch.ones(2, pin_memory=True).to("cuda", non_blocking=True).device == gpu.device
        for copy in (
            lambda: torch.ones(3).to("cuda"),
            lambda: torch.ones(3).to("cuda", non_blocking=True),
            lambda: torch.tensor([1.0, 2.0], device="cuda"),
        ):
            with pytest.raises(HiddenWaitError, match="from cpu to cuda:0"):
                copy()


def test_what_one_stream_makes_another_uses_when_it_has_waited_for_it() -> None:
    with pretended("cuda"):
        side, main = torch.cuda.Stream(), torch.cuda.current_stream()
        staged = torch.ones(2, pin_memory=True)
        with torch.cuda.stream(side):
            there = staged.to("cuda", non_blocking=True)
        with pytest.raises(WrongDeviceError, match="another stream"):
            there.add(1)
        main.wait_stream(side)
        assert there.add(1).tolist() == [2, 2]
        with torch.cuda.stream(side):
            there.zero_()
        with pytest.raises(WrongDeviceError, match="another stream"):
            there.add(1)


def test_what_stays_on_the_device_waits_for_nothing(gpu: PretendedDevice, device: torch.device) -> None:
    values = torch.ones(2, 3, device=device)
    with gpu.never_waiting():
        values[values > 0] = 2  # torch makes a masked_fill of it
        values[torch.arange(2, device=device), 0] += torch.zeros(2, device=device)
        values.to(device).half().topk(2, dim=1)
        torch.cat([values, values]).clamp_(0, 1)


def test_mps_knows_no_float64_and_sorts_no_int64() -> None:
    with pretended("mps"):
        whole = torch.arange(3, device="mps")
        for use in (
            whole.double,
            lambda: torch.zeros(2, dtype=torch.float64, device="mps"),
            lambda: torch.ones(2, dtype=torch.float64).to("mps"),
            whole.sort,
            lambda: whole.topk(2),
            whole.argsort,
        ):
            with pytest.raises(WrongDeviceError, match=r"float64|int64"):
                use()
        for unknown in (torch.mode, torch.special.log_ndtr):  # torch has no code for these there
            with pytest.raises(WrongDeviceError, match=unknown.__name__):
                unknown(whole.float())
        assert whole.float().std().tolist() == 1
        assert whole.float().sort(descending=True).values.tolist() == [2, 1, 0]
    with pretended("cuda"):
        assert torch.arange(3, device="cuda").double().sort().values.tolist() == [0, 1, 2]


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_autocast_reduces_what_it_would_on_a_gpu(precision: torch.dtype) -> None:
    with pretended("cuda"), torch.autocast("cuda", dtype=precision), torch.inference_mode():
        found = nn.Linear(3, 2).to("cuda")(torch.ones(1, 3, device="cuda"))
        assert found.dtype == precision
        assert found.softmax(dim=1).dtype == torch.float32
