"""The dashboard of the whole stack: all is well, a fault is red with its cause, and green again when it is over."""

from __future__ import annotations

import secrets
import time

import httpx
from playwright.sync_api import expect

from tests.backends import Stack
from tests.browser.conftest import Opens

RED_S = 10  # within which a fault shows


def test_a_fault_shows_with_its_cause_and_goes(stack: Stack, window: Opens) -> None:
    stack.wait_healthy()
    seen = window()
    page = seen.open(f"http://{stack.settings.queries_address}/")
    verdict = page.locator("#verdict")
    expect(verdict).to_have_text("Everything is in order.", timeout=20_000)
    expect(page.locator("#verdict-more")).to_contain_text("A commit is readable", timeout=20_000)
    expect(page.locator("[data-part='hop serving']")).to_contain_text("0 behind")
    stack.pause("connect")
    try:
        began = time.monotonic()
        expect(verdict).to_have_text("Down: connect, transport.", timeout=RED_S * 1000)
        assert time.monotonic() - began < RED_S
        expect(page.locator("#why")).to_contain_text("kill -CONT")
        expect(page.locator("#details-title")).to_contain_text("Connect")
    finally:
        stack.resume("connect")
    expect(verdict).to_have_text("Everything is in order.", timeout=60_000)
    assert seen.complaints == []


def test_a_write_is_in_the_next_answer_of_the_sql_page(stack: Stack, window: Opens) -> None:
    stack.wait_healthy()
    email = f"{secrets.token_hex(6)}@example.org"
    body = {"email": email, "first_name": "Ada", "last_name": "Lovelace", "display_name": "Ada"}
    httpx.post(f"http://{stack.settings.writer_address}/users", json=body).raise_for_status()
    page = window().page
    page.goto(f"http://{stack.settings.queries_address}/#sql")
    page.locator("#sql-text").fill(f"select full_name from customers where email = '{email}'")
    rows = page.locator("#sql-answer tbody tr")
    deadline = time.monotonic() + 20
    while rows.count() == 0 and time.monotonic() < deadline:
        page.keyboard.press("Control+Enter")
        page.wait_for_timeout(500)
    expect(rows).to_have_text(["Ada Lovelace"])
    expect(page.locator("#sql-said")).to_contain_text("as of 2")
    expect(page.locator("#sql-tables summary", has_text="order_items")).to_be_visible()
