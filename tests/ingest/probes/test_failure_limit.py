"""Images that cannot be read: some are recorded, too many end the run with one line and their first reason."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

import pytest
from probe_files import png

import neuronlake
from neuronlake.ingest.probes.failure_limit import FailureLimit
from neuronlake.ingest.probes.locations import ProbeError
from neuronlake.ingest.probes.probe import load_probe
from neuronlake.ingest.recipe import Recipe
from neuronlake.sql import verify
from tiny import write_image


def allowed(images: int, max_failures: int | None) -> int:
    """How many failures, from the first image on, do not end a run."""
    limit = FailureLimit("some", images, max_failures)
    for place in range(images):
        try:
            limit.add(place, f"{place}.png", "damaged")
        except ProbeError:
            return place
    return images


def test_half_of_the_first_thousand_may_fail_or_all_but_one_of_fewer() -> None:
    assert allowed(1, None) == 0
    assert allowed(999, None) == 998
    assert allowed(1_000, None) == 500
    assert allowed(50_000, None) == 500
    assert allowed(50_000, 20_000) == 20_000
    assert allowed(5, 0) == 0
    assert allowed(5, 5) == 5


def test_later_images_may_all_fail_unless_a_number_is_given() -> None:
    limit = FailureLimit("some", 5_000, None)
    for place in range(1_000, 5_000):
        limit.add(place, "a.png", "damaged")


def test_an_image_that_fails_twice_counts_once_and_earlier_failures_count() -> None:
    limit = FailureLimit("some", 100, 2, {7: "seven.png: damaged", 9: "nine.png: damaged"})
    limit.add(7, "seven.png", "damaged")
    with pytest.raises(ProbeError) as error:
        limit.add(8, "eight.png", "cut short")
    assert str(error.value) == (
        "3 of the 100 images of some could not be read, the first of them seven.png: damaged; "
        "mend the probe, or allow that many with --max-failures 100"
    )


def test_a_million_missing_files_are_refused_in_seconds_and_nothing_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")  # no file: to open it would wait for ever
    listed = "\n".join(f"gone/{number}.png" for number in range(1_000_000))
    (tmp_path / "list.csv").write_text(f"path\npipe.png\n{listed}\n")
    started = time.monotonic()
    with pytest.raises(ProbeError, match=r"^501 of the 1000001 images of list .* pipe\.png: there is no such file"):
        load_probe(tmp_path / "list.csv")
    assert time.monotonic() - started < 30


def test_a_missing_file_of_a_list_is_a_recorded_failure(tmp_path: Path, tiny_recipe: Recipe) -> None:
    for number in range(10):
        write_image(tmp_path / f"{number}.png", number)
    (tmp_path / "words.png").write_text("these are words")
    (tmp_path / "folder.png").mkdir()
    names = [*(f"{number}.png" for number in range(10)), "gone.png", "words.png", "folder.png"]
    (tmp_path / "list.csv").write_text("\n".join(["path", *names]))
    recipe = dataclasses.replace(tiny_recipe, probes=(str(tmp_path / "list.csv"),), layers=("fc",))
    with neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse:
        summary = neuronlake.ingest(warehouse, recipe)
        assert (summary.images, summary.failed_images) == (13, 3)
        assert warehouse.sql("select image, reason from failed_images order by image").fetchall() == [
            ("folder.png", "there is no such file"),
            ("gone.png", "there is no such file"),
            ("words.png", "not an image that can be read"),
        ]
        assert neuronlake.ingest(warehouse, recipe).did_nothing
        assert verify.verify(warehouse) == []


def test_a_file_that_comes_back_makes_another_probe(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png("red"))
    (tmp_path / "list.csv").write_text("path\na.png\nb.png\n")
    before = load_probe(tmp_path / "list.csv").fingerprint
    (tmp_path / "b.png").write_bytes(png("blue"))
    assert load_probe(tmp_path / "list.csv").fingerprint != before


def test_a_probe_of_nothing_but_words_changes_nothing(tmp_path: Path, tiny_recipe: Recipe) -> None:
    (tmp_path / "images").mkdir()
    for number in range(20):
        (tmp_path / "images" / f"{number:02}.png").write_text("these are words")
    recipe = dataclasses.replace(tiny_recipe, probes=(str(tmp_path / "images"),))
    for max_failures, reason in ((None, r"^20 of the 20 images of images .* 00\.png: not an image"), (20, "^none of")):
        with (
            pytest.raises(ProbeError, match=reason),
            neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse,
        ):
            neuronlake.ingest(warehouse, dataclasses.replace(recipe, max_failures=max_failures))
    assert not (tmp_path / "w.duckdb").exists()


def test_a_run_past_its_limit_stops_and_goes_on_when_more_is_allowed(tmp_path: Path, tiny_recipe: Recipe) -> None:
    for number in range(16):
        write_image(tmp_path / "images" / f"{number:02}.png", number)
    for number in (3, 12, 13, 14):
        (tmp_path / "images" / f"{number:02}.png").write_text("these are words")
    # chunks of 8 images: the first has one failure, the second three
    recipe = dataclasses.replace(tiny_recipe, probes=(str(tmp_path / "images"),), layers=("fc",), max_failures=3)
    with neuronlake.open(tmp_path / "w.duckdb", write=True) as warehouse:
        for _ in range(2):
            with pytest.raises(ProbeError, match=r"^4 of the 16 images of images .* first of them 03\.png: not an"):
                neuronlake.ingest(warehouse, recipe)
        assert warehouse.scalar("select count(distinct chunk) from store.chunks") == 1
        assert warehouse.sql("select status from runs").fetchall() == [("failed",), ("failed",)]
        summary = neuronlake.ingest(warehouse, dataclasses.replace(recipe, max_failures=4))
        assert (summary.extracted_images, summary.unreadable_images, summary.failed_images) == (5, 3, 4)
        assert verify.verify(warehouse) == []
