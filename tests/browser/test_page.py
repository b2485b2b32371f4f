"""The dashboard in a browser: what it loads, shows and refuses, with the keyboard alone, in every width and scheme."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Route, expect
from pydantic import SecretStr

from config.settings import Settings
from tests.browser.conftest import Opens, Window
from tests.databases import eventually
from tests.queries.harness import Api, Projector, serving
from tests.tokens import SECRET, token

MOST_BYTES = 200_000
WIDTHS = (380, 900, 1280, 3840)

SHIFTS = """
    window.shifts = [];
    const told = ({ node, previousRect: from, currentRect: to }) =>
        `${node?.id || node?.className}: ${from.x} ${from.y} to ${to.x} ${to.y}`;
    new PerformanceObserver((list) =>
        window.shifts.push(...list.getEntries().flatMap((entry) => entry.sources.map(told)))
    ).observe({ type: "layout-shift", buffered: true });
"""


def url(api: Api, place: str = "") -> str:
    return f"http://{api.settings.queries_address}/{place}"


def test_it_is_small_and_asks_nobody_else(api: Api, window: Opens) -> None:
    seen = window()
    page = seen.open(url(api))
    page.wait_for_timeout(1500)  # a look or two
    assert {request.url.split("/")[2] for request in seen.requests} == {api.settings.queries_address}
    loaded = [
        request for request in seen.requests if "/events" not in request.url and "dead-letters" not in request.url
    ]
    assert sum(len(request.response().body()) for request in loaded) < MOST_BYTES  # pyright: ignore
    assert seen.complaints == []


def test_it_says_what_is_wrong_why_and_what_to_do(api: Api, window: Opens) -> None:
    page = window().open(url(api))
    expect(page.locator("h1").first).to_have_text("Down: kafka and 5 more.")
    expect(page.locator("#announce")).to_have_text(page.locator("h1").first.inner_text())
    why = page.locator("#why li", has_text="kafka").first
    expect(why.locator(".remedy code").first).to_have_text("kafka.log")
    assert page.title().startswith("down: kafka")
    down = page.locator("[data-part='component kafka']")
    expect(down).to_contain_text("■ down")
    expect(page.locator("[data-part='component queries']")).to_contain_text("● ok")


def test_a_commit_is_measured_and_what_changes_is_shown(api: Api, projector: Projector, window: Opens) -> None:
    page = window().open(url(api))
    projector.conn.execute("insert into readside.declared values ('order_details', 'read_model', 3)")
    projector.apply("0/200", order_details={"id": 1, "version": 1})
    expect(page.locator("#verdict-more")).to_contain_text("A commit is readable")
    row = page.locator("#models-rows tr", has_text="order_details")
    expect(row).to_contain_text("serving")
    expect(row.locator("td").nth(2)).to_have_text("3")
    projector.conn.execute("update readside.declared set parked = '<b>its column</b> changed'")
    expect(row.locator("td").last).to_have_text("parked: <b>its column</b> changed")


def test_it_is_used_with_the_keyboard_alone(api: Api, window: Opens) -> None:
    page = window().open(url(api))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    outlined = "getComputedStyle(document.activeElement).outlineStyle"
    reached: list[str] = []
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):  # the browser's own bars come then
            break
        assert page.evaluate(outlined) != "none", "whoever has the focus is seen to have it"
        reached.append(page.evaluate("document.activeElement.dataset.part ?? document.activeElement.id"))
    assert {"theme", "why", "component writer", "hop capture", "component queries"} <= set(reached)
    page.locator("[data-part='hop capture']").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#details-title")).to_contain_text("Capture hop")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("#details-title")).to_contain_text("Connect")
    expect(page.locator("[data-part='component connect']")).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_moves_and_nothing_sticks_out(api: Api, projector: Projector, window: Opens, width: int) -> None:
    seen = window(width=width, height=width * 3 // 4)
    seen.page.add_init_script(SHIFTS)
    projector.conn.execute("insert into readside.declared values ('order_details', 'read_model', 3)")
    eventually(lambda: api.get("/health").json()["models"] != [], what="a look has seen the read model")
    page = seen.open(url(api))
    projector.conn.execute("insert into readside.dead_letters values ('shop.public.orders', 0, 1)")
    projector.apply("0/200", order_details={"id": 1, "version": 1})
    page.wait_for_selector("#letters-rows tr", state="attached")
    page.wait_for_timeout(1500)
    assert "\n".join(page.evaluate("window.shifts")) == ""
    for place in ("", "#sql"):
        page.goto(url(api, place))
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [380, 1280])
def test_nobody_is_kept_out(
    api: Api, projector: Projector, orders: Any, window: Opens, scheme: str, width: int
) -> None:
    """axe-core finds nothing: names, roles, labels, order of headings, contrast of 4.5 and more."""
    projector.conn.execute("insert into readside.declared values ('order_details', 'read_model', 3)")
    projector.conn.execute("insert into readside.dead_letters values ('shop.public.orders', 0, 1)")
    seen = window(width=width, scheme=scheme, bypass_csp=True)  # what looks is not the page's own
    page = seen.open(url(api))
    page.wait_for_selector("#letters-rows tr", state="attached")
    for place in ("", "#sql?q=select+1+as+one"):
        page.goto(url(api, place))
        if place:
            expect(page.locator("#sql-said")).to_contain_text("1 row")
        found = Axe().run(page, options={"resultTypes": ["violations"]})
        wrong = [(each["id"], [node["html"] for node in each["nodes"]]) for each in found.response["violations"]]
        assert wrong == []


def test_the_scheme_can_be_chosen_and_is_kept(api: Api, window: Opens) -> None:
    seen = window(scheme="dark")
    page = seen.open(url(api))
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.locator("#theme").click()
    expect(page.locator("#theme")).to_have_text("Scheme: light")
    light = page.evaluate(ground)
    assert light != dark
    page.reload()
    assert page.evaluate(ground) == light
    assert seen.complaints == []


def test_without_the_stream_it_asks_now_and_then(api: Api, projector: Projector, window: Opens) -> None:
    seen = window()
    seen.page.route("**/events", lambda route: route.abort())
    page = seen.open(url(api))
    expect(page.locator("#link")).to_have_text("asked every 5 s")
    expect(page.locator("h1").first).to_contain_text("Down: kafka")
    seen.page.unroute("**/events")
    expect(page.locator("#link")).to_have_text("live", timeout=30_000)


def test_a_server_that_is_gone_is_said_and_comes_back(projector: Projector, settings: Settings, window: Opens) -> None:
    seen = window()
    with serving(settings) as api:
        page = seen.open(url(api))
        expect(page.locator("#link")).to_have_text("live")
    expect(page.locator("h1").first).to_have_text("The query server does not answer.")
    expect(page.locator("#why")).to_contain_text("./readside up")
    with serving(settings):
        expect(page.locator("#link")).to_have_text("live", timeout=30_000)
        expect(page.locator("h1").first).to_contain_text("Down: kafka", timeout=10_000)


def test_a_token_is_asked_for_and_kept_in_the_tab_alone(
    projector: Projector, settings: Settings, window: Opens
) -> None:
    with serving(settings.model_copy(update={"auth": "jwt", "jwt_key": SecretStr(SECRET)})) as api:
        seen = window()
        page = seen.page
        page.goto(url(api))
        expect(page.locator("dialog")).to_be_visible()
        expect(page.locator("#token-text")).to_be_focused()
        _give(seen, token("customer"))
        expect(page.locator("#token-why")).to_have_text("It takes the role operator.")
        right = token("operator")
        _give(seen, right)
        expect(page.locator("#link")).to_have_text("live")
        expect(page.locator("dialog")).to_be_hidden()
        assert page.evaluate("[document.cookie, Object.values(localStorage).join(), location.href]") == [
            *("", "", url(api))
        ]
        assert all(right not in request.url for request in seen.requests)
        page.reload()
        expect(page.locator("#link")).to_have_text("live")  # the tab remembers it
        page.locator("#sign").click()
        expect(page.locator("dialog")).to_be_visible()
        assert page.evaluate("sessionStorage.length") == 0


def _give(window: Window, text: str) -> None:
    window.page.locator("#token-text").fill(text)
    window.page.keyboard.press("Enter")


def test_dead_letters_are_listed_without_values_and_tried_again(api: Api, projector: Projector, window: Opens) -> None:
    projector.conn.execute(
        """insert into readside.dead_letters ("table", topic, partition, "offset", reason)
           values ('public.orders', 'shop.public.orders', 0, 41, '<img src=x onerror=alert(1)>')"""
    )
    seen = window()
    page = seen.open(url(api, "#letters"))
    row = page.locator("#letters-rows tr")
    expect(row).to_contain_text("shop.public.orders[0]@41")
    expect(row.locator(".reason")).to_have_text("<img src=x onerror=alert(1)>")
    assert "secret" not in page.content()
    row.get_by_role("button").press("Enter")
    expect(page.locator("#letters-said")).to_contain_text("looking what became of it")
    assert projector.conn.execute("select asked from readside.dead_letters").fetchall() == [("retry",)]
    projector.conn.execute("delete from readside.dead_letters")
    expect(page.locator("#letters-said")).to_have_text("None is parked. The analytics store does not answer.")
    expect(page.locator("#letters-count")).to_be_hidden()
    assert seen.complaints == []


def test_a_rebuild_and_the_time_until_the_disk_is_full_are_shown_when_told(
    api: Api, projector: Projector, window: Opens
) -> None:
    projector.conn.execute("insert into readside.declared values ('order_details', 'read_model', 3)")
    eventually(lambda: api.get("/health").json()["models"] != [], what="a look has seen the read model")
    rebuild = {"state": "copying", "done": 1200, "total": 4800, "rate": 600.0, "eta_seconds": 6.0}

    def tell(route: Route) -> None:
        told = route.fetch().json()
        told["models"][0]["rebuild"] = rebuild
        told["hops"][0]["figures"] = {"retained_bytes": 3 << 20, "time_to_full_s": 7500}
        route.fulfill(json=told)

    page = window().page
    page.route("**/events", lambda route: route.abort())
    page.route("**/health", tell)
    page.goto(url(api))
    row = page.locator("#models-rows tr")
    expect(row).to_contain_text("copying, 1,200 of 4,800, 600/s, 6.0 s left", timeout=15_000)
    assert row.locator("progress").evaluate("bar => bar.value / bar.max") == 0.25
    expect(page.locator("#figures")).to_contain_text("full in 2 h 5 min")
