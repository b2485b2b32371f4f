"""A browser of the machine's own, and the dashboard of a query server in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

from config.settings import Settings
from projectors.analytics import server
from projectors.read_models import DECLARATIONS
from tests.queries.harness import SCHEMA, Api, Projector, alone, serving
from tests.shop import Shop

NAMES = ("chromium", "chromium-browser", "google-chrome")


@dataclass(slots=True, kw_only=True)
class Window:
    """A page of the browser, and what it did besides being looked at."""

    page: Page
    requests: list[Request] = field(default_factory=list[Request])
    #: What the console says of mistakes, the content security policy's refusals among them.
    complaints: list[str] = field(default_factory=list[str])

    def open(self, url: str) -> Page:
        """Go there, and wait until the pipeline is shown."""
        self.page.goto(url)
        self.page.wait_for_selector("#models-rows tr, #later:not([hidden])", state="attached")
        return self.page


Opens = Callable[..., Window]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The machine's chromium, without a screen. Of a module: Playwright keeps an event loop in the thread meanwhile."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        # As root, in a container, chromium's own sandbox cannot be had; the page is ours.
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield running
        running.close()


@pytest.fixture
def window(browser: Browser) -> Iterator[Opens]:
    """Opens windows with settings of their own; 1280 by 900 and light without any."""
    contexts: list[BrowserContext] = []

    def opened(*, width: int = 1280, height: int = 900, scheme: Any = "light", **more: Any) -> Window:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, **more)
        contexts.append(context)
        window = Window(page=context.new_page())
        window.page.on("request", lambda request: window.requests.append(request))
        window.page.on("console", lambda said: _hear(window, said))
        window.page.on("pageerror", lambda error: window.complaints.append(str(error)))
        return window

    yield opened
    for context in contexts:
        context.close()


def _hear(window: Window, said: ConsoleMessage) -> None:
    if said.type in ("error", "warning"):
        window.complaints.append(said.text)


@pytest.fixture
def projector(store_database: str) -> Iterator[Projector]:
    """A serving store with the projector's tables, empty, streaming and standing at 0/100."""
    with psycopg.connect(store_database, autocommit=True) as conn:
        conn.execute(SCHEMA)
        yield Projector(conn=conn)


@pytest.fixture
def settings(store_database: str, tmp_path: Path) -> Settings:
    """Settings of a query server on the test's store; nothing else of the stack is there."""
    return alone(store_database, tmp_path)


@pytest.fixture
def api(projector: Projector, settings: Settings) -> Iterator[Api]:
    """The query server on the test's store: its pipeline is down, but for the store and the server."""
    with serving(settings) as running:
        yield running


@pytest.fixture
def orders(settings: Settings, shop_database: str, tmp_path: Path) -> Iterator[Shop]:
    """Two orders in a real analytics store behind its endpoint; a product's name is a formula, another's is markup."""
    made = Shop(shop_database, tmp_path, DECLARATIONS.of_store("analytics"))
    with server.serving(settings, made.store):
        with made.committing():
            made.source.execute("update products set name = '=HYPERLINK(\"//evil\")' where id = 7")
            made.source.execute("update products set name = '<img src=x onerror=alert(1)>' where id = 8")
            made.put(1, 1, "paid", "10.01", "2026-01-01T23:30:00Z", (7, 2, "5.00"))
            made.put(2, 1, "cancelled", "99.00", "2026-01-02T00:00:00Z", (8, 2, "49.50"))
        yield made
    made.close()
