"""On a GPU: is it right, and how fast; ends with a table for docs/scale.md.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --reference PATH_TO_CLIP_DISSECT --output table.md
    python benchmarks/gpu.py --device cpu --small

First comes the suite of `pytest -m cuda`: on the device all must be as on the CPU. Then, in processes of their own:

- forward passes of two ResNet-18s and CLIP ViT-B/16 alone, and decoding alone on all cores; of these the slower one is
  the limit of `cli ingest`, which is run as a user types it, in float32, in half the bits and with what `--also` adds.
  Rates are of the images that the larger of two runs has more, without the time to load Python and networks;
- CLIP-Dissect's own `save_activations` for the same networks and layers, on fewer images, and its own soft_wpmi on
  some of the units, with its time for all of them reckoned from those; where `--reference` names its clone;
- soft_wpmi of 100,000 images, 1,000 units and 20,000 concepts, beside the time in which the device copies as many
  bytes as must move: the cosines read once, the scores written once;
- how many confident labels of EfficientNet-Lite0 stay the same in bfloat16, on the images that the demo draws;
- batches on a device that was filled but for 2 GB.

It needs the extras `dev` and `demo`, makes all images itself, and is meant to take less than 8 minutes on an H100 with
16 cores, without `--reference` and `--also`. `--small` has everything small, light networks too, and shows only that
all of it runs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from gpu_measures import VARIANTS, Measures, Sizes, Table, variant
from ingest_inputs import light_networks, real_networks

from ingest import Bench
from neuronlake.ingest.devices import device_name, resolve_device
from neuronlake.ingest.machines.feeding.ahead import cores

ROOT = Path(__file__).resolve().parents[1]
FULL = Sizes(
    # both are decoded in processes
    ingested=(2_000, 20_000),
    forward=4_096,
    decoded=8_000,
    by_reference=(500, 2_000),
    scored=(100_000, 1_000, 20_000),
    demo=0,
    filled=512,
    free=2 * 10**9,
)
SMALL = Sizes(
    ingested=(16, 64),
    forward=64,
    decoded=64,
    by_reference=(16, 64),
    scored=(2_000, 50, 500),
    demo=12,
    filled=32,
    free=10**9,
)


@dataclass(frozen=True)
class Suite:
    """What became of the tests.

    Attributes:
        outcome: pytest's last line.
        failed: the tests that did, by name.
    """

    outcome: str
    failed: tuple[str, ...]


def run_suite(device: torch.device) -> Suite:
    """The tests for a CUDA device; on a CPU the same tests as a check of themselves."""
    chosen = ["-m", "cuda"] if device.type == "cuda" else ["-m", "not cuda and not slow", "tests/cuda"]
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider", *chosen]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines() or [done.stderr.strip()]
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n")
    failed = tuple(line.partition(" - ")[0] for line in lines if line.startswith(("FAILED", "ERROR")))
    return Suite(lines[-1].strip("= "), failed or ((lines[-1],) if done.returncode else ()))


def facts(device: torch.device) -> dict[str, str]:
    """What a reader must know of the machine."""
    found = {"device": device_name(device), "cores": str(cores())}
    if device.type == "cuda":
        of_device = torch.cuda.get_device_properties(device)
        found["memory"] = f"{of_device.total_memory / 1e9:.0f} GB"
        found["capability"] = f"{of_device.major}.{of_device.minor}"
        found["driver"] = _driver()
        found["CUDA"] = str(torch.version.cuda)
        found["cuDNN"] = str(torch.backends.cudnn.version())
    return {**found, "torch": torch.__version__}


def _driver() -> str:
    """Its version, as its own tool says."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()[0].strip()
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def measured(measures: Measures) -> Iterator[Table]:
    """All tables, one after the other; what one costs is said as it is done."""
    for measure in (measures.ingest, measures.soft_wpmi, measures.half_the_bits, measures.filled):
        started = time.perf_counter()
        table = measure()
        print(f"\n{table.text()}\n({time.perf_counter() - started:.0f} s)", flush=True)
        yield table


def main() -> None:
    """Print everything as it comes, and write the tables at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--reference", type=Path, help="a clone of CLIP-Dissect")
    parser.add_argument(
        "--also", action="append", default=[], metavar="OPTIONS", help="of cli ingest, as in --also='--decoders 0'"
    )
    parser.add_argument("--output", type=Path, help="a file for the tables; they are printed without it")
    parser.add_argument("--small", action="store_true", help="everything small, to try it")
    parser.add_argument("--no-suite", action="store_true", help="only the measurements")
    chosen = parser.parse_args()
    started = time.perf_counter()
    device = resolve_device(chosen.device)
    about = ", ".join(f"{name} {value}" for name, value in facts(device).items())
    print(about, flush=True)
    suite = None if chosen.no_suite else run_suite(device)
    if suite:
        print(f"correctness: {suite.outcome} ({time.perf_counter() - started:.0f} s)", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        networks = (light_networks if chosen.small else real_networks)(work / "encoder")
        bench = Bench(work, networks, device, chosen.reference)
        variants = (*VARIANTS, *map(variant, chosen.also))
        tables = list(measured(Measures(bench, SMALL if chosen.small else FULL, variants)))
    correct = [f"Correctness, `pytest -m cuda`: {suite.outcome}."] if suite else []
    small = ["Everything small: these figures say nothing."] if chosen.small else []
    written = "\n\n".join(
        [f"Measured with `benchmarks/gpu.py`: {about}.", *correct, *small, *(t.text() for t in tables)]
    )
    if chosen.output:
        chosen.output.write_text(f"{written}\n")
    else:
        print(f"\n{written}")
    print(f"\n{time.perf_counter() - started:.0f} s in all")
    if suite and suite.failed:
        raise SystemExit("\n".join(suite.failed))


if __name__ == "__main__":
    main()
