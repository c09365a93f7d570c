"""The connection to a Ray cluster, how many workers it gets, and what their errors mean; needs the extra `ray`."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

from neuronlake import NeuronlakeError
from neuronlake.sql.words import first_line

try:
    import ray as ray_module  # deptry: ignore[DEP004]  of the extra `ray`
    from ray.exceptions import RayError, RayTaskError  # deptry: ignore[DEP004]  of the extra `ray`
except ImportError as error:
    raise NeuronlakeError(
        "--engine ray needs the package ray; install it with: pip install 'neuronlake[ray]'"
    ) from error

ray: Any = ray_module  # its decorators are typed for literals alone
_CORES_PER_WORKER = 2
_SECONDS_TO_ANSWER = 5


class ClusterError(NeuronlakeError):
    """The cluster cannot do what is asked of it."""


class Cluster:
    """A connection to the cluster, ended where it was begun here.

    Raises:
        ClusterError: on entering, when there is no cluster at the address.
    """

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._is_ours = not ray.is_initialized()

    def __enter__(self) -> None:
        if self._is_ours:
            try:
                _check_listening(self._address)
                ray.init(address=self._address, include_dashboard=False, log_to_driver=False, logging_level="error")
            except (OSError, ValueError) as error:
                raise ClusterError(f"there is no Ray cluster at {self._address}: {first_line(error)}") from error

    def __exit__(self, *_details: object) -> None:
        if self._is_ours:
            ray.shutdown()


def _check_listening(address: str | None) -> None:
    """Raise OSError where nobody answers at HOST:PORT, for which Ray itself would wait many minutes."""
    host, separator, port = (address or "").rpartition(":")
    if separator and port.isdigit() and "//" not in host:
        socket.create_connection((host, int(port)), timeout=_SECONDS_TO_ANSWER).close()


@dataclass(frozen=True)
class Workers:
    """How the cluster's machines are shared out.

    Attributes:
        count: how many work at once.
        threads: of each.
        needs: of each, as Ray's decorators take it.
    """

    count: int
    threads: int
    needs: dict[str, int]


def share_out(device: str, wanted: int | None) -> Workers:
    """One worker for each GPU of the connected cluster, or for each pair of cores, unless a number is wanted.

    Raises:
        ClusterError: so many have no room; Ray would let them wait for ever.
    """
    resources = ray.cluster_resources()
    cores, gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
    on_gpu = gpus > 0 and device != "cpu"
    count = wanted or (gpus if on_gpu else max(1, cores // _CORES_PER_WORKER))
    if count > (room := gpus if on_gpu else cores):
        raise ClusterError(
            f"the cluster has {room} {'GPUs' if on_gpu else 'cores'}, which is room for as many workers and not for "
            f"{count}; give a smaller --workers"
        )
    threads = max(1, min(_CORES_PER_WORKER, cores // count))
    return Workers(count, threads, {"num_gpus": 1} if on_gpu else {"num_cpus": threads})


def result(reference: Any) -> Any:
    """Wait for what a worker gives; what it raised comes as if it were raised here.

    Raises:
        NeuronlakeError: what the worker says is wrong.
        ClusterError: it could not start, or was lost too often.
    """
    try:
        return ray.get(reference)
    except RayTaskError as error:
        cause: Any = error.cause
        if isinstance(cause, NeuronlakeError):
            raise cause from error
        raise
    except RayError as error:
        cause = getattr(error, "cause", None) or error
        raise ClusterError(f"a worker of the cluster failed: {str(cause).strip().splitlines()[-1]}") from error
