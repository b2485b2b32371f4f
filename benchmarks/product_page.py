"""``bench product-page``: the page of a product from its read model, beside the same page by a join on the write database.

Both are served over HTTP with the same settings, and asked by the same client for the same products: alone, one request at
a time, and over 16, 256 and 10,000 open connections, all of them used in turn, with at most 256 requests under way. Before
that the documents of a sample are compared, so that it is the same page. The client and PostgreSQL share the machine with
both servers. Nothing is written meanwhile, but for the last figures: what one more review costs, which shows on every page
of its seller, and the read model with 100 reviews a second coming in.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx
import psycopg
from psycopg.conninfo import conninfo_to_dict

from benchmarks import catalogue, reviewing
from benchmarks.catalogue import BASE, PRODUCTS, SKEW
from benchmarks.join import joining
from benchmarks.pressure import Outcome, press
from benchmarks.result import Result
from config.settings import Settings
from stack.freshness import percentile

#: The components of the stack that it needs.
NEEDS = "postgres,kafka,connect,projector-serving,queries"

_COMPARED = 200
_LEAST = 300  # answers that a mode's percentiles are told from, however long they take
_REVIEWS_PER_S = 100.0
_ONE_BY_ONE = 50


@dataclass(frozen=True, slots=True)
class _Mode:
    name: str
    connections: int
    seconds: float

    def press(self, address: str) -> Outcome:
        return press(address, self.connections, min(self.connections, 256), self.seconds, _LEAST)


_BUSY = _Mode("256", 256, 8.0)
_MODES = (_Mode("alone", 1, 5.0), _Mode("16", 16, 5.0), _BUSY, _Mode("10000", 10_000, 8.0))


def run(settings: Settings) -> Result:
    """Measure on a running stack."""
    loaded = catalogue.load(settings)
    _settle(settings)
    outcomes: dict[str, Outcome] = {}
    with joining(settings) as join:
        compared = _compare(settings.queries_address, join)
        for mode in _MODES:
            outcomes[f"join_{mode.name}"] = mode.press(join)
    for mode in _MODES:
        outcomes[f"model_{mode.name}"] = mode.press(settings.queries_address)
    one_by_one = reviewing.readable_ms(settings, _ONE_BY_ONE)
    with reviewing.coming_in(settings, _REVIEWS_PER_S) as written:
        outcomes["model_256_while_writing"] = _BUSY.press(settings.queries_address)
    ended = time.monotonic()
    catalogue.await_readable(settings)
    behind_s = time.monotonic() - ended
    figures: dict[str, float | int | str] = {"products": PRODUCTS, "reviews": catalogue.REVIEWS, **loaded.figures}
    figures["pages_compared"] = compared
    for name, outcome in outcomes.items():
        figures |= {
            f"{name}_p50_ms": outcome.p50_ms,
            f"{name}_p99_ms": outcome.p99_ms,
            f"{name}_requests_per_s": outcome.requests_per_s,
            f"{name}_requests": outcome.requests,
        }
    figures |= {
        "written_meanwhile_reviews": written(),
        "written_meanwhile_readable_after_s": behind_s,
        "one_review_readable_p50_ms": percentile(one_by_one, 0.5),
        "one_review_readable_p99_ms": percentile(one_by_one, 0.99),
    }
    figures["errors"] = sum(outcome.errors for outcome in outcomes.values())
    return Result(name="product-page", figures=figures | _ratios(outcomes), goals=_goals(outcomes))


def _ratios(outcomes: Mapping[str, Outcome]) -> dict[str, float]:
    """How many times the requests per second of the join the read model answers, by mode."""
    return {
        f"{mode.name}_model_over_join": outcomes[f"model_{mode.name}"].requests_per_s
        / outcomes[f"join_{mode.name}"].requests_per_s
        for mode in _MODES
    }


def _goals(outcomes: Mapping[str, Outcome]) -> dict[str, tuple[float, float, bool]]:
    alone_ms, per_s = outcomes["model_alone"].p50_ms, outcomes["model_256"].requests_per_s
    ratio = _ratios(outcomes)["256_model_over_join"]
    errors = float(sum(outcome.errors for outcome in outcomes.values()))
    return {
        "model_alone_p50_ms": (alone_ms, 2.0, alone_ms <= 2.0),
        "model_256_requests_per_s": (per_s, 5_000.0, per_s >= 5_000.0),
        "256_model_over_join": (ratio, 100.0, ratio >= 100.0),
        "errors": (errors, 0.0, errors == 0),
    }


def _settle(settings: Settings) -> None:
    """Vacuum and analyze both databases, so that neither side pays for how the rows came in."""
    assert settings.admin_dsn is not None and settings.serving_dsn is not None and settings.writer_dsn is not None
    for dsn in (settings.writer_dsn, settings.serving_dsn):
        database = conninfo_to_dict(dsn.get_secret_value())["dbname"]
        with psycopg.connect(settings.admin_dsn.get_secret_value(), dbname=database, autocommit=True) as admin:
            admin.execute("vacuum analyze")
            admin.execute("checkpoint")


def _compare(model: str, join: str) -> int:
    """How many products have been compared. Raises RuntimeError where the two pages are not the same."""
    choose = random.Random(2)
    ids = {BASE + int(PRODUCTS * choose.random() ** SKEW) for _ in range(_COMPARED)} | set(
        range(BASE, BASE + _COMPARED)
    )
    with httpx.Client(trust_env=False, timeout=30.0) as client:
        for id in ids:
            by_model, by_join = (client.get(f"http://{side}/products/{id}") for side in (model, join))
            if by_model.status_code != 200 or by_model.json() != by_join.json():
                raise RuntimeError(f"the join's page of product {id} is not the read model's")
    return len(ids)
