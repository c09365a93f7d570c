"""The measurements of gpu.py, each of which gives a table."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from ingest_inputs import PHOTOGRAPH, write_photographs_of_all_sizes
from measured_process import Run, run

from ingest import HERE, Bench, rate_beyond
from neuronlake.ingest.machines.feeding.ahead import cores
from neuronlake.sql.opening import open_warehouse


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        ingested: images of the smaller and of the larger run.
        forward: images of the forward passes alone.
        decoded: images of the decoding alone.
        by_reference: images of CLIP-Dissect's two runs.
        scored: images, units and concepts of soft_wpmi.
        demo: of the demo's images so many; all where 0.
        filled: images on the device that was filled.
        free: bytes that are left on it.
    """

    ingested: tuple[int, int]
    forward: int
    decoded: int
    by_reference: tuple[int, int]
    scored: tuple[int, int, int]
    demo: int
    filled: int
    free: int


@dataclass(frozen=True)
class Variant:
    """A way to ingest, a row of the table.

    Attributes:
        name: as it is shown.
        precision: in which the forward passes alone are run.
        options: of `cli ingest`.
        decoder: with which decoding alone is run.
    """

    name: str
    precision: str = "float32"
    options: tuple[str, ...] = ()
    decoder: str = "pillow"


VARIANTS = (Variant("float32"), Variant("bfloat16", "bfloat16", ("--precision", "bfloat16")))


def variant(options: str) -> Variant:
    """From options of `cli ingest` as one text."""
    given = tuple(shlex.split(options))
    named = dict(pairwise(given))
    return Variant(options, named.get("--precision", "float32"), given, named.get("--decoder", "pillow"))


@dataclass(frozen=True)
class Table:
    """A table of Markdown, with a line before it."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """As it is written."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return f"{self.title}\n\n" + "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


