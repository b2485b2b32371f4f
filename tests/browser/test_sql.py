"""The SQL page in a browser, on a real analytics store."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Opens
from tests.queries.harness import Api

STATEMENT = "select id, status, total from orders order by id"


@pytest.fixture
def address(api: Api, orders: object) -> str:
    return f"http://{api.settings.queries_address}/#sql"


def test_a_statement_runs_by_the_keyboard_and_has_an_address(address: str, window: Opens) -> None:
    seen = window()
    page = seen.page
    page.goto(address)
    page.locator("#sql-text").fill(STATEMENT)
    page.keyboard.press("Control+Enter")
    cells = page.locator("#sql-answer tbody tr")
    expect(cells).to_have_text(["1paid10.01", "2cancelled99.00"])
    expect(page.locator("#sql-said")).to_contain_text("2 rows · as of 1970-01-01 00:00:0")
    page.goto("about:blank")
    page.goto(f"{address}?q={quote(STATEMENT)}")  # whoever is sent it sees the same
    expect(cells).to_have_text(["1paid10.01", "2cancelled99.00"])
    expect(page.locator("#sql-text")).to_have_value(STATEMENT)
    expect(page.locator("#sql-tables summary", has_text="order_items")).to_be_visible()
    assert seen.complaints == []


def test_a_mistake_is_said_and_what_is_cut_off_too(address: str, window: Opens) -> None:
    page = window().page
    page.goto(address)
    page.locator("#sql-text").fill("select nonsense from orders")
    page.locator("#sql-run").click()
    expect(page.locator("#sql-said")).to_contain_text("nonsense")
    expect(page.locator("#sql-csv")).to_be_disabled()
    page.locator("#sql-text").fill("select * from range(10001)")
    page.locator("#sql-run").click()
    expect(page.locator("#sql-said")).to_contain_text("10,000 rows, cut off there")
    expect(page.locator("#sql-answer tbody tr")).to_have_count(1000)


def test_a_file_holds_no_formula_and_the_page_no_markup(address: str, window: Opens, tmp_path: Path) -> None:
    seen = window()
    page = seen.page
    page.goto(f"{address}?q={quote('select name, -1.50 as loss from products where id in (7, 8) order by id')}")
    expect(page.locator("#sql-answer td").nth(2)).to_have_text("<img src=x onerror=alert(1)>")
    with page.expect_download() as download:
        page.locator("#sql-csv").click()
    download.value.save_as(tmp_path / "answer.csv")
    assert (tmp_path / "answer.csv").read_bytes().decode().splitlines() == [
        "name,loss",
        '"\'=HYPERLINK(""//evil"")",-1.50',
        "<img src=x onerror=alert(1)>,-1.50",
    ]
    assert seen.complaints == []


@pytest.mark.parametrize(
    ("statement", "drawn"),
    [
        ("select status, count(*) as orders, sum(total) as total from orders group by status", 2),
        ("select placed_at, total from orders", 1),
        ("select i, i * i as square from range(50) r(i)", 1),
        ("select status, status as again from orders", 0),
    ],
    ids=["category", "time", "number", "nothing to draw"],
)
def test_an_answer_is_drawn_where_it_can_be(address: str, window: Opens, statement: str, drawn: int) -> None:
    page = window().page
    page.goto(f"{address}?q={quote(statement)}")
    expect(page.locator("#sql-answer table")).to_be_visible()
    button = page.locator("#sql-shape")
    if not drawn:
        expect(button).to_be_disabled()
        return
    button.click()
    expect(page.locator("#sql-chart canvas")).to_have_count(drawn)
    inked = """canvas => new Set(new Uint32Array(canvas.getContext("2d")
        .getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size"""
    assert page.locator("#sql-chart canvas").first.evaluate(inked) > 3  # lines or bars, a grid and words
    button.click()
    expect(page.locator("#sql-chart")).to_be_hidden()
