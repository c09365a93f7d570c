"""The report of a warehouse of the size real users have: how long it takes to write, to open, and to filter.

Two models of 256 + 512 + 1,000 units, five pictures a unit out of 57,000 images, 20,000 concepts. The warehouse is
filled with made-up labels and pictures, which take the space of real ones.

    python benchmarks/report.py
"""

from __future__ import annotations

import io
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image
from playwright.sync_api import sync_playwright

import neuronlake
from neuronlake.sql.categories import CATEGORIES
from neuronlake.sql.warehouse import Warehouse, utc_now

LAYERS = {"layer3": 256, "layer4": 512, "fc": 1000}
MODELS = ("resnet18-imagenet", "resnet18-places365")
IMAGES = 57_000
CONCEPTS = 20_000
RANDOM = np.random.default_rng(0)


def picture() -> bytes:
    """A picture of 96 x 72 pixels with the detail of a photograph, as WebP."""
    coarse = RANDOM.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((96, 72), Image.Resampling.BICUBIC).save(buffer, "WEBP", quality=60)
    return buffer.getvalue()


def fill(warehouse: Warehouse) -> None:
    """Names, labels, top images and pictures."""
    warehouse.execute(
        "insert into store.runs (run_id, command, status, started_at, device, versions, recipe)"
        " values (1, 'benchmark', 'finished', $at, 'cpu', '{}', '{}')",
        at=utc_now(),
    )
    warehouse.execute("insert into store.probes values (1, 'probe', 'probe', 'nowhere', $n, 512)", n=IMAGES)
    warehouse.execute("insert into store.encoders values (1, 'encoder', 'encoder', 512, 'nowhere')")
    warehouse.execute("insert into store.concept_sets values (1, 'words', 'words', $n, 0, 0)", n=CONCEPTS)
    numbers = range(1, CONCEPTS + 1)
    warehouse.insert("concepts", pl.DataFrame({"concept_id": numbers, "concept": [f"concept {n}" for n in numbers]}))
    members = {
        "position": numbers,
        "concept_id": numbers,
        "category": [CATEGORIES[n % len(CATEGORIES)] for n in numbers],
    }
    warehouse.insert("concept_set_concepts", pl.DataFrame(members), concept_set_id=1)
    images = range(1, IMAGES + 1)
    paths = {"image_id": images, "path": [f"folder/{n:06}.jpg" for n in images], "sha256": ["0"] * IMAGES}
    warehouse.insert("images", pl.DataFrame(paths), probe_id=1)
    shown: set[int] = set()
    for model_id, model in enumerate(MODELS, start=1):
        warehouse.execute("insert into store.models values ($i, $n, $n, 'nowhere', false)", i=model_id, n=model)
        for position, (layer, units) in enumerate(LAYERS.items()):
            shown |= fill_layer(warehouse, model_id, position, layer, units)
    rows = {"image_id": sorted(shown), "webp": [picture() for _ in shown]}
    warehouse.insert("thumbnails", pl.DataFrame(rows), width=400, height=300)


def fill_layer(warehouse: Warehouse, model_id: int, position: int, layer: str, units: int) -> set[int]:
    """One layer, scored; returns the images that it shows."""
    number = model_id * 10 + position
    warehouse.execute(
        "insert into store.layers values ($i, $m, $n, $f, $p, $u, 'mean', $r)",
        i=number,
        m=model_id,
        n=layer,
        f=str(number),
        p=position,
        u=units,
        r=None if layer == "fc" else 0.4,
    )
    warehouse.execute(
        "insert into store.scorings values"
        " ($i, $f, 1, $i, 1, 1, 1, 'soft_wpmi', '{}', '{}', $images, $u, 1000, 0, $concepts)",
        i=number,
        f=str(number),
        images=IMAGES,
        u=units,
        concepts=CONCEPTS,
    )
    # a few concepts label many units, most of them one, as real layers show
    concepts = np.minimum(RANDOM.zipf(1.3, units), CONCEPTS)
    labels = {
        "unit": np.arange(units),
        "concept_id": concepts,
        "similarity": RANDOM.random(units),
        "runner_up_id": RANDOM.integers(1, CONCEPTS, units),
        "runner_up_similarity": np.zeros(units),
        "p_value": RANDOM.random(units),
        "q_value": RANDOM.random(units) / 5,
    }
    warehouse.insert("labels", pl.DataFrame(labels), scoring_id=number)
    status = {"unit": np.arange(units)}
    warehouse.insert("units", pl.DataFrame(status), layer_id=number, probe_id=1, status="live", not_finite=0)
    # excitable images excite many units, so that units share some of their top images
    images = np.minimum((RANDOM.pareto(0.6, units * 5) * 300).astype(int) % IMAGES + 1, IMAGES)
    top = {
        "unit": np.repeat(np.arange(units), 5),
        "rank": np.tile(np.arange(1, 6), units),
        "image_id": images,
        "activation": RANDOM.random(units * 5),
        "peak_x": RANDOM.random(units * 5),
        "peak_y": RANDOM.random(units * 5),
    }
    frame = pl.DataFrame(top) if layer != "fc" else pl.DataFrame(top).drop("peak_x", "peak_y")
    warehouse.insert("top_images", frame, layer_id=number, probe_id=1)
    return set(images.tolist())


def open_in_browser(page_file: Path) -> None:
    """Seconds until the first chart, and milliseconds until a filter has answered and is on the screen."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        began = time.perf_counter()
        page.goto(page_file.as_uri())
        page.wait_for_selector(".plot canvas")
        print(f"first chart after {time.perf_counter() - began:.2f} s")
        page.wait_for_selector("html[data-charts=drawn]")
        print(f"all charts after {time.perf_counter() - began:.2f} s")
        answered = page.evaluate(
            """async () => {
                const times = [];
                for (const text of ["1", "concept 1", "concept 12", "concept 5", ""]) {
                    const began = performance.now();
                    document.getElementById("search").value = text;
                    document.getElementById("filters").dispatchEvent(new Event("input"));
                    document.body.offsetHeight;
                    times.push(performance.now() - began);
                }
                return times;
            }"""
        )
        print(f"a filter answers in {sorted(answered)[2]:.0f} ms (slowest of {len(answered)}: {max(answered):.0f} ms)")
        browser.close()


def main() -> None:
    """Fill, write, open."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        with neuronlake.open(Path(folder) / "report.duckdb", write=True) as warehouse:
            with warehouse.transaction():
                fill(warehouse)
            shown = warehouse.scalar("select count(*) from store.thumbnails")
            average = warehouse.scalar("select avg(octet_length(webp)) from store.thumbnails")
            began = time.perf_counter()
            neuronlake.write_report(warehouse, page)
            seconds = time.perf_counter() - began
        units = len(MODELS) * sum(LAYERS.values())
        print(f"{units} units, {shown} different pictures of {average:.0f} bytes")
        print(f"written in {seconds:.2f} s, {page.stat().st_size / 1e6:.1f} MB")
        open_in_browser(page)


if __name__ == "__main__":
    main()