@dataclass(frozen=True)
class Measures:
    """What is measured, with what, how much of it, and which ways to ingest."""

    bench: Bench
    sizes: Sizes
    variants: tuple[Variant, ...] = VARIANTS

    def ingest(self) -> Table:
        """Images a second of each stage alone, of all of `cli ingest` and of CLIP-Dissect."""
        few, many = self.sizes.ingested
        folders = self._photographs(few), self._photographs(many)
        rows: list[Sequence[str]] = []
        decodings: dict[str, Run] = {}
        forwards: dict[str, Run] = {}
        best = 0.0
        for variant in self.variants:
            if variant.decoder not in decodings:
                photographs = self._photographs(self.sizes.decoded)
                decodings[variant.decoder] = self.bench.decode(photographs, variant.decoder)
                rows.append(_stage(f"decoding alone, {variant.decoder}, {cores()} cores", decodings[variant.decoder]))
            if variant.precision not in forwards:
                forwards[variant.precision] = self.bench.forward(self.sizes.forward, variant.precision)
                rows.append(_stage(f"forward passes alone, {variant.precision}", forwards[variant.precision]))
            forward = forwards[variant.precision]
            decoding = decodings[variant.decoder]
            limit = min(decoding.said["rate"], forward.said["rate"])
            whole, extraction, larger = self._ingested(folders, variant)
            best = max(best, whole)
            which = "decoding" if decoding.said["rate"] < forward.said["rate"] else "forward passes"
            for name, rate in (("cli ingest", whole), ("of it the extraction", extraction)):
                share = f"{rate / limit:.0%} of {which}"
                rows.append([f"{name}, {variant.name}", f"{rate:,.1f}", share, *_memory(larger)])
        if self.bench.clone:
            rows.append(self._reference(best))
        networks = "two ResNet-18s and CLIP ViT-B/16" if self.bench.networks.are_by_name else "light networks"
        sides = f"224 to {PHOTOGRAPH[0]} pixels" if PHOTOGRAPH[0] == 500 else "several sizes"
        return Table(
            f"Ingest with {networks} of {many:,} images of {sides}; rates are of the images beyond {few:,}.",
            ("stage", "images/s", "of the limit", "memory", "on the device"),
            rows,
        )

    def _ingested(self, folders: tuple[Path, Path], variant: Variant) -> tuple[float, float, Run]:
        """Images a second of the whole command and of its extraction, beyond the smaller run's; and the larger run."""
        few, many = self.sizes.ingested
        runs: list[Run] = []
        seconds: list[float] = []
        for folder in folders:
            path = self.bench.new_warehouse()
            runs.append(self.bench.ingest(folder, *variant.options, warehouse=path))
            with open_warehouse(path) as warehouse:
                seconds.append(float(warehouse.scalar("select extract_seconds from store.runs")))
        whole = rate_beyond((runs[0], runs[1]), few, many)
        return whole, (many - few) / (seconds[1] - seconds[0]), runs[1]

    def _reference(self, ours: float) -> list[str]:
        """CLIP-Dissect's row."""
        few, many = self.sizes.by_reference
        runs = self.bench.reference(self._photographs(few)), self.bench.reference(self._photographs(many))
        theirs = rate_beyond(runs, few, many)
        faster = f"the fastest `cli ingest` is {ours / theirs:.1f} times as fast"
        return [f"CLIP-Dissect, {many:,} images", f"{theirs:,.1f}", faster, *_memory(runs[1])]

    def soft_wpmi(self) -> Table:
        """Its seconds beside what the device needs to move the bytes, and beside CLIP-Dissect's."""
        images, units, concepts = self.sizes.scored
        clone = [str(self.bench.clone.resolve())] if self.bench.clone else []
        done = self._stage("soft_wpmi", str(images), str(units), str(concepts), *clone)
        least = done["moved"] / done["bandwidth"]
        copied = f"{done['bandwidth'] / 1e9:,.0f} GB/s"
        rows = [
            ["soft_wpmi, with its cosines", f"{done['seconds']:.3f}"],
            [f"to move {done['moved'] / 1e9:.2f} GB at a copy's {copied}", f"{least:.4f}"],
            ["share of the bandwidth reached", f"{least / done['seconds']:.1%}"],
            ["memory at the highest, beside the inputs", f"{done['memory'] / 1e9:.2f} GB"],
        ]
        if "theirs" in done:
            times = f"{done['theirs']:.2f} s, {done['theirs'] / done['seconds']:.0f} times as long"
            rows.append(["CLIP-Dissect's own loop, reckoned from some of the units", times])
            rows.append(["of these units the same best concept", f"{done['same']:.1%}"])
        title = f"soft_wpmi of {images:,} images, {units:,} units and {concepts:,} concepts, in seconds."
        return Table(title, ("what", "figure"), rows)

    def half_the_bits(self) -> Table:
        """Confident labels that are the same in bfloat16."""
        folder = self.bench.work / "demo"
        folder.mkdir()
        done = self._stage("half", str(folder), str(self.sizes.demo))
        share = f"{done['same'] / done['confident']:.1%}" if done["confident"] else "none"
        return Table(
            f"bfloat16 against float32: EfficientNet-Lite0 on {done['images']:,} images of the demo, encoder `conse`.",
            ("confident labels in float32", "the same in bfloat16", "confident in bfloat16 too"),
            [[f"{done['confident']:,}", f"{done['same']:,}, {share}", f"{done['also_confident']:,}"]],
        )

    def filled(self) -> Table:
        """What batches become where memory is short."""
        images, free = self.sizes.filled, self.sizes.free
        given = (str(self._photographs(images)), self.bench.networks.as_json(), str(images), str(free))
        done = self._stage("filled", *given)
        if self.bench.device.type != "cuda":
            title = "Not filled, since it is no CUDA device; the same ingest twice."
        else:
            title = f"A device filled but for {free / 1e9:.0f} GB."
        return Table(
            title,
            ("note of the run", "largest difference from an empty device's rows, of the largest activation"),
            [[done["note"] or "none", f"{done['difference']:.1e}"]],
        )

    def _stage(self, name: str, *arguments: str) -> dict[str, Any]:
        """What a stage in a process of its own says, with the bytes of the device that it used."""
        command = [sys.executable, str(HERE / "gpu_stage.py"), name, str(self.bench.device), *arguments]
        return run(command, self.bench.environment).said

    def _photographs(self, count: int) -> Path:
        """A folder of so many, made once."""
        folder = self.bench.work / f"photographs-{count}"
        return folder if folder.exists() else write_photographs_of_all_sizes(folder, count)


def _stage(name: str, each: Run) -> list[str]:
    """The row of a stage that is measured alone."""
    return [name, f"{each.said['rate']:,.1f}", "", *_memory(each)]


def _memory(each: Run) -> list[str]:
    """Of the host, without pages of files, and of the device."""
    return [f"{each.held / 1e9:.1f} GB", f"{each.device / 1e9:.1f} GB" if each.device else ""]
