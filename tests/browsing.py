"""Pages in a real browser."""

from __future__ import annotations

import dataclasses
import time

from playwright.sync_api import Page


@dataclasses.dataclass
class Opened:
    """A report in the browser, and what the page said and asked for while it was open."""

    page: Page
    messages: list[str]
    requests: list[str]


def eventually(page: Page, condition: str) -> None:
    """Wait until a condition holds in the page, whose security policy forbids Playwright's own way of waiting."""
    deadline = time.monotonic() + 10
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)
