"""How soon `cli explore` shows its first page, a selection and a unit, at a share of the size that real users have.

    python benchmarks/explore.py --share 1 --runs 5

The warehouse is that of benchmarks/warehouse.py, with pictures, labels of images and made-up confidences: 2 models x
1,768 units x 57,000 images at full size. Seconds are as a reader sees them, in Chromium.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright
from warehouse import CONCEPTS, IMAGES, Size, embed_concepts, load, register, score

from neuronlake.sql.opening import open_warehouse

CLASSES, PICTURES = 1_000, 200


def make(path: Path, share: Fraction) -> None:
    """A warehouse of this share of the full size."""
    size = Size(int(IMAGES * share), int(CONCEPTS * share))
    with open_warehouse(path, write=True) as warehouse:
        registered = register(warehouse, size)
        load(warehouse, registered, size)
        embed_concepts(warehouse, size)
        score(warehouse, registered, size)
        warehouse.execute("update store.images set label = 'class ' || (image_id % $classes)", classes=CLASSES)
        pictures = pl.DataFrame({"number": range(PICTURES), "webp": [picture(number) for number in range(PICTURES)]})
        with warehouse.lent(pictures=pictures):
            warehouse.execute(
                "update store.thumbnails set webp = pictures.webp from pictures where image_id % $pictures = number",
                pictures=PICTURES,
            )
        warehouse.execute("insert into store.judgements select scoring_id, 1, 1, images, 'image' from store.scorings")
        warehouse.execute(
            "insert into store.fidelities (scoring_id, unit, held_out_correlation, confidence)"
            " select scoring_id, unit, random(), random() from store.labels"
        )


def picture(number: int) -> bytes:
    """A small picture of coloured squares."""
    squares = np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.kron(squares, np.ones((12, 12, 1), dtype=np.uint8))).save(file, "webp", quality=50)
    return file.getvalue()


def seconds(act: Callable[[], None]) -> float:
    """How long something takes to be seen."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def first_view(page: Page, address: str) -> None:
    """Open the app until its chart and the page of a unit are there."""
    page.goto(address)
    page.wait_for_selector("canvas", timeout=120_000)
    page.wait_for_selector(".neuronlake h1", timeout=120_000)


def select(page: Page) -> None:
    """Drag over a quarter of the chart until the table has the units."""
    box = page.locator("canvas").bounding_box()
    assert box
    page.mouse.move(box["x"] + 60, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    expect(page.get_by_role("tabpanel").get_by_text(re.compile("[1-9] units selected"))).to_be_visible(timeout=60_000)


def open_unit(page: Page) -> None:
    """Choose a unit of the table until its page is there."""
    before = page.locator(".neuronlake header .note").first.inner_text()
    page.get_by_role("tabpanel").get_by_role("checkbox").nth(3).click()
    page.wait_for_function(
        "before => document.querySelector('.neuronlake header .note').innerText !== before", arg=before, timeout=60_000
    )


def measure(address: str, runs: int) -> dict[str, list[float]]:
    """Seconds of each step, run by run."""
    browser_path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    found: dict[str, list[float]] = {"first view": [], "selection": [], "a unit's page": []}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        for _ in range(runs):
            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            found["first view"].append(seconds(lambda page=page: first_view(page, address)))
            page.wait_for_timeout(1_000)
            found["selection"].append(seconds(lambda page=page: select(page)))
            page.wait_for_timeout(1_000)
            found["a unit's page"].append(seconds(lambda page=page: open_unit(page)))
            page.context.close()
        browser.close()
    return found


def main() -> None:
    """Print the least, the median and the most seconds of each step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=Fraction, default=Fraction(1, 16))
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "full.duckdb"
        make(path, options.share)
        command = [sys.executable, "-m", "neuronlake.cli", "explore", "--no-browser", "--warehouse", str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout
                for name, taken in measure(server.stdout.readline().strip(), options.runs).items():
                    print(f"{name}: {min(taken):.2f} to {max(taken):.2f} s, median {statistics.median(taken):.2f}")
            finally:
                server.send_signal(signal.SIGINT)


if __name__ == "__main__":
    main()
