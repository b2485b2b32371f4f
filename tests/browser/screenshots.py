"""``python -m tests.browser.screenshots``: docs/dashboard/*.png, of a real stack that loses Connect for a while."""

from __future__ import annotations

import io
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from stack.load import Load
from tests.backends import ROOT, native_stack
from tests.browser.conftest import NAMES

TARGET = ROOT / "docs" / "dashboard"
MOST_BYTES = 150_000
LOAD_S, RATE = 200.0, 30.0
BEFORE_S, FAULT_S, AFTER_S = 40, 12, 25
BY_STATUS = """select status, count(*) as orders, sum(total) as revenue
  from orders
 group by status
 order by orders desc"""


def main() -> None:
    """Take them all."""
    TARGET.mkdir(exist_ok=True)
    path = next(found for name in NAMES if (found := shutil.which(name)))
    with contextmanager(native_stack)() as stack, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        address = f"http://{stack.settings.queries_address}/"
        load = Load(f"http://{stack.settings.writer_address}", seed=1, rate=RATE, workers=4)
        load.prepare(users=200, products=80)
        work = threading.Thread(target=load.run, args=(LOAD_S,))
        work.start()
        page = _open(browser, address, scheme="light", height=1000)
        page.wait_for_timeout(BEFORE_S * 1000)
        stack.pause("connect")
        page.wait_for_timeout(FAULT_S * 1000)
        _save(page, "down")
        stack.resume("connect")
        _in_order(page)
        page.wait_for_timeout(AFTER_S * 1000)
        _in_order(page)
        _save(page, "light")
        page.goto(f"{address}#sql?q={quote(BY_STATUS)}")
        page.locator("#sql-shape:enabled").click()
        page.wait_for_timeout(1000)
        _save(page, "sql")
        for name, width, height in (("dark", 1440, 1000), ("narrow", 380, 1500)):
            page = _open(browser, address, scheme="dark" if name == "dark" else "light", width=width, height=height)
            page.wait_for_timeout(3000)
            _in_order(page)
            _save(page, name)
        load.stop()
        work.join()
        browser.close()


def _open(browser: Browser, address: str, *, scheme: str, height: int, width: int = 1440) -> Page:
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)  # pyright: ignore
    page.goto(address)
    page.wait_for_selector("#models-rows tr", state="attached")
    return page


def _in_order(page: Page) -> None:
    expect(page.locator("#verdict")).to_have_text("Everything is in order.", timeout=60_000)


def _save(page: Page, name: str) -> None:
    """Few colours are enough for a page of words and lines."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(160, dither=Image.Dither.NONE)
    target: Path = TARGET / f"{name}.png"
    picture.save(target, optimize=True)
    assert target.stat().st_size <= MOST_BYTES, f"{target.name} is too large"


if __name__ == "__main__":
    main()
