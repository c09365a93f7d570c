"""A whole ingest beside its limit, and beside CLIP-Dissect: how fast, how much memory, and how both grow.

    python benchmarks/ingest.py
    python benchmarks/ingest.py --reference PATH_TO_CLIP_DISSECT
    python benchmarks/ingest.py --device cuda --images 1000 8000
    python benchmarks/ingest.py --growth none --ray

Speed is measured with two ResNet-18s and CLIP ViT-B/16 on photographs. The limit is the slower of (a) the forward
passes of all networks on tensors that lie on the device already, and (b) decoding alone; both use all cores when
alone. (c) is `cli ingest` as a user types it; (d) is CLIP-Dissect's own `utils.save_activations` for the same models
and layers. Rates of (c) and (d) are of the images beyond the smaller number, so that the time to load Python and the
networks, which does not grow, is left out.

Growth is measured with light networks on small pictures, which lie there before the clock starts, because what it
shows does not depend on how heavy the networks are: seconds should grow no faster than the images, and memory not
at all. (a) holds one batch, (b) two batches of decoded images, (c) two chunks of results; (d) keeps all activations
and embeddings of a model until the end.

--ray extracts the same chunks of small pictures with one worker on one core and with two workers on two; rates are
again of the images beyond a smaller number. Each stage is a process of its own; all weights are random.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from ingest_inputs import (
    PHOTOGRAPH,
    SMALL_PICTURE,
    Networks,
    light_networks,
    real_networks,
    write_concepts,
    write_photographs,
)
from measured_process import Run, run

from neuronlake.ingest.devices import resolve_device

HERE = Path(__file__).parent
FORWARD, DECODING, INGEST, REFERENCE = "(a) forward passes", "(b) decoding", "(c) cli ingest", "(d) CLIP-Dissect"
# two chunks and eight, so that both numbers of workers share them evenly
_RAY_IMAGES = (512, 2048)
# Light networks take more threads' meetings than arithmetic: threads that spin while they wait for one whose core
# does something else would make the machine's other work what is measured.
_WAIT_ASLEEP = {"OMP_WAIT_POLICY": "passive"}


@dataclass(frozen=True)
class Bench:
    """Where measurements are made, with what.

    Attributes:
        work: folder for what is written.
        networks: that look at the images.
        device: of the networks.
        clone: of CLIP-Dissect, if it is measured too.
        environment: of all processes, beyond this one's.
    """

    work: Path
    networks: Networks
    device: torch.device
    clone: Path | None
    environment: Mapping[str, str] = field(default_factory=dict)

    def forward(self, images: int, precision: str = "float32") -> Run:
        """(a): so many images."""
        return self._stage("forward", str(self.device), str(images), precision)

    def decode(self, folder: Path, decoder: str = "pillow") -> Run:
        """(b): the images in a folder."""
        return self._stage("decode", str(self.device), str(folder), decoder)

    def ingest(self, folder: Path, *options: str, warehouse: Path | None = None) -> Run:
        """(c): the command line with options beyond the usual ones, into a new warehouse."""
        models = [argument for name in self.networks.models for argument in ("--model", name)]
        return run(
            [
                *(sys.executable, "-m", "neuronlake.cli", "ingest", *models),
                *("--layers", ",".join(self.networks.layers), "--encoder", self.networks.encoder),
                *("--probe", str(folder), "--concepts", str(write_concepts(self.work))),
                *(["--random-weights"] if self.networks.are_by_name else []),
                *("--device", str(self.device), "--warehouse", str(warehouse or self.new_warehouse())),
                *options,
            ],
            self.environment,
        )

    def reference(self, folder: Path) -> Run:
        """(d): CLIP-Dissect's save_activations for each model, which reads the images anew each time."""
        saved = tempfile.mkdtemp(dir=self.work)
        script = str(HERE / "clip_dissect_run.py")
        return run(
            [
                *(sys.executable, script, str(self.clone), self.networks.as_json()),
                *(str(folder), self.device.type, saved),
            ],
            self.environment,
        )

    def extract_on_ray(self, folder: Path, workers: int) -> Run:
        """Extraction by so many workers with one core each."""
        concepts = str(write_concepts(self.work))
        return self._stage("ray", str(workers), str(folder), concepts, str(self.new_warehouse()))

    def _stage(self, name: str, *arguments: str) -> Run:
        """A stage that is no command of its own."""
        command = [sys.executable, str(HERE / "ingest_stage.py"), name, self.networks.as_json(), *arguments]
        return run(command, self.environment)

    def new_warehouse(self) -> Path:
        """A file that is not there."""
        return Path(tempfile.mkdtemp(dir=self.work)) / "benchmark.duckdb"


