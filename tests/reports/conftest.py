"""A browser, and reports opened in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import Opened
from playwright.sync_api import Browser, sync_playwright


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=quiet)
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[object]:
    contexts: list[object] = []

    def open_report(path: Path, address: str = "", **options: object) -> Opened:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)  # pyright: ignore
        contexts.append(context)
        page = context.new_page()
        opened = Opened(page, [], [])
        page.on("console", lambda message: opened.messages.append(message.text))
        page.on("pageerror", lambda error: opened.messages.append(str(error)))
        page.on("request", lambda request: opened.requests.append(request.url))
        page.goto(path.as_uri() + address)
        page.wait_for_selector("html[data-charts=drawn]")
        return opened

    yield open_report
    for context in contexts:
        context.close()  # pyright: ignore
