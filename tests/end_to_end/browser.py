"""A real browser on the running stack: people who are logged in, and what they see."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    FrameLocator,
    Locator,
    Page,
    expect,
    sync_playwright,
)

from crm_ops.local import up

# Set where a browser has to be there: then its absence fails instead of skipping.
REQUIRED = "CRM_OPS_REQUIRE_BROWSER"
# A folder that pictures of the page are put into; none are made without it.
PICTURES = "CRM_OPS_PICTURES"

_NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDE = (1360, 900)
# What a page may take on two cores that other tests use: its home asks for thirty things first.
PATIENCE_MS = 30_000


@contextmanager
def started() -> Iterator[Browser]:
    """The system's Chromium."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        reason = "no Chromium is installed; on Debian and Ubuntu: apt-get install chromium"
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    # Chromium has no sandbox for root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


@dataclass
class Person:
    """Somebody at the browser, logged in to Airflow; `complaints` are errors of the page itself."""

    context: BrowserContext
    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str = "plugin/crm-ops") -> FrameLocator:
        """Our page inside Airflow, when it has shown its figures."""
        self.page.goto(f"{self.url}/{path}")
        return self.shown()

    def shown(self) -> FrameLocator:
        """Our page's frame, when it has shown its figures, or why it cannot."""
        frame = self.page.frame_locator("iframe")
        frame.locator("#main[aria-busy=false]").wait_for(state="attached", timeout=PATIENCE_MS)
        return frame

    def theme(self, name: str) -> None:
        """Airflow in light or dark."""
        self.page.evaluate("name => localStorage.setItem('theme', name)", name)
        self.page.reload()

    def picture(self, name: str) -> None:
        """A picture of the window, where they are asked for."""
        folder = os.environ.get(PICTURES)
        if folder:
            self.page.screenshot(path=Path(folder) / f"{name}.png", animations="disabled")


@contextmanager
def person(
    browser: Browser, stack: up.Stack, name: str, *, url: str = "", size: tuple[int, int] = WIDE
) -> Iterator[Person]:
    """Log in by Airflow's own form as `admin` or `viewer`."""
    passwords = stack.services.credentials
    password = {"admin": passwords.airflow_admin, "viewer": passwords.airflow_viewer}[name]
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme="light"
    )
    page = context.new_page()
    made = Person(context, page, url or stack.url)
    page.on("pageerror", lambda error: made.complaints.append(str(error)))
    page.goto(f"{made.url}/")
    page.locator("input[name=username]").fill(name)
    page.locator("input[name=password]").fill(password)
    page.keyboard.press("Enter")
    page.get_by_role("link", name="CRM Ops").first.wait_for(timeout=PATIENCE_MS)
    yield made
    context.close()


def facts(part: Locator) -> dict[str, Any]:
    """The figures of a part by their names; a moment as it is for machines."""
    return dict(
        part.locator("dl.facts > div").evaluate_all(
            """divs => divs.map(div => {
                const value = div.querySelector("dd");
                const time = value.querySelector("time");
                return [div.querySelector("dt").textContent,
                        time ? time.dateTime : value.textContent];
            })"""
        )
    )


def lines(part: Locator) -> list[dict[str, str]]:
    """A table's lines, each by its headings; a moment as it is for machines."""
    found: list[dict[str, str]] = part.locator("table").first.evaluate(
        """table => {
            const heads = [...table.querySelectorAll("thead th")].map(each => each.textContent);
            const text = cell => cell.querySelector(":scope > time")?.dateTime ?? cell.textContent;
            return [...table.querySelectorAll(":scope > tbody > tr")].map(row =>
                Object.fromEntries([...row.cells].map((cell, at) => [heads[at], text(cell)])));
        }"""
    )
    return found