def print_speed(bench: Bench, few: int, many: int) -> None:
    """Rates of all stages, as shares of the limit, and the memory of each."""
    small, large = (write_photographs(bench.work / f"photographs-{count}", count, PHOTOGRAPH) for count in (few, many))
    alone = {
        FORWARD: bench.forward(many),
        DECODING: bench.decode(large),
    }
    limit = min(each.said["rate"] for each in alone.values())
    for name, each in alone.items():
        print(f"{name:20} {each.said['rate']:8.2f} images/s  {memory_of(each)}", flush=True)
    ours = bench.ingest(small), bench.ingest(large)
    rate = rate_beyond(ours, few, many)
    print(f"{INGEST:20} {rate:8.2f} images/s  {memory_of(ours[1])}, {rate / limit:.0%} of the limit")
    if bench.clone:
        theirs = bench.reference(small), bench.reference(large)
        their_rate = rate_beyond(theirs, few, many)
        print(
            f"{REFERENCE:20} {their_rate:8.2f} images/s  {memory_of(theirs[1])}; "
            f"(c) is {rate / their_rate:.2f} times as fast"
        )


def memory_of(each: Run) -> str:
    """Of the host, and of the device where there is one."""
    return f"{each.memory / 1e9:.2f} GB" + (f" and {each.device / 1e9:.2f} GB on the device" if each.device else "")


def rate_beyond(runs: tuple[Run, Run], few: int, many: int) -> float:
    """Images a second of those that the larger run has more."""
    return (many - few) / (runs[1].seconds - runs[0].seconds)


def print_growth(bench: Bench, few: int, many: int) -> None:
    """Seconds and memory of each stage with few and with many images."""
    small, large = _small_pictures(bench, few, many)
    stages: dict[str, tuple[Callable[[], Run], Callable[[], Run]]] = {
        FORWARD: (lambda: bench.forward(few), lambda: bench.forward(many)),
        DECODING: (lambda: bench.decode(small), lambda: bench.decode(large)),
        INGEST: (lambda: bench.ingest(small), lambda: bench.ingest(large)),
    }
    if bench.clone:
        stages[REFERENCE] = (lambda: bench.reference(small), lambda: bench.reference(large))
    print(f"{f'{many / few:.3g} times the images':20}{few:>12} images{many:>15} images     seconds    memory")
    for name, measures in stages.items():
        runs = [measure() for measure in measures]
        seconds = [_seconds(name, each) for each in runs]
        cells = [f"{s:8.1f} s {each.memory / 1e9:5.2f} GB" for s, each in zip(seconds, runs, strict=True)]
        growth = f"x {seconds[1] / seconds[0]:5.2f}   x {runs[1].memory / runs[0].memory:5.2f}"
        print(f"{name:20} {'    '.join(cells)}     {growth}", flush=True)


def _small_pictures(bench: Bench, *counts: int) -> list[Path]:
    """Folders with so many small JPEG files each."""
    return [write_photographs(Path(tempfile.mkdtemp(dir=bench.work)), count, SMALL_PICTURE) for count in counts]


def _seconds(name: str, each: Run) -> float:
    """Of the work itself for (a) and (b); of the whole process, its start included, for what users start."""
    return each.said["seconds"] if name in (FORWARD, DECODING) else each.seconds


def print_ray(bench: Bench) -> None:
    """Rates of one and of two workers."""
    few, many = _RAY_IMAGES
    folders = _small_pictures(bench, few, many)
    rates: list[float] = []
    for workers in (1, 2):
        seconds = [bench.extract_on_ray(folder, workers).said["seconds"] for folder in folders]
        rates.append((many - few) / (seconds[1] - seconds[0]))
        print(f"Ray, workers with 1 core each: {workers}  {rates[-1]:8.2f} images/s", flush=True)
    print(f"two workers are {rates[1] / rates[0]:.2f} times as fast as one")


def _counts(text: str) -> tuple[int, int] | None:
    """Two numbers of images, or None where there is to be no measurement."""
    if text == "none":
        return None
    few, many = sorted(int(part) for part in text.split(","))
    return few, many


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, help="a clone of CLIP-Dissect")
    parser.add_argument(
        "--images", type=int, nargs=2, help="a smaller and a larger number, for the speed; 0 0 for none"
    )
    parser.add_argument("--growth", type=_counts, default=(1000, 8000), help="two numbers with a comma, or none")
    parser.add_argument("--ray", action="store_true", help="one and two Ray workers on the small pictures")
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    device = resolve_device(chosen.device)
    few, many = chosen.images or ((64, 256) if device.type == "cpu" else (1000, 8000))
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        if many:
            print(f"Speed: {few} and {many} images of {PHOTOGRAPH[0]} x {PHOTOGRAPH[1]} pixels, {where}", flush=True)
            print_speed(Bench(work, real_networks(work / "encoder"), device, chosen.reference), few, many)
        light = Bench(work, light_networks(work / "light-encoder"), device, chosen.reference, _WAIT_ASLEEP)
        print(f"\nLight networks, JPEGs of {SMALL_PICTURE[0]} x {SMALL_PICTURE[1]} pixels", flush=True)
        if chosen.growth:
            print_growth(light, *chosen.growth)
        if chosen.ray:
            print_ray(light)


if __name__ == "__main__":
    main()
