"""``readside demo``: the main job, from a bare checkout: real components, real traffic, every kind of read model, proof."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import httpx
from rich.live import Live
from rich.text import Text

from config.settings import Settings
from projectors.verification.comparing import Verdict
from queries.health import collect
from stack import bearer, state, verification
from stack.commands import Startup
from stack.errors import StackError
from stack.freshness import FreshnessProbe, percentile
from stack.load import Load, Report, Write
from stack.sql.asking import ask
from stack.sql.session import said_of, show_table
from stack.terminal import data, talk
from stack.up import start, stop, wait_healthy

_REQUESTS_PER_S = 100.0
_WORKERS = 4
_READ = {"place_order": "order", "pay_order": "order", "cancel_order": "order", "rename_user": "user"}
_STATEMENTS = (
    "select status, count(*) as orders, sum(total) as value from orders group by status order by orders desc",
    "select name, sum(quantity) as sold, sum(line_total) as revenue from order_items "
    "where order_status <> 'cancelled' group by name order by revenue desc limit 5",
    "select loyalty_tier, count(distinct customer_id) as customers, round(avg(total), 2) as average_order "
    "from orders where status <> 'cancelled' group by loyalty_tier order by customers desc",
)


def run(settings: Settings, *, seconds: float, ports: str) -> int:
    """The whole demonstration. Exit code 0 only when verify found no difference."""
    began = time.monotonic()
    with running(settings, ports=ports) as stack:
        talk.print(
            f"the stack is up after {time.monotonic() - began:.1f} s; {seconds:g} s of traffic over HTTP follow\n"
        )
        probe = FreshnessProbe(stack.queries_address, headers=bearer.headers(stack))
        orders: list[str] = []
        load = _load(stack, probe, orders)
        load.prepare(users=60, products=40)
        before = _applied(stack)
        _drive(stack, load, probe, seconds)
        probe.close()
        _show_read_models(stack, orders[-1])
        data.print("\n[bold]verify[/]: every row recomputed from the source by SQL that shares nothing with the engine")
        verdicts = verification.verdicts_of(stack)
        verification.show(verdicts)
        return _summary(load.report, probe, verdicts, changes=_applied(stack) - before)


@contextmanager
def running(settings: Settings, *, only: str = "", ports: str = "fixed") -> Generator[Settings]:
    """The settings of a healthy stack: the one of the data directory, or one that is started now and stopped at the end.

    ``only``: the components to start, all of them by default.
    """
    if state.running(settings.data_dir) is not None:
        wait_healthy(settings.data_dir)
        yield type(settings)(data_dir=settings.data_dir)
        return
    supervisor = start(settings, only=only, ports=ports, detach=False)
    try:
        with Startup() as startup:
            wait_healthy(settings.data_dir, show=startup.show, supervisor=supervisor)
        yield type(settings)(data_dir=settings.data_dir)
    finally:
        if state.running(settings.data_dir) is not None:
            stop(settings.data_dir)
        supervisor.wait()


def _load(settings: Settings, probe: FreshnessProbe, orders: list[str]) -> Load:
    def on_write(write: Write) -> None:
        if write.kind == "place_order":
            orders.append(write.id)
        if write.kind in _READ:
            probe.seen(_READ[write.kind], write.id, write.token, write.at)

    return Load(
        f"http://{settings.writer_address}",
        headers=bearer.headers(settings),
        seed=1,
        rate=_REQUESTS_PER_S,
        workers=_WORKERS,
        on_write=on_write,
    )


def _drive(settings: Settings, load: Load, probe: FreshnessProbe, seconds: float) -> None:
    failed: list[BaseException] = []

    def work() -> None:
        try:
            load.run(seconds)
        except BaseException as exc:
            failed.append(exc)

    thread = threading.Thread(target=work)
    thread.start()
    asked = 0
    began = time.monotonic()
    with Live(console=talk, auto_refresh=False, transient=True) as live:
        while thread.is_alive():
            thread.join(1.0)
            passed = time.monotonic() - began
            live.update(_live_line(settings, load.report, probe, passed), refresh=True)
            if asked < len(_STATEMENTS) and passed > seconds * (asked + 1) / (len(_STATEMENTS) + 1):
                _ask(settings, _STATEMENTS[asked])
                asked += 1
    for statement in _STATEMENTS[asked:]:
        _ask(settings, statement)
    if failed:
        raise StackError(f"the load stopped: {failed[0]}") from failed[0]


def _live_line(settings: Settings, report: Report, probe: FreshnessProbe, passed: float) -> Text:
    hops = {hop.name: hop for hop in collect(settings).hops}
    rates = "  ".join(
        f"{name} {hops[name].rate or 0:.0f} changes/s, {hops[name].lag_seconds or 0:.1f} s behind"
        for name in ("serving", "analytics")
    )
    latest = [reading.seconds * 1000 for reading in probe.readings()[-200:]]
    fresh = f"fresh p50 {percentile(latest, 0.5):.0f} ms p99 {percentile(latest, 0.99):.0f} ms"
    return Text(f"{passed:4.0f} s  {report.requests} requests  {fresh}  {rates}")


def _ask(settings: Settings, statement: str) -> None:
    answer = ask(settings, statement)
    data.print(f"[bold]DuckDB, while writes go on[/] ({said_of(answer.freshness)})")
    data.print(f"  {statement}", style="cyan", markup=False)
    show_table(answer)
    data.print()


def _show_read_models(settings: Settings, order: str) -> None:
    with httpx.Client(
        base_url=f"http://{settings.queries_address}", headers=bearer.headers(settings), trust_env=False, timeout=10.0
    ) as client:
        details = _get(client, f"/orders/{order}")
        user, product = details["customer"]["id"], details["items"][0]["product_id"]
        posts = _get(client, "/posts?limit=1")
        shown = [
            ("order details", f"/orders/{order}", details),
            ("order list", f"/users/{user}/orders?limit=1", None),
            ("order search", f"/orders?limit=1&search={details['customer']['name'].split()[0]}", None),
            ("product page", f"/products/{product}", None),
            ("product cards", "/products?sort=rating&limit=1", None),
            ("user profile", f"/users/{user}", None),
            ("feed", f"/users/{user}/feed?limit=1", None),
            ("post list", "/posts?limit=1", posts),
            *(("post with comments", f"/posts/{post['id']}", None) for post in posts["items"]),
            ("orders summary (DuckDB)", "/analytics/orders/summary", None),
        ]
        for title, path, document in shown:
            data.print(f"[bold]{title}[/]  GET {path}")
            data.print(json.dumps(document or _get(client, path), indent=1, ensure_ascii=False), markup=False)


def _get(client: httpx.Client, path: str) -> dict[str, Any]:
    response = client.get(path)
    if response.is_error:
        raise StackError(
            f"GET {path} was answered {response.status_code}: {response.text[:300]}{bearer.advice(response.status_code)}"
        )
    return response.json()


def _applied(settings: Settings) -> int:
    """How many changes the serving store has applied since ever."""
    serving = next(hop for hop in collect(settings).hops if hop.name == "serving")
    return int(str(serving.figures.get("changes") or 0))


def _summary(report: Report, probe: FreshnessProbe, verdicts: list[Verdict], *, changes: int) -> int:
    readings = [reading.seconds * 1000 for reading in probe.readings() if reading.status == 200]
    unread = len(probe.readings()) - len(readings)
    differences = sum(verdict.differences for verdict in verdicts)
    data.print("\n[bold]summary[/]")
    data.print(f"  commands          {report.requests} ({report.unanswered} unanswered)")
    data.print(f"  changes applied   {changes} ({changes / max(report.seconds, 1e-9):.0f} per second of traffic)")
    data.print(
        f"  freshness         p50 {percentile(readings, 0.5):.0f} ms, p99 {percentile(readings, 0.99):.0f} ms "
        f"from a write's answer to its page, over {len(readings)} reads ({unread} failed)"
    )
    data.print(
        f"  differences       {differences} in {sum(v.rows for v in verdicts)} rows of {len(verdicts)} read models"
    )
    return 1 if differences or unread else 0
